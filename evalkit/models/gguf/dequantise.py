"""Weights of a GGUF file as tensors of ordinary numbers."""

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from evalkit.errors import ModelError
from evalkit.models.gguf.header import Header, TensorInfo

_ROW_ELEMENTS = 1 << 15
"""gguf works on 16 rows at a time; rows of this length keep its loop short and its memory small."""
ROPE_FACTORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that belong to the positions, not to the network."""
_WHOLE_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def check_types(header: Header) -> None:
    """Refuse a file with tensors that nothing here can dequantise.

    Raises:
        ModelError: a tensor's type is one of those; it is named.
    """
    for type_name in sorted({tensor.type_name for tensor in header.tensors.values()}):
        if not _is_readable(type_name):
            name = next(t.name for t in header.tensors.values() if t.type_name == type_name)
            raise ModelError(
                f"{header.path}: tensor {name} is {type_name}, which the installed gguf cannot dequantise; "
                "convert the file to a common type (Q4_K_M, Q8_0, F16)"
            )


def _is_readable(type_name: str) -> bool:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    ggml_type = GGMLQuantizationType[type_name]
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[ggml_type][1]), np.uint8), ggml_type)
    except NotImplementedError:
        return False
    return True


def read_tensor(tensor: TensorInfo, dtype: torch.dtype) -> Tensor:
    """A tensor of a file, dequantised to float32 and rounded to a dtype, in memory of its own."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    stored = np.fromfile(tensor.path, np.uint8, tensor.num_bytes, offset=tensor.offset)
    if len(stored) < tensor.num_bytes:
        raise ModelError(f"{tensor.path} was cut off while it was read; run again")
    if tensor.type_name == "BF16":
        return torch.from_numpy(stored).view(torch.bfloat16).view(tensor.shape).to(dtype)
    ggml_type = GGMLQuantizationType[tensor.type_name]
    block_size, block_bytes = GGML_QUANT_SIZES[ggml_type]
    num_blocks = tensor.num_bytes // block_bytes
    row_blocks = max(1, min(num_blocks, _ROW_ELEMENTS // block_size))
    whole = num_blocks // row_blocks * row_blocks * block_bytes
    parts = [stored[:whole].reshape(-1, row_blocks * block_bytes), stored[whole:].reshape(1, -1)]
    # Each part comes out rounded before the next is made: beside the model there is one tensor in float32.
    values = [torch.from_numpy(dequantize(part, ggml_type)).flatten() for part in parts if part.size]
    return torch.cat(values).view(tensor.shape).to(dtype)


def quantisation_summary(tensors: Iterable[TensorInfo]) -> str:
    """Types by the bytes that they take, with how many tensors are of each: ``Q4_1 (210), Q8_0 (1)``."""
    num_bytes: dict[str, int] = {}
    counts: dict[str, int] = {}
    for tensor in tensors:
        num_bytes[tensor.type_name] = num_bytes.get(tensor.type_name, 0) + tensor.num_bytes
        counts[tensor.type_name] = counts.get(tensor.type_name, 0) + 1
    names = sorted(num_bytes, key=lambda name: (-num_bytes[name], name))
    return ", ".join(f"{name} ({counts[name]})" for name in names)


def origin_sha256(header: Header) -> str | None:
    """A digest that files share whose weights were quantised from one model; None where nothing tells.

    Of the architecture, the model's name, and the vectors (scales of norms, biases), which no program that
    quantises touches and which training moves.
    """
    vectors = [
        tensor
        for name, tensor in header.tensors.items()
        if len(tensor.shape) == 1 and tensor.type_name == "F32" and name not in ROPE_FACTORS
    ]
    if not vectors:
        return None
    digest = hashlib.sha256(f"{header.architecture}\n{header.text('general.name', '')}\n".encode())
    for tensor in sorted(vectors, key=lambda tensor: tensor.name):
        digest.update(f"{tensor.name}\n".encode())
        digest.update(read_tensor(tensor, torch.float32).numpy().tobytes())
    return digest.hexdigest()


def described_weights(header: Header) -> dict[str, str | int | float | bool | None]:
    """What a cell should say of a file's weights: how many, how large, and how they are stored."""
    weights = [tensor for name, tensor in header.tensors.items() if name not in ROPE_FACTORS]
    num_parameters = sum(tensor.num_elements for tensor in weights)
    if not num_parameters:
        raise ModelError(f"{header.path} holds no weights; fetch it again")
    quantisation = quantisation_summary(weights)
    most = quantisation.split(" ")[0]
    return {
        "model_type": header.architecture,
        "num_parameters": num_parameters,
        "stored_dtype": _WHOLE_TYPES.get(most, most),
        "weights": most if most in _WHOLE_TYPES else f"dequantised from {most}",
        "quantisation": quantisation,
        "file_bytes": header.num_file_bytes,
        "bits_per_weight": round(8 * sum(tensor.num_bytes for tensor in weights) / num_parameters, 4),
        "origin_sha256": origin_sha256(header),
    }
