"""What a GGUF file says before its weights: metadata and the table of its tensors.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. Every
length and count is held against what is left of the file before anything is made of it, so that a damaged or
hostile header takes no more memory than the file itself.
"""

import hashlib
import math
import mmap
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = Scalar | list[str] | NDArray[np.generic]
"""A value of the metadata; arrays of numbers stay arrays."""

_SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}
"""Layouts by the format's numbers of types, as `struct` and numpy write them."""
_STRING, _ARRAY = 8, 9
_MIN_KEY_VALUE_BYTES = 8 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8
_MAX_HEADER_BYTES = 1 << 28
"""Gemma's quarter of a million tokens with merges and scores take 30 MB."""
_MAX_VALUES, _MAX_TENSORS, _MAX_STRINGS = 1 << 14, 1 << 18, 1 << 21
"""Beyond what any model has: small things of a header take more memory as objects than in the file."""
_MAX_DIMENSIONS = 4
_MAX_KEY_BYTES = 1 << 16


class TensorInfo(NamedTuple):
    """A line of the table of tensors."""

    name: str
    shape: tuple[int, ...]
    """As numpy and torch have it, rows first; the file has it the other way round."""
    type_name: str
    """Of ggml: ``F32``, ``Q4_1``, …"""
    offset: int
    """Of the first byte in the file."""
    num_bytes: int
    path: Path
    """Of the file: a model may be in several."""

    @property
    def num_elements(self) -> int:
        """How many numbers the tensor holds."""
        return math.prod(self.shape)


class Header(NamedTuple):
    """Metadata and tensors of a file, or of all parts of a model (`evalkit.models.gguf.parts`)."""

    path: Path
    """Of several parts the first."""
    metadata: Mapping[str, Value]
    tensors: Mapping[str, TensorInfo]
    num_file_bytes: int
    tokenizer_sha256: str
    """Digest of the metadata that the tokenizer is made of, as the file has it."""

    @property
    def architecture(self) -> str:
        """What ``general.architecture`` says: ``llama``, ``qwen3``."""
        return self.text("general.architecture")

    def text(self, key: str, default: str | None = None) -> str:
        """A string of the metadata.

        Raises:
            ModelError: it is missing and there is no default, or is no string.
        """
        value = self.metadata.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number of the metadata, as `text`."""
        value = self.metadata.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number of the metadata, as `text`."""
        value = self.metadata.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._wrong(key, "a number")
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """A truth value of the metadata, as `text`."""
        value = self.metadata.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def strings(self, key: str) -> list[str]:
        """An array of strings of the metadata, as `text`."""
        value = self.metadata.get(key)
        if not isinstance(value, list):
            raise self._wrong(key, "an array of strings")
        return value

    def numbers(self, key: str) -> NDArray[np.generic]:
        """An array of numbers of the metadata, as `text`."""
        value = self.metadata.get(key)
        if not isinstance(value, np.ndarray):
            raise self._wrong(key, "an array of numbers")
        return value

    def _wrong(self, key: str, kind: str) -> ModelError:
        state = f"{key} is not {kind}" if key in self.metadata else f"{key} is missing"
        return ModelError(f"{self.path}: the metadata's {state}; convert the model again")


def read_header(path: Path) -> Header:
    """The header of a file, checked against the file's size.

    Raises:
        ModelError: it is no GGUF file, is cut off, counts more than it can hold, or has a tensor of a type
            that ggml has not.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if start[:4] != b"GGUF":
            raise ModelError(f"{path} is no GGUF file: it does not start with GGUF; fetch it again")
        if len(start) < 8:
            raise ModelError(f"{path} is cut off after {len(start)} bytes; fetch it again")
        (version,) = struct.unpack("<I", start[4:])
        if version not in (2, 3):
            swapped = struct.unpack(">I", start[4:])[0] in (2, 3)
            kind = "big-endian" if swapped else f"version {version}"
            raise ModelError(f"{path} is {kind} GGUF; evalkit reads versions 2 and 3, little-endian")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(path, content).header()


class _Reader:
    """A place in a file that goes forward."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self.path = path
        self.content = content
        self.place = 8
        self.num_strings = 0
        self.end = min(len(content), _MAX_HEADER_BYTES)

    def header(self) -> Header:
        num_tensors, num_values = self.unpack("<QQ")
        self.check_count("key-value pairs", num_values, _MIN_KEY_VALUE_BYTES)
        self.check_count("tensors", num_tensors, _MIN_TENSOR_BYTES)
        if num_values > _MAX_VALUES or num_tensors > _MAX_TENSORS:
            raise ModelError(
                f"{self.path}: {num_values:,} key-value pairs and {num_tensors:,} tensors are more than any "
                "model has"
            )
        metadata: dict[str, Value] = {}
        digest = hashlib.sha256()
        for _ in range(num_values):
            start = self.place
            key = self.string(_MAX_KEY_BYTES)
            if key in metadata:
                raise ModelError(f"{self.path}: its header has {key} twice; convert the model again")
            (kind,) = self.unpack("<I")
            metadata[key] = self.value(kind, key)
            if key.startswith("tokenizer.ggml."):
                digest.update(self.content[start : self.place])
        rows = [self.tensor_row() for _ in range(num_tensors)]
        tensors = self.placed(rows, metadata)
        return Header(self.path, metadata, tensors, len(self.content), digest.hexdigest())

    def unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def take(self, num_bytes: int) -> bytes:
        stop = self.place + num_bytes
        if stop > self.end:
            raise self.cut_off()
        part = self.content[self.place : stop]
        self.place = stop
        return part

    def cut_off(self) -> ModelError:
        if self.end < len(self.content):
            return ModelError(
                f"{self.path}: its header goes on beyond {_MAX_HEADER_BYTES:,} bytes, which no model's does"
            )
        return ModelError(
            f"{self.path} is cut off: its {len(self.content):,} bytes end within the header; fetch it again"
        )

    def check_count(self, kind: str, count: int, min_bytes: int) -> None:
        if count * min_bytes > self.end - self.place:
            raise ModelError(
                f"{self.path}: its header counts {count:,} {kind}, more than its {len(self.content):,} bytes "
                "can hold; fetch it again"
            )

    def string(self, max_bytes: int = _MAX_HEADER_BYTES) -> str:
        (length,) = self.unpack("<Q")
        if length > max_bytes:
            raise self.cut_off() if length > self.end - self.place else self.no_text()
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise self.no_text() from error

    def no_text(self) -> ModelError:
        return ModelError(f"{self.path}: a name or text in its header is not UTF-8, or far too long")

    def value(self, kind: int, key: str) -> Value:
        if kind in _SCALARS:
            scalar: Scalar = self.unpack(_SCALARS[kind])[0]
            return scalar
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ModelError(
                f"{self.path}: {key} is of type {kind}, which the format has not; fetch it again"
            )
        item_kind, count = self.unpack("<IQ")
        if item_kind in _SCALARS:
            dtype = np.dtype(_SCALARS[item_kind])
            self.check_count(f"values of {key}", count, dtype.itemsize)
            values: NDArray[np.generic] = np.frombuffer(self.take(count * dtype.itemsize), dtype)
            return values
        if item_kind != _STRING:
            raise ModelError(
                f"{self.path}: {key} is an array of {'arrays' if item_kind == _ARRAY else item_kind}, "
                "which no model has"
            )
        self.check_count(f"strings of {key}", count, 8)
        self.num_strings += count
        if self.num_strings > _MAX_STRINGS:
            raise ModelError(
                f"{self.path}: with {key} it has more than {_MAX_STRINGS:,} strings, as no model has"
            )
        return self.strings(count)

    def strings(self, count: int) -> list[str]:
        """As `string` for each, without its calls: vocabularies have hundreds of thousands."""
        content, place, end = self.content, self.place, self.end
        unpack: Callable[[mmap.mmap, int], tuple[int, ...]] = struct.Struct("<Q").unpack_from
        texts = []
        try:
            for _ in range(count):
                if place + 8 > end:
                    raise self.cut_off()
                (length,) = unpack(content, place)
                start = place + 8
                place = start + length
                if place > end:
                    raise self.cut_off()
                texts.append(content[start:place].decode())
        except UnicodeDecodeError as error:
            raise self.no_text() from error
        self.place = place
        return texts

    def tensor_row(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.string(_MAX_KEY_BYTES)
        (num_dimensions,) = self.unpack("<I")
        if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
            raise ModelError(f"{self.path}: tensor {name} has {num_dimensions} dimensions; fetch it again")
        dimensions = self.unpack(f"<{num_dimensions}Q")
        kind, offset = self.unpack("<IQ")
        return name, dimensions[::-1], kind, offset

    def placed(
        self, rows: list[tuple[str, tuple[int, ...], int, int]], metadata: Mapping[str, Value]
    ) -> dict[str, TensorInfo]:
        """The table, with places in the file."""
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise ModelError(
                f"{self.path}: general.alignment is {alignment}, no power of two; fetch it again"
            )
        data_start = -(-self.place // alignment) * alignment
        tensors: dict[str, TensorInfo] = {}
        for name, shape, kind, offset in rows:
            type_name, num_bytes = self.stored(name, shape, kind)
            if name in tensors:
                raise ModelError(f"{self.path}: it has tensor {name} twice; convert the model again")
            if data_start + offset + num_bytes > len(self.content):
                raise ModelError(
                    f"{self.path} is cut off: tensor {name} ends at byte {data_start + offset + num_bytes:,} "
                    f"of {len(self.content):,}; fetch it again"
                )
            tensors[name] = TensorInfo(name, shape, type_name, data_start + offset, num_bytes, self.path)
        return tensors

    def stored(self, name: str, shape: tuple[int, ...], kind: int) -> tuple[str, int]:
        """A tensor's type and size in bytes."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            ggml_type = GGMLQuantizationType(kind)
            block_size, block_bytes = GGML_QUANT_SIZES[ggml_type]
        except (ValueError, KeyError):
            raise ModelError(
                f"{self.path}: tensor {name} is of type {kind}, which the installed gguf does not know; "
                "pip install -U gguf, or convert it to another type"
            ) from None
        if not all(shape) or shape[-1] % block_size:
            raise ModelError(
                f"{self.path}: tensor {name} of shape {shape} is no whole number of blocks of "
                f"{ggml_type.name}, {block_size} values each; fetch it again"
            )
        return ggml_type.name, math.prod(shape) // block_size * block_bytes
