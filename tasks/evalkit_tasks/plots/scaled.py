"""The plot of tasks by networks: scaled accuracy under one protocol."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evalkit.analysis.estimates import Estimate
from evalkit.displayed import counted
from evalkit.errors import UsageError
from evalkit.plots.frame import LABEL_SIZE, TEXT, Mark, frame, record, styled
from evalkit.plots.names import short
from evalkit.plots.registry import Plot
from evalkit.plots.scores import Source, Warn, name_of, results_of, silent
from evalkit_tasks.plots.probes import network_styles, read_experiments
from evalkit_tasks.training.experiments import Experiment
from evalkit_tasks.training.networks.architectures import ARCHITECTURES
from evalkit_tasks.training.protocols import under_one_protocol


class _Map(NamedTuple):
    """Networks by tasks, at one multiple of the training length."""

    multiple: int
    values: NDArray[np.float64]
    """``[networks, tasks]``: the median seed's scaled accuracy; NaN where there is none."""
    is_at_majority: NDArray[np.bool_]
    """Whether no seed can be told from the best constant answer."""


@styled
def probe_heatmap(
    results: Source, *, tasks: Sequence[str] = (), models: Sequence[str] = (), warn: Warn = silent
) -> Figure:
    """Networks by tasks: scaled accuracy of labels, at the training length and at the longest tested.

    Drawn are the cells of one protocol, that of which there are the most.

    Args:
        results: what ``evalkit probe train --output`` wrote.
        tasks: names; empty: all.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: no trained probe, fewer than two networks or tasks under one protocol, or an unknown name.
    """
    read = results_of(results, warn)
    styles = network_styles(read)
    experiments = read_experiments(read, tasks, models, warn)
    drawn = under_one_protocol(experiments)
    names = {experiment.spec.task for experiment in drawn}
    all_tasks = [
        task for task in dict.fromkeys(experiment.spec.task for experiment in experiments) if task in names
    ]
    all_models = list(dict.fromkeys(experiment.model for experiment in sorted(drawn, key=_rank)))
    if len(all_tasks) < 2 or len(all_models) < 2:
        raise UsageError(
            f"{name_of(results)}: a heat map needs two networks and two tasks or more under one protocol"
        )
    spec = drawn[0].spec
    lengths = {experiment.spec.task: experiment.spec.train_length for experiment in drawn}
    maps = [_map(drawn, all_models, all_tasks, multiple) for multiple in _multiples(spec.test_multiples)]
    num_seeds = sorted({len(experiment.cells) for experiment in drawn})
    figure, axes = frame(
        "What networks of one size learn, and keep on longer strings",
        "scaled accuracy of labels, higher is better: 0 is guessing, 1 all right; the median of "
        f"{'–'.join(map(str, dict.fromkeys((num_seeds[0], num_seeds[-1]))))} seeds; "
        f"{counted(spec.num_layers, 'layer')} of width {spec.width}, at most {spec.num_steps:,} steps of "
        f"{spec.batch_size} strings; T: their longest; ~: cannot be told from the best constant answer; "
        "blank: not trained"
        f"{_not_drawn(experiments, drawn)}",
        width=min(16.0, max(7.2, 2.2 + 1.3 * len(all_tasks))),
        height=min(16.0, len(maps) * (1.3 + 0.3 * len(all_models))),
        num_rows=len(maps),
        sharex=True,
    )
    for panel, of_multiple in zip(axes, maps, strict=True):
        mesh = panel.pcolormesh(
            np.clip(of_multiple.values, 0, 1), cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1
        )
        _prepare(
            panel, of_multiple.multiple, all_models, [f"{task}, T {lengths[task]}" for task in all_tasks]
        )
        _write_numbers(panel, of_multiple)
        _record(panel, of_multiple, {name: styles[name]["color"] for name in all_models}, all_tasks)
        bar = figure.colorbar(mesh, ax=panel, pad=0.02, aspect=max(8, 2 * len(all_models)), shrink=0.95)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
    return figure


def _rank(experiment: Experiment) -> tuple[int, str]:
    """The place of its network among ours, those of other packages last."""
    models = [*ARCHITECTURES]
    model = experiment.spec.model
    return models.index(model) if model in models else len(models), experiment.model


def _multiples(tested: Sequence[int]) -> list[int]:
    """The multiples of the training length that are drawn: the first and the last."""
    return sorted({min(tested), max(tested)})


def _map(
    experiments: Sequence[Experiment], models: Sequence[str], tasks: Sequence[str], multiple: int
) -> _Map:
    values = np.full((len(models), len(tasks)), np.nan)
    is_at_majority = np.zeros(values.shape, np.bool_)
    for experiment in experiments:
        place = models.index(experiment.model), tasks.index(experiment.spec.task)
        name = str(multiple * experiment.spec.train_length)
        if name in experiment.length_tests:
            tests = [cell.tests[name] for cell in experiment.cells]
            values[place] = median(test.scaled_token_accuracy for test in tests)
            is_at_majority[place] = all(
                test.token_accuracy_low <= test.majority_label_accuracy for test in tests
            )
    return _Map(multiple, values, is_at_majority)


def _prepare(panel: Axes, multiple: int, models: Sequence[str], tasks: Sequence[str]) -> None:
    panel.invert_yaxis()
    panel.grid(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=0)
    panel.set_yticks(np.arange(len(models)) + 0.5, [short(model) for model in models])
    panel.set_xticks(
        np.arange(len(tasks)) + 0.5,
        [short(task) for task in tasks],
        rotation=30,
        ha="right",
        rotation_mode="anchor",
    )
    times = "strings of the trained length" if multiple == 1 else f"strings {multiple} times as long"
    panel.set_title(times, loc="left", fontweight="bold")


def _record(panel: Axes, of_multiple: _Map, colors: Mapping[str, str], tasks: Sequence[str]) -> None:
    """Keep the numbers; ``colors`` are the networks', in the order of their rows."""
    for row, (name, color) in enumerate(colors.items()):
        for column, task in enumerate(tasks):
            value = float(of_multiple.values[row, column])
            if np.isfinite(value):
                number = Estimate(value, None, None)
                record(panel, Mark(name, task, column + 0.5, row + 0.5, number, color, False))


def _write_numbers(panel: Axes, of_multiple: _Map) -> None:
    for row, column in np.ndindex(*of_multiple.values.shape):
        value = of_multiple.values[row, column]
        if np.isfinite(value):
            mark = "~" if of_multiple.is_at_majority[row, column] else ""
            panel.text(
                column + 0.5,
                row + 0.5,
                f"{mark}{value:.2f}".replace("-0.00", "0.00").replace("-", "−"),
                ha="center",
                va="center",
                fontsize=LABEL_SIZE,
                color="white" if value > 0.6 else TEXT,
            )


def _not_drawn(experiments: Sequence[Experiment], drawn: Sequence[Experiment]) -> str:
    number = len(experiments) - len(drawn)
    return f"; not drawn: {counted(number, 'experiment')} under other protocols" if number else ""


probe_heatmap_plot = Plot(
    "probe-heatmap", "Trained probes: tasks by networks under one protocol, scaled accuracy.", probe_heatmap
)
