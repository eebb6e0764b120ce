"""Axes by language models: a compressor far from them stands at the edge, as an arrow with its number.

Compressors need two or three times the bits of a language model. Axes with room for both would leave all
language models a few percent of them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from evalkit.analysis.estimates import Estimate

ARROWS = {-1: "↓", 1: "↑"}
MARKERS = {-1: "v", 1: "^"}
"""At the lower and the upper edge of a vertical axis."""
SIDEWAYS_ARROWS = {-1: "←", 1: "→"}
SIDEWAYS_MARKERS = {-1: "<", 1: ">"}
"""At the left and the right edge of a horizontal one."""
LEGEND = "arrows: compressors beyond the axis, which language models set"
"""For the conditions of a figure that has some."""

_MARGIN = 0.06


class Limits(NamedTuple):
    """Of an axis."""

    low: float
    high: float

    def side(self, value: float) -> int:
        """-1 for a value below them, 1 above, 0 inside."""
        return (value > self.high) - (value < self.low)

    def pinned(self, value: float) -> float:
        """The value, or the edge beyond which it lies."""
        return min(max(value, self.low), self.high)


def limits_of(estimates: Iterable[Estimate], *, margin: float = _MARGIN) -> Limits:
    """Limits that hold numbers and their intervals, with a margin.

    Args:
        estimates: of the language models; of compressors where nothing else is shown. One or more.
        margin: beyond them, as a share of their range.
    """
    ends = [end for estimate in estimates for end in estimate if end is not None]
    low, high = min(ends), max(ends)
    room = margin * (high - low) or 0.05 * abs(high) or 1.0
    return Limits(low - room, high + room)
