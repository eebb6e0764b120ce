"""Attention over long texts without a mask of every position by every position.

transformers writes out the mask of sliding and chunked attention, and plain ("eager") attention also its
scores: 4 GB for 32,000 tokens and one head, however short the window. Here a mask stays a function.
Attention goes through the queries in blocks, writes out the part of the mask that a block needs, and reads
only the keys that the block sees. What attention is, a model's own code or torch, stays as it was.

Short texts without a mask, in float32 on a CPU, go through the native loop of
`evalkit_kernels.attention_cpu`, which is faster than torch's there.

A model that makes its scores in code of its own (with ALiBi: Bloom, MPT, Falcon) reads a long text in pieces
of `piece_length` from its cache (`evalkit.models.hf.cache`).
"""

import dataclasses
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from evalkit.models.hf.head import hidden_at_head
from evalkit_kernels import attention_cpu

if TYPE_CHECKING:
    import transformers

Settings: TypeAlias = dict[str, Any]
"""What transformers says of a mask that it wants."""

_PREFIX = "evalkit_blocks_"
_NUM_TRIED = 80
"""Tokens of the trial."""
_MOST_NATIVE_KEYS, _LARGEST_NATIVE_HEAD = 1024, 64
"""Where the native loop is faster than torch's attention: on an AMD EPYC with AVX2, one thread, 1.2 times at
1,024 keys of 64 numbers and 1.5 times at 512; as fast at 2,048, slower with larger heads."""


class _Blocks(NamedTuple):
    """How large a mask may be, and how attention is cut where it would be larger."""

    most_mask_elements: int = 2048 * 2048
    """Shorter texts are computed as transformers does."""
    num_queries: int = 512
    most_score_bytes: int = 2**28

    def num_fitting(self, num_rows: int, num_heads: int, num_keys: int) -> int:
        """Queries whose scores fit."""
        return max(1, min(self.num_queries, self.most_score_bytes // (num_rows * num_heads * num_keys * 4)))


_NORMAL = _Blocks()
_blocks: ContextVar[_Blocks] = ContextVar("_blocks", default=_NORMAL)
_trial: ContextVar["_Trial | None"] = ContextVar("_trial", default=None)


@dataclasses.dataclass
class _Trial:
    """What was seen of a model's attention while it was tried."""

    num_masks: int = 0
    """Masks that a text, if longer, would have written out."""
    num_cut: int = 0
    """Attention that went in blocks."""
    num_native: int = 0
    """Attention that went through the native loop."""


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
    is_sdpa = attention == "sdpa" and bool(getattr(model, "_supports_sdpa", False))
    _register()
    row = torch.tensor([ids], device=model.get_output_embeddings().weight.device)
    if is_sdpa:
        trial, attended = _in_blocks(model, row, attention)
        if trial.num_masks == 0:
            if trial.num_native and attended is not None and _is_close(attended, hidden_at_head(model, row)):
                config._attn_implementation = _PREFIX + attention
            return True
    row = torch.tensor([(ids * (_NUM_TRIED // len(ids) + 1))[:_NUM_TRIED]], device=row.device)
    trial, cut = _in_blocks(model, row, attention)
    if cut is None or not (is_sdpa or trial.num_cut):
        return False
    if not _is_close(cut, hidden_at_head(model, row)):
        return False
    config._attn_implementation = _PREFIX + attention
    return True


def _is_close(tried: Tensor, expected: Tensor) -> bool:
    tolerance = 32 * torch.finfo(tried.dtype).eps * expected.double().abs().max().item()
    return (tried.double() - expected.double()).abs().max().item() <= tolerance


def _in_blocks(
    model: "transformers.PreTrainedModel", row: Tensor, attention: str
) -> "tuple[_Trial, Tensor | None]":
    """What becomes of a text in tiny blocks; no tensor where a model's own code takes no mask of ours."""
    config = model.config.get_text_config(decoder=True)
    trial = _Trial()
    blocks, watching = _blocks.set(_Blocks(0, 16)), _trial.set(trial)
    config._attn_implementation = _PREFIX + attention
    try:
        return trial, hidden_at_head(model, row)
    except Exception:  # models' own code raises anything; if the model itself is broken, scoring says how
        return trial, None
    finally:
        config._attn_implementation = attention
        _blocks.reset(blocks)
        _trial.reset(watching)


def piece_length(config: "transformers.PreTrainedConfig", num_rows: int, num_tokens: int) -> int:
    """How much of a text to read at once with a model that writes out the scores of all that it reads.

    Args:
        config: the model's.
        num_rows: texts side by side.
        num_tokens: of the longest.
    """
    blocks = _blocks.get()
    if num_tokens**2 <= blocks.most_mask_elements:
        return num_tokens
    num_heads = getattr(config.get_text_config(decoder=True), "num_attention_heads", None)
    return blocks.num_fitting(num_rows, num_heads if isinstance(num_heads, int) else 32, num_tokens)


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
        may_skip = attention == "sdpa" and settings.get("allow_is_causal_skip", True) and _is_causal(settings)
        if trial := _trial.get():
            trial.num_masks += not may_skip or settings.get("local_size") is not None
        return None if may_skip else _LazyMask(mask, settings)

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
        if attention == "sdpa" and attention_mask is None and not args:
            attended = _natively(module, query, key, value, settings)
            if attended is not None:
                return attended, None
        attend_once: Callable[..., tuple[Tensor, object]] = sdpa_attention_forward
        if attention == "eager":
            attend_once = sys.modules[type(module).__module__].eager_attention_forward
        if not isinstance(attention_mask, _LazyMask):
            return attend_once(module, query, key, value, attention_mask, *args, **settings)
        blocks = _blocks.get()
        if trial := _trial.get():
            trial.num_cut += 1
        num_rows, num_heads, num_queries, _ = query.shape
        size = blocks.num_fitting(num_rows, num_heads, key.shape[2])
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


def _natively(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, settings: Settings
) -> Tensor | None:
    """What the native loop gives, ``[B, T, H, N]``; None where it does not serve or is slower."""
    num_keys, head_size = key.shape[2:]
    is_short = 1 < query.shape[2] == num_keys <= _MOST_NATIVE_KEYS and head_size <= _LARGEST_NATIVE_HEAD
    if key.device.type != "cpu" or not is_short or not _is_plainly_causal(module, settings):
        return None
    if num_missing := -num_keys % attention_cpu.KEY_BLOCK:
        key, value = (nn.functional.pad(x, (0, 0, 0, num_missing)) for x in (key, value))
    if not attention_cpu.serves(query, key, value):
        return None
    if trial := _trial.get():
        trial.num_native += 1
    scale = settings.get("scaling")
    return attention_cpu.causal_attention(query, key, value, 0, head_size**-0.5 if scale is None else scale)


def _is_plainly_causal(module: nn.Module, settings: Settings) -> bool:
    """Whether attention without a mask is causal, as it is unless module or call say otherwise."""
    if any(settings.get(name) is not None for name in ("position_bias", "softcap", "cache")):
        return False
    is_causal = settings.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    return bool(is_causal) and not settings.get("dropout")
