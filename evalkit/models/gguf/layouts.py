"""What of an architecture takes more than a name: layouts of tensors, and settings that others follow from.

Sources: llama.cpp's converter (its folder ``conversion``) and networks (``src/models``).
"""

import math
import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from evalkit.errors import ModelError
from evalkit.models.gguf.dequantise import read_tensor
from evalkit.models.gguf.header import Header

Settings = dict[str, object]
"""By the names of transformers."""

ROPE_KEYS = ("rope.freq_base", "rope.scaling.type", "rope.scaling.factor", "rope.scale_linear")
"""What `rope` reads, behind the architecture's name."""
YARN_KEYS = ("rope.scaling.original_context_length", "rope.scaling.attn_factor")
"""The same, where positions are scaled by YaRN."""
_PARTLY_ROTATED = ("phi3", "qwen35")


def unpermuted(name: str, tensor: Tensor, settings: Settings) -> Tensor:
    """Rows of queries and keys: llama.cpp rotates neighbours, transformers what is half a head apart."""
    part = re.search(r"\.attn_([qk])\.", name)
    if part is None:
        return tensor
    num_heads = size_of(settings, "num_attention_heads" if part[1] == "q" else "num_key_value_heads")
    rows = tensor.view(num_heads, tensor.shape[0] // num_heads // 2, 2, *tensor.shape[1:])
    return rows.swapaxes(1, 2).reshape(tensor.shape)


def norms_from_one(name: str, tensor: Tensor, _settings: Settings) -> Tensor:
    """Gemma's scales, of which transformers has the difference to one."""
    return tensor - 1 if name.endswith("norm.weight") else tensor


def biases(header: Header, _settings: Settings) -> Settings:
    """Whether the linear maps of a Llama have biases."""
    return {
        "attention_bias": "blk.0.attn_q.bias" in header.tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in header.tensors,
    }


def rope(header: Header, settings: Settings) -> Settings:
    """Rotary positions without scaling, or with that of all frequencies alike."""
    architecture = header.architecture
    theta = header.number(f"{architecture}.rope.freq_base", 10000.0)
    if theta <= 0:
        raise ModelError(f"{header.path}: {architecture}.rope.freq_base is {theta}; convert the model again")
    factor = _linear_factor(header)
    head_dim = settings.get("head_dim") or size_of(settings, "hidden_size") // size_of(
        settings, "num_attention_heads"
    )
    if int(str(head_dim)) % 2:
        raise ModelError(f"{header.path}: heads of {head_dim} dimensions have no pairs to rotate")
    num_rotated = header.integer(f"{architecture}.rope.dimension_count", int(str(head_dim)))
    if num_rotated != head_dim and architecture not in _PARTLY_ROTATED:
        raise ModelError(
            f"{header.path}: {num_rotated} of a head's {head_dim} dimensions are rotated, which evalkit does "
            f"not compute for {architecture}"
        )
    if header.text(f"{architecture}.rope.scaling.type", "none") == "yarn":
        return {"rope_parameters": {"rope_theta": theta, **_yarn(header, settings)}}
    if factor == 1:
        return {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}
    return {"rope_parameters": {"rope_type": "linear", "rope_theta": theta, "factor": factor}}


def _yarn(header: Header, settings: Settings) -> Settings:
    """YaRN (arXiv 2309.00071) as llama.cpp computes it, whose factor on scores is a tenth of a logarithm."""
    key = f"{header.architecture}.rope.scaling"
    factor = header.number(f"{key}.factor", 1.0)
    original = header.integer(f"{key}.original_context_length", size_of(settings, "max_position_embeddings"))
    if factor < 1 or original < 1:
        raise ModelError(
            f"{header.path}: positions are scaled from {original} by {factor}; convert the model again"
        )
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "attention_factor": header.number(f"{key}.attn_factor", 1.0) * (0.1 * math.log(factor) + 1),
    }


def _linear_factor(header: Header) -> float:
    architecture = header.architecture
    kind = header.text(f"{architecture}.rope.scaling.type", "none")
    factor = header.number(f"{architecture}.rope.scaling.factor", 1.0)
    factor = header.number(f"{architecture}.rope.scale_linear", factor)
    if kind not in ("none", "linear", "longrope", "yarn") or factor <= 0:
        raise ModelError(
            f"{header.path}: positions are scaled by {kind!r}, factor {factor}, which evalkit does not "
            "compute for GGUF; score the checkpoint that it was made of with hf:"
        )
    return factor if kind == "linear" or f"{architecture}.rope.scale_linear" in header.metadata else 1.0


def gemma2(header: Header, settings: Settings) -> Settings:
    """Queries by their own scale; windows in every other layer, as transformers has it by itself."""
    return {
        **rope(header, settings),
        "query_pre_attn_scalar": _query_scale(settings, num_layers_of_27b=46),
        "hidden_activation": "gelu_pytorch_tanh",
    }


def gemma3(header: Header, settings: Settings) -> Settings:
    """Five layers with a window for each without; the former have positions of their own."""
    full = rope(header, settings)["rope_parameters"]
    num_layers = size_of(settings, "num_hidden_layers")
    local_theta = header.number("gemma3.rope.freq_base_swa", 10000.0)
    return {
        "rope_parameters": {
            "full_attention": full,
            "sliding_attention": {"rope_type": "default", "rope_theta": local_theta},
        },
        "layer_types": [
            "full_attention" if (layer + 1) % 6 == 0 else "sliding_attention" for layer in range(num_layers)
        ],
        "query_pre_attn_scalar": _query_scale(settings, num_layers_of_27b=62),
        "hidden_activation": "gelu_pytorch_tanh",
    }


def _query_scale(settings: Settings, num_layers_of_27b: int) -> int:
    """What no file says: the largest models scale their queries by the width, all others by the head."""
    if settings["num_hidden_layers"] == num_layers_of_27b:
        return size_of(settings, "hidden_size") // size_of(settings, "num_attention_heads")
    return size_of(settings, "head_dim")


def phi3(header: Header, settings: Settings) -> Settings:
    """LongRoPE of the long variants has its two tables among the tensors."""
    positions = rope(header, settings)["rope_parameters"]
    assert isinstance(positions, dict)
    head_dim = size_of(settings, "hidden_size") // size_of(settings, "num_attention_heads")
    share = header.integer("phi3.rope.dimension_count", head_dim) / head_dim
    positions = {**positions, "partial_rotary_factor": share}
    completed: Settings = {"partial_rotary_factor": share, "rope_parameters": positions}
    factors = [header.tensors.get(f"rope_factors_{side}.weight") for side in ("long", "short")]
    if factors[0] is None or factors[1] is None:
        return completed
    long, short = (read_tensor(table, torch.float32).tolist() for table in factors if table)
    original = header.integer("phi3.rope.scaling.original_context_length")
    completed["original_max_position_embeddings"] = original
    completed["rope_parameters"] = {
        **positions,
        "rope_type": "longrope",
        "long_factor": long,
        "short_factor": short,
        "attention_factor": header.number("phi3.rope.scaling.attn_factor", 1.0),
        "original_max_position_embeddings": original,
    }
    return completed


def starcoder2(header: Header, settings: Settings) -> Settings:
    """No window: files do not tell it, and llama.cpp computes none."""
    return {**rope(header, settings), "sliding_window": None, "use_bias": True}


def smollm3(header: Header, settings: Settings) -> Settings:
    """Every fourth layer is without positions."""
    num_layers = size_of(settings, "num_hidden_layers")
    return {
        **rope(header, settings),
        "no_rope_layers": [int((layer + 1) % 4 != 0) for layer in range(num_layers)],
        "use_sliding_window": False,
        "layer_types": ["full_attention"] * num_layers,
    }


def mamba(name: str, tensor: Tensor, _settings: Settings) -> Tensor:
    """The decay as its logarithm, and the convolution's kernel with its one channel of input."""
    if name.endswith("ssm_conv1d.weight"):
        return tensor.unsqueeze(1)
    return torch.log(-tensor) if name.endswith("ssm_a") else tensor


def lfm2_layers(header: Header, _settings: Settings) -> Settings:
    """Layers that have heads for keys attend; the others are short convolutions."""
    num_heads = header.numbers("lfm2.attention.head_count_kv")
    kinds = ["full_attention" if count else "conv" for count in num_heads]
    return {
        **rope(header, _settings | {"num_key_value_heads": int(np.max(num_heads))}),
        "num_key_value_heads": int(np.max(num_heads)),
        "layer_types": kinds,
        "block_auto_adjust_ff_dim": False,
    }


def kernel_of_convolution(name: str, tensor: Tensor, _settings: Settings) -> Tensor:
    """The kernel of LFM2's convolutions with its one channel of input."""
    return tensor.unsqueeze(1) if name.endswith("shortconv.conv.weight") else tensor


def qwen35(header: Header, settings: Settings) -> Settings:
    """Linear attention but for every fourth layer; layers for later tokens are left out."""
    head_dim, num_values = size_of(settings, "head_dim"), size_of(settings, "linear_num_value_heads")
    if num_values % size_of(settings, "linear_num_key_heads"):
        raise ModelError(f"{header.path}: {num_values} heads of values are no multiple of those of keys")
    num_layers = size_of(settings, "num_hidden_layers") - header.integer("qwen35.nextn_predict_layers", 0)
    interval = header.integer("qwen35.full_attention_interval", 4)
    positions = rope(header, settings)["rope_parameters"]
    assert isinstance(positions, dict)
    sections = header.numbers("qwen35.rope.dimension_sections").tolist()
    positions |= {
        "mrope_section": [section for section in sections if section],
        "mrope_interleaved": True,
        "partial_rotary_factor": header.integer("qwen35.rope.dimension_count", head_dim) / head_dim,
    }
    return {
        "rope_parameters": positions,
        "num_hidden_layers": num_layers,
        "linear_value_head_dim": header.integer("qwen35.ssm.inner_size") // num_values,
        "layer_types": [
            "linear_attention" if (layer + 1) % interval else "full_attention" for layer in range(num_layers)
        ],
    }


def qwen35_layout(name: str, tensor: Tensor, settings: Settings) -> Tensor:
    """Heads of values, which transformers has in groups that share a head of keys, and the file turn by turn.

    Scales are stored plus one, as Gemma's, but for that of the linear attention; its decay is no logarithm.
    """
    num_keys = size_of(settings, "linear_num_key_heads")
    width = size_of(settings, "linear_value_head_dim")
    num_rounds = size_of(settings, "linear_num_value_heads") // num_keys
    num_unmoved = 2 * num_keys * size_of(settings, "linear_key_head_dim")

    def grouped(rows: Tensor, width: int) -> Tensor:
        return rows.view(num_rounds, num_keys, width, -1).swapaxes(0, 1).reshape(rows.shape)

    part = name.split(".", 2)[-1]
    if part in ("ssm_a", "ssm_dt.bias", "ssm_alpha.weight", "ssm_beta.weight"):
        return grouped(torch.log(-tensor) if part == "ssm_a" else tensor, 1)
    if part == "attn_gate.weight":
        return grouped(tensor, width)
    if part == "ssm_out.weight":
        return grouped(tensor.T.contiguous(), width).T
    if part in ("attn_qkv.weight", "ssm_conv1d.weight"):
        moved = torch.cat((tensor[:num_unmoved], grouped(tensor[num_unmoved:], width)))
        return moved.unsqueeze(1) if part == "ssm_conv1d.weight" else moved
    return tensor if part == "ssm_norm.weight" else norms_from_one(name, tensor, settings)


def routed(*, normalised: bool) -> Callable[[Header, Settings], Settings]:
    """`rope`, and whether the shares of the experts that a token is sent to are made to sum to one."""
    return lambda header, settings: {**rope(header, settings), "norm_topk_prob": normalised}


def gate_of_shared_expert(name: str, tensor: Tensor, _settings: Settings) -> Tensor:
    """The one row of the shared expert's gate, which the file has as a vector."""
    return tensor.reshape(1, -1) if name.endswith("ffn_gate_inp_shexp.weight") else tensor


def gpt2(_header: Header, settings: Settings) -> Settings:
    """Its own names of sizes; positions are learned."""
    return {
        "n_embd": settings["hidden_size"],
        "n_layer": settings["num_hidden_layers"],
        "n_head": settings["num_attention_heads"],
        "n_positions": settings["max_position_embeddings"],
        "n_inner": settings["intermediate_size"],
    }


def columns_first(name: str, tensor: Tensor, _settings: Settings) -> Tensor:
    """Matrices of GPT-2's layers, which transformers has the other way round."""
    return tensor.T if name.startswith("blk.") and tensor.ndim == 2 else tensor


def with_rope(
    complete: Callable[[Header, Settings], Settings],
) -> Callable[[Header, Settings], Settings]:
    """What a function gives, and `rope`."""
    return lambda header, settings: {**complete(header, settings), **rope(header, settings)}


def size_of(settings: Settings, name: str) -> int:
    """A setting that is a whole number.

    Raises:
        ModelError: it is none.
    """
    value = settings[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelError(f"the metadata's {name} is {value!r}, not a whole number; convert the model again")
    return value
