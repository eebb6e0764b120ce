"""Where series of months turn upwards: tested, and located with an interval.

A series is how much more one thing costs than others, by month. It has a level and a slope of its own, and
from some day on it rises: at once (a step), by and by (a ramp), or both. A ramp is straight (a broken line:
V. M. R. Muggeo, "Estimating regression models with unknown break-points", Statistics in Medicine 22, 2003) or
levels off with one of a few half-lives: what is new after a day is soon most of what texts speak of, and a
straight line through a rise that levels off begins too late. The day and the half-life are the same for all
series, everything else each one's own. What is fitted is weighted least squares.

Neither the greatest improvement over all days nor the days that fit nearly as well follow a textbook's
distribution: the day means nothing where nothing rises. So both are compared with draws of normal noise
(parametric bootstrap: A. C. Davison, D. V. Hinkley, "Bootstrap Methods and their Application", 1997, chapter
4): the test of whether there is a rise, and for each day that of whether it could be the day, the days that
pass being the interval. The noise's size is taken from the months' own scatter about the fit; months are
taken for independent.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats import CONFIDENCE, SEED

Array = NDArray[np.float64]

MIN_MONTHS = 8
"""In a series: with a level, a slope and a rise of its own there is little left to judge them by."""
NUM_DRAWS = 400
_NUM_FIRST_DRAWS = 100
_DAYS_PER_MONTH = 365.25 / 12
_MAX_DAYS = 100
"""Days tried."""
_LEAST_DAYS_APART = 5
_EDGE_MONTHS = 2
"""At either end of the months, within which no rise begins: one month could be out of line."""
_LEAST_VARIANCE = 1e-12
"""Of the logarithm of a ratio: costs are computed to about 1e-6."""
_LEAST_SCALE = 1e-6
_NUM_PARAMETERS = 4
"""Of a series: level, slope, ramp and step."""
_NUM_SHARED = 2
"""Parameters of all series: the day and the half-life."""
_HALF_LIVES = (np.inf, 9.0, 3.0)
"""In months."""


class Series(NamedTuple):
    """The months of one source, the first month first."""

    months: tuple[str, ...]
    """``YYYY-MM``, each once."""
    values: Array
    """``[M]``."""
    variances: Array
    """``[M]``: of the values, as far as the documents of a month tell; 0: not known."""
    days: tuple[Array, ...]
    """Per month the days of its documents, as `datetime.date.toordinal` counts them."""
    shares: tuple[Array, ...]
    """Per month what of it is of each of these days; they add up to 1."""


class Size(NamedTuple):
    """How a series rises; neither is below 0."""

    per_month: float
    """What is added to the slope, where it levels off at first."""
    step: float
    """What is added at once."""


class Rise(NamedTuple):
    """What was fitted."""

    probability: float
    """That chance alone improves a fit of lines so much."""
    day: float
    """The last day before the rise, of those tried the one that fits best; as `datetime.date.toordinal`."""
    low: float
    """The first day that passes, and `high` the last."""
    high: float
    first_day: float
    """The first day that was tried, and `last_day` the last."""
    last_day: float
    is_outdone: bool
    """Whether a fall from some day on fits better: then what looks like a rise may be its shadow."""
    half_life_months: float
    """In which a half comes of what is left of a ramp; infinite where it does not level off."""
    sizes: tuple[Size, ...]
    """Per series."""
    fitted: tuple[Array, ...]
    """Per series the fitted values, ``[M]``."""


class _Whitened(NamedTuple):
    """A series divided by the deviations of its months, without what a level and a slope explain."""

    residuals: Array
    """``[M]``."""
    directions: Array
    """``[2, C, M]``: ramp and step of each of C candidates, of length 1, or 0 where nothing is left.

    A candidate is a half-life and a day; all days of a half-life stand together.
    """
    lengths: Array
    """``[2, C]``: before they were made 1."""
    basis: Array
    """``[M, 2]``: orthonormal, of level and slope."""
    deviations: Array
    """``[M]``."""

    @property
    def overlap(self) -> Array:
        """``[C]``: the product of ramp and step."""
        return np.asarray((self.directions[0] * self.directions[1]).sum(axis=-1))


def find_rise(series: Sequence[Series], *, num_draws: int = NUM_DRAWS) -> Rise:
    """The day from which the series rise.

    Args:
        series: one or more, each of `MIN_MONTHS` months or more.
        num_draws: of noise, for the test and for each day of the interval.
    """
    days = candidate_days(series)
    fits = _Fits([_whitened(months, days) for months in series], num_draws)
    best = int(fits.gains.argmax())
    # Of each day with the half-life that suits it.
    of_days = fits.gains.reshape(len(_HALF_LIVES), len(days)).argmax(axis=0) * len(days) + np.arange(
        len(days)
    )
    passing = days[[fits.is_passed(place) for place in of_days.tolist()]]
    sizes, fitted = [], []
    for months, part, parts_of_rise in zip(series, fits.parts, fits.rises, strict=True):
        ramp, step = (float(size) for size in parts_of_rise[:, best])
        lengths = np.where(part.lengths[:, best] > 0, part.lengths[:, best], 1.0)
        sizes.append(Size(ramp / float(lengths[0]), step / float(lengths[1])))
        unexplained = part.residuals - ramp * part.directions[0, best] - step * part.directions[1, best]
        fitted.append(months.values - part.deviations * unexplained)
    # Each of the days that were tried stands for those about it.
    apart = float(days[1] - days[0]) / 2 if len(days) > 1 else 0.0
    return Rise(
        probability=fits.probability(),
        day=float(days[best % len(days)]),
        low=max(float(days[0]), float(passing.min()) - apart),
        high=min(float(days[-1]), float(passing.max()) + apart),
        first_day=float(days[0]),
        last_day=float(days[-1]),
        is_outdone=fits.gain_of_a_fall > float(fits.gains[best]),
        half_life_months=_HALF_LIVES[best // len(days)],
        sizes=tuple(sizes),
        fitted=tuple(fitted),
    )


class _Fits:
    """The fits of all candidates, of what was measured and of draws of noise."""

    def __init__(self, parts: Sequence[_Whitened], num_draws: int) -> None:
        rng = np.random.default_rng(SEED)
        self.parts = parts
        self._overlaps = [part.overlap for part in parts]
        projections = [part.directions @ part.residuals for part in parts]
        self.rises = [
            _rise(ramp, step, overlap)
            for overlap, (ramp, step) in zip(self._overlaps, projections, strict=True)
        ]
        """Per series how far it rises along its directions, ``[2, C]``."""
        self.gains = np.asarray(
            sum(
                _gain(ramp, step, part.overlap) for part, (ramp, step) in zip(parts, projections, strict=True)
            )
        )
        """By how much each candidate lessens the sum of squares, ``[C]``."""
        falls = self._gains_of([-projection[..., None] for projection in projections])
        self.gain_of_a_fall = float(falls.max())
        """The most that a fall from some day on lessens it."""
        self._total = sum(float(part.residuals @ part.residuals) for part in parts)
        num_months = sum(len(part.residuals) for part in parts)
        self._freedom = max(1, num_months - _NUM_PARAMETERS * len(parts) - _NUM_SHARED)
        self._of_noise: list[Array] = []
        self._noise_squares = np.zeros(num_draws)
        for part in parts:
            noise = rng.standard_normal((len(part.residuals), num_draws))
            noise -= part.basis @ (part.basis.T @ noise)
            self._of_noise.append(part.directions @ noise)
            self._noise_squares += (noise**2).sum(axis=0)

    def _left(self, place: int) -> float:
        """The sum of squares about a candidate's fit; a floor stands for numbers without any scatter."""
        return max(self._total - float(self.gains[place]), _LEAST_SCALE * self._freedom)

    def _gains_of(self, projections: Sequence[Array]) -> Array:
        """What each candidate explains of draws, ``[C, R]``, from their ``[2, C, R]`` per series."""
        return np.asarray(
            sum(
                _gain(ramp, step, overlap[:, None])
                for overlap, (ramp, step) in zip(self._overlaps, projections, strict=True)
            )
        )

    def probability(self) -> float:
        """That noise alone is fitted as much better by its best candidate as what was measured is."""
        most = self._gains_of(self._of_noise).max(axis=0)
        drawn = most / (self._noise_squares - most)
        best = int(self.gains.argmax())
        reached = float(self.gains[best]) / self._left(best)
        return (1 + int((drawn >= reached).sum())) / (1 + len(drawn))

    def is_passed(self, place: int) -> bool:
        """Whether the best candidate fits no better beside this one than it would if this one were true."""
        best = int(self.gains.argmax())
        reached = float(self.gains[best] - self.gains[place]) / self._left(best)
        if reached <= 0:
            return True
        # Most are out of the question: what no draw of some comes near need not be drawn more often.
        if reached > self._drawn_if(place, _NUM_FIRST_DRAWS).max():
            return False
        return bool(reached <= np.quantile(self._drawn_if(place, len(self._noise_squares)), CONFIDENCE))

    def _drawn_if(self, place: int, num_draws: int) -> Array:
        """By how much the best of draws fits better than this candidate, where this one is true: ``[R]``."""
        scatter = np.sqrt(self._left(place) / self._freedom)
        squares = scatter**2 * self._noise_squares[:num_draws]
        drawn = []
        for part, rises, all_noise in zip(self.parts, self.rises, self._of_noise, strict=True):
            ramp, step = rises[:, place]
            of_noise = all_noise[..., :num_draws]
            rise = ramp * part.directions[0, place] + step * part.directions[1, place]
            drawn.append(scatter * of_noise + (part.directions @ rise)[:, :, None])
            squares = squares + rise @ rise
            squares += 2 * scatter * (ramp * of_noise[0, place] + step * of_noise[1, place])
        gains = self._gains_of(drawn)
        most = gains.max(axis=0)
        return np.asarray((most - gains[place]) / (squares - most))


def _rise(ramp: Array, step: Array, overlap: Array) -> Array:
    """How far to go along two directions of length 1 and never back, by least squares: ``[2, C]``.

    Args:
        ramp: ``[C]``: products of what is to be explained with the one direction.
        step: the same with the other.
        overlap: the two directions' product.
    """
    both = np.stack((ramp - overlap * step, step - overlap * ramp)) / _unshared(overlap)
    alone = np.maximum(0.0, np.stack((np.where(ramp >= step, ramp, 0.0), np.where(ramp >= step, 0.0, step))))
    return np.asarray(np.where((both > 0).all(axis=0), both, alone))


def _gain(ramp: Array, step: Array, overlap: Array) -> Array:
    """By how much that lessens the sum of squares; most of the time is spent here."""
    alone = np.maximum(ramp, step)
    np.maximum(alone, 0.0, out=alone)
    np.square(alone, out=alone)
    of_step = overlap * step
    is_both = (ramp > of_step) & (step > overlap * ramp)
    both = (ramp * (ramp - 2 * of_step) + step**2) / _unshared(overlap)
    return np.asarray(np.where(is_both, both, alone))


def _unshared(overlap: Array) -> Array:
    """What of a direction is not the other's; where the two are nearly one, so are their fits."""
    return np.asarray(1 - np.minimum(overlap**2, 1 - 1e-6))


def candidate_days(series: Sequence[Series]) -> Array:
    """The days that are tried: evenly spaced, none within the first or last months of all series."""
    by_month: dict[str, tuple[float, float]] = {}
    for months in series:
        for month, days in zip(months.months, months.days, strict=True):
            first, last = by_month.get(month, (np.inf, -np.inf))
            by_month[month] = min(first, float(days.min())), max(last, float(days.max()))
    ordered = [by_month[month] for month in sorted(by_month)]
    first, last = ordered[_EDGE_MONTHS - 1][1], ordered[-_EDGE_MONTHS][0] - 1
    num_days = min(_MAX_DAYS, int((last - first) / _LEAST_DAYS_APART) + 1)
    return np.round(np.linspace(first, last, max(1, num_days)))


def _rises(series: Series, days: Array) -> Array:
    """How far the rise of each candidate has come in each month, ``[2, C, M]``.

    The mean over a month's documents: of a ramp the months since the day, fewer where it levels off; of a
    step whether they are later.
    """
    rises = np.empty((2, len(_HALF_LIVES), len(days), len(series.months)))
    for place, (of_documents, shares) in enumerate(zip(series.days, series.shares, strict=True)):
        later = of_documents[None] - days[:, None]
        rises[1, :, :, place] = (later > 0) @ shares
        months = np.maximum(0.0, later) / _DAYS_PER_MONTH
        for number, half_life in enumerate(_HALF_LIVES):
            scale = half_life / np.log(2)
            levelled = months if np.isinf(scale) else -scale * np.expm1(-months / scale)
            rises[0, number, :, place] = levelled @ shares
    return rises.reshape(2, -1, len(series.months))


def _whitened(series: Series, days: Array) -> _Whitened:
    """A series in the units of its months' scatter.

    Beside what a month's documents tell, months scatter by what was written about in them: by the variance
    that makes the sum of squares about the best fit what it should be (R. C. Paule, J. Mandel, "Consensus
    values and weighting factors", Journal of Research of the National Bureau of Standards 87, 1982).
    """
    variances = np.maximum(series.variances, _LEAST_VARIANCE)
    rises = _rises(series, days)
    whitened = _whitened_by(series, rises, variances)
    freedom = len(series.values) - _NUM_PARAMETERS - _NUM_SHARED
    if _squares_left(whitened) <= freedom:
        return whitened
    low, high = -40.0, float(np.log(np.var(series.values) + _LEAST_VARIANCE)) + 5
    for _ in range(30):
        middle = (low + high) / 2
        whitened = _whitened_by(series, rises, variances + np.exp(middle))
        low, high = (middle, high) if _squares_left(whitened) > freedom else (low, middle)
    return whitened


def _squares_left(whitened: _Whitened) -> float:
    ramp, step = whitened.directions @ whitened.residuals
    gains = _gain(ramp, step, whitened.overlap)
    return float(whitened.residuals @ whitened.residuals - gains.max())


def _whitened_by(series: Series, rises: Array, variances: Array) -> _Whitened:
    deviations = np.sqrt(variances)
    middles = np.array(
        [float(days @ shares) for days, shares in zip(series.days, series.shares, strict=True)]
    )
    line = np.stack((np.ones(len(middles)), (middles - middles.mean()) / _DAYS_PER_MONTH), axis=1)
    basis, _ = np.linalg.qr(line / deviations[:, None])
    values = series.values / deviations
    rises = rises / deviations
    directions = rises - (rises @ basis) @ basis.T
    lengths = np.sqrt((directions**2).sum(axis=-1))
    # What a line explains of a rise all but whole leaves only rounding errors.
    is_line = lengths <= 1e-6 * np.sqrt((rises**2).sum(axis=-1))
    lengths = np.where(is_line, 0.0, lengths)
    directions = (
        np.where(is_line, 0.0, 1.0)[..., None] * directions / np.where(is_line, 1.0, lengths)[..., None]
    )
    return _Whitened(values - basis @ (basis.T @ values), directions, lengths, basis, deviations)
