"""One table of several kinds of documents becomes a corpus of each kind."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from evalkit.cli.main import app
from evalkit.corpora import importers
from evalkit.corpora.importers import read_documents_by
from evalkit.corpora.store import import_corpora, import_corpus, list_corpora, load_corpus, verify_corpus
from evalkit.errors import CorpusError, UsageError

ROWS = [
    {"content": "a = 1\n", "category": "github_python", "date": "2026-07-03T10:00:00Z"},
    {"content": "News", "category": "bbc_news", "date": "2026-07-15"},
    {"content": "b = 2\n", "category": "github_python", "date": "2026-07-29"},
    {"content": "a = 1\n", "category": "github_python", "date": "2026-07-30"},
    {"content": "a = 1\n", "category": "github_markdown", "date": "2026-07-01"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [",".join(f'"{value}"' for value in row.values()) for row in rows]
        path.write_bytes("\n".join([",".join(rows[0]), *lines]).encode())
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_each_value_is_a_corpus_dated_by_its_rows(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"mixed.{ending}", ROWS)
    corpora = import_corpora(path, "july", "category", license="LicenseRef-unstated", store=tmp_path)
    assert {
        corpus.name: (corpus.date_from, corpus.date_to, [document.text for document in corpus.documents])
        for corpus in corpora
    } == {
        "july-github_python": ("2026-07-03", "2026-07-29", ["a = 1\n", "b = 2\n"]),
        "july-bbc_news": ("2026-07-15", "2026-07-15", ["News"]),
        # A text of one kind is no repetition of another kind's.
        "july-github_markdown": ("2026-07-01", "2026-07-01", ["a = 1\n"]),
    }
    assert [corpus.manifest.num_dropped for corpus in corpora] == [{"exact duplicate": 1}, {}, {}]
    for corpus in corpora:
        assert verify_corpus(corpus.name, tmp_path) == []
        assert load_corpus(corpus.name, store=tmp_path).sha256 == corpus.sha256
        assert corpus.manifest.provenance["split_by"] == "category"
        assert corpus.name == f"july-{corpus.manifest.provenance['value']}"
        assert set(corpus.manifest.sources) == {corpus.manifest.provenance["value"]}
    # What a kind is, does not depend on the others: it has the digest of a file of its own.
    alone = write(tmp_path / f"alone.{ending}", [ROWS[0], ROWS[2]])
    imported = import_corpus(alone, "alone", license="LicenseRef-unstated", store=tmp_path)
    assert (imported.sha256, imported.manifest.records_sha256) == (
        corpora[0].sha256,
        corpora[0].manifest.records_sha256,
    )


def test_any_column_splits(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "topic": "C", "year": 2025, "is_code": True},
        {"text": "b", "topic": "C#", "year": 2026, "is_code": True},
        {"text": "c", "topic": "Größe / Maß", "year": 2026, "is_code": False},
    ]
    path = write(tmp_path / "mixed.parquet", rows)
    stated = {"source": "test", "license": "MIT", "date_from": "2026-01-01", "date_to": "2026-01-31"}
    names = {
        column: [corpus.name for corpus in import_corpora(path, "x", column, **stated, store=tmp_path)]
        for column in ("topic", "year", "is_code")
    }
    assert names == {
        "topic": ["x-C", "x-C-04022884", "x-Gr-e-Ma"],
        "year": ["x-2025", "x-2026"],
        "is_code": ["x-True", "x-False"],
    }
    assert load_corpus("x-2026", store=tmp_path).date_from == "2026-01-01"
    assert [document.text for document in load_corpus("x-2026", store=tmp_path).documents] == ["b", "c"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, {"content": "x", "category": None}], r"line 6: 'category' is empty; with --split-by every"),
        ([*ROWS, {"content": "x", "category": " "}], r"line 6: 'category' is empty"),
        ([*ROWS, {"content": "x", "kind": "a"}], r"line 6: no 'category' among content, kind; --split-by"),
        ([*ROWS, {"content": "x", "category": ["a"]}], r"line 6: 'category' is a list, not a text"),
        ([*ROWS, {"content": "x", "category": 0.5}], r"line 6: 'category' is a number, not a text"),
        (
            [*ROWS, {"content": "", "category": "x"}],
            r"category 'x': no documents in it \(left out: 1 empty\)",
        ),
        ([], r"mixed\.jsonl: no documents in it"),
    ],
)
def test_what_cannot_be_split_stores_nothing(tmp_path: Path, rows: list[Any], message: str) -> None:
    path = write(tmp_path / "mixed.jsonl", rows)
    with pytest.raises(CorpusError, match=message) as refusal:
        import_corpora(path, "x", "category", license="MIT", store=tmp_path)
    assert "\n" not in str(refusal.value)
    assert list_corpora(tmp_path) == ["python-stdlib"]


def test_inputs_without_columns_or_with_too_many_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UsageError, match="--split-by is for files with columns; this is plain text"):
        read_documents_by(tmp_path / "a.txt", "category")
    (tmp_path / "a.json").write_text('["a"]')
    with pytest.raises(CorpusError, match=r"item 1: no 'category' among text; --split-by"):
        read_documents_by(tmp_path / "a.json", "category")
    path = write(tmp_path / "mixed.jsonl", ROWS)
    monkeypatch.setattr(importers, "MAX_SPLIT_VALUES", 3)
    assert list(read_documents_by(path, "category")) == ["github_python", "bbc_news", "github_markdown"]
    with pytest.raises(UsageError, match=r"line 4: more than 3 values of 'date' so far"):
        read_documents_by(path, "date")
    with pytest.raises(UsageError, match=r"give --license \(for 4 of 4 documents\)$"):
        import_corpora(path, "x", "category", store=tmp_path)
    assert list_corpora(tmp_path) == ["python-stdlib"]


def test_the_command_tells_of_each_corpus(tmp_path: Path) -> None:
    path = write(tmp_path / "mixed.jsonl", ROWS)
    options = ["--name", "july", "--split-by", "category", "--license", "MIT", "--store", str(tmp_path)]
    outcome = CliRunner().invoke(app, ["corpora", "import", str(path), *options])
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.output.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "july-github_python",
        "left out",
        "july-bbc_news",
        "july-github_markdown",
    ]
    assert "2 documents, 12 bytes, 2026-07-03 to 2026-07-29" in lines[0]
    assert list_corpora(tmp_path)[1:] == ["july-bbc_news", "july-github_markdown", "july-github_python"]
