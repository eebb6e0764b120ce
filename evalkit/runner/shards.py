"""A part of a plan for each of several machines that share nothing: the same cells wherever it is made."""

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
    loads = [0.0] * shard.num_shards
    places: list[int] = []
    for piece in sorted(pieces, key=lambda piece: (-_amount(works, piece), piece)):
        taker = loads.index(min(loads))
        loads[taker] += _amount(works, piece)
        if taker == shard.number - 1:
            places += piece
    return sorted(places)


def _pieces(works: Sequence[Work], share: float) -> list[list[int]]:
    by_model: dict[Hashable, list[int]] = {}
    for place, work in enumerate(works):
        by_model.setdefault(work.model, []).append(place)
    pieces = []
    for places in by_model.values():
        piece: list[int] = []
        for place in places:
            # Rounding must not cut a model that is an equal share.
            if piece and _amount(works, [*piece, place]) > share * (1 + 1e-9):
                pieces.append(piece)
                piece = []
            piece.append(place)
        pieces.append(piece)
    return pieces


def _amount(works: Sequence[Work], places: Sequence[int]) -> float:
    return sum(works[place].amount for place in places)
