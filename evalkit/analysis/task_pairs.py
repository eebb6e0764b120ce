"""Models on one task, pair by pair: the difference in accuracy on the items that both answered.

Two models meet the same items, and what one finds hard the next mostly does too: the interval of the
difference item by item is narrower than the intervals of the two accuracies let suppose, and the only one
that says whether the two differ.
"""

from collections.abc import Iterable
from typing import NamedTuple

from evalkit.cells.schema import TaskCell
from evalkit.stats import Interval, ratio_interval


class PairedAccuracy(NamedTuple):
    """How much more often a model is right than the reference, on the items that both answered."""

    task: str
    method: str
    model: str
    reference: str
    """The model with the most right answers."""
    difference: float
    """Accuracy less the reference's: a share, -1 to 1."""
    interval: Interval | None
    """None with too few items, or where each says the same of the pair, as resamples of them then do too."""
    num_items: int


class _Answers(NamedTuple):
    """What a cell's rows say of the answers."""

    cell: TaskCell
    is_right: dict[str, bool]
    """By item's id, twins left out."""


def paired_accuracies(cells: Iterable[TaskCell]) -> list[PairedAccuracy]:
    """For each task and method each model against the one with the most right answers; of equals the first.

    Paired are cells of the same items, asked in the same way (`TaskCell.task`), by their rows: ``id``,
    ``twin_of`` (twins, which tell their items' operations anew, do not count), ``label`` and ``answer by …``,
    by the score that the method begins with. Cells without these columns have no pairs. An item that was left
    out for one of the two, as too long a question is, is left out of the pair.

    Args:
        cells: in any order; pairs come in that of the tasks' first cells, and models in theirs.

    Raises:
        ScoringError: rows cannot be read.
    """
    groups: dict[tuple[str, str, str], list[TaskCell]] = {}
    for cell in cells:
        groups.setdefault((cell.task.name, cell.task.method, cell.task.sha256), []).append(cell)
    pairs: list[PairedAccuracy] = []
    for members in groups.values():
        if len(members) < 2:
            continue
        answered = [answers for cell in members if (answers := _answers(cell)).is_right]
        if answered:
            reference = max(answered, key=lambda answers: sum(answers.is_right.values()))
            pairs += [
                pair
                for answers in answered
                if answers is not reference and (pair := _paired(answers, reference)) is not None
            ]
    return pairs


def _answers(cell: TaskCell) -> _Answers:
    column = f"answer by {cell.task.method.partition(',')[0]}"
    return _Answers(
        cell,
        {
            str(row["id"]): row[column] == row["label"]
            for row in cell.rows()
            if {"id", "label", column} <= row.keys() and row.get("twin_of") is None
        },
    )


def _paired(answers: _Answers, reference: _Answers) -> PairedAccuracy | None:
    """The pair; None where no item was answered by both."""
    ids = [item_id for item_id in answers.is_right if item_id in reference.is_right]
    if not ids:
        return None
    differences = [int(answers.is_right[item_id]) - int(reference.is_right[item_id]) for item_id in ids]
    cell = answers.cell
    return PairedAccuracy(
        task=cell.task.name,
        method=cell.task.method,
        model=cell.model.name,
        reference=reference.cell.model.name,
        difference=sum(differences) / len(ids),
        interval=ratio_interval(differences, [1] * len(ids), ids) if len(set(differences)) > 1 else None,
        num_items=len(ids),
    )
