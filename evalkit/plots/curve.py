"""The plot of training runs: bits per byte against steps, tokens or FLOPs, with fitted laws."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from evalkit.analysis.curves import Curve, CurveOptions, curves
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.results import Results
from evalkit.analysis.training_runs import AXES
from evalkit.plots.frame import BITS_AXIS, LineStyle, Mark, record, styled
from evalkit.plots.labels import EndLabel, label_ends_of_panels
from evalkit.plots.lines import choose_lines, run_styles
from evalkit.plots.names import short
from evalkit.plots.panels import panels
from evalkit.plots.scores import Source, Warn, results_of, silent

_NUM_PLACES = 60
"""At which a law is drawn."""
_MANY_POINTS = 40
_MANY_DECADES = 1000
"""Of the last place over the first."""
_SHORT = 1e6
"""Places below it are written out."""


def curve(
    results: Source,
    *,
    corpora: Sequence[str] = (),
    policy: str = "document",
    runs: Sequence[str] = (),
    axis: str = "step",
    tokens_per_step: int | None = None,
    fit: str = "auto",
    fit_from: float | None = None,
    warn: Warn = silent,
) -> Figure:
    """Bits per byte along training runs, a panel for each corpus and one for their mean.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        corpora: names; empty: all.
        policy: context policy.
        runs: names; empty: all.
        axis: ``step``, ``tokens`` or ``flops``.
        tokens_per_step: of runs whose checkpoints do not say how many tokens had been read.
        fit: ``power``, ``log``, ``auto`` or ``none``.
        fit_from: the place along the axis from which on points count for the law; None: from the first.
        warn: told of every cell that is left out.

    Raises:
        UsageError: a name is unknown, or no cell is of a checkpoint of a run.
    """
    options = CurveOptions(policy, corpora, runs, axis, tokens_per_step, fit, fit_from)
    read = results_of(results, warn, with_limited=True)
    return draw_curves(read, curves(read, options, warn=warn), options, warn=warn)


@styled
def draw_curves(
    results: Results, computed: Sequence[Curve], options: CurveOptions, *, warn: Warn = silent
) -> Figure:
    """The same of curves that are computed already; of many runs those that are lowest in the end."""
    # Of each run the last is taken: on the mean of all corpora, where there are several.
    last = {each.run.name: each.points[-1].level.value for each in computed}
    order = sorted(last, key=lambda name: (last[name], name))
    which, is_named = "the lowest in the end", bool(options.runs)
    shown = choose_lines(last, order, is_named=is_named, warn=warn, nouns="runs", which=which)
    drawn = [each for each in computed if each.run.name in shown.names]
    styles = run_styles(results, options.policy)
    subjects = list(dict.fromkeys(each.subject for each in drawn))
    names = list(dict.fromkeys(each.run.name for each in drawn))
    has_laws = any(each.fit for each in drawn)
    figure, axes = panels(
        "Training runs",
        f"policy {options.policy}; bands: 95 % intervals over clusters of documents, "
        "which all checkpoints share"
        f"{'; thin: the fitted law with its own 95 % interval' if has_laws else ''}{shown.note}",
        num_panels=len(subjects),
        most_lines=len(names),
    )
    ends = []
    for panel, subject in zip(axes, subjects, strict=True):
        of_panel = [each for each in drawn if each.subject == subject]
        start = options.fit_from or 0.0
        ends.append((panel, [_draw(panel, each, styles[each.run.name], start) for each in of_panel]))
        xs = [point.x for each in of_panel for point in each.points]
        if min(xs) > 0 and max(xs) / min(xs) >= 8:
            _spread_by_logarithm(panel, max(xs) / min(xs))
        panel.set_title(short(subject), loc="left", fontweight="bold")
        panel.set_xlabel(AXES[options.axis])
        panel.set_ylabel(BITS_AXIS)
    label_ends_of_panels(ends)
    return figure


def _spread_by_logarithm(axes: Axes, span: float) -> None:
    """An axis of powers of ten, with places between them where there are few; matplotlib's labels are TeX."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if span >= _MANY_DECADES else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda place, _: f"{place:,.0f}" if place < _SHORT else f"{place:g}")
    )
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw(axes: Axes, drawn: Curve, style: LineStyle, fit_from: float) -> EndLabel:
    xs = [point.x for point in drawn.points]
    levels = [point.level for point in drawn.points]
    for x, level in zip(xs, levels, strict=True):
        record(axes, Mark(drawn.run.name, f"{x:,.0f}", x, level.value, level, style["color"]))
    marker = style["marker"] if len(xs) <= _MANY_POINTS else ""
    axes.plot(xs, [level.value for level in levels], **(style | {"marker": marker}), markersize=3)
    _band(axes, xs, levels, style["color"], 0.12)
    if drawn.fit is not None:
        inside = [x for x in xs if x > 0 and x >= fit_from]  # the points that the law was fitted to
        places = np.geomspace(min(inside), max(inside), _NUM_PLACES).tolist()
        laws = [drawn.fit.at(place) for place in places]
        axes.plot(places, [law.value for law in laws], color=style["color"], linewidth=0.7, alpha=0.8)
        _band(axes, places, laws, style["color"], 0.08)
    return EndLabel(levels[-1].value, short(drawn.run.name), style["color"], xs[-1])


def _band(axes: Axes, xs: Sequence[float], levels: Sequence[Estimate], color: str, alpha: float) -> None:
    low = [level.value if level.low is None else level.low for level in levels]
    high = [level.value if level.high is None else level.high for level in levels]
    axes.fill_between(xs, low, high, color=color, alpha=alpha, linewidth=0)
