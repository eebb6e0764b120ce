"""Bits that are lost because only a tokenizer's own tokens are scored, of a stretch of text.

The bytes of a stretch can be spelled by other tokens than the tokenizer's, the canonical ones, and the model
gives some probability to each spelling; all of them together are what it thinks of the bytes. ::

    P(bytes) / p(canonical) = 1 + sum over the other spellings s of p(s) / p(canonical)

The sum is estimated from draws. One draw leaves the canonical tokens at a place and with a token that are
drawn by what the model's own distributions along them say, and goes on token by token, each drawn from the
model's distribution over the tokens that the remaining bytes begin with. Its weight, p(s) over p(canonical)
over the probability with which it was drawn, has the sum as its mean: importance sampling, as Cao and Rimell
(2021, "You should evaluate your language model on marginal likelihood over tokenisations") and Chirkova et
al. (2023, "Should you marginalize over possible tokenizations?") do for whole texts. The logarithm of a mean
of few draws is too small on average, so that at least what is reported is lost.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import ModelError, ScoringError
from evalkit.models.lanes import DecodingModel, LaneReader

_LN2 = math.log(2)
_ROWS_AT_ONCE = 16
_RETURN_NATS = 4.0
"""Of the rest of a token whose beginning was spelled by another one."""


class Spellings:
    """Which tokens some bytes may begin with."""

    def __init__(self, model: DecodingModel) -> None:
        """Ask for the bytes of every token.

        Raises:
            ModelError: the model says of none what it stands for.
        """
        before = model.encode("a").ids.tolist()  # SentencePiece takes a space from a text's first token
        self._bytes = [token_bytes(model, token, before) for token in range(model.vocab_size)]
        self._ids: dict[bytes, list[int]] = {}
        for token, data in enumerate(self._bytes):
            if data:
                self._ids.setdefault(data, []).append(token)
        if not self._ids:
            raise ModelError(f"{model.identity.name} does not say which bytes its tokens stand for")
        self._longest = max(map(len, self._ids))

    def spelled(self, ids: Sequence[int]) -> bytes:
        """The bytes of tokens, one after the other."""
        return b"".join(self._bytes[token] for token in ids)

    def beginnings(self, data: bytes, start: int) -> list[int]:
        """The tokens that the bytes from a place on begin with, and that do not go beyond their end."""
        longest = min(self._longest, len(data) - start)
        return [
            token
            for num_bytes in range(1, longest + 1)
            for token in self._ids.get(data[start : start + num_bytes], ())
        ]


class Stretch(NamedTuple):
    """Some canonical tokens of a text, and those before them."""

    context: tuple[int, ...]
    """At least one."""
    ids: tuple[int, ...]


class LostBits(NamedTuple):
    """What a stretch costs, and what of it is lost to the canonical tokens."""

    canonical_bits: float
    ratio: float
    """Estimate of P(bytes) over p(canonical), from 1 on; right on average over draws."""

    @property
    def bits(self) -> float:
        """What the marginal over all spellings saves; on average over draws, no more than that."""
        return math.log2(self.ratio)


class _Departure(NamedTuple):
    """A way to leave the canonical tokens."""

    place: int
    """Index of the canonical token that is not taken."""
    token: int
    log_probability: float
    """Of the token, after the canonical ones before it."""
    num_bytes: int
    """Of the stretch, up to the token's end."""


@dataclasses.dataclass
class _Draw:
    """A spelling as far as it is drawn."""

    tokens: list[int]
    num_bytes: int
    """Of the stretch, that the tokens stand for."""
    log_weight: float
    """-inf where no token goes on."""


def lost_bits(
    reader: LaneReader, spellings: Spellings, stretch: Stretch, *, num_draws: int, rng: np.random.Generator
) -> LostBits:
    """Estimate what is lost of a stretch.

    Args:
        reader: of the model.
        spellings: of its vocabulary.
        stretch: its tokens; other spellings of it are those that end where it ends.
        num_draws: other spellings that are drawn, and read side by side; at least one.
        rng: what they are drawn with.

    Raises:
        ScoringError: a logit is no number.
    """
    data = spellings.spelled(stretch.ids)
    nats, departures = _departures(reader.model, spellings, stretch, data)
    canonical_bits = float(nats.sum()) / _LN2
    if not departures:
        return LostBits(canonical_bits, 1.0)
    log_shares = _log_shares(spellings, stretch, nats, departures)
    costs_from = np.cumsum(nats[::-1])[::-1]  # the canonical tokens before a departure are in both
    draws = []
    for index in _systematic(np.exp(log_shares), num_draws, rng):
        place, token, log_probability, num_bytes = departures[index]
        log_weight = log_probability + float(costs_from[place] - log_shares[index])
        draws.append(_Draw([*stretch.ids[:place], token], num_bytes, log_weight))
    _complete(reader, spellings, stretch.context, data, draws, rng)
    return LostBits(canonical_bits, 1 + float(np.exp([draw.log_weight for draw in draws]).mean()))


def _departures(
    model: DecodingModel, spellings: Spellings, stretch: Stretch, data: bytes
) -> tuple[NDArray[np.float64], list[_Departure]]:
    """Nats of the canonical tokens, and every way to leave them."""
    nats = np.empty(len(stretch.ids))
    departures: list[_Departure] = []
    start = 0
    for place, log_probabilities in enumerate(_log_probabilities(model, stretch)):
        canonical = stretch.ids[place]
        nats[place] = -float(log_probabilities[canonical])
        departures += [
            _Departure(place, token, float(log_probabilities[token]), start + len(spellings.spelled([token])))
            for token in spellings.beginnings(data, start)
            if token != canonical
        ]
        start += len(spellings.spelled([canonical]))
    return nats, departures


def _log_shares(
    spellings: Spellings, stretch: Stretch, nats: NDArray[np.float64], departures: Sequence[_Departure]
) -> NDArray[np.float64]:
    """Logs of the probabilities with which departures are drawn.

    They are those of the weights that the spellings would have if all were canonical from the end of the
    canonical token on in which a departure ends, and the bytes up to there cost nothing, in half of all
    draws, or `_RETURN_NATS`, in the other half: so no weight is very large, whatever they cost.
    """
    ends = np.cumsum([len(spellings.spelled([token])) for token in stretch.ids])
    costs_before = np.concatenate([[0.0], np.cumsum(nats)])
    comes_back = np.searchsorted(ends, [departure.num_bytes for departure in departures]) + 1
    logs = np.array([departure.log_probability for departure in departures]) + costs_before[comes_back]
    logs -= costs_before[[departure.place for departure in departures]]
    is_inside = ends[comes_back - 1] != [departure.num_bytes for departure in departures]
    halves = [logs, logs - _RETURN_NATS * is_inside]
    shares: NDArray[np.float64] = np.logaddexp(*(half - np.logaddexp.reduce(half) for half in halves)) - _LN2
    return shares


def _log_probabilities(model: DecodingModel, stretch: Stretch) -> Iterator[Tensor]:
    """Of every token, after the context and each canonical token but the last, ``[V]`` in float64."""
    for rows in model.head_inputs(stretch.context, stretch.ids):
        for part in torch.split(rows, _ROWS_AT_ONCE):
            yield from _normalised(model, part)


def _normalised(model: DecodingModel, head_inputs: Tensor) -> Tensor:
    log_probabilities = torch.log_softmax(model.logits(head_inputs).double(), -1).cpu()
    if log_probabilities.isnan().any():
        raise ScoringError(f"{model.identity.name}: a logit is no number")
    return log_probabilities


def _systematic(shares: NDArray[np.float64], num_draws: int, rng: np.random.Generator) -> list[int]:
    """Indices, each drawn by its share, and together as evenly as can be."""
    points = (np.arange(num_draws) + rng.random()) / num_draws
    sums = np.cumsum(shares)
    indices: list[int] = np.searchsorted(sums / sums[-1], points, side="right").tolist()
    return indices


def _complete(
    reader: LaneReader,
    spellings: Spellings,
    context: Sequence[int],
    data: bytes,
    draws: Sequence[_Draw],
    rng: np.random.Generator,
) -> None:
    """Draw the rest of each spelling, a token of every row at a time, and multiply its weight."""
    reader.start(torch.tensor([context] * len(draws)))
    for step in range(len(data)):
        if all(_is_complete(draw, data) for draw in draws):
            return
        ids = [draw.tokens[step] if step < len(draw.tokens) else 0 for draw in draws]
        predictors = reader.read(torch.tensor(ids)[:, None])[:, -1]
        rows = [
            row
            for row, draw in enumerate(draws)
            if step == len(draw.tokens) - 1 and not _is_complete(draw, data)
        ]
        if rows:
            for row, log_probabilities in zip(rows, _normalised(reader.model, predictors[rows]), strict=True):
                _extend(draws[row], spellings, data, log_probabilities, rng)


def _is_complete(draw: _Draw, data: bytes) -> bool:
    return draw.num_bytes == len(data) or draw.log_weight == -math.inf


def _extend(
    draw: _Draw, spellings: Spellings, data: bytes, log_probabilities: Tensor, rng: np.random.Generator
) -> None:
    """Draw the next token among those that the remaining bytes begin with."""
    tokens = spellings.beginnings(data, draw.num_bytes)
    if not tokens:  # as in a vocabulary that has no token for each byte
        draw.log_weight = -math.inf
        return
    logs = log_probabilities[tokens].numpy()
    log_sum = float(np.logaddexp.reduce(logs))
    token = tokens[_systematic(np.exp(logs - log_sum), 1, rng)[0]]
    draw.tokens.append(token)
    draw.num_bytes += len(spellings.spelled([token]))
    draw.log_weight += log_sum


def token_bytes(model: DecodingModel, token: int, before: Sequence[int]) -> bytes:
    """What a token stands for within a text; nothing for ids that no text has."""
    try:
        data = model.decode([*before, token])
    except (KeyError, ValueError, IndexError, OverflowError, UnicodeError):
        return b""
    return data.removeprefix(model.decode(before))
