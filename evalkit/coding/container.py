"""The file that `evalkit compress` writes: a header that says everything, three sections, and a digest.

::

    8 bytes   magic: 0x8A "ekit" CR LF, and the version of the format
    4 bytes   length of the header, little-endian, and then the header: JSON, deflated
    spans     deflated: per span its tokens, bytes of text and stored bytes, as varints
    stored    bytes that no tokens stand for, as LZMA2 or as they are
    code      of the tokens: words of 32 bits of a range coder
    16 bytes  SHA-256 of everything before, shortened

A file that was cut or changed is refused by its digest before anything else is looked at. A digest is no
signature: whoever makes a file on purpose can make its digest too, so that every number is checked as well.
"""

import dataclasses
import hashlib
import itertools
import json
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from evalkit.coding.spans import Span
from evalkit.errors import CorpusError
from evalkit.fields import FieldError, from_json, to_json
from evalkit.files import parse_json
from evalkit.models.codecs import CODECS
from evalkit.scoring.policy import POLICIES

SUFFIX = ".ek"
_MAGIC = b"\x8aekit\r\n\x01"
_DIGEST_BYTES = 16
_MOST_HEADER_BYTES = 1 << 16
_MOST_TOKENS_PER_BYTE = 4
"""A byte is one token at most in every vocabulary; some have empty tokens."""
_MOST_TOKENS_PER_WORD = 1 << 23
"""The least that a token can cost, beside 63 others of a 2**24th part each, is a six millionth of a word."""
_MOST_ROWS = 4096
MOST_THREADS = 64
"""An encoder uses no more on the largest machine, for a decoder must start as many on the smallest one."""
_MOST_SPANS = 1 << 22
"""More would take gigabytes of memory, and a few kB can say that there are."""
_MOST_STORED_PER_BYTE = 1 << 14
"""LZMA2 makes a byte of 7,000 equal ones at best."""
_LONGEST_NAME = 4096
_STORED_CODEC = CODECS["xz"]


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """Which model a file was compressed with, and what it read: all of it must be the same."""

    name: str
    loader: str
    weights_sha256: str
    tokenizer_sha256: str
    config_sha256: str | None
    prefix: str
    prefix_ids: tuple[int, ...]
    dtype: str
    context_limit: int | None


@dataclasses.dataclass(frozen=True)
class Numerics:
    """What the bits of a computation depend on besides the model."""

    device: str
    """``cpu`` or ``cuda``."""
    num_threads: int
    digest: str
    """See `evalkit.coding.lanes.numerics_digest`; it is what must be the same, the rest explains it."""
    processor: str
    versions: str
    """Of the libraries that compute."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What is needed besides the sections to decompress, and what the result must be."""

    model: ModelFacts
    numerics: Numerics
    policy: str
    num_bytes: int
    sha256: str
    num_tokens: int
    num_lanes: int
    num_stored_bytes: int
    """Of those that no tokens stand for."""
    sections: tuple[int, ...]
    """Lengths of the spans, the stored bytes and the code, in the file."""


class Container(NamedTuple):
    """The content of a compressed file."""

    header: Header
    spans: tuple[Span, ...]
    stored: bytes
    words: bytes


def write_container(header: Header, spans: tuple[Span, ...], stored: bytes, words: bytes) -> bytes:
    """The file's bytes; the lengths of the sections in the header are set.

    Raises:
        CorpusError: the data go to and fro between text and other bytes more often than a reader takes.
    """
    if len(spans) > _MOST_SPANS:
        raise CorpusError(
            f"what is to be compressed has {len(spans):,} stretches of text between other bytes, more than "
            f"{_MOST_SPANS:,}; compress it in parts, or as no text with xz"
        )
    packed_spans = zlib.compress(b"".join(_varint(number) for span in spans for number in span), 9)
    packed_stored = _STORED_CODEC.encode(stored) if stored else b""
    packed_stored = min(packed_stored, stored, key=len)
    sections = (packed_spans, packed_stored, words)
    header = dataclasses.replace(header, sections=tuple(map(len, sections)))
    text = json.dumps(to_json(header), sort_keys=True, separators=(",", ":"))
    packed_header = zlib.compress(text.encode(), 9)
    content = b"".join((_MAGIC, struct.pack("<I", len(packed_header)), packed_header, *sections))
    return content + _digest(content)


def read_container(data: bytes, name: str) -> Container:
    """The content of a compressed file, every number of it checked against the others.

    Args:
        data: the file's bytes.
        name: the file's, for messages.

    Raises:
        CorpusError: it is no such file, of a newer version, cut, changed, or contradicts itself.
    """
    if data[: len(_MAGIC) - 1] != _MAGIC[:-1]:
        raise CorpusError(f"{name} is no file of `evalkit compress`: it does not begin as such a file does")
    if data[len(_MAGIC) - 1 : len(_MAGIC)] not in (b"", _MAGIC[-1:]):
        raise CorpusError(
            f"{name} is of version {data[len(_MAGIC) - 1]} of the format, and this evalkit reads version "
            f"{_MAGIC[-1]}; update evalkit, or the file was changed"
        )
    if len(data) < len(_MAGIC) + 4 + _DIGEST_BYTES or _digest(data[:-_DIGEST_BYTES]) != data[-_DIGEST_BYTES:]:
        raise CorpusError(f"{name} was cut or changed: its digest is another; fetch or copy it again")
    try:
        return _parsed(data)
    except (FieldError, ValueError, zlib.error, struct.error) as error:
        raise CorpusError(f"{name} contradicts itself ({error}); it was not made by evalkit") from error


def _parsed(data: bytes) -> Container:
    first = len(_MAGIC) + 4
    (length,) = struct.unpack("<I", data[len(_MAGIC) : first])
    content = _inflated(data[first : first + length], _MOST_HEADER_BYTES)
    header = from_json(Header, parse_json(content))
    _check(header, len(data) - first - length - _DIGEST_BYTES)
    ends = [first + length + sum(header.sections[:number]) for number in range(4)]
    packed_spans, packed_stored, words = (data[start:end] for start, end in itertools.pairwise(ends))
    # Of three varints of ten bytes at most; each but the first has tokens.
    numbers = list(_numbers(_inflated(packed_spans, 30 * min(header.num_tokens + 1, _MOST_SPANS))))
    if len(numbers) % 3:
        raise ValueError("a span is incomplete")
    spans = tuple(Span(*numbers[i : i + 3]) for i in range(0, len(numbers), 3))
    if len(spans) > _MOST_SPANS or not all(span.num_tokens for span in spans[1:]):
        raise ValueError("its spans are none that text has")
    stored = packed_stored
    if len(packed_stored) != header.num_stored_bytes:
        stored = _unpacked(packed_stored, header.num_stored_bytes)
    sums = [sum(parts) for parts in zip(*spans, strict=True)] if spans else [0, 0, 0]
    if sums[0] != header.num_tokens or sums[2] != len(stored) or sums[1] + sums[2] != header.num_bytes:
        raise ValueError("its spans are not those of its header")
    return Container(header, spans, stored, words)


def _check(header: Header, num_section_bytes: int) -> None:
    """Raises `ValueError` where a number cannot be."""
    counts = (header.num_bytes, header.num_tokens, header.num_stored_bytes, *header.sections)
    if len(header.sections) != 3 or min(counts) < 0 or sum(header.sections) != num_section_bytes:
        raise ValueError("its sections are not as long as its header says")
    most_tokens = _MOST_TOKENS_PER_WORD * (header.sections[2] // 4 + 1)
    most_tokens = min(most_tokens, _MOST_TOKENS_PER_BYTE * header.num_bytes)
    if header.num_tokens > most_tokens or header.sections[2] % 4:
        raise ValueError("its code is not as long as its header says")
    if header.num_stored_bytes > _MOST_STORED_PER_BYTE * header.sections[1]:
        raise ValueError("its stored bytes are not as many as its header says")
    if not 1 <= header.num_lanes <= _MOST_ROWS or not 1 <= header.numerics.num_threads <= MOST_THREADS:
        raise ValueError("its lanes or threads are none")
    if header.numerics.device not in ("cpu", "cuda"):
        raise ValueError(f"its device is {header.numerics.device!r}")
    if header.policy not in POLICIES or not POLICIES[header.policy].pays_for_all:
        raise ValueError(f"its policy is {header.policy!r}")
    if (
        max(map(len, (header.model.name, header.numerics.processor, header.numerics.versions)))
        > _LONGEST_NAME
    ):
        raise ValueError("its names are no names")
    if header.model.context_limit is not None and header.model.context_limit < 1:
        raise ValueError("its context has no room")


def _inflated(packed: bytes, most_bytes: int) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, most_bytes)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("a part of it does not end where it should")
    return content


def _unpacked(packed: bytes, num_bytes: int) -> bytes:
    import lzma

    try:
        content = _STORED_CODEC.decode(packed, num_bytes)
    except lzma.LZMAError as error:
        raise ValueError(f"stored bytes: {error}") from error
    if len(content) != num_bytes:
        raise ValueError("its stored bytes are not as many as its header says")
    return content


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_DIGEST_BYTES]


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(0x80 | number & 0x7F)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _numbers(data: bytes) -> Iterator[int]:
    number, shift = 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 70:
            raise ValueError("a number has no end")
        if byte < 0x80:
            yield number
            number, shift = 0, 0
    if shift:
        raise ValueError("a number is incomplete")
