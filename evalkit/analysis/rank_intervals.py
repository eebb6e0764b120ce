"""Ranks with intervals, when those that are ranked are like draws from a population.

A level that was measured is the true one and an error, and the best of many measured levels owes its place
to its error as well. So the true levels are taken as draws from a population that is estimated along with
them (Laird & Louis, "Empirical Bayes Ranking Methods", Journal of Educational Statistics 14, 1989), see
`evalkit.analysis.true_levels`, and ranks are counted over draws of all true levels together. Where levels are
far apart beside their errors, nothing is shrunk and ranks are certain; where they are not told apart at all,
each may have any rank. Confidence sets from tests of all pairs (Mogstad, Romano, Shaikh & Wilhelm, "Inference
for Ranks with Applications to Mobility across Neighbourhoods and Academic Achievement across Countries",
Review of Economic Studies 91, 2024) need no population, hold any true levels, and so hold more than 95 %.

Ranks are whole numbers, of which no interval has exactly 95 %: taken is the one whose probability is nearest
to that, so that intervals hold the true rank in about 95 % of cases and not in more.
"""

import math
from typing import NamedTuple

import numpy as np

from evalkit.analysis.aggregates import Array
from evalkit.analysis.true_levels import true_levels
from evalkit.stats import CONFIDENCE


class RankInterval(NamedTuple):
    """Ranks from the best on; 1 is the lowest level."""

    low: int
    high: int


def rank_intervals(values: Array, deviations: Array, num_clusters: int) -> list[RankInterval]:
    """A 95 % interval of each rank.

    Args:
        values: ``[K]``, the levels as measured; the lowest is rank 1.
        deviations: ``[K, R]``, draws of what the measured levels may be off by, of all of them together:
            what they have in common moves no rank.
        num_clusters: from which the draws were made.
    """
    num_levels = len(values)
    if num_levels == 1:
        return [RankInterval(1, 1)]
    draws = true_levels(values, deviations, num_clusters)
    order = np.argsort(draws, axis=0, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(num_levels)[:, None], axis=0)
    shares = np.stack([(ranks == rank).mean(axis=1) for rank in range(num_levels)], axis=1)
    return [_interval(row) for row in shares]


def document_deviations(samples: Array, num_clusters: int) -> Array:
    """Draws of what levels may be off by for the documents' sake, ``[K, R]``, as `rank_intervals` takes them.

    Ranks go by the spread of the draws alone. So they are as wide as a normal distribution has to be to reach
    as far as Student's at the end of an interval; and resamples vary less than samples do, as in
    `evalkit.stats.tails`.

    Args:
        samples: ``[K, 1 + R]``: levels as measured, and resampled.
        num_clusters: in each resample.
    """
    factor = math.sqrt(num_clusters / (num_clusters - 1)) * student_reach(num_clusters - 1)
    return np.asarray(factor * (samples[:, 1:] - samples[:, :1]))


def student_reach(size: int) -> float:
    """How much further Student's distribution reaches than the normal one, at the end of an interval.

    Args:
        size: degrees of freedom.
    """
    from scipy.special import ndtri, stdtrit

    share = (1 + CONFIDENCE) / 2
    return float(stdtrit(size, share) / ndtri(share))


def _interval(shares: Array) -> RankInterval:
    """The interval around the likeliest rank whose probability is nearest to `CONFIDENCE`.

    Args:
        shares: ``[K]``, the probability of each rank.
    """
    low = high = int(shares.argmax())
    mass = float(shares[low])
    while mass < CONFIDENCE:
        before = shares[low - 1] if low > 0 else -1.0
        after = shares[high + 1] if high + 1 < len(shares) else -1.0
        more = float(max(before, after))
        if more <= 0 or mass + more - CONFIDENCE > CONFIDENCE - mass:
            break
        low, high = (low - 1, high) if before >= after else (low, high + 1)
        mass += more
    return RankInterval(low + 1, high + 1)
