"""Which experiments may stand in one figure: those that were trained and tested under one protocol.

A protocol is everything in a spec but task, network, eigenvalues and seed, and the lengths, which tasks and
figures vary: of these only how the shortest training string follows from the longest.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from evalkit.cells.probe_schema import ProbeSpec
from evalkit.errors import UsageError
from evalkit_tasks.training.experiments import (
    SOLVED_ACCURACY,
    Experiment,
    LayerSweep,
    fewest_layers,
    layer_sweeps,
)
from evalkit_tasks.training.networks.architectures import ARCHITECTURES
from evalkit_tasks.training.spec import TrainSpec

_USUAL = 0
"""In a protocol's ``min_train_length``: what the task says, else a quarter of the longest."""


class LayerPoint(NamedTuple):
    """The fewest layers that track a state up to the length that they are trained on."""

    train_length: int
    layers: int | None
    """With which the median seed suffices; None where not even the most do."""
    seeds: tuple[int | None, ...]
    """The same of each seed by itself."""
    most_tried: int


class LayerCurve(NamedTuple):
    """A network on one task: the fewest layers by the length of the training strings."""

    task: str
    model: str
    points: tuple[LayerPoint, ...]
    """From short strings to long ones."""


def protocols_of(experiment: Experiment) -> list[ProbeSpec]:
    """The protocols that an experiment is under: two where its shortest string can be said in both ways."""
    spec = experiment.spec
    blank = dataclasses.replace(
        spec,
        task="",
        model="",
        negative_eigenvalues="",
        seed=0,
        train_length=0,
        learning_rate=None if _has_usual_rate(spec) else spec.learning_rate,
    )
    is_usual = spec.min_train_length == _usual_shortest(spec)
    return [blank, *([dataclasses.replace(blank, min_train_length=_USUAL)] if is_usual else [])]


def under_one_protocol(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The experiments of the protocol with most networks on most tasks; of equals the first.

    Layers are part of the protocol. Of a task those that were trained on strings of one length: where most
    networks were, and of equals the longest. Of a network that two versions of the trainer or of the task
    trained, what the newest did.
    """
    groups: dict[ProbeSpec, dict[tuple[str, int], dict[str, Experiment]]] = {}
    for experiment in experiments:
        for protocol in protocols_of(experiment):
            spec = experiment.spec
            networks = groups.setdefault(protocol, {}).setdefault((spec.task, spec.train_length), {})
            earlier = networks.get(experiment.model, experiment)
            networks[experiment.model] = max(earlier, experiment, key=_versions)
    return max(map(_of_one_length, groups.values()), key=len, default=[])


def _of_one_length(groups: Mapping[tuple[str, int], Mapping[str, Experiment]]) -> list[Experiment]:
    """Of each task the largest group, by task and length; of equals the one with the longest strings."""
    largest: dict[str, Mapping[str, Experiment]] = {}
    for (task, _), group in sorted(groups.items(), key=lambda item: (len(item[1]), item[0][1])):
        largest[task] = group
    return [experiment for group in largest.values() for experiment in group.values()]


def layer_curves(experiments: Iterable[Experiment]) -> list[LayerCurve]:
    """The fewest layers by trained length, of the protocol with the most points; of equals the first.

    A network that was not tested at the length it was trained on gives no point; one that two versions of the
    trainer or of the task trained has that of the newest.
    """
    groups: dict[ProbeSpec, list[LayerSweep]] = {}
    for sweep in layer_sweeps(experiments):
        first = sweep.experiments[0]
        if str(first.spec.train_length) in first.length_tests:
            for protocol in protocols_of(first):
                groups.setdefault(dataclasses.replace(protocol, num_layers=0), []).append(sweep)
    curves: dict[tuple[str, str], dict[int, LayerSweep]] = {}
    for sweep in max(groups.values(), key=len, default=[]):
        first = sweep.experiments[0]
        of_length = curves.setdefault((first.spec.task, first.model), {})
        earlier = of_length.get(first.spec.train_length, sweep)
        of_length[first.spec.train_length] = max(
            earlier, sweep, key=lambda candidate: _versions(candidate.experiments[0])
        )
    return [
        LayerCurve(*names, tuple(_point(of_length[length]) for length in sorted(of_length)))
        for names, of_length in curves.items()
    ]


def _versions(experiment: Experiment) -> tuple[int, int]:
    cell = experiment.cells[0]
    return cell.trainer_version, cell.task.version or 0


def _point(sweep: LayerSweep) -> LayerPoint:
    test = str(sweep.experiments[0].spec.train_length)
    layers = {fewest.test: fewest.layers for fewest in fewest_layers(sweep)}[test]
    of_seed: dict[int, int | None] = {}
    for experiment in reversed(sweep.experiments):
        accuracies = experiment.sequence_accuracies(test)
        for cell, accuracy in zip(experiment.cells, accuracies, strict=True):
            before = of_seed.get(cell.spec.seed)
            of_seed[cell.spec.seed] = experiment.spec.num_layers if accuracy >= SOLVED_ACCURACY else before
    seeds = tuple(of_seed[seed] for seed in sorted(of_seed))
    return LayerPoint(sweep.experiments[0].spec.train_length, layers, seeds, sweep.layers_tried[-1])


def _has_usual_rate(spec: ProbeSpec) -> bool:
    return spec.model in ARCHITECTURES and spec.learning_rate == ARCHITECTURES[spec.model].learning_rate


def _usual_shortest(spec: ProbeSpec) -> int | None:
    """The shortest training string where nothing is said; None of a task that there is not."""
    try:
        return TrainSpec(spec.task, "lstm", train_length=spec.train_length).resolved().min_train_length
    except UsageError:
        return None
