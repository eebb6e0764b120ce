"""Where in a corpus a model's bits go: the passages that it wins or loses most."""

from collections.abc import Iterable, Sequence
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
    """``[W, K]``: what each model pays; NaN where it does not pay for every byte of the window."""


def cut(document: int, data: bytes, costs: Iterable[NDArray[np.float64] | None]) -> Windows:
    """The windows of one document.

    Args:
        document: its index.
        data: its bytes.
        costs: `byte_costs` of each model, ``[num_bytes]``; one after the other, if they come so: of a long
            document those of many models do not fit into memory. None: it cannot represent the document.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    # Where a character may be cut: before every byte that does not continue one (10xxxxxx), and at the end.
    boundaries = np.append(np.flatnonzero((raw & 0xC0) != 0x80), len(raw))
    grid = np.arange(0, max(1, len(raw) - PASSAGE_BYTES + _STRIDE_BYTES), _STRIDE_BYTES)
    starts = boundaries[np.searchsorted(boundaries, grid)]
    ends = boundaries[np.searchsorted(boundaries, np.minimum(grid + PASSAGE_BYTES, len(raw)))]
    is_window = starts < ends
    starts, ends = starts[is_window], ends[is_window]
    nothing = np.full(len(starts), np.nan)
    columns = [nothing if column is None else _window_bits(column, starts, ends) for column in costs]
    return Windows(np.full(len(starts), document), starts, ends, np.stack(columns, axis=1))


def _window_bits(
    costs: NDArray[np.float64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float64]:
    is_unpaid = np.isnan(costs)
    bits = _window_sums(np.where(is_unpaid, 0.0, costs), starts, ends)
    # A window that is paid for in part only looks cheap: it is nobody's best or worst.
    bits[_window_sums(is_unpaid, starts, ends) > 0] = np.nan
    return bits


def _window_sums(
    values: NDArray[np.float64] | NDArray[np.bool_], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sums ``[W]`` over overlapping windows of ``[num_bytes]``: differences of running sums."""
    running = np.concatenate((np.zeros(1), np.cumsum(values, dtype=np.float64)))
    return np.asarray(running[ends] - running[starts])


def joined(parts: Sequence[Windows]) -> Windows:
    """The windows of several documents together."""
    return Windows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def lowest(windows: Windows, scores: NDArray[np.float64], *, below: float | None = None) -> list[int]:
    """Indices of the windows of lowest score that do not overlap, two of a document at most.

    Args:
        windows: to choose from.
        scores: ``[W]``; windows of score NaN are not chosen.
        below: only scores under this.
    """
    chosen: list[int] = []
    for index in np.argsort(scores, kind="stable").tolist():  # NaN last
        is_out = np.isnan(scores[index]) or (below is not None and scores[index] >= below)
        if len(chosen) == NUM_PASSAGES or is_out:
            break
        start, end = windows.starts[index], windows.ends[index]
        neighbours = [place for place in chosen if windows.documents[place] == windows.documents[index]]
        is_apart = all(windows.ends[place] <= start or end <= windows.starts[place] for place in neighbours)
        if len(neighbours) < _PER_DOCUMENT and is_apart:
            chosen.append(index)
    return chosen
