"""The plot of accuracy against length: how far beyond its training each network tracks a state."""

from collections.abc import Sequence
from statistics import median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from evalkit.analysis.estimates import Estimate
from evalkit.displayed import counted
from evalkit.errors import UsageError
from evalkit.plots.frame import FAINT, LABEL_SIZE, LineStyle, Mark, record, styled
from evalkit.plots.labels import EndLabel, label_ends_of_panels
from evalkit.plots.panels import panels
from evalkit.plots.registry import Plot
from evalkit.plots.scores import Source, Warn, results_of, silent
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.plots.probes import choose_networks, network_styles, reach, read_experiments, title_panel
from evalkit_tasks.training.experiments import Experiment
from evalkit_tasks.training.tasks.catalog import get_task

_LEFT_OUT = "of other layers, lengths or settings, which reach less far or have fewer networks"
_CHANCE, _CONSTANT = "chance", "constant answer"
_NUM_DRAWN = 64
"""Strings by which a task tells how many of its letters are asked about."""
_CLOSE = 0.02
"""Two lines that end so near to each other have one name."""


@styled
def probe_lengths(
    results: Source, *, tasks: Sequence[str] = (), models: Sequence[str] = (), warn: Warn = silent
) -> Figure:
    """Sequence accuracy against the length of the test strings, a panel per task.

    A panel has the networks that were trained on strings of one length, that of which there are the most
    networks, and of each network the training that reaches furthest.

    Args:
        results: what ``evalkit probe train --output`` wrote.
        tasks: names; empty: all.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: no trained probe, or a name is not among them.
    """
    read = results_of(results, warn)
    experiments = read_experiments(read, tasks, models, warn)
    experiments, left_out = choose_networks(experiments, is_named=bool(models), warn=warn)
    by_task: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        by_task.setdefault(experiment.spec.task, []).append(experiment)
    drawn = {task: _comparable(of_task) for task, of_task in by_task.items()}
    num_left = len(experiments) - sum(map(len, drawn.values()))
    figure, axes = panels(
        "How far beyond its training length each network tracks a state",
        "share of test strings with every answer right, higher is better; lines: median of seeds, bands: "
        "from the worst seed to the best; upright: the longest string in training; dashed: what guessing and "
        "the best constant answer get; at the right above: the class of the task's language"
        + (f"; not drawn: {counted(num_left, 'training')} {_LEFT_OUT}" if num_left else "")
        + left_out,
        num_panels=len(drawn),
        most_lines=max(map(len, drawn.values())) + 2,
    )
    styles = network_styles(read)
    labels = []
    for panel, (task, of_task) in zip(axes, drawn.items(), strict=True):
        ends = [_draw_accuracies(panel, line, styles[line.model]) for line in of_task]
        panel.axvline(of_task[0].spec.train_length, color=FAINT, linewidth=0.8, alpha=0.6)
        ends += _draw_guessing(panel, of_task)
        panel.set_ylim(-0.1, 1.05)  # with room for the names of lines that end at 0
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_ylabel("strings right, higher is better")
        title_panel(panel, task)
        _set_lengths(panel, of_task)
        labels.append((panel, ends))
    label_ends_of_panels(labels, size=LABEL_SIZE - 1)
    return figure


def _comparable(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Of each network one, all trained on strings of the same length and labels: where most networks were."""
    groups: dict[tuple[int, str], dict[str, list[Experiment]]] = {}
    for experiment in experiments:
        group = groups.setdefault((experiment.spec.train_length, experiment.spec.labels), {})
        group.setdefault(experiment.model, []).append(experiment)
    _, networks = max(groups.items(), key=lambda group: (len(group[1]), group[0]))
    return [max(of_network, key=_reach) for of_network in networks.values()]


def _reach(experiment: Experiment) -> tuple[float, int]:
    """How good it is over all lengths, and of equals how few its layers are."""
    return reach(experiment), -experiment.spec.num_layers


def _draw_accuracies(panel: Axes, experiment: Experiment, style: LineStyle) -> EndLabel:
    """The median seed as a line, the others as a band; returns the line's label."""
    lengths = list(map(int, experiment.length_tests))
    seeds = [experiment.sequence_accuracies(test) for test in experiment.length_tests]
    medians = [median(accuracies) for accuracies in seeds]
    panel.plot(lengths, medians, color=style["color"], linestyle=style["linestyle"], marker=style["marker"])
    panel.fill_between(
        lengths, list(map(min, seeds)), list(map(max, seeds)), color=style["color"], alpha=0.15, linewidth=0
    )
    suffix = f", {counted(experiment.spec.num_layers, 'layer')}"
    for length, accuracy, values in zip(lengths, medians, seeds, strict=True):
        number = Estimate(accuracy, min(values), max(values))
        subject = f"strings of {length:,} letters"
        record(panel, Mark(experiment.model, subject, length, accuracy, number, style["color"]))
    return EndLabel(medians[-1], experiment.model, style["color"], lengths[-1], suffix)


def _draw_guessing(panel: Axes, experiments: Sequence[Experiment]) -> list[EndLabel]:
    """What guessing and a constant answer get, dashed, as far as cells say it; returns their labels."""
    chances: dict[int, float] = {}
    majorities: dict[int, float] = {}
    for experiment in experiments:
        for test in experiment.length_tests:
            chance, majority = _chance(experiment, test), experiment.cells[0].tests[test].majority
            if chance is not None:
                chances[int(test)] = chance
            if majority is not None:
                majorities[int(test)] = majority.majority_sequence_accuracy
    ends = []
    for name, by_length, dashes in ((_CHANCE, chances, (1, 2)), (_CONSTANT, majorities, (4, 2))):
        if by_length:
            lengths = sorted(by_length)
            heights = [by_length[length] for length in lengths]
            panel.plot(lengths, heights, color=FAINT, linewidth=1.0, linestyle=(0, dashes), zorder=1.5)
            ends.append(EndLabel(heights[-1], name, FAINT, lengths[-1]))
    if len(ends) == 2 and abs(ends[0].y - ends[1].y) < _CLOSE:
        return [ends[1]._replace(text=f"{_CHANCE}, {_CONSTANT}")]
    return ends


def _chance(experiment: Experiment, test: str) -> float | None:
    """The share of strings of which guessing gets every label right; None of a task that there is not."""
    num_labels = float(experiment.cells[0].task.num_labels)
    if experiment.spec.labels == "last":
        return 1 / num_labels
    try:
        task = get_task(experiment.spec.task)
    except UsageError:
        return None
    if task.draw_kind is not None:  # each prefix is asked about
        return num_labels ** -int(test)
    labels = task.label(task.draw(int(test), _NUM_DRAWN, np.random.default_rng(0)))
    return float((num_labels ** -(labels != NOT_SCORED).sum(1)).mean())


def _set_lengths(panel: Axes, experiments: Sequence[Experiment]) -> None:
    """The axis of lengths, doubled at equal steps."""
    lengths = sorted({int(test) for experiment in experiments for test in experiment.length_tests})
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_locator(FixedLocator(lengths))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    panel.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.02)
    panel.set_xlabel("letters in a test string")


probe_lengths_plot = Plot(
    "probe-lengths", "Trained probes: accuracy by the length of test strings.", probe_lengths
)
