"""Plots of trained probes: how far beyond its training a network tracks a state, and with how many layers.

Read are the cells that ``evalkit probe train`` writes.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from evalkit.cells.fields import to_json
from evalkit.cells.probe_schema import ProbeCell
from evalkit.errors import UsageError, unknown_name
from evalkit.plots.frame import FAINT, LABEL_SIZE, frame, line_style, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.scores import Warn, results_of

THRESHOLD = 0.9
"""Sequence accuracy from which a number of layers suffices."""
_MAX_COLUMNS = 3


class Series(NamedTuple):
    """The seeds of one experiment: cells that differ in nothing else."""

    task: str
    model: str
    num_layers: int
    setting: tuple[tuple[str, str], ...]
    """Everything of the spec but task, network, layers and seed."""
    train_length: int
    accuracies: dict[float, list[float]]
    """Letters in a test string (the middle of a range): the sequence accuracy of each seed."""


def read_series(
    results: Path | str, *, tasks: Sequence[str] = (), models: Sequence[str] = (), warn: Warn = lambda _: None
) -> list[Series]:
    """The trained probes under a folder, seeds together.

    Args:
        results: what ``evalkit probe train --output`` wrote.
        tasks: names; empty: all.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: there are none, or a name is not among them.
    """
    groups: dict[tuple[str, str, int, tuple[tuple[str, str], ...]], list[ProbeCell]] = {}
    for cell in results_of(results, warn).probes:
        if isinstance(cell, ProbeCell):
            key = (cell.task.name, cell.model.name, cell.spec.num_layers, _setting(cell))
            groups.setdefault(key, []).append(cell)
    if not groups:
        raise UsageError(
            f"{results}: no trained probe here; `evalkit probe train --output {results}` makes them"
        )
    known_tasks, known_models = sorted({key[0] for key in groups}), sorted({key[1] for key in groups})
    for kind, names, known_names in (("task", tasks, known_tasks), ("model", models, known_models)):
        for name in names:
            if name not in known_names:
                hint = f"In {results} there are: {', '.join(known_names)}."
                raise unknown_name(kind, name, known_names, hint)
    series = []
    for (task, model, num_layers, setting), cells in sorted(groups.items(), key=lambda group: group[0]):
        if (tasks and task not in tasks) or (models and model not in models):
            continue
        accuracies: dict[float, list[float]] = {}
        for cell in cells:
            for length, accuracy in _lengths(cell).items():
                accuracies.setdefault(length, []).append(accuracy)
        series.append(
            Series(
                task,
                model,
                num_layers,
                setting,
                cells[0].spec.train_length,
                dict(sorted(accuracies.items())),
            )
        )
    return series


def _setting(cell: ProbeCell) -> tuple[tuple[str, str], ...]:
    setting = {
        name: repr(value)
        for name, value in to_json(cell.spec).items()
        if name not in ("task", "model", "num_layers", "seed")
    }
    return tuple(sorted(setting.items()))


def _lengths(cell: ProbeCell) -> dict[float, float]:
    """By length: the sequence accuracy. Of tests over a range and of one length, the latter are kept."""
    tests = sorted(cell.tests.values(), key=lambda test: test.longest == test.shortest)
    return {math.sqrt(test.shortest * test.longest): test.sequence_accuracy for test in tests}


@styled
def probe_lengths(
    results: Path | str,
    *,
    tasks: Sequence[str] = (),
    models: Sequence[str] = (),
    warn: Warn = lambda _: None,
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
    series = read_series(results, tasks=tasks, models=models, warn=warn)
    names = _labels(series)
    order = list(dict.fromkeys(sorted(names.values())))
    panels = list(dict.fromkeys(one.task for one in series))
    figure, axes = _panels(
        "How far beyond its training length each network tracks a state",
        "share of test strings with every answer right, higher is better; lines: median of seeds, bands: "
        "from the worst seed to the best; dashed: the longest string in training",
        panels,
        max(sum(one.task == task for one in series) for task in panels),
    )
    for panel, task in zip(axes, panels, strict=False):
        mine = [one for one in series if one.task == task]
        ends = []
        for one in mine:
            style = line_style(order.index(names[id(one)]))
            xs = list(one.accuracies)
            panel.plot(xs, [median(values) for values in one.accuracies.values()], **style)
            panel.fill_between(
                xs,
                [min(values) for values in one.accuracies.values()],
                [max(values) for values in one.accuracies.values()],
                color=style["color"],
                alpha=0.15,
                linewidth=0,
            )
            ends.append(EndLabel(median(one.accuracies[xs[-1]]), names[id(one)], style["color"], xs[-1]))
        _length_axis(panel, sorted({x for one in mine for x in one.accuracies}))
        for length in sorted({one.train_length for one in mine}):
            panel.axvline(length, color=FAINT, linewidth=0.8, linestyle=(0, (3, 2)))
        panel.set_ylim(-0.04, 1.04)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_title(task, loc="left", fontweight="bold")
        panel.set_ylabel("strings right, higher is better")
        panel.set_xlabel("letters in a test string")
        label_ends(panel, ends, size=LABEL_SIZE - 1)
    return figure


@styled
def min_layers(
    results: Path | str,
    *,
    tasks: Sequence[str] = (),
    models: Sequence[str] = (),
    warn: Warn = lambda _: None,
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
    sweeps: dict[tuple[Any, ...], list[Series]] = {}
    for one in read_series(results, tasks=tasks, models=models, warn=warn):
        sweeps.setdefault((one.task, one.model, one.setting), []).append(one)
    sweeps = {key: sweep for key, sweep in sweeps.items() if len(sweep) > 1}
    if not sweeps:
        raise UsageError(
            f"{results}: no network was trained with several numbers of layers and otherwise alike; "
            "`evalkit probe train --layers 1,2,4` does that"
        )
    series = [sweep[0] for sweep in sweeps.values()]
    names = {id(one): name for one, name in zip(series, _labels(series, layers=False).values(), strict=True)}
    order = sorted(set(names.values()))
    panels = list(dict.fromkeys(one.task for one in series))
    figure, axes = _panels(
        "The fewest layers that track a state",
        f"layers at which the median seed answers {THRESHOLD:.0%} of the test strings without a mistake, "
        "lower is better; hollow, above the line: not even with the most that were tried",
        panels,
        max(sum(one.task == task for one in series) for task in panels),
    )
    for panel, task in zip(axes, panels, strict=False):
        mine = [sweep for key, sweep in sweeps.items() if key[0] == task]
        top = max(one.num_layers for sweep in mine for one in sweep)
        ends = []
        for place, sweep in enumerate(mine):
            style = line_style(order.index(names[id(sweep[0])]))
            xs = list(sweep[0].accuracies)
            fewest = [
                fewest_layers({one.num_layers: one.accuracies[x] for one in sweep if x in one.accuracies})
                for x in xs
            ]
            none = top + 1
            # Lines that would lie on each other, side by side.
            shift = 0.07 * (place - (len(mine) - 1) / 2)
            ys = [(none if layers is None else layers) + shift for layers in fewest]
            panel.plot(xs, ys, color=style["color"], linestyle=style["linestyle"], linewidth=1.3)
            for x, y, layers in zip(xs, ys, fewest, strict=True):
                panel.plot(
                    [x],
                    [y],
                    marker=style["marker"],
                    color=style["color"],
                    markerfacecolor="white" if layers is None else style["color"],
                )
            ends.append(EndLabel(ys[-1], names[id(sweep[0])], style["color"], xs[-1]))
        panel.axhline(top + 0.5, color=FAINT, linewidth=0.8)
        _length_axis(panel, sorted({x for sweep in mine for x in sweep[0].accuracies}))
        panel.set_ylim(0.5, top + 1.5)
        panel.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        panel.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _, top=top: f"> {top}" if value > top else f"{value:.0f}")
        )
        panel.set_title(task, loc="left", fontweight="bold")
        panel.set_ylabel("layers, lower is better")
        panel.set_xlabel("letters in a test string")
        label_ends(panel, ends, size=LABEL_SIZE - 1)
    return figure


def fewest_layers(accuracies: dict[int, list[float]]) -> int | None:
    """The fewest layers whose median seed reaches `THRESHOLD`; None if none of those tried does."""
    return min((layers for layers, seeds in accuracies.items() if median(seeds) >= THRESHOLD), default=None)


def _labels(series: Sequence[Series], *, layers: bool = True) -> dict[int, str]:
    """A name per series, by its id: the network's, and what else sets it apart within its task."""
    names = {}
    for one in series:
        rivals = [other for other in series if other.task == one.task and other.model == one.model]
        words = [one.model]
        if layers and len({rival.num_layers for rival in rivals}) > 1:
            words.append(f"{one.num_layers} layer{'s' if one.num_layers > 1 else ''}")
        for setting, value in one.setting:
            if len({dict(rival.setting).get(setting) for rival in rivals}) > 1:
                words.append(f"{setting.replace('_', ' ')} {value.strip(chr(39))}")
        names[id(one)] = ", ".join(words)
    return names


def _panels(title: str, subtitle: str, panels: Sequence[str], most_lines: int) -> tuple[Figure, list[Axes]]:
    num_columns = 2 if len(panels) == 4 else min(_MAX_COLUMNS, len(panels))
    num_rows = -(-len(panels) // num_columns)
    figure, axes = frame(
        title,
        subtitle,
        width=7.2 if num_columns == 1 else 4.4 * num_columns,
        height=num_rows * max(2.6, 0.8 + 0.17 * most_lines),
        num_rows=num_rows,
        num_columns=num_columns,
    )
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    return figure, axes


def _length_axis(panel: Axes, lengths: Sequence[float]) -> None:
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_locator(FixedLocator(list(lengths)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    panel.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.02)
