"""Attention that gives a query the same bits, however many queries are computed with it.

A text that is read at once gives every query the same numbers as one that is read token by token, but not the
same bits: torch sums the scores of a matrix of queries in another order than those of one or two, and
over another number of keys. `evalkit_kernels.attention_cpu` sums them in one. Where it does not serve (no C
compiler, another dtype, attention of a model's own), every query goes with three others at least, a
decoder's only one with copies of itself, and over keys in whole blocks, with a mask over those that it
does not see. The sums then go one way, which is tried on every shape that is relied upon.

Shape legend: R = rows, H = heads, T = tokens of a piece, K = keys, N = channels of a head.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from evalkit_kernels import attention_cpu

if TYPE_CHECKING:
    import transformers

KEY_BLOCK = attention_cpu.KEY_BLOCK
"""Keys are read in so many at a time; a cache of such steps has room for whole blocks."""
_FEWEST_QUERIES = 4
_STEPS = "evalkit_steps_"


def may_read_as_steps(model: "transformers.PreTrainedModel") -> bool:
    """Whether `as_steps` may give a decoder's bits: attention over all that was read, and no experts.

    What an expert computes at once depends on the tokens, so that no trial could show it.
    """
    config = model.config.get_text_config(decoder=True)
    has_experts = any("expert" in name and value for name, value in config.to_dict().items())
    return _kind(config) is not None and not has_experts


@contextlib.contextmanager
def as_steps(
    model: "transformers.PreTrainedModel", num_before: int, gave_same_bits: dict[object, bool]
) -> Iterator[None]:
    """Within, a piece's tokens get the bits that they get one by one.

    Args:
        model: of which `may_read_as_steps` is true; its cache gives whole blocks of keys, see `KEY_BLOCK`,
            zeros where nothing was read yet.
        num_before: tokens that were read before the piece.
        gave_same_bits: by shape, whether a query that was computed alone has the bits that it has with the
            rest of its piece; the shapes of this piece are added.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    config = model.config.get_text_config(decoder=True)
    before, kind = config._attn_implementation, _kind(config)
    assert kind is not None
    AttentionInterface.register(_STEPS + kind, _attend_with(kind, num_before, gave_same_bits))
    AttentionMaskInterface.register(_STEPS + kind, _no_mask)
    config._attn_implementation = _STEPS + kind
    try:
        yield
    finally:
        config._attn_implementation = before


def _kind(config: "transformers.PreTrainedConfig") -> str | None:
    name = str(config._attn_implementation)
    return next((kind for kind in ("sdpa", "eager") if name.endswith(kind)), None)


def _no_mask(**_: object) -> None:
    """Attention makes its own."""


def _attend_with(
    kind: str, num_before: int, gave_same_bits: dict[object, bool]
) -> Callable[..., tuple[Tensor, object]]:
    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        _: object,
        *args: object,
        **settings: Any,
    ) -> tuple[Tensor, object]:
        attend_once: Callable[..., tuple[Tensor, object]] = _sdpa
        if kind == "sdpa" and attention_cpu.serves(query, key, value):
            _check_settings(settings)
            scale = settings.get("scaling") or query.shape[3] ** -0.5
            return attention_cpu.causal_attention(query, key, value, num_before, scale), None
        if kind == "eager":
            attend_once = sys.modules[type(module).__module__].eager_attention_forward

        def attended(first: int, end: int, num_keys: int) -> Tensor:
            """Outputs ``[R, T, H, N]`` of some queries by so many keys."""
            part = query[:, :, first:end]
            copies = part[:, :, -1:].expand(-1, -1, max(0, _FEWEST_QUERIES - part.shape[2]), -1)
            part = torch.cat((part, copies), dim=2)
            mask = _mask(num_before + first, end - first, part.shape[2], num_keys, query.dtype, query.device)
            keys = slice(num_keys)
            parts = part, key[:, :, keys], value[:, :, keys], mask
            return attend_once(module, *parts, *args, **settings)[0][:, : end - first]

        outputs = []
        for first, end, num_keys in _key_blocks(num_before, query.shape[2]):
            outputs.append(attended(first, end, num_keys))
            shape = (tuple(query.shape), tuple(key.shape[:2]), value.shape[3], end - first, num_keys)
            if end - first > 1 and shape not in gave_same_bits:
                alone = attended(end - 1, end, num_keys)
                gave_same_bits[shape] = torch.equal(outputs[-1][:, -1:], alone)
        return torch.cat(outputs, dim=1), None

    return attend


def _key_blocks(num_before: int, num_tokens: int) -> Iterator[tuple[int, int, int]]:
    """The queries of a piece, first and end, by how many whole blocks of keys hold those that they see."""
    first = 0
    while first < num_tokens:
        num_keys = (num_before + first) // KEY_BLOCK * KEY_BLOCK + KEY_BLOCK
        end = min(num_tokens, num_keys - num_before)
        yield first, end, num_keys
        first = end


@functools.lru_cache(maxsize=8)  # every layer asks for the same
def _mask(
    first: int, num_places: int, num_queries: int, num_keys: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """What is added to scores, ``[1, 1, num_queries, num_keys]``; queries past the places are copies."""
    places = first + torch.arange(num_queries, device=device).clamp(max=num_places - 1)
    mask = torch.zeros(num_queries, num_keys, dtype=dtype, device=device)
    hidden = torch.arange(num_keys, device=device) > places[:, None]
    return mask.masked_fill_(hidden, -torch.inf)[None, None]


def _sdpa(
    _: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    *,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attention of torch, ``[R, T, H, N]``; heads that share keys are queries of one; none is copied."""
    _check_settings(settings)
    num_rows, num_heads, num_queries = query.shape[:3]
    num_key_heads = key.shape[1]
    rows = query.reshape(num_rows, num_key_heads, num_heads // num_key_heads * num_queries, -1)
    masks = mask.repeat(1, 1, num_heads // num_key_heads, 1)
    attended = torch.nn.functional.scaled_dot_product_attention(rows, key, value, masks, scale=scaling)
    return attended.reshape(num_rows, num_heads, num_queries, -1).transpose(1, 2), None


def _check_settings(settings: dict[str, Any]) -> None:
    """Refuse what torch's attention does not do."""
    if any(settings.get(name) is not None for name in ("position_bias", "softcap")):
        raise NotImplementedError("attention that adds to its scores")
