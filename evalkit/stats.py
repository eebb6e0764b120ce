"""Intervals for ratios of sums, by resampling what was sampled: clusters of documents.

The unit of sampling is the document, or the author, repository or site that several documents share.
Intervals over tokens would be far too small, for tokens of one document are not independent draws.
All intervals are expanded percentile intervals of a bootstrap (Efron & Tibshirani 1993, ch. 13; Hesterberg,
"What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015, section 5.3) with a fixed
seed, so that the same cells always print the same digits.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
MIN_CLUSTERS = 5
"""With fewer, the quantiles of `tails` lie beyond the outermost resample (n times the same cluster, of
probability n^-n), and the interval from the least to the greatest cluster holds the truth too seldom: for
two clusters in half of all cases, for four in seven of eight."""
NUM_RESAMPLES = 4000
SEED = 0
_FEW = 1024
_BLOCK = 1 << 22
"""Counts drawn at once, 32 MB; the draws do not depend on it."""


class Interval(NamedTuple):
    """A confidence interval, `CONFIDENCE` wide."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half its length: the number after ±."""
        return (self.high - self.low) / 2


def resampled_ratios(
    numerators: ArrayLike, denominators: ArrayLike, clusters: Sequence[str], *, stream: int = 0
) -> NDArray[np.float64] | None:
    """``sum(numerators) / sum(denominators)`` over resampled clusters.

    Args:
        numerators: one number per document, ``[D]``, or several, ``[D, K]``.
        denominators: ``[D]``, e.g. bytes.
        clusters: ``[D]``, the cluster that each document belongs to.
        stream: which independent sequence of draws to use: the same for what is compared on the same
            documents, another for another corpus.

    Returns:
        ``[NUM_RESAMPLES]`` or ``[NUM_RESAMPLES, K]``; None with fewer than `MIN_CLUSTERS` clusters, which
        say too little about how much another sample would differ.
    """
    # A resample takes whole clusters, so all that matters of one are its sums.
    _, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    num_clusters = int(cluster_of.max()) + 1 if len(cluster_of) else 0
    if num_clusters < MIN_CLUSTERS:
        return None
    tops = np.asarray(numerators, dtype=np.float64)
    summed_tops = np.zeros((num_clusters, *tops.shape[1:]))
    np.add.at(summed_tops, cluster_of, tops)  # not +=, which would keep one of the documents of a cluster
    summed_bottoms = np.bincount(cluster_of, weights=np.asarray(denominators, dtype=np.float64))
    # Drawing n clusters with replacement is drawing how often each is in: a multinomial row. The sums of all
    # resamples are then one matrix product, in blocks, as 4,000 rows of 100,000 clusters take 3 GB.
    ratios, first = np.empty((NUM_RESAMPLES, *tops.shape[1:])), 0
    for drawn in _few_draws(num_clusters, stream) if num_clusters <= _FEW else _draws(num_clusters, stream):
        bottoms = drawn @ summed_bottoms
        block = ratios[first : first + len(drawn)]
        np.divide(drawn @ summed_tops, bottoms.reshape(-1, *[1] * (tops.ndim - 1)), out=block)
        first += len(drawn)
    return ratios


def _draws(num_clusters: int, stream: int) -> Iterator[NDArray[np.int64]]:
    """How often each cluster is in each resample, in blocks ``[B, num_clusters]``."""
    rng = np.random.default_rng([SEED, stream])
    shares = np.full(num_clusters, 1 / num_clusters)
    block = max(1, _BLOCK // num_clusters)
    for first in range(0, NUM_RESAMPLES, block):
        yield rng.multinomial(num_clusters, shares, size=min(block, NUM_RESAMPLES - first))


@functools.lru_cache(maxsize=4)
def _few_draws(num_clusters: int, stream: int) -> tuple[NDArray[np.int16], ...]:
    """`_draws` of up to `_FEW` clusters, kept: corpora and spans of days of as many clusters have the same.

    To draw them takes most of the time of an interval. Four of the largest take 32 MB.
    """
    return tuple(drawn.astype(np.int16) for drawn in _draws(num_clusters, stream))


def tails(num_clusters: int) -> tuple[float, float]:
    """Between which quantiles of bootstrap samples the interval lies.

    Resamples of n clusters vary less than samples do, by the factor sqrt((n - 1) / n), and their spread is
    itself estimated: the tails are those of a normal distribution beyond sqrt(n / (n - 1)) times Student's
    quantile. With 2.5 % to 97.5 % intervals of 20 clusters would hold the truth in 90 % of cases.
    """
    from scipy.special import ndtr, stdtrit

    size = num_clusters - 1
    low = float(ndtr(-np.sqrt(num_clusters / size) * stdtrit(size, (1 + CONFIDENCE) / 2)))
    return low, 1 - low


def percentile_interval(samples: NDArray[np.float64] | None, num_clusters: int) -> Interval | None:
    """The central share of bootstrap samples, ``[NUM_RESAMPLES]``, of so many clusters; None stays None."""
    if samples is None:
        return None
    low, high = row_quantiles(samples[None], tails(num_clusters))[:, 0]
    return Interval(float(low), float(high))


def row_quantiles(samples: NDArray[np.float64], probabilities: Sequence[float]) -> NDArray[np.float64]:
    """The quantiles of each row of ``[N, R]``, ``[len(probabilities), N]``: to the bit `numpy.quantile`'s.

    Rows are sorted whole, which numpy does with vector instructions: that takes a fifth of the time of the
    partial sorts by which `numpy.quantile` finds them. A row that is not finite has no meaningful ones.
    """
    places = np.asarray(probabilities) * (samples.shape[1] - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, samples.shape[1] - 1)
    rows = np.sort(samples, axis=1)
    low, high, share = rows[:, before].T, rows[:, after].T, (places - before)[:, None]
    step = high - low
    # As numpy interpolates: from the nearer of the two.
    return np.asarray(np.where(share >= 0.5, high - step * (1 - share), low + step * share))


def ratio_interval(
    numerators: ArrayLike, denominators: ArrayLike, clusters: Sequence[str]
) -> Interval | None:
    """Interval of ``sum(numerators) / sum(denominators)``; arguments as in `resampled_ratios`."""
    return percentile_interval(resampled_ratios(numerators, denominators, clusters), len(set(clusters)))
