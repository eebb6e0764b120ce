"""The plot of the fewest layers against trained length, as the RWKV-7 paper draws it (arXiv 2503.14456)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from evalkit.analysis.estimates import Estimate
from evalkit.displayed import counted
from evalkit.errors import UsageError
from evalkit.plots.frame import LABEL_SIZE, LineStyle, Mark, record, styled
from evalkit.plots.labels import EndLabel, label_ends_of_panels
from evalkit.plots.lines import choose_lines
from evalkit.plots.panels import panels
from evalkit.plots.registry import Plot
from evalkit.plots.scores import Source, Warn, name_of, results_of, silent
from evalkit_tasks.plots.probes import MOST_RIGHT, network_styles, read_experiments, title_panel
from evalkit_tasks.training.experiments import NO_SWEEP, SOLVED_ACCURACY, Experiment
from evalkit_tasks.training.protocols import LayerCurve, LayerPoint, layer_curves

_ABOVE = 0.5
"""By how much a point with too few layers stands above the most that were tried."""


_SHIFT = 0.035
"""Between lines that would lie on each other, in units of the axis."""
_GAP = 0.025
"""Between a marker and the dots of the seeds beside it, in units of the axis."""


@styled
def min_layers(
    results: Source, *, tasks: Sequence[str] = (), models: Sequence[str] = (), warn: Warn = silent
) -> Figure:
    """The fewest layers that suffice against the length they are trained on and tested at, a panel per task.

    Drawn are the networks that were trained under one protocol, that under which there are the most.

    Args:
        results: what ``evalkit probe train --output`` wrote.
        tasks: names; empty: all.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: no trained probe, no network with several numbers of layers, or an unknown name.
    """
    read = results_of(results, warn)
    experiments = read_experiments(read, tasks, models, warn)
    curves = layer_curves(experiments)
    if not curves:
        raise UsageError(f"{name_of(results)}: {NO_SWEEP}")
    styles, names = network_styles(read), [curve.model for curve in curves]
    lines = choose_lines(names, [*styles], is_named=bool(models), warn=warn, which=MOST_RIGHT)
    not_drawn = _not_drawn(experiments, curves)
    curves = [curve for curve in curves if curve.model in lines.names]
    by_task: dict[str, list[LayerCurve]] = {}
    for curve in curves:
        by_task.setdefault(curve.task, []).append(curve)
    figure, axes = panels(
        "The fewest layers that track a state",
        f"layers at which {SOLVED_ACCURACY:.0%} of the test strings of the trained length have every answer "
        "right, lower is better; line: the median seed, dots: each seed; hollow, between two numbers: more "
        "than were tried; at the right above: the class of the task's language"
        f"{not_drawn}{lines.note}",
        num_panels=len(by_task),
        most_lines=max(map(len, by_task.values())),
    )
    labels = []
    for panel, (task, of_task) in zip(axes, by_task.items(), strict=True):
        gap = _GAP * _span(of_task)
        points = [point for curve in of_task for point in curve.points]
        top = max(2.0, *(_height(point, layers) for point in points for layers in point.seeds))
        ends = [
            # Lines that would lie on each other are side by side.
            _draw_curve(
                panel, curve, styles[curve.model], _SHIFT * top * (place - (len(of_task) - 1) / 2), gap
            )
            for place, curve in enumerate(of_task)
        ]
        panel.set_ylim(0.5, top + 0.4)
        panel.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        panel.set_ylabel("layers, lower is better")
        title_panel(panel, task)
        _set_lengths(panel, of_task)
        labels.append((panel, ends))
    label_ends_of_panels(labels, size=LABEL_SIZE - 1)
    return figure


def _draw_curve(panel: Axes, curve: LayerCurve, style: LineStyle, shift: float, gap: float) -> EndLabel:
    """The median seed as a line, each seed as a dot, hollow where none suffices; returns the line's label."""
    color = style["color"]
    lengths = [point.train_length for point in curve.points]
    heights = [_height(point, point.layers) + shift for point in curve.points]
    panel.plot(lengths, heights, color=color, linestyle=style["linestyle"], linewidth=1.4)
    for point, height in zip(curve.points, heights, strict=True):
        subject = f"strings of {point.train_length:,} letters"
        fewest = Estimate(_height(point, point.layers), None, None)
        record(panel, Mark(curve.model, subject, point.train_length, height, fewest, color))
        face = "white" if point.layers is None else color
        panel.plot([point.train_length], [height], marker=style["marker"], color=color, markerfacecolor=face)
        for number, layers in enumerate(sorted(point.seeds, key=lambda layers: _height(point, layers))):
            panel.plot(
                [point.train_length + gap * (number + 1)],
                [_height(point, layers) + shift],
                marker=".",
                markersize=5,
                color=color,
                markeredgewidth=0.8,
                markerfacecolor="white" if layers is None else color,
            )
    return EndLabel(heights[-1], curve.model, color, lengths[-1] + gap * len(curve.points[-1].seeds))


def _span(curves: Sequence[LayerCurve]) -> int:
    """From the shortest training string to the longest; 1 of a single length."""
    lengths = [point.train_length for curve in curves for point in curve.points]
    return max(lengths) - min(lengths) or 1


def _height(point: LayerPoint, layers: int | None) -> float:
    return point.most_tried + _ABOVE if layers is None else float(layers)


def _not_drawn(experiments: Sequence[Experiment], curves: Sequence[LayerCurve]) -> str:
    """How many networks have no curve, a network once for each task; nothing where all have."""
    drawn = {(curve.task, curve.model) for curve in curves}
    number = len({(experiment.spec.task, experiment.model) for experiment in experiments} - drawn)
    return f"; not drawn, for they were trained otherwise: {counted(number, 'network')}" if number else ""


def _set_lengths(panel: Axes, curves: Sequence[LayerCurve]) -> None:
    """The axis of the longest string in training."""
    lengths = sorted({point.train_length for curve in curves for point in curve.points})
    panel.xaxis.set_major_locator(FixedLocator(lengths))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    most_seeds = max(len(point.seeds) for curve in curves for point in curve.points)
    span = _span(curves)
    panel.set_xlim(lengths[0] - 0.04 * span, lengths[-1] + (most_seeds + 1) * _GAP * span)
    panel.set_xlabel("letters in a training and test string")


min_layers_plot = Plot(
    "min-layers", "Trained probes: the fewest layers that track a state, by trained length.", min_layers
)
