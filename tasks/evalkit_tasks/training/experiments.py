"""Trained probes as experiments: seeds together, and sweeps over the number of layers.

Tables, files and plots group the cells and find the fewest layers here, and nowhere else.
"""

import dataclasses
from collections.abc import Hashable, Iterable
from statistics import median
from typing import NamedTuple

from evalkit.cells.probe_schema import ProbeCell, ProbeSpec, is_length
from evalkit_tasks.training.networks.architectures import ARCHITECTURES
from evalkit_tasks.training.tasks.catalog import task_names

SOLVED_ACCURACY = 0.9
"""Sequence accuracy of the median seed from which a number of layers suffices, where there is one bound."""

NO_SWEEP = (
    "no network was trained with several numbers of layers and otherwise alike; "
    "`evalkit probe train --layers 1,2,4` does that"
)
"""What to say where `layer_sweeps` finds none."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The seeds of one experiment: cells that differ in nothing else."""

    cells: tuple[ProbeCell, ...]
    """In the order of their seeds; at least one."""

    @property
    def spec(self) -> ProbeSpec:
        """How the network was trained and tested; the seed in it is the first."""
        return self.cells[0].spec

    @property
    def model(self) -> str:
        """The network as tables name it."""
        return self.cells[0].model.name

    @property
    def tests(self) -> list[str]:
        """The names of the tests, from short strings to long ones."""
        return list(self.cells[0].tests_by_length())

    @property
    def length_tests(self) -> list[str]:
        """Those of strings as in training, of one length each, from short to long: the points of a curve."""
        return [test for test in self.tests if is_length(test)]

    def values(self, test: str, metric: str) -> list[float]:
        """A metric of each seed that has it."""
        values = [cell.tests[test].metric(metric) for cell in self.cells]
        return [value for value in values if value is not None]

    def sequence_accuracies(self, test: str) -> list[float]:
        """The share of a test's strings with every label right, of each seed."""
        return [cell.tests[test].sequence_accuracy for cell in self.cells]


@dataclasses.dataclass(frozen=True)
class LayerSweep:
    """Experiments that differ in their number of layers alone."""

    experiments: tuple[Experiment, ...]
    """In the order of their layers; at least two, or one with one layer that was trained to an accuracy."""

    @property
    def layers_tried(self) -> tuple[int, ...]:
        """The numbers of layers, rising."""
        return tuple(experiment.spec.num_layers for experiment in self.experiments)


class FewestLayers(NamedTuple):
    """How few layers suffice for the strings of one test."""

    test: str
    layers: int | None
    """The fewest of those tried that suffice; None where not even the most do."""


def group_experiments(cells: Iterable[ProbeCell]) -> list[Experiment]:
    """Cells that differ in nothing but the seed together, in the order of tasks, networks and layers.

    What another version of the trainer made, or of the task, is another experiment.
    """
    groups: dict[Hashable, list[ProbeCell]] = {}
    for cell in cells:
        groups.setdefault(cell.experiment, []).append(cell)
    experiments = [
        Experiment(tuple(sorted(seeds, key=lambda cell: cell.spec.seed))) for seeds in groups.values()
    ]
    return sorted(experiments, key=_place)


def layer_sweeps(experiments: Iterable[Experiment]) -> list[LayerSweep]:
    """The experiments of which there are several that differ in their layers alone, these together.

    Of a network with one number of layers nothing is known of fewer, so it is in no sweep, unless that is one
    and it was trained until it was right: then a search for the fewest may have ended with it.
    """
    groups: dict[tuple[ProbeSpec, int, int | None], list[Experiment]] = {}
    for experiment in experiments:
        spec, cell = dataclasses.replace(experiment.spec, seed=0, num_layers=1), experiment.cells[0]
        groups.setdefault((spec, cell.trainer_version, cell.task.version), []).append(experiment)
    return [
        LayerSweep(tuple(sorted(group, key=lambda experiment: experiment.spec.num_layers)))
        for group in groups.values()
        if len(group) > 1 or (group[0].spec.num_layers == 1 and group[0].spec.stop_accuracy is not None)
    ]


def fewest_layers(sweep: LayerSweep, threshold: float = SOLVED_ACCURACY) -> list[FewestLayers]:
    """For each test, from short strings to long ones, the fewest layers that suffice.

    A number of layers suffices where the median of its seeds answers at least this share of the strings
    without a mistake.
    """
    return [
        FewestLayers(
            test,
            next(
                (
                    experiment.spec.num_layers
                    for experiment in sweep.experiments
                    if median(experiment.sequence_accuracies(test)) >= threshold
                ),
                None,
            ),
        )
        for test in sweep.experiments[0].length_tests
    ]


def _place(experiment: Experiment) -> tuple[int, str, int, str, int, str, int, int]:
    """Tasks and networks that are not ours come last."""
    spec, names, models = experiment.spec, task_names(), list(ARCHITECTURES)
    return (
        names.index(spec.task) if spec.task in names else len(names),
        spec.task,
        models.index(spec.model) if spec.model in models else len(models),
        experiment.model,
        spec.num_layers,
        spec.labels,
        spec.train_length,
        spec.num_steps,
    )
