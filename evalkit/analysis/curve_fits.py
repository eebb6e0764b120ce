"""A law through the points of a training run, with intervals: a power law with a floor, or a logarithm.

Two things move the points: another corpus of the same kind would give other levels, all checkpoints together
(the resamples of `evalkit.stats`), and each checkpoint lies a little off the law (the residuals). A resample
of the fit takes both: the resampled levels' deviations, and residuals drawn with replacement, widened for the
parameters that they were left by. Deviations from the law that are systematic, as in the first steps of a
training, are not chance: `fit` takes the points from some place on.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.aggregates import Array
from evalkit.analysis.estimates import Estimate, estimates
from evalkit.errors import UsageError, unknown_name
from evalkit.stats import SEED

FITS = {"power": "floor + scale · x^(-exponent)", "log": "start + slope · ln x"}
"""The laws, and how they read."""
_LEAST_POINTS = {"power": 5, "log": 3}
_LEAST_SPAN = 4.0
"""Last place by first: along less, a power law is a straight line like others."""
_EXPONENTS = np.geomspace(0.01, 4.0, 97)
_STREAM = 20
"""Of the draws of residuals, so that they are independent of those of documents."""


class Fit(NamedTuple):
    """A law through points."""

    kind: str
    parameters: dict[str, Estimate]
    """By name, as in `FITS`."""
    samples: Array
    """``[P, 1 + R]``: the parameters as fitted, and of the resamples."""
    num_clusters: int
    num_points: int
    residual_sd: float
    """Standard deviation of the points around the law, in bits per byte."""

    def at(self, x: float) -> Estimate:
        """The law's value at a place, also beyond the points: what checkpoints there cost on average."""
        [value] = estimates(_LAWS[self.kind](np.array([x]), self.samples), self.num_clusters)
        return value


def fit(kind: str, xs: Array, samples: Array, num_clusters: int) -> Fit | None:
    """Fit a law to the levels of checkpoints by least squares.

    Args:
        kind: of `FITS`, or ``auto``: a power law through five points or more, of which the last is at four
            times the first or further; else a logarithm.
        xs: ``[N]``, where the checkpoints stand; those at 0 are left out, as both laws begin later.
        samples: ``[N, 1 + R]``, their levels, measured and resampled.
        num_clusters: in each resample.

    Returns:
        The law; None where there are fewer points than it has parameters and two more (one more of ``log``).

    Raises:
        UsageError: the kind is unknown.
    """
    if kind not in (*FITS, "auto"):
        raise unknown_name("fit", kind, [*FITS, "auto"], f"Known: {', '.join(FITS)}, auto.")
    is_inside = (xs > 0) & np.isfinite(samples[:, 0])
    xs, samples = xs[is_inside], samples[is_inside]
    if kind == "auto":
        is_long = len(xs) >= _LEAST_POINTS["power"] and xs.max() >= _LEAST_SPAN * xs.min()
        kind = "power" if is_long else "log"
    if len(xs) < _LEAST_POINTS[kind] or len(np.unique(xs)) < _LEAST_POINTS[kind]:
        return None
    solve, law = _SOLVERS[kind], _LAWS[kind]
    measured = solve(xs, samples[:, :1])
    fitted = law(xs, measured)
    residuals = samples[:, :1] - fitted
    num_free = len(xs) - len(measured)
    residual_sd = float(np.sqrt((residuals**2).sum() / num_free))
    parameters = measured
    if samples.shape[1] > 1:
        rng = np.random.default_rng([SEED, _STREAM])
        drawn = rng.integers(len(xs), size=(len(xs), samples.shape[1] - 1))
        widened = residuals[:, 0] * np.sqrt(len(xs) / num_free)
        again = fitted + (samples[:, 1:] - samples[:, :1]) + widened[drawn]
        parameters = np.concatenate([measured, solve(xs, again)], axis=1)
    names = _PARAMETERS[kind]
    by_name = dict(zip(names, estimates(parameters, num_clusters), strict=True))
    return Fit(kind, by_name, parameters, num_clusters, len(xs), residual_sd)


def _power(xs: Array, parameters: Array) -> Array:
    floor, scale, exponent = parameters
    return np.asarray(floor + scale * xs[:, None] ** -exponent)


def _log(xs: Array, parameters: Array) -> Array:
    start, slope = parameters
    return np.asarray(start + slope * np.log(xs)[:, None])


def _solve_log(xs: Array, levels: Array) -> Array:
    design = np.column_stack((np.ones(len(xs)), np.log(xs)))
    return np.asarray(np.linalg.lstsq(design, levels, rcond=None)[0])


def _solve_power(xs: Array, levels: Array) -> Array:
    """Floor, scale and exponent of each column of ``[N, R]``, ``[3, R]``.

    Of an exponent the other two follow by least squares, so that only that one is searched for: on a grid,
    then between its neighbors by a parabola in its logarithm.
    """
    # Beginning at 1, so that powers of 1e12 tokens neither overflow nor vanish.
    unit = float(xs.min())
    scaled = xs / unit
    costs = np.array([_cost(scaled, exponent, levels) for exponent in _EXPONENTS])
    best = np.clip(costs.argmin(axis=0), 1, len(_EXPONENTS) - 2)
    columns = np.arange(levels.shape[1])
    low, middle, high = (costs[best + shift, columns] for shift in (-1, 0, 1))
    curvature = low - 2 * middle + high
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(curvature > 0, 0.5 * (low - high) / curvature, 0.0)
    step = np.log(_EXPONENTS[1] / _EXPONENTS[0])
    exponents = np.exp(np.log(_EXPONENTS[best]) + step * np.clip(shift, -1, 1))
    powers = scaled[:, None] ** -exponents
    mean_power, mean_level = powers.mean(axis=0), levels.mean(axis=0)
    centered = powers - mean_power
    scale = (centered * (levels - mean_level)).sum(axis=0) / (centered**2).sum(axis=0)
    return np.stack([mean_level - scale * mean_power, scale * unit**exponents, exponents])


def _cost(xs: Array, exponent: float, levels: Array) -> NDArray[np.float64]:
    """Sum of squared residuals of each column, with the best floor and scale for an exponent."""
    power = xs**-exponent
    centered = power - power.mean()
    deviations = levels - levels.mean(axis=0)
    along = centered @ deviations
    return np.asarray((deviations**2).sum(axis=0) - along**2 / (centered @ centered))


_LAWS: dict[str, Callable[[Array, Array], Array]] = {"power": _power, "log": _log}
_SOLVERS: dict[str, Callable[[Array, Array], Array]] = {"power": _solve_power, "log": _solve_log}
_PARAMETERS = {"power": ("floor", "scale", "exponent"), "log": ("start", "slope")}


def check_fit_from(fit_from: float | None) -> None:
    """Refuse a place before the beginning.

    Raises:
        UsageError: it is below 0, or no place at all.
    """
    if fit_from is not None and not 0 <= fit_from < np.inf:
        raise UsageError(f"--fit-from {fit_from:g}: give a place along the axis, 0 or more")
