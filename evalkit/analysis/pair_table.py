"""The paired differences of many models in little memory, and the ranks that follow from them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.estimates import DECIMALS, Estimate, Pairs


class PairTable(Mapping[tuple[int, int], Estimate]):
    """First minus second by two model configurations, as `evalkit.analysis.estimates.differences` gives them.

    A dictionary of them takes 300 bytes for a pair, and a hundred models have 5,000 pairs on each corpus.
    """

    def __init__(self, pairs: Pairs, near_only: Sequence[Mapping[int, Estimate]] = ()) -> None:
        """Keep pairs.

        Args:
            pairs: the differences.
            near_only: for each group of models of which only neighbors are paired, the models' levels: what
                is said of the other pairs follows from these (`unpaired`).
        """
        self.near_only = tuple(near_only)
        self._keys = np.array(list(pairs), np.int32).reshape(-1, 2)
        # None becomes NaN; values are never that.
        self._numbers = np.array(list(pairs.values()), np.float64).reshape(-1, 3)
        # By first and second in one number: sorted, so that a pair is found by bisection.
        codes = _codes(self._keys[:, 0], self._keys[:, 1])
        self._order = np.argsort(codes, kind="stable")
        self._codes = codes[self._order]

    def __getitem__(self, pair: tuple[int, int]) -> Estimate:
        """The difference of a pair; KeyError in its other order."""
        code = (pair[0] << 32) | pair[1]
        place = int(np.searchsorted(self._codes, code))
        if place == len(self._codes) or self._codes[place] != code:
            raise KeyError(pair)
        value, low, high = self._numbers[self._order[place]].tolist()
        return Estimate(value, None if np.isnan(low) else low, None if np.isnan(high) else high)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The pairs, in the order in which they came."""
        return ((first, second) for first, second in self._keys.tolist())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._keys)

    def partners(self, configuration: int) -> list[int]:
        """The models with which one is paired, in rising order."""
        is_first, is_second = (self._keys == configuration).T
        return sorted([*self._keys[is_first, 1].tolist(), *self._keys[is_second, 0].tolist()])

    def difference(self, first: int, second: int) -> Estimate | None:
        """First minus second, whichever way round it is kept; None where they have no document in common.

        Of models that are too far apart to be paired, what their levels say (`unpaired`).
        """
        if (first, second) in self:
            return self[first, second]
        if (second, first) in self:
            return self[second, first].negated()
        for levels in self.near_only:
            if first in levels and second in levels:
                return unpaired(levels[first], levels[second])
        return None

    def rank_intervals(self, configurations: Sequence[int]) -> dict[int, tuple[int, int]]:
        """The ranks that each may have: one more than those surely better, to all but those surely worse.

        A model is surely better where the interval of the difference is clear of 0; a pair that is not here
        is a tie. The construction is the marginal confidence set of Mogstad, Romano, Shaikh & Wilhelm,
        "Inference for Ranks with Applications to Mobility across Neighbourhoods and Academic Achievement
        across Countries", Review of Economic Studies 91 (2024), with pairwise intervals that are not widened
        for the number of models.

        Args:
            configurations: the models that are ranked, each once.
        """
        place_of = {index: place for place, index in enumerate(configurations)}
        num_models = len(configurations)
        shown = np.isin(self._keys, list(configurations)).all(axis=1)
        places = np.array([[place_of[index] for index in pair] for pair in self._keys[shown].tolist()], int)
        places = places.reshape(-1, 2)
        _, lows, highs = self._numbers[shown].T
        better, worse = _counts(places, lows > 0, highs < 0, num_models)
        for levels in self.near_only:
            more = _unpaired_counts(levels, configurations, places)
            better, worse = better + more[0], worse + more[1]
        return {
            index: (1 + int(better[place]), num_models - int(worse[place]))
            for index, place in place_of.items()
        }


def unpaired(first: Estimate, second: Estimate) -> Estimate:
    """The difference of two levels, with the widest interval that theirs allow."""
    value = round(first.value - second.value, DECIMALS)
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Estimate(value, None, None)
    low, high = first.low - second.high, first.high - second.low
    return Estimate(value, round(low, DECIMALS), round(high, DECIMALS))


def _codes(first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int64]:
    return (first.astype(np.int64) << 32) | second


def _counts(
    places: NDArray[np.int64], is_higher: NDArray[np.bool_], is_lower: NDArray[np.bool_], num_models: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each model, how many are surely better and how many surely worse.

    Args:
        places: ``[P, 2]``, of the first and the second model of each pair.
        is_higher: ``[P]``, whether the first surely pays more: then the second is better.
        is_lower: ``[P]``, whether it surely pays less.
        num_models: how many there are.
    """
    better = np.concatenate((places[is_higher, 0], places[is_lower, 1]))
    worse = np.concatenate((places[is_lower, 0], places[is_higher, 1]))
    return np.bincount(better, minlength=num_models), np.bincount(worse, minlength=num_models)


def _unpaired_counts(
    levels: Mapping[int, Estimate], configurations: Sequence[int], paired: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `_counts`, of the pairs that are not among those paired: by bisection, never pair by pair."""
    ends = np.full((len(configurations), 2), np.nan)
    for place, index in enumerate(configurations):
        level = levels.get(index)
        if level is not None and level.low is not None and level.high is not None:
            ends[place] = level.low, level.high
    lows, highs = ends.T
    rising_lows, rising_highs = (np.sort(column[~np.isnan(column)]) for column in (lows, highs))
    better = np.where(np.isnan(lows), 0, np.searchsorted(rising_highs, lows, side="left"))
    worse = np.where(np.isnan(highs), 0, len(rising_lows) - np.searchsorted(rising_lows, highs, side="right"))
    first, second = paired.T
    is_higher, is_lower = lows[first] > highs[second], highs[first] < lows[second]
    near_better, near_worse = _counts(paired, is_higher, is_lower, len(configurations))
    return better - near_better, worse - near_worse
