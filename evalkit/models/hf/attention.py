"""Attention over long texts without a mask of every position by every position.

transformers writes out the mask of sliding and chunked attention, and plain ("eager") attention also its
scores: 4 GB for 32,000 tokens and one head, however short the window. Here a mask stays a function.
Attention goes through the queries in blocks, writes out the part of the mask that a block needs, and reads
only the keys that the block sees. What attention is, a model's own code or torch, stays as it was.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from evalkit.models.hf.head import hidden_at_head

if TYPE_CHECKING:
    import transformers

Settings: TypeAlias = dict[str, Any]
"""What transformers says of a mask that it wants."""

_PREFIX = "evalkit_blocks_"
_NUM_TRIED = 80
"""Tokens of the trial."""


class _Blocks(NamedTuple):
    """How large a mask may be, and how attention is cut where it would be larger."""

    most_mask_elements: int = 2048 * 2048
    """Shorter texts are computed as transformers does."""
    num_queries: int = 512
    most_score_bytes: int = 2**28


_NORMAL = _Blocks()
_blocks: ContextVar[_Blocks] = ContextVar("_blocks", default=_NORMAL)
_num_cut: ContextVar[list[int] | None] = ContextVar("_num_cut", default=None)
"""Counts attention that went in blocks during a trial."""


class _LazyMask:
    """A mask of attention that is written out for some queries and keys at a time."""

    def __init__(self, mask: Callable[..., Tensor | None], settings: Settings) -> None:
        self._mask = mask
        self._settings = settings
        self._key_ranges: dict[tuple[int, int], tuple[int, int]] = {}

    def keys_of(self, first: int, end: int) -> tuple[int, int]:
        """The range of keys that the queries ``first`` to ``end`` see."""
        if (first, end) not in self._key_ranges:
            part = self.part(first, end, 0, self._settings["kv_length"])
            visible = part if part.dtype == torch.bool else part == 0
            columns = visible.flatten(0, -2).any(0).nonzero()
            self._key_ranges[first, end] = (int(columns[0]), int(columns[-1]) + 1)
        return self._key_ranges[first, end]

    def part(self, first: int, end: int, first_key: int, end_key: int) -> Tensor:
        """The mask as transformers makes it, ``[B, 1, end - first, end_key - first_key]``."""
        settings = self._settings | {
            "q_length": end - first,
            "q_offset": self._settings["q_offset"] + first,
            "kv_length": end_key - first_key,
            "kv_offset": self._settings["kv_offset"] + first_key,
            "allow_is_causal_skip": False,
        }
        part = self._mask(**settings)
        assert part is not None
        return part


def bound_attention(model: "transformers.PreTrainedModel", ids: list[int]) -> bool:
    """Let a model go through its masks in blocks, where it can.

    Args:
        model: a `transformers` causal LM in evaluation mode.
        ids: a few ids of ordinary text.

    Returns:
        Whether the model's attention needs no memory that is quadratic in the text.
    """
    config = model.config.get_text_config(decoder=True)
    attention = config._attn_implementation
    if attention not in ("sdpa", "eager"):
        return attention is not None and "flash" in attention
    if attention == "sdpa" and not _has_windows(config):
        return bool(getattr(model, "_supports_sdpa", False))  # the mask is never written out
    text = (ids * (_NUM_TRIED // len(ids) + 1))[:_NUM_TRIED]
    row = torch.tensor([text], device=model.get_output_embeddings().weight.device)
    whole = hidden_at_head(model, row).double()
    _register()
    config._attn_implementation = _PREFIX + attention
    with _tiny_blocks() as num_cut, contextlib.suppress(Exception):  # a model's own code, with a mask of ours
        cut = hidden_at_head(model, row)
        tolerance = 32 * torch.finfo(cut.dtype).eps * whole.abs().max().item()
        if num_cut[0] and (cut.double() - whole).abs().max().item() <= tolerance:
            return True
    config._attn_implementation = attention
    return False


@contextlib.contextmanager
def _tiny_blocks() -> Iterator[list[int]]:
    count = [0]
    blocks, counting = _blocks.set(_Blocks(0, 16)), _num_cut.set(count)
    try:
        yield count
    finally:
        _blocks.reset(blocks)
        _num_cut.reset(counting)


def _has_windows(config: "transformers.PreTrainedConfig") -> bool:
    names = ("sliding_window", "attention_chunk_size", "window_size")
    layer_types = set(getattr(config, "layer_types", None) or ())
    return any(getattr(config, name, None) for name in names) or any(
        "sliding" in str(kind) or "chunked" in str(kind) for kind in layer_types
    )


def _register() -> None:
    """Name the two ways of attention to transformers, which is how it takes implementations of others."""
    from transformers import AttentionInterface, AttentionMaskInterface

    for attention in ("sdpa", "eager"):
        AttentionInterface.register(_PREFIX + attention, _attend_with(attention))
        AttentionMaskInterface.register(_PREFIX + attention, _mask_with(attention))


def _mask_with(attention: str) -> Callable[..., Tensor | _LazyMask | None]:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    mask: Callable[..., Tensor | None] = ALL_MASK_ATTENTION_FUNCTIONS[attention]

    def lazy_mask(**settings: Any) -> Tensor | _LazyMask | None:
        settings = {"q_offset": 0, "kv_offset": 0} | settings
        num_elements = settings["q_length"] * settings["kv_length"]
        if num_elements <= _blocks.get().most_mask_elements or settings.get("attention_mask") is not None:
            return mask(**settings)
        if attention == "sdpa" and settings.get("allow_is_causal_skip", True) and _is_causal(settings):
            return None
        return _LazyMask(mask, settings)

    return lazy_mask


def _is_causal(settings: Settings) -> bool:
    """Whether transformers would leave a mask out for torch's own causal attention."""
    num_queries, num_keys = settings["q_length"], settings["kv_length"]
    local_size = settings.get("local_size")
    from_start = settings["q_offset"] == settings["kv_offset"] == 0
    return from_start and num_queries == num_keys and (local_size is None or num_keys < local_size)


def _attend_with(attention: str) -> Callable[..., tuple[Tensor, object]]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | _LazyMask | None,
        *args: object,
        **settings: object,
    ) -> tuple[Tensor, object]:
        attend_once: Callable[..., tuple[Tensor, object]] = sdpa_attention_forward
        if attention == "eager":
            attend_once = sys.modules[type(module).__module__].eager_attention_forward
        if not isinstance(attention_mask, _LazyMask):
            return attend_once(module, query, key, value, attention_mask, *args, **settings)
        blocks, count = _blocks.get(), _num_cut.get()
        if count is not None:
            count[0] += 1
        num_rows, num_heads, num_queries, _ = query.shape
        fitting = blocks.most_score_bytes // (num_rows * num_heads * key.shape[2] * 4)
        size = max(1, min(blocks.num_queries, fitting))
        outputs = []
        for first in range(0, num_queries, size):
            end = min(first + size, num_queries)
            first_key, end_key = attention_mask.keys_of(first, end)
            keys = slice(first_key, end_key)
            mask = attention_mask.part(first, end, first_key, end_key)
            part = query[:, :, first:end], key[:, :, keys], value[:, :, keys], mask
            outputs.append(attend_once(module, *part, *args, **settings)[0])
        return torch.cat(outputs, dim=1), None

    return attend
