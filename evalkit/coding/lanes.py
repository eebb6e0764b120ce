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
_TRIED_SHARE = 8
"""A piece is so many times shorter than a row, for its trial takes a decoder's time for each token."""
_LEAST_FILLED = 0.25
"""Of a last piece; what is less is read one by one."""
_LOGITS_AT_ONCE = 2**25
_NUM_PROBED = 3


class LaneCode(NamedTuple):
    """What lanes were coded to."""

    words: bytes
    ideal_bits: float
    """What the tokens cost by the model's own distributions."""
    piece_tokens: int
    """How many tokens of a row the encoder read at once at most; 1 where only that gives a decoder's bits."""


def encode_lanes(reader: LaneReader, layout: Layout, lanes: Sequence[Ids]) -> LaneCode:
    """Code lanes of tokens.

    Args:
        reader: of the model.
        layout: its lengths are those of the lanes.
        lanes: ids of each.

    Raises:
        ScoringError: the model's logits are not finite, or the policy does not fit it.
    """
    planned = rounds(layout)
    piece_lengths = _piece_lengths(reader, planned)
    code = _encoded(reader, layout, lanes, planned, piece_lengths)
    if code.piece_tokens > 1 and not reader.may_read_ahead:  # by more keys than the trial had
        code = _encoded(reader, layout, lanes, planned, [1] * len(planned))
    return code


def _encoded(
    reader: LaneReader,
    layout: Layout,
    lanes: Sequence[Ids],
    planned: Sequence[Round],
    piece_lengths: Sequence[int],
) -> LaneCode:
    encoder = TokenEncoder()
    for windows, piece_tokens in zip(planned, piece_lengths, strict=True):
        _Encoding(reader, windows, layout.prefix, lanes, encoder).read_targets().run(piece_tokens)
    return LaneCode(encoder.words(), encoder.ideal_bits, max(piece_lengths, default=1))


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
        contexts = np.stack([context_ids(window, lanes[window.lane], prefix) for window in windows])
        self._lengths = np.array([window.num_targets for window in windows])
        self._num_steps = int(self._lengths.max())
        # What a row has not is read as 0, and never coded; a last piece may reach past all targets.
        later = np.zeros((len(windows), self._num_steps + _LARGEST_PIECE), np.int64)
        self._ids, self._num_context = np.hstack((contexts, later)), contexts.shape[1]
        self._targets = self._ids[:, self._num_context :]
        self._windows, self._lanes = windows, lanes
        self._coder: CoderT = coder

    def run(self, piece_tokens: int) -> None:
        """Code all targets, reading so many tokens of each row at once."""
        if not self._num_context:
            self._code_first()
            if self._num_steps == 1:
                return
        # Without the context's last token, so that what is left to read fills pieces.
        num_read = max(1, self._num_context - 1)
        predictors = self._reader.start(self._read_ids(0, num_read))[:, None]
        if num_read >= self._num_context:
            self._code(predictors, num_read)
        last = self._num_context + self._num_steps - 1
        while num_read < last:
            num_tokens = piece_tokens if self._fills(num_read, last, piece_tokens) else 1
            predictors = self._reader.read(self._read_ids(num_read, num_read + num_tokens))
            self._code(predictors, num_read + 1)
            num_read += num_tokens

    def _read_ids(self, first: int, end: int) -> Tensor:
        return torch.from_numpy(self._ids[:, first:end].copy())

    def _fills(self, num_read: int, last: int, piece_tokens: int) -> bool:
        """Whether what is left fills a piece, or enough of it where the model's context has room."""
        limit = self._reader.model.context_limit
        has_room = limit is None or num_read + piece_tokens <= limit
        return last - num_read >= piece_tokens * (_LEAST_FILLED if has_room else 1)

    def _code(self, predictors: Tensor, num_read: int) -> None:
        """Code the targets that predictors ``[R, T, C]`` predict, the first after so many ids."""
        time = num_read - self._num_context
        for weights in _weights(self._reader, predictors):
            num_rows = len(self._lengths)
            num_times = len(weights.of_tokens) // num_rows
            times = time + np.arange(num_times)
            self._code_weights(weights, times, (self._lengths[None, :] > times[:, None]))
            time += num_times

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
            if is_coded_at.any():
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


def _piece_lengths(reader: LaneReader, planned: Sequence[Round]) -> list[int]:
    """How many tokens of each row of each round can be read at once with the bits of one by one."""
    num_targets: dict[int, list[int]] = {}
    for windows in planned:
        num_targets.setdefault(len(windows), []).append(windows[0].num_targets)
    of_rows = {}
    for num_rows, of_rounds in num_targets.items():
        most_tried = min(sum(of_rounds) // _TRIED_SHARE, max(of_rounds) // 2)
        piece_tokens = min(_LARGEST_PIECE, _PIECE_POSITIONS // num_rows, most_tried)
        is_same = (
            piece_tokens > 1 and reader.may_read_ahead and _gives_same_bits(reader, num_rows, piece_tokens)
        )
        of_rows[num_rows] = piece_tokens if is_same else 1
    return [of_rows[len(windows)] for windows in planned]


def _gives_same_bits(reader: LaneReader, num_rows: int, piece_tokens: int) -> bool:
    """Whether a piece gives the bits of one by one, and so does what is read after it."""
    ids = _trial_ids(reader, num_rows, piece_tokens + 2)
    start, piece, after = ids[:, :1], ids[:, 1:-1], ids[:, -1:]
    reader.start(start)
    at_once = [*_weights(reader, reader.read(piece)), *_weights(reader, reader.read(after))]
    reader.start(start)
    steps = [reader.read(token) for token in torch.split(ids[:, 1:], 1, dim=1)]
    one_by_one = [weights for step in steps for weights in _weights(reader, step)]
    return torch.equal(
        torch.cat([weights.of_tokens for weights in at_once]),
        torch.cat([weights.of_tokens for weights in one_by_one]),
    ) and np.array_equal(
        np.concatenate([weights.of_groups for weights in at_once]),
        np.concatenate([weights.of_groups for weights in one_by_one]),
    )


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
