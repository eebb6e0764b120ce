"""Where in a corpus a model's bits go: the passages that it wins or loses most."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PASSAGE_BYTES = 240
_STRIDE_BYTES = 80
NUM_PASSAGES = 8
_PER_DOCUMENT = 2


class Windows(NamedTuple):
    """Passages to choose from: all stretches of about `PASSAGE_BYTES` at a third of that apart."""

    documents: NDArray[np.int64]
    """``[W]``: index of the document."""
    starts: NDArray[np.int64]
    """``[W]``: first byte, where a character begins."""
    ends: NDArray[np.int64]
    """``[W]``: the byte after the last, likewise."""
    bits: NDArray[np.float64]
    """``[W, K]``: what each model pays."""


def cut(document: int, data: bytes, bits: NDArray[np.float64]) -> Windows:
    """The windows of one document.

    Args:
        document: its index.
        data: its bytes.
        bits: ``[num_bytes, K]``: what each model pays for each byte.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    boundaries = np.append(np.flatnonzero((raw & 0xC0) != 0x80), len(raw))
    grid = np.arange(0, max(1, len(raw) - PASSAGE_BYTES + _STRIDE_BYTES), _STRIDE_BYTES)
    starts = boundaries[np.searchsorted(boundaries, grid)]
    ends = boundaries[np.searchsorted(boundaries, np.minimum(grid + PASSAGE_BYTES, len(raw)))]
    whole = starts < ends
    starts, ends = starts[whole], ends[whole]
    sums = np.concatenate((np.zeros((1, bits.shape[1])), np.cumsum(bits, axis=0)))
    return Windows(np.full(len(starts), document), starts, ends, sums[ends] - sums[starts])


def joined(parts: Sequence[Windows]) -> Windows:
    """The windows of several documents together."""
    return Windows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def lowest(windows: Windows, scores: NDArray[np.float64], *, below: float | None = None) -> list[int]:
    """Indices of the windows of lowest score that do not overlap, two of a document at most.

    Args:
        windows: to choose from.
        scores: ``[W]``.
        below: only scores under this.
    """
    chosen: list[int] = []
    for index in np.argsort(scores, kind="stable").tolist():
        if len(chosen) == NUM_PASSAGES or (below is not None and scores[index] >= below):
            break
        same = [other for other in chosen if windows.documents[other] == windows.documents[index]]
        apart = all(
            windows.ends[other] <= windows.starts[index] or windows.ends[index] <= windows.starts[other]
            for other in same
        )
        if len(same) < _PER_DOCUMENT and apart:
            chosen.append(index)
    return chosen
