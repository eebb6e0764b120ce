"""How often a model holds the right choice for the likeliest, by three ways to compare choices."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.cells.choices import read_choices
from evalkit.cells.schema import CorpusCell
from evalkit.scoring.choices import ChoiceCosts
from evalkit.stats import Interval, ratio_interval

METHODS = {
    "accuracy": "the choice that costs least",
    "accuracy_per_byte": "the choice that costs least per byte",
    "accuracy_pmi": "the choice that costs least beyond what it costs without the question",
}


class ChoiceAccuracy(NamedTuple):
    """A share of questions, by one of `METHODS`."""

    method: str
    share: float
    interval: Interval | None
    """Resampled by cluster; None where there are too few."""


class CellChoices(NamedTuple):
    """How often one cell's model chose rightly."""

    cell: CorpusCell
    num_questions: int
    """Documents with choices, all of which the model could represent."""
    num_left_out: int
    """Documents with choices of which it could not, or without choices."""
    accuracies: tuple[ChoiceAccuracy, ...]
    """In the order of `METHODS`; without PMI where a document has no context."""


def cell_choices(cell: CorpusCell) -> CellChoices | None:
    """The shares of a cell; None where its corpus has no choices.

    Raises:
        ScoringError: the rows are not what was written.
    """
    rows = cell.rows()
    costs = read_choices(cell.path.with_suffix(".parquet"))
    if costs is None:
        return None
    questions = [(row.cluster, of_row) for row, of_row in zip(rows, costs, strict=True) if of_row is not None]
    if not questions:
        return CellChoices(cell, 0, len(rows), ())
    clusters = [cluster for cluster, _ in questions]
    accuracies = []
    for method in METHODS:
        chosen = [_chosen(of_row, method) for _, of_row in questions]
        if None in chosen:
            continue
        is_right = np.array(
            [place == of_row.gold for place, (_, of_row) in zip(chosen, questions, strict=True)], np.float64
        )
        interval = ratio_interval(is_right, np.ones(len(is_right)), clusters)
        accuracies.append(ChoiceAccuracy(method, float(is_right.mean()), interval))
    return CellChoices(cell, len(questions), len(rows) - len(questions), tuple(accuracies))


def _chosen(costs: ChoiceCosts, method: str) -> int | None:
    """The place of the choice, of equal ones the first; None where the method has nothing to go by."""
    bits: NDArray[np.float64] = np.array(costs.bits)
    if method == "accuracy_per_byte":
        bits = bits / np.array(costs.num_bytes)
    elif method == "accuracy_pmi":
        if costs.alone_bits is None:
            return None
        bits = bits - np.array(costs.alone_bits)
    return int(np.argmin(bits))
