"""Files of the first schema, where `num_bytes` was the column `n_bytes`: stored corpora and datasets.

``tests/data/corpus-schema-1`` was written by the evalkit of that schema: a stored corpus of three texts, and
the dataset that was published of it, where the license of the second allows nobody to publish it.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evalkit.corpora.document import Corpus, make_corpus, make_document
from evalkit.corpora.importers import read_documents
from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.published import read_dataset
from evalkit.corpora.store import load_corpus, read_manifest, save_corpus, verify_corpus
from evalkit_crawlers.crawling.rebuild import rebuild_dataset
from tests.conftest import DATA

OLD = DATA / "corpus-schema-1"
DATASET = OLD / "dataset"


RECORDS_SHA256 = "3201bbd06b3481aca88dabfe53f55ef83357192a293165b3ca81f216863fbad0"


def old_corpus() -> Corpus:
    """The same corpus, made anew."""
    documents = [
        make_document(
            f"An old text, number {number}. é\r\n",
            source="news",
            id=f"d{number}",
            url=f"https://news.example/{number}",
            published_at=f"2026-10-0{number + 1}",
            fetched_at="2026-10-20T00:00:00Z",
            title=f"Title {number}",
            license=license,
            language="en",
            extractor="trafilatura 2.3.1",
            source_version="v1",
        )
        for number, license in enumerate(("CC-BY-4.0", "CC-BY-NC-4.0", "CC0-1.0"))
    ]
    return make_corpus(
        "old",
        documents,
        description="written by schema version 1",
        date_from="2026-10-01",
        date_to="2026-10-15",
        provenance={"program": "evalkit 0.1.0", "input": "three texts"},
        num_dropped={"empty": 1},
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    shutil.copytree(OLD / "old", tmp_path / "store" / "old")
    return tmp_path / "store"


def columns(path: Path) -> set[str]:
    return set(pq.read_schema(path).names)


def test_the_files_are_of_the_first_schema() -> None:
    [table] = (OLD / "old").glob("*.parquet")
    for path in (table, *DATASET.rglob("*.parquet")):
        assert "n_bytes" in columns(path)
        assert "num_bytes" not in columns(path)
    for manifest in (OLD / "old" / "manifest.json", DATASET / "corpus.json"):
        assert json.loads(manifest.read_bytes())["schema_version"] == 1


def test_an_old_corpus_is_the_same_corpus(store: Path) -> None:
    corpus = load_corpus("old", store=store)
    assert corpus.documents == old_corpus().documents
    assert corpus.sha256 == "8cdc834139212bdc3737a81a2476ea228fc648f9a61a63683fac1b0dcfe6c53f"
    assert verify_corpus("old", store) == []
    assert read_manifest("old", store) == dataclasses.replace(corpus.manifest, records_sha256=None)
    # As before there was a `story_id`: cells of before state it.
    assert corpus.manifest.records_sha256 == old_corpus().manifest.records_sha256
    assert corpus.manifest.records_sha256 == RECORDS_SHA256
    before = (store / "old" / "manifest.json").read_bytes()
    save_corpus(old_corpus(), store)  # nothing to do
    assert (store / "old" / "manifest.json").read_bytes() == before


def test_an_old_corpus_is_saved_and_published_with_the_new_names(store: Path, tmp_path: Path) -> None:
    corpus = load_corpus("old", store=store)
    folder = save_corpus(corpus, tmp_path / "new")
    assert load_corpus("old", store=tmp_path / "new").documents == corpus.documents
    assert verify_corpus("old", tmp_path / "new") == []
    dataset = prepare_dataset(corpus, "me/old", tmp_path / "dataset").folder
    for path in (*folder.glob("*.parquet"), *dataset.rglob("*.parquet")):
        assert columns(path) >= {"num_bytes", "story_id"}
        assert "n_bytes" not in columns(path)
    assert read_dataset(dataset) == read_dataset(DATASET)


def test_an_old_table_keeps_its_ids_when_it_is_imported() -> None:
    [table] = (OLD / "old").glob("*.parquet")
    assert tuple(read_documents(table).documents) == old_corpus().documents


def test_an_old_dataset_is_read_and_rebuilt(tmp_path: Path) -> None:
    documents = old_corpus().documents
    dataset = read_dataset(DATASET)
    assert dataset.documents == {0: documents[0], 2: documents[2]}
    assert dataset.withheld[1].num_bytes == documents[1].num_bytes
    outcome = rebuild_dataset(
        str(DATASET),
        contact="me@example.org",
        store=tmp_path / "store",
        partial=True,
        offline=True,
        tell=lambda line: None,
    )
    assert outcome.corpus is not None
    rebuilt = load_corpus(outcome.corpus.name, store=tmp_path / "store")
    assert rebuilt.documents == (documents[0], documents[2])
    assert len(outcome.missing) == 1
