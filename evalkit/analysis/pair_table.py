"""The paired differences of many models in little memory: three numbers for a pair."""

from collections.abc import Iterator, Mapping

import numpy as np

from evalkit.analysis.estimates import Estimate


class PairTable(Mapping[tuple[int, int], Estimate]):
    """First minus second by two model configurations, as `evalkit.analysis.estimates.differences` gives them.

    A dictionary of them takes 300 bytes for a pair, and a hundred models have 5,000 pairs on each corpus.
    """

    def __init__(self, pairs: Mapping[tuple[int, int], Estimate]) -> None:
        self._keys = np.array(list(pairs), np.int32).reshape(-1, 2)
        # None becomes NaN; values are never that.
        self._numbers = np.array(list(pairs.values()), np.float64).reshape(-1, 3)
        self._places = {index: place for place, index in enumerate(np.unique(self._keys).tolist())}
        self._rows = np.full((len(self._places), len(self._places)), -1, np.int32)
        if len(self._keys):
            places = np.searchsorted(np.unique(self._keys), self._keys)
            self._rows[places[:, 0], places[:, 1]] = np.arange(len(self._keys))

    def __getitem__(self, pair: tuple[int, int]) -> Estimate:
        """The difference of a pair; KeyError in its other order."""
        row = int(self._rows[self._places[pair[0]], self._places[pair[1]]])
        if row < 0:
            raise KeyError(pair)
        value, low, high = self._numbers[row].tolist()
        return Estimate(value, None if np.isnan(low) else low, None if np.isnan(high) else high)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The pairs, in the order in which they came."""
        return ((first, second) for first, second in self._keys.tolist())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._keys)
