"""Months chained by anchors: what is put in comes out."""

import dataclasses
import datetime as dt
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.configurations import ModelConfiguration
from evalkit.analysis.months import Month, chain_months, months_json, months_lines, read_months
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.analysis.scored_rows import ScoredRows
from evalkit.cells.reading import cell_of
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from tests.support.cells import corpus_content
from tests.support.stores import write_synthetic_store

CELL = cell_of(Path("cell.json"), {**corpus_content(), "sha256": ""})

DRIFT = {"2026-01": 1.0, "2026-02": 1.1, "2026-03": 0.9}
SKILL = {"old": 1.2, "steady": 1.0, "late": 0.8}
SCORED = {"2026-01": ["old", "steady"], "2026-02": ["old", "steady"], "2026-03": ["steady", "late"]}


def store_of(scored: dict[str, list[str]], *, noise: float = 0.0, num_documents: int = 60) -> Results:
    """A corpus per month, whose texts are ``DRIFT`` times as hard, and models with a ``SKILL``."""
    assert isinstance(CELL, CorpusCell)
    names = list(SKILL)
    configurations = tuple(
        ModelConfiguration(name, name, name, "document", CELL.model, CELL.policy) for name in names
    )
    corpora = []
    for number, (month, here) in enumerate(scored.items()):
        rng = np.random.default_rng(number)
        digest = hashlib.sha256(month.encode()).hexdigest()
        num_bytes = rng.integers(500, 5000, num_documents)
        hard = DRIFT[month] * np.exp(noise * rng.standard_normal(num_documents))
        bits = np.stack([num_bytes * hard * SKILL[name] for name in names], axis=1)
        ids = tuple(f"{month} {place}" for place in range(num_documents))
        corpora.append(
            ScoredCorpus(
                month,
                month,
                dataclasses.replace(CELL.corpus, name=month, sha256=digest, date_from=f"{month}-01"),
                functools.partial(
                    ScoredRows,
                    ids,
                    ids,
                    (None,) * num_documents,
                    ids,
                    (None,) * num_documents,
                    num_bytes,
                    np.where([name in here for name in names], bits, np.nan),
                ),
                {names.index(name): None for name in here},  # type: ignore[misc]
            )
        )
    return Results(configurations, tuple(corpora), (), ())


def months_of(results: Results, anchors: Sequence[str] = ()) -> tuple[Month, ...]:
    [chain] = chain_months(results, anchors).chains
    return chain.months


def test_the_drift_of_the_texts_is_found_and_taken_out() -> None:
    chain = months_of(store_of(SCORED))
    assert [month.drift.value for month in chain] == pytest.approx(list(DRIFT.values()), abs=1e-5)
    assert [month.anchors for month in chain] == [(), ("old", "steady"), ("steady",)]
    for month in chain:
        for name, level in month.chained.items():
            assert level.value == pytest.approx(SKILL[name], abs=1e-5)
            assert month.levels[name].value == pytest.approx(SKILL[name] * DRIFT[month.month], abs=1e-5)
    # Models that were never scored together are side by side, and ranks within a month stay.
    assert chain[2].chained["late"].value < chain[0].chained["old"].value
    for month in chain:
        assert sorted(month.levels, key=month.levels.get) == sorted(month.chained, key=month.chained.get)  # type: ignore[arg-type]


def test_intervals_of_the_drift_come_from_the_texts_of_both_months() -> None:
    chain = months_of(store_of(SCORED, noise=0.3), ["steady"])
    first, second, _ = (month.drift for month in chain)
    assert (first.value, first.low, first.high) == (1.0, None, None)
    assert second.low is not None and second.high is not None
    # The delta method: each month's log mean has a variance of about noise^2 sum(b^2) / sum(b)^2.
    num_bytes = [corpus.num_bytes for corpus in store_of(SCORED, noise=0.3).corpora[:2]]
    spread = np.sqrt(sum(0.3**2 * (b**2).sum() / b.sum() ** 2 for b in num_bytes)) * second.value
    assert (second.high - second.low) / 2 / 1.96 == pytest.approx(spread, rel=0.25)


def test_months_that_nothing_ties_together_are_refused() -> None:
    with pytest.raises(UsageError, match="no anchor was scored on every corpus of both 2026-01 and 2026-02"):
        chain_months(store_of({"2026-01": ["old"], "2026-02": ["late"]}))
    with pytest.raises(UsageError, match=r"no anchor .* 2026-02 and 2026-03"):
        chain_months(store_of(SCORED), ["old"])
    with pytest.raises(UsageError, match=r"corpora of one source in two months or more, .* one month"):
        chain_months(store_of({"2026-01": ["old"]}))
    with pytest.raises(UsageError, match="Did you mean steady"):
        chain_months(store_of(SCORED), ["stedy"])


def test_the_table_and_the_json_say_the_same(tmp_path: Path) -> None:
    write_synthetic_store(tmp_path, num_models=3, num_corpora=10, num_documents=20)
    chains = read_months(tmp_path)
    lines, content = months_lines(chains), json.loads(json.dumps(months_json(chains), allow_nan=False))
    assert not content["not_chained"] and len(content["sources"]) == 5
    for place, (source, months) in enumerate(content["sources"].items()):
        table = lines[7 * place : 7 * place + 6]
        assert table[0].split() == [source, "2026-01", "2026-02"]
        assert [month["corpora"] for month in months] == [[f"{source}-2026-01"], [f"{source}-2026-02"]]
        assert table[1].split()[4] == "1.0000" and f"{months[1]['drift']['value']:.4f}" in table[1]
        for line in table[2:-1]:
            assert f"{months[1]['chained'][line.split()[0]]['value']:.4f}" in line


def of_sources(sources: Mapping[str, tuple[str, str]]) -> Results:
    """`store_of` with a source and a language for each month; the names say neither."""
    results = store_of({month: list(SKILL) for month in sources})
    corpora = []
    for corpus in results.corpora:
        source, language = sources[corpus.label]
        facts = dataclasses.replace(corpus.facts, sources={source: 60}, languages={language: 60})
        corpora.append(dataclasses.replace(corpus, facts=facts))
    return dataclasses.replace(results, corpora=tuple(corpora))


@pytest.mark.parametrize("other", [("github", "en"), ("wikipedia", "fr")])
def test_months_of_different_sources_are_never_chained(other: tuple[str, str]) -> None:
    """From Python to French Wikipedia, texts became "60 % harder"."""
    english = ("wikipedia", "en")
    with pytest.raises(UsageError, match="corpora of one source in two months or more"):
        chain_months(of_sources({"2026-01": english, "2026-02": other}))
    chains = chain_months(of_sources({"2026-01": english, "2026-02": other, "2026-03": english}))
    [chain] = chains.chains
    assert [month.month for month in chain.months] == ["2026-01", "2026-03"]
    assert chain.months[1].drift.value == pytest.approx(DRIFT["2026-03"], abs=1e-5)
    assert list(chains.left_out.values()) == ["one month (2026-02)"]
    assert "not chained: " in months_lines(chains)[-1]


def test_a_month_stands_at_the_middle_of_its_days() -> None:
    results = store_of(SCORED)
    corpora = list(results.corpora)
    for place, (first, last) in enumerate([("2026-01-01", "2026-01-15"), ("2026-02-10", "2026-02-10")]):
        facts = dataclasses.replace(corpora[place].facts, date_from=first, date_to=last)
        corpora[place] = dataclasses.replace(corpora[place], facts=facts)
    facts = dataclasses.replace(corpora[2].facts, date_from="2025-12-01", date_to="2026-12-01")
    corpora[2] = dataclasses.replace(corpora[2], facts=facts)  # a year, which begins before the others
    months = months_of(dataclasses.replace(results, corpora=tuple(corpora)))
    assert [month.day for month in months] == [dt.date(2026, 1, 8), dt.date(2026, 2, 10), dt.date(2026, 6, 1)]
