"""Axes by language models: a compressor far from them stands at the edge, as an arrow with its number.

Compressors need two or three times the bits of a language model. Axes with room for both would leave all
language models a few percent of them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from evalkit.analysis.estimates import Estimate
from evalkit.plots.frame import LineStyle

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


def pin_line(
    axes: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    limits: Limits,
    style: LineStyle,
    *,
    upwards: int = 1,
) -> bool:
    """Draw a compressor's line as marks, of which those beyond an axis are arrows at its edge, if any is.

    Args:
        axes: where.
        xs: places along the other axis.
        ys: its numbers.
        limits: of the vertical axis.
        style: of the line.
        upwards: 1 for an axis that grows upwards, -1 for one that grows downwards.
    """
    if not any(map(limits.side, ys)):
        return False
    for x, y in zip(xs, ys, strict=True):
        marker = MARKERS.get(upwards * limits.side(y), style["marker"])
        axes.plot([x], [limits.pinned(y)], color=style["color"], marker=marker, clip_on=False)
    return True


def pinned_suffix(value: float, limits: Limits, text: str, *, upwards: int = 1) -> str:
    """Behind a name an arrow and its number as a text, where that is beyond the axis; else nothing."""
    side = upwards * limits.side(value)
    return f" {ARROWS[side]} {text}" if side else ""
