"""A part of a plan for each of several machines that share nothing: the same cells wherever it is made."""

import heapq
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from evalkit.errors import UsageError
from evalkit.files import whole_number


class Shard(NamedTuple):
    """One part of several."""

    number: int
    """From 1."""
    num_shards: int


class Work(NamedTuple):
    """A cell as a share of the work."""

    model: Hashable
    """Cells of the same model stay together as far as shares are equal then: it is loaded for each shard."""
    amount: float
    """In whatever unit, the same for all cells."""


def parse_shard(text: str) -> Shard:
    """What ``--shard 2/8`` says.

    Raises:
        UsageError: it is no number of that many.
    """
    number, count = map(whole_number, text.partition("/")[::2])
    if number is not None and count is not None and 1 <= number <= count:
        return Shard(number, count)
    raise UsageError(f"--shard {text} is no part of a whole; give e.g. 1/4, 2/4, 3/4 and 4/4")


def places_of_shard(works: Sequence[Work], shard: Shard) -> list[int]:
    """Which cells a shard has, by place, in order; every cell is in exactly one.

    Models are dealt out whole, the largest first to whom has least. Only a model that is more than an equal
    share is cut, into runs of cells of about a share.
    """
    pieces = _pieces(works, sum(work.amount for work in works) / shard.num_shards)
    loads = [(0.0, number) for number in range(1, 1 + min(shard.num_shards, len(pieces)))]  # a heap
    places: list[int] = []
    for piece in sorted(pieces, key=lambda piece: (-piece.amount, piece.places)):
        load, taker = loads[0]
        heapq.heapreplace(loads, (load + piece.amount, taker))
        if taker == shard.number:
            places += piece.places
    return sorted(places)


class _Piece(NamedTuple):
    """Cells of one model that stay together."""

    places: list[int]
    amount: float


def _pieces(works: Sequence[Work], share: float) -> list[_Piece]:
    by_model: dict[Hashable, list[int]] = {}
    for place, work in enumerate(works):
        by_model.setdefault(work.model, []).append(place)
    pieces = []
    for places in by_model.values():
        piece = _Piece([], 0.0)
        for place in places:
            amount = piece.amount + works[place].amount
            # Rounding must not cut a model that is an equal share.
            if piece.places and amount > share * (1 + 1e-9):
                pieces.append(piece)
                piece, amount = _Piece([], 0.0), works[place].amount
            piece.places.append(place)
            piece = piece._replace(amount=amount)
        pieces.append(piece)
    return pieces
