"""Plots of models: against size, against each other, over corpora and over months."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from evalkit.analysis.estimates import AGGREGATES, Estimate, difference_of, rank_interval
from evalkit.analysis.rankings import Choice
from evalkit.errors import UsageError, unknown_name
from evalkit.plots.frame import (
    BITS_AXIS,
    BLUE,
    COLORS,
    FAINT,
    GREY,
    LABEL_SIZE,
    RED,
    TEXT,
    EndLabel,
    Scores,
    Warn,
    frame,
    ink,
    label_ends,
    label_points,
    line_style,
    load_scores,
    short,
    styled,
)

_SIZE_AT_END = re.compile(r"[-_ ]\d+(\.\d+)?[bm]\b.*", re.IGNORECASE)


def _check_aggregate(aggregate: str) -> None:
    if aggregate not in AGGREGATES:
        raise unknown_name("aggregate", aggregate, AGGREGATES, f"Known: {', '.join(AGGREGATES)}.")


@styled
def parameters(
    results: Path | str,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    aggregate: str = "macro",
    warn: Warn = lambda _: None,
) -> Figure:
    """Bits per byte against the number of parameters, with the frontier: the best at any size.

    Args:
        results: what ``evalkit run --output`` wrote.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        aggregate: ``macro``, ``micro`` or ``geometric``, over several corpora.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or no model says how many parameters it has.
    """
    _check_aggregate(aggregate)
    scores = load_scores(results, corpora=corpora, models=models, policy=policy, warn=warn)
    found = scores.view.levels[aggregate]
    sized = {
        entrant: int(size)
        for entrant in found
        if (size := scores.store.entrants[entrant].num_parameters) is not None
    }
    if not sized:
        raise UsageError(f"{results}: no model here says how many parameters it has; nothing to plot against")
    figure, [axes] = frame(
        "What size buys: bits per byte against parameters",
        f"{scores.conditions(aggregate)}; bars: 95 % intervals; grey: the lowest at that size or below",
    )
    axes.set_xscale("log")
    frontier: list[tuple[int, float]] = []
    for entrant in sorted(sized, key=lambda one: (sized[one], found[one].value)):
        if not frontier or found[entrant].value < frontier[-1][1]:
            frontier.append((sized[entrant], found[entrant].value))
    limits = (min(sized.values()) / 1.6, max(sized.values()) * 1.6)
    axes.step(
        [x for x, _ in frontier] + [limits[1]],
        [y for _, y in frontier] + [frontier[-1][1]],
        where="post",
        color="#DDDDDD",
        linewidth=5,
        solid_capstyle="butt",
        zorder=1,
    )
    families = _families(scores, sized)
    for family, members in families.items():
        color = family_color(list(families), family)
        xs, ys = [sized[one] for one in members], [found[one].value for one in members]
        axes.plot(xs, ys, color=color, linewidth=1, zorder=2)
        _errorbars(axes, xs, [found[one] for one in members], color)
    axes.set_xlim(*limits)
    codecs = [entrant for entrant in found if entrant not in sized]
    for entrant in codecs:
        axes.axhline(found[entrant].value, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    axes.set_xlabel("parameters")
    axes.set_ylabel(BITS_AXIS)
    counts = FuncFormatter(lambda value, _: short_count(value))
    axes.xaxis.set_major_formatter(counts)
    if limits[1] / limits[0] < 10:  # else the powers of ten are enough
        axes.xaxis.set_minor_formatter(counts)
    label_ends(axes, [EndLabel(found[one].value, scores.label(one), GREY) for one in codecs])
    label_points(
        axes,
        [
            (sized[one], found[one].value, scores.label(one), family_color(list(families), family))
            for family, members in families.items()
            for one in members
        ],
        lines=[[(sized[one], found[one].value) for one in members] for members in families.values()]
        + [list(_stairs(frontier, limits[1]))],
    )
    return figure


def _stairs(frontier: Sequence[tuple[int, float]], end: float) -> Iterator[tuple[float, float]]:
    """The corners of the frontier's line."""
    for place, (x, y) in enumerate(frontier):
        yield x, y
        yield (frontier[place + 1][0] if place + 1 < len(frontier) else end), y


def _families(scores: Scores, sized: dict[int, int]) -> dict[str, list[int]]:
    """Entrants by their name without the size, each from small to large."""
    families: dict[str, list[int]] = {}
    for entrant in sorted(sized, key=lambda one: (sized[one], scores.label(one))):
        families.setdefault(_SIZE_AT_END.sub("", scores.label(entrant)), []).append(entrant)
    return dict(sorted(families.items()))


def family_color(families: Sequence[str], family: str) -> str:
    """The colour of a family; they repeat after six, and names are beside the points."""
    return COLORS[families.index(family) % len(COLORS)]


def _errorbars(axes: object, xs: Sequence[float], ys: Sequence[Estimate], color: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    for x, one in zip(xs, ys, strict=True):
        if one.low is not None and one.high is not None:
            axes.plot([x, x], [one.low, one.high], color=color, linewidth=1.1, alpha=0.75, zorder=2)
    axes.plot(xs, [one.value for one in ys], color=color, linestyle="", marker="o", zorder=3)


def short_count(value: float) -> str:
    """``1.5B``, ``200M``, ``30k``."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


@styled
def heatmap(
    results: Path | str,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = lambda _: None,
) -> Figure:
    """Models by corpora: how far each is from the mean of all models on a corpus.

    Args:
        results: what ``evalkit run --output`` wrote.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or fewer than two models are left.
    """
    scores = load_scores(results, corpora=corpora, models=models, policy=policy, warn=warn)
    entrants = sorted({entrant for corpus in scores.store.corpora for entrant in corpus.cells})
    rows = [number for number, _ in enumerate(scores.store.corpora)]
    if len(entrants) < 2:
        raise UsageError(f"{results}: a heat map needs two models or more on the same corpora")
    values = np.full((len(rows), len(entrants)), np.nan)
    for row in rows:
        for column, entrant in enumerate(entrants):
            if entrant in scores.board.levels[row]:
                values[row, column] = scores.board.level(row, entrant).value
    means = np.nanmean(values, axis=1, keepdims=True)
    relative = 100 * (values / means - 1)
    order = np.argsort(np.nanmean(relative, axis=0), kind="stable")
    values, relative, entrants = values[:, order], relative[:, order], [entrants[one] for one in order]
    names = [short(scores.label(one)) for one in entrants]
    places = [short(scores.store.corpora[row].label) for row in rows]
    # Room for the longest of each, where 20 letters do not suffice.
    room, more = (0.07 * max(0, max(map(len, texts)) - 20) for texts in (names, places))
    width = min(16.0, max(6.0, 2.6 + 0.62 * len(entrants)) + more)
    figure, [axes] = frame(
        "Where each model is better or worse than the others",
        f"bits per byte (numbers, lower is better), coloured by its distance from the row's mean; policy "
        f"{policy}; columns from the lowest to the highest",
        width=width,
        height=min(14.0, 1.5 + 0.42 * len(rows) + room),
    )
    bound = float(np.nanmax(np.abs(relative))) or 1.0
    mesh = axes.pcolormesh(relative, cmap="RdBu_r", vmin=-bound, vmax=bound, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(np.arange(len(rows)) + 0.5, places)
    axes.set_xticks(
        np.arange(len(entrants)) + 0.5,
        names,
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    if len(entrants) <= 24:
        for row, column in np.ndindex(*values.shape):
            if np.isfinite(values[row, column]):
                dark = abs(relative[row, column]) > 0.6 * bound
                text = f"{values[row, column]:.2f}"
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    text,
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if dark else TEXT,
                )
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=max(8, 5 * len(rows)), shrink=0.95)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label("% from the row's mean\nblue: fewer bits", fontsize=LABEL_SIZE)
    return figure


@styled
def differences(
    results: Path | str,
    *,
    reference: str | None = None,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    aggregate: str = "macro",
    warn: Warn = lambda _: None,
) -> Figure:
    """Every model's paired difference from one of them, with 95 % intervals; ties are called ties.

    Args:
        results: what ``evalkit run --output`` wrote.
        reference: the model to compare with; None: the one with the lowest bits per byte.
        corpora: names; empty: all.
        models: names; empty: all. The reference is always among them.
        policy: context policy of the language models.
        aggregate: ``macro``, ``micro`` or ``geometric``, over several corpora.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or there is nothing to compare with.
    """
    _check_aggregate(aggregate)
    wanted = [*models, reference] if models and reference and reference not in models else models
    scores = load_scores(results, corpora=corpora, models=wanted, policy=policy, warn=warn)
    view = scores.view
    order = view.order(aggregate)
    anchor = order[0] if reference is None else find_entrant(scores, reference, order)
    others = [one for one in order if one != anchor]
    if not others:
        raise UsageError(f"{results}: only {scores.label(anchor)} is left; a difference needs two models")
    figure, [axes] = frame(
        f"Paired differences from {short(scores.label(anchor))}",
        f"{scores.conditions(aggregate)}; 95 % intervals over resampled clusters of documents; "
        "small marks: single corpora; grey: a tie, the interval contains 0",
        height=0.9 + 0.3 * len(others),
    )
    for row, one in enumerate(others):
        gap = difference_of(view.pairs[aggregate], one, anchor)
        if gap is None:
            continue
        color = {-1: BLUE, 0: "#888888", 1: RED}[gap.sign]
        if len(view.corpora) > 1:
            single = [scores.board.difference(corpus, one, anchor) for corpus in view.corpora]
            values = [each.value for each in single if each is not None]
            axes.plot(
                values, [row] * len(values), linestyle="", marker="|", markersize=7, color=color, alpha=0.45
            )
        if gap.low is not None and gap.high is not None:
            axes.plot([gap.low, gap.high], [row, row], color=color, linewidth=2.4, solid_capstyle="round")
        axes.plot([gap.value], [row], marker="o", color=color, markersize=5)
        axes.text(
            1.02,
            row,
            gap_text(gap),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=LABEL_SIZE,
            color=ink(color),
        )
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.set_yticks(range(len(others)), [short(scores.label(one)) for one in others])
    axes.set_ylim(len(others) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"bits per byte minus those of {short(scores.label(anchor))}; below 0 is better")
    axes.xaxis.set_major_locator(MaxNLocator(7))
    return figure


def gap_text(gap: Estimate) -> str:
    """A difference and its interval, or that it is a tie."""
    if gap.low is None or gap.high is None:
        return f"{gap.value:+.3f} (no interval)".replace("-", "−")
    word = "tie: " if gap.sign == 0 else ""
    return f"{word}{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]".replace("-", "−")


def find_entrant(scores: Scores, name: str, among: Sequence[int]) -> int:
    """The row of a model's name or label.

    Raises:
        UsageError: there is none among these, or several.
    """
    fitting = [one for one in among if name in (scores.label(one), scores.store.entrants[one].model)]
    if not fitting:
        labels = [scores.label(one) for one in among]
        raise unknown_name("model", name, labels, f"Compared here: {', '.join(labels)}.")
    if len(fitting) > 1:
        labels = [scores.label(one) for one in fitting]
        raise UsageError(f"{name} is here in several forms; say which: {' or '.join(map(repr, labels))}")
    return fitting[0]


@styled
def ranks(
    results: Path | str,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    aggregate: str = "macro",
    warn: Warn = lambda _: None,
) -> Figure:
    """Rank intervals by corpus month, among the models that were scored on every corpus of every month.

    Args:
        results: what ``evalkit run --output`` wrote.
        corpora: names; empty: all dated ones.
        models: names; empty: all.
        policy: context policy of the language models.
        aggregate: ``macro``, ``micro`` or ``geometric``, over the corpora of a month.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or no two models were scored in two months.
    """
    _check_aggregate(aggregate)
    scores = load_scores(results, corpora=corpora, models=models, policy=policy, warn=warn)
    months = sorted({corpus.month for corpus in scores.store.corpora} - {"undated"})
    views = {
        month: view
        for month in months
        if (view := scores.board.views.get(Choice(policy, None, month))) is not None
    }
    common = set.intersection(*(set(view.entrants) for view in views.values())) if views else set()
    if len(views) < 2 or len(common) < 2:
        raise UsageError(
            f"{results}: ranks over months need two models or more that were scored on every corpus of two "
            f"months or more; there are {len(views)} months and {len(common)} such models"
        )
    by_month = {month: _ranks(view.levels[aggregate], common) for month, view in views.items()}
    spans = {
        month: {one: rank_interval(view.pairs[aggregate], sorted(common), one) for one in common}
        for month, view in views.items()
    }
    last = by_month[list(views)[-1]]
    figure, [axes] = frame(
        "How stable ranks are from month to month",
        f"rank by bits per byte among the {len(common)} models that were scored in every month; policy "
        f"{policy}; bars: rank intervals, from one more than are surely better (95 %, paired) to all but "
        "those surely worse",
        height=max(2.6, 1.0 + 0.3 * len(common)),
    )
    order = sorted(common, key=lambda one: last[one])
    ends = []
    for index, one in enumerate(order):
        style = line_style(index)
        xs = np.arange(len(views)) + 0.04 * (index % 5 - 2)  # side by side where rank intervals cross
        ends.append(EndLabel(last[one], scores.label(one), style["color"], float(xs[-1])))
        axes.plot(xs, [by_month[month][one] for month in views], **style, linewidth=1.3)
        for x, month in zip(xs, views, strict=True):
            low, high = spans[month][one]
            if low < high:
                axes.plot(
                    [x, x], [low, high], color=style["color"], linewidth=4, alpha=0.25, solid_capstyle="round"
                )
    axes.set_ylim(len(common) + 0.5, 0.5)
    axes.set_xlim(-0.3, len(views) - 0.85)
    axes.set_xticks(range(len(views)), list(views))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(len(common), 12)))
    axes.set_ylabel("rank, 1 is best")
    axes.set_xlabel("month of the corpora")
    axes.grid(axis="x", visible=False)
    label_ends(axes, ends)
    return figure


def _ranks(levels: dict[int, Estimate], among: set[int]) -> dict[int, float]:
    """Ranks from 1; equal values share the mean of theirs."""
    values = {one: levels[one].value for one in among}
    return {
        one: 1
        + sum(other < value for other in values.values())
        + (sum(math.isclose(other, value, abs_tol=0) for other in values.values()) - 1) / 2
        for one, value in values.items()
    }
