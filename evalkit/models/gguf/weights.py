"""A GGUF file's weights in a network of transformers."""

import re
import warnings

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from evalkit.errors import ModelError
from evalkit.models.gguf.architectures import ARCHITECTURES
from evalkit.models.gguf.configuration import transformers_name
from evalkit.models.gguf.dequantise import ROPE_FACTORS, read_tensor
from evalkit.models.gguf.header import Header
from evalkit.models.gguf.layouts import Settings
from evalkit.models.hf.checkpoint import quiet


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
    names = _checked_names(header, skeleton)
    architecture = ARCHITECTURES[header.architecture]
    weights: dict[str, Tensor] = {}
    for name, target in names.items():
        tensor = read_tensor(header.tensors[name], torch.float32)
        weights[target] = architecture.transform(name, tensor, settings).to(dtype).contiguous()
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


def _checked_names(header: Header, skeleton: PreTrainedModel) -> dict[str, str]:
    """Transformers' names by the file's, all of which are there and of the right shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    if skeleton.config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    architecture = ARCHITECTURES[header.architecture]
    names: dict[str, str] = {}
    for name, tensor in header.tensors.items():
        if name in ROPE_FACTORS or _is_behind(name, skeleton.config.num_hidden_layers):
            continue
        target = transformers_name(architecture, name)
        if target is None or target not in expected:
            raise ModelError(
                f"{header.path}: evalkit knows no tensor {name} of {header.architecture}; score the "
                "checkpoint that it was made of with hf:"
            )
        shape = tuple(size for size in tensor.shape if size > 1)
        if shape != tuple(size for size in expected[target] if size > 1):
            raise ModelError(
                f"{header.path}: tensor {name} is {tensor.shape}, by its metadata {expected[target]}"
            )
        names[name] = target
    if missing := sorted(expected.keys() - set(names.values())):
        raise ModelError(
            f"{header.path}: it has no tensor for {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; convert the model again"
        )
    return names


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
