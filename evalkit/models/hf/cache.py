"""Reading on with a Hugging Face causal LM: its cache carried, copied and branched.

transformers keeps what a model knows in a `Cache`: keys and values of attention layers, states of
recurrent ones. A forward pass writes into it, so whoever wants to go on from one place twice needs a
copy. Not every architecture goes on rightly from every cache (some recurrent ones take it for single
tokens only), so that is tried on the model itself before it is relied upon.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from evalkit.models.hf.head import hidden_at_head

if TYPE_CHECKING:
    import transformers

_NUM_TRIED_BEFORE = 7
"""Tokens of the trial that go into the cache; the rest is read from it."""
_NUM_REPEATED = 5
"""Pieces of the trial of `hidden_in_pieces`."""
NO_SUCH_CACHE = (
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a model's own code raises that is given a cache of another kind than it knows."""


class HfReading(NamedTuple):
    """What a model knows after some text."""

    cache: "transformers.Cache"
    """Of one row; never written to again."""
    hidden: Tensor
    """``[C]``: the head's input that predicts the next token."""


def read_on(
    model: "transformers.PreTrainedModel", ids: Sequence[int], reading: HfReading | None
) -> HfReading:
    """What is known after some ids.

    Args:
        model: a causal LM in evaluation mode.
        ids: at least one.
        reading: what is known before them; None: nothing. It is left as it is.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config) if reading is None else copy.deepcopy(reading.cache)
    hidden = advance(model, torch.tensor([list(ids)]), cache)
    return HfReading(cache, hidden[0, -1])


def branch_hidden(
    model: "transformers.PreTrainedModel", reading: HfReading, inputs: Sequence[Sequence[int]]
) -> Tensor:
    """What the head gets at every token of every input, ``[len(inputs), longest, C]``.

    The inputs are padded on the right, which none of their own tokens sees.
    """
    ids = torch.zeros(len(inputs), max(map(len, inputs)), dtype=torch.long)
    for row, tokens in enumerate(inputs):
        ids[row, : len(tokens)] = torch.tensor(list(tokens))
    cache = copy.deepcopy(reading.cache)
    cache.reorder_cache(torch.zeros(len(inputs), dtype=torch.long, device=reading.hidden.device))
    return advance(model, ids, cache)


def hidden_in_pieces(model: "transformers.PreTrainedModel", input_ids: Tensor, num_queries: int) -> Tensor:
    """What the head gets at every token, `hidden_at_head`, where the text is read a piece at a time.

    Attention that is written out then takes memory for a piece by the text, not for the text by the text.

    Args:
        model: a causal LM that `carries_state`.
        input_ids: ``[B, T]``.
        num_queries: tokens of a piece.
    """
    return torch.cat(list(cached_pieces(model, input_ids, num_queries)), dim=1)


def cached_pieces(
    model: "transformers.PreTrainedModel", input_ids: Tensor, num_queries: int
) -> Iterator[Tensor]:
    """The pieces of `hidden_in_pieces`, each read when it is asked for."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    for piece in torch.split(input_ids, num_queries, dim=1):
        yield advance(model, piece, cache)


def reads_in_pieces(model: "transformers.PreTrainedModel", ids: Sequence[int]) -> bool:
    """Whether `hidden_in_pieces` gives what a text gives in one.

    Args:
        model: a `transformers` causal LM in evaluation mode.
        ids: a few ids of ordinary text.
    """
    if _cache_argument(model) is None:
        return False
    text = list(ids) * _NUM_REPEATED
    row = torch.tensor([text], device=model.get_output_embeddings().weight.device)
    whole = hidden_at_head(model, row)
    try:
        pieces = hidden_in_pieces(model, row, len(ids))
    except NO_SUCH_CACHE:
        return False
    return agree(pieces, whole)


def carries_state(model: "transformers.PreTrainedModel", ids: Sequence[int]) -> bool:
    """Whether a text read in two pieces, the second in two rows, gives what it gives in one.

    Args:
        model: a `transformers` causal LM in evaluation mode.
        ids: a few ids of ordinary text.
    """
    if _cache_argument(model) is None:
        return False
    device = model.get_output_embeddings().weight.device
    whole = hidden_at_head(model, torch.tensor([list(ids)], device=device))[0]
    try:
        reading = read_on(model, ids[:_NUM_TRIED_BEFORE], None)
        second_piece = list(ids[_NUM_TRIED_BEFORE:])
        # Two rows of different lengths, as a branching has them: one cache serves both, the shorter is
        # padded.
        rows = branch_hidden(model, reading, [second_piece, second_piece[:2]])
    except NO_SUCH_CACHE:
        return False  # read from the start each time, slower and as right
    before = _NUM_TRIED_BEFORE
    expected = torch.cat((whole[before - 1 :], whole[before : before + 2]))
    return agree(torch.cat((reading.hidden[None], rows[0], rows[1, :2])), expected)


def agree(pieces: Tensor, whole: Tensor) -> bool:
    """Whether two ways to read a text give the same but for roundings, ``[..., C]`` each."""
    if pieces.shape != whole.shape:
        return False
    # Another order of the same sums is off by a few roundings of the largest values; a cache that was not
    # taken over, or whose positions start again, by as much as the values themselves.
    expected = whole.double()
    tolerance = 32 * torch.finfo(whole.dtype).eps * expected.abs().max().item()
    return (pieces.double() - expected).abs().max().item() <= tolerance


def advance(model: "transformers.PreTrainedModel", ids: Tensor, cache: "transformers.Cache") -> Tensor:
    """``[B, T, C]``; the cache is written to."""
    argument = _cache_argument(model)
    assert argument is not None
    device = model.get_output_embeddings().weight.device
    return hidden_at_head(model, ids.to(device), **{argument: cache, "use_cache": True})


def _cache_argument(model: "transformers.PreTrainedModel") -> str | None:
    """The name under which a model takes its cache."""
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in ("past_key_values", "cache_params") if name in parameters), None)
