"""The classical compressors, in one table: `CODECS`.

From it follow the catalog's entries, what ``codec:NAME`` may name, what the help says, the baselines that a
run scores by default, and the order of all of these. To add one, write its two functions and its line.
"""

import lzma
from collections.abc import Callable, Mapping
from typing import NamedTuple

_PPMD_ORDER, _PPMD_MEMORY_BYTES = 32, 192 << 20
"""What 7-Zip takes at its highest level."""


class Compressor(NamedTuple):
    """A compressor at its strongest setting, without what its file format adds."""

    title: str
    """What it is, for people."""
    package: str
    """Distribution whose version matters; ``python`` for the standard library."""
    settings: str
    """What determines a code's length, besides the package's version: part of the model's identity."""
    released: str
    """When the format was published: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    license: str
    """Of the library that is called."""
    source: str
    """URL of the format's description."""
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes, int], bytes]
    """From the code and the number of bytes that it stands for."""


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
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_lzma_filters(num_bytes))
    data = decoder.decompress(code, num_bytes + 1)  # one more: else a longer one would pass for it
    if not decoder.eof:
        raise lzma.LZMAError("the code does not end with its bytes")
    return data


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


CODECS: Mapping[str, Compressor] = {
    "xz": Compressor(
        "LZMA2: Lempel-Ziv and a range coder",
        "python",
        "LZMA2, preset 9e, pb=0, raw stream",
        "2009",
        "0BSD",
        "https://tukaani.org/xz/",
        _xz_encode,
        _xz_decode,
    ),
    "zstd": Compressor(
        "Zstandard: Lempel-Ziv and finite-state entropy",
        "zstandard",
        "level 22, frame without magic",
        "2016-08-31",
        "BSD-3-Clause",
        "https://www.rfc-editor.org/rfc/rfc8878",
        _zstd_encode,
        _zstd_decode,
    ),
    "brotli": Compressor(
        "Brotli: Lempel-Ziv, Huffman codes and a dictionary of the web's words",
        "brotli",
        "quality 11, window 2^24",
        "2016-07",
        "MIT",
        "https://www.rfc-editor.org/rfc/rfc7932",
        _brotli_encode,
        _brotli_decode,
    ),
    "ppmd": Compressor(
        "PPMd: prediction by partial matching, the strongest on text",
        "pyppmd",
        f"PPMd variant H, order {_PPMD_ORDER}, {_PPMD_MEMORY_BYTES >> 20} MiB",
        "2001",
        "LGPL-2.1-or-later",
        "https://pyppmd.readthedocs.io/",
        _ppmd_encode,
        _ppmd_decode,
    ),
}
