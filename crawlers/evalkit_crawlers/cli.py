"""``evalkit crawl``: one command per source, those of other packages among them.

A package adds a source by an entry point in the group ``evalkit.crawlers`` that names a function with
typer's annotations; see `evalkit_crawlers.options` for the options that all of them share. The function's
module is imported when its command is used or listed, and not before.
"""

import difflib
import functools
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import typer
from typer.core import TyperGroup

from evalkit.errors import did_you_mean
from evalkit.extras import import_problem
from evalkit.plugins import entry_points, plugin
from evalkit.terminal import complain

SOURCE_GROUP = "evalkit.crawlers"
"""Entry-point group of the sources' commands."""


class _Sources(TyperGroup):
    """The commands that are registered as entry points, loaded one by one as they are asked for."""

    @functools.cached_property
    def _broken(self) -> set[str]:
        """Names of the sources that do not load; each is told of once."""
        return set()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all sources that are registered, sorted; none is imported for it."""
        return sorted({*super().list_commands(ctx), *(point.name for point in entry_points(SOURCE_GROUP))})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The source that the arguments begin with; a misspelled one is answered with the nearest."""
        names = self.list_commands(ctx)
        if args and args[0] not in names:
            near = difflib.get_close_matches(args[0], names, n=3, cutoff=0.5)
            ctx.fail(f"No such source {args[0]!r}.{did_you_mean(near)}")
        if args and self.get_command(ctx, args[0]) is None:
            raise typer.Exit(2)  # there is such a source, and why it cannot be had was told
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A source's command, imported now; None, after a line on standard error, where that fails."""
        if cmd_name not in self.commands and cmd_name not in self._broken:
            point = plugin(SOURCE_GROUP, cmd_name)
            if point is not None:
                self._load(point)
        return super().get_command(ctx, cmd_name)

    def _load(self, point: EntryPoint) -> None:
        try:
            function = point.load()
        except Exception as error:  # a broken plug-in must not take the others down, but must be seen
            problem: str | None = import_problem(error)
        else:
            if callable(function):
                problem = self._add(point.name, function)
            else:
                problem = f"it is a {type(function).__name__}, not a function"
        if problem:
            self._broken.add(point.name)
            complain(f"source {point.name!r} ({point.value}) is not available: {problem}")

    def _add(self, name: str, function: Callable[..., None]) -> str | None:
        """Make a command of a function; what is wrong with it, None if nothing is."""
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name)(function)
        try:
            self.commands[name] = typer.main.get_command(single)
        except Exception as error:  # typer's, for options of a type that it does not know
            return repr(error)
        return None


app = typer.Typer(cls=_Sources, no_args_is_help=True)


@app.callback()
def _crawl() -> None:
    """Collect dated text into corpora."""
