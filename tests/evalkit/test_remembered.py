import io
import json
from pathlib import Path

import pytest

from evalkit import remembered
from evalkit.cells import known, reading
from evalkit.corpora import folder
from evalkit.corpora.store import load_corpus, save_corpus
from evalkit.errors import CorpusError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.progress import LineReporter
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
    assert remembered.was_checked(remembered.CHECKED_CELLS, cell.sha256)
    assert not remembered.was_checked(remembered.CHECKED_CELLS, "0" * 64)
    parquet = cell.path.with_suffix(".parquet")
    parquet.write_bytes(parquet.read_bytes() + b" ")
    assert run([BigramModel()], [corpus_of(["a text", "another"])], options=options).num_scored == 1


def test_a_cell_is_known_by_the_stamps_of_its_files_and_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    read = []
    real_read = known.small_content
    monkeypatch.setattr(known, "small_content", lambda path: (read.append(path), real_read(path))[1])

    def is_read() -> bool:
        read.clear()
        reporter = LineReporter(said := io.StringIO())
        plan = RunOptions(output=tmp_path / "runs", dry_run=True, reporter=reporter)
        run([BigramModel()], [corpus_of(["a text", "another"])], options=plan)
        assert said.getvalue().startswith("1 of 1 cells done")
        return bool(read)

    output = RunOptions(output=tmp_path / "runs")
    [cell] = run([BigramModel()], [corpus_of(["a text", "another"])], options=output).cells
    assert is_read() and is_read()  # it is young: another write might leave its stamps as they are
    monkeypatch.setattr(known, "is_settled", lambda _: True)
    assert is_read() and not is_read()
    (cell.path.parent / "notes.txt").touch()
    assert is_read() and not is_read()


def test_a_stored_corpus_is_checked_once_and_again_where_anything_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "store"))
    checked = []
    real_check = folder._checked
    monkeypatch.setattr(
        folder, "_checked", lambda corpus, name: (checked.append(name), real_check(corpus, name))[1]
    )
    save_corpus(corpus_of(["a text", "another"], "texts"), tmp_path / "store")
    checked.clear()
    corpora = [load_corpus("texts") for _ in range(2)]
    assert corpora[0] == corpora[1]
    assert len(checked) <= 1  # storing may have read it before
    remembered._digests.cache_clear()
    load_corpus("texts")
    assert len(checked) <= 1
    manifest = tmp_path / "store" / "texts" / "manifest.json"
    content = json.loads(manifest.read_text()) | {"num_bytes": 7}
    del content["manifest_sha256"]
    content["manifest_sha256"] = folder._digest(content)
    manifest.write_text(json.dumps(content))
    with pytest.raises(CorpusError, match="num_bytes is 7, the documents give 13"):
        load_corpus("texts")
    [parquet] = (tmp_path / "store" / "texts").glob("*.parquet")
    parquet.write_bytes(parquet.read_bytes() + b" ")
    with pytest.raises(CorpusError, match="its SHA-256 is"):
        load_corpus("texts")
