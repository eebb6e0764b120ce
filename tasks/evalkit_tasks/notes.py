"""What this package says of its tasks on the site; see `evalkit.analysis.task_notes`."""

from collections.abc import Sequence

from evalkit.analysis.task_notes import PublishedAccuracy, TaskNotes
from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.schema import TaskCell
from evalkit.errors import UsageError
from evalkit_tasks.training.experiments import group_experiments
from evalkit_tasks.training.published import compare, published
from evalkit_tasks.training.tasks.descriptions import Description, describe, describe_asked
from evalkit_tasks.training.theory_rows import SOURCES, layers_by_theory, theory_of_task

_METRICS = {
    "last_position": "last label right",
    "scaled_last_position": "last label right, scaled so that guessing is 0",
}


def notes_of_task(name: str, cells: Sequence[TaskCell] | Sequence[ProbeCell]) -> TaskNotes | None:
    """What a task asks, who published it, and for trained networks what theory and publications say.

    Returns:
        None of a task that is not ours.
    """
    trained = [cell for cell in cells if isinstance(cell, ProbeCell)]
    if not trained:
        description = describe_asked(name)
        return None if description is None else _of_description(description)
    try:
        notes = _of_description(describe(name))
    except UsageError:
        return None
    theory = theory_of_task(name)
    layers = {
        cell.model.name: number
        for cell in trained
        if (number := layers_by_theory(name, cell.model.name)) is not None
    }
    return TaskNotes(
        summary=notes.summary,
        source=notes.source,
        url=notes.url,
        differences=notes.differences,
        language_class="" if theory is None else theory.language_class,
        layers=layers,
        theory_sources=SOURCES if layers else (),
        published=_published(name, trained),
    )


def _of_description(description: Description) -> TaskNotes:
    source = description.source
    differences = tuple(map(_plain, description.differences))
    return TaskNotes(_plain(description.summary), source.title, source.url, differences)


def _plain(text: str) -> str:
    """Without the marks of code in Markdown."""
    return text.replace("`", "")


def _published(name: str, cells: Sequence[ProbeCell]) -> tuple[PublishedAccuracy, ...]:
    """The published numbers beside which ours may stand."""
    return tuple(
        PublishedAccuracy(
            model=comparison.model,
            test=comparison.test,
            metric=_METRICS[comparison.metric],
            published=f"{comparison.value:.1f}"
            + ("" if comparison.deviation is None else f" ± {comparison.deviation:.1f}"),
            ours=f"{' '.join(f'{value:.1f}' for value in comparison.ours)} ({comparison.ours_setting})",
            source=f"{published().sources[comparison.source].title}; "
            f"{published().sources[comparison.source].statistic}",
            url=comparison.url,
        )
        for comparison in compare(group_experiments(cells))
        if comparison.task == name and comparison.ours and comparison.is_same_protocol
    )
