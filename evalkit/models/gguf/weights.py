"""A GGUF file's weights in a network of transformers."""

import re
import warnings
from collections import Counter
from typing import NamedTuple

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from evalkit.errors import ModelError
from evalkit.models.gguf.architectures import Architecture, architecture_of
from evalkit.models.gguf.configuration import transformers_name
from evalkit.models.gguf.dequantise import ROPE_FACTORS, read_tensor
from evalkit.models.gguf.header import Header, TensorInfo
from evalkit.models.gguf.layouts import Settings
from evalkit.models.hf.quiet import quiet

_NUM_HALVES = 2
"""Tensors of a file that make one of transformers'."""


def load_weights(
    header: Header, config: "transformers.PreTrainedConfig", settings: Settings, dtype: torch.dtype
) -> PreTrainedModel:
    """The network with its weights, dequantised one after the other.

    Raises:
        ModelError: a tensor is missing, unknown or of another shape; it is named.
    """
    with torch.device("meta"), quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"fla\.")
        skeleton = transformers.AutoModelForCausalLM.from_config(config)
    names = _checked_names(header, skeleton, settings)
    architecture = architecture_of(header)
    weights: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, target in names.items():
        tensor = read_tensor(header.tensors[name], torch.float32)
        tensor = architecture.transform(name, tensor, settings).to(dtype).contiguous()
        if target.part is None:
            weights[target.name] = tensor
            continue
        halves = parts.setdefault(target.name, {})
        halves[target.part] = tensor
        if len(halves) == _NUM_HALVES:
            weights[target.name] = torch.cat([halves[part] for part in sorted(halves)], dim=1)
            del parts[target.name]
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", module=r"fla\."
        )  # of having no GPU, as in `evalkit.models.hf.weights`
        model, report = type(skeleton).from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True
        )
    for problem, keys in report.items():
        if keys:
            raise ModelError(
                f"{header.path}: {problem} when it was loaded: {', '.join(map(str, keys))[:200]}"
            )
    _apply_rope_factors(model, header)
    return model


class _Target(NamedTuple):
    """Where a tensor of a file goes."""

    name: str
    """A parameter's, by transformers."""
    part: int | None
    """Which half of each expert's rows it is; None: all."""


def _checked_names(header: Header, skeleton: PreTrainedModel, settings: Settings) -> dict[str, _Target]:
    """Transformers' names by the file's, all of which are there and of the right shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    if skeleton.config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    architecture = architecture_of(header)
    names: dict[str, _Target] = {}
    for name, tensor in header.tensors.items():
        if name in ROPE_FACTORS or _is_behind(name, skeleton.config.num_hidden_layers):
            continue
        target = _target(transformers_name(architecture, name))
        if target is None or target.name not in expected:
            raise ModelError(
                f"{header.path}: evalkit knows no tensor {name} of {header.architecture}; score the "
                "checkpoint that it was made of with hf:"
            )
        shape = expected[target.name]
        if target.part is not None:
            shape = (shape[0], shape[1] // _NUM_HALVES, *shape[2:])
        if _shape_after(architecture, name, tensor, settings) != _without_ones(shape):
            raise ModelError(f"{header.path}: tensor {name} is {tensor.shape}, by its metadata {shape}")
        names[name] = target
    counts = Counter(target.name for target in names.values() if target.part is not None)
    complete = {
        target.name for target in names.values() if counts.get(target.name, _NUM_HALVES) == _NUM_HALVES
    }
    if missing := sorted(expected.keys() - complete):
        raise ModelError(
            f"{header.path}: it has no tensor for {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; convert the model again"
        )
    return names


def _target(name: str | None) -> _Target | None:
    if name is None:
        return None
    base, bracket, part = name.partition("[")
    return _Target(base, int(part.removesuffix("]")) if bracket else None)


def _shape_after(
    architecture: Architecture, name: str, tensor: TensorInfo, settings: Settings
) -> tuple[int, ...] | None:
    """The shape that a tensor gets in transformers' layout; None where it has none there."""
    try:
        moved = architecture.transform(name, torch.empty(tensor.shape, device="meta"), settings)
    except (RuntimeError, IndexError, ValueError):
        return None
    return _without_ones(tuple(moved.shape))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


def _is_behind(name: str, num_layers: int) -> bool:
    """Whether a tensor is of a layer for later tokens, behind the last, as the file says."""
    layer = re.match(r"blk\.(\d+)\.", name)
    return layer is not None and int(layer[1]) >= num_layers


def _apply_rope_factors(model: PreTrainedModel, header: Header) -> None:
    """Divide the frequencies of the rotary positions as the file says (Llama 3.1's scaling)."""
    table = header.tensors.get("rope_freqs.weight")
    if table is None:
        return
    factors = read_tensor(table, torch.float32)
    rotary = [
        (module, name)
        for module in model.modules()
        for name, _ in module.named_buffers(recurse=False)
        if re.fullmatch(r"(original_)?inv_freq", name)
    ]
    if not rotary or any(module.get_buffer(name).shape != factors.shape for module, name in rotary):
        raise ModelError(
            f"{header.path}: rope_freqs.weight {table.shape} fits no positions of {header.architecture}"
        )
    for module, name in rotary:
        setattr(module, name, module.get_buffer(name) / factors.to(module.get_buffer(name).device))
