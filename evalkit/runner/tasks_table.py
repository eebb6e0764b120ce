"""The table at the end of a run of tasks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from rich.table import Table

from evalkit.analysis.cutoff import Exposure, exposure_of
from evalkit.analysis.document_dates import cutoff_of_model
from evalkit.analysis.task_gains import ENTRIES, Gain, gain_of
from evalkit.analysis.task_pairs import PairedAccuracy, paired_accuracies
from evalkit.cells.schema import TaskCell
from evalkit.models.catalog import CatalogEntry, load_catalog
from evalkit.runner.tasks import TaskRunResult
from evalkit.runner.unaudited import unaudited_notes
from evalkit.tasks import SummaryRow
from evalkit.terminal import console_for, print_table


def print_task_result(result: TaskRunResult, stream: TextIO) -> None:
    """Print a block of lines per task and model, what to know when reading them, and what failed."""
    console = console_for(stream, soft_wrap=True)
    if result.cells:
        print_table(_table(result.cells), stream)
    if pairs := paired_accuracies(result.cells):
        print_table(_pair_table(pairs), stream)
    for line in notes(result):
        console.print(line)
    for failure in result.failures:
        console.print(f"FAILED {failure.model} on {failure.subject}: {failure.reason}")


def _table(cells: Sequence[TaskCell]) -> Table:
    names = dict.fromkeys(name for cell in cells for row in cell.summary for name in row.further)
    further = [name for name in names if name not in ENTRIES]
    table = Table(title="accuracy in % (95 % interval)", box=None, header_style="bold", pad_edge=False)
    for name in ("task", "model", "method"):
        table.add_column(name, no_wrap=True)
    for name in ("operations", "n", "accuracy", "chance", "best", "heuristic", "gain", *further):
        table.add_column(name, justify="left" if name == "heuristic" else "right", no_wrap=True)
    for cell in cells:
        for number, row in enumerate(cell.summary):
            heads = (cell.task.name, cell.model.name, cell.task.method) if number == 0 else ("", "", "")
            table.add_row(*heads, *_numbers(row), *(_further(row.further.get(name)) for name in further))
    return table


def _pair_table(pairs: Sequence[PairedAccuracy]) -> Table:
    title = "difference in accuracy on the same items, in points (95 % interval)"
    table = Table(title=title, box=None, header_style="bold", pad_edge=False)
    for name in ("task", "method", "model", "less that of"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in pairs:
        interval = " to ".join(f"{100 * end:+.1f}" for end in pair.interval or ()) or "–"
        difference = f"{100 * pair.difference:+.1f} ({interval})"
        table.add_row(pair.task, pair.method, pair.model, pair.reference, str(pair.num_items), difference)
    return table


def _numbers(row: SummaryRow) -> list[str]:
    return [
        row.bucket,
        str(row.num_items),
        f"{100 * row.accuracy:.1f} ({100 * row.low:.0f}–{100 * row.high:.0f})",
        f"{100 * row.chance:.1f}",
        _further(row.baseline_accuracy),
        row.baseline or "",
        _gain(gain_of(row)),
    ]


def _gain(gain: Gain) -> str:
    """In points, with its interval."""
    value = f"{100 * gain.value:+.1f}"
    return (
        value
        if gain.low is None or gain.high is None
        else f"{value} ({100 * gain.low:+.0f} to {100 * gain.high:+.0f})"
    )


def _further(value: float | int | None) -> str:
    """A share in percent, or a count as it is."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{100 * value:.1f}"


def notes(result: TaskRunResult) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    dates = sorted({cell.date for cell in result.cells if cell.date is not None})
    if dates:
        yield f"items made for {', '.join(dates)}; another --date or --seed makes others"
    for note in dict.fromkeys(cell.note for cell in result.cells):
        if note:
            yield note
    catalog = load_catalog()
    warnings = [_exposure_note(cell, catalog) for cell in result.cells]
    yield from dict.fromkeys(warning for warning in warnings if warning)
    if any(cell.num_tokens_read is not None for cell in result.cells):
        num_read = sum(cell.num_tokens_read or 0 for cell in result.cells)
        num_unshared = sum(cell.num_tokens_unshared or 0 for cell in result.cells)
        yield f"{num_read:,} tokens read; {num_unshared:,} if no beginning had been shared"
    yield from unaudited_notes(result.unaudited)


def _exposure_note(cell: TaskCell, catalog: Mapping[str, CatalogEntry]) -> str | None:
    """What to say of a model that is not known to be older than the items."""
    if cell.date is None:
        return None
    cutoff = cutoff_of_model(cell.model, catalog)
    exposure = exposure_of(cell.date, None, None, cutoff)
    if cutoff is None:
        return (
            f"{exposure.mark} {cell.model.name}: not known whether it has read items of {cell.date} in "
            "training: nobody says when its training data end"
        )
    if exposure is not Exposure.POSSIBLE:
        return None
    return (
        f"{exposure.mark} {cell.model.name} ({cutoff.date}) may have read items of {cell.date} in training; "
        "give a later --date"
    )
