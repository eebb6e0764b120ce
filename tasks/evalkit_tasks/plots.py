"""Plots of trained probes: how far beyond its training a network tracks a state, and with how many layers.

`evalkit plot` and the site find them under the entry-point group ``evalkit.plots``; drawn are the cells that
``evalkit probe train`` writes.
"""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from evalkit.cells.probe_schema import ProbeCell
from evalkit.errors import UsageError, unknown_name
from evalkit.fields import to_json
from evalkit.plots.frame import FAINT, LABEL_SIZE, line_style, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.panels import panels
from evalkit.plots.registry import Plot
from evalkit.plots.scores import Source, Warn, name_of, results_of, silent
from evalkit_tasks.training.experiments import (
    NO_SWEEP,
    SOLVED_ACCURACY,
    Experiment,
    LayerSweep,
    fewest_layers,
    group_experiments,
    layer_sweeps,
)


class _Named(NamedTuple):
    """An experiment, or the first of a sweep, under the name that its line has."""

    experiment: Experiment
    name: str
    style: int
    """Number of its colour and dashes, by which it is recognised in every panel."""


@styled
def probe_lengths(
    results: Source, *, tasks: Sequence[str] = (), models: Sequence[str] = (), warn: Warn = silent
) -> Figure:
    """Sequence accuracy against the length of the test strings, a panel per task.

    Args:
        results: what ``evalkit probe train --output`` wrote.
        tasks: names; empty: all.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: no trained probe, or a name is not among them.
    """
    experiments = _read_experiments(results, tasks, models, warn)
    by_task: dict[str, list[_Named]] = {}
    for line in _named(experiments, tell_layers=True):
        by_task.setdefault(line.experiment.spec.task, []).append(line)
    figure, axes = panels(
        "How far beyond its training length each network tracks a state",
        "share of test strings with every answer right, higher is better; lines: median of seeds, bands: "
        "from the worst seed to the best; dashed: the longest string in training",
        num_panels=len(by_task),
        most_lines=max(map(len, by_task.values())),
    )
    for panel, (task, panel_lines) in zip(axes, by_task.items(), strict=True):
        ends = [_draw_accuracies(panel, line) for line in panel_lines]
        for length in sorted({line.experiment.spec.train_length for line in panel_lines}):
            panel.axvline(length, color=FAINT, linewidth=0.8, linestyle=(0, (3, 2)))
        panel.set_ylim(-0.04, 1.04)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_ylabel("strings right, higher is better")
        _finish_panel(panel, task, [line.experiment for line in panel_lines], ends)
    return figure


def _draw_accuracies(panel: Axes, line: _Named) -> EndLabel:
    """The median seed as a line, the others as a band; returns the line's label."""
    style = line_style(line.style)
    lengths = list(map(int, line.experiment.length_tests))
    seeds = [line.experiment.sequence_accuracies(test) for test in line.experiment.length_tests]
    medians = [median(accuracies) for accuracies in seeds]
    panel.plot(lengths, medians, color=style["color"], linestyle=style["linestyle"], marker=style["marker"])
    panel.fill_between(
        lengths, list(map(min, seeds)), list(map(max, seeds)), color=style["color"], alpha=0.15, linewidth=0
    )
    return EndLabel(medians[-1], line.name, style["color"], lengths[-1])


@styled
def min_layers(
    results: Source, *, tasks: Sequence[str] = (), models: Sequence[str] = (), warn: Warn = silent
) -> Figure:
    """The fewest layers at which the median seed reaches 90 % sequence accuracy, by length and task.

    Args:
        results: what ``evalkit probe train --output`` wrote.
        tasks: names; empty: all.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: no trained probe, no network with several numbers of layers, or an unknown name.
    """
    experiments = _read_experiments(results, tasks, models, warn)
    sweeps = layer_sweeps(experiments)
    if not sweeps:
        raise UsageError(f"{name_of(results)}: {NO_SWEEP}")
    by_task: dict[str, list[tuple[_Named, LayerSweep]]] = {}
    lines = _named([sweep.experiments[0] for sweep in sweeps], tell_layers=False)
    for line, sweep in zip(lines, sweeps, strict=True):
        by_task.setdefault(line.experiment.spec.task, []).append((line, sweep))
    figure, axes = panels(
        "The fewest layers that track a state",
        f"layers at which the median seed answers {SOLVED_ACCURACY:.0%} of the test strings without a mistake"
        ", lower is better; hollow, above the line: not even with the most that were tried"
        + _unswept(experiments, sweeps),
        num_panels=len(by_task),
        most_lines=max(map(len, by_task.values())),
    )
    for panel, (task, panel_lines) in zip(axes, by_task.items(), strict=True):
        most_layers = max(max(sweep.layers_tried) for _, sweep in panel_lines)
        # Lines that would lie on each other are side by side.
        shifts = [0.07 * (place - (len(panel_lines) - 1) / 2) for place in range(len(panel_lines))]
        ends = [
            _draw_fewest_layers(panel, line, sweep, most_layers, shift)
            for (line, sweep), shift in zip(panel_lines, shifts, strict=True)
        ]
        panel.axhline(most_layers + 0.5, color=FAINT, linewidth=0.8)
        panel.set_ylim(0.5, most_layers + 1.5)
        panel.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        panel.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _, top=most_layers: f"> {top}" if value > top else f"{value:.0f}")
        )
        panel.set_ylabel("layers, lower is better")
        _finish_panel(panel, task, [line.experiment for line, _ in panel_lines], ends)
    return figure


def _draw_fewest_layers(
    panel: Axes, line: _Named, sweep: LayerSweep, most_layers: int, shift: float
) -> EndLabel:
    """The fewest layers by length, hollow above the most where none suffices; returns the line's label."""
    style = line_style(line.style)
    fewest = fewest_layers(sweep)
    lengths = [int(point.test) for point in fewest]
    ys = [(point.layers or most_layers + 1) + shift for point in fewest]
    panel.plot(lengths, ys, color=style["color"], linestyle=style["linestyle"], linewidth=1.3)
    for point, length, y in zip(fewest, lengths, ys, strict=True):
        face = "white" if point.layers is None else style["color"]
        panel.plot([length], [y], marker=style["marker"], color=style["color"], markerfacecolor=face)
    return EndLabel(ys[-1], line.name, style["color"], lengths[-1])


def _unswept(experiments: Sequence[Experiment], sweeps: Sequence[LayerSweep]) -> str:
    """The networks that are in no sweep, by task, and why; nothing where there are none."""
    swept = {id(experiment) for sweep in sweeps for experiment in sweep.experiments}
    by_task: dict[str, list[str]] = {}
    for experiment in experiments:
        if id(experiment) not in swept:
            by_task.setdefault(experiment.spec.task, []).append(experiment.model)
    names = "; ".join(f"{task}: {', '.join(dict.fromkeys(models))}" for task, models in by_task.items())
    return f"; not drawn, for they were trained with one number of layers alone: {names}" if names else ""


def _read_experiments(
    results: Source, tasks: Sequence[str], models: Sequence[str], warn: Warn
) -> list[Experiment]:
    """The trained probes among results, seeds together, in the order of the names of tasks and networks.

    Raises:
        UsageError: there are none, or a name is not among them.
    """
    cells = [cell for cell in results_of(results, warn).probes if isinstance(cell, ProbeCell)]
    place = name_of(results)
    if not cells:
        raise UsageError(f"{place}: no trained probe here; `evalkit probe train` makes them")
    known_tasks = sorted({cell.task.name for cell in cells})
    known_models = sorted({cell.model.name for cell in cells})
    for kind, names, known_names in (("task", tasks, known_tasks), ("model", models, known_models)):
        for name in names:
            if name not in known_names:
                hint = f"In {place} there are: {', '.join(known_names)}."
                raise unknown_name(kind, name, known_names, hint)
    experiments = group_experiments(
        cell
        for cell in cells
        if (not tasks or cell.task.name in tasks) and (not models or cell.model.name in models)
    )
    drawn = [experiment for experiment in experiments if experiment.length_tests]
    if not drawn:
        raise UsageError(f"{place}: no trained probe here was tested on strings of one length")
    return sorted(
        drawn,
        key=lambda experiment: (
            experiment.spec.task,
            experiment.model,
            experiment.spec.num_layers,
            sorted(_setting(experiment).items()),
        ),
    )


def _setting(experiment: Experiment) -> dict[str, str]:
    """Everything but task, network, layers and seed, in words."""
    setting = {
        name: repr(value)
        for name, value in to_json(experiment.spec).items()
        if name not in ("task", "model", "num_layers", "seed")
    }
    return setting | {"trainer_version": str(experiment.cells[0].trainer_version)}


def _named(experiments: Sequence[Experiment], *, tell_layers: bool) -> list[_Named]:
    """Experiments under the network's name, and what else sets them apart within their task."""
    names = []
    for experiment in experiments:
        rivals = [
            rival
            for rival in experiments
            if (rival.spec.task, rival.model) == (experiment.spec.task, experiment.model)
        ]
        words = [experiment.model]
        num_layers = experiment.spec.num_layers
        if tell_layers and len({rival.spec.num_layers for rival in rivals}) > 1:
            words.append(f"{num_layers} layer{'s' if num_layers > 1 else ''}")
        settings = [_setting(rival) for rival in rivals]
        for name, value in sorted(_setting(experiment).items()):
            if len({setting[name] for setting in settings}) > 1:
                words.append(f"{name.replace('_', ' ')} {value.strip(chr(39))}")
        names.append(", ".join(words))
    order = sorted(set(names))
    return [
        _Named(experiment, name, order.index(name))
        for experiment, name in zip(experiments, names, strict=True)
    ]


def _finish_panel(
    panel: Axes, task: str, experiments: Sequence[Experiment], ends: Sequence[EndLabel]
) -> None:
    """The axis of lengths, the panel's title, and the lines' labels, which need the axes as they will be."""
    lengths = sorted({int(test) for experiment in experiments for test in experiment.length_tests})
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_locator(FixedLocator(lengths))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    panel.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.02)
    panel.set_title(task, loc="left", fontweight="bold")
    panel.set_xlabel("letters in a test string")
    label_ends(panel, ends, size=LABEL_SIZE - 1)


probe_lengths_plot = Plot(
    "probe-lengths", "Trained probes: accuracy by the length of test strings.", probe_lengths
)
min_layers_plot = Plot("min-layers", "Trained probes: the fewest layers that track a state.", min_layers)
