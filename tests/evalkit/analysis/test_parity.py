"""Bits per story and language: what parallel text is for."""

import functools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.configurations import ModelConfiguration
from evalkit.analysis.parity import corpus_parity
from evalkit.analysis.results import Results, ScoredCorpus, read_results
from evalkit.analysis.scored_rows import ScoredRows
from evalkit.cells.reading import read_checked_cell
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.store import make_corpus, make_document
from evalkit.errors import UsageError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.sites import build_site_of
from tests.support.toys import BigramModel, run_cli

Row = tuple[str | None, str | None, int, float]
"""Story, language, bytes, bits."""


def results_of(*rows: Row) -> Results:
    story_ids, languages, num_bytes, bits = zip(*rows, strict=True)
    ids = tuple(str(place) for place in range(len(rows)))
    scored = ScoredCorpus(
        key="c",
        label="c",
        facts=None,  # type: ignore[arg-type]
        cells={0: None},  # type: ignore[dict-item]
        load_rows=functools.partial(
            ScoredRows,
            ids=ids,
            digests=ids,
            titles=(None,) * len(ids),
            clusters=("everything",) * len(ids),
            published_at=(None,) * len(ids),
            num_bytes=np.array(num_bytes),
            bits=np.array(bits)[:, None],
            story_ids=story_ids,
            languages=languages,
        ),
    )
    model = ModelConfiguration("m", "m", "m", None, None, None)  # type: ignore[arg-type]
    return Results((model,), (scored,), (), ())


def test_each_language_is_compared_on_the_stories_that_it_shares_with_the_reference() -> None:
    parity = corpus_parity(
        results_of(
            ("s1", "en", 100, 10.0),
            ("s1", "ru", 200, 15.0),
            ("s1", "es", 110, 11.0),
            ("s2", "en", 100, 30.0),
            ("s2", "ru", 160, 45.0),
            ("s2", "ru", 999, 999.0),  # a second one of the same language
            ("s3", "ru", 500, 70.0),  # in one language
            ("s4", "es", 100, 50.0),  # without the reference
            ("s4", "ru", 100, 50.0),
            (None, "en", 100, 77.0),
            ("s1", None, 100, 77.0),
        ),
        0,
        "en",
    )
    assert parity is not None and (parity.reference, parity.num_stories) == ("en", 3)
    russian, spanish = parity.languages
    assert (russian.name, russian.num_stories, russian.byte_ratio) == ("ru", 2, 360 / 200)
    row = russian.parities[0]
    assert (row.num_stories, row.bits_per_story, row.reference_bits_per_story) == (2, 30.0, 20.0)
    assert row.ratio == (1.5, None, None)
    assert (spanish.name, spanish.num_stories, spanish.parities[0].ratio.value) == ("es", 1, 1.1)


def test_the_reference_shares_most_stories_and_of_several_it_is_english() -> None:
    everywhere = [(f"s{number}", name, 9, 9.0) for number in range(3) for name in ("de", "en", "ru")]
    parity = corpus_parity(results_of(*everywhere), 0)
    assert parity is not None and parity.reference == "en"
    parity = corpus_parity(results_of(*everywhere, ("s3", "ru", 9, 9.0), ("s3", "zh", 9, 9.0)), 0)
    assert parity is not None and parity.reference == "ru"
    assert [language.name for language in parity.languages] == ["de", "en", "zh"]
    with pytest.raises(UsageError, match=r"--reference 'fr': no story of c .*there are de, en, ru"):
        results = results_of(*everywhere)
        object.__setattr__(results.corpora[0], "facts", type("Facts", (), {"name": "c"}))
        corpus_parity(results, 0, "fr")


def test_without_stories_there_is_no_table() -> None:
    assert (
        corpus_parity(results_of(("s1", "en", 9, 9.0), ("s2", "ru", 9, 9.0), (None, "ru", 9, 9.0)), 0) is None
    )


def test_stories_are_resampled_and_what_is_paid_alike_has_no_spread() -> None:
    rng = np.random.default_rng(7)
    stories = [(f"s{number}", float(bits)) for number, bits in enumerate(rng.uniform(50, 500, 40))]
    alike = [row for name, bits in stories for row in ((name, "en", 9, bits), (name, "es", 9, 1.25 * bits))]
    parity = corpus_parity(results_of(*alike), 0)
    assert parity is not None
    assert parity.languages[0].parities[0].ratio == (1.25, 1.25, 1.25)
    # Ratios of stories 1 and 2 half and half, of equal size: the mean's standard error is .5 / sqrt(40).
    halves = [
        row
        for number in range(40)
        for row in ((f"s{number}", "en", 9, 100.0), (f"s{number}", "es", 9, 100.0 * (1 + number % 2)))
    ]
    parity = corpus_parity(results_of(*halves), 0)
    assert parity is not None
    ratio = parity.languages[0].parities[0].ratio
    assert ratio.value == 1.5 and ratio.half_width == pytest.approx(2.02 * 0.5 / math.sqrt(39), rel=0.05)


def test_what_a_model_cannot_represent_counts_in_neither_language() -> None:
    nan = math.nan
    rows = [("s1", "en", 9, 10.0), ("s1", "es", 9, nan), ("s2", "en", 9, 20.0), ("s2", "es", 9, 30.0)]
    parity = corpus_parity(results_of(*rows), 0)
    assert parity is not None
    assert parity.languages[0].num_stories == 2
    assert parity.languages[0].parities[0][:3] == (1, 30.0, 20.0)
    nothing = corpus_parity(results_of(*rows[:2]), 0)
    assert nothing is not None and nothing.languages[0].parities[0].num_stories == 0
    assert math.isnan(nothing.languages[0].parities[0].ratio.value)


def test_from_documents_to_the_command_and_the_page(tmp_path: Path) -> None:
    words = {"en": "a word of a story ", "es": "una palabra de un cuento ", "ru": "слово из рассказа "}
    documents = [
        make_document(
            text * (3 + number),
            source="x",
            id=f"{language}{number}",
            language=language,
            story_id=f"s{number}",
        )
        for number in range(6)
        for language, text in words.items()
    ]
    documents.append(make_document("alone", source="x", language="en"))
    parallel = make_corpus("parallel", documents, date_from="2026-11-01")
    plain = make_corpus("plain", [make_document("no story here", source="x")])
    options = RunOptions(output=tmp_path / "runs")
    assert not run([BigramModel("toy", 1)], [parallel, plain], options=options).failures
    outcome = run_cli("parity", str(tmp_path / "runs"), "--json")
    assert outcome.exit_code == 0, outcome.stderr
    [table] = json.loads(outcome.stdout)
    assert (table["corpus"], table["reference"], table["num_stories"]) == ("parallel", "en", 6)
    [path] = (tmp_path / "runs" / "parallel").rglob("*.json")
    cell, _ = read_checked_cell(path)
    assert isinstance(cell, CorpusCell)
    bits = {row.id: row.total_bits or 0.0 for row in cell.rows()}
    for language in table["languages"]:
        name = language["language"]
        [row] = language["models"]
        totals = {code: sum(bits[f"{code}{number}"] for number in range(6)) for code in (name, "en")}
        assert row["ratio"] == pytest.approx(totals[name] / totals["en"], abs=1e-6)
        assert row["bits_per_story"] == pytest.approx(totals[name] / 6)
        assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
        assert language["byte_ratio"] == pytest.approx(
            sum(len(words[name].encode()) * (3 + number) for number in range(6))
            / sum(len(words["en"]) * (3 + number) for number in range(6))
        )
    lines = run_cli("parity", str(tmp_path / "runs"), "--reference", "ru").stdout.splitlines()
    assert lines[0].startswith("parallel: 6 stories in several languages") and "in ru" in lines[0]
    assert lines[1].split() == ["en", "(6)", "es", "(6)"] and lines[2].split()[0] == "bytes"

    build_site_of(tmp_path / "runs", tmp_path / "site")
    page = (tmp_path / "site" / "corpora" / "parallel.html").read_text(encoding="utf-8")
    assert 'id="parallel-text"' in page and f"{table['languages'][0]['models'][0]['ratio']:.3f}" in page
    assert 'id="parallel-text"' not in (tmp_path / "site" / "corpora" / "plain.html").read_text(
        encoding="utf-8"
    )
    columns = {
        name: read_checked_cell(next((tmp_path / "runs" / name).rglob("*.json")))[1] for name in ("plain",)
    }
    assert columns["plain"] is not None and columns["plain"].story_ids is None
    outcome = run_cli("parity", str(tmp_path / "runs" / "plain"))
    assert outcome.exit_code == 2 and "no corpus has stories" in outcome.stderr
    assert read_results(tmp_path / "runs", warn=pytest.fail).corpora[0].languages[:3] == ("en", "es", "ru")
