"""The plot of asked tasks: how much more often a model is right than what follows no state."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from evalkit.analysis.estimates import Estimate
from evalkit.analysis.task_gains import Gain, gain_of
from evalkit.cells.schema import TaskCell
from evalkit.errors import UsageError
from evalkit.plots.frame import LABEL_SIZE, TEXT, LineStyle, Mark, record, styled
from evalkit.plots.labels import EndLabel, label_ends_of_panels
from evalkit.plots.lines import choose_lines, model_styles
from evalkit.plots.panels import panels
from evalkit.plots.registry import Plot
from evalkit.plots.scores import Source, Warn, name_of, results_of, silent
from evalkit_tasks.plots.probes import chosen_cells

_ALL = "all"
"""The row of a summary that is about every item."""


@styled
def heuristic_gain(
    results: Source, *, tasks: Sequence[str] = (), models: Sequence[str] = (), warn: Warn = silent
) -> Figure:
    """Accuracy less that of a guess or the best heuristic by operations, a panel per task and method.

    Args:
        results: what ``evalkit run --tasks`` wrote.
        tasks: names; empty: all.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: no model was asked a task, or a name is not among them.
    """
    read = results_of(results, warn)
    cells, styles = _asked(read, tasks, models, warn), model_styles(read)
    names = [cell.model.name or "" for cell in cells]
    lines = choose_lines(names, [*styles], is_named=bool(models), warn=warn)
    by_panel: dict[str, list[TaskCell]] = {}
    for cell in (cell for cell in cells if (cell.model.name or "") in lines.names):
        by_panel.setdefault(f"{cell.task.name}: {cell.task.method}", []).append(cell)
    figure, axes = panels(
        "What models track beyond the best fixed heuristic",
        "accuracy less that of a guess or of the best heuristic that follows no state, whichever is better, "
        "in points of percent, by the number of operations, higher is better (heuristics are chosen on other "
        "items than they are judged on, a constant answer among them); bars: 95 % intervals over items"
        f"{lines.note}",
        num_panels=len(by_panel),
        most_lines=max(map(len, by_panel.values())),
    )
    labels = []
    for panel, (title, of_panel) in zip(axes, by_panel.items(), strict=True):
        buckets = list(dict.fromkeys(bucket for cell in of_panel for bucket in _gains(cell)))
        panel.axhline(0, color=TEXT, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1.5)
        ends = []
        for number, cell in enumerate(of_panel):
            shift = min(0.1, 0.8 / len(of_panel)) * (number - (len(of_panel) - 1) / 2)
            ends.append(_draw_gains(panel, cell, buckets, shift, styles[cell.model.name or ""]))
        panel.set_xticks(range(len(buckets)), buckets)
        panel.set_xlim(-0.5, len(buckets) - 0.5)
        panel.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{100 * value:+.0f}" if value else "0")
        )
        panel.set_ylabel("points gained")
        panel.set_xlabel("operations")
        panel.set_title(title, loc="left", fontweight="bold")
        labels.append((panel, ends))
    label_ends_of_panels(labels, size=LABEL_SIZE - 1)
    return figure


def _asked(results: Source, tasks: Sequence[str], models: Sequence[str], warn: Warn) -> list[TaskCell]:
    """The cells of asked tasks, by task, method and model.

    Raises:
        UsageError: there are none, or a name is not among them.
    """
    cells = [cell for cell in results_of(results, warn).probes if isinstance(cell, TaskCell) and _gains(cell)]
    place = name_of(results)
    if not cells:
        raise UsageError(
            f"{place}: no model was asked a task here; `evalkit run --tasks state-tracking` does"
        )
    chosen = chosen_cells(cells, tasks, models, place)
    return sorted(chosen, key=lambda cell: (cell.task.name, cell.task.method, cell.model.name or ""))


def _gains(cell: TaskCell) -> dict[str, Gain]:
    """By bucket, from few operations to many."""
    return {row.bucket: gain_of(row) for row in cell.summary if row.bucket != _ALL}


def _draw_gains(
    panel: Axes, cell: TaskCell, buckets: Sequence[str], shift: float, style: LineStyle
) -> EndLabel:
    """A model's gains as a line with intervals; returns the line's label."""
    color = style["color"]
    gains = list(_gains(cell).values())
    places = [buckets.index(bucket) + shift for bucket in _gains(cell)]
    panel.plot(
        places,
        [gain.value for gain in gains],
        color=color,
        linestyle=style["linestyle"],
        marker=style["marker"],
        linewidth=1.3,
    )
    name = cell.model.name or "unnamed model"
    for place, bucket, gain in zip(places, _gains(cell), gains, strict=True):
        number = Estimate(100 * gain.value, *(end and 100 * end for end in (gain.low, gain.high)))
        record(panel, Mark(name, f"{bucket} operations", place, gain.value, number, color, per_unit=100))
    for place, gain in zip(places, gains, strict=True):
        if gain.low is not None and gain.high is not None:
            panel.plot([place, place], [gain.low, gain.high], color=color, linewidth=1.0, alpha=0.7)
    return EndLabel(gains[-1].value, name, color, places[-1])


heuristic_gain_plot = Plot(
    "heuristic-gain",
    "Asked tasks: accuracy less that of the best heuristic, by the number of operations.",
    heuristic_gain,
)
