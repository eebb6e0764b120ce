"""RWKV-7 files: official ``.pth``, and the safetensors layout of Hugging Face / fla.

Both come out as the official names and shapes, whatever was in the file. Nothing in a file is executed:
``.pth`` is read with ``weights_only`` and mapped, not copied.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from evalkit.errors import ModelError, first_line
from evalkit.models.rwkv7.network import REMOVAL_STRENGTHS, RWKV7, LayerShape, NetworkShape

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
_OTHER_GENERATIONS = {
    r"\.att\.time_maa_": "RWKV-6 (x060)",
    r"\.att\.time_faaaa$": "RWKV-5 or RWKV-6",
    r"\.att\.time_decay$": "RWKV-4, 5 or 6",
    r"\.ffn\.s_emb|\.ffn\.s0$": "RWKV-7a (DeepEmbed)",
    r"\.qkv\.|\.att\.q_": "RWKV-7b (DEA)",
}


def weight_files(path: Path) -> list[Path]:
    """The files that hold a model's weights: the file itself, or a folder's safetensors or ``.pth``.

    Raises:
        ModelError: there are none, or several ``.pth`` to choose from.
    """
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.pth"))
    if not files:
        raise ModelError(f"{path} holds neither *.safetensors nor *.pth; give the weight file itself")
    if files[0].suffix == ".pth" and len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ModelError(f"{path} holds several models ({names}); give one of the files")
    return files


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint under their official names, in the file's dtype.

    Args:
        path: a ``.pth`` or ``.safetensors`` file, or a folder that holds the model.

    Raises:
        ModelError: a file is missing, truncated, of another format, or holds more than tensors.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(path):
        read = _read_safetensors if file.suffix == ".safetensors" else _read_pth
        tensors.update(read(file))
    for name, value in tensors.items():
        if not value.is_floating_point():
            dtype = str(value.dtype).removeprefix("torch.")
            raise ModelError(f"{path}: tensor {name!r} is {dtype}; evalkit reads no quantised weights")
    if any(name.startswith("model.layers.") for name in tensors):
        tensors = _from_fla(tensors, path)
    # Some official files carry an unused value residual in layer 0.
    return {
        name: value for name, value in tensors.items() if not re.fullmatch(r"blocks\.0\.att\.v[012]", name)
    }


def _read_pth(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        raise ModelError(f"{path} is empty; fetch the file again")
    is_zip_start = start == b"PK"
    if is_zip_start and not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is truncated: its table of contents is missing; fetch the file again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of other pickle protocols: refused anyway
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip_start)
    except pickle.UnpicklingError as error:
        refused = re.search(r"Unsupported (?:global|class)[^.\n]*|GLOBAL [\w.]+", str(error))
        why = refused.group() if refused else "it is no file of torch tensors"
        raise ModelError(f"{path} was refused and nothing in it was run: {why}") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = first_line(error).split("  (")[0][:200]
        raise ModelError(f"{path} cannot be read as torch tensors ({reason}); fetch it again") from error
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(f"{path} holds a {type(loaded).__name__}, not named tensors; is it an RWKV-7 file?")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelError(f"{path}: entry {name!r} is a {type(value).__name__}, not a tensor")
    return dict(loaded)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a whole safetensors file ({error}); fetch it again") from error


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


def recorded_eigenvalues(path: Path) -> str:
    """The ``negative_eigenvalues`` that a safetensors file's metadata names; ``off`` where nothing does.

    Raises:
        ModelError: it is none of `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
    """
    variants = set()
    for file in weight_files(path):
        if file.suffix == ".safetensors":
            try:
                with safe_open(file, framework="pt") as opened:
                    variants.add((opened.metadata() or {}).get("negative_eigenvalues", "off"))
            except (SafetensorError, OSError) as error:
                message = f"{file} is not a whole safetensors file ({error}); fetch it again"
                raise ModelError(message) from error
    if len(variants) > 1 or not variants <= set(REMOVAL_STRENGTHS):
        raise ModelError(
            f"{path} says negative_eigenvalues {' and '.join(sorted(variants))}; "
            f"evalkit knows {', '.join(REMOVAL_STRENGTHS)}"
        )
    return variants.pop() if variants else "off"


def network_shape(tensors: Mapping[str, Tensor], path: Path) -> NetworkShape:
    """Sizes and ranks, read from the tensors.

    Raises:
        ModelError: the tensors are not RWKV-7's; the message says of what generation they are if known.
    """
    for pattern, generation in _OTHER_GENERATIONS.items():
        for name in tensors:
            if re.search(pattern, name):
                raise ModelError(f"{path} is a {generation} file ({name}); evalkit reads RWKV-7 (x070)")
    layers = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}
    if "emb.weight" not in tensors or not layers or "blocks.0.att.r_k" not in tensors:
        some = ", ".join(sorted(tensors)[:3])
        raise ModelError(
            f"{path} is no RWKV-7 file: emb.weight or blocks.0.att.r_k is missing (it has {some}, …)"
        )

    def size(name: str, axis: int) -> int:
        if name not in tensors or tensors[name].dim() <= axis:
            raise ModelError(
                f"{path} is no whole RWKV-7 file: tensor {name!r} is missing or has the wrong shape"
            )
        return tensors[name].shape[axis]

    return NetworkShape(
        vocab_size=size("emb.weight", 0),
        num_channels=size("emb.weight", 1),
        head_size=size("blocks.0.att.r_k", 1),
        layers=tuple(
            LayerShape(
                decay_rank=size(f"blocks.{layer}.att.w1", 1),
                gate_rank=size(f"blocks.{layer}.att.g1", 1),
                value_rank=size(f"blocks.{layer}.att.v1", 1) if layer else 0,
                learning_rate_rank=size(f"blocks.{layer}.att.a1", 1),
                ffn_width=size(f"blocks.{layer}.ffn.key.weight", 0),
            )
            for layer in range(max(layers) + 1)
        ),
    )


def load_network(path: Path, *, dtype: torch.dtype, device: torch.device) -> RWKV7:
    """The network with a checkpoint's weights, for inference.

    Raises:
        ModelError: see `read_tensors`, `recorded_eigenvalues` and `network_shape`; or tensors are missing,
            unknown or misshapen, each named.
    """
    tensors = read_tensors(path)
    shape = network_shape(tensors, path)
    if shape.num_channels % shape.head_size:
        raise ModelError(
            f"{path}: {shape.num_channels} channels are not a multiple of head size {shape.head_size}"
        )
    removal_strength = REMOVAL_STRENGTHS[recorded_eigenvalues(path)]
    with torch.device("meta"):
        network = RWKV7(shape, removal_strength)
    expected = network.state_dict()
    unknown = sorted(set(tensors) - set(expected))
    missing = sorted(set(expected) - set(tensors))
    if unknown or missing:
        problem = f"unknown tensors {_some(unknown)}" if unknown else f"missing tensors {_some(missing)}"
        raise ModelError(f"{path} is not an RWKV-7 (x070) checkpoint that evalkit knows: {problem}")
    for name, value in tensors.items():
        if value.shape != expected[name].shape and value.squeeze().shape != expected[name].squeeze().shape:
            raise ModelError(
                f"{path}: {name} has shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
            )
    # Copied also where device and dtype are right: what is mapped changes when the file is written to.
    placed = {
        name: value.to(device=device, dtype=dtype, copy=True).reshape(expected[name].shape)
        for name, value in tensors.items()
    }
    network.load_state_dict(placed, assign=True)
    return network.eval().requires_grad_(False)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
