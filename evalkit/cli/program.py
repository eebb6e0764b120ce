"""The program's group of commands: words that would be misread are refused with what was meant."""

import re
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption

from evalkit.errors import UsageError

_OPTION = re.compile(r"--[a-z]")
_EXTRA_WORDS = "Got unexpected extra argument"
"""How typer's message begins, which has no class of its own."""


class Program(TyperGroup):
    """All commands, those of other packages too."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the words begin with, see `TyperGroup`.

        Raises:
            UsageError: an option was given no value, and would take the next option for it.
        """
        name, command, words = super().resolve_command(ctx, args)
        if not ctx.resilient_parsing:  # of a shell that completes words
            _check_values(ctx, command, words)
        return name, command, words

    def invoke(self, ctx: Any) -> Any:
        """Parse and run a command; of words that belong nowhere it says where they may come from."""
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            message = getattr(error, "message", "")
            if message.startswith(_EXTRA_WORDS):
                error.message = (
                    f"{message}. Lists go by commas (a,b), and a pattern in quotes ('*.jsonl'): without them "
                    "the shell writes out the files that match."
                )
            raise


def _check_values(context: Any, command: Any, words: Sequence[str]) -> None:
    """Refuse an option's value that is an option: nobody means ``--output --dry-run``.

    Raises:
        UsageError: there is one; ``--output=--dry-run`` is taken at its word.
    """
    words = list(words)
    while isinstance(command, TyperGroup):
        while words and words[0].startswith("-"):  # options of groups have no values
            del words[0]
        command = command.get_command(context, words.pop(0)) if words else None
    if command is None:
        return
    parameters = [parameter for parameter in command.params if isinstance(parameter, TyperOption)]
    options = {name: option for option in parameters for name in (*option.opts, *option.secondary_opts)}
    while words and words[0] != "--":
        option = options.get(words[0])
        word = words.pop(0)
        if option is None or option.is_flag or option.count or not words:
            continue
        value = words.pop(0)
        if value in options or _OPTION.match(value):
            raise UsageError(
                f"{word} was given no value: {value} is an option (if it is the value: {word}={value})"
            )
