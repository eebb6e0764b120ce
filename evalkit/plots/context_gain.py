"""The plot of what longer contexts gain."""

from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from evalkit.analysis.context_gain import GainCurve, gain_curves
from evalkit.errors import UsageError, unknown_name
from evalkit.patterns import matching_names
from evalkit.plots import edges
from evalkit.plots.frame import FAINT, LineStyle, Mark, frame, record, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.lines import choose_lines, model_styles
from evalkit.plots.scores import Source, Warn, name_of, results_of, silent

_WHOLE_FACTOR = 4.0
"""How far behind the longest context the whole text stands."""


@styled
def context_gain(
    results: Source,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """What models gain from longer contexts on the same paid text, from the cells of ``--context-gain``.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        corpora: names of those whose contexts were cut; empty: the one with the most models.
        models: names; empty: all.
        policy: context policy.
        warn: told of every file that is left out, and of other corpora that could be shown.

    Raises:
        UsageError: a name is unknown, or there are no such cells.
    """
    read = results_of(results, warn)
    curves = [curve for curve in gain_curves(read.cells) if curve.policy == policy]
    if not curves:
        raise UsageError(
            f"{name_of(results)}: no cells of contexts of several lengths; run with --context-gain 1k,4k"
        )
    models = _checked_names("model", models, [curve.model for curve in curves])
    corpora = _checked_names("corpus", corpora, [curve.corpus for curve in curves])
    chosen = [curve for curve in curves if not models or curve.model in models]
    names = [curve.corpus for curve in chosen if not corpora or curve.corpus in corpora]
    if not names:
        raise UsageError(f"{name_of(results)}: none of these models was scored on one of these corpora")
    shown = max(sorted(set(names)), key=names.count)
    if len(set(names)) > 1:
        warn(f"shown: {shown}; --corpora shows another: {', '.join(sorted(set(names) - {shown}))}")
    of_corpus = [curve for curve in chosen if curve.corpus == shown]
    lines = choose_lines(
        (curve.model for curve in of_corpus), tuple(model_styles(read)), is_named=bool(models), warn=warn
    )
    drawn = [curve for curve in of_corpus if curve.model in lines.names]
    compressors = {row.model for row in read.configurations if row.policy is None}
    return _figure(drawn, model_styles(read), compressors, shown, f"policy {policy}{lines.note}")


def _checked_names(kind: str, names: Sequence[str], scored_names: Sequence[str]) -> list[str]:
    """The names, and for patterns what they match."""
    names = matching_names(names, scored_names)
    for name in names:
        if name not in scored_names:
            raise unknown_name(kind, name, scored_names, "It has no cells of --context-gain.")
    return names


def _figure(
    curves: Sequence[GainCurve],
    styles: Mapping[str, LineStyle],
    compressors: Collection[str],
    corpus: str,
    conditions: str,
) -> Figure:
    numbers = sorted({curve.num_documents for curve in curves})
    setting = [curve for curve in curves if curve.model not in compressors] or curves
    limits = edges.limits_of([point.gain for curve in setting for point in curve.points])
    has_arrows = any(limits.side(point.gain.value) for curve in curves for point in curve.points)
    figure, [axes] = frame(
        "How far back do models use what they have read?",
        f"{corpus}: the same text of {' to '.join(f'{number:,}' for number in numbers)} documents behind "
        f"longer and longer contexts; {conditions}; paired; bands: 95 % intervals over clusters"
        f"{f'; {edges.LEGEND}' if has_arrows else ''}",
        height=max(4.4, 0.8 + 0.17 * len(curves)),
    )
    axes.set_xscale("log", base=2)
    axes.set_ylim(*limits)
    lengths = sorted(
        {
            float(point.num_context_bytes)
            for curve in curves
            for point in curve.points
            if point.num_context_bytes is not None
        }
    )
    ends = []
    for curve in curves:
        _draw(axes, curve, styles[curve.model], lengths, limits)
        color = styles[curve.model]["color"]
        limit = "" if curve.context_limit is None else f" ≤{curve.context_limit:,} tokens"
        last = curve.points[-1].gain.value
        suffix = limit + edges.pinned_suffix(last, limits, f"{last:.3f}")
        end = _place(curve.points[-1].num_context_bytes, lengths)
        ends.append(EndLabel(limits.pinned(last), curve.model, color, end, suffix))
    axes.axhline(0, color=FAINT, linewidth=0.9)
    words = {_place(length, lengths): f"{length:,.0f}" for length in lengths}
    words[_place(None, lengths)] = "all"
    axes.xaxis.set_major_locator(FixedLocator(list(words)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.get(value, "")))
    axes.set_xlabel("context, bytes directly before the paid text")
    axes.set_ylabel("bits per byte less than behind the shortest\ncontext, higher is better")
    label_ends(axes, ends)
    return figure


def _place(length: float | None, lengths: Sequence[float]) -> float:
    """Where a length stands: on a logarithmic axis, which has no place for 0 nor for the whole text."""
    positive = [positive_length for positive_length in lengths if positive_length]
    if length is None:
        return max(positive, default=1.0) * _WHOLE_FACTOR
    return float(length) if length else min(positive, default=2.0) / _WHOLE_FACTOR


def _draw(
    axes: Axes, curve: GainCurve, style: LineStyle, lengths: Sequence[float], limits: edges.Limits
) -> None:
    x = [_place(point.num_context_bytes, lengths) for point in curve.points]
    for at, point in zip(x, curve.points, strict=True):
        length = "all" if point.num_context_bytes is None else f"{point.num_context_bytes:,} bytes"
        record(
            axes, Mark(curve.model, f"{length} of context", at, point.gain.value, point.gain, style["color"])
        )
    if edges.pin_line(axes, x, [point.gain.value for point in curve.points], limits, style):
        return
    axes.plot(x, [point.gain.value for point in curve.points], **style)
    bands = [
        (at, point.gain.low, point.gain.high)
        for at, point in zip(x, curve.points, strict=True)
        if point.gain.low is not None and point.gain.high is not None
    ]
    axes.fill_between(
        [at for at, _, _ in bands],
        [low for _, low, _ in bands],
        [high for _, _, high in bands],
        color=style["color"],
        alpha=0.13,
        linewidth=0,
    )
