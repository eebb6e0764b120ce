"""Files whose digest is right and whose content is not: somebody may have made them so."""

import dataclasses
import hashlib
import lzma
import struct
import tracemalloc
import zlib
from typing import Any

import pytest

from evalkit.coding import container
from evalkit.coding.compression import compress_bytes, decompress_bytes
from evalkit.coding.container import Container, read_container, write_container
from evalkit.coding.spans import Span
from evalkit.errors import CorpusError
from tests.faults.coded_files import ByteBigram

DATA = b"A text that has tokens, and bytes that have none.\xff\xfe\xfd\xfc"
NUM_TOKENS = len(DATA) - 4
ZEROS = lzma.compress(
    bytes(1 << 24), format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]
)


@pytest.fixture(scope="module")
def right() -> Container:
    return read_container(compress_bytes(DATA, ByteBigram()).content, "x.ek")


def forged(
    right: Container,
    *,
    spans: bytes | None = None,
    stored: bytes | None = None,
    words: bytes | None = None,
    **changes: Any,
) -> bytes:
    """The file with other fields in its header, or another section, and a digest that is right again."""
    header = dataclasses.replace(
        right.header,
        model=dataclasses.replace(right.header.model, **changes.pop("model", {})),
        numerics=dataclasses.replace(right.header.numerics, **changes.pop("numerics", {})),
    )
    numbers = bytes(number for span in right.spans for number in span)
    sections = (spans or zlib.compress(numbers), stored or right.stored, words or right.words)
    changes = {"sections": tuple(map(len, sections)), **changes}
    text = container.json.dumps(container.to_json(dataclasses.replace(header, **changes)))
    packed = zlib.compress(text.encode())
    content = b"".join((right_magic(), struct.pack("<I", len(packed)), packed, *sections))
    return content + hashlib.sha256(content).digest()[:16]


def right_magic() -> bytes:
    return b"\x8aekit\r\n\x01"


def test_what_is_forged_with_the_right_numbers_is_read(right: Container) -> None:
    assert read_container(forged(right), "x.ek").spans == right.spans == (Span(NUM_TOKENS, NUM_TOKENS, 4),)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_bytes": 10**18}, "its spans are not those of its header"),
        ({"num_bytes": 10**18, "num_tokens": 10**18}, "its code is not as long"),
        ({"num_tokens": -1}, "not as long as its header says"),
        ({"num_stored_bytes": 10**12, "num_bytes": 10**13}, "stored bytes are not as many"),
        ({"num_lanes": 4097}, "lanes or threads"),
        ({"numerics": {"num_threads": 65}}, "lanes or threads"),
        ({"numerics": {"device": "meta"}}, "its device is 'meta'"),
        ({"policy": "none"}, "its policy is 'none'"),
        ({"policy": "uncheatable"}, "its policy is 'uncheatable'"),
        ({"numerics": {"processor": "x" * 5000}}, "its names are no names"),
        ({"model": {"context_limit": -5}}, "its context has no room"),
        ({"sections": (-1, 10**9, 4)}, "its sections"),
        # A few kB that unpack to more than their numbers allow.
        ({"num_bytes": 10**18, "spans": zlib.compress(b"\1" * (1 << 24))}, "does not end where it should"),
        ({"num_bytes": NUM_TOKENS + 9, "num_stored_bytes": 9, "stored": ZEROS}, "stored bytes"),
        ({"spans": zlib.compress(bytes(600))}, "its spans are none that text has"),
        ({"spans": zlib.compress(b"\1\1")}, "a span is incomplete"),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_they_take_memory(
    right: Container, changes: dict[str, Any], reason: str
) -> None:
    data = forged(right, **changes)
    tracemalloc.start()
    try:
        with pytest.raises(CorpusError, match=rf"^x\.ek contradicts itself \(.*{reason}"):
            read_container(data, "x.ek")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_what_takes_more_than_memory_is_refused_before_it_is_made(right: Container) -> None:
    """A MB of code may stand for terabytes of tokens that cost next to nothing."""
    num_tokens = 2 * 10**12
    spans = zlib.compress(b"".join(map(container._varint, (num_tokens, num_tokens, 4))))
    words = bytes(1 << 20)
    data = forged(right, spans=spans, words=words, num_tokens=num_tokens, num_bytes=num_tokens + 4)
    with pytest.raises(CorpusError, match=r"^x\.ek says that it holds 2,000,000,000,000 tokens"):
        decompress_bytes(read_container(data, "x.ek"), ByteBigram(), "x.ek")


def test_what_no_reader_takes_is_not_written(right: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_MOST_SPANS", 1)
    with pytest.raises(CorpusError, match="2 stretches of text between other bytes, more than 1;"):
        write_container(right.header, (Span(1, 40, 1), Span(1, 40, 1)), b"\xff\xff", b"")
