"""How much of several texts a Hugging Face causal LM reads at once."""

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import transformers

_CPU_TOKENS_PER_BATCH = 1024
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
    if device.type != "cuda":
        return _CPU_TOKENS_PER_BATCH
    config = model.config.get_text_config(decoder=True)
    fewest, most = _GPU_TOKENS_PER_BATCH
    devices = {part.device for part in model.parameters()} | {device}
    free_bytes = min(torch.cuda.mem_get_info(device)[0] for device in devices)
    width = int(getattr(config, "hidden_size", 0) or 4096)
    # A layer's activations at their widest: about four times the MLP's, which is three to five times the
    # width. Half of the memory stays free for attention and the head.
    bytes_per_token = 24 * width * model.dtype.itemsize
    num_tokens = int(free_bytes // 2 // bytes_per_token)
    if not has_bounded_attention:
        # Scores of every position by every position and head, thrice, in a quarter of the memory.
        num_heads = int(getattr(config, "num_attention_heads", 0) or 32)
        num_tokens = min(num_tokens, math.isqrt(free_bytes // 4 // (3 * 4 * num_heads)))
    return max(fewest, min(most, num_tokens))
