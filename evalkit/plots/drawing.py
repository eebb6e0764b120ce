"""Drawing by name, and everything at once for a site."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from evalkit.analysis.figures import SiteFigure
from evalkit.errors import ScoringError, UsageError
from evalkit.plots.frame import figure_bytes
from evalkit.plots.registry import find_plot, find_plots
from evalkit.plots.scores import Source, results_of, silent
from evalkit.scoring.policy import DEFAULT_POLICY


def draw(name: str, results: Source, **options: object) -> Figure:
    """A plot by its name; options are those of its function.

    Raises:
        UsageError: there is no such plot, it cannot be loaded, or the results do not allow it.
    """
    return find_plot(name).draw(results, **options)


def draw_all(
    results: Source,
    *,
    benchmarks: Path | None = None,
    anchors: Sequence[str] = (),
    tell: Callable[[str], None] = silent,
) -> list[SiteFigure]:
    """Every plot that the results allow, for a site; under the policy that the site begins with.

    Args:
        results: the cells, read already or in their folder.
        benchmarks: where to look for measurements of speed, by default among the cells.
        anchors: the models that chain the months, by default all.
        tell: told which plots cannot be drawn, and why.

    Raises:
        UsageError: there are no whole cells in ``results``.
    """
    read = results_of(results)  # nothing to draw is one error, not one per plot
    policy = read.policies[0]
    possible_options = {"policy": policy, "anchors": tuple(anchors), "benchmarks": benchmarks}
    table = find_plots()
    for problem in table.broken.values():
        tell(problem)
    figures = []
    for name, plot in table.plots.items():
        accepted = inspect.signature(plot.draw).parameters
        options = {key: value for key, value in possible_options.items() if key in accepted}
        try:
            figure = plot.draw(read, **options)
        except (UsageError, ScoringError) as error:  # e.g. one month alone makes no ranks over months
            tell(f"no plot {name}: {error}")
            continue
        title, conditions = (" ".join(text.get_text().split()) for text in figure.texts[:2])
        files = {suffix: figure_bytes(figure, suffix) for suffix in (".svg", ".png")}
        named = f"--policy {policy}" if options.get("policy", DEFAULT_POLICY) != DEFAULT_POLICY else ""
        figures.append(SiteFigure(name, title, conditions, files, named))
    return figures
