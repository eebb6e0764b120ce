"""The plot of paired differences from one model."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evalkit.analysis.aggregates import check_aggregate
from evalkit.analysis.estimates import Estimate
from evalkit.errors import UsageError
from evalkit.plots import edges
from evalkit.plots.frame import FAINT, LABEL_SIZE, TEXT, LineStyle, Mark, frame, record, styled
from evalkit.plots.scores import (
    Scores,
    Source,
    Warn,
    find_configuration,
    load_scores,
    marks_legend,
    name_of,
    silent,
    with_reference,
)


@styled
def differences(
    results: Source,
    *,
    reference: str | None = None,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    aggregate: str = "macro",
    all_corpora: bool = False,
    warn: Warn = silent,
) -> Figure:
    """Every model's paired difference from one of them, with 95 % intervals; ties are called ties.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        reference: the model to compare with; None: the one with the lowest bits per byte.
        corpora: names; empty: all.
        models: names; empty: all. The reference is always among them.
        policy: context policy of the language models.
        aggregate: one of `evalkit.analysis.aggregates.AGGREGATES`, over several corpora.
        all_corpora: whether all corpora count where none is named; else those that are newer than every model
            shown, as on a leaderboard, where there are some.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or there is nothing to compare with.
    """
    check_aggregate(aggregate)
    models, newer_only = with_reference(models, reference), not all_corpora
    scores = load_scores(
        results, corpora=corpora, models=models, policy=policy, newer_only=newer_only, warn=warn
    )
    view, order = scores.view, scores.view.order(aggregate)
    anchor = order[0] if reference is None else find_configuration(scores, reference, order)
    rivals = [index for index in order if index != anchor]
    anchor_label = scores.marked_label(anchor, view.corpora)
    if not rivals:
        label = scores.label(anchor)
        raise UsageError(f"{name_of(results)}: only {label} is left; a difference needs two models")
    gaps = {index: view.pairs[aggregate].difference(index, anchor) for index in rivals}
    limits = _limits(scores, gaps, anchor)
    has_arrows = any(gap is not None and limits.side(gap.value) for gap in gaps.values())
    figure, [axes] = frame(
        f"Paired differences from {anchor_label}",
        f"{scores.conditions(aggregate)}; 95 % intervals over resampled clusters of documents; "
        "small marks: single corpora; hollow: a tie, the interval contains 0"
        f"{f'; {edges.LEGEND}' if has_arrows else ''}"
        f"{marks_legend({scores.mark(index, view.corpora) for index in order})}",
        height=0.9 + 0.3 * len(rivals),
    )
    for row, (index, gap) in enumerate(gaps.items()):
        if gap is not None:
            singles = _singles(scores, index, anchor) if len(view.corpora) > 1 else []
            _draw_row(axes, row, gap, singles, limits, scores.style(index))
            names = scores.label(index), f"minus {scores.label(anchor)}"
            x, color = limits.pinned(gap.value), scores.style(index)["color"]
            record(axes, Mark(*names, x, row, gap, color, False, True))
    _prepare_axes(axes, limits, [scores.marked_label(index, view.corpora) for index in rivals])
    axes.set_xlabel(f"bits per byte minus those of {anchor_label}; below 0 is better")
    return figure


def _prepare_axes(axes: Axes, limits: edges.Limits, names: Sequence[str]) -> None:
    axes.set_xlim(*limits)
    if not limits.side(0):
        axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(7))


def _limits(scores: Scores, gaps: Mapping[int, Estimate | None], anchor: int) -> edges.Limits:
    """Of the axis: language models' differences, on single corpora as well, and 0 if one is the reference."""
    models = scores.results.configurations
    setting = [index for index in gaps if models[index].policy is not None] or list(gaps)
    shown = [gap for index in setting if (gap := gaps[index]) is not None]
    for index in setting:
        shown += [Estimate(single, None, None) for single in _singles(scores, index, anchor)]
    if not shown or models[anchor].policy is not None or setting == list(gaps):
        shown.append(Estimate(0.0, None, None))
    return edges.limits_of(shown)


def _singles(scores: Scores, index: int, anchor: int) -> list[float]:
    """The differences on single corpora."""
    gaps = [scores.board.difference(corpus, index, anchor) for corpus in scores.view.corpora]
    return [gap.value for gap in gaps if gap is not None]


def _draw_row(
    axes: Axes,
    row: int,
    gap: Estimate,
    singles: Sequence[float],
    limits: edges.Limits,
    style: LineStyle,
) -> None:
    """A difference with its interval, those of single corpora as small marks, and its numbers."""
    color = style["color"]
    side = limits.side(gap.value)
    if singles:
        axes.plot(
            singles, [row] * len(singles), linestyle="", marker="|", markersize=7, color=color, alpha=0.45
        )
    if gap.low is not None and gap.high is not None:
        axes.plot([gap.low, gap.high], [row, row], color=color, linewidth=2.4, solid_capstyle="round")
    marker = edges.SIDEWAYS_MARKERS.get(side, "o")
    face = color if gap.sign else "white"
    axes.plot(
        [limits.pinned(gap.value)],
        [row],
        marker=marker,
        color=color,
        markerfacecolor=face,
        markersize=5,
        clip_on=not side,
    )
    axes.text(
        1.02,
        row,
        f"{edges.SIDEWAYS_ARROWS[side]} {gap_text(gap)}" if side else gap_text(gap),
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=LABEL_SIZE,
        color=TEXT if gap.sign else FAINT,
    )


def gap_text(gap: Estimate) -> str:
    """A difference and its interval, or that it is a tie."""
    if gap.low is None or gap.high is None:
        return f"{gap.value:+.3f} (no interval)".replace("-", "−")
    word = "tie: " if gap.sign == 0 else ""
    return f"{word}{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]".replace("-", "−")
