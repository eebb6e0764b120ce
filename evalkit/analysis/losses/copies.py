"""Copies: bytes that complete a stretch of `NGRAM_BYTES` which the document has had before."""

import itertools

import numpy as np
from numpy.typing import NDArray

NGRAM_BYTES = 16
"""About three words: what models of any tokenizer can recall, and chance hardly repeats."""
FIRST = "first occurrence"
DISTANCES = (10, 100, 1000, 10_000)
"""Between which bounds copies are taken together, by the distance to the last time."""
COPIES = (
    FIRST,
    f"copy, less than {DISTANCES[0]} bytes back",
    *(f"copy, {low:,} to {high - 1:,} bytes back" for low, high in itertools.pairwise(DISTANCES)),
    f"copy, {DISTANCES[-1]:,} bytes back and more",
)


def copy_distances(data: bytes) -> NDArray[np.int64]:
    """``[num_bytes]``: how far back the `NGRAM_BYTES` that end with each byte ended the last time.

    0 where they never did, and where there are not that many bytes yet.
    """
    distances = np.zeros(len(data), np.int64)
    if len(data) <= NGRAM_BYTES:
        return distances
    raw = np.frombuffer(data, np.uint8)
    halves = np.lib.stride_tricks.sliding_window_view(raw, NGRAM_BYTES // 2).copy().view(np.uint64).ravel()
    first, second = halves[: -(NGRAM_BYTES // 2)], halves[NGRAM_BYTES // 2 :]
    order = np.lexsort((second, first))  # stable: equal stretches stand together in the text's order
    is_same = (first[order[1:]] == first[order[:-1]]) & (second[order[1:]] == second[order[:-1]])
    distances[NGRAM_BYTES - 1 + order[1:][is_same]] = (order[1:] - order[:-1])[is_same]
    return distances


def copy_codes(data: bytes) -> NDArray[np.int16]:
    """``[num_bytes]``: index of each byte's class among `COPIES`."""
    distances = copy_distances(data)
    bins = 1 + np.searchsorted(DISTANCES, distances, side="right")
    return np.where(distances == 0, 0, bins).astype(np.int16)
