"""Corpora that lack something are replaced until they are scored, and never published."""

import json
from pathlib import Path

import pytest

from evalkit.corpora.incomplete import incomplete_text, is_replaceable_corpus, lacks, reasons_text
from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.store import Corpus, load_corpus, make_corpus, make_document, save_corpus, verify_corpus
from evalkit.errors import CorpusError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.toys import run_cli


def corpus(num_documents: int, **incomplete: int) -> Corpus:
    documents = [
        make_document(f"The text of document {number}.", source="toy", published_at="2026-11-05")
        for number in range(num_documents)
    ]
    return make_corpus("sample", documents, incomplete=incomplete)


def test_an_incomplete_corpus_is_replaced_by_a_fuller_one_and_a_whole_one_by_none() -> None:
    folder = save_corpus(corpus(2, storm=3, outage=12))
    assert lacks("sample") == "12 outage; 3 storm" and is_replaceable_corpus("sample")
    assert json.loads((folder / "manifest.json").read_text())["incomplete"] == {"outage": 12, "storm": 3}
    save_corpus(corpus(4, storm=1))
    assert load_corpus("sample").manifest.num_documents == 4 and lacks("sample") == "1 storm"
    save_corpus(corpus(5))
    assert verify_corpus("sample") == []
    assert "incomplete" not in json.loads((folder / "manifest.json").read_text())
    assert len(list(folder.glob("*.parquet"))) == 1
    for other in (corpus(6), corpus(4, storm=1)):
        with pytest.raises(CorpusError, match="never overwritten"):
            save_corpus(other)
    assert load_corpus("sample").sha256 == corpus(5).sha256


def test_once_it_is_scored_it_stays_since_cells_name_it(tmp_path: Path) -> None:
    save_corpus(corpus(2, storm=3))
    run(["xz"], ["sample"], options=RunOptions(output=tmp_path / "cells", dry_run=True))
    assert is_replaceable_corpus("sample")  # nothing was scored
    result = run(["xz"], ["sample"], options=RunOptions(output=tmp_path / "cells"))
    assert len(result.cells) == 1 and not is_replaceable_corpus("sample")
    with pytest.raises(CorpusError, match="never overwritten"):
        save_corpus(corpus(5))
    assert verify_corpus("sample") == []


def test_it_says_so_wherever_it_is_shown_and_is_not_published(tmp_path: Path) -> None:
    save_corpus(corpus(2, storm=3))
    assert "2, incomplete" in run_cli("corpora", "list").stdout
    assert "storm: 3" in run_cli("corpora", "show", "sample").stdout
    done = run_cli("run", "--models", "xz", "--corpora", "sample", "--output", str(tmp_path / "cells"))
    assert done.exit_code == 0 and "sample is incomplete (3 storm)" in done.stderr
    with pytest.raises(CorpusError, match=r"sample is incomplete \(3 storm\)"):
        prepare_dataset(load_corpus("sample"), "owner/name", tmp_path / "published")
    assert incomplete_text(corpus(2).manifest) == ""


def test_what_many_hosts_did_not_give_is_one_line() -> None:
    counts = {f"host{number}.example: HTTP 503": number for number in range(1, 9)}
    text = reasons_text(counts)
    assert text.startswith("8 host8.example: HTTP 503; 7 host7.example") and text.endswith("; 3 more")
    assert text.count(";") == 6
