"""The ``codec`` loader: classical compressors, the baselines that no leak can help.

Each document is compressed alone, at the strongest setting, and the code is as long as it must be for
the document to be decoded by someone who knows the codec: container magic, checksums and stored lengths
are left out, as they are for language models.
"""

import hashlib
import importlib.metadata
import json
import lzma
from collections.abc import Callable
from typing import NamedTuple

from evalkit.errors import ModelError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.protocol import LoadOptions, ModelIdentity

_PPMD_ORDER, _PPMD_MEMORY_BYTES = 32, 192 << 20
"""What 7-Zip takes at its highest level."""


class _Compressor(NamedTuple):
    """How a codec compresses, and what makes its result repeatable."""

    package: str
    """Distribution whose version matters; ``python`` for the standard library."""
    settings: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes, int], bytes]
    """From the code and the number of bytes that it stands for."""


class ClassicalCodec:
    """A compressor as `evalkit.models.protocol.Codec`."""

    def __init__(self, name: str, identity: ModelIdentity) -> None:
        """Take a compressor by its name, one of `NAMES`."""
        self.identity = identity
        self._compressor = _COMPRESSORS[name]

    def encode(self, data: bytes) -> bytes:
        """The code of a document."""
        return self._compressor.encode(data)

    def decode(self, code: bytes, num_bytes: int) -> bytes:
        """The document of ``num_bytes`` bytes that a code stands for."""
        return self._compressor.decode(code, num_bytes)

    def code_length_bytes(self, data: bytes) -> int:
        """See `evalkit.models.protocol.Codec.code_length_bytes`."""
        return len(self.encode(data))


def identify(entry: CatalogEntry, _: LoadOptions) -> ModelIdentity:
    """The codec's name, settings and library version.

    Raises:
        ModelError: no such codec.
    """
    if entry.target not in _COMPRESSORS:
        raise ModelError(f"{entry.name}: no codec {entry.target!r}; there are {', '.join(NAMES)}")
    compressor = _COMPRESSORS[entry.target]
    version = "" if compressor.package == "python" else importlib.metadata.version(compressor.package)
    described = json.dumps([entry.target, compressor.settings, compressor.package, version])
    return ModelIdentity(
        name=entry.name,
        loader="codec",
        revision=None,
        weights_sha256=hashlib.sha256(described.encode()).hexdigest(),
        tokenizer_sha256="none",
        prefix="none",
        dtype="none",
        context_limit=None,
        details={"settings": compressor.settings, "library": f"{compressor.package} {version}".strip()},
    )


def load(entry: CatalogEntry, options: LoadOptions) -> ClassicalCodec:
    """The codec.

    Raises:
        ModelError: no such codec.
    """
    return ClassicalCodec(entry.target, identify(entry, options))


def _lzma_filters(num_bytes: int) -> list[dict[str, int]]:
    # A dictionary as large as the document finds the same matches as preset 9's 64 MiB, and clearing
    # 64 MiB for each document took most of the time. pb=0 suits text (xz's manual, "pb").
    return [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": max(4096, num_bytes),
            "pb": 0,
        }
    ]


def _xz_encode(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=_lzma_filters(len(data)))


def _xz_decode(code: bytes, num_bytes: int) -> bytes:
    return lzma.decompress(code, format=lzma.FORMAT_RAW, filters=_lzma_filters(num_bytes))


def _zstd_encode(data: bytes) -> bytes:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        zstandard.MAX_COMPRESSION_LEVEL,
        source_size=len(data),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=0,
        write_checksum=0,
        write_dict_id=0,
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def _zstd_decode(code: bytes, num_bytes: int) -> bytes:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    return decompressor.decompress(code, max_output_size=max(1, num_bytes))  # 0 means unknown


def _brotli_encode(data: bytes) -> bytes:
    import brotli

    code: bytes = brotli.compress(data, quality=11, lgwin=24)
    return code


def _brotli_decode(code: bytes, _: int) -> bytes:
    import brotli

    data: bytes = brotli.decompress(code)
    return data


def _ppmd_encode(data: bytes) -> bytes:
    import pyppmd

    encoder = pyppmd.Ppmd7Encoder(_PPMD_ORDER, _PPMD_MEMORY_BYTES)
    code: bytes = encoder.encode(data) + encoder.flush()
    return code


def _ppmd_decode(code: bytes, num_bytes: int) -> bytes:
    import pyppmd

    data: bytes = pyppmd.Ppmd7Decoder(_PPMD_ORDER, _PPMD_MEMORY_BYTES).decode(code, num_bytes)
    return data


_COMPRESSORS = {
    "xz": _Compressor("python", "LZMA2, preset 9e, pb=0, raw stream", _xz_encode, _xz_decode),
    "zstd": _Compressor("zstandard", "level 22, frame without magic", _zstd_encode, _zstd_decode),
    "brotli": _Compressor("brotli", "quality 11, window 2^24", _brotli_encode, _brotli_decode),
    "ppmd": _Compressor(
        "pyppmd",
        f"PPMd variant H, order {_PPMD_ORDER}, {_PPMD_MEMORY_BYTES >> 20} MiB",
        _ppmd_encode,
        _ppmd_decode,
    ),
}

NAMES = tuple(_COMPRESSORS)
