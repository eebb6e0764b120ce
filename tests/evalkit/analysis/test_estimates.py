"""One interval for one set of cells, whoever prints it and in whatever order they come."""

from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.estimates import DocumentBits, levels, sums_together
from evalkit.analysis.macro_averages import macro_intervals
from evalkit.analysis.rankings import compute, opening_month
from evalkit.analysis.results import read_results
from evalkit.cells.reading import read_corpus_cell
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.stats import percentile_interval, resampled_ratios
from tests.support.toys import ROOT, TEXTS, BigramModel, corpus_of

CELLS = ROOT / "results" / "cells"
ENGLISH = "held-out-wikipedia-english-2024-07-01"


def test_the_order_of_cells_does_not_change_the_interval_of_their_mean() -> None:
    cells, others = (
        [
            read_corpus_cell(path)
            for corpus in ("python-stdlib", ENGLISH)
            for path in (CELLS / corpus / model).glob("*.json")
        ]
        for model in ("ppmd", "brotli")
    )
    [forth], [back] = macro_intervals([cells]), macro_intervals([cells[::-1]])
    assert forth is not None and forth == back
    together = macro_intervals([cells, others, cells[:1]])
    assert together == [forth, *macro_intervals([others]), cells[0].metrics.interval]
    # Streams numbered by place gave ± 0.0329 in one order and ± 0.0313 in the other.
    by_place = []
    for ordered in (cells, cells[::-1]):
        samples = [
            resampled_ratios(
                [row.total_bits for row in cell.rows()],
                [row.num_bytes for row in cell.rows()],
                [row.cluster for row in cell.rows()],
                stream=stream,
            )
            for stream, cell in enumerate(ordered)
        ]
        num_clusters = min(len({row.cluster for row in cell.rows()}) for cell in cells)
        interval = percentile_interval(np.mean(samples, axis=0), num_clusters)  # type: ignore[arg-type]
        assert interval is not None
        by_place.append(interval.half_width)
        assert interval.half_width == pytest.approx(forth.half_width, rel=0.15)
    assert abs(by_place[0] - by_place[1]) > 1e-4


def test_a_run_and_the_site_print_the_same_interval(tmp_path: Path) -> None:
    corpora = [corpus_of(TEXTS, "a"), corpus_of([f"{text} again" for text in TEXTS], "b")]
    models = [BigramModel("whole"), BigramModel("lossy", 1, lossy="文")]
    forth = run(models, corpora, options=RunOptions(output=tmp_path)).ranking()
    back = run(models, corpora[::-1], options=RunOptions(output=tmp_path)).ranking()
    board = compute(read_results(tmp_path, warn=pytest.fail), ["all", "all"])
    levels_by_label = {
        board.results.configurations[index].label: level
        for index, level in board.views[board.default].levels["macro"].items()
    }
    for first, second in zip(forth, back, strict=True):
        assert first.interval is not None and first.interval == second.interval
        level = levels_by_label[first.model]
        assert first.interval == (level.low, level.high)
        assert first.bits_per_byte == pytest.approx(level.value, abs=1e-6)


def test_a_corpus_by_itself_has_the_interval_of_its_cell(tmp_path: Path) -> None:
    [cell] = run([BigramModel()], [corpus_of(TEXTS)], options=RunOptions(output=tmp_path)).cells
    [interval] = macro_intervals([[cell]])
    assert interval is not None
    assert interval == (cell.metrics.bits_per_byte_low, cell.metrics.bits_per_byte_high)
    board = compute(read_results(tmp_path, warn=pytest.fail), ["all"])
    assert board.level(0, 0)[1:] == (round(interval.low, 6), round(interval.high, 6))


def test_corpora_are_drawn_independently_and_models_together() -> None:
    rng = np.random.default_rng(1)
    bits, num_bytes = rng.random((50, 1)), np.ones(50, np.int64)
    clusters = [str(number) for number in range(50)]
    same = DocumentBits("ab" * 32, clusters, num_bytes, np.hstack([bits, bits]))
    another = DocumentBits("cd" * 32, clusters, num_bytes, np.hstack([bits, bits]))
    first, second = sums_together([same, another])
    np.testing.assert_array_equal(first.bits[0, 0], first.bits[0, 1])
    assert abs(np.corrcoef(first.bits[0, 0, 1:], second.bits[0, 0, 1:])[0, 1]) < 0.06
    [alone] = sums_together([same])
    assert not np.array_equal(alone.bits, first.bits)
    # The mean of two independent ones varies less than either.
    both = levels("macro", [first, second], [0])[0]
    single = levels("macro", [first], [0])[0]
    assert both.half_width is not None and single.half_width is not None
    assert both.half_width / single.half_width == pytest.approx(2**-0.5, rel=0.05)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["news news", "news news", "news"], "2026-03"),  # half-months: the newest is half over
        (["news law arxiv", "news law arxiv", "law"], "2026-02"),  # two sources failed
        (["news law arxiv", "news law arxiv", "law news"], "2026-03"),
        (["news", "news", "news"], None),
        (["news law", "law", "news", "law"], None),
        (["news law"], None),
        ([], None),
    ],
)
def test_a_board_opens_with_the_newest_month_of_most_sources(
    sources: list[str], expected: str | None
) -> None:
    by_month = {f"2026-{number:02}": names.split() for number, names in enumerate(sources, 1)}
    assert opening_month(by_month) == expected
