"""What is known of a task beside its cells: what it asks, who published it, what theory and others say.

Packages that bring tasks say it of theirs, through a function under the entry-point group
``evalkit.task_notes``::

    [project.entry-points."evalkit.task_notes"]
    my-tasks = "my_package.notes:notes_of_task"

The site shows it above the task's numbers.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.schema import TaskCell
from evalkit.plugins import entry_points

NOTES_GROUP = "evalkit.task_notes"
"""Entry-point group of the functions that know tasks."""


@dataclasses.dataclass(frozen=True)
class PublishedAccuracy:
    """A published number, and ours under the same protocol."""

    model: str
    test: str
    """The lengths that were tested."""
    metric: str
    """What its accuracy counts, in words."""
    published: str
    """In percent, with its deviation where that is stated."""
    ours: str
    """In percent, of each seed."""
    source: str
    url: str


@dataclasses.dataclass(frozen=True)
class TaskNotes:
    """What is said of a task."""

    summary: str
    """What it asks."""
    source: str = ""
    """Who published it."""
    url: str | None = None
    differences: tuple[str, ...] = ()
    """In what it is not the source's."""
    language_class: str = ""
    """Of a regular language; empty where it is none."""
    layers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By network, the layers that suffice at every length by theory."""
    theory_sources: tuple[str, ...] = ()
    """Where these come from, in a line each."""
    published: tuple[PublishedAccuracy, ...] = ()
    """Numbers of others under a protocol that some of the cells share, and no others."""


NotesOfTask = Callable[[str, Sequence[TaskCell] | Sequence[ProbeCell]], TaskNotes | None]
"""Takes a task's name and its cells, all of one kind; None of a task that it does not know."""


def task_notes(
    name: str, cells: Sequence[TaskCell] | Sequence[ProbeCell], warn: Callable[[str], None]
) -> TaskNotes | None:
    """What the installed packages say of a task, the first that knows it; None where none does.

    Args:
        name: of the task.
        cells: what was measured on it, all of one kind.
        warn: told of packages that cannot say anything; the numbers do not depend on it.
    """
    for point_name, notes_of_task in _providers():
        try:
            notes = notes_of_task()(name, cells)
        except Exception as error:  # another package's code: whatever it raises, say whose it is
            warn(f"the notes of {point_name} on the task {name!r} cannot be had: {error!r}")
            continue
        if isinstance(notes, TaskNotes):
            return notes
    return None


@functools.cache
def _providers() -> list[tuple[str, Callable[[], NotesOfTask]]]:
    """The entry points by name, and what loads each."""
    points = {point.name: point for point in entry_points(NOTES_GROUP)}
    return [(name, points[name].load) for name in sorted(points)]
