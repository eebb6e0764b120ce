"""Lanes of tokens into code and back: the very same shapes in the very same order in both directions.

Shape legend: R = rows of a round, P = tokens of a context, T = tokens of a piece, C = channels.

A decoder reads token by token, ``[R, 1]``. An encoder has the whole text and may read ``[R, T]`` at once
where that gives the same bits, which is tried on the very shapes before it is relied upon: where a matrix
product sums each of its rows in one order, whatever the number of rows, and all else goes token by token.
Where it does not, the encoder reads token by token too.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.coding.rounds import Layout, Round, context_ids, rounds
from evalkit.coding.symbols import Ids, TokenDecoder, TokenEncoder, Weights, token_weights
from evalkit.models.lanes import LaneReader

_PIECE_POSITIONS = 512
_LARGEST_PIECE = 64
"""Tokens of a row: the trial reads as many one by one."""
_LOGITS_AT_ONCE = 2**25
_NUM_PROBED = 3


class LaneCode(NamedTuple):
    """What lanes were coded to."""

    words: bytes
    ideal_bits: float
    """What the tokens cost by the model's own distributions."""
    piece_tokens: int
    """How many tokens of a row the encoder read at once; 1 where only that gives a decoder's bits."""


def encode_lanes(reader: LaneReader, layout: Layout, lanes: Sequence[Ids]) -> LaneCode:
    """Code lanes of tokens.

    Args:
        reader: of the model.
        layout: its lengths are those of the lanes.
        lanes: ids of each.

    Raises:
        ScoringError: the model's logits are not finite, or the policy does not fit it.
    """
    encoder = TokenEncoder()
    smallest_piece = _LARGEST_PIECE
    for windows in rounds(layout):
        piece_tokens = _piece_tokens(reader, len(windows), windows[0].num_targets)
        smallest_piece = min(smallest_piece, piece_tokens)
        _Encoding(reader, windows, layout.prefix, lanes, encoder).read_targets().run(piece_tokens)
    return LaneCode(encoder.words(), encoder.ideal_bits, smallest_piece)


def decode_lanes(reader: LaneReader, layout: Layout, words: bytes) -> list[Ids]:
    """The lanes that were coded.

    Raises:
        ValueError: no encoder gives such code with this model.
        ScoringError: as `encode_lanes`.
    """
    decoder = TokenDecoder(words)
    lanes = [np.zeros(num_tokens, np.int64) for num_tokens in layout.num_tokens]
    for windows in rounds(layout):
        _Decoding(reader, windows, layout.prefix, lanes, decoder).run(1)
    return lanes


CoderT = TypeVar("CoderT", TokenEncoder, TokenDecoder)


class _Round(Generic[CoderT]):
    """The tokens of one round, by time and then by row; what is done with them is a subclass's business."""

    def __init__(
        self, reader: LaneReader, windows: Round, prefix: Sequence[int], lanes: Sequence[Ids], coder: CoderT
    ) -> None:
        self._reader = reader
        self._contexts = np.stack([context_ids(window, lanes[window.lane], prefix) for window in windows])
        self._lengths = np.array([window.num_targets for window in windows])
        self._num_steps = int(self._lengths.max())
        # ``[R, longest]``: what a row has not is read as 0, and never coded.
        self._targets = np.zeros((len(windows), self._num_steps), np.int64)
        self._windows, self._lanes = windows, lanes
        self._coder: CoderT = coder

    def run(self, piece_tokens: int) -> None:
        """Code all targets, reading so many tokens of each row at once."""
        num_coded = 0
        if self._contexts.shape[1]:
            predictors = self._reader.start(torch.from_numpy(self._contexts))[:, None]
            num_coded = self._code(predictors, 0)
        else:
            self._code_first()
            num_coded = 1
            if num_coded < self._num_steps:
                predictors = self._reader.start(torch.from_numpy(self._targets[:, :1]))[:, None]
                num_coded = self._code(predictors, 1)
        while num_coded < self._num_steps:
            # Never more than there is to read, which may fill the model's context.
            num_read = piece_tokens if self._num_steps - num_coded >= piece_tokens else 1
            piece = self._targets[:, num_coded - 1 : num_coded - 1 + num_read]
            num_coded = self._code(self._reader.read(torch.from_numpy(piece.copy())), num_coded)

    def _code(self, predictors: Tensor, time: int) -> int:
        """Code the targets that predictors ``[R, T, C]`` predict, from a time on; the time after them."""
        for weights in _weights(self._reader, predictors):
            num_rows = len(self._lengths)
            num_times = len(weights.of_tokens) // num_rows
            times = time + np.arange(num_times)
            self._code_weights(weights, times, (self._lengths[None, :] > times[:, None]))
            time += num_times
        return time

    def _code_first(self) -> None:
        """Nothing precedes the first token, so that every token is as likely."""
        uniform = torch.zeros(len(self._lengths), self._reader.model.vocab_size)
        self._code_weights(token_weights(uniform), np.arange(1), self._lengths[None, :] > 0)

    def _code_weights(self, weights: Weights, times: Ids, is_coded: NDArray[np.bool_]) -> None:
        """Code targets by their weights ``[T R, G, S]``; ``is_coded``, ``[T, R]``, says which there are."""
        raise NotImplementedError


class _Encoding(_Round[TokenEncoder]):
    def read_targets(self) -> Self:
        """Take the ids that are coded from the lanes."""
        for row, window in enumerate(self._windows):
            targets = self._lanes[window.lane][window.first : window.first + window.num_targets]
            self._targets[row, : len(targets)] = targets
        return self

    def _code_weights(self, weights: Weights, times: Ids, is_coded: NDArray[np.bool_]) -> None:
        # A time after the other, as a decoder goes: a token is two symbols, the second of which it can decode
        # when it has the first ones of all rows.
        for time, at_time, is_coded_at in zip(
            times, weights.split(len(self._windows)), is_coded, strict=True
        ):
            self._coder.code(at_time.rows(is_coded_at), self._targets[is_coded_at, time])


class _Decoding(_Round[TokenDecoder]):
    def _code_weights(self, weights: Weights, times: Ids, is_coded: NDArray[np.bool_]) -> None:
        ids = self._coder.decode(weights.rows(is_coded.ravel()))
        time = int(times[0])
        rows = np.flatnonzero(is_coded[0])
        self._targets[rows, time] = ids
        for row, token in zip(rows, ids, strict=True):
            window = self._windows[row]
            self._lanes[window.lane][window.first + time] = token


def _weights(reader: LaneReader, predictors: Tensor) -> Iterator[Weights]:
    """Of the tokens after predictors ``[R, T, C]``, by time and then by row, some times at once."""
    num_rows = predictors.shape[0]
    num_times = max(1, _LOGITS_AT_ONCE // (num_rows * reader.model.vocab_size))
    for part in torch.split(predictors, num_times, dim=1):
        yield token_weights(reader.model.logits(part.transpose(0, 1).flatten(0, 1)))


def _piece_tokens(reader: LaneReader, num_rows: int, num_steps: int) -> int:
    """How many tokens of each row can be read at once with the bits of one by one."""
    piece_tokens = min(_LARGEST_PIECE, _PIECE_POSITIONS // num_rows)
    if piece_tokens < 2 or num_steps < 2 * piece_tokens or not reader.may_read_ahead:
        return 1
    ids = _trial_ids(reader, num_rows, piece_tokens + 2)
    start, piece, after = ids[:, :1], ids[:, 1:-1], ids[:, -1:]
    reader.start(start)
    at_once = [*_weights(reader, reader.read(piece)), *_weights(reader, reader.read(after))]
    reader.start(start)
    steps = [reader.read(token) for token in torch.split(ids[:, 1:], 1, dim=1)]
    one_by_one = [weights for step in steps for weights in _weights(reader, step)]
    agree = torch.equal(
        torch.cat([weights.of_tokens for weights in at_once]),
        torch.cat([weights.of_tokens for weights in one_by_one]),
    ) and np.array_equal(
        np.concatenate([weights.of_groups for weights in at_once]),
        np.concatenate([weights.of_groups for weights in one_by_one]),
    )
    return piece_tokens if agree else 1


def numerics_digest(reader: LaneReader, num_rows: int) -> str:
    """What a machine computes for a few tokens of so many rows, as 16 hexadecimal digits.

    Where two machines differ in a bit of these, or in the code that is made of them, they differ here.
    """
    ids = _trial_ids(reader, num_rows, _NUM_PROBED + 1)
    predictors = [reader.start(ids[:, :1])[:, None]]
    predictors += [reader.read(token) for token in torch.split(ids[:, 1:-1], 1, dim=1)]
    digest = hashlib.sha256()
    encoder = TokenEncoder()
    for step, token in zip(predictors, torch.split(ids[:, 1:], 1, dim=1), strict=True):
        for weights in _weights(reader, step):
            digest.update(weights.of_tokens.numpy().tobytes() + weights.of_groups.tobytes())
            encoder.code(weights, token[:, 0].numpy())
    return hashlib.sha256(digest.digest() + encoder.words()).hexdigest()[:16]


def _trial_ids(reader: LaneReader, num_rows: int, num_tokens: int) -> Tensor:
    """Ids that are all over the vocabulary, ``[num_rows, num_tokens]``."""
    numbers = np.arange(num_rows * num_tokens, dtype=np.int64) * 7919 + 65
    return torch.from_numpy(numbers % reader.model.vocab_size).view(num_rows, num_tokens)
