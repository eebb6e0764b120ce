"""Drawing by name, and everything at once for a site."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evalkit.analysis.figures import SiteFigure
from evalkit.errors import ScoringError, UsageError, unknown_name
from evalkit.plots.frame import figure_bytes
from evalkit.plots.registry import Plot, find_plots
from evalkit.plots.scores import Source, results_of, silent


def draw(name: str, results: Source, **options: Any) -> Figure:
    """A plot by its name, with those options that were given (not None, not empty).

    Raises:
        UsageError: there is no such plot, it cannot be loaded, or it does not take an option that was given.
    """
    table = find_plots()
    if name not in table.plots:
        if name in table.broken:
            raise UsageError(table.broken[name])
        raise unknown_name("plot", name, table.plots, f"Known: {', '.join(table.plots)}.")
    return _draw(table.plots[name], results, options)


def _draw(plot: Plot, results: Source, options: Mapping[str, object]) -> Figure:
    accepted = inspect.signature(plot.draw).parameters
    chosen = {key: value for key, value in options.items() if value not in (None, (), [])}
    for key in chosen:
        if key not in accepted:
            names = [f"--{name}" for name in accepted if name not in ("results", "warn")]
            raise UsageError(f"the plot {plot.name} takes no --{key}; it takes {', '.join(names)}")
    return plot.draw(results, **chosen)


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
    table = find_plots()
    for problem in table.broken.values():
        tell(problem)
    figures = []
    for name, plot in table.plots.items():
        accepted = inspect.signature(plot.draw).parameters
        options: dict[str, object] = {"anchors": tuple(anchors)} if "anchors" in accepted else {}
        if "policy" in accepted:
            options["policy"] = policy
        try:
            figure = _draw(plot, (benchmarks or results) if name == "speed" else read, options)
        except (UsageError, ScoringError) as error:  # e.g. one month alone makes no ranks over months
            tell(f"no plot {name}: {error}")
            continue
        title, conditions = (" ".join(text.get_text().split()) for text in figure.texts[:2])
        files = {suffix: figure_bytes(figure, suffix) for suffix in (".svg", ".png")}
        named = f"--policy {policy}" if options.get("policy", "document") != "document" else ""
        figures.append(SiteFigure(name, title, conditions, files, named))
    return figures
