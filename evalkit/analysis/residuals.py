"""Documents that are cheaper than a panel of models lets expect, and how often chance makes them so.

What a model pays for a document follows from what other models pay for it, and from its length: a straight
line between logarithms, fitted so that few documents far off do not move it (Huber's weights: P. J. Huber,
"Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35, 1964). What is left over is
divided by the scatter of documents of about that length, as a short one says less.

Such remainders have heavier tails than normal ones: a model happens to suit a document. How heavy is taken
from models that are not under suspicion, each of the panel beside the others, whose cheap documents are cheap
for no worse reason. Probabilities are counted among these, and in the lowest twentieth follow the generalized
Pareto distribution, which tails tend to (J. R. M. Hosking, J. R. Wallis, "Parameter and Quantile Estimation
for the Generalized Pareto Distribution", Technometrics 29, 1987).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_DOCUMENTS = 30
"""Of a corpus: with fewer, nobody can say what is usual."""
_HUBER = 1.345
"""Beyond so many deviations an observation counts less: 95 % efficient for normal ones."""
_NUM_STEPS = 30
_DOCUMENTS_PER_BIN = 40
_MAX_BINS = 12
_LEAST_DEVIATION = 1e-6
"""Of a logarithm: costs are computed to about that."""
_SHARE_BEYOND, _LEAST_BEYOND = 0.05, 20
"""How much of all is tail: a share, or so many where that is more."""
_MAX_SHAPE = 0.9
"""With 1 a tail has no mean."""


class Remainders(NamedTuple):
    """What is left of the logarithms of a model's costs."""

    expected: Array
    """``[D]``: the logarithms that the panel lets expect."""
    deviates: Array
    """``[D]``: what is left, over the median absolute deviation of documents of about the length."""


def remainders(costs: Array, panel: Array, num_bytes: NDArray[np.int64]) -> Remainders:
    """How a model's costs differ from what a panel's let expect.

    Args:
        costs: ``[D]``: logarithms of what the model pays per byte.
        panel: ``[D, K]``: of what each of the panel does.
        num_bytes: ``[D]``.
    """
    columns = np.stack((panel.mean(axis=1), np.log(num_bytes)), axis=1)
    centered = columns - np.median(columns, axis=0)
    # A panel that pays the same for all documents, or documents of one length, say nothing of a slope.
    design = np.column_stack((np.ones(len(costs)), centered[:, np.ptp(centered, axis=0) > 1e-9]))
    weights = np.ones(len(costs))
    expected = np.zeros(len(costs))
    for _ in range(_NUM_STEPS):
        root = np.sqrt(weights)
        slopes, *_ = np.linalg.lstsq(design * root[:, None], costs * root, rcond=None)
        expected = design @ slopes
        misses = np.abs(costs - expected)
        scale = max(float(np.median(misses)) / 0.6745, _LEAST_DEVIATION)
        weights = np.minimum(1.0, _HUBER * scale / np.maximum(misses, 1e-300))
    return _by_length(costs, expected, num_bytes)


def _by_length(costs: Array, expected: Array, num_bytes: NDArray[np.int64]) -> Remainders:
    """Remainders about the median of documents of about the length, over their scatter."""
    num_bins = max(1, min(_MAX_BINS, len(costs) // _DOCUMENTS_PER_BIN))
    expected, deviates = expected.copy(), np.empty(len(costs))
    for places in np.array_split(np.argsort(num_bytes, kind="stable"), num_bins):
        expected[places] += np.median(costs[places] - expected[places])
        remaining = costs[places] - expected[places]
        deviates[places] = remaining / max(float(np.median(np.abs(remaining))), _LEAST_DEVIATION)
    return Remainders(expected, deviates)


class Tail(NamedTuple):
    """How seldom documents are cheap for no reason."""

    ordered: Array
    """Deviates of models that are not under suspicion, the lowest first."""
    threshold: float
    """Below it the tail begins."""
    scale: float
    shape: float
    """Of the generalized Pareto distribution of what is below; 0: exponential."""

    def probabilities(self, deviates: Array) -> Array:
        """That chance alone makes documents so cheap or cheaper."""
        number = len(self.ordered)
        counted = (1 + np.searchsorted(self.ordered, deviates, side="right")) / (1 + number)
        beyond = np.maximum(0.0, self.threshold - deviates) / self.scale
        decay = np.exp(-beyond) if self.shape == 0 else (1 + self.shape * beyond) ** (-1 / self.shape)
        at_threshold = np.searchsorted(self.ordered, self.threshold, side="right") / number
        return np.minimum(1.0, np.where(beyond > 0, at_threshold * decay, counted))


def tail_of(deviates: Array) -> Tail:
    """The lower tail of numbers, by the moments of what is beyond a threshold (Hosking and Wallis 1987).

    A tail that ends somewhere is taken for an exponential one, which is on the safe side.

    Args:
        deviates: of models that are not under suspicion.
    """
    ordered = np.sort(deviates)
    num_beyond = max(2, min(len(ordered) // 2, max(_LEAST_BEYOND, int(_SHARE_BEYOND * len(ordered)))))
    threshold = float(ordered[num_beyond - 1])
    beyond = np.sort(threshold - ordered[: num_beyond - 1])
    mean = float(beyond.mean())
    if mean <= 0:  # many are equal
        return Tail(ordered, threshold, _LEAST_DEVIATION, 0.0)
    places = np.arange(1, len(beyond) + 1)
    weighted = float((beyond * (1 - (places - 0.35) / len(beyond))).mean())
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else _MAX_SHAPE
    # One standard error more, as what is not known of a tail is taken against the finding.
    bounded = min(max(shape, 0.0), 0.4)
    variance = (1 - bounded) * (2 - bounded) ** 2 * (1 - bounded + 2 * bounded**2)
    error = np.sqrt(variance / ((1 - 2 * bounded) * (3 - 2 * bounded) * len(beyond)))
    shape = min(max(shape, 0.0) + float(error), _MAX_SHAPE)
    return Tail(ordered, threshold, mean * (1 - shape), shape)


def adjusted(probabilities_by_chance: Sequence[float] | Array) -> Array:
    """For each of many probabilities the least rate of false discoveries at which it is one.

    Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate", Journal of the Royal Statistical
    Society B 57, 1995: of those at or below a rate, so large a share is false in the mean, and where nothing
    is true at all there is one with that probability.
    """
    values = np.asarray(probabilities_by_chance, np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * len(values) / np.arange(1, len(values) + 1)
    rates = np.empty(len(values))
    rates[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])
    return rates
