"""Names beside what they name, in place of legends: at lines' ends, beside points, clear of each other."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from evalkit.plots.frame import LABEL_SIZE, POINTS_PER_INCH, ink
from evalkit.plots.names import MAX_COLUMNS, short
from evalkit.plots.settling import arrange, text_width

_LINE_HEIGHT = 1.4
"""From one name to the next below it, in units of their size."""
_MAX_SHARE = 0.45
"""Of a panel's width, for the names at its right."""
_LEAST_COLUMNS = 10
"""However narrow a panel is."""


class EndLabel(NamedTuple):
    """A line's name, to be written at its right end."""

    y: float
    """Where the line ends."""
    text: str
    color: str
    x: float | None = None
    """Where the line ends; None: at the right edge."""
    suffix: str = ""
    """Behind the name, however short that is cut."""


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


def label_ends(axes: Axes, labels: Sequence[EndLabel], *, size: float = LABEL_SIZE) -> list[Artist]:
    """Names to the right of the axes, as close to their lines' ends as they can be without touching.

    They stay beside the axes, above the names of ticks; where there are more than have room, those in front
    are written. Returns the texts and the lines that lead to them.
    """
    if not labels:
        return []
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    return _write_ends(axes, labels, size)


def label_ends_of_panels(
    panels: Sequence[tuple[Axes, Sequence[EndLabel]]], *, size: float = LABEL_SIZE
) -> None:
    """`label_ends` for all panels of a figure, which is laid out once and not for every panel again."""
    if panels:
        panels[0][0].figure.draw_without_rendering()  # type: ignore[union-attr]
    for axes, labels in panels:
        _write_ends(axes, labels, size)


def _write_ends(axes: Axes, labels: Sequence[EndLabel], size: float) -> list[Artist]:
    """Names at the right of axes that are laid out."""
    artists: list[Artist] = []
    height = axes.get_window_extent().height / axes.figure.dpi * POINTS_PER_INCH
    gap = size * _LINE_HEIGHT / height
    written = labels[: int(1 / gap) + 1]
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((1.0 if label.x is None else label.x, label.y)) for label in written]
    order = sorted(range(len(written)), key=lambda index: (float(ends[index][1]), written[index].text))
    places = spread([float(ends[index][1]) for index in order], gap, 0.0, 1.0)
    max_width = _MAX_SHARE * _panel_width(axes)
    for index, place in zip(order, places, strict=True):
        label, (x, y) = written[index], ends[index]
        artists += axes.plot(
            [1.0 if label.x is None else float(x), 1.015, 1.035],
            [float(y), place, place],
            color=label.color,
            linewidth=0.6,
            alpha=0.7,
            linestyle="-",
            marker="",
            transform=axes.transAxes,
            clip_on=False,
        )
        text = axes.text(
            1.045,
            place,
            fitted(label, size, max_width),
            color=ink(label.color),
            fontsize=size,
            ha="left",
            va="center",
            transform=axes.transAxes,
        )
        artists.append(text)
    return artists


def _panel_width(axes: Axes) -> float:
    """Of a panel with everything beside its axes, in typographic points."""
    spec = axes.get_subplotspec()
    num_columns = spec.get_gridspec().ncols if spec else 1
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure.get_figwidth() / num_columns * POINTS_PER_INCH


def fitted(label: EndLabel, size: float, max_width: float) -> str:
    """A name no wider than so many points."""
    text = short(label.text, label.suffix)
    for max_columns in range(MAX_COLUMNS - 2, _LEAST_COLUMNS, -2):
        if text_width(text, size) <= max_width:
            break
        text = short(label.text, label.suffix, max_columns=max_columns)
    return text


def spread(
    places: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf
) -> list[float]:
    """The rising places nearest to the rising ones given, in squares, no two closer than a gap.

    Args:
        places: rising.
        gap: between two.
        low: the least place; there must be room for all between it and ``high``.
        high: the greatest.
    """
    # With the gaps taken off, that is isotonic regression: pool adjacent violators.
    blocks: list[list[float]] = []  # mean, count
    for index, place in enumerate(places):
        blocks.append([place - index * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * count) / (before[1] + count)
            before[1] += count
    end = max(low, high - gap * (len(places) - 1))
    flat = [min(max(mean, low), end) for mean, count in blocks for _ in range(int(count))]
    return [mean + index * gap for index, mean in enumerate(flat)]


def label_points(
    axes: Axes,
    points: Sequence[PointLabel],
    *,
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    ends: Sequence[EndLabel] = (),
    size: float = LABEL_SIZE,
) -> int:
    """Names beside points, each where it covers none of the points, of earlier names and of lines.

    Where there is no such place for a name it stands at the right, together with those of ``ends``, as by
    `label_ends`. Returns how many have no room there either.
    """
    at_right: list[PointLabel] = []
    while True:
        labels = [*ends, *(EndLabel(point.y, point.text, point.color, point.x) for point in at_right)]
        artists = label_ends(axes, labels, size=size)
        edge = axes.get_xlim()[1]
        leaders = [[(point.x, point.y), (edge, point.y)] for point in at_right]
        placed, crowded = _place(axes, points, at_right, [*lines, *leaders], size)
        if not crowded:
            for point, placement in placed:
                _annotate(axes, point, short(point.text), placement, size)
            return len(labels) - len(artists) // 2
        for artist in artists:  # with more names at the right the axes are narrower
            artist.remove()
        at_right += crowded


def _place(
    axes: Axes,
    points: Sequence[PointLabel],
    at_right: Sequence[PointLabel],
    lines: Sequence[Sequence[tuple[float, float]]],
    size: float,
) -> tuple[list[tuple[PointLabel, _Placement]], list[PointLabel]]:
    """Where names may stand that are not at the right, and the points for whose names there is no place."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    arrange(figure)
    scale = figure.dpi / POINTS_PER_INCH
    pixels = [axes.transData.transform((point.x, point.y)) for point in points]
    extent = axes.get_window_extent()
    inside = _Box(extent.x0, extent.y0, extent.x1, extent.y1)
    taken = _Boxes([_around(px, py, 5 * scale, 5 * scale) for px, py in pixels])
    for line in lines:
        corners = [axes.transData.transform(corner) for corner in line]
        for start, end in itertools.pairwise(corners):
            taken.add([_around(px, py, 2 * scale, 3 * scale) for px, py in np.linspace(start, end, 60)])
    placed: list[tuple[PointLabel, _Placement]] = []
    crowded: list[PointLabel] = []
    # From the right, where names have least room.
    for point, (px, py) in sorted(
        zip(points, pixels, strict=True), key=lambda point_pixels: point_pixels[1][0], reverse=True
    ):
        if point in at_right:
            continue
        width, height = 1.03 * text_width(short(point.text), size) * scale, _LINE_HEIGHT * size * scale
        for placement in _placements(px, py, width, height, scale):
            is_inside = placement.box.overlap(inside) > (1 - 1e-9) * width * height
            if is_inside and taken.overlap(placement.box) == 0:
                taken.add([placement.box])
                placed.append((point, placement))
                break
        else:
            crowded.append(point)
    return placed, crowded


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
