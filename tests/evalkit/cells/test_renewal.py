"""The same texts of which something else is said: bits stay, what is made of them is made anew."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evalkit.analysis.current import with_current_records
from evalkit.analysis.results import read_results
from evalkit.cells.files import content_sha256
from evalkit.cells.renewal import corpus_facts
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.store import Corpus, make_corpus, make_document, save_corpus
from evalkit.files import strict_json
from evalkit.report import SiteOptions, build_site
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.stores import Counted

MODEL = Counted("pairs", "bits and bytes of text", 2)
TEXTS = [f"{'bits of ' * (1 + number % 5)}text {number * 37 % 11}" for number in range(24)]


def corpus(**changes: Any) -> Corpus:
    fields: dict[str, Any] = {
        "source": "wiki",
        "license": "CC-BY-4.0",
        "published_at": "2026-10-03",
        "language": "en",
    }
    num_clusters = changes.pop("num_clusters", 12)
    window = {name: changes.pop(name) for name in ("date_from", "date_to") if name in changes}
    documents = [
        make_document(text, title=f"Title {number}", cluster=f"site {number % num_clusters}", **fields)
        for number, text in enumerate(TEXTS)
    ]
    documents = [dataclasses.replace(document, **changes) for document in documents]
    return make_corpus("texts", documents, **window)


def score(texts: Corpus, output: Path, **options: Any) -> tuple[CorpusCell, int]:
    result = run([MODEL], [texts], options=RunOptions(output=output, **options), token_bits=True)
    assert not result.failures
    return result.cells[0], result.num_scored


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OTHERS: dict[str, dict[str, Any]] = {
    "clusters": {"num_clusters": 6},
    "no clusters": {"cluster": None},
    "license": {"license": "LicenseRef-proprietary"},
    "date": {"published_at": "2024-01-02"},
    "title": {"title": "Another"},
    "language": {"language": "de"},
    "source": {"source": "news"},
    "url": {"url": "https://example.org/a"},
    "extractor": {"extractor": "another 2.0"},
    "version": {"source_version": "v2"},
    "story": {"story_id": "https://example.org/a-story"},
    "time": {"fetched_at": "2026-11-01T00:00:00Z"},
    "window": {"date_from": "2026-10-01", "date_to": "2026-10-15"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_cell_is_made_anew_of_the_same_bits(tmp_path: Path, name: str) -> None:
    before, num_scored = score(corpus(), tmp_path / "runs")
    old_files = files(tmp_path / "runs")
    assert num_scored == 1 and len(old_files) == 2
    other = corpus(**OTHERS[name])
    renewed, num_scored = score(other, tmp_path / "runs")
    fresh, _ = score(other, tmp_path / "fresh")
    assert num_scored == 0
    assert renewed.corpus == fresh.corpus and renewed.totals == before.totals == fresh.totals
    speeds = {"tokens_per_s": 0.0, "bytes_per_s": 0.0}
    assert dataclasses.replace(renewed.metrics, **speeds) == dataclasses.replace(fresh.metrics, **speeds)
    assert (renewed.metrics.interval == before.metrics.interval) == ("cluster" not in name)
    assert renewed.rows() == fresh.rows()
    columns = ["token_bits", "token_ends"]
    for cell in (before, fresh):
        assert pq.read_table(renewed.path.with_suffix(".parquet"), columns=columns).equals(
            pq.read_table(cell.path.with_suffix(".parquet"), columns=columns)
        )
    # Nothing is overwritten, the key stays, and the next run finds it.
    new_files = files(tmp_path / "runs")
    assert new_files.items() > old_files.items() and len(new_files) == 4
    assert renewed.path.stem.startswith(f"{before.path.stem}-") and fresh.path.stem == before.path.stem
    assert score(other, tmp_path / "runs") == (renewed, 0)
    assert files(tmp_path / "runs") == new_files


def test_of_what_was_said_last_everything_is_shown(tmp_path: Path) -> None:
    first, second = corpus(), corpus(num_clusters=6, license="LicenseRef-proprietary")
    cells = [score(texts, tmp_path / "runs")[0] for texts in (first, second, first)]
    assert cells[0].corpus == cells[2].corpus != cells[1].corpus
    assert [cell.created for cell in cells] == sorted({cell.created for cell in cells})
    for texts in (first, second):
        cell, _ = score(texts, tmp_path / "runs")
        results = read_results(tmp_path / "runs", warn=pytest.fail)
        assert results.cells == (cell,) and results.corpora[0].facts == cell.corpus
        assert results.corpora[0].cells == {0: cell}


def test_a_clock_that_was_set_back_makes_no_old_cell_of_a_new_one(tmp_path: Path) -> None:
    cell, _ = score(corpus(), tmp_path / "runs")
    content = json.loads(cell.path.read_text())
    content["created"] = (dt.datetime.now(dt.UTC) + dt.timedelta(days=400)).isoformat(timespec="seconds")
    cell.path.write_text(strict_json({**content, "sha256": content_sha256(content)}))
    renewed, _ = score(corpus(num_clusters=6), tmp_path / "runs")
    assert renewed.created > content["created"] and renewed.metrics.num_clusters == 6
    assert score(corpus(num_clusters=6), tmp_path / "runs") == (renewed, 0)


def without_digest(cell: CorpusCell) -> None:
    """As cells were before there was one."""
    content = json.loads(cell.path.read_text())
    for name in ("records_sha256", "sources", "languages"):
        del content["corpus"][name]
    cell.path.write_text(strict_json({**content, "sha256": content_sha256(content)}))


def test_cells_without_the_digest_are_compared_by_what_they_say(tmp_path: Path) -> None:
    cell, _ = score(corpus(), tmp_path / "runs")
    without_digest(cell)
    before = files(tmp_path / "runs")
    assert score(corpus(), tmp_path / "runs")[1] == 0
    assert score(corpus(language="de"), tmp_path / "runs")[1] == 0  # which it does not say
    assert files(tmp_path / "runs") == before
    renewed, num_scored = score(corpus(num_clusters=6), tmp_path / "runs")
    assert num_scored == 0 and renewed.metrics.num_clusters == 6


@pytest.mark.parametrize(
    "provenance",
    [
        {"cut_of": "film"},
        {"cut_of": "film", "cut_of_sha256": "0", "cut_context_bytes": "half"},
        {"cut_of": "film", "cut_of_sha256": "0", "cut_context_bytes": "9" * 5000},
        {"cut_of": "film", "cut_of_sha256": "0", "cut_context_bytes": "-1"},
    ],
)
def test_what_a_maker_says_of_his_own_cuts_is_none_of_ours(provenance: dict[str, str]) -> None:
    facts = corpus_facts(make_corpus("film", corpus().documents, provenance=provenance), None)
    assert facts.cut is None and facts.num_documents == len(TEXTS)


def test_a_dry_run_keeps_nothing(tmp_path: Path) -> None:
    score(corpus(), tmp_path / "runs")
    before = files(tmp_path / "runs")
    cell, _ = score(corpus(num_clusters=6), tmp_path / "runs", dry_run=True)
    assert cell.metrics.num_clusters == 6 and files(tmp_path / "runs") == before


@pytest.mark.parametrize("is_stored", [True, False])
def test_the_site_says_what_is_said_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stored: bool
) -> None:
    """A license was corrected after scoring, and nobody has run again."""
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
    corrected = corpus(num_clusters=6, license="LicenseRef-proprietary", published_at="2026-10-05")
    score(corpus(), tmp_path / "runs")
    if is_stored:
        save_corpus(corrected)
    named = [] if is_stored else [corrected]
    warnings: list[str] = []
    results = read_results(tmp_path / "runs", warn=pytest.fail)
    build_site(results, tmp_path / "site", SiteOptions(corpora=named), warn=warnings.append)
    assert any(
        "other clusters, dates, licenses or titles now than its cells say" in text for text in warnings
    )
    page = (tmp_path / "site" / "corpora" / "texts.html").read_text(encoding="utf-8")
    assert "LicenseRef-proprietary" in page and "CC-BY-4.0" not in page
    assert "2026-10-05" in page and "2026-10-03" not in page
    data = (tmp_path / "site" / "data" / "documents" / "texts.js").read_text(encoding="utf-8")
    assert "Title" not in data
    [cell] = (tmp_path / "site" / "cells").rglob("*.json")
    content = json.loads(cell.read_text())
    assert content["corpus"]["licenses"] == {"LicenseRef-proprietary": 24}
    assert content["sha256"] == content_sha256(content)
    fresh, _ = score(corrected, tmp_path / "fresh")
    assert content["metrics"]["bits_per_byte_low"] == fresh.metrics.bits_per_byte_low
    now = with_current_records(results, named, warn=lambda _: None)
    assert now.corpora[0].clusters == read_results(tmp_path / "fresh", warn=pytest.fail).corpora[0].clusters
