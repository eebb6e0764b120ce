"""Names beside what they name, in place of legends: at lines' ends, beside points, clear of each other."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from evalkit.plots.frame import LABEL_SIZE, POINTS_PER_INCH, ink

_MAX_LABEL = 44
_LETTER_WIDTH = 0.62
"""Of a letter in DejaVu Sans, generously, in units of its size."""


class EndLabel(NamedTuple):
    """A line's name, to be written at its right end."""

    y: float
    """Where the line ends."""
    text: str
    color: str
    x: float | None = None
    """Where the line ends; None: at the right edge."""


class PointLabel(NamedTuple):
    """A point's name, to be written beside it."""

    x: float
    y: float
    text: str
    color: str


class _Box(NamedTuple):
    """An area of the figure, in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, box: "_Box") -> float:
        """The area in common."""
        width = min(self.x1, box.x1) - max(self.x0, box.x0)
        height = min(self.y1, box.y1) - max(self.y0, box.y0)
        return max(width, 0.0) * max(height, 0.0)


class _Boxes:
    """Areas that are taken, as an array that doubles when it is full."""

    def __init__(self, boxes: Sequence[_Box]) -> None:
        self._corners = np.empty((max(64, len(boxes)), 4))
        self._count = 0
        self.add(boxes)

    def add(self, boxes: Sequence[_Box]) -> None:
        """Take more areas."""
        if not boxes:
            return
        end = self._count + len(boxes)
        if end > len(self._corners):
            more = np.empty((max(end, 2 * len(self._corners)) - self._count, 4))
            self._corners = np.concatenate((self._corners[: self._count], more))
        self._corners[self._count : end] = boxes
        self._count = end

    def overlap(self, box: _Box) -> float:
        """The sum of the areas in common with each."""
        x0, y0, x1, y1 = self._corners[: self._count].T
        widths = np.minimum(x1, box.x1) - np.maximum(x0, box.x0)
        heights = np.minimum(y1, box.y1) - np.maximum(y0, box.y0)
        return float((np.maximum(widths, 0) * np.maximum(heights, 0)).sum())


class _Placement(NamedTuple):
    """Where a point's name may stand."""

    offset: tuple[float, float]
    """From the point, in typographic points."""
    align: Literal["left", "center", "right"]
    box: _Box


def short(name: str, mark: str = "") -> str:
    """A name with its middle left out where it is too long for a label: paths differ at their ends.

    Args:
        name: of a model, a corpus or the like.
        mark: put behind it.
    """
    room = _MAX_LABEL - len(mark)
    if len(name) > room:
        end = room - room // 2
        name = f"{name[: room - end - 1]}…{name[-end:]}"
    return f"{name}{mark}"


def label_ends(axes: Axes, labels: Sequence[EndLabel], *, size: float = LABEL_SIZE) -> None:
    """Names to the right of the axes, as close to their lines' ends as they can be without touching."""
    if not labels:
        return
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    height = axes.get_window_extent().height / figure.dpi * POINTS_PER_INCH
    to_axes = axes.transData + axes.transAxes.inverted()
    order = sorted(range(len(labels)), key=lambda index: labels[index].y)
    if axes.yaxis_inverted():
        order.reverse()
    line_ends = [float(to_axes.transform((1.0, labels[index].y))[1]) for index in order]
    for index, place in zip(order, spread(line_ends, size * 1.25 / height), strict=True):
        label = labels[index]
        end = to_axes.transform((1.0 if label.x is None else label.x, label.y))
        start = 1.0 if label.x is None else float(end[0])
        axes.plot(
            [start, 1.015, 1.035],
            [float(end[1]), place, place],
            color=label.color,
            linewidth=0.6,
            alpha=0.7,
            linestyle="-",
            marker="",
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(
            1.045,
            place,
            short(label.text),
            color=ink(label.color),
            fontsize=size,
            ha="left",
            va="center",
            transform=axes.transAxes,
        )


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The rising places nearest to the rising ones given, in squares, no two closer than a gap."""
    # With the gaps taken off, that is isotonic regression: pool adjacent violators.
    blocks: list[list[float]] = []  # mean, count
    for index, place in enumerate(places):
        blocks.append([place - index * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * count) / (before[1] + count)
            before[1] += count
    flat = [mean for mean, count in blocks for _ in range(int(count))]
    return [mean + index * gap for index, mean in enumerate(flat)]


def label_points(
    axes: Axes,
    points: Sequence[PointLabel],
    *,
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    size: float = LABEL_SIZE,
) -> None:
    """Names beside points, each where it covers the least of the points, of earlier names and of lines."""
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    scale = figure.dpi / POINTS_PER_INCH
    pixels = [axes.transData.transform((point.x, point.y)) for point in points]
    extent = axes.get_window_extent()
    inside = _Box(extent.x0, extent.y0, extent.x1, extent.y1)
    taken = _Boxes([_around(px, py, 5 * scale, 5 * scale) for px, py in pixels])
    for line in lines:
        corners = [axes.transData.transform(corner) for corner in line]
        for start, end in itertools.pairwise(corners):
            taken.add([_around(px, py, 2 * scale, 3 * scale) for px, py in np.linspace(start, end, 60)])
    # From the right, where names have least room.
    for point, (px, py) in sorted(
        zip(points, pixels, strict=True), key=lambda point_pixels: point_pixels[1][0], reverse=True
    ):
        name = short(point.text)
        width, height = _LETTER_WIDTH * size * len(name) * scale, 1.15 * size * scale
        best: tuple[float, _Placement] | None = None
        for rank, placement in enumerate(_placements(px, py, width, height, scale)):
            cost = taken.overlap(placement.box) + rank
            cost += 3 * (width * height - placement.box.overlap(inside))
            if best is None or cost < best[0]:
                best = (cost, placement)
        assert best is not None
        taken.add([best[1].box])
        _annotate(axes, point, name, best[1], size)


def _around(x: float, y: float, half_width: float, half_height: float) -> _Box:
    return _Box(x - half_width, y - half_height, x + half_width, y + half_height)


def _placements(px: float, py: float, width: float, height: float, scale: float) -> Iterator[_Placement]:
    """Where a name of this size may stand, the nearest first, in pixels about the point ``(px, py)``."""
    for distance in (9.0, 14.0, 22.0):
        for angle in np.deg2rad([0, 40, -40, 180, 140, -140, 90, -90]):
            dx, dy = distance * math.cos(angle), distance * math.sin(angle)
            align: Literal["left", "center", "right"] = "left" if dx > 1 else "right" if dx < -1 else "center"
            x0 = px + dx * scale - {"left": 0.0, "center": width / 2, "right": width}[align]
            y0 = py + dy * scale - height / 2
            yield _Placement((dx, dy), align, _Box(x0, y0, x0 + width, y0 + height))


def _annotate(axes: Axes, point: PointLabel, name: str, placement: _Placement, size: float) -> None:
    is_far = math.hypot(*placement.offset) > 10
    axes.annotate(
        name,
        (point.x, point.y),
        xytext=placement.offset,
        textcoords="offset points",
        ha=placement.align,
        va="center",
        fontsize=size,
        color=ink(point.color),
        arrowprops={"arrowstyle": "-", "color": point.color, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
        if is_far
        else None,
    )
