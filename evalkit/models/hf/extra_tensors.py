"""Tensors of checkpoint files that a model has no use for, and which of them are known to be harmless."""

import fnmatch
import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import transformers

_HARMLESS = (
    r"(.*\.)?(attn|attention|self_attn|self_attention)(\.attention)?\.(masked_)?bias",  # GPT-2's causal mask
    r"(.*\.)?rotary_emb\.(inv_freq|cos_cached|sin_cached)",  # tables, which the config determines
    r"(.*\.)?(rotary_pos_emb|rope)\.inv_freq",
    r"(.*\.)?(embeddings\.)?position_ids",
    r"(.*\.)?(v_head|value_head)\..*",  # the value model of TRL's PPO
    r"(.*\.)?(mtp|mtp_layers|mtp_block|mtp_head|model_mtp)(\.\d+)?\..*",  # heads for later tokens
)


def ignorable(
    names: Collection[str], config: "transformers.PreTrainedConfig", patterns: Sequence[str]
) -> list[str]:
    """Those of the unexpected tensors that can be left out.

    Args:
        names: of tensors that the model's class does not have.
        config: the model's.
        patterns: of names that the user knows to be harmless, as in a shell.
    """
    harmless = re.compile("|".join([*_HARMLESS, *_later_token_layers(config)]))
    return sorted(
        name
        for name in names
        if harmless.fullmatch(name) or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    )


def _later_token_layers(config: "transformers.PreTrainedConfig") -> Iterator[str]:
    """Layers behind the last that by the config predict later tokens (DeepSeek V3, GLM-4.5)."""
    text_config = config.get_text_config(decoder=True)
    num_layers = getattr(text_config, "num_hidden_layers", None)
    num_later = getattr(text_config, "num_nextn_predict_layers", None)
    if isinstance(num_layers, int) and isinstance(num_later, int):
        for layer in range(num_layers, num_layers + num_later):
            yield rf"(.*\.)?layers\.{layer}\..*"


def summary(names: Sequence[str]) -> str:
    """Names for a cell, those that differ in a number only once: ``h.*.attn.bias (12)``."""
    counts: dict[str, int] = {}
    for name in names:
        shape = re.sub(r"(?<![^.])\d+(?![^.])", "*", name)
        counts[shape] = counts.get(shape, 0) + 1
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in counts.items())
