"""Long texts, read a piece at a time from the model's cache: memory for a piece, whatever the length.

A model without attention carries its state from piece to piece, one with attention its keys and values. Not
where attention looks back over a window: the trial of `evalkit.models.hf.cache.reads_in_pieces` is shorter
than windows are, so that it cannot show what a cache forgets.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from evalkit.models.hf.attention import piece_length
from evalkit.models.hf.cache import cached_pieces
from evalkit.models.hf.head import hidden_at_head

if TYPE_CHECKING:
    import transformers

ATTENTION_TOKENS = 32768
"""Up to here a text is read at once by a model with attention, which is fastest in one."""
_NUM_PIECES_OF_BOUND = 4


def reads_far_back(config: "transformers.PreTrainedConfig") -> bool:
    """Whether nothing that was read is forgotten at a certain distance, as by a sliding window."""
    settings = config.get_text_config(decoder=True).to_dict()
    windows = [
        value
        for name, value in settings.items()
        if ("window" in name or "attention_chunk" in name) and isinstance(value, int) and value > 0
    ]
    layers = " ".join(map(str, settings.get("layer_types") or ()))
    return not (windows or "sliding" in layers or "chunked" in layers)


def hidden_pieces(
    model: "transformers.PreTrainedModel", ids: Tensor, num_at_once: int | None, *, in_pieces: bool
) -> Iterator[tuple[int, Tensor]]:
    """What the head gets at every position, with the position at which each piece begins.

    Args:
        model: a causal LM.
        ids: ``[B, T]``.
        num_at_once: tokens, of all rows, that are read at once; None: any number.
        in_pieces: whether memory for attention's scores bounds them too.

    Yields:
        The first position of the piece and ``[B, tokens of the piece, C]``.
    """
    num_rows, length = ids.shape
    num_tokens = piece_length(model.config, num_rows, length) if in_pieces else length
    if num_at_once is not None:
        num_tokens = min(num_tokens, max(1, num_at_once // num_rows))
    if num_tokens >= length:
        yield 0, hidden_at_head(model, ids)
        return
    for number, hidden in enumerate(cached_pieces(model, ids, num_tokens)):
        yield number * num_tokens, hidden


def most_at_once(context_limit: int | None, tokens_per_batch: int) -> int:
    """Tokens beyond which a text is read in pieces of `piece_of`."""
    return tokens_per_batch if context_limit is None else max(ATTENTION_TOKENS, tokens_per_batch)


def piece_of(context_limit: int | None, tokens_per_batch: int) -> int:
    """Tokens of a piece, of all rows."""
    bound = most_at_once(context_limit, tokens_per_batch)
    return bound if context_limit is None else bound // _NUM_PIECES_OF_BOUND
