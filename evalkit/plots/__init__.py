"""Plots of results, for files and for notebooks.

    from evalkit import plots
    plots.parameters("runs")                                # a matplotlib Figure, shown by notebooks
    plots.save(plots.differences("runs", reference="xz"), Path("differences.svg"))

Each function takes the results that it reads, and options by name; `PLOTS` has them by the names of
``evalkit plot``. Intervals, aggregates and rank intervals are those of the site.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evalkit.analysis.results import read_store
from evalkit.errors import ScoringError, UsageError, unknown_name
from evalkit.plots.frame import check_file, figure_bytes, save
from evalkit.plots.models import differences, heatmap, parameters, ranks
from evalkit.plots.months import months
from evalkit.plots.probes import min_layers, probe_lengths
from evalkit.plots.speed import speed
from evalkit.plots.text import dates, positions
from evalkit.report import SiteFigure

__all__ = [
    "PLOTS",
    "check_file",
    "dates",
    "differences",
    "draw",
    "draw_all",
    "figure_bytes",
    "heatmap",
    "min_layers",
    "months",
    "parameters",
    "positions",
    "probe_lengths",
    "ranks",
    "save",
    "speed",
]

PLOTS: Mapping[str, Callable[..., Figure]] = {
    "parameters": parameters,
    "heatmap": heatmap,
    "positions": positions,
    "dates": dates,
    "differences": differences,
    "ranks": ranks,
    "months": months,
    "probe-lengths": probe_lengths,
    "min-layers": min_layers,
    "speed": speed,
}
"""By name; what ``evalkit plot`` takes."""


def draw(name: str, results: Path | str, **options: Any) -> Figure:
    """A plot by its name, with those options that were given (not None, not empty).

    Raises:
        UsageError: there is no such plot, or it does not take an option that was given.
    """
    if name not in PLOTS:
        raise unknown_name("plot", name, PLOTS, f"Known: {', '.join(PLOTS)}.")
    function = PLOTS[name]
    known = inspect.signature(function).parameters
    given = {key: value for key, value in options.items() if value not in (None, (), [])}
    for key in given:
        if key not in known:
            raise UsageError(
                f"the plot {name} takes no --{key}; it takes "
                f"{', '.join('--' + one for one in known if one not in ('results', 'warn'))}"
            )
    return function(results, **given)


def draw_all(
    results: Path,
    *,
    benchmarks: Path | None = None,
    anchors: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[SiteFigure]:
    """Every plot that the results allow, for a site; under the policy that the site begins with.

    Args:
        results: the folder of the cells.
        benchmarks: where to look for measurements of speed, by default among the cells.
        anchors: the models that chain the months, by default all.
        tell: told which plots cannot be drawn, and why.

    Raises:
        UsageError: there are no whole cells in ``results``.
    """
    # Nothing to draw is one error, not one per plot.
    policy = read_store(results, warn=lambda _: None).policies[0]
    figures = []
    for name, function in PLOTS.items():
        options: dict[str, Any] = {"anchors": tuple(anchors)} if name == "months" else {}
        if "policy" in inspect.signature(function).parameters:
            options["policy"] = policy
        try:
            figure = draw(name, (benchmarks or results) if name == "speed" else results, **options)
        except (UsageError, ScoringError) as error:  # e.g. one month alone makes no ranks over months
            tell(f"no plot {name}: {error}")
            continue
        title, conditions = (" ".join(text.get_text().split()) for text in figure.texts[:2])
        files = {suffix: figure_bytes(figure, suffix) for suffix in (".svg", ".png")}
        named = f"--policy {policy}" if options.get("policy", "document") != "document" else ""
        figures.append(SiteFigure(name, title, conditions, files, named))
    return figures
