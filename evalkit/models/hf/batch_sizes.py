"""How much of several texts a Hugging Face causal LM reads at once."""

import math
from typing import TYPE_CHECKING

import torch

from evalkit.models.free_memory import free_memory_bytes

if TYPE_CHECKING:
    import transformers

_CPU_TOKENS_PER_BATCH = (64, 1024)
"""Fewest and most: matrix products of more rows are no faster."""
_GPU_TOKENS_PER_BATCH = (2048, 32768)
"""Fewest and most: beyond the latter a GPU is busy anyway."""


def tokens_per_batch(
    model: "transformers.PreTrainedModel", device: torch.device, *, has_bounded_attention: bool
) -> int:
    """How many token positions to compute side by side, padding included.

    Args:
        model: a `transformers` causal LM.
        device: where its head is.
        has_bounded_attention: whether attention needs no memory that is quadratic in the text.
    """
    if device.type == "cuda":
        devices = {part.device for part in model.parameters()} | {device}
        free_bytes = min(torch.cuda.mem_get_info(device)[0] for device in devices)
        num_tokens = num_tokens_fitting(model, free_bytes, has_bounded_attention=has_bounded_attention)
        fewest, most = _GPU_TOKENS_PER_BATCH
        return max(fewest, min(most, num_tokens))
    fewest, most = _CPU_TOKENS_PER_BATCH
    free = free_memory_bytes() if device.type == "cpu" else None
    if free is None:
        return most
    # A process for each thread may compute a batch of its own.
    free_bytes = free // torch.get_num_threads()
    num_tokens = num_tokens_fitting(model, free_bytes, has_bounded_attention=has_bounded_attention)
    num_tokens = max(fewest, min(most, num_tokens))
    # A power of two: a little more or less free memory does not change the batches of a run.
    return 1 << (num_tokens.bit_length() - 1)


def max_padding(num_tokens: int, device: torch.device) -> int | None:
    """Positions of padding that cost as much as another batch; None: not bounded.

    A batch of SmolLM2-135M takes, besides what its rows do, as long as some 14 of them (products of MKL, one
    thread of a Zen 3); small models spend as much again between operators.

    Args:
        num_tokens: of a batch, see `tokens_per_batch`.
        device: where the model is.
    """
    return num_tokens // 32 if device.type == "cpu" else None


def num_tokens_fitting(
    model: "transformers.PreTrainedModel", free_bytes: int, *, has_bounded_attention: bool
) -> int:
    """How many token positions of a batch memory holds.

    Args:
        model: as in `tokens_per_batch`.
        free_bytes: of a device.
        has_bounded_attention: as in `tokens_per_batch`.
    """
    config = model.config.get_text_config(decoder=True)
    width = int(getattr(config, "hidden_size", 0) or 4096)
    # A layer's activations at their widest: about four times the MLP's, which is three to five times the
    # width. Half of the memory stays free for attention and the head.
    bytes_per_token = 24 * width * model.dtype.itemsize
    num_tokens = int(free_bytes // 2 // bytes_per_token)
    if not has_bounded_attention:
        # Scores of every position by every position and head, thrice, in a quarter of the memory.
        num_heads = int(getattr(config, "num_attention_heads", 0) or 32)
        num_tokens = min(num_tokens, math.isqrt(free_bytes // 4 // (3 * 4 * num_heads)))
    return num_tokens
