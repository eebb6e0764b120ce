"""What every document of a scored corpus is and costs: kept packed, and unpacked for a corpus at a time."""

import collections
import functools
import marshal
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.spool import ByteSpool

_RECENT_BYTES = 4 * 2**20
"""How much of what was unpacked last stays so, by its packed size; at least one corpus."""


class ScoredRows(NamedTuple):
    """The documents of a corpus, in their order, and what K model configurations paid for them."""

    ids: tuple[str, ...]
    digests: tuple[str, ...]
    """SHA-256 of each document."""
    titles: tuple[str | None, ...]
    clusters: tuple[str, ...]
    published_at: tuple[str | None, ...]
    """When each document was published, as far as the cells say it."""
    num_bytes: NDArray[np.int64]
    """``[D]``."""
    bits: NDArray[np.float64]
    """``[D, K]``; NaN where there is no cell, or a document could not be represented."""
    story_ids: tuple[str | None, ...] = ()
    """What documents share that say the same in several languages; empty in a corpus without stories."""
    languages: tuple[str | None, ...] = ()
    """Of each document, where there are `story_ids`."""


LoadRows = Callable[[], ScoredRows]


class RowSpool:
    """Rows of many corpora, packed in memory or in a file; few are unpacked at a time."""

    def __init__(self) -> None:
        self._spool = ByteSpool()
        self._recent: collections.OrderedDict[int, tuple[ScoredRows, int]] = collections.OrderedDict()
        self._num_kept = 0

    def keep(self, rows: ScoredRows) -> LoadRows:
        """Keep a corpus's rows; returns what gives them back, the same object as long as it is a recent one.

        Raises:
            OSError: there is no room for them.
        """
        number, self._num_kept = self._num_kept, self._num_kept + 1
        texts = (rows.ids, rows.digests, rows.titles, rows.clusters, rows.published_at)
        said = marshal.dumps((*texts, rows.story_ids, rows.languages), 2)
        load_said = self._spool.keep(said)
        load_numbers = self._spool.keep(rows.num_bytes.tobytes() + rows.bits.tobytes())
        size = len(said) + rows.bits.nbytes
        return functools.partial(self._load, number, load_said, load_numbers, rows.bits.shape, size)

    def _load(
        self,
        number: int,
        load_said: Callable[[], bytes],
        load_numbers: Callable[[], bytes],
        shape: tuple[int, ...],
        size: int,
    ) -> ScoredRows:
        if number in self._recent:
            self._recent.move_to_end(number)
            return self._recent[number][0]
        ids, digests, titles, clusters, published_at, story_ids, languages = marshal.loads(load_said())
        numbers = load_numbers()
        num_bytes = np.frombuffer(numbers, np.int64, shape[0])
        bits = np.frombuffer(numbers, np.float64, offset=num_bytes.nbytes).reshape(shape)
        rows = ScoredRows(ids, digests, titles, clusters, published_at, num_bytes, bits, story_ids, languages)
        self._recent[number] = rows, size
        while len(self._recent) > 1 and sum(size for _, size in self._recent.values()) > _RECENT_BYTES:
            self._recent.popitem(last=False)
        return rows
