"""Which windows of which texts are read side by side, from the texts' lengths alone.

So a decoder, which knows the lengths and no token yet, finds the same rounds as the encoder.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.scoring.policy import windows


class Layout(NamedTuple):
    """Everything that determines the order and the shapes in which texts are coded."""

    num_tokens: tuple[int, ...]
    """Of each lane: a text, or a segment of one, that begins anew."""
    policy: str
    prefix: tuple[int, ...]
    context_limit: int | None
    num_rows: int
    """Most lanes that are read side by side."""


class LaneWindow(NamedTuple):
    """A window of `evalkit.scoring.policy` of one lane, by places instead of ids."""

    lane: int
    context: NDArray[np.int64]
    """``[P]``: places of the lane's tokens; below zero, -1 - i, the prefix's id i."""
    first: int
    """Place of the first target."""
    num_targets: int


Round = tuple[LaneWindow, ...]
"""Windows with contexts of one length, those with the most targets first."""


def rounds(layout: Layout) -> list[Round]:
    """Every window of every lane, none before what its context holds.

    Raises:
        ScoringError: the policy does not fit the model, see `evalkit.scoring.policy.windows`.
    """
    waiting = [_windows(lane, num_tokens, layout) for lane, num_tokens in enumerate(layout.num_tokens)]
    planned: list[Round] = []
    while any(waiting):
        by_length: dict[int, list[LaneWindow]] = {}
        for lane_windows in waiting:
            if lane_windows:
                by_length.setdefault(len(lane_windows[0].context), []).append(lane_windows[0])
        _, ready = max(by_length.items(), key=lambda item: (len(item[1]), -item[0]))
        ready.sort(key=lambda window: (-window.num_targets, window.lane))
        chosen = tuple(ready[: layout.num_rows])
        for window in chosen:
            waiting[window.lane].pop(0)
        planned.append(chosen)
    return planned


def _windows(lane: int, num_tokens: int, layout: Layout) -> list[LaneWindow]:
    cut = windows(
        layout.policy,
        np.arange(num_tokens),
        prefix=[-1 - i for i in range(len(layout.prefix))],
        context_limit=layout.context_limit,
    )
    return [LaneWindow(lane, window.context, window.first, len(window.targets)) for window in cut]


def context_ids(window: LaneWindow, tokens: NDArray[np.int64], prefix: Sequence[int]) -> NDArray[np.int64]:
    """The ids of a window's context, given those of the lane's tokens that stand before it."""
    ids = np.empty(len(window.context), np.int64)
    in_lane = window.context >= 0
    ids[in_lane] = tokens[window.context[in_lane]]
    ids[~in_lane] = np.asarray(prefix, np.int64)[-1 - window.context[~in_lane]]
    return ids


def segment_lengths(num_tokens: int, num_lanes: int) -> tuple[int, ...]:
    """Lengths of the segments that one text is cut into: as equal as can be, the longer first."""
    num_lanes = max(1, min(num_lanes, num_tokens))
    length, num_longer = divmod(num_tokens, num_lanes)
    return tuple(length + (lane < num_longer) for lane in range(num_lanes))
