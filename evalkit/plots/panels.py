"""Figures of several panels, and axes of time."""

import datetime as dt
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from evalkit.plots.frame import frame

_MAX_COLUMNS = 3
_MAX_TICKS = 7


def panels(
    title: str,
    subtitle: str,
    *,
    num_panels: int,
    most_lines: int,
    max_columns: int = _MAX_COLUMNS,
    least_height: float = 2.6,
) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, each high enough for the labels of so many lines.

    Args:
        title: what the figure is about.
        subtitle: under which conditions.
        num_panels: how many; there are no others.
        most_lines: of any panel, whose names stand at its right.
        max_columns: panels side by side.
        least_height: of a panel, in inches.
    """
    num_columns = min(2 if num_panels == 4 else _MAX_COLUMNS, max_columns, num_panels)
    num_rows = -(-num_panels // num_columns)
    figure, axes = frame(
        title,
        subtitle,
        width=7.2 if num_columns == 1 else 4.4 * num_columns,
        height=num_rows * max(least_height, 0.8 + 0.17 * most_lines),
        num_rows=num_rows,
        num_columns=num_columns,
    )
    for unused in axes[num_panels:]:
        unused.remove()
    return figure, axes[:num_panels]


def place_of(day: dt.date) -> float:
    """Where a day stands on a `time_axis`: in days, so that distances are those of the calendar."""
    return float(day.toordinal())


def time_axis(axes: Axes, days: Sequence[dt.date], label: str) -> None:
    """Make the x axis one of dates, with room for all of these days.

    Args:
        axes: whose points were put at `place_of` their days.
        days: all that are shown.
        label: of the axis.
    """
    first, last = min(days), max(days)
    span = max((last - first).days, 1)
    ticks, length = _ticks(first, last)
    axes.xaxis.set_major_locator(FixedLocator([place_of(day) for day in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda place, _: dt.date.fromordinal(round(place)).isoformat()[:length])
    )
    axes.set_xlim(place_of(first) - 0.06 * span - 0.5, place_of(last) + 0.04 * span + 0.5)
    axes.set_xlabel(label)


def _ticks(first: dt.date, last: dt.date) -> tuple[list[dt.date], int]:
    """Days to be named, and how many letters of ``YYYY-MM-DD`` name them."""
    num_months = 12 * (last.year - first.year) + last.month - first.month
    if num_months < 2:
        step = -(-((last - first).days + 1) // _MAX_TICKS)
        return [first + dt.timedelta(number) for number in range(0, (last - first).days + 1, step)], 10
    steps = (1, 2, 3, 4, 6, 12, 24, 60, 120, 600)
    step = next(step for step in steps if num_months / step <= _MAX_TICKS or step == steps[-1])
    start = 12 * first.year + first.month - 1
    months = range(-(-start // step) * step, start + num_months + 2, step)
    return [dt.date(month // 12, month % 12 + 1, 1) for month in months], 4 if step >= 12 else 7
