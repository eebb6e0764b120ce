"""The fewest layers with which a network reaches an accuracy at the length that it is trained on.

Layers are doubled until they suffice, and what is between is halved: deep networks, which cost most, are only
trained where shallow ones fail. That more layers do not do worse is assumed; a table of the cells shows what
was tried.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from evalkit.cells.probe_schema import ProbeCell
from evalkit_tasks.training.experiments import SOLVED_ACCURACY
from evalkit_tasks.training.spec import TrainSpec


def next_layers(suffices: Mapping[int, bool], highest: int) -> int | None:
    """The number of layers to try next, or None when the fewest is known.

    Args:
        suffices: whether each number of layers tried so far reached the accuracy.
        highest: the most layers to try.
    """
    too_few = max((layers for layers, does in suffices.items() if not does), default=0)
    enough = min((layers for layers, does in suffices.items() if does and layers > too_few), default=None)
    if enough is None:
        return None if too_few >= highest else min(highest, max(1, 2 * too_few))
    return (too_few + enough) // 2 if enough - too_few > 1 else None


def is_reached(cells: Sequence[ProbeCell], threshold: float = SOLVED_ACCURACY) -> bool:
    """Whether the median seed gets so many of the test strings of the training length wholly right."""
    accuracies = [cell.tests[str(cell.spec.train_length)].sequence_accuracy for cell in cells]
    return median(accuracies) >= threshold


def search_layers(
    specs: Sequence[TrainSpec],
    highest: int,
    train: Callable[[Sequence[TrainSpec]], Sequence[ProbeCell]],
) -> dict[TrainSpec, int | None]:
    """The fewest layers of each network that reach `SOLVED_ACCURACY`.

    Args:
        specs: seeds of networks with any number of layers; those that differ in the seed alone are one
            network's.
        highest: the most layers to try.
        train: makes the cells of specs, those that failed left out.

    Returns:
        By the spec with seed 0 and 1 layer; None where not even the most layers suffice.
    """
    seeds: dict[TrainSpec, list[int]] = {}
    for spec in specs:
        seeds.setdefault(dataclasses.replace(spec, seed=0, num_layers=1), []).append(spec.seed)
    suffices: dict[TrainSpec, dict[int, bool]] = {base: {} for base in seeds}
    while True:
        tries = {base: next_layers(suffices[base], highest) for base in seeds}
        wave = {
            base: [dataclasses.replace(base, seed=seed, num_layers=layers) for seed in seeds[base]]
            for base, layers in tries.items()
            if layers is not None
        }
        if not wave:
            return {
                base: min((layers for layers, does in of_base.items() if does), default=None)
                for base, of_base in suffices.items()
            }
        cells = {
            cell.path.stem: cell for cell in train([spec for of_base in wave.values() for spec in of_base])
        }
        for base, of_base in wave.items():
            done = [cells[spec.key()] for spec in of_base if spec.key() in cells]
            suffices[base][of_base[0].num_layers] = len(done) == len(of_base) and is_reached(done)
