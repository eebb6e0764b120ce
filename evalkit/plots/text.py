"""Plots of where in the text bits go: along the context, and along documents' dates."""

import datetime as dt
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from evalkit.analysis.positions import EDGES, PositionBits, position_curve
from evalkit.analysis.results import ScoredCorpus
from evalkit.corpora.store import list_corpora, load_corpus
from evalkit.dates import last_day
from evalkit.errors import UsageError
from evalkit.plots.frame import (
    BITS_AXIS,
    FAINT,
    LABEL_SIZE,
    EndLabel,
    Scores,
    Warn,
    frame,
    label_ends,
    label_points,
    line_style,
    load_scores,
    styled,
)
from evalkit.plots.models import find_entrant
from evalkit.stats import ratio_interval

_DAYS_PER_MONTH = 365.25 / 12
_LONGEST_WINDOW_DAYS = 62
"""A corpus whose documents' days are not at hand is dated by its middle, if its window is no longer."""


@styled
def positions(
    results: Path | str,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = lambda _: None,
) -> Figure:
    """Bits per byte against the position in the document, from cells with ``--token-bits``.

    One corpus is shown: the one with the most such cells.

    Args:
        results: what ``evalkit run --output`` wrote.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of other corpora that could be shown.

    Raises:
        UsageError: a name is unknown, or no cell has the bits of tokens.
    """
    scores = load_scores(results, corpora=corpora, models=models, policy=policy, warn=warn)
    with_tokens = {
        corpus.key: [
            entrant for entrant, cell in corpus.cells.items() if cell.content["documents"]["token_bits"]
        ]
        for corpus in scores.store.corpora
    }
    able = [corpus for corpus in scores.store.corpora if with_tokens[corpus.key]]
    if not able:
        raise UsageError(
            f"{results}: no cell of a language model here has the bits of its tokens; "
            "run again with --token-bits"
        )
    corpus = max(able, key=lambda one: (len(with_tokens[one.key]), one.label))
    if len(able) > 1:
        others = ", ".join(one.label for one in able if one is not corpus)
        warn(f"shown: {corpus.label}; --corpora shows another: {others}")
    edges = edges_for(corpus)
    is_long = corpus.num_bytes >= edges[-1]
    num_long = int(np.count_nonzero(is_long))
    curves = {}
    for entrant in with_tokens[corpus.key]:
        if np.isfinite(corpus.bits[is_long, entrant]).any():
            curves[entrant] = position_curve(corpus.cells[entrant], edges)
        else:
            warn(f"{scores.label(entrant)} is left out: it can represent none of the {num_long:,} documents")
    if not curves:
        raise UsageError(f"{corpus.label}: no model can represent a document of {edges[-1]:,} bytes")
    figure, [axes] = frame(
        "How far back models make use of what they have read",
        f"{corpus.label}: the {num_long:,} of {len(corpus.ids):,} documents of {edges[-1]:,} bytes and more; "
        f"policy {policy}; bands: 95 % intervals over clusters of documents",
    )
    axes.set_xscale("log", base=2)
    for index, (_, curve) in enumerate(curves.items()):
        _draw_curve(axes, curve, index)
    centers = [_center(point) for point in next(iter(curves.values()))]
    axes.xaxis.set_major_locator(FixedLocator([float(edge) for edge in edges[1:]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(centers[0] / 1.2, edges[-1])
    axes.set_xlabel("position in the document, bytes from its start")
    axes.set_ylabel(BITS_AXIS)
    label_ends(
        axes,
        [
            EndLabel(curve[-1].bits_per_byte, scores.label(one), line_style(index)["color"], centers[-1])
            for index, (one, curve) in enumerate(curves.items())
        ],
    )
    return figure


def edges_for(corpus: ScoredCorpus) -> tuple[int, ...]:
    """Byte offsets up to the last one that ten documents, or a tenth of them, reach.

    Raises:
        UsageError: too few documents are long enough to have two positions.
    """
    enough = max(2, min(10, len(corpus.ids) // 10))
    reached = [edge for edge in EDGES if np.count_nonzero(corpus.num_bytes >= edge) >= enough]
    if len(reached) < 3:
        raise UsageError(
            f"{corpus.label}: fewer than {enough} documents have {EDGES[2]} bytes; a curve needs longer ones"
        )
    return tuple(reached)


def _center(point: PositionBits) -> float:
    return float(np.sqrt(max(point.first_byte, point.end_byte / 4) * point.end_byte))


def _draw_curve(axes: object, curve: Sequence[PositionBits], index: int) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    style = line_style(index)
    xs = [_center(point) for point in curve]
    axes.plot(xs, [point.bits_per_byte for point in curve], **style)
    known = [(x, point.interval) for x, point in zip(xs, curve, strict=True) if point.interval]
    axes.fill_between(
        [x for x, _ in known],
        [one.low for _, one in known],
        [one.high for _, one in known],
        color=style["color"],
        alpha=0.13,
        linewidth=0,
    )


class _Dated(NamedTuple):
    """One model's documents on the time line of its cutoff; all ``[D]``."""

    days: NDArray[np.float64]
    """Days from the cutoff to the document's day."""
    bits: NDArray[np.float64]
    num_bytes: NDArray[np.int64]
    clusters: list[str]


@styled
def dates(
    results: Path | str,
    *,
    reference: str | None = None,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = lambda _: None,
) -> Figure:
    """Bits per byte against the documents' dates, counted from each model's cutoff or release.

    Args:
        results: what ``evalkit run --output`` wrote.
        reference: a model, best a compressor, whose bits for the same documents are subtracted: what is left
            does not depend on how hard the texts of a month are. None: nothing is subtracted.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of undated corpora.

    Raises:
        UsageError: a name is unknown, no model has a date, or no document has one.
    """
    wanted = [*models, reference] if models and reference and reference not in models else models
    scores = load_scores(results, corpora=corpora, models=wanted, policy=policy, warn=warn)
    everyone = list(range(len(scores.store.entrants)))
    anchor = None if reference is None else find_entrant(scores, reference, everyone)
    days_of = {corpus.key: _document_days(corpus, warn) for corpus in scores.store.corpora}
    found: dict[int, _Dated] = {}
    for one in everyone:
        facts = scores.store.entrants[one].facts
        cutoff = facts.get("knowledge_cutoff") or facts.get("released")
        if scores.store.entrants[one].policy is None or not cutoff or one == anchor:
            continue
        dated = _dated(scores, one, anchor, last_day(str(cutoff)), days_of)
        if len(dated.days):
            found[one] = dated
    if not found:
        raise UsageError(
            f"{results}: no model with a cutoff or release date was scored on a document with a date; see "
            "`evalkit models list` and `evalkit corpora list`"
        )
    everything = np.concatenate([one.days for one in found.values()])
    width = _bin_days(float(everything.max() - everything.min()))
    label = "" if anchor is None else f" minus those of {scores.label(anchor)}"
    figure, [axes] = frame(
        "Bits per byte before and after each model's cutoff",
        f"documents by date, {_bin_words(width)} together, counted from the model's published cutoff, "
        f"else from its release; policy {policy}; bands: 95 % intervals over clusters of documents",
    )
    ends: list[tuple[float, float, str, str]] = []
    lines: list[list[tuple[float, float]]] = []
    for index, (one, dated) in enumerate(sorted(found.items(), key=lambda item: scores.label(item[0]))):
        style = line_style(index)
        xs, ys, lows, highs = _binned(dated, width)
        axes.plot(xs, ys, **style)
        axes.fill_between(xs, lows, highs, color=style["color"], alpha=0.13, linewidth=0)
        if len(xs) == 1 and np.isfinite(lows[0]):
            axes.plot([xs[0], xs[0]], [lows[0], highs[0]], color=style["color"], linewidth=1.1)
        ends.append((xs[-1], ys[-1], scores.label(one), style["color"]))
        lines.append(list(zip(xs, ys, strict=True)))
    left, right = axes.get_xlim()
    margin = 0.03 * max(right - left, 1.0)
    axes.set_xlim(min(left, -margin), max(right, margin))
    axes.axvline(0, color=FAINT, linewidth=0.9)
    if left < 0:
        axes.axvspan(min(left, -margin), 0, color="#F3F3F3", zorder=0, linewidth=0)
    axes.text(
        0,
        1.005,
        "may have been read ←   → newer than the model",
        transform=axes.get_xaxis_transform(),
        ha="center" if left < -0.2 * max(right, 1) < 0 else "left",
        va="bottom",
        fontsize=LABEL_SIZE - 1,
        color=FAINT,
    )
    axes.set_xlabel("months from the model's cutoff to the document")
    axes.set_ylabel(BITS_AXIS.replace("byte", f"byte{label}", 1))
    label_points(axes, ends, lines=[*lines, [(0.0, y) for y in axes.get_ylim()]])
    return figure


def _dated(
    scores: Scores,
    entrant: int,
    anchor: int | None,
    cutoff: dt.date,
    days_of: dict[str, list[str | None]],
) -> _Dated:
    days: list[float] = []
    bits: list[float] = []
    num_bytes: list[int] = []
    clusters: list[str] = []
    for corpus in scores.store.corpora:
        if entrant not in corpus.cells or (anchor is not None and anchor not in corpus.cells):
            continue
        paid = corpus.bits[:, entrant] - (0.0 if anchor is None else corpus.bits[:, anchor])
        for place, day in enumerate(days_of[corpus.key]):
            if day is None or not np.isfinite(paid[place]):
                continue
            days.append((dt.date.fromisoformat(day) - cutoff).days)
            bits.append(float(paid[place]))
            num_bytes.append(int(corpus.num_bytes[place]))
            clusters.append(f"{corpus.key} {corpus.clusters[place]}")
    return _Dated(np.array(days), np.array(bits), np.array(num_bytes, np.int64), clusters)


def _document_days(corpus: ScoredCorpus, warn: Warn) -> list[str | None]:
    """``YYYY-MM-DD`` of each document: its own, else the middle of a short window."""
    if corpus.name in list_corpora():
        known = load_corpus(corpus.name)
        by_digest = {document.sha256: document.published_at for document in known.documents}
        days = [by_digest.get(digest) for digest in corpus.digests]
        if all(days):
            return [day[:10] if day else None for day in days]
    first, last = corpus.facts["date_from"], corpus.facts["date_to"]
    if first and last:
        start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
        if (end - start).days <= _LONGEST_WINDOW_DAYS:
            return [(start + (end - start) / 2).isoformat()] * len(corpus.ids)
    warn(
        f"{corpus.label} is left out: its documents have no date, or it is not in the store and spans "
        "too long"
    )
    return [None] * len(corpus.ids)


def _bin_days(span_days: float) -> float:
    """A week, a month, a quarter or a year: the first that makes no more than 36 points."""
    widths = (7.0, _DAYS_PER_MONTH, 3 * _DAYS_PER_MONTH, 12 * _DAYS_PER_MONTH)
    return next((width for width in widths if span_days / width <= 36), widths[-1])


def _bin_words(width: float) -> str:
    names = {7.0: "seven days", _DAYS_PER_MONTH: "a month", 3 * _DAYS_PER_MONTH: "three months"}
    return names.get(width, "a year")


def _binned(dated: _Dated, width: float) -> tuple[list[float], list[float], list[float], list[float]]:
    """Months from the cutoff (mean of the documents'), bits per byte, interval (NaN where there is none)."""
    xs, ys, lows, highs = [], [], [], []
    # The cutoff's own day is the last that may have been read: 0 ends a bin.
    bins = np.ceil(dated.days / width).astype(int)
    for number in sorted(set(bins.tolist())):
        inside = np.flatnonzero(bins == number)
        bits, num_bytes = dated.bits[inside], dated.num_bytes[inside]
        interval = ratio_interval(bits, num_bytes, [dated.clusters[place] for place in inside])
        xs.append(float(dated.days[inside].mean() / _DAYS_PER_MONTH))
        ys.append(float(bits.sum() / num_bytes.sum()))
        lows.append(interval.low if interval else np.nan)
        highs.append(interval.high if interval else np.nan)
    assert all(first < second for first, second in itertools.pairwise(xs))
    return xs, ys, lows, highs
