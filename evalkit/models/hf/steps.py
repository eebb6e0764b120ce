"""Attention of many queries that is computed one query at a time, as a decoder's is.

A text that is read at once gives every query the same numbers as one that is read token by token, but not the
same bits: torch sums the scores of a matrix of queries in another order than those of one. Where bits matter,
the matrix products before and after attention can still take many tokens at once.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import transformers

_STEPS = "evalkit_steps_"


def may_read_as_steps(model: "transformers.PreTrainedModel") -> bool:
    """Whether `as_steps` may give a decoder's bits: attention over all that was read, and no experts.

    What an expert computes at once depends on the tokens, so that no trial could show it.
    """
    config = model.config.get_text_config(decoder=True)
    has_experts = any("expert" in name and value for name, value in config.to_dict().items())
    return _kind(config) is not None and not has_experts


@contextlib.contextmanager
def as_steps(model: "transformers.PreTrainedModel") -> Iterator[None]:
    """Within, the queries of a piece attend one by one, each to the keys up to its own.

    Args:
        model: of which `may_read_as_steps` is true; its cache keeps all keys.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    config = model.config.get_text_config(decoder=True)
    before, kind = config._attn_implementation, _kind(config)
    assert kind is not None
    AttentionInterface.register(_STEPS + kind, _attend_with(kind))
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
    """A single query that sees every key needs none."""


def _attend_with(kind: str) -> Callable[..., tuple[Tensor, object]]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        _: object,
        *args: object,
        **settings: object,
    ) -> tuple[Tensor, object]:
        attend_once: Callable[..., tuple[Tensor, object]] = sdpa_attention_forward
        if kind == "eager":
            attend_once = sys.modules[type(module).__module__].eager_attention_forward
        num_before = key.shape[2] - query.shape[2]
        outputs = []
        for place in range(query.shape[2]):
            keys = slice(num_before + place + 1)
            parts = query[:, :, place : place + 1], key[:, :, keys], value[:, :, keys], None
            outputs.append(attend_once(module, *parts, *args, **settings)[0])
        return torch.cat(outputs, dim=1), None

    return attend
