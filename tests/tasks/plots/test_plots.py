"""Plots of probes say what the cells and the tables say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalkit import plots
from evalkit.errors import UsageError
from evalkit_tasks.plots.gains import heuristic_gain
from evalkit_tasks.plots.layers import min_layers
from evalkit_tasks.plots.lengths import probe_lengths
from evalkit_tasks.plots.scaled import probe_heatmap
from evalkit_tasks.training.cells import read_cells
from evalkit_tasks.training.experiments import group_experiments
from evalkit_tasks.training.plot_data import fewest_layers_records
from evalkit_tasks.training.protocols import LayerPoint, layer_curves, under_one_protocol
from tests.support.cells import probe_content, probe_test, task_content, write_cell_files


def write_probe(
    folder: Path,
    accuracies: Mapping[int, float],
    model: str = "rwkv7",
    num_layers: int = 1,
    seed: int = 0,
    *,
    task: str = "parity",
    **spec: Any,
) -> None:
    """A cell with a test of each length, by its sequence accuracy, and what else its spec says."""
    content = probe_content(task, model, num_layers=num_layers, seed=seed, accuracies=accuracies)
    content["spec"] |= spec
    number = len(list(folder.glob("probes/*/*/*.json")))
    write_cell_files(folder / "probes" / task / model / f"{number}.json", content)


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    for num_layers, reach in ((1, 0.5), (2, 0.93)):
        for seed, shift in enumerate((-0.1, 0.0, 0.05)):
            write_probe(tmp_path, {32: 1.0, 64: reach + shift, 128: 0.2}, num_layers=num_layers, seed=seed)
    return tmp_path


def marked(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """The lines with markers, in the order in which they were drawn."""
    return [
        ([float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()])
        for line in axes.lines
        if line.get_marker() not in ("", "None", None)
    ]


def names(axes: Axes) -> set[str]:
    return {text.get_text() for text in axes.texts}


def conditions(figure: Figure) -> str:
    return " ".join(figure.texts[1].get_text().split())


def test_each_network_has_the_line_of_its_training_that_reaches_furthest(probes: Path) -> None:
    write_probe(probes, {64: 1.0, 128: 0.9}, "lstm")
    write_probe(probes, {4: 1.0, 8: 1.0}, "lstm", train_length=4)  # fewer networks have this length
    figure = probe_lengths(probes)
    [axes] = figure.axes
    assert marked(axes) == [([32, 64, 128], [1.0, 0.93, 0.2]), ([64, 128], [1.0, 0.9])]
    assert names(axes) == {"rwkv7, 2 layers", "lstm, 1 layer", "chance"}
    assert "; not drawn: 2 trainings of other layers, lengths or settings" in conditions(figure)
    assert (axes.get_title(loc="left"), axes.get_title(loc="right")) == ("parity", "solvable group")


def test_what_guessing_and_a_constant_answer_get_is_dashed(tmp_path: Path) -> None:
    content = probe_content("parity", "rwkv7", accuracies={32: 1.0, 64: 0.7})
    content["spec"]["labels"] = "last"
    for test, majority in zip(content["tests"].values(), (0.6, 0.55), strict=True):
        test |= {
            "majority_sequence_accuracy": majority,
            "majority_last_position_accuracy": majority,
            "num_distinct": 1000,
        }
    write_cell_files(tmp_path / "probes" / "parity" / "rwkv7" / "0.json", content)
    [axes] = probe_lengths(tmp_path).axes
    dashed = [list(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed == [[0.5, 0.5], [0.6, 0.55]]
    assert {"chance", "constant answer"} <= names(axes)
    # Every letter asked about: guessing gets 2 to the 2nd and 4th of the strings, which ends as the rest.
    write_probe(tmp_path / "every", {2: 1.0, 4: 0.5}, task="mod-2")
    [axes] = probe_lengths(tmp_path / "every").axes
    assert [list(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "--"] == [[0.25, 0.0625]]


def test_a_range_of_lengths_is_no_point_on_the_curve(tmp_path: Path) -> None:
    content = probe_content(accuracies={32: 1.0, 64: 0.9})
    content["tests"]["40-256"] = probe_test(40, 256, 0.5)
    write_cell_files(tmp_path / "probes" / "parity" / "rwkv7" / "0.json", content)
    [axes] = probe_lengths(tmp_path).axes
    assert marked(axes) == [([32, 64], [1.0, 0.9])]
    assert axes.get_xlim()[1] < 70
    content["tests"] = {"40-256": probe_test(40, 256, 0.5)}
    write_cell_files(tmp_path / "ranges" / "probes" / "parity" / "rwkv7" / "0.json", content)
    with pytest.raises(UsageError, match="no trained probe here was tested on strings of one length"):
        probe_lengths(tmp_path / "ranges")


def test_fewest_layers_are_those_of_the_length_trained_on(tmp_path: Path) -> None:
    # At 8 letters a quarter is 2: these belong to the protocol of at least 2 letters all the same.
    of_length = {
        4: {1: (0.95, 1.0, 0.5)},
        8: {1: (0.8, 0.95, 0.5), 2: (0.95, 0.95, 0.5)},
        12: {1: (0.2, 0.2, 0.2), 2: (0.5, 0.95, 0.5)},
    }
    for length, of_layers in of_length.items():
        for num_layers, accuracies in of_layers.items():
            for seed, accuracy in enumerate(accuracies):
                write_probe(
                    tmp_path,
                    {length: accuracy, 2 * length: 0.99},
                    num_layers=num_layers,
                    seed=seed,
                    train_length=length,
                    min_train_length=2,
                    stop_accuracy=0.99,
                )
    write_probe(tmp_path, {8: 1.0}, "lstm", train_length=8, min_train_length=2)
    figure = min_layers(tmp_path)
    [axes] = figure.axes
    [(lengths, heights)] = [
        (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
        if len(line.get_xdata()) == 3 and line.get_linewidth() > 1
    ]
    assert (lengths, heights) == ([4, 8, 12], [1, 2, 2.5])  # 2.5: more than the two tried
    points = marked(axes)
    assert [(x, y) for [x], [y] in points if x == int(x)] == [(4, 1), (8, 2), (12, 2.5)]
    assert [y for [x], [y] in points if x != int(x)] == [1, 1, 1.5, 1, 2, 2.5, 2, 2.5, 2.5]
    assert "; not drawn, for they were trained otherwise: 1 network" in conditions(figure)
    records = fewest_layers_records(read_cells(tmp_path))
    at_trained = [
        record["min_layers_0.90"] for record in records if record["test"] == str(record["train_length"])
    ]
    assert at_trained == [1, 2, None]


def test_a_curve_has_one_point_for_a_length_and_only_of_tests_at_that_length(tmp_path: Path) -> None:
    # The older trainer's layers did not suffice; of another protocol there are more sweeps, none of which was
    # tested at the length it was trained on.
    for version, accuracy in ((1, 0.5), (2, 1.0)):
        for num_layers in (1, 2):
            content = probe_content("parity", "rwkv7", num_layers=num_layers, accuracies={32: accuracy})
            content["trainer_version"] = version
            path = tmp_path / "probes" / "parity" / "rwkv7" / f"{version}-{num_layers}.json"
            write_cell_files(path, content)
    for model in ("gru", "lstm", "mamba2"):
        for num_layers in (1, 2):
            write_probe(tmp_path, {64: 1.0}, model, num_layers, num_steps=9)
    experiments = group_experiments(read_cells(tmp_path))
    [curve] = layer_curves(experiments)
    assert (curve.model, curve.points) == ("rwkv7", (LayerPoint(32, 1, (1,), 2),))
    of_rwkv7 = [experiment for experiment in experiments if experiment.model == "rwkv7"]
    assert [experiment.cells[0].trainer_version for experiment in under_one_protocol(of_rwkv7)] == [2]


def test_the_heat_map_has_the_cells_of_one_protocol(tmp_path: Path) -> None:
    lengths = {"parity": 16, "s3": 32}
    for model, task, seed in ((m, t, s) for m in ("lstm", "rwkv7") for t in lengths for s in range(3)):
        if (model, task) == ("lstm", "s3"):
            continue
        length = lengths[task]
        content = probe_content(task, model, seed=seed, accuracies={length: 0.5, 16 * length: 0.2})
        content["spec"] |= {"train_length": length, "min_train_length": length // 4}
        for number, test in enumerate(content["tests"].values()):
            test["scaled_token_accuracy"] = (0.9, 0.7, 0.75)[seed] - 0.5 * number
            test["token_accuracy_low"] = 0.6 - 0.2 * number
        write_cell_files(tmp_path / "probes" / task / model / f"{seed}.json", content)
    write_probe(tmp_path, {32: 1.0, 512: 1.0}, "gru", task="s3", num_steps=9)
    # A quarter of 64: the same protocol, but of another length than most of the task's networks.
    write_probe(tmp_path, {64: 1.0}, "rwkv7", task="parity", train_length=64, min_train_length=16)
    figure = probe_heatmap(tmp_path)
    trained, long = figure.axes[:2]
    assert [text.get_text() for text in trained.texts] == ["0.75", "0.75", "0.75"]
    assert [text.get_text() for text in long.texts] == ["~0.25", "~0.25", "~0.25"]
    assert [label.get_text() for label in trained.get_yticklabels()] == ["rwkv7", "lstm"]
    assert [label.get_text() for label in long.get_xticklabels()] == ["parity, T 16", "s3, T 32"]
    assert long.get_title(loc="left") == "strings 16 times as long"
    assert "2 experiments under other protocols" in conditions(figure)
    with pytest.raises(UsageError, match="needs two networks and two tasks or more under one protocol"):
        probe_heatmap(tmp_path, models=["gru"])


def test_gains_over_the_heuristic_are_those_of_the_cells(tmp_path: Path) -> None:
    content = task_content(task="boxes")
    content["summary"][0]["further"] |= {"gain": 0.671875, "gain from": 0.5, "gain to": 0.75}
    # The heuristic that was chosen on other items is worse than a guess: a guess is what counts.
    content["summary"].append({**content["summary"][1], "bucket": "5–8", "baseline_accuracy": 0.1})
    content["summary"].append({**content["summary"][1], "bucket": "all"})
    write_cell_files(tmp_path / "boxes.json", content)
    [axes] = heuristic_gain(tmp_path).axes
    assert marked(axes) == [([0, 1, 2], [0.984375 - 0.3125, 0.25 - 0.3125, 0.25 - 1 / 6])]
    bars = {line.get_xdata()[0]: list(line.get_ydata()) for line in axes.lines if line.get_alpha() == 0.7}
    assert bars[0] == [0.5, 0.75] and 1 not in bars  # the second row has no interval
    assert bars[2] == [0.16 - 1 / 6, 0.368 - 1 / 6]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1–2", "3–4", "5–8"]
    assert axes.get_title(loc="left") == "boxes: likelihood, 4 shots"
    with pytest.raises(UsageError, match=r"unknown task 'box'\. Did you mean boxes"):
        heuristic_gain(tmp_path, tasks=["box"])
    with pytest.raises(UsageError, match="no trained probe here"):
        probe_heatmap(tmp_path)


def test_a_name_that_is_not_there_and_a_sweep_that_is_none_are_said(probes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown model 'rwkv8'\. Did you mean rwkv7"):
        probe_lengths(probes, models=["rwkv8"])
    with pytest.raises(UsageError, match=r"unknown task 'parrity'\. Did you mean parity"):
        min_layers(probes, tasks=["parrity"])
    write_probe(tmp_path / "one", {32: 1.0}, num_layers=2)
    with pytest.raises(UsageError, match=r"/one: no network was trained with several numbers of layers"):
        min_layers(tmp_path / "one")


def test_evalkit_finds_the_plots(probes: Path) -> None:
    table = plots.find_plots()
    assert not table.broken
    assert table.plots["min-layers"].draw is min_layers
    assert table.plots["probe-lengths"].draw is probe_lengths
    assert {"probe-heatmap", "heuristic-gain"} <= table.plots.keys()
    shown = plots.figure_bytes(plots.draw("min-layers", probes, models=("rwkv7",)), ".svg")
    assert shown == plots.figure_bytes(min_layers(probes), ".svg")
