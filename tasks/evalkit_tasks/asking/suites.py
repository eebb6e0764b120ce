"""Pretrained models asked by likelihood, and the suites ``state-tracking`` and ``regular-languages``.

Three scores decide which answer a model gives; all are kept, and the first is the one in the table's
accuracy: the likelihood of the answer; the likelihood per byte, for answers of unequal length; and the
pointwise mutual information with the question, where what an answer costs after the bare cue is taken off,
so that an answer that is likely anywhere is not preferred (Holtzman et al. 2021, arXiv 2104.08315).

Intervals are over items. The solved examples are the same for all items of a cell, so that they are read
once; another seed draws others.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ScoringError, UsageError
from evalkit.models.hidden_states import HiddenStateModel
from evalkit.models.protocol import TokenModel
from evalkit.stats import ratio_interval
from evalkit.tasks import EvalTask, SummaryRow, TaskOptions, TaskOutcome
from evalkit_tasks.asking.answer_likelihood import Question, answer_costs, encode
from evalkit_tasks.asking.heuristics import (
    buckets,
    half_length,
    heuristic_accuracies,
    length_curve,
    summarise,
)
from evalkit_tasks.asking.items import (
    MAX_SHOTS,
    Draw,
    Family,
    Item,
    make_items,
    make_shots,
    sha256_of,
    shots_text,
)
from evalkit_tasks.asking.items_formal import FORMAL_FAMILIES, MEMBERSHIP
from evalkit_tasks.asking.items_stories import STORY_FAMILIES
from evalkit_tasks.asking.linear_probe import Samples, best_layer, majority_accuracy, probe_layers

PROTOCOL_VERSION = 1
"""Part of every digest; raised by a change of what is made of a model's answers."""

MAX_LENGTH = 256
MAIN_SCORE = "likelihood"
_MOST_SAMPLES = 1000
"""Positions that a linear probe is trained on, and as many to test it."""
_PROBE_NOTE = (
    "hidden-state probe: n positions of stories that the probe was not trained on, by the operations told so "
    "far; its chance is a probe trained on shuffled states"
)


@dataclasses.dataclass(frozen=True)
class LikelihoodTask:
    """A family's items, asked by the likelihood of their answers after some solved examples."""

    family: Family
    items: tuple[Item, ...]
    shots: tuple[Item, ...]
    date: str
    seed: int

    @property
    def name(self) -> str:
        """The family's."""
        return self.family.name

    @property
    def method(self) -> str:
        """With the number of examples."""
        return f"{MAIN_SCORE}, {len(self.shots)} shots"

    @property
    def num_items(self) -> int:
        """With twins."""
        return len(self.items)

    @property
    def sha256(self) -> str:
        """Of everything that a model sees."""
        parts = [PROTOCOL_VERSION, sha256_of(self.items), shots_text(self.family, self.shots)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def score(self, model: TokenModel, advance: Callable[[int], None]) -> TaskOutcome:
        """See `evalkit.tasks.EvalTask.score`."""
        before = shots_text(self.family, self.shots)
        questions = [Question(before + item.story.text, item.story.answers) for item in self.items]
        costs = answer_costs(model, questions, advance)
        cues = list(dict.fromkeys(Question(item.story.cue, item.story.answers) for item in self.items))
        of_cue = dict(zip(cues, answer_costs(model, cues).nats, strict=True))
        cue_nats = [of_cue[Question(item.story.cue, item.story.answers)] for item in self.items]
        chosen = {
            item.id: _choices(item, nats, without)
            for item, nats, without in zip(self.items, costs.nats, cue_nats, strict=True)
        }
        predictions = {
            way: {id: choices[way] for id, choices in chosen.items()} for way in next(iter(chosen.values()))
        }
        rows = [
            _row(item, nats, without, chosen[item.id])
            for item, nats, without in zip(self.items, costs.nats, cue_nats, strict=True)
        ]
        curve = length_curve(self.items, predictions[MAIN_SCORE])
        details = {
            "description": self.family.description,
            "date": self.date,
            "seed": self.seed,
            "num_shots": len(self.shots),
            "shots": before,
            "lengths": curve,
            "half_length": half_length(curve),
            "orders": _orders(self.items, predictions[MAIN_SCORE]),
            "heuristics": heuristic_accuracies([item for item in self.items if item.twin_of is None]),
            "num_tokens_read": costs.num_tokens_read,
            "num_tokens_unshared": costs.num_tokens_unshared,
            "items_sha256": sha256_of(self.items),
        }
        return TaskOutcome(rows, summarise(self.items, predictions, main=MAIN_SCORE), details)


def _choices(item: Item, nats: NDArray[np.float64], cue_nats: NDArray[np.float64]) -> dict[str, int]:
    """The answer that each score prefers."""
    num_bytes = [len(answer.strip().encode()) for answer in item.story.answers]
    return {
        MAIN_SCORE: int(np.argmin(nats)),
        "per byte": int(np.argmin(nats / num_bytes)),
        "PMI": int(np.argmin(nats - cue_nats)),
    }


def _row(
    item: Item, nats: NDArray[np.float64], cue_nats: NDArray[np.float64], choices: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "id": item.id,
        "length": item.length,
        "twin_of": item.twin_of,
        "question": item.story.text,
        "answers": list(item.story.answers),
        "label": item.story.label,
        "nats": nats.tolist(),
        "cue_nats": cue_nats.tolist(),
        **{f"answer by {way}": choice for way, choice in choices.items()},
        **{f"answer by {name}": choice for name, choice in item.story.guesses.items()},
    }


def _orders(items: Sequence[Item], predicted: Mapping[str, int]) -> dict[str, int]:
    """Pairs of an item and its twin, and what a model makes of them."""
    by_id = {item.id: item for item in items}
    pairs = [(by_id[item.twin_of], item) for item in items if item.twin_of is not None]
    answers = [tuple(one.story.answers[predicted[one.id]] for one in pair) for pair in pairs]
    return {
        "num_pairs": len(pairs),
        "num_other_answer": sum(item.answer != twin.answer for item, twin in pairs),
        "num_answered_otherwise": sum(one != other for one, other in answers),
        "num_both_right": sum(
            (item.answer, twin.answer) == given for (item, twin), given in zip(pairs, answers, strict=True)
        ),
    }


@dataclasses.dataclass(frozen=True)
class HiddenStateTask:
    """The state after each operation, read linearly off the hidden states of each layer.

    Items of even index train the probes and the others test them, so that no story is in both.
    """

    family: Family
    items: tuple[Item, ...]
    date: str
    seed: int

    @property
    def name(self) -> str:
        """The family's."""
        return self.family.name

    @property
    def method(self) -> str:
        """How it is asked."""
        return "hidden-state probe"

    @property
    def num_items(self) -> int:
        """Without twins."""
        return len(self.items)

    @property
    def sha256(self) -> str:
        """Of everything that a model sees."""
        parts = [PROTOCOL_VERSION, "hidden states", _MOST_SAMPLES, sha256_of(self.items)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def score(self, model: TokenModel, advance: Callable[[int], None]) -> TaskOutcome:
        """See `evalkit.tasks.EvalTask.score`."""
        if not isinstance(model, HiddenStateModel):
            raise ScoringError(
                f"{model.identity.name}: {type(model).__name__} does not show its hidden states; it can be "
                "asked without --hidden-state-probe"
            )
        _read(model, max(self.items, key=lambda item: len(item.story.text)))  # before the shorter ones
        places = self._places()
        features, where = [], []
        for number, (item, operations) in enumerate(zip(self.items, places, strict=True), start=1):
            if operations:
                features.append(_hidden_states(model, item, operations))
                where += [(number - 1, operation) for operation in operations]
            advance(number)
        stacked = np.concatenate(features, axis=1)
        states = np.array([self.items[i].story.states[operation] for i, operation in where])
        is_test = np.array([i % 2 == 1 for i, _ in where])
        train = Samples(stacked[:, ~is_test], states[~is_test])
        test = Samples(stacked[:, is_test], states[is_test])
        probes = probe_layers(train, test, self.family.num_states, seed=self.seed)
        best = best_layer(probes)
        tested = [where[sample] for sample in np.flatnonzero(is_test)]
        right = probes[best].predictions == test.states
        control = float(probes[best].control.mean())
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
            "note": _PROBE_NOTE,
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
        majority = np.bincount(train.states).argmax()
        summary = _probe_summary(tested, right, test.states == majority, control, best)
        return TaskOutcome(rows, summary, details)

    def _places(self) -> list[list[int]]:
        """For each item the operations after which the hidden states are kept, `_MOST_SAMPLES` a side."""
        places: list[list[int]] = [[] for _ in self.items]
        for side in (0, 1):
            samples = [
                (i, operation)
                for i in range(side, len(self.items), 2)
                for operation in range(self.items[i].length)
            ]
            if len(samples) > _MOST_SAMPLES:
                samples = Draw("probe", self.date, self.seed, side).sample(samples, _MOST_SAMPLES)
            for i, operation in sorted(samples):
                places[i].append(operation)
        return places


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


def _probe_summary(
    tested: Sequence[tuple[int, int]],
    right: NDArray[np.bool_],
    majority_right: NDArray[np.bool_],
    control: float,
    layer: int,
) -> list[SummaryRow]:
    """Rows by the number of operations so far; positions of one story are resampled together."""
    counts = np.array([operation + 1 for _, operation in tested])
    rows = []
    for name, lengths in [*buckets(counts.tolist()).items(), ("all", counts.tolist())]:
        kept = np.isin(counts, lengths)
        stories = [str(i) for (i, _), one in zip(tested, kept, strict=True) if one]
        accuracy = float(right[kept].mean())
        interval = ratio_interval(right[kept], np.ones(kept.sum()), stories)
        rows.append(
            SummaryRow(
                bucket=name,
                num_items=int(kept.sum()),
                accuracy=accuracy,
                low=interval.low if interval else 0.0,
                high=interval.high if interval else 1.0,
                chance=control,
                baseline="most frequent state",
                baseline_accuracy=float(majority_right[kept].mean()),
                further={"layer": layer},
            )
        )
    return rows


@dataclasses.dataclass(frozen=True)
class LikelihoodSuite:
    """Families under one name; see `evalkit.tasks.TaskSuite`."""

    families: tuple[Family, ...]

    @property
    def members(self) -> dict[str, str]:
        """Descriptions by name."""
        return {family.name: family.description for family in self.families}

    def make(self, names: Sequence[str], options: TaskOptions) -> list[EvalTask]:
        """A task for each family and number of shots, and the probe where it is asked for."""
        if max(options.lengths) > MAX_LENGTH:
            raise UsageError(f"--lengths {max(options.lengths)} is too long a story; {MAX_LENGTH} at most")
        if max(options.shots) > MAX_SHOTS:
            raise UsageError(f"--shots {max(options.shots)} are too many; {MAX_SHOTS} at most")
        if options.hidden_state_probe and options.num_items * len(options.lengths) < 4:
            raise UsageError("--hidden-state-probe needs 4 items at least; give a greater --limit")
        tasks: list[EvalTask] = []
        made: dict[str, Any] = {"date": options.date, "seed": options.seed}
        for family in self.families:
            if family.name not in names:
                continue
            items = make_items(family, **made, lengths=options.lengths, num_items=options.num_items)
            for num_shots in options.shots:
                shots = make_shots(family, **made, num_shots=num_shots)
                tasks.append(LikelihoodTask(family, tuple(items), tuple(shots), **made))
            if options.hidden_state_probe:
                singles = tuple(item for item in items if item.twin_of is None)
                tasks.append(HiddenStateTask(family, singles, **made))
        return tasks


state_tracking = LikelihoodSuite((*STORY_FAMILIES, *FORMAL_FAMILIES))
"""``evalkit run --tasks state-tracking``"""

regular_languages = LikelihoodSuite((MEMBERSHIP,))
"""``evalkit run --tasks regular-languages``"""
