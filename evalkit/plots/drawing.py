"""Drawing by name, and everything at once for a site."""

import functools
import gc
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from evalkit.analysis.figures import SiteFigure
from evalkit.analysis.results import Results
from evalkit.errors import ScoringError, UsageError
from evalkit.fonts import warning
from evalkit.garbage import only_what_is_new
from evalkit.plots.frame import NotebookFigure, figure_bytes
from evalkit.plots.lines import LOWEST, model_order
from evalkit.plots.marks import csv_of, placed_marks
from evalkit.plots.registry import Plot, find_plot, find_plots
from evalkit.plots.scores import Source, results_of, silent
from evalkit.scoring.policy import DEFAULT_POLICY


def draw(name: str, results: Source, **options: object) -> Figure:
    """A plot by its name; options are those of its function.

    Raises:
        UsageError: there is no such plot, it cannot be loaded, or the results do not allow it.
    """
    return find_plot(name).draw(results, **options)


@only_what_is_new()
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
    characters: set[str] = set()
    for problem in table.broken.values():
        tell(problem)
    figures = []
    for name, plot in table.plots.items():
        accepted = inspect.signature(plot.draw).parameters
        options = {key: value for key, value in possible_options.items() if key in accepted}
        narrowed = _narrowing(read, policy, plot)
        options |= narrowed
        for kind, names in narrowed.items():
            count, all_names = len(names), len(_ordered(read, policy)[kind])
            tell(f"plot {name}: {count} of {all_names} {kind} are shown, the {_WHICH[kind]}")
        try:
            figure = plot.draw(read, **options, **({"warn": silent} if "warn" in accepted else {}))
        except (UsageError, ScoringError) as error:  # e.g. one month alone makes no ranks over months
            tell(f"no plot {name}: {error}")
            continue
        characters |= set(figure.lacking if isinstance(figure, NotebookFigure) else ())
        title, conditions = (" ".join(text.get_text().split()) for text in figure.texts[:2])
        files = {suffix: figure_bytes(figure, suffix) for suffix in (".svg", ".png")}
        marks = placed_marks(figure) if isinstance(figure, NotebookFigure) else None
        if marks is not None:
            files[".csv"] = csv_of(marks)
        # A figure is a knot of references, and its canvas may hold 40 MB: without this, several wait to go.
        del figure
        gc.collect()
        chosen = [f"--policy {policy}"] if options.get("policy", DEFAULT_POLICY) != DEFAULT_POLICY else []
        chosen += [f"--{kind} {','.join(names)}" for kind, names in narrowed.items()]
        for kind, names in narrowed.items():
            conditions += f"; {len(names)} of {len(_ordered(read, policy)[kind])} {kind}: the {_WHICH[kind]}"
        figures.append(SiteFigure(name, title, conditions, files, " ".join(chosen), marks))
    if characters:
        tell(warning(sorted(characters)))
    return figures


_WHICH = {"models": LOWEST.removeprefix("the "), "corpora": "newest"}


def _narrowing(results: Results, policy: str, plot: Plot) -> dict[str, tuple[str, ...]]:
    """The models and corpora to show, where there are more than a plot has room for."""
    limits = {"models": plot.max_models, "corpora": plot.max_corpora}
    names = _ordered(results, policy)
    return {
        kind: names[kind][:limit]
        for kind, limit in limits.items()
        if limit is not None and len(names[kind]) > limit
    }


@functools.lru_cache(maxsize=2)
def _ordered(results: Results, policy: str) -> dict[str, tuple[str, ...]]:
    """Names of the models under a policy and of the corpora, those that are shown first in front."""
    model_of = {row.label: row.model for row in results.configurations if row.policy in (policy, None)}
    by_date = sorted(results.corpora, key=lambda corpus: corpus.facts.date_to or "", reverse=True)
    return {
        "models": tuple(
            dict.fromkeys(model_of[label] for label in model_order(results) if label in model_of)
        ),
        "corpora": tuple(corpus.label for corpus in by_date),
    }
