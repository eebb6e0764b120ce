"""Commands of other packages, under the entry-point group ``evalkit.commands``."""

import typer

from evalkit.extras import import_problem
from evalkit.plugins import entry_points
from evalkit.terminal import complain

COMMAND_GROUP = "evalkit.commands"
"""Entry-point group under which other packages add their `typer.Typer` as a command."""


def add_commands(app: typer.Typer, built_in: set[str | None]) -> None:
    """Add every installed package's command; one that cannot be had is named on standard error.

    Args:
        app: the program.
        built_in: names of its own commands, which no package may replace.
    """
    for point in entry_points(COMMAND_GROUP):
        try:
            command = point.load()
        except Exception as error:  # a broken plug-in must not take the others down, but must be seen
            problem: str | None = import_problem(error)
        else:
            problem = _add_command(app, point.name, command, built_in)
        if problem:
            complain(f"command {point.name!r} ({point.value}) is not available: {problem}")


def _add_command(app: typer.Typer, name: str, command: object, built_in: set[str | None]) -> str | None:
    """Add a command, or more commands to a group of evalkit's own; returns what is wrong, if something is."""
    if not isinstance(command, typer.Typer):
        return f"it is a {type(command).__name__}, not a typer.Typer"
    group = next((group.typer_instance for group in app.registered_groups if group.name == name), None)
    if group is None:
        if name in built_in:
            return "evalkit has a command of this name"
        app.add_typer(command, name=name)
        return None
    present = {subcommand.name: subcommand for subcommand in group.registered_commands}
    new = [added for added in command.registered_commands if present.get(added.name) is not added]
    clashes = sorted(str(added.name) for added in new if added.name in present)
    if clashes:
        return f"evalkit {name} has {', '.join(clashes)} already"
    group.registered_commands += new
    return None
