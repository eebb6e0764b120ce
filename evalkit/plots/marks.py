"""The numbers of a figure and where they stand: for pages where they are pointed at, and for spreadsheets."""

import csv
import io

from matplotlib.axes import Axes

from evalkit.analysis.figures import FigureMarks, Panel, PlacedMark
from evalkit.plots.frame import Mark, NotebookFigure
from evalkit.plots.settling import settle
from evalkit.spreadsheets import spreadsheet_text

_DIGITS = 5
"""Of places: a hundredth of a pixel."""


def placed_marks(figure: NotebookFigure) -> FigureMarks | None:
    """What a figure shows, at the places of its file; None where it kept nothing."""
    if not figure.marks:
        return None
    settle(figure)
    all_axes = list(dict.fromkeys(axes for axes, _ in figure.marks))
    colors: dict[str, str] = {}
    for _, mark in figure.marks:
        colors.setdefault(mark.series, mark.color)
    series = {name: place for place, name in enumerate(colors)}
    panels = []
    for axes in all_axes:
        (x0, y0), (x1, y1) = (map(float, corner) for corner in axes.get_position().get_points())
        title = axes.get_title(loc="left").replace("\n", " ")
        panels.append(Panel(title, (_share(x0), _share(1 - y1), _share(x1), _share(1 - y0))))
    marks = []
    for axes, mark in figure.marks:
        to_figure = axes.transData + figure.transFigure.inverted()
        x, y = (float(part) for part in to_figure.transform((mark.x, mark.y)))
        unit = (axes.get_xlabel() if mark.is_sideways else axes.get_ylabel()).replace("\n", " ")
        marks.append(
            PlacedMark(
                all_axes.index(axes),
                series[mark.series],
                mark.subject,
                _share(x),
                _share(1 - y),
                *mark.number,
                unit,
                _ends(axes, mark),
                mark.is_joined,
            )
        )
    width, height = figure.get_size_inches()
    return FigureMarks(_share(height / width), panels, list(colors.items()), marks)


def _ends(axes: Axes, mark: Mark) -> tuple[float, float, float, float] | None:
    """Of an interval, as far as it is in view."""
    if mark.number.low is None or mark.number.high is None:
        return None
    box, to_figure = axes.get_position(), axes.transData + axes.figure.transFigure.inverted()
    bounds: list[float] = []
    for end in (mark.number.low / mark.per_unit, mark.number.high / mark.per_unit):
        x, y = (
            float(part) for part in to_figure.transform((end, mark.y) if mark.is_sideways else (mark.x, end))
        )
        bounds += [_share(min(max(x, box.x0), box.x1)), _share(1 - min(max(y, box.y0), box.y1))]
    return bounds[0], bounds[1], bounds[2], bounds[3]


def csv_of(marks: FigureMarks) -> bytes:
    """The numbers as a table for spreadsheets, with all digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["panel", "series", "number of", "value", "low", "high", "unit"])
    for mark in marks.marks:
        names = (marks.panels[mark.panel].title, marks.series[mark.series][0], mark.subject)
        numbers = ("" if number is None else repr(number) for number in (mark.value, mark.low, mark.high))
        writer.writerow([*map(spreadsheet_text, names), *numbers, spreadsheet_text(mark.unit)])
    return buffer.getvalue().encode("utf-8")


def _share(number: float) -> float:
    return round(number, _DIGITS) + 0.0
