"""Names of any kind stand on nothing, a model has one colour in every plot, and eight have lines."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evalkit import plots
from evalkit.analysis.results import read_results
from evalkit.corpora.context_gain import cut_contexts
from evalkit.corpora.store import save_corpus
from evalkit.plots.frame import NotebookFigure
from evalkit.plots.labels import spread
from evalkit.plots.lines import MOST_LINES, model_styles
from evalkit.plots.names import short
from evalkit.plots.panels import panels
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit_tasks.plots.probes import network_styles
from tests.support.cells import probe_content, task_content, write_cell_files
from tests.support.dated import World, dated_results
from tests.support.figures import Collision, collisions
from tests.support.stores import Counted, _documents, write_synthetic_store
from tests.support.toys import BigramModel, corpus_of
from tests.support.training_runs import corpus_of_lengths, write_checkpoint

NAMES = [
    "organisation-with-a-long-name/model-of-7.2B-parameters-instruct-checkpoint-000123",
    "W" * 60,
    "i" * 70,
    "a $x^2_$ \\frac {b}",
    "line\nbreak\ttab",
    "\u202eevil\u2066 turn",
    "e\u0301\u0301\u0301\u0301 combining n\u0303",
    "\u05e9\u05dc\u05d5\u05dd-7b",
    "\u0646\u0645\u0648\u0630\u062c-\u0627\u0644\u0644\u063a\u0629",
    "\U0001f600 <b>&",
]


def write_months(folder: Path) -> None:
    write_synthetic_store(folder, num_models=10, num_corpora=6, num_documents=6, names=NAMES)


def write_tokens(folder: Path) -> None:
    corpus = corpus_of(
        [document.text * 3 for document in _documents(5, 4, source="toy")], "long", date="2026-03-02"
    )
    models = [
        Counted(name, "the of and text 12\n" * (place + 1), 1 + place % 3, released="2025-12-31")
        for place, name in enumerate(NAMES)
    ]
    assert not run(models, [corpus], options=RunOptions(output=folder), token_bits=True).failures
    save_corpus(corpus)


def write_gains(folder: Path) -> None:
    texts = [f"{number} of many texts. " * 70 for number in range(6)]
    cut = cut_contexts(corpus_of(texts, "long", date="2026-03-02"), [0, 64])
    models = [BigramModel(name, seed) for seed, name in enumerate(NAMES)]
    assert not run(models, cut, options=RunOptions(output=folder)).failures


def write_training(folder: Path) -> None:
    lengths = np.arange(100, 900, 80)
    corpus = corpus_of_lengths(lengths)
    for place, name in enumerate(NAMES):
        for step in (1, 16):
            bits = lengths * (1.0 + step**-0.5 + 0.003 * place)
            write_checkpoint(folder, name.replace("/", ":").replace("\n", " "), step, corpus, bits)


def write_probes(folder: Path) -> None:
    for place, name in enumerate(NAMES):
        for layers, reach in ((1, 0.5), (2, 0.93)):
            for task in ("parity", "s3"):
                accuracies = {32: 1.0, 64: reach, 128: 0.2 - 0.01 * place}
                cell = probe_content(task, name, num_layers=layers, accuracies=accuracies)
                write_cell_files(folder / task / f"{place}-{layers}.json", cell)
        write_cell_files(folder / f"asked-{place}.json", task_content(name))


STORES: dict[Callable[[Path], None], tuple[str, ...]] = {
    write_months: ("parameters", "heatmap", "differences", "ranks", "months", "speed"),
    write_tokens: ("positions", "losses", "dates"),
    write_gains: ("context-gain",),
    write_training: ("curve",),
    write_probes: ("probe-lengths", "min-layers", "probe-heatmap", "heuristic-gain"),
}
ROWS = {"parameters", "heatmap", "differences", "speed", "probe-heatmap"}
"""Plots without lines, in which each model has a point or a row of its own."""
NUM_SERIES = {**dict.fromkeys(ROWS, 10), "differences": 9, "positions": 7}
"""The model that others are compared with has no number of its own."""
NETWORKS = {"probe-lengths", "min-layers", "probe-heatmap"}


@pytest.mark.parametrize("write", STORES, ids=lambda write: write.__name__.removeprefix("write_"))
def test_names_collide_with_nothing_and_colours_are_the_models(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
    write(tmp_path / "runs")
    results = read_results(tmp_path / "runs", warn=pytest.fail)
    for name in STORES[write]:
        told: list[str] = []
        figure = plots.draw(name, results, warn=told.append)
        assert isinstance(figure, NotebookFigure) and figure.marks
        assert collisions(figure) == [], name
        series = {mark.series for _, mark in figure.marks if not mark.series.startswith("source")}
        assert len(series) == NUM_SERIES.get(name, 8), name
        if name not in ROWS:
            assert any(line.startswith(f"{MOST_LINES} of ") and "draws others" in line for line in told), name
        styles = network_styles(results) if name in NETWORKS else model_styles(results)
        if name != "curve":  # whose lines are runs
            shown = {(mark.series, mark.color) for _, mark in figure.marks if mark.series in series}
            assert shown == {(model, styles[model]["color"]) for model in series}, name


def test_every_plot_is_measured() -> None:
    measured = {name for names in STORES.values() for name in names}
    assert measured | {"cutoffs"} == set(plots.find_plots().plots)


def test_a_panel_of_cutoffs_has_its_models_colour_and_days_as_far_apart_as_they_are() -> None:
    world = World(num_months=12, documents_per_month=25, step=0.1, num_panel=3)
    results = dated_results(world, dt.date(2023, 5, 20), seed=5)
    rows = [
        dataclasses.replace(row, label=name, model=name, facts=dataclasses.replace(row.facts, name=name))
        for row, name in zip(results.configurations, NAMES, strict=False)
    ]
    corpora = [corpus for place, corpus in enumerate(results.corpora) if place not in (2, 3)]
    results = dataclasses.replace(results, configurations=tuple(rows), corpora=tuple(corpora))
    figure = plots.cutoffs(results)
    assert isinstance(figure, NotebookFigure) and collisions(figure) == []
    styles = model_styles(results)
    by_panel = {axes: mark.color for axes, mark in figure.marks}
    assert sorted(by_panel.values()) == sorted(styles[name]["color"].lower() for name in NAMES[:4])
    assert {mark.series for _, mark in figure.marks} == set(NAMES[:4])  # what a page's legend picks out
    days = np.diff([mark.x for axes, mark in figure.marks if axes is figure.axes[0]])
    assert days.max() > 85 and days.min() > 20 and np.sort(days)[-2] < 40  # two months are missing


def test_what_collides_is_seen() -> None:
    figure, [axes] = panels("title", "conditions", num_panels=1, most_lines=1)
    axes.plot([0, 1], [0, 1], marker="o")
    for text in ("one", "two"):
        axes.text(0.5, 0.5, text)
    axes.text(0, 0, "start")
    axes.text(1.4, 0.5, "beyond", in_layout=False)
    pairs = [(pair.text, pair.on.split(" ")[0]) for pair in collisions(figure)]
    assert pairs == [("one", "two"), ("beyond", "edge"), ("start", "mark")]
    assert isinstance(collisions(figure)[0], Collision)


def test_places_stay_between_their_bounds() -> None:
    assert spread([-0.2, 0.5, 0.99, 1.0, 1.3], 0.1, 0.0, 1.0) == pytest.approx([0.0, 0.5, 0.8, 0.9, 1.0])
    assert spread([2.0, 2.0], 0.6, 0.0, 1.0) == pytest.approx([0.4, 1.0])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("\u6587" * 30, "\u6587" * 10 + "…" + "\u6587" * 11),  # two columns each
        ("a\u0301\n\u202e", "\u00e1\\n\\u202e"),
        ("o\u0323\u0302\u0301\u0301\u0301" + "x" * 60, "\u1ed9\u0301\u0301" + "x" * 20 + "…" + "x" * 22),
    ],
)
def test_names_are_cut_by_their_width_and_never_between_a_letter_and_its_marks(name: str, label: str) -> None:
    assert short(name) == label
