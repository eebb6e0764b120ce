"""``evalkit probe list`` and ``evalkit probe show``."""

import contextlib
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import JsonOption
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit_tasks.training.tasks.descriptions import Description
    from evalkit_tasks.training.tasks.task import ProbeTask

_WIDTH = 100
_EXAMPLE_LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)


def list_command(as_json: JsonOption = False) -> None:
    """Name every task of the trained probes: what it asks, and who published it."""
    from evalkit_tasks.training.tasks.descriptions import descriptions

    if as_json:
        show_json([_record(description) for description in descriptions().tasks])
        return
    for description in descriptions().tasks:
        show(", ".join(description.names))
        _show_text(description.summary)
        _show_text(f"Source: {description.source}")
    show()
    show("capitals stand for a choice; evalkit probe show TASK: in what a task differs from its source")


def show_command(
    task: Annotated[str, typer.Argument(help="Its name, as for evalkit probe train.")],
    as_json: JsonOption = False,
) -> None:
    """Say what a task asks, where it comes from, in what it differs from that, and show a string of it."""
    from evalkit_tasks.training.tasks.catalog import get_task
    from evalkit_tasks.training.tasks.descriptions import describe

    description, probe_task = describe(task), get_task(task)
    num_letters = probe_task.num_tokens or probe_task.num_letters
    letters, labels = _example(task)
    if as_json:
        show_json(
            {
                "task": task,
                **_record(description),
                "num_letters": num_letters,
                "num_labels": probe_task.num_labels,
                "example": letters,
                "example_labels": labels,
            }
        )
        return
    show(task)
    _show_text(description.summary)
    _show_text(f"Source: {description.source}")
    if description.protocol is not None:
        _show_text(f"As published: {description.protocol}")
    show("differences from the source:")
    for difference in description.differences or ("none is known",):
        _show_text(difference)
    show(f"{num_letters} letters, {probe_task.num_labels} labels; a string, and the label after each letter:")
    _show_text(" ".join(map(str, letters)))
    _show_text(" ".join("-" if label is None else str(label) for label in labels))


def _record(description: "Description") -> dict[str, object]:
    return {
        "names": list(description.names),
        "summary": description.summary,
        "source": description.source.title,
        "url": description.source.url,
        "protocol": description.protocol,
        "differences": list(description.differences),
    }


def _example(name: str) -> tuple[list[str], list[int | None]]:
    """A string and its labels, always the same."""
    import numpy as np

    from evalkit_tasks.metrics import NOT_SCORED
    from evalkit_tasks.training.tasks.catalog import get_task

    task = get_task(name)
    strings = task.draw(_example_length(task), 1, np.random.default_rng(0))
    letters, labels = task.tokens(strings)[0].tolist(), task.label(strings)[0].tolist()
    names = task.letter_names
    return (
        [str(letter) if names is None else names[letter].replace("\n", "\\n") for letter in letters],
        [None if label == NOT_SCORED else int(label) for label in labels],
    )


def _example_length(task: "ProbeTask") -> int:
    """The least length, from `_EXAMPLE_LENGTHS` on, of which there are strings.

    Raises:
        UsageError: there is none.
    """
    from evalkit.errors import UsageError
    from evalkit_tasks.training.tasks.strings import usable_length

    for length in _EXAMPLE_LENGTHS[:-1]:
        with contextlib.suppress(UsageError):
            return usable_length(task, length, 1, length, "any")
    return usable_length(task, _EXAMPLE_LENGTHS[-1], 1, _EXAMPLE_LENGTHS[-1], "any")


def _show_text(text: str) -> None:
    for line in textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    ):
        show(line)
