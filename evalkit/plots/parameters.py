"""The plot of bits per byte against size."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from evalkit.analysis.aggregates import check_aggregate
from evalkit.analysis.estimates import Estimate
from evalkit.errors import UsageError
from evalkit.plots import edges
from evalkit.plots.frame import BITS_AXIS, FAINT, Mark, frame, record, styled
from evalkit.plots.labels import EndLabel, PointLabel, label_points
from evalkit.plots.names import short
from evalkit.plots.scores import Scores, Source, Warn, load_scores, marks_legend, name_of, silent

_SIZE_AT_END = re.compile(r"[-_ ]\d+(\.\d+)?[bm]\b.*", re.IGNORECASE)


class _Model(NamedTuple):
    """A point of the plot."""

    size: int
    level: Estimate
    label: str
    family: str
    color: str
    name: str
    """Without the mark of what it may have read."""


@styled
def parameters(
    results: Source,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    aggregate: str = "macro",
    all_corpora: bool = False,
    warn: Warn = silent,
) -> Figure:
    """Bits per byte against the number of parameters, with the frontier: the best at any size.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        aggregate: one of `evalkit.analysis.aggregates.AGGREGATES`, over several corpora.
        all_corpora: whether all corpora count where none is named; else those that are newer than every model
            shown, as on a leaderboard, where there are some.
        warn: told of every file that is left out, and of every model that is not drawn.

    Raises:
        UsageError: a name is unknown, or no model says how many parameters it has.
    """
    check_aggregate(aggregate)
    scores = load_scores(
        results, corpora=corpora, models=models, policy=policy, newer_only=not all_corpora, warn=warn
    )
    levels = scores.view.levels[aggregate]
    points = _points(scores, levels)
    if not points:
        raise UsageError(
            f"{name_of(results)}: no model here says how many parameters it has; nothing to plot against"
        )
    compressors = [index for index in levels if scores.results.configurations[index].policy is None]
    limits = edges.limits_of(point.level for point in points)
    has_arrows = any(limits.side(levels[index].value) for index in compressors)
    figure, [axes] = frame(
        "What size buys: bits per byte against parameters",
        f"{scores.conditions(aggregate)}; bars: 95 % intervals; thin: families; broad: the lowest "
        "at that size or below"
        f"{marks_legend({scores.mark(index, scores.view.corpora) for index in levels})}"
        f"{f'; {edges.LEGEND}' if has_arrows else ''}{_left_out(scores, levels, warn)}",
        height=max(4.4, min(10.0, 0.8 + 0.15 * len(levels))),
    )
    sizes = [point.size for point in points]
    end = max(sizes) * 1.6
    _prepare_axes(axes, (min(sizes) / 1.6, end), limits)
    frontier = _frontier(points)
    _draw_frontier(axes, frontier, end)
    families = [[point for point in points if point.family == name] for name in _names(points)]
    for members in families:
        _draw_family(axes, members)
    ends = [_draw_compressor(axes, scores, index, levels[index], limits) for index in compressors]
    _label_models(axes, families, list(_stairs(frontier, end)), ends, warn)
    return figure


def _label_models(
    axes: Axes,
    families: Sequence[Sequence[_Model]],
    stairs: Sequence[tuple[float, float]],
    ends: Sequence[EndLabel],
    warn: Warn,
) -> None:
    """Names beside the points, clear of the families' lines and of the frontier's, else at the right."""
    lines = [[(float(point.size), point.level.value) for point in members] for members in families]
    points = [
        PointLabel(point.size, point.level.value, point.label, point.color)
        for members in families
        for point in members
    ]
    bars = [
        [(float(point.size), point.level.low), (float(point.size), point.level.high)]
        for members in families
        for point in members
        if point.level.low is not None and point.level.high is not None
    ]
    num_unnamed = label_points(axes, points, lines=[*lines, *bars, stairs], ends=ends)
    if num_unnamed:
        warn(f"{num_unnamed} of the models have no room for their names; --models draws fewer")


def _draw_compressor(
    axes: Axes, scores: Scores, index: int, level: Estimate, limits: edges.Limits
) -> EndLabel:
    """A level line, or an arrow at the edge beyond which it lies, with its number; returns its name."""
    label, color = scores.label(index), scores.style(index)["color"]
    suffix = edges.pinned_suffix(level.value, limits, f"{level.value:.2f}")
    if not limits.side(level.value):
        axes.axhline(level.value, color=color, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    end = axes.get_xlim()[1]
    record(axes, Mark(label, "compressor", end, limits.pinned(level.value), level, color, is_joined=False))
    return EndLabel(limits.pinned(level.value), label, color, None, suffix)


def _left_out(scores: Scores, levels: Mapping[int, Estimate], warn: Warn) -> str:
    """The models that are not drawn and why, for the figure; ``warn`` is told as well."""
    models = scores.results.configurations
    unsized = [
        index for index in levels if models[index].policy is not None and models[index].num_parameters is None
    ]
    for index in unsized:
        warn(f"{scores.label(index)}: how many parameters it has is not known; not drawn")
    partial = [index for index in range(len(models)) if index not in levels]
    for index in partial:
        warn(f"{scores.label(index)}: it was not scored on every one of these corpora; not drawn")
    reasons = {"size not known": unsized, "not scored on every corpus": partial}
    return "".join(
        f"; not drawn, {reason}: {', '.join(short(scores.label(index)) for index in indices)}"
        for reason, indices in reasons.items()
        if indices
    )


def _points(scores: Scores, levels: Mapping[int, Estimate]) -> list[_Model]:
    """The models whose size is known, from small to large."""
    sizes = {
        index: int(size)
        for index in levels
        if (size := scores.results.configurations[index].num_parameters) is not None
    }
    order = sorted(sizes, key=lambda index: (sizes[index], scores.label(index)))
    family_of = {index: _SIZE_AT_END.sub("", scores.label(index)) for index in order}
    return [
        _Model(
            sizes[index],
            levels[index],
            scores.marked_label(index, scores.view.corpora),
            family_of[index],
            scores.style(index)["color"],
            scores.label(index),
        )
        for index in order
    ]


def _names(points: Sequence[_Model]) -> list[str]:
    return sorted({point.family for point in points})


def _frontier(points: Sequence[_Model]) -> list[tuple[float, float]]:
    """Sizes and bits per byte of the models that no smaller one beats."""
    frontier: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (point.size, point.level.value)):
        if not frontier or point.level.value < frontier[-1][1]:
            frontier.append((point.size, point.level.value))
    return frontier


def _prepare_axes(axes: Axes, sizes: tuple[float, float], limits: edges.Limits) -> None:
    axes.set_xscale("log")
    axes.set_xlim(*sizes)
    axes.set_ylim(*limits)
    axes.set_xlabel("parameters")
    axes.set_ylabel(BITS_AXIS)
    counts = FuncFormatter(lambda value, _: short_count(value))
    axes.xaxis.set_major_formatter(counts)
    # Less than two powers of ten are too few names.
    axes.xaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    axes.xaxis.set_minor_formatter(counts if sizes[1] / sizes[0] < 100 else NullFormatter())


def _draw_frontier(axes: Axes, frontier: Sequence[tuple[float, float]], end: float) -> None:
    axes.step(
        [x for x, _ in frontier] + [end],
        [y for _, y in frontier] + [frontier[-1][1]],
        where="post",
        color="#DDDDDD",
        linewidth=5,
        solid_capstyle="butt",
        zorder=1,
    )


def _draw_family(axes: Axes, members: Sequence[_Model]) -> None:
    sizes, values = [point.size for point in members], [point.level.value for point in members]
    axes.plot(sizes, values, color=FAINT, linewidth=0.7, zorder=2)
    for size, point in zip(sizes, members, strict=True):
        number, subject = point.level, f"{short_count(size)} parameters"
        record(axes, Mark(point.name, subject, size, number.value, number, point.color, is_joined=False))
        if point.level.low is not None and point.level.high is not None:
            axes.plot(
                [size, size],
                [point.level.low, point.level.high],
                color=point.color,
                linewidth=1.1,
                alpha=0.75,
                zorder=2,
            )
        axes.plot([size], [point.level.value], color=point.color, linestyle="", marker="o", zorder=3)


def _stairs(frontier: Sequence[tuple[float, float]], end: float) -> Iterator[tuple[float, float]]:
    """The corners of the frontier's line."""
    for place, (x, y) in enumerate(frontier):
        yield x, y
        yield (frontier[place + 1][0] if place + 1 < len(frontier) else end), y


def short_count(value: float) -> str:
    """``1.5B``, ``200M``, ``30k``."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"
