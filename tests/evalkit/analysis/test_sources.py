"""Which corpora are of one source."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from evalkit.analysis.results import read_results
from evalkit.analysis.sources import sources_of, stem_of
from evalkit.corpora.store import make_corpus, make_document
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.evalkit.analysis.test_months import store_of
from tests.support.toys import OLDER_CELLS

Counts = Mapping[str, int] | None


def sources_of_corpora(corpora: list[tuple[str, Counts, Counts]]) -> tuple[str, ...]:
    """The labels of corpora of these names, sources and languages."""
    results = store_of({"2026-01": ["old"]})
    scored = []
    for name, counts, languages in corpora:
        facts = dataclasses.replace(results.corpora[0].facts, name=name, sources=counts, languages=languages)
        scored.append(dataclasses.replace(results.corpora[0], facts=facts))
    return sources_of(dataclasses.replace(results, corpora=tuple(scored)))


def test_sources_and_languages_tell_corpora_apart() -> None:
    labels = sources_of_corpora(
        [
            ("a", {"wikipedia": 9}, {"en": 9}),
            ("b", {"wikipedia": 7}, {"en": 6, "fr": 1}),
            ("c", {"wikipedia": 9}, {"fr": 9}),
            ("d", {"wikipedia": 9}, {"en": 3, "fr": 3, "de": 3}),
            ("e", {"news": 9}, {"unknown": 9}),
            ("f", {"news": 9}, {"unknown": 5}),
            ("g", {"news": 9, "wikipedia": 1}, {"en": 10}),
        ]
    )
    assert labels == (
        *("wikipedia (en)", "wikipedia (en)", "wikipedia (fr)", "wikipedia (several languages)"),
        *("news", "news", "news + wikipedia"),
    )


def test_parts_of_one_crawl_are_told_apart_by_their_names() -> None:
    english: tuple[Counts, Counts] = ({"arxiv": 3}, {"en": 3})
    names = ["arxiv-2026-01-cs", "arxiv-2026-01-math", "arxiv-2026-02-cs", "arxiv-2026-02-math"]
    labels = sources_of_corpora([(name, *english) for name in names])
    assert labels == ("arxiv (arxiv-cs)", "arxiv (arxiv-math)") * 2
    labels = sources_of_corpora([("arxiv-2026-01", *english), ("arxiv-2026-02", *english)])
    assert labels == ("arxiv", "arxiv")


def test_where_nobody_stated_a_source_names_tell_corpora_apart() -> None:
    nothing: tuple[Counts, Counts] = ({"unknown": 3}, {"unknown": 3})
    labels = sources_of_corpora(
        [("python-2026-01", *nothing), ("python-2026-02-16", *nothing), ("french-2026-03", *nothing)]
    )
    assert labels == ("python", "python", "french")


def test_older_cells_go_with_the_newer_ones_of_their_series() -> None:
    labels = sources_of_corpora(
        [
            ("wiki-2026-01", {"wikipedia": 3}, None),
            ("wiki-2026-02", {"wikipedia": 3}, {"en": 3}),
            ("wiki-fr-2026-01", {"wikipedia": 3}, None),
            ("wiki-de-2026-02", {"wikipedia": 3}, {"de": 3}),
        ]
    )
    assert labels == ("wikipedia (en)", "wikipedia (en)", "wikipedia (wiki-fr)", "wikipedia (de)")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("wikipedia_english_20240601to20240615", "wikipedia_english"),
        ("held-out-wikipedia-french-2024-08-01", "held-out-wikipedia-french"),
        ("arxiv_2025-07-01_2025-07-31_cs", "arxiv_cs"),
        ("wiki-2024-W05", "wiki"),
        ("notes.2026.jsonl", "notes.jsonl"),
        ("cpython-3.11.7", "cpython-3.11.7"),
        ("a2026b", "a2026b"),
        ("2026-02", "unknown"),
    ],
)
def test_a_name_without_its_dates(name: str, stem: str) -> None:
    assert stem_of(name) == stem


def test_cells_say_their_sources_and_languages(tmp_path: Path) -> None:
    documents = [make_document(f"text {n}", source="s", language="en" if n else None) for n in range(3)]
    done = run(["xz"], [make_corpus("c", documents)], options=RunOptions(output=tmp_path))
    assert done.cells[0].corpus.sources == {"s": 3}
    assert done.cells[0].corpus.languages == {"en": 2, "unknown": 1}


def test_manifests_say_the_sources_of_older_cells() -> None:
    results = read_results(OLDER_CELLS, warn=lambda _: None)
    assert all(corpus.facts.sources is None for corpus in results.corpora)
    labels = dict(zip([corpus.label for corpus in results.corpora], sources_of(results), strict=True))
    assert labels["held-out-wikipedia-english-2024-07-01"] == "wikipedia_english"
    assert labels["held-out-wikipedia-french-2024-08-01"] == "wikipedia_french"
    manifest = json.loads((OLDER_CELLS / "held-out-python-packages" / "manifest.json").read_bytes())
    assert [labels["held-out-python-packages"]] == list(manifest["sources"])
