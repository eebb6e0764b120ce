"""A cell that lost the bits of its tokens is the one that a run without them would have made."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import evalkit
from evalkit.cells.columns import read_columns
from evalkit.cells.pruning import prune_token_bits
from evalkit.cells.reading import read_cell
from evalkit.cells.schema import CorpusCell
from evalkit.errors import ScoringError
from evalkit.runner.options import RunOptions
from tests.support.toys import BigramModel, corpus_of

TEXTS = [f"text {number} of a corpus " * 30 for number in range(4)]


def score(output: Path, *, token_bits: bool) -> CorpusCell:
    corpus = corpus_of(TEXTS, date="2026-11-01")
    [cell] = evalkit.run(
        [BigramModel()], [corpus], token_bits=token_bits, options=RunOptions(output=output)
    ).cells
    return cell


def folder_size(folder: Path) -> int:
    """Bytes of the cells' files."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".json", ".parquet"))


def test_the_numbers_stay_and_nothing_is_scored_again(tmp_path: Path) -> None:
    whole = score(tmp_path / "whole", token_bits=True)
    bare = score(tmp_path / "bare", token_bits=False)
    columns = read_columns(whole)
    size = folder_size(whole.path.parent)
    freed = prune_token_bits(whole.path, "2026-12-01")
    [path] = (tmp_path / "whole").rglob("*.json")
    pruned = read_cell(path)
    assert path.name == bare.path.name != whole.path.name and isinstance(pruned, CorpusCell)
    assert freed == size - folder_size(path.parent)
    assert freed > 0 and "token_bits" not in pq.read_schema(path.with_suffix(".parquet")).names
    assert (pruned.totals, pruned.metrics, pruned.created) == (whole.totals, whole.metrics, whole.created)
    assert (pruned.documents.token_bits, pruned.documents.token_bits_removed) == (False, "2026-12-01")
    assert np.array_equal(read_columns(pruned).total_bits, columns.total_bits)
    assert prune_token_bits(path, "2026-12-02") == 0
    model = BigramModel()
    options = RunOptions(output=tmp_path / "whole")
    result = evalkit.run([model], [corpus_of(TEXTS, date="2026-11-01")], options=options)
    assert (result.num_scored, model.num_calls) == (0, 0)


def test_tokens_are_written_in_little_room(tmp_path: Path) -> None:
    """In half of what pyarrow's own choice takes: differences of ends, bytes of bits apart."""
    metadata = pq.read_metadata(score(tmp_path, token_bits=True).path.with_suffix(".parquet"))
    columns = [metadata.row_group(0).column(number) for number in range(metadata.num_columns)]
    encodings = {column.path_in_schema: column.encodings for column in columns}
    assert "BYTE_STREAM_SPLIT" in encodings["token_bits.list.element"]
    assert "DELTA_BINARY_PACKED" in encodings["token_ends.list.element"]


def test_where_the_same_cell_is_there_without_them_that_one_stays(tmp_path: Path) -> None:
    bare = score(tmp_path, token_bits=False)
    whole = score(tmp_path, token_bits=True)
    content = bare.path.read_bytes()
    assert prune_token_bits(whole.path, "2026-12-01") > 0
    assert [path.name for path in tmp_path.rglob("*.json")] == [bare.path.name]
    assert bare.path.read_bytes() == content


def test_what_is_damaged_or_under_another_key_stays_as_it_is(tmp_path: Path) -> None:
    whole = score(tmp_path, token_bits=True)
    elsewhere = whole.path.with_stem("0" * 24)
    for path in (whole.path, whole.path.with_suffix(".parquet")):
        elsewhere.with_suffix(path.suffix).write_bytes(path.read_bytes())
    with pytest.raises(ScoringError, match="another key than what it says"):
        prune_token_bits(elsewhere, "2026-12-01")
    parquet = whole.path.with_suffix(".parquet")
    parquet.write_bytes(parquet.read_bytes()[:-1])
    with pytest.raises(ScoringError, match=r"does not fit .*; its token bits stay"):
        prune_token_bits(whole.path, "2026-12-01")
    assert len(list(whole.path.parent.glob("*.json"))) == 2 and parquet.is_file()
