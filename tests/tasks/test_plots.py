"""Plots of trained probes say what the cells and the tables say."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from evalkit import plots
from evalkit.errors import UsageError
from evalkit_tasks.plots import min_layers, probe_lengths
from evalkit_tasks.training.cells import read_cells
from evalkit_tasks.training.plot_data import fewest_layers_records
from tests.support.cells import probe_content, probe_test, write_cell_files

Tests = dict[str, tuple[int, int, float]]
"""By name: the shortest and the longest string, and the sequence accuracy."""


def write_probe(folder: Path, model: str, num_layers: int, tests: Tests, seed: int = 0) -> None:
    content: dict[str, Any] = probe_content("parity", model, num_layers=num_layers, seed=seed)
    content["tests"] = {name: probe_test(*facts) for name, facts in tests.items()}
    write_cell_files(folder / "probes" / "parity" / model / f"{num_layers}-{seed}.json", content)


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    for num_layers, reach in ((1, 0.5), (2, 0.93)):
        for seed, shift in enumerate((-0.1, 0.0, 0.05)):
            tests = {"32": (32, 32, 1.0), "64": (64, 64, reach + shift), "128": (128, 128, 0.2)}
            write_probe(tmp_path, "rwkv7", num_layers, tests, seed)
    return tmp_path


def test_lines_are_medians_of_seeds(probes: Path) -> None:
    lines = [
        tuple(line.get_ydata())
        for line in probe_lengths(probes).axes[0].lines
        if line.get_marker() not in ("", "None")
    ]
    assert sorted(lines) == [(1.0, 0.5, 0.2), (1.0, 0.93, 0.2)]
    figure = min_layers(probes)
    [line] = [
        line for line in figure.axes[0].lines if len(line.get_xdata()) == 3 and line.get_marker() == "None"
    ]
    assert list(line.get_ydata()) == [1, 2, 3]  # 3: above the line, none of those tried
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-1] == "> 2"


def drawn_points(figure: Figure) -> list[tuple[float, int | None]]:
    """Letters and layers of each marker; None for the hollow ones."""
    markers = [line for line in figure.axes[0].lines if line.get_marker() not in ("", "None")]
    return [
        (
            float(line.get_xdata()[0]),
            None if line.get_markerfacecolor() == "white" else round(float(line.get_ydata()[0])),
        )
        for line in markers
    ]


def test_the_plot_shows_the_fewest_layers_of_the_table_and_no_others(tmp_path: Path) -> None:
    # Of the second network fewer layers than two
    # were not trained, so that nobody knows whether two are the fewest.
    lengths = {"32": (32, 32), "64": (64, 64), "32-128": (32, 128), "128": (128, 128)}
    for model, num_layers, accuracies in (
        ("rwkv7", 1, (1.0, 0.95, 0.5, 0.2)),
        ("rwkv7", 2, (1.0, 1.0, 0.92, 0.2)),
        ("lstm", 2, (1.0, 1.0, 1.0, 1.0)),
    ):
        tests = {
            name: (*span, accuracy)
            for (name, span), accuracy in zip(lengths.items(), accuracies, strict=True)
        }
        write_probe(tmp_path, model, num_layers, tests)
    records = fewest_layers_records(read_cells(tmp_path))
    assert [(record["model"], record["test"], record["min_layers_0.90"]) for record in records] == [
        ("rwkv7", "32", 1),
        ("rwkv7", "64", 1),
        ("rwkv7", "128", None),
    ]
    figure = min_layers(tmp_path)
    # The range is no point among the lengths, and no line beside them.
    expected = [(32, 1), (64, 1), (128, None)]
    assert sorted(drawn_points(figure), key=str) == sorted(expected, key=str)
    lines = [
        line for line in figure.axes[0].lines if line.get_marker() == "None" and line.get_linewidth() > 1
    ]
    assert [list(line.get_xdata()) for line in lines] == [[32, 64, 128]]
    assert not [text for text in figure.axes[0].texts if "lstm" in text.get_text()]
    conditions = " ".join(figure.texts[1].get_text().split())
    assert "; not drawn, for they were trained with one number of layers alone: parity: lstm" in conditions


def test_a_range_of_lengths_is_no_point_on_the_curve(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.4, 0.5, 0.8)):
        tests = {"32": (32, 32, 1.0), "64": (64, 64, 0.9), "40-256": (40, 256, accuracy)}
        write_probe(tmp_path, "rwkv7", 1, tests, seed)
    [axes] = probe_lengths(tmp_path).axes
    lines = [
        (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines if line.get_zorder() == 2
    ]
    assert lines[0] == ([32, 64], [1.0, 0.9])
    assert axes.get_xlim()[1] < 70
    write_probe(tmp_path / "ranges", "rwkv7", 1, {"40-256": (40, 256, 0.5)})
    with pytest.raises(UsageError, match="no trained probe here was tested on strings of one length"):
        probe_lengths(tmp_path / "ranges")


def test_a_name_that_is_not_there_and_a_sweep_that_is_none_are_said(probes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown model 'rwkv8'\. Did you mean rwkv7"):
        probe_lengths(probes, models=["rwkv8"])
    with pytest.raises(UsageError, match=r"unknown task 'parrity'\. Did you mean parity"):
        min_layers(probes, tasks=["parrity"])
    write_probe(tmp_path / "one", "rwkv7", 2, {"32": (32, 32, 1.0)})
    with pytest.raises(UsageError, match=r"/one: no network was trained with several numbers of layers"):
        min_layers(tmp_path / "one")


def test_evalkit_finds_the_plots(probes: Path) -> None:
    table = plots.find_plots()
    assert not table.broken
    assert table.plots["min-layers"].draw is min_layers
    assert table.plots["probe-lengths"].draw is probe_lengths
    shown = plots.figure_bytes(plots.draw("min-layers", probes, models=("rwkv7",)), ".svg")
    assert shown == plots.figure_bytes(min_layers(probes), ".svg")
