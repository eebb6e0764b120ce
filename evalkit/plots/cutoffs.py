"""The plot of effective cutoffs: each model's bits beside a panel's, by month of the documents."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalkit.analysis.effective_cutoff import EffectiveCutoff, effective_cutoff, month_points
from evalkit.analysis.effective_cutoff_text import short_text
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.panel import find_model, several
from evalkit.analysis.results import Results
from evalkit.dates import first_day
from evalkit.errors import UsageError
from evalkit.models.catalog import load_catalog
from evalkit.plots.frame import FAINT, LABEL_SIZE, TEXT, Mark, line_style, record, shade, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.lines import model_styles
from evalkit.plots.names import short
from evalkit.plots.panels import panels, place_of, time_axis
from evalkit.plots.scores import Source, Warn, name_of, results_of, silent

MAX_MODELS = 12
"""Each has a panel."""


@styled
def cutoffs(
    results: Source,
    *,
    models: Sequence[str] = (),
    corpora: Sequence[str] = (),
    panel: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """How much more than a panel of other models each model pays, by month, and from which day that rises.

    A panel for each model, with a line for each source; day and interval are those of `evalkit cutoff`.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        models: names; empty: all language models.
        corpora: names; empty: all.
        panel: names of the models to compare with; empty: as `evalkit.analysis.effective_cutoff` has it.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of models without enough months.

    Raises:
        UsageError: a name is unknown, there are more models than room, or none with enough months.
    """
    read = results_of(results, warn)
    rows = [find_model(read, name, policy) for name in models] or [
        row for row, configuration in enumerate(read.configurations) if configuration.policy == policy
    ]
    if len(rows) > MAX_MODELS:
        raise UsageError(f"there is room for {MAX_MODELS} models, and here are {len(rows)}; give --models")
    drawn = _cutoffs(read, rows, corpora, panel, policy, warn, is_chosen=bool(models or corpora or panel))
    if not drawn:
        raise UsageError(f"{name_of(results)}: no model has a panel and documents of enough months")
    members = sorted({member for cutoff in drawn for curve in cutoff.curves for member in curve.panel})
    figure, panel_axes = panels(
        "Until when models have read, by what texts of each month cost them",
        f"bits beside the geometric mean of a panel's, on the same documents; panel: {several(members)}; "
        f"policy {policy}; bars: 95 % intervals of a month's documents; thin line: fitted; band: 95 % "
        "interval of the day from which the curve rises; dashes: what the maker states",
        num_panels=len(drawn),
        most_lines=max(len(cutoff.curves) for cutoff in drawn),
    )
    styles = model_styles(read)
    for axes, cutoff in zip(panel_axes, drawn, strict=True):
        _draw(axes, cutoff, styles[cutoff.label]["color"])
    return figure


def _cutoffs(
    results: Results,
    rows: Sequence[int],
    corpora: Sequence[str],
    panel: Sequence[str],
    policy: str,
    warn: Warn,
    *,
    is_chosen: bool,
) -> list[EffectiveCutoff]:
    """Of each model with enough months; ``is_chosen``: whether what cannot be done was asked for."""
    catalog = load_catalog()
    drawn = []
    for row in rows:
        label = results.configurations[row].label
        try:
            cutoff = effective_cutoff(
                results, label, corpora=corpora, panel=panel, policy=policy, catalog=catalog
            )
        except UsageError as error:
            if is_chosen:
                raise
            warn(f"{label} is left out: {error}")
            continue
        if cutoff.curves:
            drawn.append(cutoff)
        else:
            warn(f"{label} is left out: {'; '.join(cutoff.notes)}")
    return drawn


def _draw(axes: Axes, cutoff: EffectiveCutoff, model_color: str) -> None:
    """A model's panel: its sources are shades of its colour."""
    ends = []
    days = []
    for place, curve in enumerate(cutoff.curves):
        style = line_style(place) | {"color": shade(model_color, place, len(cutoff.curves))}
        points = month_points(cutoff, place)
        days += [point.day for point in points]
        xs = [place_of(point.day) for point in points]
        name = cutoff.label if len(cutoff.curves) == 1 else f"{cutoff.label}, {curve.source}"
        percent = [100 * (point.ratio.value - 1) for point in points]
        for x, y, point in zip(xs, percent, points, strict=True):
            bounds = (end and 100 * (end - 1) for end in (point.ratio.low, point.ratio.high))
            record(axes, Mark(name, point.month, x, y, Estimate(y, *bounds), style["color"]))
        axes.plot(xs, percent, color=style["color"], marker=style["marker"], linestyle="")
        for x, point in zip(xs, points, strict=True):
            if point.ratio.low is not None and point.ratio.high is not None:
                bar = [100 * (point.ratio.low - 1), 100 * (point.ratio.high - 1)]
                axes.plot([x, x], bar, color=style["color"], linewidth=0.9, alpha=0.7)
        fitted = [100 * (point.fitted - 1) for point in points if point.fitted is not None]
        if fitted:
            axes.plot(xs, fitted, color=style["color"], linewidth=0.8)
        ends.append(EndLabel(percent[-1], short(curve.source), style["color"], xs[-1]))
    time_axis(axes, days, "when the documents were published")
    if cutoff.day is not None and cutoff.rise is not None:
        axes.axvspan(cutoff.rise.low, cutoff.rise.high, color=TEXT, alpha=0.1, linewidth=0)
        axes.axvline(place_of(cutoff.day), color=TEXT, linewidth=1.0)
    first, last = axes.get_xlim()
    if cutoff.stated is not None:
        stated = [place_of(first_day(cutoff.stated.date)), place_of(cutoff.stated.last_day)]
        for x in dict.fromkeys(stated):
            if first <= x <= last:
                axes.axvline(x, color=FAINT, linewidth=0.9, linestyle="--")
    axes.set_title(f"{short(cutoff.label)}: {short_text(cutoff)}", loc="left", fontsize=LABEL_SIZE)
    axes.set_ylabel("% more bits than the panel,\nlower is better")
    if len(ends) > 1:
        label_ends(axes, ends)
