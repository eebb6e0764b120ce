"""The last step before a figure is written: texts that would stand on one another give way."""

import itertools
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullFormatter, NullLocator
from matplotlib.transforms import Bbox

_LEAST_GAP = 4.0
"""Between the names of two ticks, in pixels of a figure on the screen."""


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Of a line in the figure's font, in typographic points."""
    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0])


def broken(text: str, size: float, max_width: float, weight: str = "normal") -> list[str]:
    """A text in lines that are no wider than so many typographic points; one or more."""
    space = text_width("a a", size, weight) - text_width("aa", size, weight)
    lines: list[str] = []
    used = 0.0
    for word in text.split():
        for part in _parts(word, size, max_width, weight):
            width = text_width(part, size, weight)
            if lines and used + space + width <= max_width:
                lines[-1] += f" {part}"
                used += space + width
            else:
                lines.append(part)
                used = width
    return lines or [""]


def _parts(word: str, size: float, max_width: float, weight: str) -> list[str]:
    """A word, in parts where it is wider than a line."""
    width = text_width(word, size, weight)
    if width <= max_width or len(word) < 2:
        return [word]
    middle = max(1, min(len(word) - 1, int(len(word) * max_width / width)))
    ends = (word[:middle], word[middle:])
    return [part for end in ends for part in _parts(end, size, max_width, weight)]


def settle(figure: Figure) -> None:
    """Keep axes where the layout puts them, with room for all texts; a second time nothing changes.

    Titles and names of axes that are longer than their panel get several lines, and of the names of ticks
    that would stand on one another every second is left out, or more.
    """
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        arrange(figure)
        # Its solver goes through constraints in the order of their addresses: last digits differ by call.
        # By "none" it would leave an engine that does nothing, for which every file is drawn twice.
        with rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
            figure.set_layout_engine(None)
        for axes in figure.axes:
            x0, y0, width, height = (round(float(part), 6) for part in axes.get_position().bounds)
            axes.set_position((x0, y0, width, height))


def arrange(figure: Figure) -> None:
    """Make room for all texts, without keeping axes in their places."""
    figure.draw_without_rendering()
    if sum(_break_texts(axes) for axes in figure.axes):
        figure.draw_without_rendering()
    if sum(_thin(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        figure.draw_without_rendering()


def _break_texts(axes: Axes) -> bool:
    """Break the lines of a panel's names that are longer than its part of the figure; whether any were."""
    spec = axes.get_subplotspec()
    if spec is None:  # of a scale beside another panel
        return False
    figure = axes.get_figure(root=True)
    assert figure is not None
    slot = Bbox.from_extents(0, 0, figure.bbox.width, figure.bbox.height)
    num_columns, column = spec.get_gridspec().ncols, spec.colspan.start
    slot.x0, slot.x1 = (figure.bbox.width * end / num_columns for end in (column, column + 1))
    area = axes.get_window_extent()
    center = (area.x0 + area.x1) / 2
    below = axes.xaxis.label
    is_changed = _break(below, below.get_window_extent().width, 2 * min(center - slot.x0, slot.x1 - center))
    beside = axes.yaxis.label
    is_changed |= _break(beside, beside.get_window_extent().height, max(area.height, slot.width / 3))
    for title in (axes.title, axes._left_title, axes._right_title):  # type: ignore[attr-defined]
        extent = title.get_window_extent()
        is_changed |= _break(title, extent.width, slot.x1 - area.x0)
    return is_changed


def _break(text: Text, length: float, room: float) -> bool:
    if length <= room:
        return False
    figure = text.get_figure(root=True)
    assert figure is not None
    width, size = 0.94 * room / figure.dpi * 72, float(text.get_fontsize())
    lines = text.get_text().split("\n")
    text.set_text("\n".join(part for line in lines for part in broken(line, size, width, _weight(text))))
    return True


def _weight(text: Text) -> str:
    return str(text.get_fontweight())


def _thin(axis: Axis) -> bool:
    """Leave out names of ticks until no two touch, those of the lesser ones first; whether any was."""
    part, gap = (0, _LEAST_GAP) if isinstance(axis, XAxis) else (1, 0.0)
    major, minor = (
        _spans(axis, labels, part) for labels in (axis.get_majorticklabels(), axis.get_minorticklabels())
    )
    if any(label.get_rotation() % 90 for label in axis.get_majorticklabels()):
        return False
    is_changed = False
    if minor and not _is_clear(sorted(major + minor), gap):
        axis.set_minor_formatter(NullFormatter())
        is_changed = True
    step = next(step for step in range(1, len(major) + 2) if _is_clear(sorted(major)[::step], gap))
    if step > 1:
        _take_every(axis, step)
    return is_changed or step > 1


def _spans(axis: Axis, labels: Sequence[Text], part: int) -> list[tuple[float, float]]:
    """Where the names of ticks in view begin and end along their axis, in pixels."""
    low, high = sorted(axis.get_view_interval())
    seen = [label for label in labels if low <= label.get_position()[part] <= high and label.get_text()]
    extents = [label.get_window_extent() for label in seen]
    return [(box.x0, box.x1) if part == 0 else (box.y0, box.y1) for box in extents]


def _take_every(axis: Axis, step: int) -> None:
    low, high = sorted(axis.get_view_interval())
    formatter = axis.get_major_formatter()
    locations = [float(place) for place in axis.get_majorticklocs()]
    if isinstance(formatter, FixedFormatter):
        words = dict(zip(locations, formatter.seq, strict=False))
        axis.set_major_formatter(FuncFormatter(lambda place, _: words.get(place, "")))
    axis.set_major_locator(FixedLocator([place for place in locations if low <= place <= high][::step]))
    axis.set_minor_locator(NullLocator())


def _is_clear(ends: Sequence[tuple[float, float]], gap: float) -> bool:
    """Whether no two of successive spans touch."""
    return all(after[0] - before[1] >= gap for before, after in itertools.pairwise(ends))
