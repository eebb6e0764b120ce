"""The plot of bits per byte along documents' dates."""

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evalkit.analysis.document_dates import cutoff_of_model, dated_documents
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.results import ScoredCorpus
from evalkit.dates import first_day, last_day
from evalkit.errors import UsageError
from evalkit.models.catalog import load_catalog
from evalkit.plots.frame import BITS_AXIS, FAINT, LABEL_SIZE, LineStyle, Mark, record, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.names import clause, short
from evalkit.plots.panels import panels
from evalkit.plots.scores import (
    Scores,
    Source,
    Warn,
    find_configuration,
    load_scores,
    name_of,
    silent,
    with_reference,
)
from evalkit.stats import ratio_interval

_DAYS_PER_MONTH = 365.25 / 12
_LONGEST_WINDOW_DAYS = 62
"""A corpus whose documents' days are not at hand is dated by its middle, if its window is no longer."""


class _Dated(NamedTuple):
    """One model's documents on the time line of its cutoff; all ``[D]``."""

    days: NDArray[np.float64]
    """Days from the cutoff to the document's day."""
    bits: NDArray[np.float64]
    num_bytes: NDArray[np.int64]
    clusters: list[str]


_BySource = dict[str, dict[int, _Dated]]
"""By source and configuration."""


class _Point(NamedTuple):
    """The documents of some successive days."""

    x: float
    """Months from the cutoff, in the mean."""
    bits_per_byte: float
    low: float
    """Of the interval, as `high`; NaN where there is none."""
    high: float


@styled
def dates(
    results: Source,
    *,
    reference: str | None = None,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Bits per byte against the documents' dates, counted from each model's cutoff or release.

    Each source has a panel of its own, for a line from one source to another would show no time.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        reference: a model, best a compressor, whose bits for the same documents are subtracted: what is left
            does not depend on how hard the texts of a month are. None: nothing is subtracted.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of undated corpora.

    Raises:
        UsageError: a name is unknown, no model has a date, or no document has one.
    """
    names = with_reference(models, reference)
    scores = load_scores(results, corpora=corpora, models=names, policy=policy, warn=warn)
    everyone = range(len(scores.results.configurations))
    anchor = None if reference is None else find_configuration(scores, reference, everyone)
    by_source, undated = _dated_by_source(scores, anchor, warn)
    if not by_source:
        raise UsageError(
            f"{name_of(results)}: no model with a cutoff or release date was scored on a document with a "
            "date; see `evalkit models list` and `evalkit corpora list`"
        )
    order = sorted({index for by_model in by_source.values() for index in by_model}, key=scores.label)
    order, left_out = scores.choose(order, is_named=bool(models), warn=warn)
    by_source = _narrowed(by_source, order)
    days = np.concatenate([dated.days for by_model in by_source.values() for dated in by_model.values()])
    width = _bin_days(float(days.max() - days.min()))
    figure, panel_axes = panels(
        "Bits per byte before and after each model's cutoff",
        f"documents by date, {_bin_words(width)} together, each source by itself; counted from the model's "
        f"published cutoff, else from its release; policy {policy}; bands: 95 % intervals over clusters of "
        f"documents{clause('not shown, for neither is known', undated)}{left_out}",
        num_panels=len(by_source),
        most_lines=max(map(len, by_source.values())),
        least_height=4.4 if len(by_source) == 1 else 3.2,
    )
    first, last = (end / _DAYS_PER_MONTH for end in (min(0.0, days.min()), max(0.0, days.max())))
    room = 0.05 * max(last - first, 1.0)
    label = "" if anchor is None else f" minus those of\n{short(scores.label(anchor))}"
    for axes, (source, by_model) in zip(panel_axes, by_source.items(), strict=True):
        curves = {index: _binned(by_model[index], width) for index in order if index in by_model}
        axes.set_xlim(first - room, last + room)
        _draw_panel(axes, scores, curves)
        axes.set_title(short(source), loc="left", fontweight="bold", pad=14)
        axes.set_ylabel(BITS_AXIS.replace("byte", f"byte{label}", 1))
    return figure


def _narrowed(by_source: Mapping[str, Mapping[int, _Dated]], order: Sequence[int]) -> _BySource:
    """Those of some models, without sources that have none of them."""
    shown = {
        source: {index: dated for index, dated in by_model.items() if index in order}
        for source, by_model in by_source.items()
    }
    return {source: by_model for source, by_model in shown.items() if by_model}


def _draw_panel(axes: Axes, scores: Scores, curves: Mapping[int, Sequence[_Point]]) -> None:
    """A source: a line per model."""
    for index, curve in curves.items():
        _draw_curve(axes, curve, scores.style(index), scores.label(index))
    _mark_cutoff(axes)
    axes.set_xlabel("months from the model's cutoff to the document")
    ends = [
        EndLabel(curve[-1].bits_per_byte, scores.label(index), scores.style(index)["color"], curve[-1].x)
        for index, curve in curves.items()
    ]
    label_ends(axes, ends)


def _dated_by_source(scores: Scores, anchor: int | None, warn: Warn) -> tuple[_BySource, list[str]]:
    """The dated documents of each source and language model but the anchor, and which models have no date."""
    catalog = load_catalog()
    corpora = scores.results.corpora
    days_of = {corpus.key: _document_days(corpus, warn) for corpus in corpora}
    by_source: _BySource = {}
    undated: list[str] = []
    for index, row in enumerate(scores.results.configurations):
        if row.policy is None or index == anchor:
            continue
        cutoff = cutoff_of_model(row.facts, catalog)
        if cutoff is None:
            undated.append(scores.label(index))
            warn(f"{scores.label(index)} is left out: neither its cutoff nor its release is known")
            continue
        for source in sorted(set(scores.sources)):
            members = [corpus for corpus, name in zip(corpora, scores.sources, strict=True) if name == source]
            dated = _dated(members, index, anchor, cutoff.last_day, days_of)
            if len(dated.days):
                by_source.setdefault(source, {})[index] = dated
    return dict(sorted(by_source.items())), undated


def _dated(
    corpora: Sequence[ScoredCorpus],
    configuration: int,
    anchor: int | None,
    cutoff: dt.date,
    days_of: Mapping[str, Sequence[str | None]],
) -> _Dated:
    """A model's documents whose day is known, without the anchor's bits where there is one."""
    days: list[float] = []
    bits: list[float] = []
    num_bytes: list[int] = []
    clusters: list[str] = []
    for corpus in corpora:
        if configuration not in corpus.cells or (anchor is not None and anchor not in corpus.cells):
            continue
        paid = corpus.bits[:, configuration] - (0.0 if anchor is None else corpus.bits[:, anchor])
        for place, day in enumerate(days_of[corpus.key]):
            if day is None or not np.isfinite(paid[place]):
                continue
            days.append((dt.date.fromisoformat(day) - cutoff).days)
            bits.append(float(paid[place]))
            num_bytes.append(int(corpus.num_bytes[place]))
            clusters.append(f"{corpus.key} {corpus.clusters[place]}")
    return _Dated(np.array(days), np.array(bits), np.array(num_bytes, np.int64), clusters)


def _document_days(corpus: ScoredCorpus, warn: Warn) -> list[str | None]:
    """``YYYY-MM-DD`` of each document: its own, else the middle of a short window; None: not known."""
    documents = dated_documents(corpus.facts, corpus.digests, corpus.published_at)
    middle = None
    if documents.date_from and documents.date_to:
        start, end = first_day(documents.date_from), last_day(documents.date_to)
        if (end - start).days <= _LONGEST_WINDOW_DAYS:
            middle = (start + (end - start) / 2).isoformat()
    days = [day[: len("YYYY-MM-DD")] if day else middle for day in documents.published_at]
    if None in days:
        warn(
            f"{corpus.label}: {days.count(None):,} documents are left out: they have no date, or the corpus "
            "is not in the store and spans too long"
        )
    return days


def _bin_days(span_days: float) -> float:
    """A week, a month, a quarter or a year: the first that makes no more than 36 points."""
    widths = (7.0, _DAYS_PER_MONTH, 3 * _DAYS_PER_MONTH, 12 * _DAYS_PER_MONTH)
    return next((width for width in widths if span_days / width <= 36), widths[-1])


def _bin_words(width: float) -> str:
    names = {7.0: "seven days", _DAYS_PER_MONTH: "a month", 3 * _DAYS_PER_MONTH: "three months"}
    return names.get(width, "a year")


def _binned(dated: _Dated, width: float) -> list[_Point]:
    """The documents in bins of some days, from the earliest."""
    points = []
    # The cutoff's own day is the last that may have been read: 0 ends a bin.
    bins = np.ceil(dated.days / width).astype(int)
    for number in sorted(set(bins.tolist())):
        inside = np.flatnonzero(bins == number)
        bits, num_bytes = dated.bits[inside], dated.num_bytes[inside]
        interval = ratio_interval(bits, num_bytes, [dated.clusters[place] for place in inside])
        points.append(
            _Point(
                float(dated.days[inside].mean() / _DAYS_PER_MONTH),
                float(bits.sum() / num_bytes.sum()),
                interval.low if interval else np.nan,
                interval.high if interval else np.nan,
            )
        )
    assert all(first.x < second.x for first, second in itertools.pairwise(points))
    return points


def _draw_curve(axes: Axes, curve: Sequence[_Point], style: LineStyle, label: str) -> None:
    for point in curve:
        ends = (point.low, point.high) if np.isfinite(point.low) else (None, None)
        subject = f"{point.x:+.1f} months from the cutoff".replace("-", "−")
        number = Estimate(point.bits_per_byte, *ends)
        record(axes, Mark(label, subject, point.x, point.bits_per_byte, number, style["color"]))
    xs = [point.x for point in curve]
    lows, highs = [point.low for point in curve], [point.high for point in curve]
    axes.plot(xs, [point.bits_per_byte for point in curve], **style)
    axes.fill_between(xs, lows, highs, color=style["color"], alpha=0.13, linewidth=0)
    if len(curve) == 1 and np.isfinite(lows[0]):  # a band of no width
        axes.plot([xs[0], xs[0]], [lows[0], highs[0]], color=style["color"], linewidth=1.1)


def _mark_cutoff(axes: Axes) -> None:
    """Line and words at the cutoff, grey before it."""
    first, last = axes.get_xlim()
    axes.axvline(0, color=FAINT, linewidth=0.9)
    axes.axvspan(first, 0, color="#F3F3F3", zorder=0, linewidth=0)
    share = -first / (last - first)
    axes.text(
        0,
        1.005,
        "may have been read ←   → newer than the model",
        transform=axes.get_xaxis_transform(),
        ha="left" if share < 1 / 3 else "right" if share > 2 / 3 else "center",
        va="bottom",
        fontsize=LABEL_SIZE - 1,
        color=FAINT,
    )
