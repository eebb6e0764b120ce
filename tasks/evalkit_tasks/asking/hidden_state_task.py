"""The state after each operation of a story, read off a pretrained model's hidden states by linear probes."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ScoringError
from evalkit.models.hidden_states import HiddenStateModel
from evalkit.models.protocol import TokenModel
from evalkit.stats import ratio_interval
from evalkit.tasks import SummaryRow, TaskOutcome
from evalkit_tasks.asking.answer_likelihood import encode
from evalkit_tasks.asking.heuristics import buckets
from evalkit_tasks.asking.items import PROTOCOL_VERSION, AnyFamily, Draw, Item, sha256_of
from evalkit_tasks.asking.linear_probe import Samples, best_layer, majority_accuracy, probe_layers

_MOST_SAMPLES = 1000
"""Positions that a linear probe is trained on, and as many to test it."""
_NOTE = (
    "hidden-state probe: n positions of stories that the probe was not trained on, by the operations told so "
    "far; its chance is a probe trained on shuffled states"
)


class _Place(NamedTuple):
    """A position of a story: the end of an operation's sentence."""

    item: int
    """Index among a task's items."""
    operation: int
    """Index among the story's operations."""


@dataclasses.dataclass(frozen=True)
class HiddenStateTask:
    """The state after each operation, read linearly off the hidden states of each layer.

    Items of even index train the probes and the others test them, so that no story is in both.
    """

    family: AnyFamily
    items: tuple[Item, ...]
    date: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the family of items."""
        return self.family.name

    @property
    def method(self) -> str:
        """How the task is asked; part of its line in the table."""
        return "hidden-state probe"

    @property
    def num_items(self) -> int:
        """How many stories are read; twins are none of them."""
        return len(self.items)

    @property
    def sha256(self) -> str:
        """Digest of everything but the model that determines the numbers."""
        parts = [PROTOCOL_VERSION, "hidden states", _MOST_SAMPLES, sha256_of(self.items)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def score(self, model: TokenModel, advance: Callable[[int], None]) -> TaskOutcome:
        """Probe every layer of a model, and report the layer that left-out training samples choose.

        Args:
            model: it shows its hidden states.
            advance: called with the number of stories read so far.

        Raises:
            ScoringError: the model shows no hidden states, cannot read a story, or its states are not finite.
        """
        if not isinstance(model, HiddenStateModel):
            raise ScoringError(
                f"{model.identity.name}: {type(model).__name__} does not show its hidden states; it can be "
                "asked without --hidden-state-probe"
            )
        _read(model, max(self.items, key=lambda item: len(item.story.text)))  # before the shorter ones
        train, test, tested = self._samples(model, advance)
        probes = probe_layers(train, test, self.family.num_states, seed=self.seed)
        best = best_layer(probes)
        rows = [
            {
                "id": self.items[i].id,
                "operation": operation + 1,
                "state": int(state),
                "predicted": [int(probe.predictions[sample]) for probe in probes],
            }
            for sample, ((i, operation), state) in enumerate(zip(tested, test.states, strict=True))
        ]
        details = {
            "description": self.family.description,
            "date": self.date,
            "seed": self.seed,
            "layer": best,
            "num_train": len(train.states),
            "num_test": len(test.states),
            "note": _NOTE,
            "majority_accuracy": majority_accuracy(train, test),
            "layers": [
                {
                    "layer": layer,
                    "accuracy": float((probe.predictions == test.states).mean()),
                    "left_out_accuracy": probe.left_out_accuracy,
                    "control_accuracies": probe.control.tolist(),
                    "penalty": probe.penalty,
                }
                for layer, probe in enumerate(probes)
            ],
            "items_sha256": sha256_of(self.items),
        }
        summary = _summary(
            tested,
            is_right=probes[best].predictions == test.states,
            is_majority=test.states == np.bincount(train.states).argmax(),
            control=float(probes[best].control.mean()),
            layer=best,
        )
        return TaskOutcome(rows, summary, details)

    def _samples(
        self, model: HiddenStateModel, advance: Callable[[int], None]
    ) -> tuple[Samples, Samples, list[_Place]]:
        """The samples that probes are trained on, those that test them, and where the latter are."""
        features, places = [], []
        for i, operations in enumerate(self._operations()):
            if operations:
                features.append(_hidden_states(model, self.items[i], operations))
                places += [_Place(i, operation) for operation in operations]
            advance(i + 1)
        stacked = np.concatenate(features, axis=1)
        states = np.array([self.items[i].story.states[operation] for i, operation in places])
        is_test = np.array([place.item % 2 == 1 for place in places])
        train = Samples(stacked[:, ~is_test], states[~is_test])
        test = Samples(stacked[:, is_test], states[is_test])
        return train, test, [places[sample] for sample in np.flatnonzero(is_test).tolist()]

    def _operations(self) -> list[list[int]]:
        """For each item the operations after which the hidden states are read.

        Those of all items of even index together, and those of odd index, are at most `_MOST_SAMPLES`.
        """
        operations: list[list[int]] = [[] for _ in self.items]
        for parity in (0, 1):
            places = [
                _Place(i, operation)
                for i in range(parity, len(self.items), 2)
                for operation in range(self.items[i].length)
            ]
            if len(places) > _MOST_SAMPLES:
                places = Draw("probe", self.date, self.seed, parity).sample(places, _MOST_SAMPLES)
            for i, operation in sorted(places):
                operations[i].append(operation)
        return operations


def _read(model: TokenModel, item: Item) -> tuple[list[int], NDArray[np.int64]]:
    """The ids of a story, the prefix included, and where the text's tokens end.

    Raises:
        ScoringError: they are too many for the model.
    """
    encoding = encode(model, item.story.text)
    ids = [*model.prefix, *encoding.ids.tolist()]
    if model.context_limit is not None and len(ids) > model.context_limit:
        raise ScoringError(
            f"{model.identity.name}: {item.id} has {len(ids)} tokens, the model's context holds "
            f"{model.context_limit}; ask for shorter stories (--lengths)"
        )
    return ids, encoding.ends


def _hidden_states(model: HiddenStateModel, item: Item, operations: Sequence[int]) -> NDArray[np.float32]:
    """``[num_layers, len(operations), C]`` at the tokens that end the operations' sentences."""
    assert isinstance(model, TokenModel)
    ids, token_ends = _read(model, item)
    text = item.story.text
    ends = [len(text[: item.story.marks[operation]].encode()) for operation in operations]
    positions = len(model.prefix) + np.searchsorted(token_ends, ends, side="left")
    states = model.hidden_states(ids, positions.tolist())
    if not np.isfinite(states).all():
        raise ScoringError(f"{model.identity.name}: hidden states of {item.id} are not finite")
    return states


def _summary(
    tested: Sequence[_Place],
    *,
    is_right: NDArray[np.bool_],
    is_majority: NDArray[np.bool_],
    control: float,
    layer: int,
) -> list[SummaryRow]:
    """Rows by the number of operations so far; positions of one story are resampled together.

    Args:
        tested: where each tested sample is.
        is_right: whether the probe names its state.
        is_majority: whether its state is the most frequent one in training.
        control: the accuracy of a probe trained on shuffled states.
        layer: that is probed.
    """
    counts = np.array([place.operation + 1 for place in tested])
    rows = []
    for name, lengths in [*buckets(counts.tolist()).items(), ("all", counts.tolist())]:
        in_bucket = np.isin(counts, lengths)
        stories = [str(tested[sample].item) for sample in np.flatnonzero(in_bucket).tolist()]
        interval = ratio_interval(is_right[in_bucket], np.ones(in_bucket.sum()), stories)
        rows.append(
            SummaryRow(
                bucket=name,
                num_items=int(in_bucket.sum()),
                accuracy=float(is_right[in_bucket].mean()),
                low=interval.low if interval else 0.0,
                high=interval.high if interval else 1.0,
                chance=control,
                baseline="most frequent state",
                baseline_accuracy=float(is_majority[in_bucket].mean()),
                further={"layer": layer},
            )
        )
    return rows
