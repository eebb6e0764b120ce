"""Documents by month of publication: what a model pays for them beside a panel of others."""

import datetime as dt
import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.bends import Array, Series
from evalkit.analysis.document_dates import dated_documents
from evalkit.analysis.results import Results
from evalkit.dates import first_day, last_day

MAX_WINDOW_DAYS = 31
"""A document is dated by the days on which it can have been published, if they are no more: its own day, a
month, or a short window of its corpus."""
_UNDATED = (-1, -1)
_DIGEST_BYTES = 16


class DatedRows(NamedTuple):
    """Documents that a model and all of a panel have paid for, each once, in no order."""

    first_days: NDArray[np.int64]
    """``[D]``: on which each can have been published, as `datetime.date.toordinal` counts them."""
    last_days: NDArray[np.int64]
    """``[D]``."""
    clusters: NDArray[np.int64]
    """``[D]``: the number of each one's cluster, in the order of their names."""
    num_bytes: NDArray[np.int64]
    bits: Array
    """``[D, 1 + K]``: the model's, then those of the panel."""
    num_undated: int
    """Documents left out for want of a date."""
    num_unpaid: int
    """Documents left out because one of the models could not represent them, or paid nothing."""


class MonthlyDocuments(NamedTuple):
    """The same by month."""

    series: Series
    num_documents: tuple[int, ...]
    """Per month."""


class _Span(NamedTuple):
    """Where the documents of a corpus are among the places."""

    number: int
    """Of the corpus."""
    start: int
    end: int


class _Places(NamedTuple):
    """The dated documents of corpora, each once."""

    spans: tuple[_Span, ...]
    places: NDArray[np.int64]
    """``[D]``: of the document in its corpus."""
    first_days: NDArray[np.int64]
    last_days: NDArray[np.int64]
    num_undated: int


def dated_rows(results: Results, corpora: Sequence[int], rows: Sequence[int]) -> DatedRows:
    """The dated documents of corpora; one that is in several counts once.

    Args:
        results: the cells.
        corpora: indices.
        rows: the model's, then those of the panel.
    """
    dated = _dated_places(results, tuple(corpora))
    num_documents = len(dated.places)
    bits, num_bytes = np.empty((num_documents, len(rows))), np.empty(num_documents, np.int64)
    numbers = np.empty(num_documents, np.int64)
    number_of: dict[str, int] = {}
    for number, start, end in dated.spans:
        corpus, at = results.corpora[number], dated.places[start:end]
        # What strings take is many times what numbers do, and a corpus's are not kept.
        bits[start:end], num_bytes[start:end] = corpus.bits[at][:, rows], corpus.num_bytes[at]
        of_corpus = corpus.clusters
        numbers[start:end] = [number_of.setdefault(of_corpus[place], len(number_of)) for place in at.tolist()]
    names = sorted(number_of)
    in_order = np.empty(len(names), np.int64)
    in_order[[number_of[name] for name in names]] = np.arange(len(names))
    is_paid = np.logical_and.reduce(bits > 0, axis=1)
    first_days, last_days, clusters = dated.first_days, dated.last_days, in_order[numbers]
    num_unpaid = int(num_documents - is_paid.sum())
    if num_unpaid:
        first_days, last_days, clusters = first_days[is_paid], last_days[is_paid], clusters[is_paid]
        num_bytes, bits = num_bytes[is_paid], bits[is_paid]
    return DatedRows(first_days, last_days, clusters, num_bytes, bits, dated.num_undated, num_unpaid)


@functools.lru_cache(maxsize=16)
def _dated_places(results: Results, corpora: tuple[int, ...]) -> _Places:
    """The documents by corpus and place, in this order; kept, for a site asks for every model."""
    digests, days, lengths = bytearray(), [], []
    for number in corpora:
        corpus = results.corpora[number]
        dates = dated_documents(corpus.facts, corpus.digests, corpus.published_at)
        spans = [
            _span(day or dates.date_from, day or dates.date_to) or _UNDATED for day in dates.published_at
        ]
        # Digests of digests, for a cell may say anything: in an array, where strings would fill memory.
        for digest in corpus.digests:
            digests += hashlib.blake2b(digest.encode(), digest_size=_DIGEST_BYTES).digest()
        days.append(np.array(spans, np.int32).reshape(-1, 2))
        lengths.append(len(spans))
    _, firsts = np.unique(np.frombuffer(digests, f"S{_DIGEST_BYTES}"), return_index=True)
    firsts.sort()
    first_days, last_days = np.concatenate(days)[firsts].T.astype(np.int64)
    is_dated = first_days != _UNDATED[0]
    firsts = firsts[is_dated]
    starts = np.cumsum([0, *lengths])
    bounds = np.searchsorted(firsts, starts).tolist()
    return _Places(
        tuple(map(_Span, corpora, bounds, bounds[1:])),
        firsts - np.repeat(starts[:-1], np.diff(bounds)),
        first_days[is_dated],
        last_days[is_dated],
        int(len(is_dated) - is_dated.sum()),
    )


def num_months(results: Results, corpora: Sequence[int]) -> int:
    """How many months the dated documents of corpora are of."""
    dated = _dated_places(results, tuple(corpora))
    return len(set(_months((dated.first_days + dated.last_days) // 2)))


def _months(days: NDArray[np.int64]) -> list[str]:
    """The month of each day, ``YYYY-MM``."""
    distinct, places = np.unique(days, return_inverse=True)
    names = [dt.date.fromordinal(int(day)).isoformat()[: len("YYYY-MM")] for day in distinct]
    return [names[place] for place in places]


@functools.lru_cache(maxsize=1 << 14)
def _span(earliest: str | None, latest: str | None) -> tuple[int, int] | None:
    """The first and last day that two dates can mean; None where one is not known, or they are far apart."""
    if earliest is None or latest is None:
        return None
    first, last = first_day(earliest).toordinal(), last_day(latest).toordinal()
    return (first, last) if 0 <= last - first < MAX_WINDOW_DAYS else None


def monthly_documents(rows: DatedRows) -> MonthlyDocuments:
    """What the model pays beside the panel, month by month of the documents.

    A month's value is the logarithm of the model's bits less the mean logarithm of those of each of the
    panel. Its variance is that of clusters within months, which all months have in common, times the sum of
    the squares of their shares in the month: a month of a single document gets one as well.
    """
    middles = (rows.first_days + rows.last_days) // 2
    names = np.array(_months(middles), str)
    months = np.unique(names).tolist()
    values, squares, days, shares, counts = [], [], [], [], []
    scatter = possible = 0.0
    for month in months:
        inside = np.flatnonzero(names == month)
        bits = rows.bits[inside]
        totals = bits.sum(axis=0)
        values.append(float(np.log(totals[0]) - np.log(totals[1:]).mean()))
        # To first order: what each document adds to the value, and with which weight.
        parts = bits / totals
        _, cluster_of = np.unique(rows.clusters[inside], return_inverse=True)
        effects = np.bincount(cluster_of, weights=parts[:, 0] - parts[:, 1:].mean(axis=1))
        weights = np.bincount(cluster_of, weights=parts[:, 1:].mean(axis=1))
        squares.append(float(weights @ weights))
        scatter += float(effects @ effects)
        possible += float((weights**2 * (1 - 2 * weights + squares[-1])).sum())
        month_days, month_shares = _days(
            rows.first_days[inside], rows.last_days[inside], rows.num_bytes[inside]
        )
        days.append(month_days)
        shares.append(month_shares)
        counts.append(len(inside))
    variance = scatter / possible if possible > 0 else 0.0
    series = Series(tuple(months), np.array(values), variance * np.array(squares), tuple(days), tuple(shares))
    return MonthlyDocuments(series, tuple(counts))


def _days(
    first_days: NDArray[np.int64], last_days: NDArray[np.int64], num_bytes: NDArray[np.int64]
) -> tuple[Array, Array]:
    """The days of documents, and each one's share of the bytes; a document has all its possible days."""
    first = int(first_days.min())
    shares = np.zeros(int(last_days.max()) - first + 2)
    lengths = last_days - first_days + 1
    np.add.at(shares, first_days - first, num_bytes / lengths)
    np.add.at(shares, last_days - first + 1, -num_bytes / lengths)
    shares = np.cumsum(shares)[:-1]
    is_day = shares > 1e-9 * num_bytes.sum()
    return first + np.flatnonzero(is_day).astype(np.float64), shares[is_day] / shares[is_day].sum()
