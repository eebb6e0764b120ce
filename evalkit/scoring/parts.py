"""A part of a corpus, for one of several processes that score it at a time.

Batches are made of all documents as ever, and a part computes those that hold a document of its own: a
document has the bits that it would have had. Documents of a part follow one another in the order of batches,
so that few batches are computed by two of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.corpora.document import Document


class Part(NamedTuple):
    """One of the parts of a corpus."""

    number: int
    """From 0."""
    num_parts: int


def longest_first(documents: Sequence[Document]) -> list[int]:
    """The places of documents in the order in which their windows are batched."""
    return sorted(range(len(documents)), key=lambda place: -documents[place].num_read_bytes)


def places_of_part(documents: Sequence[Document], part: Part) -> frozenset[int]:
    """Which documents a part has, by place; every document is in exactly one, and parts have about as much.

    A part has none where a document is longer than several parts.
    """
    num_bytes = sum(document.num_read_bytes for document in documents)
    num_before = 0
    places = []
    for place in longest_first(documents):
        if num_before * part.num_parts // max(1, num_bytes) == part.number:
            places.append(place)
        num_before += documents[place].num_read_bytes
    return frozenset(places)
