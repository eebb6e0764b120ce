"""Continuations of a text, drawn token by token from a model's distribution."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from evalkit.errors import UsageError
from evalkit.explore.reading import (
    POLICY,
    decoding_model,
    encoded,
    last_logits,
    spelling_context,
    text_bytes,
)
from evalkit.models.lanes import LaneReader, lane_reader
from evalkit.models.prefixes import prefix_under
from evalkit.models.protocol import TokenModel

MAX_SAMPLED_TOKENS = 500
_PIECE_TOKENS = 1024


class Sampling(NamedTuple):
    """How a continuation is drawn."""

    num_tokens: int
    """At most."""
    temperature: float
    """What logits are divided by; 0: always the likeliest token."""
    seed: int
    """The same gives the same text, on the same machine."""


class Continuation(NamedTuple):
    """What was drawn."""

    data: bytes
    """Bytes of its tokens, which may end within a character."""
    num_tokens: int
    has_ended: bool
    """Whether the model drew a token that no text has, such as the one between documents."""


def sample(
    model: TokenModel, text: str, sampling: Sampling, *, is_stopped: Callable[[], bool] = lambda: False
) -> Continuation:
    """Draw a continuation of a text.

    A model with a limited context reads the end of the text that leaves the continuation room.

    Args:
        model: one that shows distributions.
        text: what is gone on from.
        sampling: how.
        is_stopped: asked before each token; where it is, what was drawn is all.

    Raises:
        UsageError: the text is too long, or a number is out of its range.
        ModelError: the model shows no distributions.
        ScoringError: the model's tokens cannot represent the text, or a logit is no number.
    """
    _check(sampling)
    reader = lane_reader(decoding_model(model))
    prefix = prefix_under(model, POLICY).ids
    context = [*prefix, *_room(model, encoded(model, text), len(prefix), sampling.num_tokens)]
    if not context:
        raise UsageError(f"{model.identity.name} reads nothing before a text: type something to go on from")
    rng = np.random.default_rng(sampling.seed)
    before = spelling_context(reader.model)
    pieces: list[bytes] = []
    predictor = _start(reader, context)
    while len(pieces) < sampling.num_tokens and not is_stopped():
        token = _draw(last_logits(reader.model, predictor).numpy(), sampling.temperature, rng)
        data = text_bytes(reader.model, token, before)
        if not data:
            return Continuation(b"".join(pieces), len(pieces), has_ended=True)
        pieces.append(data)
        if len(pieces) < sampling.num_tokens:
            predictor = reader.read(torch.tensor([[token]]))[:, -1]
    return Continuation(b"".join(pieces), len(pieces), has_ended=False)


def _start(reader: LaneReader, context: list[int]) -> torch.Tensor:
    """What predicts the id after a context; read in pieces, which bounds memory, where a reader can."""
    num_first = _PIECE_TOKENS if reader.may_read_ahead else len(context)
    predictor = reader.start(torch.tensor([context[:num_first]]))
    for first in range(num_first, len(context), _PIECE_TOKENS):
        predictor = reader.read(torch.tensor([context[first : first + _PIECE_TOKENS]]))[:, -1]
    return predictor


def _check(sampling: Sampling) -> None:
    if not 1 <= sampling.num_tokens <= MAX_SAMPLED_TOKENS:
        raise UsageError(f"{sampling.num_tokens} tokens cannot be drawn; ask for 1 to {MAX_SAMPLED_TOKENS}")
    if not 0 <= sampling.temperature <= 10:
        raise UsageError(f"a temperature is a number from 0 to 10, not {sampling.temperature:g}")
    if not 0 <= sampling.seed < 1 << 53:
        raise UsageError("a seed is a whole number from 0 to 2^53 - 1")


def _room(model: TokenModel, ids: list[int], num_prefix: int, num_tokens: int) -> list[int]:
    """The end of a text that fits the model's context together with what is to be drawn."""
    if model.context_limit is None:
        return ids
    most = model.context_limit - num_prefix - num_tokens + 1
    if most < 1:
        raise UsageError(
            f"the context of {model.identity.name} holds {model.context_limit} tokens, which leaves a "
            f"continuation of {num_tokens} nothing to go on from; draw fewer"
        )
    return ids[-most:]


def _draw(
    logits: np.ndarray[tuple[int], np.dtype[np.float64]], temperature: float, rng: np.random.Generator
) -> int:
    if temperature == 0:
        return int(np.argmax(logits))
    weights = np.exp((logits - logits.max()) / temperature)
    sums = np.cumsum(weights)
    return min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(sums) - 1)
