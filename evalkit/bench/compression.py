"""`evalkit bench compress`: a model's code beside its score and beside other compressors, on the same bytes.

Scoring, encoding and decoding take turns, and the times are those of the processor: their ratios are the
result. What others have published is printed below with its source, and was measured elsewhere.
"""

import dataclasses
import functools
import statistics
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from evalkit.bench.hostile_bytes import hostile_bytes
from evalkit.coding.compression import compress_bytes, decompress_bytes, default_num_lanes
from evalkit.coding.container import read_container
from evalkit.coding.lanes import decode_lanes, encode_lanes
from evalkit.coding.proof import Decoded, decode_again
from evalkit.coding.rounds import Layout, segment_lengths
from evalkit.coding.spans import put_together, take_apart
from evalkit.corpora.document import Document
from evalkit.corpora.store import load_corpus, make_document
from evalkit.errors import CorpusError, ScoringError, UsageError
from evalkit.models.codecs import CODECS
from evalkit.models.lanes import lane_reader
from evalkit.models.loading import load_model
from evalkit.models.protocol import Model
from evalkit.scoring.documents import score_documents
from evalkit.scoring.policy import DEFAULT_POLICY

T = TypeVar("T")

_STRINGS_AT_ONCE = 128
_DOCUMENTS_AT_ONCE = 32
_STRINGS_PER_FILE = 100
_ENWIK8_BYTES, _ENWIK9_BYTES = 10**8, 10**9


@dataclasses.dataclass(frozen=True)
class CodecRow:
    """What a classical compressor made of the text."""

    name: str
    num_bytes: int
    bytes_per_s: float
    """Of encoding, by the processor's time."""


@dataclasses.dataclass(frozen=True)
class CompressionBench:
    """A model's code of a text; times are the processor's, a number per round."""

    model: str
    num_bytes: int
    num_tokens: int
    num_lanes: int
    num_threads: int
    file_bytes: int
    code_bytes: int
    whole_bits: float
    """What `evalkit run` reports for the text in one piece."""
    segment_bits: float
    """The same for the segments of the lanes, each as a document."""
    score_s: tuple[float, ...]
    """Of the segments, in batches of the engine's own."""
    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]
    codecs: tuple[CodecRow, ...]

    @property
    def encode_share(self) -> float:
        """Encoding speed over scoring speed, the median of the rounds."""
        return _share(self.score_s, self.encode_s)

    @property
    def decode_share(self) -> float:
        """Decoding speed over scoring speed, the median of the rounds."""
        return _share(self.score_s, self.decode_s)


class PublishedCode(NamedTuple):
    """What others say of a compressor."""

    name: str
    enwik8_bytes: int | None
    enwik9_bytes: int | None
    note: str
    source: str


def _share(score_s: tuple[float, ...], spent_s: tuple[float, ...]) -> float:
    return statistics.median(score / spent for score, spent in zip(score_s, spent_s, strict=True))


def bench_compression(
    model_name: str, corpus: str, *, num_bytes: int, num_lanes: int | None, num_rounds: int
) -> CompressionBench:
    """Time and size of a model's code of the first bytes of a corpus.

    Args:
        model_name: a catalog name or ``LOADER:TARGET``.
        corpus: name or path.
        num_bytes: of the text; all of the corpus where it has fewer.
        num_lanes: as `compress_bytes` takes them.
        num_rounds: how often to measure each.

    Raises:
        ScoringError: what was decoded is not what was encoded.
    """
    text = _text(corpus, num_bytes)
    data = text.encode()
    model = load_model(model_name)
    decoding = lane_reader(model).model
    ids = decoding.encode(text).ids
    num_lanes = num_lanes or default_num_lanes(len(ids))
    segments = _segments(model, text, num_lanes)
    score_s, encode_s, decode_s = [], [], []
    for _ in range(num_rounds):
        segment_scores, spent = _timed(lambda: score_documents(model, segments, DEFAULT_POLICY))
        score_s.append(spent)
        compressed, spent = _timed(lambda: compress_bytes(data, model, num_lanes=num_lanes))
        encode_s.append(spent)
        container = read_container(compressed.content, "the code")
        decoded, spent = _timed(functools.partial(decompress_bytes, container, model, "the code"))
        decode_s.append(spent)
        if decoded != data:
            raise ScoringError(f"{model_name}: its code gives other bytes than were encoded")
    [whole] = score_documents(model, [make_document(text, source="bench")], DEFAULT_POLICY)
    return CompressionBench(
        model=model.identity.name,
        num_bytes=len(data),
        num_tokens=compressed.num_tokens,
        num_lanes=compressed.num_lanes,
        num_threads=torch.get_num_threads(),
        file_bytes=len(compressed.content),
        code_bytes=compressed.num_code_bytes,
        whole_bits=whole.total_bits or 0.0,
        segment_bits=sum(score.total_bits or 0.0 for score in segment_scores),
        score_s=tuple(score_s),
        encode_s=tuple(encode_s),
        decode_s=tuple(decode_s),
        codecs=tuple(_codec_row(name, data) for name in CODECS),
    )


def try_hostile_bytes(
    model_name: str, count: int, *, skip: int = 0, tell: Callable[[int], None] | None = None
) -> int:
    """Code and decode so many hostile strings; how many tokens they have.

    Side by side, for one by one they would take hours; every hundredth is a file of its own as well.

    Args:
        model_name: a catalog name or ``LOADER:TARGET``.
        count: of all strings.
        skip: so many, the shortest, that came back before.
        tell: called with how many have come back, those that were skipped among them.

    Raises:
        ScoringError: one did not come back.
    """
    model = load_model(model_name)
    strings = sorted(hostile_bytes(count), key=len)
    num_tokens = 0
    for first in range(skip, count, _STRINGS_AT_ONCE):
        batch = strings[first : first + _STRINGS_AT_ONCE]
        num_tokens += _try_side_by_side(model, batch)
        for place in range(
            -(-first // _STRINGS_PER_FILE) * _STRINGS_PER_FILE, first + len(batch), _STRINGS_PER_FILE
        ):
            container = read_container(compress_bytes(strings[place], model).content, "a string")
            if decompress_bytes(container, model, "a string") != strings[place]:
                raise ScoringError(f"{model_name}: {strings[place]!r} came back as other bytes")
        if tell is not None:
            tell(first + len(batch))
    return num_tokens


def _try_side_by_side(model: Model, strings: Sequence[bytes]) -> int:
    """Code and decode strings in one code; how many tokens they have."""
    decoding = lane_reader(model).model
    parts = [take_apart(data, decoding) for data in strings]
    lengths = tuple(len(part.ids) for part in parts)
    layout = Layout(lengths, DEFAULT_POLICY, tuple(decoding.prefix), decoding.context_limit, _STRINGS_AT_ONCE)
    code = encode_lanes(lane_reader(model), layout, [part.ids for part in parts])
    lanes = decode_lanes(lane_reader(model), layout, code.words)
    for data, part, ids in zip(strings, parts, lanes, strict=True):
        if put_together(part._replace(ids=ids), decoding) != data:
            raise ScoringError(f"{model.identity.name}: {data!r} came back as other bytes")
    return sum(lengths)


def try_damage(model_name: str) -> int:
    """Flip every bit of a small file and cut it at every byte; how many such files were refused.

    Raises:
        ScoringError: one was not.
    """
    content = compress_bytes(b"All of it, or nothing of it.", load_model(model_name)).content
    damaged = [content[:length] for length in range(len(content))]
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        damaged.append(bytes(changed))
    for data in damaged:
        try:
            read_container(data, "the file")
        except CorpusError:
            continue
        raise ScoringError("a damaged file was read")
    return len(damaged)


def try_documents(
    model_name: str,
    corpus: str,
    count: int,
    *,
    skip: int = 0,
    tell: Callable[[int], None] | None = None,
) -> Decoded:
    """Code and decode the first documents of a corpus.

    Args:
        model_name: a catalog name or ``LOADER:TARGET``.
        corpus: name or path.
        count: of all documents.
        skip: so many that came back before.
        tell: called with how many have come back, those that were skipped among them.

    Raises:
        UsageError: the corpus has fewer.
        ScoringError: one did not come back.
    """
    documents = load_corpus(corpus).documents[:count]
    if len(documents) < count:
        raise UsageError(f"{corpus} has {len(documents)} documents, fewer than {count}; give fewer")
    model = load_model(model_name)
    total = Decoded(0, 0, 0, 0.0)
    for first in range(skip, count, _DOCUMENTS_AT_ONCE):
        decoded = decode_again(model, documents[first : first + _DOCUMENTS_AT_ONCE], DEFAULT_POLICY)
        total = Decoded(
            total.num_documents + decoded.num_documents,
            total.num_bytes + decoded.num_bytes,
            total.num_code_bytes + decoded.num_code_bytes,
            total.ideal_bits + decoded.ideal_bits,
        )
        if tell is not None:
            tell(min(first + _DOCUMENTS_AT_ONCE, count))
    return total


def published_codes() -> list[PublishedCode]:
    """What others have published, with sources."""
    table = tomllib.loads(Path(__file__).with_name("published_codes.toml").read_text(encoding="utf-8"))
    return [
        PublishedCode(
            row["name"], row.get("enwik8_bytes"), row.get("enwik9_bytes"), row["note"], row["source"]
        )
        for row in table["codes"]
    ]


def compression_lines(bench: CompressionBench) -> list[str]:
    """The measurement and what others have published, as lines of text."""
    lanes = "1 lane" if bench.num_lanes == 1 else f"{bench.num_lanes} lanes"
    threads = "1 thread" if bench.num_threads == 1 else f"{bench.num_threads} threads"
    speed = bench.num_bytes / statistics.median(bench.score_s)
    lines = [
        f"{bench.model}: {bench.num_bytes:,} bytes, {bench.num_tokens:,} tokens in {lanes}, {threads}",
        f"  score   {bench.whole_bits / bench.num_bytes:7.4f} bits per byte {speed:12,.0f} bytes/s",
        f"  file    {8 * bench.file_bytes / bench.num_bytes:7.4f} bits per byte, {bench.file_bytes:,} bytes, "
        f"of which code {bench.code_bytes:,}",
        f"  encode  {bench.encode_share:7.0%} of scoring speed {speed * bench.encode_share:10,.0f} bytes/s",
        f"  decode  {bench.decode_share:7.0%} of scoring speed {speed * bench.decode_share:10,.0f} bytes/s",
        f"  code beside the score of its {lanes}: {8 * bench.code_bytes / bench.segment_bits - 1:+.3%}; "
        f"the lanes beside one piece: {bench.segment_bits / bench.whole_bits - 1:+.2%}",
        "on the same text",
        *(
            f"  {row.name:7} {8 * row.num_bytes / bench.num_bytes:6.4f} bits per byte "
            f"{row.bytes_per_s:12,.0f} bytes/s"
            for row in bench.codecs
        ),
        "published, on other text and other machines: bits per byte of enwik8, enwik9",
    ]
    for code in published_codes():
        parts = [
            "     –" if size is None else f"{8 * size / total:6.4f}"
            for size, total in ((code.enwik8_bytes, _ENWIK8_BYTES), (code.enwik9_bytes, _ENWIK9_BYTES))
        ]
        note = f"; {code.note}" if code.note else ""
        lines.append(f"  {parts[0]} {parts[1]}  {code.name} ({code.source}{note})")
    return lines


def _text(corpus: str, num_bytes: int) -> str:
    text = "".join(document.text for document in load_corpus(corpus).documents)
    return text.encode()[:num_bytes].decode(errors="ignore")


def _segments(model: Model, text: str, num_lanes: int) -> list[Document]:
    """The lanes as documents; where a lane ends inside a character, the next begins with it."""
    encoding = lane_reader(model).model.encode(text)
    data = text.encode()
    ends = [0]
    for length in segment_lengths(len(encoding.ids), num_lanes):
        ends.append(ends[-1] + length)
    places = [0, *(int(encoding.ends[end - 1]) for end in ends[1:])]
    texts, first = [], 0
    for place in places[1:]:
        while place < len(data) and data[place] & 0xC0 == 0x80:
            place -= 1
        texts.append(data[first:place].decode())
        first = place
    return [make_document(segment, source="bench") for segment in texts if segment]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def _codec_row(name: str, data: bytes) -> CodecRow:
    code, spent = _timed(lambda: CODECS[name].encode(data))
    return CodecRow(name, len(code), len(data) / max(spent, 1e-9))
