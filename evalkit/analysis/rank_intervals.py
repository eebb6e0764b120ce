"""Ranks with intervals, when those that are ranked are like draws from a population.

A level that was measured is the true one and an error, and the best of many measured levels owes its place
to its error as well. So the true levels are taken as draws from a normal population whose spread is estimated
along with them (Laird & Louis, "Empirical Bayes Ranking Methods", Journal of Educational Statistics 14, 1989;
the flat prior on the spread is that of Gelman, "Prior distributions for variance parameters in hierarchical
models", Bayesian Analysis 1, 2006), and ranks are counted over draws of all true levels together. Where
levels are far apart beside their errors, nothing is shrunk and ranks are certain; where they are not told
apart at all, each may have any rank.

Ranks are whole numbers, of which no interval has exactly 95 %: taken is the one whose probability is nearest
to that, so that intervals hold the true rank in about 95 % of cases and not in more.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.aggregates import Array
from evalkit.stats import CONFIDENCE, SEED

_STREAM = 21
"""Of the draws, so that they are independent of those of documents."""
_NUM_DRAWS = 4000
_NUM_SPREADS = 400
_WIDEST = 12.0
"""Of the spreads that are tried, in units of that of the measured levels."""


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
    draws = _true_levels(values, deviations, num_clusters)
    order = np.argsort(draws, axis=0, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(num_levels)[:, None], axis=0)
    shares = np.stack([(ranks == rank).mean(axis=1) for rank in range(num_levels)], axis=1)
    return [_interval(row) for row in shares]


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


def _true_levels(values: Array, deviations: Array, num_clusters: int) -> Array:
    """Draws of the true levels around their mean, ``[K, num_draws]``."""
    centered = values - values.mean()
    errors = deviations - deviations.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(errors))
    # The mean of all is no direction in which ranks differ: its variance is 0, and it comes first.
    variances, axes = _shrunk(np.maximum(variances[1:], 0.0), num_clusters - 1), axes[:, 1:]
    coordinates = axes.T @ centered
    rng = np.random.default_rng([SEED, _STREAM])
    spreads = _spreads(coordinates, variances, rng)
    squares = spreads**2
    total = variances[:, None] + squares
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, squares / total, 1.0)  # of what was measured, how much is no error
    noise = np.sqrt(variances[:, None] * share) * rng.standard_normal((len(variances), len(spreads)))
    return np.asarray(axes @ (share * coordinates[:, None] + noise))


def _shrunk(variances: Array, size: int) -> Array:
    """Variances along the axes of a covariance of few samples, of which the extreme ones are too extreme.

    By oracle approximating shrinkage: Chen, Wiesel, Eldar & Hero, "Shrinkage Algorithms for MMSE Covariance
    Estimation", IEEE Transactions on Signal Processing 58, 2010, equation 23.
    """
    num_axes, squares, square = len(variances), float((variances**2).sum()), float(variances.sum() ** 2)
    excess = squares - square / num_axes
    if excess <= 0:
        return variances
    numerator = (1 - 2 / num_axes) * squares + square
    share = min(1.0, numerator / ((size + 1 - 2 / num_axes) * excess))
    return np.asarray((1 - share) * variances + share * variances.mean())


def _spreads(coordinates: Array, variances: Array, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws of the population's standard deviation, from what the levels say of it."""
    scale = float(np.sqrt((coordinates**2).mean() + variances.mean()))
    if scale == 0:
        return np.zeros(_NUM_DRAWS)
    # Dense near 0, where it matters, and each with the width that it stands for.
    edges = scale * _WIDEST * np.linspace(0, 1, _NUM_SPREADS + 1) ** 2
    spreads, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    total = variances[:, None] + spreads**2
    log_likelihood = -0.5 * (np.log(total) + coordinates[:, None] ** 2 / total).sum(axis=0)
    weights = widths * np.exp(log_likelihood - log_likelihood.max())
    cumulative = np.cumsum(weights) / weights.sum()
    places = (rng.permutation(_NUM_DRAWS) + 0.5) / _NUM_DRAWS
    return np.asarray(spreads[np.minimum(np.searchsorted(cumulative, places), _NUM_SPREADS - 1)])
