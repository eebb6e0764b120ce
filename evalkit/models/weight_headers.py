"""How many parameters weight files hold and in which type, from their headers: no weights are read."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.files import FileStamp, file_stamp, is_settled, parse_json
from evalkit.models.packed_weights import StoredTensor, num_packed_parameters
from evalkit.models.stored_tensors import problem_of_stored

if TYPE_CHECKING:
    import torch

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
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
"""The safetensors format's own limit."""
_NOTED: dict[tuple[Path, FileStamp], list[StoredTensor]] = {}
"""See `note_tensors`: of the last file."""


class WeightSummary(NamedTuple):
    """What headers say of a model's weights."""

    num_parameters: int | None
    """None where several are packed into an element in a way that is not known."""
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
        tensors = [tensor for path in paths for tensor in _tensors(path)]
    except Exception:  # torch's unpickler has no errors of its own for most of what can be wrong
        return None  # whoever loads the file says what that is
    return _summary(tensors, paths[0].parent / "config.json") if tensors else None


def summarise_tensors(tensors: Iterable[StoredTensor], config: Path | None) -> WeightSummary | None:
    """The same of tensors whose files are not here.

    Args:
        tensors: with types by the safetensors format's names.
        config: the model's ``config.json``; None where there is none.
    """
    named = [tensor._replace(dtype=_NAMES.get(tensor.dtype, tensor.dtype)) for tensor in tensors]
    return _summary(named, config)


def _summary(tensors: Sequence[StoredTensor], config: Path | None) -> WeightSummary | None:
    weights = [tensor for tensor in tensors if _is_weight(tensor)]
    if not weights:
        return None
    num_bytes: dict[str, int] = {}
    for tensor in weights:
        num_bytes[tensor.dtype] = num_bytes.get(tensor.dtype, 0) + tensor.num_bytes
    stored_dtype = max(num_bytes, key=lambda dtype: (num_bytes[dtype], dtype))
    method, num_bits = _quantisation(config)
    if stored_dtype in _WHOLE_TYPES and method is None:
        return WeightSummary(
            sum(math.prod(tensor.shape) for tensor in weights if tensor.dtype in _WHOLE_TYPES), stored_dtype
        )
    num_parameters = num_packed_parameters(weights, num_bits)
    return WeightSummary(num_parameters, f"{method}, {stored_dtype}" if method else stored_dtype)


def _is_weight(tensor: StoredTensor) -> bool:
    """Whether a tensor is trained, by what is known of names: files of older models hold buffers too."""
    is_mask = len(tensor.shape) == 4 and _MASK.search(tensor.name) is not None
    return not (is_mask or _BUFFER.search(tensor.name) or tensor.dtype in _NEVER_WEIGHTS)


def is_quantised(stored_dtype: str | None) -> bool:
    """Whether `WeightSummary.stored_dtype` says that weights were rounded to less than 16 bits."""
    return stored_dtype is not None and stored_dtype not in _WHOLE_TYPES


def _tensors(path: Path) -> Iterator[StoredTensor]:
    if path.suffix == ".safetensors":
        yield from _safetensors(path)
    elif path.suffix in WEIGHT_SUFFIXES:
        yield from _pickled(path)


def _safetensors(path: Path) -> Iterator[StoredTensor]:
    for name, entry in safetensors_header(path).entries.items():
        start, end = entry["data_offsets"]
        dtype = str(entry["dtype"])
        yield StoredTensor(name, tuple(entry["shape"]), end - start, _NAMES.get(dtype, dtype))


class SafetensorsHeader(NamedTuple):
    """What a file of safetensors says of itself."""

    entries: Mapping[str, Mapping[str, Any]]
    """By tensor: ``dtype``, ``shape`` and ``data_offsets``, of which the last two hold counts."""
    num_file_bytes: int
    """Of the whole file, if it has all that is spoken of."""


def safetensors_header(path: Path) -> SafetensorsHeader:
    """The header: eight bytes of its length, then JSON; https://github.com/huggingface/safetensors#format.

    Raises:
        ValueError: it is none.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > _MAX_HEADER_BYTES:
            raise ValueError("no safetensors header is as long")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("a safetensors header names tensors")
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    num_data_bytes = 0
    for name, entry in entries.items():
        try:
            start, end = entry["data_offsets"]
            numbers = (start, end, *entry["shape"])
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{name}: a tensor has a shape and a place") from error
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f"{name}: shape and place of a tensor are counts")
        num_data_bytes = max(num_data_bytes, end)
    return SafetensorsHeader(entries, _LENGTH_BYTES + length + num_data_bytes)


def note_tensors(path: Path, tensors: "Mapping[str, torch.Tensor]") -> None:
    """Keep what a file that torch wrote holds, where it was read just now: to read it again takes as long.

    Args:
        path: the file.
        tensors: all of it, mapped and not changed yet.
    """
    stamp = file_stamp(path)
    if is_settled(stamp):
        _NOTED.clear()
        _NOTED[path, stamp] = list(_stored(tensors))


def _pickled(path: Path) -> Iterator[StoredTensor]:
    """The tensors of a file that torch wrote, mapped and not read."""
    import pickle
    import zipfile

    import torch

    if (noted := _NOTED.get((path, file_stamp(path)))) is not None:
        yield from noted
        return
    if not zipfile.is_zipfile(path):  # the format of before 2020 can only be read whole
        return
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error
    tensors = {name: tensor for name, tensor in loaded.items() if isinstance(tensor, torch.Tensor)}
    if problem := problem_of_stored(tensors, path.stat().st_size):
        raise ValueError(problem)
    yield from _stored(tensors)


def _stored(tensors: "Mapping[str, torch.Tensor]") -> Iterator[StoredTensor]:
    """Tensors of one file, each once."""
    seen = set()
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise ValueError(f"a tensor is called {name!r}, which is no text")
        place = (tensor.data_ptr(), tensor.shape)
        if place not in seen:
            seen.add(place)
            dtype = str(tensor.dtype).removeprefix("torch.")
            yield StoredTensor(name, tuple(tensor.shape), tensor.numel() * tensor.element_size(), dtype)


def _quantisation(config: Path | None) -> tuple[str | None, int | None]:
    """The method that a config names, with its bits (``gptq 4-bit``), and the bits."""
    if config is None or not config.is_file():  # so that what is opened is only what an identity names
        return None, None
    try:
        settings = parse_json(config.read_text(encoding="utf-8")).get("quantization_config")
        method = str(settings["quant_method"])
        num_bits = settings.get("bits") or _bits_of_groups(settings.get("config_groups"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, None
    for bits in (4, 8):
        if settings.get(f"load_in_{bits}bit") is True:
            num_bits = num_bits or bits
    if not isinstance(num_bits, int):
        return method, None
    return (method if re.search(r"\d", method) else f"{method} {num_bits}-bit"), num_bits


def _bits_of_groups(groups: object) -> int | None:
    """Of compressed-tensors, which may give layers different ones; None where it does."""
    if not isinstance(groups, Mapping):
        return None
    bits = {group["weights"]["num_bits"] for group in groups.values()}
    return bits.pop() if len(bits) == 1 else None
