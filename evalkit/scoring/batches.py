"""In which batches windows are computed: sorted by length, of as many positions as memory holds.

The plan depends on the windows alone, not on how many processes take batches from it nor in which order these
finish, so that a document's bits do not either.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from evalkit.scoring.policy import Window

_NUM_BATCHES_DRAWN = 16
"""Batches that are made of the tokens that memory holds at a time."""


class Piece(NamedTuple):
    """A window and the document that it belongs to."""

    document: int
    window: Window


class BatchPlan(Iterator[list[Piece]]):
    """The batches of windows that are drawn as they are needed, the longest of a draw first."""

    def __init__(self, pieces: Iterable[Piece], max_positions: int, max_padding: int | None = None) -> None:
        """Plan the windows, which come with about the longest first.

        Args:
            pieces: drawn so far ahead that a few batches can be sorted by length.
            max_positions: of a batch, padding included.
            max_padding: see `batches`.
        """
        self._pieces = iter(pieces)
        self._max_positions = max_positions
        self._max_padding = max_padding
        self._queue: list[list[Piece]] = []  # the next one last

    def __next__(self) -> list[Piece]:
        if len(self._queue) < 2:  # the last of what was drawn may be a small one
            drawn = [piece for batch in self._queue for piece in batch]
            drawn += _draw(self._pieces, _NUM_BATCHES_DRAWN * self._max_positions)
            self._queue = self._cut(drawn)
        if not self._queue:
            raise StopIteration
        return self._queue.pop()

    def split(self, batch: list[Piece]) -> None:
        """Take back a batch that did not fit in memory; it and all that follow are no more than half of it.

        Args:
            batch: of two windows or more.
        """
        num_positions = len(batch) * max(piece.window.num_positions for piece in batch)
        self._max_positions = min(self._max_positions, num_positions // 2)
        waiting = [piece for later in [batch, *self._queue] for piece in later]
        self._queue = self._cut(waiting)

    def _cut(self, pieces: Sequence[Piece]) -> list[list[Piece]]:
        return list(batches(pieces, self._max_positions, self._max_padding))[::-1]


def _draw(pieces: Iterator[Piece], num_positions: int) -> Iterator[Piece]:
    """As many of the next windows as have this many positions, or all that are left."""
    while num_positions > 0 and (piece := next(pieces, None)) is not None:
        num_positions -= piece.window.num_positions
        yield piece


def batches(
    pieces: Sequence[Piece], tokens_per_batch: int, max_padding: int | None = None
) -> Iterator[list[Piece]]:
    """The windows in batches of like length, longest first, padding counted.

    Of like length, because every row of a batch is padded to the longest; longest first, so that a batch that
    does not fit in memory fails at once and the estimate of the time left only gets better.

    Args:
        pieces: the windows.
        tokens_per_batch: of a batch at most, unless a window alone is longer.
        max_padding: positions that a batch may be padded by: what another batch costs; None: any number.
    """
    batch: list[Piece] = []
    num_padding = 0
    for piece in sorted(pieces, key=lambda piece: -piece.window.num_positions):
        if batch:
            longest = batch[0].window.num_positions
            num_padding += longest - piece.window.num_positions
            is_padded = max_padding is not None and num_padding > max_padding
            if is_padded or (len(batch) + 1) * longest > tokens_per_batch:
                yield batch
                batch, num_padding = [], 0
        batch.append(piece)
    if batch:
        yield batch
