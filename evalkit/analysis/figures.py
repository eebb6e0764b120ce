"""A figure as files: what plots hand to whoever shows them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Panel(NamedTuple):
    """Axes of a figure."""

    title: str
    box: tuple[float, float, float, float]
    """Left, top, right and bottom, as shares of the figure's width and height from its left upper corner."""


class PlacedMark(NamedTuple):
    """A number that a figure shows, and where, in the same shares."""

    panel: int
    series: int
    subject: str
    """Which of the numbers of its series: a month, a corpus, a position."""
    x: float
    y: float
    value: float
    low: float | None
    high: float | None
    unit: str
    """What its axis says."""
    ends: tuple[float, float, float, float] | None
    """Of its interval, x and y of either."""
    is_joined: bool
    """Whether a line leads to it from the one before of its series and panel."""


class FigureMarks(NamedTuple):
    """The numbers of a figure."""

    ratio: float
    """Of the figure's height to its width."""
    panels: Sequence[Panel]
    series: Sequence[tuple[str, str]]
    """Names and colours, as ``#rrggbb``."""
    marks: Sequence[PlacedMark]


class SiteFigure(NamedTuple):
    """A figure that is drawn of the same cells; see `evalkit.plots.draw_all`."""

    name: str
    title: str
    conditions: str
    """What it is of: corpora, policy, intervals."""
    files: Mapping[str, bytes]
    """By suffix: ``.svg``, ``.png`` and, where there are marks, ``.csv``."""
    options: str = ""
    """What ``evalkit plot`` needs to draw it besides its name and the results."""
    marks: FigureMarks | None = None
    """None where the plot keeps none."""
