"""The state after each operation of a story, read off a pretrained model's hidden states by linear probes.

What a probe reads need not have been learnt. Beside it stand three controls on the same positions: the most
frequent state, the state before the first operation, and a probe of the same network with its weights in
random order; what counts is the gain over the best of them.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ScoringError
from evalkit.models.hidden_states import HiddenStateModel, NetworkModel, shuffled_weights
from evalkit.models.protocol import TokenModel
from evalkit.stats import ratio_interval
from evalkit.tasks import SummaryRow, TaskOutcome
from evalkit_tasks.asking.answer_likelihood import encode
from evalkit_tasks.asking.heuristics import buckets, gain_entries
from evalkit_tasks.asking.items import PROTOCOL_VERSION, AnyFamily, Draw, Item, sha256_of
from evalkit_tasks.asking.items_stories import COPY_INITIAL
from evalkit_tasks.asking.linear_probe import Samples, best_layer, majority_accuracy, probe_layers

_MOST_SAMPLES = 1000
"""Positions that a linear probe is trained on, and as many to test it."""
_NOTE = (
    "hidden-state probe: n positions of stories that the probe was not trained on, by the operations told so "
    "far; its chance is a probe trained on shuffled states, its best heuristic that of the most frequent "
    "state, the initial one and a probe of the network with its weights shuffled; the gain is over it"
)
_MOST_FREQUENT = "most frequent state"
_SHUFFLED = "shuffled weights"


class _Place(NamedTuple):
    """A position of a story: the end of an operation's sentence."""

    item: int
    """Index among a task's items."""
    operation: int
    """Index among the story's operations."""


class _NotFiniteError(ScoringError):
    """Hidden states overflow."""


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
        parts = [PROTOCOL_VERSION, "hidden states, controls", _MOST_SAMPLES, sha256_of(self.items)]
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
        shuffled = self._shuffled_predictions(model)
        rows = [
            {
                "id": self.items[i].id,
                "operation": operation + 1,
                "state": int(state),
                "predicted": [int(probe.predictions[sample]) for probe in probes],
                "predicted by shuffled weights": None if shuffled is None else int(shuffled[sample]),
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
            "shuffled_accuracy": None if shuffled is None else float((shuffled == test.states).mean()),
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
            controls=self._controls(train, test, tested, shuffled),
            control=float(probes[best].control.mean()),
            layer=best,
        )
        return TaskOutcome(rows, summary, details)

    def _shuffled_predictions(self, model: HiddenStateModel) -> NDArray[np.int64] | None:
        """States of the test samples as the network's own architecture shows them, ``[num_test]``.

        Its layer is chosen as the model's is. None where the model shows no network, or shuffled weights
        take it beyond finite numbers.
        """
        if not isinstance(model, NetworkModel):
            return None
        try:
            with shuffled_weights(model.network, self.seed):
                train, test, _ = self._samples(model, lambda _: None)
        except _NotFiniteError:
            return None
        probes = probe_layers(train, test, self.family.num_states, seed=self.seed)
        return probes[best_layer(probes)].predictions

    def _controls(
        self, train: Samples, test: Samples, tested: Sequence[_Place], shuffled: NDArray[np.int64] | None
    ) -> dict[str, NDArray[np.bool_]]:
        """Where each control names the state of a test sample, ``[num_test]``, by its name."""
        controls = {_MOST_FREQUENT: test.states == np.bincount(train.states).argmax()}
        stories = [item.story for item in self.items]
        # Where states are not the numbers of answers, as of boxes, no answer is the first state.
        if all(COPY_INITIAL in story.guesses and story.label == story.states[-1] for story in stories):
            initial = np.array([stories[place.item].guesses[COPY_INITIAL] for place in tested])
            controls[COPY_INITIAL] = test.states == initial
        if shuffled is not None:
            controls[_SHUFFLED] = test.states == shuffled
        return controls

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
        raise _NotFiniteError(f"{model.identity.name}: hidden states of {item.id} are not finite")
    return states


def _summary(
    tested: Sequence[_Place],
    *,
    is_right: NDArray[np.bool_],
    controls: Mapping[str, NDArray[np.bool_]],
    control: float,
    layer: int,
) -> list[SummaryRow]:
    """Rows by the number of operations so far; positions of one story are resampled together.

    Args:
        tested: where each tested sample is.
        is_right: whether the probe names its state.
        controls: whether each control names it; a row shows the one that is best in it.
        control: the accuracy of a probe trained on shuffled states.
        layer: that is probed.
    """
    counts = np.array([place.operation + 1 for place in tested])
    rows = []
    for name, lengths in [*buckets(counts.tolist()).items(), ("all", counts.tolist())]:
        in_bucket = np.isin(counts, lengths)
        stories = [str(tested[sample].item) for sample in np.flatnonzero(in_bucket).tolist()]
        ones = np.ones(in_bucket.sum())
        interval = ratio_interval(is_right[in_bucket], ones, stories)
        best = max(controls, key=lambda name: float(controls[name][in_bucket].mean()))
        baseline = controls[best][in_bucket]
        rows.append(
            SummaryRow(
                bucket=name,
                num_items=int(in_bucket.sum()),
                accuracy=float(is_right[in_bucket].mean()),
                low=interval.low if interval else 0.0,
                high=interval.high if interval else 1.0,
                chance=control,
                baseline=best,
                baseline_accuracy=float(baseline.mean()),
                further=gain_entries(is_right[in_bucket].tolist(), baseline.tolist(), stories)
                | {"layer": layer},
            )
        )
    return rows
