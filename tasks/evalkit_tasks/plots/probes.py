"""What the plots of probes share: the cells they are about, networks' colours, a task's badge."""

from collections.abc import Sequence
from statistics import fmean, median
from typing import TypeVar

from matplotlib.axes import Axes

from evalkit.analysis.results import Results
from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.schema import TaskCell
from evalkit.errors import UsageError, unknown_name
from evalkit.patterns import matching_names
from evalkit.plots.frame import LABEL_SIZE, TEXT, LineStyle, line_style
from evalkit.plots.lines import choose_lines
from evalkit.plots.scores import Source, Warn, name_of, results_of
from evalkit_tasks.training.experiments import Experiment, group_experiments
from evalkit_tasks.training.theory_rows import theory_of_task

_Cell = TypeVar("_Cell", ProbeCell, TaskCell)

MOST_RIGHT = "the networks that are right most often"
"""Which are shown where not all are."""
_BADGES = {"aperiodic": "#DDEBDD", "solvable": "#DCE6F2", "non-solvable": "#F8DDE1", "unknown": "#EEEEEE"}
"""The colours of the classes of languages."""


def read_experiments(
    results: Source, tasks: Sequence[str], models: Sequence[str], warn: Warn
) -> list[Experiment]:
    """The trained probes among results, seeds together, in the order of tables.

    Raises:
        UsageError: there are none, or a name is not among them.
    """
    cells = [cell for cell in results_of(results, warn).probes if isinstance(cell, ProbeCell)]
    place = name_of(results)
    if not cells:
        raise UsageError(f"{place}: no trained probe here; `evalkit probe train` makes them")
    experiments = group_experiments(chosen_cells(cells, tasks, models, place))
    drawn = [experiment for experiment in experiments if experiment.length_tests]
    if not drawn:
        raise UsageError(f"{place}: no trained probe here was tested on strings of one length")
    return drawn


def chosen_cells(
    cells: Sequence[_Cell], tasks: Sequence[str], models: Sequence[str], place: str
) -> list[_Cell]:
    """The cells of these tasks and models; of all where none is named.

    Raises:
        UsageError: a name is not among theirs; ``place`` is what the message calls the results.
    """
    all_tasks = sorted({cell.task.name for cell in cells})
    all_models = sorted({cell.model.name or "" for cell in cells})
    tasks, models = matching_names(tasks, all_tasks), matching_names(models, all_models)
    for kind, names, all_names in (("task", tasks, all_tasks), ("model", models, all_models)):
        for name in names:
            if name not in all_names:
                raise unknown_name(kind, name, all_names, f"In {place} there are: {', '.join(all_names)}.")
    return [
        cell
        for cell in cells
        if (not tasks or cell.task.name in tasks) and (not models or cell.model.name in models)
    ]


def network_styles(results: Results) -> dict[str, LineStyle]:
    """Of each network the line by which it is recognised in every panel of every plot of these results."""
    experiments = group_experiments(cell for cell in results.probes if isinstance(cell, ProbeCell))
    return {network: line_style(place) for place, network in enumerate(_by_reach(experiments))}


def choose_networks(
    experiments: Sequence[Experiment], *, is_named: bool, warn: Warn
) -> tuple[list[Experiment], str]:
    """The experiments of the networks that have a line, and what the conditions say of the others."""
    chosen = choose_lines(
        (experiment.model for experiment in experiments),
        _by_reach(experiments),
        is_named=is_named,
        warn=warn,
        which=MOST_RIGHT,
    )
    return [experiment for experiment in experiments if experiment.model in chosen.names], chosen.note


def reach(experiment: Experiment) -> float:
    """How good it is over all lengths of its test strings."""
    return fmean(median(experiment.sequence_accuracies(test)) for test in experiment.length_tests)


def _by_reach(experiments: Sequence[Experiment]) -> list[str]:
    """Networks, the one in front whose best experiments are right most often, in the mean of its tasks."""
    best: dict[str, dict[str, float]] = {}
    for experiment in experiments:
        if experiment.length_tests:
            by_task, task = best.setdefault(experiment.model, {}), experiment.spec.task
            by_task[task] = max(reach(experiment), by_task.get(task, 0.0))
    return sorted(best, key=lambda model: (-fmean(best[model].values()), model))


def title_panel(panel: Axes, task: str) -> None:
    """The task's name above a panel, and a badge with the class of its language where it is regular."""
    panel.set_title(task, loc="left", fontweight="bold")
    theory = theory_of_task(task)
    if theory is not None:
        panel.set_title(
            f"{theory.language_class}{' group' if theory.is_group else ''}",
            loc="right",
            fontsize=LABEL_SIZE - 1,
            color=TEXT,
            bbox={"boxstyle": "round,pad=0.3", "facecolor": _BADGES[theory.language_class], "linewidth": 0},
        )
