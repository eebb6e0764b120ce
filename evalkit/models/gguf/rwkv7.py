"""RWKV-7 in GGUF: llama.cpp's names and layouts as the official ones, and the vocabulary."""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from evalkit.errors import ModelError
from evalkit.models.gguf.dequantise import read_tensor
from evalkit.models.gguf.header import Header
from evalkit.models.gguf.tokenizer import CONTROL, UNUSED, read_tokenizer, token_types
from evalkit.models.hf.prefixes import tokenizer_start
from evalkit.models.rwkv7.checkpoint import build_network, network_shape
from evalkit.models.rwkv7.layouts import official_layout
from evalkit.models.rwkv7.network import GROUP_NORM_EPS, RWKV7
from evalkit.models.rwkv7.settings import NormEpsilons
from evalkit.models.rwkv7.tokenizer import (
    RWKVTokenizer,
    decode_bytes,
    decode_world,
    encode_bytes,
    encode_world,
    tokenizer_of_transformers,
    world_token_bytes,
)

_TOP = {
    "token_embd.weight": "emb.weight",
    "token_embd_norm.weight": "blocks.0.ln0.weight",
    "token_embd_norm.bias": "blocks.0.ln0.bias",
    "output_norm.weight": "ln_out.weight",
    "output_norm.bias": "ln_out.bias",
    "output.weight": "head.weight",
}
_PARTS = {
    **{f"attn_norm.{kind}": f"ln1.{kind}" for kind in ("weight", "bias")},
    **{f"attn_norm_2.{kind}": f"ln2.{kind}" for kind in ("weight", "bias")},
    **{f"time_mix_ln.{kind}": f"att.ln_x.{kind}" for kind in ("weight", "bias")},
    **{f"time_mix_{name}.weight": f"att.{name}.weight" for name in ("key", "value", "receptance", "output")},
    **{f"channel_mix_{name}.weight": f"ffn.{name}.weight" for name in ("key", "value")},
}
_LERPS = "rwkvag"
"""The order of the six token shifts in one tensor."""
_SETTINGS = {
    "attention.decay_lora_rank",
    "attention.gate_lora_rank",
    "attention.head_count",
    "attention.iclr_lora_rank",
    "attention.layer_norm_epsilon",
    "attention.value_residual_mix_lora_rank",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rescale_every_n_layers",
    "token_shift_count",
    "vocab_size",
    "wkv.head_size",
}


def check_tensors(header: Header) -> int:
    """Check names, shapes and settings of a file without reading its weights.

    Returns:
        The number of rows of the vocabulary.

    Raises:
        ModelError: a tensor or a setting is missing, unknown, or does not fit.
    """
    for key in header.metadata:
        if key.startswith("rwkv7.") and key.removeprefix("rwkv7.") not in _SETTINGS:
            raise ModelError(f"{header.path}: evalkit does not know what {key} means to RWKV-7")
    skeleton = _official(header, lambda name: torch.empty(header.tensors[name].shape, device="meta"))
    return network_shape(skeleton, header.path).vocab_size


def load_network(header: Header, *, dtype: torch.dtype, device: torch.device) -> RWKV7:
    """The network with a file's weights, dequantised.

    Raises:
        ModelError: see `check_tensors`.
    """
    tensors = _official(header, lambda name: read_tensor(header.tensors[name], dtype))
    shape = network_shape(tensors, header.path)
    layer_eps = header.number("rwkv7.attention.layer_norm_epsilon", 1e-5)
    return build_network(
        tensors, shape, NormEpsilons(layer_eps, GROUP_NORM_EPS), header.path, dtype=dtype, device=device
    )


def read_vocabulary(header: Header, vocab_size: int) -> RWKVTokenizer:
    """World or bytes, whichever the file's tokens are, one by one; or what other models of GGUF have.

    Raises:
        ModelError: they are none of these.
    """
    if header.text("tokenizer.ggml.model") != "rwkv":
        tokenizer = read_tokenizer(header)
        return tokenizer_of_transformers(tokenizer, tokenizer_start(tokenizer), vocab_size, str(header.path))
    texts = header.strings("tokenizer.ggml.tokens")
    types = token_types(header, len(texts))
    tokens = {
        index: _unescaped(text)
        for index, (text, kind_of_token) in enumerate(zip(texts, types, strict=True))
        if kind_of_token not in (CONTROL, UNUSED)
    }
    if len(texts) > vocab_size:
        raise ModelError(f"{header.path}: it has {len(texts)} tokens, and its embedding {vocab_size} rows")
    if tokens == {index: bytes([index]) for index in range(256)}:
        return RWKVTokenizer("bytes", encode_bytes, decode_bytes, (256,) if vocab_size > 256 else ())
    if tokens == world_token_bytes():
        return RWKVTokenizer("rwkv-world-20230424", encode_world, decode_world, (0,))
    raise ModelError(
        f"{header.path}: its {len(tokens)} tokens are neither RWKV World's nor bytes; evalkit reads no other "
        "vocabulary of kind rwkv"
    )


def _unescaped(text: str) -> bytes:
    """A token's bytes, which the file has as Python's ``repr`` writes them."""
    named = {"n": b"\n", "t": b"\t", "r": b"\r"}
    parts = re.findall(r"\\x[0-9a-fA-F]{2}|\\.|[^\\]+|\\", text, re.DOTALL)
    return b"".join(
        bytes([int(part[2:], 16)])
        if part.startswith("\\x") and len(part) == 4
        else named.get(part[1:], part[1:].encode())
        if part.startswith("\\")
        else part.encode()
        for part in parts
    )


def _official(header: Header, read: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """A file's tensors under the official names and in the official layout.

    Args:
        header: the file's.
        read: a tensor by its name in the file.

    Raises:
        ModelError: a name is unknown, or a shape does not fit.
    """
    head_size = header.integer("rwkv7.wkv.head_size")
    tensors: dict[str, Tensor] = {}
    for name in header.tensors:
        layer = re.fullmatch(r"blk\.(\d+)\.(.+)", name)
        try:
            if name in _TOP:
                tensors[_TOP[name]] = read(name)
            elif layer is not None:
                parts = _official_parts(layer[2], read(name), head_size)
                tensors.update({f"blocks.{int(layer[1])}.{part}": tensor for part, tensor in parts.items()})
            else:
                raise KeyError(name)
        except (KeyError, RuntimeError, ValueError) as error:
            shape = header.tensors[name].shape
            raise ModelError(
                f"{header.path}: RWKV-7 has no tensor {name} of shape {shape}; convert the model again"
            ) from error
    return official_layout(tensors, header.path)


def _official_parts(name: str, tensor: Tensor, head_size: int) -> dict[str, Tensor]:
    if name in _PARTS:
        return {_PARTS[name]: tensor}
    if name == "time_mix_lerp_fused.weight":
        rows = tensor.reshape(len(_LERPS), -1)
        return {f"att.x_{letter}": row.reshape(1, 1, -1) for letter, row in zip(_LERPS, rows, strict=True)}
    if name == "channel_mix_lerp_k.weight":
        return {"ffn.x_k": tensor.reshape(1, 1, -1)}
    if name == "time_mix_r_k.weight":
        return {"att.r_k": tensor.reshape(-1, head_size)}
    if re.fullmatch(r"time_mix_[wavg][12]\.weight", name):  # the converter turns them round
        return {f"att.{name[9:11]}": tensor.T}
    if re.fullmatch(r"time_mix_(?:[wav]0|k_k|k_a)\.weight", name):
        return {f"att.{name.removeprefix('time_mix_').removesuffix('.weight')}": tensor.reshape(1, 1, -1)}
    raise KeyError(name)
