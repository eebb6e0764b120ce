"""What a report takes grows with the cells and no faster: counted in reads and bytes, not in seconds."""

import dataclasses
import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit import stats
from evalkit.analysis import scored_rows, spool
from evalkit.analysis.aggregates import AGGREGATES
from evalkit.analysis.configurations import _Signature
from evalkit.analysis.estimates import ALONE, Estimate, aggregate, differences, resampled_sums, sums_together
from evalkit.analysis.pair_table import PairTable
from evalkit.analysis.rankings import Leaderboard, compute
from evalkit.analysis.results import Results, read_results
from evalkit.analysis.scored_rows import RowSpool, ScoredRows
from evalkit.plots.registry import find_plot
from evalkit.report import build_site
from tests.support.stores import write_synthetic_store

NUM_MODELS, NUM_DOCUMENTS = 4, 30
OPENED: list[Counter[str]] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and OPENED and isinstance(arguments[0], str | Path):
        OPENED[-1][str(arguments[0])] += 1


sys.addaudithook(_listen)


@pytest.fixture
def opened() -> Iterator[Counter[str]]:
    OPENED.append(Counter())
    yield OPENED[-1]
    OPENED.pop()


@pytest.fixture(autouse=True)
def no_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))


def store(folder: Path, num_corpora: int, num_models: int = NUM_MODELS) -> Results:
    write_synthetic_store(folder, num_models=num_models, num_corpora=num_corpora, num_documents=NUM_DOCUMENTS)
    return read_results(folder, warn=pytest.fail)


def peak_bytes(function: Any) -> int:
    stats._few_draws.cache_clear()  # what an earlier test has left in it counts for nobody
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_each_file_of_a_cell_is_opened_as_often_however_many_there_are(
    tmp_path: Path, opened: Counter[str]
) -> None:
    for num_corpora in (1, 3):
        folder = tmp_path / str(num_corpora)
        results = store(folder, num_corpora)
        opened.clear()
        results = read_results(folder, warn=pytest.fail)
        build_site(results, tmp_path / f"site-{num_corpora}")
        counts = {path: count for path, count in opened.items() if path.startswith(f"{folder}/")}
        jsons = [count for path, count in counts.items() if path.endswith(".json")]
        tables = [count for path, count in counts.items() if path.endswith(".parquet")]
        # The JSON once; the table for its digest and for its rows.
        assert jsons == [1] * (NUM_MODELS * num_corpora) and tables == [2] * (NUM_MODELS * num_corpora)


def test_the_numbers_of_many_corpora_take_no_more_memory_than_those_of_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "LIMIT_BYTES", 0)
    monkeypatch.setattr(scored_rows, "_RECENT_BYTES", 0)
    few, many = store(tmp_path / "few", 4), store(tmp_path / "many", 14)
    peaks = [
        peak_bytes(lambda results=results: compute(results, ["a"] * len(results.corpora)))
        for results in (few, many)
    ]
    # Resamples of 10 corpora more are 10 x 5 x 4001 x 8 bytes; of these nothing stays.
    assert peaks[1] - peaks[0] < 300_000
    in_memory = 10 * (NUM_MODELS + 1) * 4001 * 8
    monkeypatch.setattr(spool, "LIMIT_BYTES", 2**40)
    assert peak_bytes(lambda: compute(many, ["a"] * 14)) - peaks[1] > in_memory / 2


def test_numbers_are_the_same_from_memory_and_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = store(tmp_path / "runs", 6)
    bits = results.corpora[1].bits.copy()
    bits[3:9, 2] = np.nan  # a model that cannot represent everything
    corpora = list(results.corpora)
    corpora[1] = corpora[1].with_rows(RowSpool(), bits=bits)
    results = dataclasses.replace(results, corpora=tuple(corpora))
    boards = []
    for limit in (2**40, 0):
        monkeypatch.setattr(spool, "LIMIT_BYTES", limit)
        boards.append(compute(results, ["a", "b"] * 3))
    assert boards[0].levels == boards[1].levels and boards[0].pairs == boards[1].pairs
    assert boards[0].views == boards[1].views
    assert len(boards[0].views) > 4


def test_aggregates_hold_one_corpus_at_a_time() -> None:
    """By the definitions, of arrays that are all there."""
    rng = np.random.default_rng(3)
    bits = [rng.random((3, 11)) + 1 for _ in range(5)]
    num_bytes = [rng.random((1, 11)) + 1 for _ in range(5)]
    ratios = np.stack([top / bottom for top, bottom in zip(bits, num_bytes, strict=True)])
    expected = {
        "macro": ratios.mean(axis=0),
        "micro": np.stack(bits).sum(axis=0) / np.stack(num_bytes).sum(axis=0),
        "geometric": np.exp(np.log(ratios).mean(axis=0)),
    }
    assert expected.keys() == AGGREGATES.keys()
    alive = 0

    def one_by_one(arrays: list[Any]) -> Iterator[Any]:
        nonlocal alive
        for array in arrays:
            alive += 1
            assert alive <= 2  # bits and bytes
            yield array
            alive -= 1

    for kind, values in expected.items():
        alive = 0
        np.testing.assert_allclose(
            aggregate(kind, one_by_one(bits), one_by_one(num_bytes)), values, rtol=1e-12
        )
        short = [*bits[:4], bits[4][:, :1]]  # of too few clusters: no interval for the whole
        first = aggregate(kind, short, [*num_bytes[:4], num_bytes[4][:, :1]])
        np.testing.assert_allclose(first, values[:, :1], rtol=1e-12)


def test_a_table_of_pairs_is_the_mapping_that_it_was_made_of(tmp_path: Path) -> None:
    results = store(tmp_path / "runs", 2, num_models=6)
    pairs = differences("micro", [resampled_sums(results.corpora[0], stream=ALONE)], [0, 2, 3, 5])
    pairs[1, 4] = Estimate(-0.5, None, None)
    table = PairTable(pairs)
    assert dict(table) == pairs and list(table) == list(pairs) and len(table) == 7
    assert (2, 0) not in table and (0, 4) not in table and (9, 1) not in table
    assert dict(PairTable({})) == {} and (0, 1) not in PairTable({})
    count = 60
    many = {(a, b): Estimate(float(a), -1.0, 1.0) for a in range(count) for b in range(a + 1, count)}
    kept: list[Any] = []
    assert peak_bytes(lambda: kept.append(PairTable(many))) < 400 * len(many)
    tracemalloc.start()
    kept.append(PairTable(many))
    assert tracemalloc.get_traced_memory()[0] < 50 * len(many)
    tracemalloc.stop()


def test_names_that_tell_models_apart_are_made_once_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was compared with each: 10,000 models would have been a hundred million."""
    write_synthetic_store(tmp_path, num_models=12, num_corpora=2, num_documents=5)
    num_calls, distinctions = 0, _Signature.distinctions

    def counted(signature: _Signature) -> list[str]:
        nonlocal num_calls
        num_calls += 1
        return distinctions(signature)

    monkeypatch.setattr(_Signature, "distinctions", counted)
    read_results(tmp_path, warn=pytest.fail)
    assert num_calls <= 2 * 12


def test_sums_are_dropped_with_the_last_who_needs_them() -> None:
    """The file of the resamples has no name: nothing stays of a process that is killed."""
    before = {path.name for path in Path("/tmp").glob("evalkit-*")}
    rng = np.random.default_rng(5)
    keeper = spool.Spool()
    arrays = [rng.random((2, 3)) for _ in range(3)]
    loads = [keeper.keep(array) for array in arrays]
    for load, array in zip(loads[::-1], arrays[::-1], strict=True):
        np.testing.assert_array_equal(load(), array)
    assert {path.name for path in Path("/tmp").glob("evalkit-*")} == before
    assert sums_together([]) == []


def test_rows_of_many_corpora_are_in_memory_one_corpus_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LIMIT_BYTES", 0)
    monkeypatch.setattr(scored_rows, "_RECENT_BYTES", 0)

    def rows_of(number: int) -> ScoredRows:
        ids = tuple(f"{number} {place:050}" for place in range(200))
        bits = np.full((200, 3), float(number))
        bits[number, 1] = np.nan
        return ScoredRows(ids, ids, (None, *ids[1:]), ids, ids, np.arange(200), bits, ids, ids[::-1])

    keeper, kept = RowSpool(), []

    def keep_and_look() -> None:
        kept.extend(keeper.keep(rows_of(number)) for number in range(40))
        assert {len(load().ids) for load in kept} == {200}

    # Ids are 40 x 200 x 100 bytes, and unpacked they stand in six columns; two corpora are there at a time.
    assert peak_bytes(keep_and_look) < 600_000
    for number in (7, 0, 39):
        for loaded, made in zip(kept[number](), rows_of(number), strict=True):
            np.testing.assert_array_equal(loaded, made)


def test_a_sites_plots_share_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_computed = 0

    def counted(results: Results, sources: Sequence[str]) -> Leaderboard:
        nonlocal num_computed
        num_computed += 1
        return compute(results, sources)

    monkeypatch.setattr("evalkit.plots.scores.compute", counted)
    results = store(tmp_path / "runs", 6)
    for name in ("heatmap", "parameters", "differences"):
        find_plot(name).draw(results)
    assert num_computed == 1
    find_plot("heatmap").draw(results, models=("model-00", "model-01"))
    assert num_computed == 2


def test_many_models_are_paired_with_their_neighbors_and_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs and pages grow as models do; what is not paired has what the models' own intervals allow."""
    num_models = 14
    results = store(tmp_path / "runs", 3, num_models=num_models)
    full = compute(results, ["a"] * 3)
    assert not full.is_near_only and len(full.pairs[0]) == num_models * (num_models - 1) // 2
    monkeypatch.setattr("evalkit.analysis.estimates.NUM_NEIGHBORS", 2)
    near = compute(results, ["a"] * 3)
    assert near.is_near_only and near.levels == full.levels
    view, whole = near.views[near.default], full.views[full.default]
    tables = [(near.pairs[0], full.pairs[0]), (view.pairs["macro"], whole.pairs["macro"])]
    levels = [near.levels[0], view.levels["macro"]]
    for (table, everything), level in zip(tables, levels, strict=True):
        order = sorted(level, key=lambda index: level[index].value)
        expected = {
            tuple(sorted((a, b))) for place, a in enumerate(order) for b in order[place + 1 : place + 3]
        }
        expected |= {tuple(sorted((order[0], index))) for index in order[1:]}
        assert set(table) == expected and len(table) <= 3 * num_models
        assert all(table[pair] == everything[pair] for pair in table)
        last = order[-1]
        assert table.partners(last) == sorted([order[0], *order[-3:-1]])
        for first, second in ((order[1], last), (last, order[1])):
            gap, paired = table.difference(first, second), everything.difference(first, second)
            assert gap and paired and (first, second) not in table
            assert gap.value == pytest.approx(paired.value, abs=2e-6)
            assert gap.low == pytest.approx(level[first].low - level[second].high, abs=2e-6)
            assert gap.low <= paired.low and paired.high <= gap.high  # wider, never narrower
        for shown in (order, order[3:9], [last, order[0]]):
            ranks = table.rank_intervals(shown)
            for index in shown:
                signs = [gap.sign for rival in shown if (gap := table.difference(index, rival))]
                assert ranks[index] == (1 + signs.count(1), len(shown) - signs.count(-1))
            assert all(
                ranks[index][0] <= low and high <= ranks[index][1]
                for index, (low, high) in everything.rank_intervals(shown).items()
            )


def test_pages_of_many_models_show_the_nearest_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = store(tmp_path / "runs", 2, num_models=11)
    for module in ("analysis.estimates", "report.model_page", "report.writer", "report.leaderboard_data"):
        monkeypatch.setattr(f"evalkit.{module}.NUM_NEIGHBORS", 2)
    told: list[str] = []
    build_site(results, tmp_path / "site", warn=told.append)
    assert len([line for line in told if "is paired with" in line]) == 1
    page = (tmp_path / "site" / "models" / "model-05.html").read_text()
    assert page.count("data-rival=") == 4 and "Against the 4 nearest of 10 other models" in page
    words = "Each model is paired with the 2 before and after it in rank"
    for name in ("models/model-05.html", "compare.html", "method.html"):
        assert words in (tmp_path / "site" / name).read_text()
    text = (tmp_path / "site" / "data" / "leaderboard.js").read_text()
    data = json.loads(text.partition(",")[2].removesuffix(");\n"))
    assert data["num_neighbors"] == 2
    for pairs in data["pairs"]:
        assert sum(map(len, pairs.values())) <= 3 * 11
