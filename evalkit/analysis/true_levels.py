"""Draws of true levels behind measured ones, which are taken as draws from a population of a few groups.

The population is a mixture of normal distributions of one spread, most of them empty (Ishwaran & James,
"Gibbs Sampling Methods for Stick-Breaking Priors", Journal of the American Statistical Association 96, 2001;
Rousseau & Mengersen, "Asymptotic behaviour of the posterior distribution in overfitted mixture models",
Journal of the Royal Statistical Society B 73, 2011). One normal distribution for all would be as wide as
what is between two groups of runs, so that within a group measured differences would be taken for true ones.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.aggregates import Array
from evalkit.stats import SEED

_STREAM = 21
"""Of the draws, so that they are independent of those of documents."""
_NUM_CHAINS = 200
_NUM_UNUSED_SWEEPS = 20
_NUM_SWEEPS = 20
"""Of each chain, whose draws are taken."""
_MOST_GROUPS = 4
_CONCENTRATION = 0.5
"""Of the groups' shares, in all: less than 1, so that one group is expected and several have to show."""
_NUM_SPREADS = 48
_LEAST_SPREAD = 0.05
"""Of those of a group that are tried, in units of a level's error."""
_WIDEST_SPREAD = 3.0
"""In units of that of the measured levels."""
_SPREAD_POWER = 0.4
"""A group's spread to this power has a flat prior: small ones are likelier than one that is flat would have
them, so that intervals hold where levels hardly differ."""
_LEAST_SHARE = 1e-12
"""Of the variance of levels that is taken for error at least."""


class _Measured(NamedTuple):
    """Levels in coordinates whose errors are independent."""

    coordinates: Array
    """``[K - 1]``, beside the mean of all levels, which moves no rank."""
    variances: Array
    """``[K - 1]``, of their errors."""
    axes: Array
    """``[K, K]``: the coordinates' directions, and the mean's last."""
    scale: float
    """Standard deviation of the measured coordinates."""


def true_levels(values: Array, deviations: Array, num_clusters: int) -> Array:
    """Draws of the true levels around their mean, ``[K, num_draws]``.

    Args:
        values: ``[K]``, the levels as measured; two or more.
        deviations: ``[K, R]``, draws of what the measured levels may be off by, of all of them together.
        num_clusters: from which the draws were made.
    """
    measured = _measured(values, deviations, num_clusters)
    if measured.scale == 0:
        return np.zeros((len(values), 1))
    rng = np.random.default_rng([SEED, _STREAM])
    chains = _Chains(measured, values, rng)
    draws = [chains.sweep() for _ in range(_NUM_UNUSED_SWEEPS + _NUM_SWEEPS)]
    return np.concatenate(draws[_NUM_UNUSED_SWEEPS:]).T


def _measured(values: Array, deviations: Array, num_clusters: int) -> _Measured:
    num_levels = len(values)
    mean = np.full((num_levels, 1), num_levels**-0.5)
    # Differences only: the mean of all is no direction in which ranks differ.
    differences = np.linalg.qr(np.hstack((mean, np.eye(num_levels)[:, 1:])))[0][:, 1:]
    variances, turned = np.linalg.eigh(np.atleast_2d(np.cov(differences.T @ deviations)))
    variances, axes = _shrunk(np.maximum(variances, 0.0), num_clusters - 1), differences @ turned
    coordinates = axes.T @ values
    scale = float(np.sqrt((coordinates**2).mean() + variances.mean()))
    variances = np.maximum(variances, _LEAST_SHARE * scale**2)
    return _Measured(coordinates, variances, np.hstack((axes, mean)), scale)


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


class _Chains:
    """Chains of a Gibbs sampler side by side: ``C`` chains, ``K`` levels, ``G`` groups."""

    def __init__(self, measured: _Measured, values: Array, rng: np.random.Generator) -> None:
        self._measured, self._rng = measured, rng
        variances, scale = measured.variances, measured.scale
        least = _LEAST_SPREAD * float(np.sqrt(variances.mean()))
        edges = np.geomspace(least, _WIDEST_SPREAD * scale, _NUM_SPREADS + 1)
        self._spreads = np.sqrt(edges[1:] * edges[:-1])
        total = variances[:, None] + self._spreads**2
        self._precisions = 1 / total
        edges[0] = 0.0  # the first stands for all that are less
        edges /= edges[-1]
        self._log_weights = np.log(np.diff(edges**_SPREAD_POWER)) - 0.5 * np.log(total).sum(axis=0)
        centered = values - values.mean()
        self._groups = self._beginnings(centered)
        self._log_shares = np.zeros((_NUM_CHAINS, _MOST_GROUPS))
        members = self._members()
        counts = members.sum(axis=1)
        drawn = scale * rng.standard_normal(counts.shape)
        sums = np.einsum("ckg,k->cg", members, centered)
        self._means = np.where(counts > 0, sums / np.maximum(counts, 1), drawn)

    def sweep(self) -> Array:
        """The next draw of each chain, ``[C, K]``."""
        measured, rng = self._measured, self._rng
        expected = np.take_along_axis(self._means, self._groups, axis=1)
        # The spread within groups is drawn whatever the true levels are, which then are drawn with it.
        residuals = measured.coordinates - expected @ measured.axes[:, :-1]
        log_weights = self._log_weights - 0.5 * residuals**2 @ self._precisions
        spread = self._spreads[_drawn(log_weights, rng)][:, None]
        share = spread**2 / (spread**2 + measured.variances)
        noise = np.hstack((np.sqrt(measured.variances * share), spread))
        noise *= rng.standard_normal(noise.shape)
        pulled = np.hstack((share * residuals, np.zeros_like(spread)))
        levels = np.asarray(expected + (pulled + noise) @ measured.axes.T)
        distances = (levels[:, :, None] - self._means[:, None, :]) / spread[:, :, None]
        self._groups = _drawn(self._log_shares[:, None, :] - 0.5 * distances**2, rng)
        members = self._members()
        counts = members.sum(axis=1)
        shares = rng.standard_gamma(_CONCENTRATION / _MOST_GROUPS + counts)
        self._log_shares = np.log(np.maximum(shares, np.finfo(float).tiny))
        precision = counts / spread**2 + 1 / measured.scale**2
        sums = np.einsum("ckg,ck->cg", members, levels)
        self._means = sums / spread**2 / precision
        self._means += rng.standard_normal(precision.shape) / np.sqrt(precision)
        return levels

    def _members(self) -> Array:
        """``[C, K, G]``: 1 where a level is in a group."""
        return np.asarray(np.eye(_MOST_GROUPS)[self._groups])

    def _beginnings(self, centered: Array) -> NDArray[np.int64]:
        """Groups to begin with, ``[C, K]``: neighbors together, in one group to as many as there may be."""
        ranks = centered.argsort(kind="stable").argsort(kind="stable")
        groups = np.empty((_NUM_CHAINS, len(centered)), np.int64)
        for chain in range(_NUM_CHAINS):
            cuts = np.sort(self._rng.integers(0, len(centered) + 1, chain % _MOST_GROUPS))
            groups[chain] = np.searchsorted(cuts, ranks, side="right")
        return groups


def _drawn(log_weights: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places along the last axis, drawn with these weights."""
    weights = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    cumulative = weights.cumsum(axis=-1)
    targets = rng.random(log_weights.shape[:-1]) * cumulative[..., -1]
    return np.asarray((cumulative <= targets[..., None]).sum(axis=-1))
