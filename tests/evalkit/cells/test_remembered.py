from pathlib import Path

import pytest

from evalkit.cells import reading, remembered
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.toys import BigramModel, corpus_of


def test_rows_are_checked_once_and_again_where_anything_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    checked = []
    real_check = reading.check_cell
    monkeypatch.setattr(reading, "check_cell", lambda cell: (checked.append(cell), real_check(cell))[1])
    options = RunOptions(output=tmp_path / "runs")
    [cell] = run([BigramModel()], [corpus_of(["a text", "another"])], options=options).cells
    remembered._digests.cache_clear()
    num_checked = []
    for _ in range(3):
        run([BigramModel()], [corpus_of(["a text", "another"])], options=options)
        num_checked.append(len(checked))
        remembered._digests.cache_clear()  # as another process would find it
    assert num_checked[0] == num_checked[2]
    assert remembered.was_checked(cell.sha256)
    assert not remembered.was_checked("0" * 64)
    parquet = cell.path.with_suffix(".parquet")
    parquet.write_bytes(parquet.read_bytes() + b" ")
    assert run([BigramModel()], [corpus_of(["a text", "another"])], options=options).num_scored == 1
