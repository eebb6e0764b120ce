"""How many parameters weight files hold and in which type, from their headers: no weights are read."""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.files import parse_json
from evalkit.models.stored_tensors import problem_of_stored

_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F4": "float4_e2m1",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""torch's names for the types of the safetensors format."""
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_WHOLE_TYPES = ("float64", "float32", "float16", "bfloat16")
_NEVER_WEIGHTS = ("int64", "int16", "bool")
_BUFFER = re.compile(r"(?:^|\.)(?:inv_freq|masked_bias|position_ids)$")
_MASK = re.compile(r"(?:^|\.)(?:attn|attention)\.bias$")
"""GPT-2's and GPT-Neo's causal mask, if it has four dimensions."""
_MAX_HEADER_BYTES = 100_000_000
"""The safetensors format's own limit."""


class _Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    num_bytes: int
    dtype: str

    @property
    def is_weight(self) -> bool:
        """Whether it is trained, by what is known of names: files of older models hold buffers too."""
        is_mask = len(self.shape) == 4 and _MASK.search(self.name) is not None
        return not (is_mask or _BUFFER.search(self.name) or self.dtype in _NEVER_WEIGHTS)


class WeightSummary(NamedTuple):
    """What headers say of a model's weights."""

    num_parameters: int | None
    """None where several are packed into an element, so that elements do not count them."""
    stored_dtype: str
    """Type of most of the bytes, e.g. ``bfloat16``; with a method of quantisation: ``gptq 4-bit, int32``."""


def summarise_weights(paths: Sequence[Path]) -> WeightSummary | None:
    """What the weight files of a model hold; None where they are none whose headers can be read.

    Weights that two names share in a ``.pth`` are counted once, as in the model, and the buffers that older
    files hold (causal masks, position ids, rotary tables) are not.

    Args:
        paths: ``.safetensors``, ``.pth`` and ``.bin`` files; others are passed over.
    """
    try:
        tensors = [tensor for path in paths for tensor in _tensors(path) if tensor.is_weight]
    except Exception:  # torch's unpickler has no errors of its own for most of what can be wrong
        return None  # whoever loads the file says what that is
    if not tensors:
        return None
    num_bytes: dict[str, int] = {}
    for tensor in tensors:
        num_bytes[tensor.dtype] = num_bytes.get(tensor.dtype, 0) + tensor.num_bytes
    stored_dtype = max(num_bytes, key=lambda dtype: (num_bytes[dtype], dtype))
    method = _quantisation(paths[0].parent)
    if stored_dtype in _WHOLE_TYPES and method is None:
        return WeightSummary(
            sum(math.prod(tensor.shape) for tensor in tensors if tensor.dtype in _WHOLE_TYPES), stored_dtype
        )
    return WeightSummary(None, f"{method}, {stored_dtype}" if method else stored_dtype)


def is_quantised(stored_dtype: str | None) -> bool:
    """Whether `WeightSummary.stored_dtype` says that weights were rounded to less than 16 bits."""
    return stored_dtype is not None and stored_dtype not in _WHOLE_TYPES


def _tensors(path: Path) -> Iterator[_Tensor]:
    if path.suffix == ".safetensors":
        yield from _safetensors(path)
    elif path.suffix in WEIGHT_SUFFIXES:
        yield from _pickled(path)


def _safetensors(path: Path) -> Iterator[_Tensor]:
    """The header: eight bytes of its length, then JSON; https://github.com/huggingface/safetensors#format."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _MAX_HEADER_BYTES:
            raise ValueError("no safetensors header is as long")
        header = parse_json(file.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            numbers = (start, end, *entry["shape"])
            if not all(type(number) is int and number >= 0 for number in numbers):
                raise ValueError(f"{name}: shape and place of a tensor are counts")
            dtype = str(entry["dtype"])
            yield _Tensor(name, tuple(entry["shape"]), end - start, _NAMES.get(dtype, dtype))


def _pickled(path: Path) -> Iterator[_Tensor]:
    """The tensors of a file that torch wrote, mapped and not read."""
    import pickle
    import zipfile

    import torch

    if not zipfile.is_zipfile(path):  # the format of before 2020 can only be read whole
        return
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error
    tensors = {name: tensor for name, tensor in loaded.items() if isinstance(tensor, torch.Tensor)}
    if problem := problem_of_stored(tensors, path.stat().st_size):
        raise ValueError(problem)
    seen = set()
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape)
        if place not in seen:
            seen.add(place)
            dtype = str(tensor.dtype).removeprefix("torch.")
            yield _Tensor(name, tuple(tensor.shape), tensor.numel() * tensor.element_size(), dtype)


def _quantisation(folder: Path) -> str | None:
    """The method that the config beside the weights names, with its bits: ``gptq 4-bit``."""
    config = folder / "config.json"
    if not config.is_file():  # so that what is opened is only what an identity names
        return None
    try:
        settings = parse_json(config.read_text(encoding="utf-8")).get("quantization_config")
        method = str(settings["quant_method"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    bits = settings.get("bits") or next(
        (bits for bits in (4, 8) if settings.get(f"load_in_{bits}bit") is True), None
    )
    return method if bits is None or re.search(r"\d", method) else f"{method} {bits}-bit"
