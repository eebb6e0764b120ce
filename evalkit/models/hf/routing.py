"""Models that choose discretely: experts, or the tokens that attention reads.

A choice between two that are nearly equal turns on the last bit of their scores, and that on the shape of the
batch: a document's bits can depend on its company by 1e-4. Where attention chooses its tokens (DeepSeek V3.2
and V4, GLM-5, Qwen 4) scores are often exactly equal, as all that is negative counts as zero, and torch
breaks such ties by the length of the padded row. So these read rows one by one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import transformers

_TOKEN_CHOICES = (
    *("index_topk", "indexer_topk", "sparse_topk"),
    "index_topk_blocks",  # MiniMax-M3
    "indexer_budget",  # Qwen 4
    "keep_window_size",  # Doge
)
_EXPERT_CHOICES = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "moe_topk",
    "moe_k",
    "moe_top_k",
    "top_k_experts",
)


def routing_note(config: "transformers.PreTrainedConfig") -> str | None:
    """What a cell says of a model that chooses discretely; None for others."""
    tokens = [name for name in _TOKEN_CHOICES if _setting(config, name)]
    if tokens:
        return f"read one by one; ties of {tokens[0]} fall as the device lets them"
    experts = [name for name in _EXPERT_CHOICES if _setting(config, name)]
    return f"to 1e-4: discrete routing by {experts[0]}" if experts else None


def chooses_tokens(config: "transformers.PreTrainedConfig") -> bool:
    """Whether attention reads some chosen tokens only."""
    return any(_setting(config, name) for name in _TOKEN_CHOICES)


def _setting(config: "transformers.PreTrainedConfig", name: str) -> int:
    value = getattr(config.get_text_config(decoder=True), name, None)
    return value if isinstance(value, int) else 0
