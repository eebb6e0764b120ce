"""The plot of ranks from month to month."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evalkit.analysis.aggregates import check_aggregate
from evalkit.analysis.estimates import Estimate, rank_interval
from evalkit.analysis.rankings import Choice, View
from evalkit.errors import UsageError
from evalkit.plots.frame import LineStyle, frame, line_style, styled
from evalkit.plots.labels import EndLabel, label_ends
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

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        corpora: names; empty: all dated ones.
        models: names; empty: all.
        policy: context policy of the language models.
        aggregate: one of `evalkit.analysis.aggregates.AGGREGATES`, over the corpora of a month.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or no two models were scored in two months.
    """
    check_aggregate(aggregate)
    scores = load_scores(results, corpora=corpora, models=models, policy=policy, warn=warn)
    views = _monthly_views(scores)
    common = set.intersection(*(set(view.configurations) for view in views.values())) if views else set()
    if len(views) < 2 or len(common) < 2:
        raise UsageError(
            f"{name_of(results)}: ranks over months need two models or more that were scored on every "
            f"corpus of two months or more; there are {len(views)} months and {len(common)} such models"
        )
    months = [_monthly_ranks(view, aggregate, sorted(common)) for view in views.values()]
    figure, [axes] = frame(
        "How stable ranks are from month to month",
        f"rank by bits per byte among the {len(common)} models that were scored in every month; policy "
        f"{policy}; bars: rank intervals, from one more than are surely better (95 %, paired) to all but "
        f"those surely worse{marks_legend({scores.mark(index) for index in common})}",
        height=max(2.6, 1.0 + 0.3 * len(common)),
    )
    ends = []
    for place, index in enumerate(sorted(common, key=lambda index: months[-1].ranks[index])):
        style = line_style(place)
        xs = [month + 0.04 * (place % 5 - 2) for month in range(len(months))]  # side by side where bars cross
        ends.append(EndLabel(months[-1].ranks[index], scores.marked_label(index), style["color"], xs[-1]))
        _draw_model(axes, xs, months, index, style)
    axes.set_ylim(len(common) + 0.5, 0.5)
    axes.set_xlim(-0.3, len(views) - 0.85)
    axes.set_xticks(range(len(views)), list(views))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(len(common), 12)))
    axes.set_ylabel("rank, 1 is best")
    axes.set_xlabel("month of the corpora")
    axes.grid(axis="x", visible=False)
    label_ends(axes, ends)
    return figure


def _monthly_views(scores: Scores) -> dict[str, View]:
    months = sorted({corpus.month for corpus in scores.results.corpora} - {"undated"})
    views = {month: scores.board.views.get(Choice(scores.policy, None, month)) for month in months}
    return {month: view for month, view in views.items() if view is not None}


def _monthly_ranks(view: View, aggregate: str, common: Sequence[int]) -> _MonthlyRanks:
    return _MonthlyRanks(
        _ranks({index: view.levels[aggregate][index] for index in common}),
        {index: rank_interval(view.pairs[aggregate], common, index) for index in common},
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
    axes: Axes, xs: Sequence[float], months: Sequence[_MonthlyRanks], index: int, style: LineStyle
) -> None:
    axes.plot(xs, [month.ranks[index] for month in months], **style, linewidth=1.3)
    for x, month in zip(xs, months, strict=True):
        low, high = month.spans[index]
        if low < high:
            axes.plot(
                [x, x], [low, high], color=style["color"], linewidth=4, alpha=0.25, solid_capstyle="round"
            )
