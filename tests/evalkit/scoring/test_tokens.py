"""Tokens' bits on disk: what they cost is the same, and memory does not grow with the documents."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evalkit.cells.reading import read_corpus_cell
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.tokens import Tokens, TokenSpool
from tests.support.toys import TEXTS, BigramModel, corpus_of


def tokens(number: int, count: int = 10_000) -> Tokens:
    bits = np.random.default_rng(number).random(count).astype(np.float32)
    return Tokens(bits, np.arange(number, number + count, dtype=np.int64))


def test_tokens_take_no_memory_until_they_are_wanted() -> None:
    spool = TokenSpool()
    spool.keep(tokens(99))  # what numpy imports when it first draws is not meant
    tracemalloc.start()
    loads = [spool.keep(tokens(number)) for number in range(40)]  # 4.8 MB in all
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 200_000
    for number in (39, 0, 17):
        loaded, expected = loads[number](), tokens(number)
        np.testing.assert_array_equal(loaded.bits, expected.bits)
        np.testing.assert_array_equal(loaded.ends, expected.ends)
    empty = spool.keep(tokens(0, 0))()
    assert len(empty.bits) == len(empty.ends) == 0


def test_nothing_of_the_file_is_seen_in_its_folder(tmp_path: Path) -> None:
    spool = TokenSpool(tmp_path)
    spool.keep(tokens(1))
    assert list(tmp_path.iterdir()) == []


def test_rows_are_written_and_checked_some_after_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is held at once, the cell says the same; a document without tokens has none."""
    corpus = corpus_of([*TEXTS, *(f"{number} {text}" for number, text in enumerate(TEXTS))])
    [whole] = run([BigramModel()], [corpus], options=RunOptions(output=tmp_path / "1"), token_bits=True).cells
    monkeypatch.setattr("evalkit.cells.rows._TOKENS_AT_ONCE", 20)
    monkeypatch.setattr("evalkit.corpora.parquet._BATCH_ROWS", 3)
    [cut] = run([BigramModel()], [corpus], options=RunOptions(output=tmp_path / "2"), token_bits=True).cells
    files = [pq.ParquetFile(cell.path.with_suffix(".parquet")) for cell in (whole, cut)]
    assert files[0].num_row_groups == 1 and files[1].num_row_groups > 2
    assert files[0].read().equals(files[1].read())
    assert read_corpus_cell(cut.path).rows() == whole.rows()
