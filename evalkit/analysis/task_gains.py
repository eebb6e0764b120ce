"""What a model tracks: how much more often it is right than what follows no state."""

from typing import NamedTuple

from evalkit.tasks import SummaryRow

ENTRIES = ("gain", "gain from", "gain to")
"""In `SummaryRow.further`: over the best heuristic, item by item, with the ends of its 95 % interval."""


class Gain(NamedTuple):
    """An accuracy less that of a guess or of the best heuristic, whichever is better."""

    value: float
    low: float | None
    """Ends of the 95 % interval; None where the cell does not say them."""
    high: float | None


def gain_of(row: SummaryRow) -> Gain:
    """The gain of a row of a summary over the better of its best heuristic and a guess.

    A heuristic that was chosen on other items than it is judged on may do worse than a guess on these, and is
    no measure then. Over the heuristic the interval is that of the differences item by item, over a guess
    that of the accuracy.
    """
    if row.baseline_accuracy is None or row.baseline_accuracy <= row.chance:
        return Gain(row.accuracy - row.chance, row.low - row.chance, row.high - row.chance)
    low, high = (row.further.get(name) for name in ENTRIES[1:])
    return Gain(row.accuracy - row.baseline_accuracy, low, high)
