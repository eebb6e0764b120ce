"""Random RWKV-7 checkpoints in the official and in the Hugging Face layout."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape

TINY = Path(__file__).parents[1] / "data" / "rwkv-tiny" / "tiny-rwkv-7v0-834K.pth"


def random_tensors(
    *,
    vocab_size: int = 65536,
    num_channels: int = 128,
    num_layers: int = 2,
    head_size: int = 64,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Official names and shapes, values that make every part of the network matter."""
    torch.manual_seed(seed)
    layers = tuple(
        LayerShape(
            decay_rank=24, gate_rank=40, value_rank=16, learning_rate_rank=32, ffn_width=4 * num_channels
        )
        for _ in range(num_layers)
    )
    tensors = {}
    for name, like in RWKV7(NetworkShape(vocab_size, num_channels, head_size, layers)).state_dict().items():
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "r_k":
            value = 0.1 * torch.randn(like.shape)
        elif leaf in ("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"):
            value = torch.randn(like.shape) / like.shape[0] ** 0.5
        elif like.dim() == 2:
            value = torch.randn(like.shape) / like.shape[1] ** 0.5
        elif leaf == "w0":
            value = torch.empty(like.shape).uniform_(-6, 1)
        elif leaf.startswith("x_"):
            value = torch.rand(like.shape)
        elif leaf in ("k_k", "k_a"):
            value = 0.85 + 0.1 * torch.randn(like.shape)
        elif leaf == "weight":
            value = 1 + 0.2 * torch.randn(like.shape)
        else:
            value = 0.3 * torch.randn(like.shape)
        tensors[name] = value
    return tensors


def save_official(path: Path, **settings: int) -> dict[str, Tensor]:
    """Write an official ``.pth`` and return its tensors."""
    tensors = random_tensors(**settings)
    torch.save(tensors, path)
    return tensors


def fla_layout(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names and in the layout of fla's ``RWKV7ForCausalLM``.

    Written from the table of fla's converter, independently of evalkit's reader.
    """
    out: dict[str, Tensor] = {
        "model.embeddings.weight": tensors["emb.weight"],
        "model.norm.weight": tensors["ln_out.weight"],
        "model.norm.bias": tensors["ln_out.bias"],
        "lm_head.weight": tensors["head.weight"],
    }
    num_layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    for i in range(num_layers):
        old, new = f"blocks.{i}.", f"model.layers.{i}."
        norms = {"ln1": "attn_norm", "ln2": "ffn_norm"} | ({"ln0": "pre_norm"} if i == 0 else {})
        for ours, theirs in norms.items():
            for part in ("weight", "bias"):
                out[f"{new}{theirs}.{part}"] = tensors[f"{old}{ours}.{part}"]
        for letter in "rwkvag":
            out[f"{new}attn.x_{letter}"] = tensors[f"{old}att.x_{letter}"]
        for letter in "wav" if i else "wa":
            out[f"{new}attn.{letter}_lora.lora.0.weight"] = tensors[f"{old}att.{letter}1"].T.contiguous()
            out[f"{new}attn.{letter}_lora.lora.2.weight"] = tensors[f"{old}att.{letter}2"].T.contiguous()
            out[f"{new}attn.{letter}_lora.lora.2.bias"] = tensors[f"{old}att.{letter}0"].flatten()
        out[f"{new}attn.g_lora.lora.0.weight"] = tensors[f"{old}att.g1"].T.contiguous()
        out[f"{new}attn.g_lora.lora.2.weight"] = tensors[f"{old}att.g2"].T.contiguous()
        for name in ("k_k", "k_a"):
            out[f"{new}attn.{name}"] = tensors[f"{old}att.{name}"].flatten()
        out[f"{new}attn.r_k"] = tensors[f"{old}att.r_k"]
        for ours, theirs in {"receptance": "r", "key": "k", "value": "v", "output": "o"}.items():
            out[f"{new}attn.{theirs}_proj.weight"] = tensors[f"{old}att.{ours}.weight"]
        for part in ("weight", "bias"):
            out[f"{new}attn.g_norm.{part}"] = tensors[f"{old}att.ln_x.{part}"]
        out[f"{new}ffn.x_k"] = tensors[f"{old}ffn.x_k"].flatten()
        out[f"{new}ffn.key.weight"] = tensors[f"{old}ffn.key.weight"]
        out[f"{new}ffn.value.weight"] = tensors[f"{old}ffn.value.weight"]
    return out


def save_fla_folder(folder: Path, tensors: Mapping[str, Tensor], *, num_shards: int = 1) -> None:
    """A folder as on the hub: config.json and one or more safetensors files."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = fla_layout(tensors)
    names = sorted(layout)
    for shard in range(num_shards):
        part = {name: layout[name].clone() for name in names[shard::num_shards]}
        save_file(part, folder / f"model-{shard + 1:05}-of-{num_shards:05}.safetensors")
    config = {"model_type": "rwkv7", "vocab_size": tensors["emb.weight"].shape[0]}
    (folder / "config.json").write_text(json.dumps(config))
