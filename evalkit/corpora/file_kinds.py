"""What a file is by its first bytes: compressed, text, or something that is no text at all.

Names are believed for what is in a text file (`.csv`, `.jsonl`), never for whether it is one.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import CorpusError, first_line
from evalkit.files import fits_memory

COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")

_UNPACK = "unpack it and give the folder"
_AS_TEXT = "extract its text and give that"
_EXPORT = "export it as Parquet or CSV"
_NO_TEXT: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "a PDF file", _AS_TEXT),
    (b"%!PS", "a PostScript file", _AS_TEXT),
    (b"{\\rtf", "an RTF file", _AS_TEXT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file", _AS_TEXT),
    (b"PK\x03\x04", "a ZIP archive or a file made of one (.docx, .xlsx, .epub)", _UNPACK),
    (b"PK\x05\x06", "an empty ZIP archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"!<arch>\n", "an ar archive", _UNPACK),
    (b"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (b"ARROW1", "an Arrow file", _EXPORT),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", _EXPORT),
    (b"GGUF", "a GGUF file", "that is a model; give it to --models"),
    (b"\x7fELF", "a program", "leave it out"),
    (b"\x00asm", "a WebAssembly module", "leave it out"),
    (b"\x89PNG", "a PNG picture", "leave it out"),
    (b"GIF87a", "a GIF picture", "leave it out"),
    (b"GIF89a", "a GIF picture", "leave it out"),
    (b"\xff\xd8\xff", "a JPEG picture", "leave it out"),
    (b"RIFF", "a RIFF file (.wav, .webp, .avi)", "leave it out"),
    (b"OggS", "an Ogg file", "leave it out"),
    (b"ID3", "an MP3 file", "leave it out"),
    (b"fLaC", "a FLAC file", "leave it out"),
    (b"wOFF", "a font", "leave it out"),
    (b"wOF2", "a font", "leave it out"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8"),
)
"""First bytes, what has them, and what to do. Several of these formats can be valid UTF-8."""

_MAY_BE_PROSE = (b"RIFF", b"ID3", b"OggS", b"fLaC", b"GGUF", b"PAR1", b"ARROW1", b"wOFF", b"wOF2", b"Rar!")
"""Words that a text may start with: the formats have a zero byte soon after, a text has none."""

_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)
_TAR_MAGIC_OFFSET = 257


_SMALL_BYTES = 2**28
_MOST_GROWTH = 200
"""Bytes for a compressed byte: ten times what compressors make of prose."""
_ZSTD_PIECE = 4096
"""Bytes that are decompressed at once: their blocks hold 128 MiB at most."""


class FileContent(NamedTuple):
    """A file's bytes, decompressed, and what its name says of them."""

    data: bytes
    name: str
    """Without the ending of the compression."""

    @property
    def ending(self) -> str:
        """The name's, in lower case: ``.csv``."""
        return Path(self.name).suffix.lower()


def readable_name(name: str) -> str:
    """A file's name with a replacement character for whatever in it is not UTF-8, which no JSON can hold."""
    return os.fsencode(name).decode("utf-8", "replace")


def without_compression(name: str) -> str:
    """A file's name without the ending that says how it is compressed."""
    path = Path(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in COMPRESSED_SUFFIXES else name


def check_fits_memory(path: Path) -> None:
    """Refuse a file that is larger than memory, as one with a hole can be on any disk.

    Raises:
        CorpusError: it is larger.
        OSError: there is none.
    """
    num_bytes = path.stat().st_size
    if not fits_memory(num_bytes):
        raise CorpusError(f"{path}: {num_bytes:,} bytes, more than this machine's memory; split it")


def read_content(path: Path) -> FileContent:
    """A file's bytes, decompressed where they are compressed, whatever its name says.

    Raises:
        CorpusError: the compressed data are damaged, or are none although the name says so.
        OSError: it cannot be read.
    """
    check_fits_memory(path)
    data = path.read_bytes()
    decompress = _decompressor(data)
    if decompress is None:
        if data and path.suffix.lower() in COMPRESSED_SUFFIXES:
            raise CorpusError(f"{path}: not compressed as {path.suffix} says; rename it, or fetch it again")
        return FileContent(data, without_compression(path.name))
    most_bytes = max(_SMALL_BYTES, _MOST_GROWTH * len(data))
    try:
        content = decompress(data, most_bytes)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise CorpusError(f"{path}: damaged compressed data ({first_line(error)}); fetch it again") from error
    if len(content) > most_bytes:
        raise CorpusError(
            f"{path}: its {len(data):,} bytes unpack to more than {most_bytes:,}: it was made to fill memory"
        )
    return FileContent(content, without_compression(path.name))


def check_is_text(place: str, content: FileContent) -> None:
    """Refuse what is no text by its first bytes, and HTML pages, whose text is only a part of them.

    Raises:
        CorpusError: it is such a file; the message says which and what to do.
    """
    data = content.data
    for magic, kind, advice in _NO_TEXT:
        if data.startswith(magic) and (magic not in _MAY_BE_PROSE or b"\x00" in data[:64]):
            raise CorpusError(f"{place}: {kind}, not a text; {advice}")
    if data[_TAR_MAGIC_OFFSET : _TAR_MAGIC_OFFSET + 5] == b"ustar" and b"\x00" in data[:_TAR_MAGIC_OFFSET]:
        raise CorpusError(f"{place}: a tar archive, not a text; {_UNPACK}")
    if content.ending in (".html", ".htm", ".xhtml") or _HTML.match(data[:4096]):
        raise CorpusError(
            f"{place}: an HTML page, not a text; {_AS_TEXT} (the library trafilatura does), or give the "
            "markup as a text in JSONL if that is what is to be scored"
        )


def _decompressor(data: bytes) -> Callable[[bytes, int], bytes] | None:
    """What decompresses data, to one byte more than it is told where they are longer."""
    if data.startswith(b"\x1f\x8b\x08"):
        return lambda data, most: gzip.GzipFile(fileobj=io.BytesIO(data)).read(most + 1)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return _unzstd
    if data.startswith(b"\xfd7zXZ\x00"):
        return lambda data, most: lzma.LZMAFile(io.BytesIO(data)).read(most + 1)
    # "BZh9" alone may be prose; then comes pi, or its square root where the file is empty.
    if re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", data):
        return lambda data, most: bz2.BZ2File(io.BytesIO(data)).read(most + 1)
    return None


def _unzstd(data: bytes, most_bytes: int) -> bytes:
    """All frames of Zstandard data; unlike the library's reader of streams it refuses what is cut short."""
    import zstandard

    parts = []
    num_bytes, start = 0, 0
    while start < len(data):
        frame = zstandard.ZstdDecompressor().decompressobj()
        while not frame.eof:
            piece = data[start : start + _ZSTD_PIECE]
            if not piece:
                raise EOFError("it ends within a frame")
            try:
                parts.append(frame.decompress(piece))
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from error
            start += len(piece) - len(frame.unused_data)
            num_bytes += len(parts[-1])
            if num_bytes > most_bytes:
                return b"".join(parts)
    return b"".join(parts)
