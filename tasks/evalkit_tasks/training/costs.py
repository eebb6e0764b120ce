"""What training a set of cells would cost, before any of it is done."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit_tasks.training.cells import find_cell
from evalkit_tasks.training.networks.architectures import NetworkOptions, build_network, display_name
from evalkit_tasks.training.spec import TrainSpec, check_spec, network_options
from evalkit_tasks.training.tasks.catalog import get_task


class Cost(NamedTuple):
    """What training some cells takes."""

    num_cells: int = 0
    num_tokens: int = 0
    num_operations: int = 0
    """Forward and backward of the matrix products; what carries the state comes on top."""

    def plus(self, cost: "Cost") -> "Cost":
        """The cost of these cells and of others together."""
        return Cost(*(a + b for a, b in zip(self, cost, strict=True)))

    def __str__(self) -> str:
        return f"{self.num_tokens / 1e6:,.1f} M tokens, {self.num_operations / 1e12:,.2f} TFLOP"


def cost_lines(specs: Sequence[TrainSpec], output: Path) -> list[str]:
    """What a set of cells would cost: how many are missing, and by task and network what they take.

    Args:
        specs: of the cells.
        output: the folder of all results, which is only read.
    """
    lines: list[str] = []
    missing = [spec for spec in specs if not find_cell(spec, output, lines.append, dry_run=True)]
    lines.append(f"{len(specs) - len(missing)} of {len(specs)} cells done, {len(missing)} to train")
    total = Cost()
    by_name: dict[tuple[str, str], Cost] = {}
    for spec in missing:
        cost = training_cost(spec)
        name = spec.task, display_name(spec.model, spec.negative_eigenvalues)
        by_name[name] = by_name.get(name, Cost()).plus(cost)
        total = total.plus(cost)
    lines += [f"  {task}, {model}: {cost.num_cells} cells, {cost}" for (task, model), cost in by_name.items()]
    lines.append(f"  training in all: {total}")
    return lines


def training_cost(spec: TrainSpec) -> Cost:
    """What one cell takes: every batch at its mean length, with the start token.

    All learning rates to the last step: an upper bound where a training may end before.
    """
    spec = dataclasses.replace(spec.resolved(), seed=0)  # the size of a network does not depend on it
    num_steps = spec.num_steps * len(spec.learning_rates or (None,))
    num_tokens = round(num_steps * spec.batch_size * (_mean_length(spec) + 1))
    # Two operations for each parameter and token forward, and four backward.
    return Cost(1, num_tokens, 6 * _num_parameters(spec) * num_tokens)


def _mean_length(spec: TrainSpec) -> float:
    """Letters of a batch's strings, those that only pad it to its longest included."""
    task, shortest = get_task(spec.task), spec.min_train_length or 1
    if task.mixture is None:
        return (spec.train_length + shortest) / 2
    if task.mixture.is_mixed_in_batches:
        return spec.train_length
    parts = task.mixture.parts(shortest, spec.train_length)
    return sum(part.weight * part.length for part in parts) / sum(part.weight for part in parts)


def _num_parameters(spec: TrainSpec) -> int:
    return _network_size(spec.model, network_options(spec, check_spec(spec), max_tokens=1))


@functools.cache
def _network_size(model: str, options: NetworkOptions) -> int:
    return sum(parameter.numel() for parameter in build_network(model, options).parameters())
