"""What stands on what in a figure, as matplotlib's renderer draws it."""

import itertools
import math
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from evalkit.plots.settling import settle

_DPI = 100  # of evalkit's style
_TOLERANCE = 1.0  # pixel: what anti-aliasing may share


class Collision(NamedTuple):
    """Two things of which one hides a part of the other, or a text beyond the figure."""

    text: str
    on: str


def collisions(figure: Figure) -> list[Collision]:
    """Texts on texts, on the marks of data or on their ends, and beyond the figure's edges."""
    settle(figure)
    figure.draw_without_rendering()
    texts = _texts(figure)
    # Of an annotation, whose own extent has its arrow in it, the text.
    boxes = [(text, Text.get_window_extent(text)) for text in texts]
    found = [
        Collision(first.get_text(), second.get_text())
        for (first, box), (second, other_box) in itertools.combinations(boxes, 2)
        if _collide(first, box, second, other_box)
    ]
    for text, box in boxes:
        if not _is_inside(box, Bbox(figure.bbox.get_points())):
            found.append(Collision(text.get_text(), "edge of the figure"))
    for axes in figure.axes:
        found += _on_marks(axes, [(text, box) for text, box in boxes if text in axes.texts])
    return found


def _texts(figure: Figure) -> list[Text]:
    """All that are drawn: matplotlib keeps names of ticks beyond an axis and does not draw them."""
    of_ticks: set[Text] = set()
    seen: list[Text] = []
    for axes in figure.axes:
        for axis, part in ((axes.xaxis, 0), (axes.yaxis, 1)):
            of_ticks |= {text for tick in axis.findobj(Tick) for text in (tick.label1, tick.label2)}
            low, high = sorted(axis.get_view_interval())
            seen += [
                text for text in axis.get_ticklabels(which="both") if low <= text.get_position()[part] <= high
            ]
    seen += [text for text in figure.findobj(Text) if text not in of_ticks]
    return [text for text in seen if text.get_visible() and text.get_text().strip()]


def _collide(first: Text, box: Bbox, second: Text, other_box: Bbox) -> bool:
    angle = first.get_rotation()
    if angle % 90 and second.get_rotation() == angle:  # slanted names of ticks: their lines are parallel
        gap = abs(box.x1 - other_box.x1) * math.sin(math.radians(angle))
        return bool(gap < float(first.get_fontsize()) * _DPI / 72 - _TOLERANCE)
    return _overlap(box, other_box)


def _overlap(box: Bbox, other_box: Bbox) -> bool:
    width = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
    height = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
    return bool(width > _TOLERANCE and height > _TOLERANCE)


def _is_inside(box: Bbox, area: Bbox) -> bool:
    room = area.padded(_TOLERANCE)
    return bool(room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1)


def _on_marks(axes: Axes, boxes: list[tuple[Text, Bbox]]) -> list[Collision]:
    found = []
    for line in axes.lines:
        if line.get_marker() in ("", "None", None) or line.get_transform() == axes.transAxes:
            continue
        for x, y in axes.transData.transform(line.get_xydata()):
            mark = Bbox.from_bounds(x - 3, y - 3, 6, 6)
            found += [
                Collision(text.get_text(), f"mark at {x:.0f}, {y:.0f}")
                for text, box in boxes
                if _overlap(box, mark)
            ]
    return found
