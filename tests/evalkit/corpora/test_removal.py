"""Corpora are removed whole, all of those named or none, and nothing outside of the store is touched."""

from pathlib import Path

import pytest

from evalkit.corpora.store import list_corpora, make_corpus, make_document, save_corpus
from tests.support.toys import Outcome, run_cli


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("autumn", "winter"):
        save_corpus(make_corpus(name, [make_document(f"of {name}", source="a test")]), tmp_path / "store")
    return tmp_path / "store"


def remove(store: Path, *arguments: str | Path) -> Outcome:
    return run_cli("corpora", "rm", *arguments, "--store", store)


def test_a_corpus_is_removed_with_yes_and_its_cells_are_told(store: Path, tmp_path: Path) -> None:
    for model, key in (("xz", "a"), ("zstd", "b"), ("zstd", "c")):
        cell = tmp_path / "cells" / "autumn" / model / f"{key}.json"
        cell.parent.mkdir(parents=True, exist_ok=True)
        cell.touch()
    (tmp_path / "cells" / "autumn" / "manifest.json").touch()  # of the corpus, and no cell
    options = ("--output", tmp_path / "cells")
    shown = remove(store, "autumn", "win*", *options)
    assert shown.exit_code == 2 and "nothing was removed; add --yes" in shown.stderr
    assert f"3 cells of {tmp_path / 'cells'} refer to it" in shown.stdout
    assert f"no cell of {tmp_path / 'cells'} refer" in shown.stdout
    assert list_corpora(store) == ["python-stdlib", "autumn", "winter"]
    for name in ("audit.json", "dropped.jsonl", "scored"):  # of an audit, a crawl, a run
        (store / "autumn" / name).touch()
    assert remove(store, "autumn", "autumn", "--yes", *options).exit_code == 0
    assert [path.name for path in store.iterdir()] == ["winter"]
    assert (tmp_path / "cells" / "autumn" / "zstd" / "c.json").exists()


def test_a_broken_corpus_can_be_removed(store: Path) -> None:
    (store / "winter" / "manifest.json").write_text("{")
    outcome = remove(store, "winter", "--yes")
    assert outcome.exit_code == 0 and "winter: broken" in outcome.stdout
    assert [path.name for path in store.iterdir()] == ["autumn"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("python-stdlib", "is built in"),
        ("wintr", "Did you mean winter"),
        ("../elsewhere", "unknown corpus"),
        ("winter/", "unknown corpus"),
        ("", "unknown corpus"),
        (".", "unknown corpus"),
        ("/etc", "unknown corpus"),
        ("linked", "is a link to"),
        ("foreign", "also holds thesis.txt"),
        ("linking", "also holds documents-0.parquet"),
    ],
)
def test_what_is_no_stored_corpus_is_refused_with_all_that_is_named_beside_it(
    store: Path, tmp_path: Path, name: str, message: str
) -> None:
    outside = save_corpus(make_corpus("elsewhere", [make_document("text", source="a test")]), tmp_path)
    (store / "linked").symlink_to(outside)
    for folder, file in (("foreign", "thesis.txt"), ("linking", "documents-0.parquet")):
        save_corpus(make_corpus(folder, [make_document("text", source="a test")]), store)
        (store / folder / file).symlink_to(outside / "manifest.json")
    outcome = remove(store, "autumn", name, "--yes")
    assert outcome.exit_code in (1, 2) and message in outcome.stderr
    assert (store / "autumn" / "manifest.json").exists() and (outside / "manifest.json").exists()
