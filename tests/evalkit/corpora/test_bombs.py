"""Small files that unpack to much: refused with their name, in memory that stays small."""

import bz2
import gzip
import lzma
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from evalkit.corpora import file_kinds, parquet
from evalkit.corpora.file_kinds import read_content
from evalkit.corpora.folder import read_folder
from evalkit.corpora.importers import read_documents
from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.published import read_dataset
from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.errors import CorpusError

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a bomb of a few megabytes does."""
    monkeypatch.setattr(file_kinds, "_SMALL_BYTES", 2**20)
    monkeypatch.setattr(parquet, "_SMALL_BYTES", 2**20)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("suffix", COMPRESSORS)
@pytest.mark.parametrize("num_parts", [1, 5])
def test_compressed_data_that_unpack_to_much(
    tmp_path: Path, small_bounds: None, suffix: str, num_parts: int
) -> None:
    path = tmp_path / f"bomb.txt{suffix}"
    part = COMPRESSORS[suffix](b"0" * (20 * 2**20 // num_parts))
    path.write_bytes(part * num_parts)
    with pytest.raises(CorpusError, match=rf"bomb\.txt\{suffix}: its [\d,]+ bytes unpack to more than"):
        read_documents(path)


def test_a_bomb_of_gigabytes_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.txt.zst"
    megabyte = zstandard.compress(b"0" * 2**20)
    path.write_bytes(megabyte * 4096)
    before = peak_bytes()
    with pytest.raises(CorpusError, match=r"unpack to more than 268,435,456"):
        read_documents(path)
    assert peak_bytes() - before < 800 * 2**20


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_all_parts_of_compressed_data_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text.txt{suffix}"
    texts = [bytes([97 + number]) * (number * 5000) for number in range(5)]
    path.write_bytes(b"".join(map(COMPRESSORS[suffix], texts)))
    assert read_content(path).data == b"".join(texts)


def test_a_file_with_a_hole_larger_than_memory(tmp_path: Path) -> None:
    path = tmp_path / "hole.txt"
    with path.open("wb") as file:
        file.truncate(2**43)
    with pytest.raises(CorpusError, match=r"hole\.txt: 8,796,093,022,208 bytes, more than .*memory"):
        read_documents(path)


def repeated(path: Path, text: str, num_rows: int) -> Path:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * num_rows, pa.int32()), pa.array([text]))
    pq.write_table(pa.table({"text": column}), path, store_schema=False)
    return path


def test_millions_of_rows_in_kilobytes(tmp_path: Path) -> None:
    path = repeated(tmp_path / "rows.parquet", "the same text", 600_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(CorpusError, match=r"rows\.parquet: .*it has 600,000 rows in [\d,]+ bytes"):
        read_documents(path)


def test_a_long_text_in_many_rows(tmp_path: Path) -> None:
    path = repeated(tmp_path / "text.parquet", "0123456789" * 10**6, 90_000)
    before = peak_bytes()
    with pytest.raises(CorpusError, match=r"text\.parquet: .*its rows hold more than [\d,]+ bytes"):
        read_documents(path)
    assert peak_bytes() - before < 500 * 2**20


def test_pages_that_unpack_to_much(tmp_path: Path, small_bounds: None) -> None:
    path = tmp_path / "pages.parquet"
    table = pa.table({"text": ["0" * (10 * 2**20), "1" * (10 * 2**20)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    with pytest.raises(CorpusError, match=r"pages\.parquet: .*bytes unpack to"):
        read_documents(path)


def varint(number: int) -> bytes:
    """As Thrift writes it: seven bits a byte, the lowest first."""
    bits = []
    while number:
        bits.append(number & 127)
        number >>= 7
    return bytes([*(byte | 128 for byte in bits[:-1]), *bits[-1:]])


def test_a_page_that_says_more_than_the_table_of_contents(tmp_path: Path) -> None:
    path = tmp_path / "lies.parquet"
    pq.write_table(pa.table({"text": ["a text " * 1000]}), path, use_dictionary=False, compression="zstd")
    data = path.read_bytes()
    [size] = [
        number
        for number in range(7000, 7100)
        if data.startswith(b"\x15\x00\x15" + varint(2 * number) + b"\x15", 4)
    ]
    honest = varint(2 * size)
    path.write_bytes(data[:7] + varint(2 * (2**31 - 1)) + data[7 + len(honest) :])
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).total_uncompressed_size < 8000
    with pytest.raises(CorpusError, match=r"lies\.parquet: .*bytes unpack to 2,147,483,647: it was made to"):
        read_documents(path)


BOMBS: dict[str, tuple[Callable[[], pa.Table], dict[str, Any], str]] = {
    "a row of many numbers": (
        lambda: pa.table({"text": ["a"], "n": [[7] * 200_000]}),
        {},
        r"its [\d,]+ bytes hold values that take 2,400,012",
    ),
    "long values of one length": (
        lambda: pa.table({"n": pa.array([bytes(2**16)] * 100, pa.binary(2**16))}),
        {"compression": "zstd"},
        r"its [\d,]+ bytes hold values that take 6,553,600",
    ),
    "a long text in a list": (
        lambda: pa.table({"n": [["long text " * 1000] * 500]}),
        {"compression": "zstd"},
        r"its rows hold more than 1,048,576 bytes",
    ),
    "a long text in a list in a struct": (
        lambda: pa.table({"n": [{"a": {"b": ["long text " * 1000] * 500}}]}),
        {"compression": "zstd"},
        r"its rows hold more than 1,048,576 bytes",
    ),
    "texts that go on": (
        lambda: pa.table({"n": ["long text " * 1000] * 500}),
        {"compression": "zstd", "use_dictionary": False, "column_encoding": {"n": "DELTA_BYTE_ARRAY"}},
        r"its rows hold more than 1,048,576 bytes",
    ),
    "texts that go on in a list": (
        lambda: pa.table({"n": [["long text " * 1000] * 500]}),
        {
            "compression": "zstd",
            "use_dictionary": False,
            "column_encoding": {"n.list.element": "DELTA_BYTE_ARRAY"},
        },
        r"its rows hold more than 1,048,576 bytes",
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_small_file_of_large_values(tmp_path: Path, small_bounds: None, kind: str, as_bytes: bool) -> None:
    make, settings, told = BOMBS[kind]
    path = tmp_path / "bomb.parquet"
    pq.write_table(make(), path, **settings)
    assert path.stat().st_size < 5000
    source = path.read_bytes() if as_bytes else path
    with pytest.raises(ValueError, match=told):
        parquet.read_table(source)
    with pytest.raises(ValueError, match=told):
        parquet.check_rows(source)
    with pytest.raises(ValueError, match=told):
        list(parquet.bounded_batches(source))


def table_of_all_kinds() -> pa.Table:
    texts = [f"text {number} " * (number % 70) for number in range(3000)]
    return pa.table(
        {
            "text": texts,
            "large": pa.array(texts, pa.large_string()),
            "bytes": pa.array([text.encode() for text in texts], pa.binary()),
            "category": pa.array(["a", None, "b"] * 1000).dictionary_encode(),
            "a.b": [None, "x" * 900, "y"] * 1000,
            "tags": [["a", text] for text in texts],
            "pairs": pa.array([[("k", text)] for text in texts], pa.map_(pa.string(), pa.string())),
            "inner": [{"text": text, "n": [{"m": text}]} for text in texts],
            "bits": [[0.5] * (number % 9) for number in range(3000)],
        }
    )


@pytest.mark.parametrize("bounds", ["wide", "narrow"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_tables_of_all_kinds_are_read_as_pyarrow_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounds: str, version: str, compression: str
) -> None:
    # If narrow, all is counted, in a child what is nested.
    monkeypatch.setattr(parquet, "_SMALL_BYTES", {"wide": 2**40, "narrow": 2**24}[bounds])
    monkeypatch.setattr(parquet, "_MOST_GROWTH", 1)
    path = tmp_path / "table.parquet"
    settings = {"compression": compression, "data_page_version": version, "data_page_size": 2**14}
    pq.write_table(table_of_all_kinds(), path, row_group_size=1700, **settings)
    counted = {"wide": False, "narrow": True}[bounds]
    assert (parquet._checked_bounds(path).num_flat_bytes > parquet._most_bytes(path)) == counted
    expected = pq.ParquetFile(path).read()
    assert parquet.read_table(path).equals(expected)
    assert parquet.read_table(path.read_bytes(), ["tags", "a.b"]).equals(expected.select(["a.b", "tags"]))
    assert pa.Table.from_batches(parquet.bounded_batches(path)).equals(expected)
    parquet.check_rows(path)


def test_published_and_stored_tables_of_too_many_rows(tmp_path: Path) -> None:
    document = make_document("a text", source="test", license="CC0-1.0", url="https://example.org")
    corpus = make_corpus("texts", [document])
    prepare_dataset(corpus, "me/texts", tmp_path / "data set")
    save_corpus(corpus, tmp_path / "store")
    [published] = tmp_path.glob("data set/data/*.parquet")
    [stored] = tmp_path.glob("store/texts/documents-*.parquet")
    for path in (published, stored):
        repeated(path, "a text", 300_000)
        assert path.stat().st_size < 100_000
    with pytest.raises(CorpusError, match=r"it is damaged: it has 300,000 rows in"):
        read_dataset(tmp_path / "data set")
    corpus_read, problems = read_folder(stored.parent)
    assert corpus_read is None
    assert "it has 300,000 rows in" in problems[-1]


def test_ordinary_tables_are_read_as_they_are(tmp_path: Path) -> None:
    texts = [f"text {number} " * number for number in range(3000)] + ["twice", "twice"]
    table = pa.table({"text": texts, "n": range(len(texts)), "tags": [["a", "b"]] * len(texts)})
    path = tmp_path / "ordinary.parquet"
    for store_schema in (True, False):
        pq.write_table(table, path, row_group_size=700, store_schema=store_schema)
        read = pa.Table.from_batches(parquet.bounded_batches(path))
        assert read.to_pylist() == table.to_pylist()
        assert parquet_texts(path) == texts


def parquet_texts(path: Path) -> list[str]:
    batches = parquet.bounded_batches(path.read_bytes(), ["text"])
    return [row["text"] for batch in batches for row in batch.to_pylist()]
