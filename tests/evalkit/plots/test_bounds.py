"""A site's plots show what there is room for, say so, and are drawn in time that grows as the cells do."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from evalkit.analysis.results import read_results
from evalkit.plots.curve import curve
from evalkit.plots.drawing import draw, draw_all
from evalkit.plots.frame import MAX_LINES, figure_bytes, line_style
from evalkit.plots.heatmap import heatmap
from evalkit.plots.labels import _Box, _Boxes
from evalkit.plots.lines import MOST_LINES
from evalkit.plots.registry import Plot, PlotTable
from evalkit.plots.scores import Source
from evalkit.stats import resampled_ratios
from tests.support.stores import write_synthetic_store
from tests.support.training_runs import corpus_of_lengths, write_checkpoint


def test_of_many_models_and_corpora_the_best_and_the_newest_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_synthetic_store(tmp_path, num_models=5, num_corpora=12, num_documents=12)
    results = read_results(tmp_path, warn=pytest.fail)
    table = PlotTable({"heatmap": Plot("heatmap", "", heatmap, 3, 2)}, {})
    monkeypatch.setattr("evalkit.plots.drawing.find_plots", lambda: table)
    told: list[str] = []
    [figure] = draw_all(results, tell=told.append)
    which = "lowest in bits per byte beside the others of their corpora"
    assert told == [
        f"plot heatmap: 3 of 5 models are shown, the {which}",
        "plot heatmap: 2 of 12 corpora are shown, the newest",
    ]
    assert figure.conditions.endswith(f"; 3 of 5 models: the {which}; 2 of 12 corpora: the newest")
    # Skill falls with the number of a synthetic model; five corpora are of a month.
    models, corpora = ("model-00", "model-01", "model-02"), ("source0-2026-03", "source1-2026-03")
    assert figure.options == f"--models {','.join(models)} --corpora {','.join(corpora)}"
    alone = draw("heatmap", results, models=models, corpora=corpora)
    assert figure.files[".svg"] == figure_bytes(alone, ".svg")
    table = PlotTable({"heatmap": Plot("heatmap", "", heatmap, 5, 12)}, {})
    [whole] = draw_all(results, tell=pytest.fail)
    assert whole.options == "" and " of 5 models" not in whole.conditions


def test_a_figure_is_gone_before_the_next_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Canvases of 40 MB waited for the collector: a report's peak was theirs."""
    write_synthetic_store(tmp_path, num_models=3, num_corpora=2, num_documents=12)
    alive_figures: weakref.WeakSet[Figure] = weakref.WeakSet()
    num_alive: list[int] = []

    def draw_heatmap(results: Source, *, policy: str = "document") -> Figure:
        num_alive.append(len(alive_figures))
        figure = heatmap(results, policy=policy)
        alive_figures.add(figure)
        return figure

    table = PlotTable({name: Plot(name, "", draw_heatmap, None, None) for name in ("a", "b", "c")}, {})
    monkeypatch.setattr("evalkit.plots.drawing.find_plots", lambda: table)
    gc.disable()
    try:
        assert len(draw_all(read_results(tmp_path, warn=pytest.fail), tell=pytest.fail)) == 3
    finally:
        gc.enable()
    assert num_alive == [0, 0, 0]


def test_lines_differ_and_the_first_have_colours_of_their_own() -> None:
    styles = [tuple(line_style(number).values()) for number in range(MAX_LINES + 1)]
    assert len(set(styles[:MAX_LINES])) == MAX_LINES and styles[MAX_LINES] in styles[:MAX_LINES]
    assert len({line_style(number)["color"] for number in range(MOST_LINES)}) == MOST_LINES == 8


def test_a_curve_has_as_many_runs_as_have_a_colour_or_are_named(tmp_path: Path) -> None:
    corpus = corpus_of_lengths(np.full(6, 100))
    for number in range(MOST_LINES + 2):
        for step in (1, 2):
            write_checkpoint(tmp_path, f"run{number}", step, corpus, np.full(6, 100.0 + number))
    told: list[str] = []
    names = [f"run{number}" for number in range(MOST_LINES + 2)]
    for runs, num_lines in (((), MOST_LINES), (names, len(names))):
        [axes] = curve(tmp_path, runs=runs, warn=told.append).axes
        assert len([line for line in axes.lines if line.get_marker() not in ("", "None")]) == num_lines
    assert told == [f"{MOST_LINES} of {len(names)} runs: the lowest in the end; --runs draws others"]


def test_a_law_is_drawn_where_it_was_fitted(tmp_path: Path) -> None:
    """The first step lies off the law, which would cost 64 bits there."""
    corpus = corpus_of_lengths(np.full(6, 100))
    for step in (1, 10, 20, 40, 80, 160):
        cost = 900.0 if step == 1 else 100.0 + 6300.0 / step
        write_checkpoint(tmp_path, "run", step, corpus, np.full(6, cost))
    [axes] = curve(tmp_path, fit_from=10).axes
    [law] = [line for line in axes.lines if line.get_linewidth() == 0.7]
    xs, ys = np.asarray(law.get_xdata()), np.asarray(law.get_ydata())
    assert (xs.min(), xs.max()) == pytest.approx((10, 160))
    assert ys == pytest.approx(1 + 63 / xs, rel=0.01)


def test_areas_in_common_are_those_of_each_box() -> None:
    rng = np.random.default_rng(4)
    corners = rng.random((150, 4)) * 10
    boxes = [_Box(x, y, x + width, y + height) for x, y, width, height in corners.tolist()]
    taken = _Boxes(boxes[:3])
    for start in range(3, 150, 49):
        taken.add(boxes[start : start + 49])
    taken.add([])
    for box in boxes[:20]:
        assert taken.overlap(box) == pytest.approx(sum(box.overlap(part) for part in boxes), rel=1e-12)
    assert _Boxes([]).overlap(boxes[0]) == 0


def test_draws_that_are_kept_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    bits, num_bytes = rng.random((40, 3)), rng.random(40) + 1
    clusters = [str(number % 13) for number in range(40)]
    kept = [resampled_ratios(bits, num_bytes, clusters, stream=stream) for stream in (0, 7, 0)]
    monkeypatch.setattr("evalkit.stats._FEW", 0)
    for ratios, stream in zip(kept, (0, 7, 0), strict=True):
        np.testing.assert_array_equal(ratios, resampled_ratios(bits, num_bytes, clusters, stream=stream))
