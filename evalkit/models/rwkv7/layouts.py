"""The names and layouts under which RWKV-7 tensors are published, as the official ones.

| layout | names |
|---|---|
| official ``.pth`` | ``emb.weight``, ``blocks.N.att.*``, ``head.weight`` |
| official releases on the hub since 2026 | the same behind ``rwkv7.``, but for ``head.weight`` |
| fla's ``RWKV7ForCausalLM`` | ``model.layers.N.attn.*``, ``lm_head.weight``; low-rank matrices transposed |
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from evalkit.errors import ModelError

_FLA_BLOCK = {
    "attn_norm.weight": "ln1.weight",
    "attn_norm.bias": "ln1.bias",
    "ffn_norm.weight": "ln2.weight",
    "ffn_norm.bias": "ln2.bias",
    "pre_norm.weight": "ln0.weight",
    "pre_norm.bias": "ln0.bias",
    "attn.r_proj.weight": "att.receptance.weight",
    "attn.k_proj.weight": "att.key.weight",
    "attn.v_proj.weight": "att.value.weight",
    "attn.o_proj.weight": "att.output.weight",
    "attn.g_norm.weight": "att.ln_x.weight",
    "attn.g_norm.bias": "att.ln_x.bias",
    "attn.r_k": "att.r_k",
    "ffn.key.weight": "ffn.key.weight",
    "ffn.value.weight": "ffn.value.weight",
}
_FLA_TOP = {
    "model.embeddings.weight": "emb.weight",
    "model.norm.weight": "ln_out.weight",
    "model.norm.bias": "ln_out.bias",
    "lm_head.weight": "head.weight",
}
_FLA_LORA = {"lora.0.weight": "1", "lora.2.weight": "2", "lora.2.bias": "0"}
_WRAPPERS = re.compile(r"^(?:rwkv7|model|module|_orig_mod)\.(?=(?:emb|blocks|ln_out|head)\.)")
"""What an official name stands behind where the network is a part of another module."""

_NOT_RWKV7 = {
    r"\.att\.time_maa_": "RWKV-6 (x060)",
    r"\.att\.time_faaaa$": "RWKV-5 or RWKV-6",
    r"\.att\.time_decay$": "RWKV-4, 5 or 6",
    r"(?:^|\.)rosa": "RWKV with ROSA (attention by suffix matching)",
    r"\.ffn\.enn\b|(?:^|\.)qkv\.(?:kk|kkup|vv|vvup|ennk|emm)\b": "RWKV-8 release candidate (enn)",
    r"\.ffn\.s_emb|\.ffn\.s[012]$": "RWKV-7a (DeepEmbed)",
    r"(?:^|\.)qkv\.|\.att\.q_": "RWKV-7b (DEA, DeepEmbed attention)",
}
"""Names that the equations of x070 have no place for, and what has them; the first match says it."""


def official_layout(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors under the official names and in the official layout.

    Args:
        tensors: under the names of the file.
        path: what messages call it.

    Raises:
        ModelError: they are of another generation of RWKV, or of an unknown layout.
    """
    _refuse_other_generations(tensors, path)
    if is_fla_layout(tensors):
        official = _from_fla(tensors, path)
    else:
        official = {_WRAPPERS.sub("", name, count=1): value for name, value in tensors.items()}
        if len(official) < len(tensors):
            raise ModelError(f"{path} holds a tensor twice, with and without a prefix; it is no one model")
    # Layer 0 has no value residual: some files carry one that nothing reads, some made up by a converter.
    return {
        name: value for name, value in official.items() if not re.fullmatch(r"blocks\.0\.att\.v[012]", name)
    }


def is_fla_layout(names: Iterable[str]) -> bool:
    """Whether tensors have the names of fla's ``RWKV7ForCausalLM``."""
    return any(name.startswith("model.layers.") for name in names)


def _refuse_other_generations(names: Iterable[str], path: Path) -> None:
    names = sorted(names)
    for pattern, generation in _NOT_RWKV7.items():
        for name in names:
            if re.search(pattern, name):
                raise ModelError(f"{path} is a {generation} file ({name}); evalkit reads RWKV-7 (x070)")


def _from_fla(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Official names and layouts from those of fla's ``RWKV7ForCausalLM``."""
    official: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name in _FLA_TOP:
            official[_FLA_TOP[name]] = value
            continue
        match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", name)
        if not match:
            raise ModelError(f"{path}: unknown tensor {name!r} for an RWKV-7 model in Hugging Face layout")
        block, part = f"blocks.{match[1]}.", match[2]
        lora = re.fullmatch(r"attn\.([wavg])_lora\.(lora\.\d\.(?:weight|bias))", part)
        vector = re.fullmatch(r"attn\.(x_[rwkvag]|k_k|k_a)", part)
        if part in _FLA_BLOCK:
            official[block + _FLA_BLOCK[part]] = value
        elif lora and lora[2] in _FLA_LORA:
            target = value.T if value.dim() == 2 else value.view(1, 1, -1)
            official[f"{block}att.{lora[1]}{_FLA_LORA[lora[2]]}"] = target
        elif vector:
            official[f"{block}att.{vector[1]}"] = value.reshape(1, 1, -1)
        elif part == "ffn.x_k":
            official[f"{block}ffn.x_k"] = value.reshape(1, 1, -1)
        elif part == "attn.x_x":  # the first fla layout stacked the six shifts, in this order
            for letter, shift in zip("rwkvag", value, strict=True):
                official[f"{block}att.x_{letter}"] = shift.reshape(1, 1, -1)
        else:
            raise ModelError(f"{path}: unknown tensor {name!r} for an RWKV-7 model in Hugging Face layout")
    return official
