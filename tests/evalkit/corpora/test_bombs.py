"""Small files that unpack to much: refused with their name, in memory that stays small."""

import bz2
import gzip
import lzma
import resource
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from evalkit.corpora import file_kinds, parquet
from evalkit.corpora.file_kinds import read_content
from evalkit.corpora.folder import read_folder
from evalkit.corpora.importers import read_documents
from evalkit.corpora.publish import prepare_dataset, read_dataset
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
