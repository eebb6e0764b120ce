"""Trained probes as experiments: seeds together, and the fewest layers that suffice."""

from pathlib import Path
from typing import Any

from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.reading import cell_of, check_kind
from evalkit.fields import JsonValue
from evalkit_tasks.training.experiments import fewest_layers, group_experiments, layer_sweeps
from tests.support.cells import probe_content


def cell(num_layers: int, seed: int, accuracies: dict[int, float], **changes: JsonValue) -> ProbeCell:
    """A cell of a network; the changes are of its spec, or of the trainer's version."""
    content: dict[str, Any] = probe_content(num_layers=num_layers, seed=seed, accuracies=accuracies)
    content["trainer_version"] = changes.pop("trainer_version", content["trainer_version"])
    content["spec"] |= changes
    content["sha256"] = ""
    return check_kind(ProbeCell, cell_of(Path(f"{num_layers}-{seed}.json"), content))


def test_seeds_are_one_experiment_and_whatever_else_differs_makes_another() -> None:
    cells = [cell(layers, seed, {32: 0.5}) for layers in (2, 1) for seed in (1, 0)]
    cells += [cell(1, 0, {32: 0.5}, width=128), cell(1, 2, {32: 0.5}, trainer_version=1)]
    cells += [cell(1, 0, {32: 0.5}, model="rwkv9")]
    experiments = group_experiments(cells)
    facts = [
        (e.spec.model, e.spec.num_layers, e.spec.width, [c.spec.seed for c in e.cells]) for e in experiments
    ]
    assert facts == [
        ("rwkv7", 1, 64, [0, 1]),
        ("rwkv7", 1, 128, [0]),
        ("rwkv7", 1, 64, [2]),
        ("rwkv7", 2, 64, [0, 1]),
        ("rwkv9", 1, 64, [0]),
    ]
    [sweep] = layer_sweeps(experiments)
    assert sweep.layers_tried == (1, 2)
    assert all(len(experiment.cells) == 2 for experiment in sweep.experiments)


def test_the_median_seed_decides_and_the_fewest_layers_win() -> None:
    cells = [
        cell(layers, seed, {32: short, 64: long})
        for layers, of_seed in {
            4: [(1.0, 0.7), (1.0, 0.8), (1.0, 1.0)],
            1: [(0.9, 0.1), (0.89, 0.1), (1.0, 0.1)],
            2: [(0.5, 0.95), (0.5, 0.92), (0.5, 0.2)],
        }.items()
        for seed, (short, long) in enumerate(of_seed)
    ]
    [sweep] = layer_sweeps(group_experiments(cells))
    assert sweep.layers_tried == (1, 2, 4)
    assert fewest_layers(sweep) == fewest_layers(sweep, 0.9) == [("32", 1), ("64", 2)]
    assert fewest_layers(sweep, 0.93) == [("32", 4), ("64", None)]


def test_one_layer_that_was_trained_to_an_accuracy_is_the_end_of_a_search() -> None:
    fixed, searched = cell(1, 0, {32: 1.0}), cell(1, 0, {32: 1.0}, stop_accuracy=0.99)
    [sweep] = layer_sweeps(group_experiments([fixed, searched, cell(2, 0, {32: 1.0}, stop_accuracy=0.9)]))
    assert sweep.experiments[0].spec.stop_accuracy == 0.99
    assert fewest_layers(sweep) == [("32", 1)]
