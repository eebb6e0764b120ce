"""From documents' bits to numbers with intervals: levels, aggregates, paired differences, ranks.

Everything is computed on arrays whose first column is what was measured and whose R other columns are the
bootstrap resamples of `evalkit.stats`: whatever is done to the first is done to each of the others, and the
interval of a number is that of its row. All entrants share the draws of a corpus, so that differences
are paired; different corpora are drawn independently.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.results import ScoredCorpus
from evalkit.stats import resampled_ratios, tails

AGGREGATES = ("macro", "micro", "geometric")
DECIMALS = 6
"""To which numbers are rounded before anything is printed or called a tie."""

Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number and its 95 % interval, where there is one."""

    value: float
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        """The number after ±."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval is clear of 0 on that side, else 0: a tie, or not known."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    def negated(self) -> "Estimate":
        """The estimate of minus the same."""
        if self.low is None or self.high is None:
            return Estimate(0.0 - self.value, None, None)
        return Estimate(0.0 - self.value, 0.0 - self.high, 0.0 - self.low)


def estimates(samples: Array, num_clusters: int) -> list[Estimate]:
    """An estimate per row of ``[N, 1 + R]``; without interval where there are no resamples.

    Args:
        samples: what was measured, and the resamples.
        num_clusters: in each resample; over several corpora the fewest.
    """
    values = samples[:, 0].round(DECIMALS).tolist()
    if samples.shape[1] == 1:
        return [Estimate(value, None, None) for value in values]
    with np.errstate(invalid="ignore"):  # a resample without a byte of an entrant's documents
        low, high = np.quantile(samples[:, 1:], tails(num_clusters), axis=1).round(DECIMALS)
    finite = np.logical_and.reduce(np.isfinite(samples[:, 1:]), axis=1)
    return [
        Estimate(value, float(low[row]), float(high[row])) if finite[row] else Estimate(value, None, None)
        for row, value in enumerate(values)
    ]


def resampled_columns(columns: Array, clusters: Sequence[str], *, stream: int) -> Array:
    """Sums over documents, measured and resampled: ``[N, 1 + R]``.

    Args:
        columns: ``[D, N]``.
        clusters: ``[D]``; with fewer than `stats.MIN_CLUSTERS` distinct ones R is 0.
        stream: see `evalkit.stats.resampled_ratios`.
    """
    measured = columns.sum(axis=0, keepdims=True)
    # A denominator of one per cluster makes ratios that are means per cluster, whose number never changes.
    names, cluster_of, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    resampled = resampled_ratios(columns, 1 / sizes[cluster_of], clusters, stream=stream)
    rows = measured if resampled is None else np.concatenate((measured, resampled * len(names)))
    return np.ascontiguousarray(rows.T)


class Sums(NamedTuple):
    """A corpus's sums, measured and resampled, over the documents that a pair of entrants has in common."""

    bits: Array
    """``[M, K, 1 + R]``: M sets of documents; bits of an entrant outside its own documents count as 0."""
    num_bytes: Array
    """``[M, 1 + R]``."""
    common: NDArray[np.int64]
    """``[K, K]``: which of the M sets two entrants have in common; on the diagonal an entrant's own."""
    num_clusters: int


def resampled_sums(corpus: ScoredCorpus, *, stream: int) -> Sums:
    """The sums of a corpus; M is 1 where every entrant could represent every document.

    Args:
        corpus: its documents.
        stream: see `evalkit.stats.resampled_ratios`.
    """
    entrants = sorted(corpus.cells)
    known = np.ones_like(corpus.bits, dtype=bool)
    known[:, entrants] = ~np.isnan(corpus.bits[:, entrants])
    bits = np.where(np.isnan(corpus.bits), 0.0, corpus.bits)
    sets, own = np.unique(known.T, axis=0, return_inverse=True)
    joint = sets[:, None] & sets[None]
    masks, joint_index = np.unique(joint.reshape(-1, len(bits)), axis=0, return_inverse=True)
    common = joint_index.reshape(len(sets), len(sets))[np.ix_(own.ravel(), own.ravel())]
    columns = np.concatenate(
        [np.column_stack((bits * mask[:, None], corpus.num_bytes * mask)) for mask in masks], axis=1
    )
    rows = resampled_columns(columns, corpus.clusters, stream=stream)
    stacked = rows.reshape(len(masks), -1, rows.shape[1])
    return Sums(stacked[:, :-1], stacked[:, -1], common, len(set(corpus.clusters)))


def aggregate(kind: str, bits: Sequence[Array], num_bytes: Sequence[Array]) -> Array:
    """Bits per byte over several corpora, ``[N, 1 + R]``.

    Args:
        kind: ``macro`` (mean over corpora), ``micro`` (all bits over all bytes) or ``geometric``.
        bits: per corpus, ``[N, 1 + R]``.
        num_bytes: per corpus, ``[N, 1 + R]`` or ``[1, 1 + R]``.
    """
    lengths = {rows.shape[1] for rows in bits}
    # A corpus of too few clusters has no resamples: no interval for the whole.
    end = 1 if len(lengths) > 1 else max(lengths)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "micro":
            return np.asarray(sum(one[:, :end] for one in bits) / sum(one[:, :end] for one in num_bytes))
        ratios = [top[:, :end] / bottom[:, :end] for top, bottom in zip(bits, num_bytes, strict=True)]
        if kind == "macro":
            return np.asarray(sum(ratios) / len(ratios))
        return np.asarray(np.exp(sum(np.log(ratio) for ratio in ratios) / len(ratios)))


def levels(kind: str, sums: Sequence[Sums], entrants: Sequence[int]) -> dict[int, Estimate]:
    """The aggregate of each entrant over these corpora, each over the documents it could represent."""
    if not entrants:
        return {}
    samples = _level_samples(kind, sums, entrants)
    return dict(zip(entrants, estimates(samples, fewest_clusters(sums)), strict=True))


def fewest_clusters(sums: Sequence[Sums]) -> int:
    """Of any corpus: what decides how wide an interval over several must be, to be on the safe side."""
    return min(one.num_clusters for one in sums)


def _level_samples(kind: str, sums: Sequence[Sums], entrants: Sequence[int]) -> Array:
    own = [one.common[entrants, entrants] for one in sums]
    bits = [one.bits[sets, entrants] for one, sets in zip(sums, own, strict=True)]
    return aggregate(kind, bits, [one.num_bytes[sets] for one, sets in zip(sums, own, strict=True)])


def differences(kind: str, sums: Sequence[Sums], entrants: Sequence[int]) -> dict[tuple[int, int], Estimate]:
    """First minus second for every pair of entrants, over the documents that both could represent."""
    found: dict[tuple[int, int], Estimate] = {}
    whole = all(len(one.bits) == 1 for one in sums)
    samples = _level_samples(kind, sums, entrants) if whole and entrants else None
    for place, first in enumerate(entrants[:-1]):
        others = list(entrants[place + 1 :])
        if samples is not None:
            gaps = samples[place] - samples[place + 1 :]
        else:
            common = [one.common[first, others] for one in sums]
            num_bytes = [one.num_bytes[sets] for one, sets in zip(sums, common, strict=True)]
            firsts = [one.bits[sets, first] for one, sets in zip(sums, common, strict=True)]
            seconds = [one.bits[sets, others] for one, sets in zip(sums, common, strict=True)]
            gaps = aggregate(kind, firsts, num_bytes) - aggregate(kind, seconds, num_bytes)
        found |= {
            (first, other): one
            for other, one in zip(others, estimates(gaps, fewest_clusters(sums)), strict=True)
            if math.isfinite(one.value)  # else the two have no document in common
        }
    return found


def difference_of(pairs: dict[tuple[int, int], Estimate], first: int, second: int) -> Estimate | None:
    """First minus second from `differences`, whichever way round it holds them; None if it does not."""
    if (first, second) in pairs:
        return pairs[first, second]
    return pairs[second, first].negated() if (second, first) in pairs else None


def rank_interval(
    pairs: dict[tuple[int, int], Estimate], entrants: Sequence[int], entrant: int
) -> tuple[int, int]:
    """The ranks that an entrant may have: one more than those surely better, to all but those surely worse.

    An entrant is surely better where the paired interval of the difference is clear of 0. The construction is
    the marginal confidence set of Mogstad, Romano, Shaikh & Wilhelm, "Inference for Ranks with Applications
    to Mobility across Neighbourhoods and Academic Achievement across Countries", Review of Economic Studies
    91 (2024), with pairwise intervals that are not widened for the number of entrants.
    """
    signs = [
        one.sign
        for other in entrants
        if other != entrant and (one := difference_of(pairs, entrant, other)) is not None
    ]
    return 1 + sum(sign > 0 for sign in signs), len(entrants) - sum(sign < 0 for sign in signs)
