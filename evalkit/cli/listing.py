"""Commands whose choices are a table of name, help and function: their help, and their options."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand


class ListingCommand(TyperCommand):
    """A command whose help lists what there is to choose from.

    That is looked up when the help is shown: the libraries behind it take long to load, and other packages
    may have added to it.
    """

    choice: str
    """The parameter that says which."""

    def choices(self) -> Sequence[str]:
        """Their names."""
        raise NotImplementedError

    def listed(self) -> Sequence[str]:
        """A line for each choice."""
        raise NotImplementedError

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words that nothing took; where the choice is missing, what there is to choose from is said."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.param is not None and error.param.name == self.choice and not error.message:
                error.message = f"Give one of: {', '.join(self.choices())}"
            raise

    def get_help(self, ctx: Any) -> str:
        """The help with these lines; see `TyperCommand`."""
        self.help = "\n\n".join([self.help or "", *self.listed()])
        return super().get_help(ctx)


def chosen_options(
    subject: str, function: Callable[..., object], options: Mapping[str, object]
) -> dict[str, object]:
    """Those options that were given (not None, not False, not empty), all of which the function takes.

    Args:
        subject: what the function is of, for messages: ``the plot heatmap``.
        function: with keyword-only arguments.
        options: by the function's names for them.

    Raises:
        UsageError: it does not take one that was given, or needs one that was not.
    """
    from evalkit.errors import UsageError

    keywords = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    chosen = {name: value for name, value in options.items() if value not in (None, False, ())}
    names = [_as_option(name) for name in keywords if name != "warn"]
    for name in chosen:
        if name not in keywords:
            raise UsageError(
                f"{subject} takes no {_as_option(name)}; it takes {', '.join(names) or 'no options'}"
            )
    for name, parameter in keywords.items():
        if parameter.default is parameter.empty and name not in chosen:
            raise UsageError(f"{subject} needs {_as_option(name)}")
    return chosen


def _as_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
