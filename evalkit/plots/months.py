"""The plot of chained months: what the texts did, and what the models did."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalkit.analysis.cutoff import combined
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.months import Chain, chain_months
from evalkit.analysis.results import Results
from evalkit.displayed import first_of
from evalkit.errors import unknown_name
from evalkit.patterns import matching_names
from evalkit.plots import edges
from evalkit.plots.frame import BITS_AXIS, FAINT, LineStyle, Mark, frame, record, source_style, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.lines import choose_lines, model_order, model_styles
from evalkit.plots.names import clause, short
from evalkit.plots.panels import place_of, time_axis
from evalkit.plots.scores import Source, Warn, all_readings, marks_legend, results_of, silent

_MOST_NAMED = 6
"""Anchors whose names stand in the heading."""


@styled
def months(
    results: Source,
    *,
    anchors: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Corpora of successive months chained by anchors: the drift of the texts, and levels without it.

    Each source has a chain of its own, for months of different sources are not comparable.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        anchors: models that tie the months together; empty: all that successive months have in common.
        models: names of those to show; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of sources that cannot be chained.

    Raises:
        UsageError: a name is unknown, or no source has two months and a common anchor.
    """
    read = results_of(results, warn)
    chains, left_out = chain_months(read, anchors, policy=policy)
    for source, reason in left_out.items():
        warn(f"{source} is left out: {reason}")
    labels = sorted({label for chain in chains for month in chain.months for label in month.chained})
    models = matching_names(models, labels)
    for name in models:
        if not any(_is_called(label, name) for label in labels):
            raise unknown_name("model", name, labels, f"In the chains there are: {', '.join(labels)}.")
    labels = [label for label in labels if not models or any(_is_called(label, name) for name in models)]
    shown, not_shown = choose_lines(labels, model_order(read), is_named=bool(models), warn=warn)
    ties = sorted({label for chain in chains for month in chain.months for label in month.anchors})
    compressors = {row.label for row in read.configurations if row.policy is None}
    marks = [_marks(read, chain) for chain in chains]
    panels = [_panel_of(chain, shown, compressors, mark) for chain, mark in zip(chains, marks, strict=True)]
    has_arrows = any(panel.has_arrows() for panel in panels)
    figure, (drift, *levels) = frame(
        "What months did to the texts, and what is left for the models",
        f"each source chained by itself, by {_some(ties)}; policy {policy}; bands and bars: 95 % "
        f"intervals; thin: levels as measured{f'; {edges.LEGEND}' if has_arrows else ''}"
        f"{marks_legend({mark for panel in panels for mark in panel.shown_marks()})}"
        f"{clause('one month alone, or no anchor', list(left_out))}{not_shown}",
        height=1.8 + sum(max(2.6, 0.8 + 0.17 * len(panel.labels)) for panel in panels),
        num_rows=1 + len(panels),
        sharex=True,
        height_ratios=[1.6, *[max(2.6, 0.8 + 0.17 * len(panel.labels)) for panel in panels]],
    )
    days = [month.day for chain in chains for month in chain.months]
    time_axis(levels[-1], days, "when the texts were published (the middle of a month's corpora)")
    _draw_drifts(drift, chains)
    span = (max(days) - min(days)).days
    styles = model_styles(read)
    for axes, panel in zip(levels, panels, strict=True):
        _draw_panel(axes, panel, styles, span)
    return figure


class _Panel(NamedTuple):
    """A source's levels, as they are drawn."""

    chain: Chain
    labels: list[str]
    compressors: set[str]
    limits: edges.Limits
    marks: Mapping[str, str]

    def shown_marks(self) -> set[str]:
        """What stands behind the names that are shown."""
        return {self.marks.get(label, "") for label in self.labels}

    def has_arrows(self) -> bool:
        """Whether a compressor's level is beyond the axis."""
        return any(
            self.limits.side(month.chained[label].value)
            for month in self.chain.months
            for label in self.compressors & set(self.labels) & month.chained.keys()
        )


def _panel_of(chain: Chain, shown: Sequence[str], compressors: set[str], marks: Mapping[str, str]) -> _Panel:
    labels = [label for label in shown if any(label in month.chained for month in chain.months)]
    setting = [label for label in labels if label not in compressors] or labels
    estimates = [
        level
        for month in chain.months
        for label in setting
        if label in month.chained
        for level in (month.chained[label], Estimate(month.levels[label].value, None, None))
    ]
    return _Panel(
        chain, labels, compressors, edges.limits_of(estimates or [Estimate(1.0, None, None)]), marks
    )


def _marks(results: Results, chain: Chain) -> dict[str, str]:
    """By label, what stands behind a model's name; see `evalkit.analysis.cutoff.MARKS`."""
    labels = {label for month in chain.months for label in month.corpora}
    by_corpus = [
        by_model
        for corpus, by_model in zip(results.corpora, all_readings(results), strict=True)
        if corpus.label in labels
    ]
    return {
        row.label: combined(by_model[index].exposure for by_model in by_corpus if index in by_model).mark
        for index, row in enumerate(results.configurations)
        if any(index in by_model for by_model in by_corpus)
    }


def _some(names: Sequence[str]) -> str:
    return first_of([short(name) for name in names], _MOST_NAMED)


def _is_called(label: str, name: str) -> bool:
    """Whether a row has this label, or is a configuration of the model of this name."""
    return label == name or label.startswith(f"{name} · ")


def _draw_drifts(axes: Axes, chains: Sequence[Chain]) -> None:
    ends = []
    for index, chain in enumerate(chains):
        style = source_style(index)
        xs = [place_of(month.day) for month in chain.months]
        percent = [100 * (month.drift.value - 1) for month in chain.months]
        axes.plot(xs, percent, **style)
        for month, x, y in zip(chain.months, xs, percent, strict=True):
            number = Estimate(y, *(end and 100 * (end - 1) for end in (month.drift.low, month.drift.high)))
            record(axes, Mark(chain.source, month.month, x, y, number, style["color"]))
        axes.fill_between(
            xs,
            [100 * ((month.drift.low or month.drift.value) - 1) for month in chain.months],
            [100 * ((month.drift.high or month.drift.value) - 1) for month in chain.months],
            color=style["color"],
            alpha=0.12,
            linewidth=0,
        )
        ends.append(EndLabel(percent[-1], chain.source, style["color"], xs[-1]))
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.set_ylabel("harder texts, %\n(bits of the anchors)")
    label_ends(axes, ends)


def _draw_panel(axes: Axes, panel: _Panel, styles: Mapping[str, LineStyle], span: int) -> None:
    axes.set_ylim(*panel.limits)
    axes.set_title(short(panel.chain.source), loc="left", fontweight="bold")
    axes.set_ylabel(f"chained {BITS_AXIS}")
    ends = []
    for place, label in enumerate(panel.labels):
        # Side by side, where bars would cover each other.
        shift = 0.004 * span * ((place % 5) - 2) if len(panel.labels) > 1 else 0.0
        ends.append(_draw_model(axes, panel, label, styles[label], shift))
    label_ends(axes, ends)


def _draw_model(axes: Axes, panel: _Panel, label: str, style: LineStyle, shift: float) -> EndLabel:
    """A model's chained and measured levels, a little beside their days; returns the line's name."""
    scored = [month for month in panel.chain.months if label in month.chained]
    chained = [month.chained[label] for month in scored]
    xs = [place_of(month.day) + shift for month in scored]
    color, limits = style["color"], panel.limits
    mark = panel.marks.get(label, "")
    for month, level, x in zip(scored, chained, xs, strict=True):
        record(axes, Mark(label, month.month, x, limits.pinned(level.value), level, color))
    values = [level.value for level in chained]
    if label in panel.compressors and edges.pin_line(axes, xs, values, limits, style):
        suffix = mark + edges.pinned_suffix(values[-1], limits, f"{values[-1]:.2f}")
        return EndLabel(limits.pinned(values[-1]), label, color, xs[-1], suffix)
    axes.plot(xs, values, **style)
    axes.plot(xs, [month.levels[label].value for month in scored], color=color, linewidth=0.7, alpha=0.6)
    for x, level in zip(xs, chained, strict=True):
        if level.low is not None and level.high is not None:
            axes.plot([x, x], [level.low, level.high], color=color, linewidth=1.1, alpha=0.7)
    return EndLabel(chained[-1].value, label, color, xs[-1], mark)
