"""The plot of ranks from month to month."""

import datetime as dt
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evalkit.analysis.aggregates import check_aggregate
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.months import UNDATED, middle_of
from evalkit.analysis.rankings import Choice, View
from evalkit.errors import UsageError
from evalkit.plots import edges
from evalkit.plots.frame import LineStyle, Mark, record, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.names import clause, short
from evalkit.plots.panels import panels, place_of, time_axis
from evalkit.plots.scores import Scores, Source, Warn, load_scores, marks_legend, name_of, silent


class _MonthlyRanks(NamedTuple):
    """The ranks of the models that were scored in every month."""

    ranks: dict[int, float]
    """By configuration; equal values share the mean of theirs."""
    spans: dict[int, tuple[int, int]]
    """Rank intervals."""


@styled
def ranks(
    results: Source,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    aggregate: str = "macro",
    warn: Warn = silent,
) -> Figure:
    """Rank intervals by corpus month, among the models that were scored on every corpus of every month.

    Each source has a panel of its own, for ranks on Python and on French Wikipedia are not one line.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        corpora: names; empty: all dated ones.
        models: names; empty: all.
        policy: context policy of the language models.
        aggregate: one of `evalkit.analysis.aggregates.AGGREGATES`, over the corpora of a month.
        warn: told of every file that is left out, and of sources that cannot be drawn.

    Raises:
        UsageError: a name is unknown, or no two models were scored in two months of one source.
    """
    check_aggregate(aggregate)
    scores = load_scores(results, corpora=corpora, models=models, policy=policy, by_source=True, warn=warn)
    by_source = {source: _ranked_months(scores, source, aggregate) for source in sorted(set(scores.sources))}
    drawn = {
        source: months for source, months in by_source.items() if len(months.views) > 1 < len(months.common)
    }
    if not drawn:
        raise UsageError(f"{name_of(results)}: {_too_few(by_source)}")
    left_out = [source for source in by_source if source not in drawn]
    for source in left_out:
        warn(f"{source} is left out: it has no two months with two models in common")
    everyone = list(dict.fromkeys(index for months in drawn.values() for index in months.common))
    shown, not_shown = scores.choose(everyone, is_named=bool(models), warn=warn)
    marks = {
        months.mark(scores, index) for months in drawn.values() for index in months.common if index in shown
    }
    has_arrows = any(months.has_arrows(scores, shown) for months in drawn.values())
    figure, panel_axes = panels(
        "How stable ranks are from month to month",
        f"rank by bits per byte among the models that were scored in every month of a source; policy "
        f"{policy}; bars: rank intervals, from one more than are surely better (95 %, paired) to all but "
        f"those surely worse{marks_legend(marks)}"
        f"{clause('one month or one model alone', left_out)}"
        f"{f'; {edges.LEGEND}' if has_arrows else ''}{not_shown}",
        num_panels=len(drawn),
        most_lines=max(len(months.ranked(shown)) for months in drawn.values()),
        max_columns=1 if len(drawn) < 3 else 2,
    )
    days = [day for months in drawn.values() for day in months.days]
    for axes, (source, months) in zip(panel_axes, drawn.items(), strict=True):
        _draw_panel(axes, scores, months, months.ranked(shown), days)
        axes.set_title(short(source), loc="left", fontweight="bold")
    return figure


def _too_few(by_source: Mapping[str, "_RankedMonths"]) -> str:
    counts = "; ".join(
        f"{source}: {months.counts[0]} months and {months.counts[1]} such models"
        for source, months in by_source.items()
    )
    return (
        "ranks over months need two models or more that were scored on every corpus of two months or more of "
        f"one source; there are, {counts}"
    )


class _RankedMonths(NamedTuple):
    """The months of a source."""

    views: list[View]
    days: list[dt.date]
    """The middle of each month's corpora."""
    common: list[int]
    """The models that were scored on every corpus of every month, the best of the last month first."""
    ranks: list[_MonthlyRanks]
    """Of each month, among these models."""

    @property
    def counts(self) -> tuple[int, int]:
        """How many months, and how many models in common."""
        return len(self.views), len(self.common)

    def ranked(self, models: Collection[int]) -> list[int]:
        """Those of the models that have ranks here, the best of the last month first."""
        return [index for index in self.common if index in models]

    def limits(self, scores: Scores, models: Collection[int]) -> edges.Limits:
        """Of the ranks of these models, which language models set where there are some."""
        rows = scores.results.configurations
        shown = self.ranked(models)
        setting = [index for index in shown if rows[index].policy is not None] or shown
        ends = [end for month in self.ranks for index in setting for end in month.spans[index]]
        ends += [round(month.ranks[index]) for month in self.ranks for index in setting]
        return edges.Limits(min(ends) - 0.5, max(ends) + 0.5)

    def has_arrows(self, scores: Scores, models: Collection[int]) -> bool:
        """Whether a compressor's rank is beyond the axis."""
        limits = self.limits(scores, models)
        return any(limits.side(month.ranks[index]) for month in self.ranks for index in self.ranked(models))

    def mark(self, scores: Scores, index: int) -> str:
        """What stands behind a model's name."""
        return scores.mark(index, [corpus for view in self.views for corpus in view.corpora])


def _ranked_months(scores: Scores, source: str, aggregate: str) -> _RankedMonths:
    corpora = scores.results.corpora
    months = {corpora[number].month for number, name in enumerate(scores.sources) if name == source}
    choices = [Choice(scores.policy, source, month) for month in sorted(months - {UNDATED})]
    views = [scores.board.views[choice] for choice in choices if choice in scores.board.views]
    middles = [middle_of([corpora[number].facts for number in view.corpora]) for view in views]
    order = sorted(range(len(views)), key=lambda place: middles[place])
    views = [views[place] for place in order]
    common = sorted(set.intersection(*(set(view.configurations) for view in views))) if views else []
    monthly = [_monthly_ranks(view, aggregate, common) for view in views]
    if monthly:
        common.sort(key=lambda index: monthly[-1].ranks[index])
    return _RankedMonths(views, [middles[place] for place in order], common, monthly)


def _draw_panel(
    axes: Axes, scores: Scores, months: _RankedMonths, shown: Sequence[int], days: Sequence[dt.date]
) -> None:
    span = (max(days) - min(days)).days
    limits = months.limits(scores, shown)
    axes.set_ylim(limits.high, limits.low)
    ends = []
    for place, index in enumerate(shown):
        style = scores.style(index)
        shift = 0.004 * span * (place % 5 - 2)  # side by side where bars cross
        xs = [place_of(day) + shift for day in months.days]
        last = months.ranks[-1].ranks[index]
        suffix = months.mark(scores, index) + edges.pinned_suffix(last, limits, f"{last:g}", upwards=-1)
        label = scores.label(index)
        ends.append(EndLabel(limits.pinned(last), label, style["color"], xs[-1], suffix))
        _draw_model(axes, xs, months.ranks, index, style, limits)
        for view, month, x in zip(months.views, months.ranks, xs, strict=True):
            rank, (low, high) = month.ranks[index], month.spans[index]
            subject = scores.results.corpora[view.corpora[0]].month
            number = Estimate(rank, low, high)
            record(axes, Mark(label, subject, x, limits.pinned(rank), number, style["color"]))
    time_axis(axes, days, "when the texts were published (the middle of a month's corpora)")
    num_ranks = round(limits.high - limits.low)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(num_ranks, 12)))
    axes.set_ylabel("rank, 1 is best")
    axes.grid(axis="x", visible=False)
    label_ends(axes, ends)


def _monthly_ranks(view: View, aggregate: str, common: Sequence[int]) -> _MonthlyRanks:
    return _MonthlyRanks(
        _ranks({index: view.levels[aggregate][index] for index in common}),
        view.ranks(aggregate, common),
    )


def _ranks(levels: Mapping[int, Estimate]) -> dict[int, float]:
    values = {index: level.value for index, level in levels.items()}
    return {
        index: 1
        + sum(rival < value for rival in values.values())
        + (sum(math.isclose(rival, value, abs_tol=0) for rival in values.values()) - 1) / 2
        for index, value in values.items()
    }


def _draw_model(
    axes: Axes,
    xs: Sequence[float],
    months: Sequence[_MonthlyRanks],
    index: int,
    style: LineStyle,
    limits: edges.Limits,
) -> None:
    ranks = [month.ranks[index] for month in months]
    if edges.pin_line(axes, xs, ranks, limits, style, upwards=-1):
        return
    axes.plot(xs, ranks, **style, linewidth=1.3)
    for x, month in zip(xs, months, strict=True):
        low, high = month.spans[index]
        if low < high:
            axes.plot(
                [x, x], [low, high], color=style["color"], linewidth=4, alpha=0.25, solid_capstyle="round"
            )
