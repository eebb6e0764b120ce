"""Named sets of cells: ``quick`` checks published claims on a CPU, ``paper`` is for a GPU.

``tracking`` is every network on ten tasks under one protocol, for a night of two cores; ``tracking-small``
has fewer steps and shorter strings, in an order in which what is done at any time says something.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from evalkit.cells.probe_schema import ProbeCell
from evalkit.errors import unknown_name
from evalkit_tasks.training.networks.architectures import ARCHITECTURES
from evalkit_tasks.training.spec import LEARNING_RATES, TrainSpec

PUBLISHED_RANGE = (40, 256)
"""Lengths that the literature tests after training on up to 40 letters."""


class Claim(NamedTuple):
    """What every seed of a spec has to show."""

    text: str
    spec: TrainSpec
    """With seed 0; the suite says how many there are."""
    test: str
    metric: str
    low: float
    high: float
    source: str
    num_seeds: int = 3

    def specs(self) -> list[TrainSpec]:
        """The spec with each of the seeds that have to show the claim."""
        return [dataclasses.replace(self.spec, seed=seed) for seed in range(self.num_seeds)]

    def values(self, cells: Iterable[ProbeCell]) -> dict[int, float]:
        """The metric of each seed that has been trained."""
        keys = {spec.key(): spec.seed for spec in self.specs()}
        values = {
            keys[cell.path.stem]: cell.tests[self.test].metric(self.metric)
            for cell in cells
            if cell.path.stem in keys
        }
        return {seed: value for seed, value in values.items() if value is not None}

    def holds(self, values: dict[int, float]) -> bool:
        """Whether all seeds are there and within the bounds."""
        return len(values) == self.num_seeds and all(self.low <= v <= self.high for v in values.values())


def suite_specs(name: str) -> list[TrainSpec]:
    """The cells of a suite.

    Raises:
        UsageError: an unknown suite.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES, f"Known: {', '.join(SUITES)}.")
    return list(SUITES[name]())


def narrowed(
    specs: Iterable[TrainSpec], kind: Literal["task", "model"], names: Iterable[str], suite: str
) -> list[TrainSpec]:
    """Those of a suite's cells that are of these tasks or networks.

    Raises:
        UsageError: the suite has no such task or network.
    """
    specs, names = list(specs), list(names)
    own_names = list(dict.fromkeys(getattr(spec, kind) for spec in specs))
    for name in names:
        if name not in own_names:
            raise unknown_name(kind, name, own_names, f"The suite {suite} has: {', '.join(own_names)}.")
    return [spec for spec in specs if getattr(spec, kind) in names]


def _quick() -> Iterable[TrainSpec]:
    """The cells that the claims are about, each once."""
    return dict.fromkeys(spec for claim in quick_claims() for spec in claim.specs())


def quick_claims() -> list[Claim]:
    """What the quick suite has to show.

    Budgets are in steps, so that the outcome does not depend on how busy the machine is.
    """
    between = "40-256"
    last, every = "last_position_accuracy", "sequence_accuracy"
    parity = functools.partial(
        TrainSpec, "parity", train_length=40, test_range=PUBLISHED_RANGE, num_items=512
    )
    c1 = parity(model="rwkv7", num_steps=300, learning_rate=2e-3, test_multiples=(1, 2, 4))
    c2 = dataclasses.replace(c1, negative_eigenvalues="full")
    delta = parity(
        model="deltanet", num_layers=2, num_steps=600, learning_rate=4e-3, test_multiples=(1, 2, 4)
    )
    signed_delta = dataclasses.replace(delta, negative_eigenvalues="full")
    transformer = parity(model="transformer-rope", num_layers=2, num_steps=300, test_multiples=(1, 2, 4))
    lstm = parity(model="lstm", num_steps=200)
    lstm_s3 = TrainSpec("s3", "lstm", num_steps=600)
    swaps = TrainSpec(
        "s5-swaps", "rwkv7", negative_eigenvalues="full", num_steps=600, test_multiples=(1, 2, 4, 8)
    )
    swaps_c1 = dataclasses.replace(swaps, negative_eigenvalues="off")
    return [
        Claim("LSTM solves parity at 16x", lstm, "640", every, 0.99, 1.0, _CHOMSKY),
        Claim("LSTM solves S3 at 16x", lstm_s3, "512", every, 0.99, 1.0, "own measurement"),
        Claim("RWKV-7 c=1 fails parity, 40 to 256", c1, between, last, 0.46, 0.56, _SLICE),
        Claim("RWKV-7 c=2 solves parity at 2x, 1 layer", c2, "80", every, 0.99, 1.0, _RWKV7),
        Claim("RWKV-7 c=2 solves parity at 4x, 1 layer", c2, "160", every, 0.95, 1.0, _RWKV7),
        Claim("RWKV-7 c=2 solves S5 by swaps at 2x, 1 layer", swaps, "64", every, 0.99, 1.0, _RWKV7),
        Claim("RWKV-7 c=2 solves S5 by swaps at 4x, 1 layer", swaps, "128", every, 0.95, 1.0, _RWKV7),
        Claim(
            "RWKV-7 c=1 cannot fit S5 by swaps, 1 layer", swaps_c1, "32", every, 0.0, 0.1, "own measurement"
        ),
        Claim("DeltaNet [0,1] fails parity, 40 to 256", delta, between, last, 0.45, 0.63, _SLICE),
        Claim("DeltaNet [-1,1] solves parity at 2x", signed_delta, "80", every, 0.95, 1.0, _SLICE),
        Claim("DeltaNet [-1,1] tracks parity, 40 to 256", signed_delta, between, last, 0.85, 1.0, _SLICE),
        Claim("Transformer fails parity, 40 to 256", transformer, between, last, 0.47, 0.57, _SLICE),
    ]


_SLICE = "Terzic et al. 2025, table 2"
_RWKV7 = "arXiv 2503.14456, theorem 2"
_CHOMSKY = "Deletang et al. 2022"


_NETWORKS = (
    ("rwkv7", "off"),
    ("rwkv7", "full"),
    ("deltanet", "full"),
    ("mamba2", "off"),
    ("transformer-rope", "off"),
    ("lstm", "off"),
)
"""Of the ``paper`` suite, with their eigenvalues."""


def _paper() -> Iterator[TrainSpec]:
    """Published protocols, as `evalkit_tasks.training.tasks.descriptions` has them, with three seeds each.

    Nobody has run this yet: it wants a GPU for days.
    """
    spec = functools.partial(TrainSpec, width=128, head_size=32, batch_size=512, num_items=1024)
    # Fewest layers for word problems, trained on 2 and k letters (RWKV-7 paper, figure 8).
    for group, layers, length in itertools.product(("a5", "a4xz5", "z60"), (1, 2, 3, 4), (5, 10, 15, 20)):
        yield from _on_all_networks(
            spec(f"word-problem:{group}", "", layers, train_length=length, num_steps=20_000)
        )
    # From 128 to 512 letters.
    for task, layers in itertools.product(("s5", "s5-swaps", "s5-4tokens", "s5-swaps-hard"), (1, 2, 4)):
        fixed = spec(task, "", layers, train_length=128, min_train_length=128, num_steps=100_000)
        yield from _on_all_networks(fixed)
    # From 40 letters to 256, asked at the end alone.
    for task in ("parity", "cycle-navigation", "modular-arithmetic", "modular-arithmetic-brackets"):
        last = spec(task, "", 2, labels="last", train_length=40, num_steps=100_000)
        yield from _on_all_networks(dataclasses.replace(last, min_train_length=3, test_range=PUBLISHED_RANGE))
    yield from _on_all_networks(spec("flip-flop", "", 1, train_length=512, batch_size=16, num_steps=10_000))
    yield from _on_all_networks(spec("mqar", "", 2, train_length=256, batch_size=256, num_steps=20_000))
    # The lengths are ours; the paper's were not to be seen.
    for task, spacing in itertools.product(("s3", "s5", "s5-swaps"), (1, 4, 8)):
        yield from _on_all_networks(
            spec(f"code-trace:{task}:{spacing}", "", 4, train_length=1024, batch_size=64, num_steps=20_000)
        )


def _on_all_networks(spec: TrainSpec) -> Iterator[TrainSpec]:
    """A spec with each network and seed, tested up to four times its length."""
    for (model, eigenvalues), seed in itertools.product(_NETWORKS, range(3)):
        yield dataclasses.replace(
            spec, model=model, negative_eigenvalues=eigenvalues, seed=seed, test_multiples=(1, 2, 4)
        )


TRACKING_TASKS = {
    "parity": 16,
    "flip-flop": 32,
    "dyck-2-3": 16,
    "modular-arithmetic": 16,
    "s3": 16,
    "z60": 16,
    "a5": 16,
    "s5": 16,
    "s5-4tokens": 32,
    "mqar:4:64": 32,
}
"""The tasks of ``tracking``, and the letters of their longest strings in training."""

TRACKING_STOP_ACCURACY = 0.99
"""At which a training of ``tracking`` or ``tracking-small`` ends."""


def _tracking() -> Iterator[TrainSpec]:
    """Every network on `TRACKING_TASKS`, three seeds, the same three learning rates for all.

    Two layers of width 64. The bounds were fixed before anything was trained: a task is solved by a network
    where its median seed gets `SOLVED_ACCURACY` of the strings of the training length wholly right, and it
    generalizes as far as that holds.
    """
    for (task, length), (model, architecture) in itertools.product(
        TRACKING_TASKS.items(), ARCHITECTURES.items()
    ):
        for eigenvalues, seed in itertools.product(architecture.eigenvalues, range(3)):
            yield TrainSpec(
                task,
                model,
                2,
                seed,
                eigenvalues,
                train_length=length,
                num_steps=2000,
                batch_size=32,
                learning_rates=LEARNING_RATES,
                stop_accuracy=TRACKING_STOP_ACCURACY,
                patience=500,
            )


SMALL_TASKS = {
    "parity": 16,
    "s3": 8,
    "a5": 8,
    "modular-arithmetic": 16,
    "flip-flop": 32,
    "mqar:4:64": 32,
    "dyck-2-3": 16,
    "s5": 8,
    "s5-4tokens": 32,
    "z60": 8,
    "a4xz5": 8,
}
"""The tasks of ``tracking-small`` in their order, and the letters of their longest strings in training."""

_FIRST_NETWORKS = (
    ("rwkv7", "full"),
    ("rwkv7", "off"),
    ("deltanet", "full"),
    ("gated-deltanet", "full"),
    ("deltaproduct-2", "full"),
    ("mamba2", "off"),
    ("transformer-rope", "off"),
    ("lstm", "off"),
)
"""Of ``tracking-small``: all tasks are trained with these before any is with another."""


def _tracking_small() -> Iterator[TrainSpec]:
    """``tracking`` with half the steps, half the patience and strings of 8 letters for groups.

    Networks, learning rates, seeds and bounds are those of ``tracking``, and were fixed before anything was
    trained.
    """
    networks = [
        (model, eigenvalues)
        for model, architecture in ARCHITECTURES.items()
        for eigenvalues in architecture.eigenvalues
    ]
    later_networks = [network for network in networks if network not in _FIRST_NETWORKS]
    for trained_together in (_FIRST_NETWORKS, later_networks):
        for (task, length), (model, eigenvalues), seed in itertools.product(
            SMALL_TASKS.items(), trained_together, range(3)
        ):
            spec = TrainSpec(task, model, 2, seed, eigenvalues, train_length=length)
            yield dataclasses.replace(
                spec,
                num_steps=1000,
                batch_size=32,
                learning_rates=LEARNING_RATES,
                stop_accuracy=TRACKING_STOP_ACCURACY,
                patience=250,
            )


SUITES: dict[str, Callable[[], Iterable[TrainSpec]]] = {
    "quick": _quick,
    "tracking": _tracking,
    "tracking-small": _tracking_small,
    "paper": _paper,
}
