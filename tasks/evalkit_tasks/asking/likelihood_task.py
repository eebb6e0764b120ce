"""A family's items asked of a pretrained model by the likelihood of their answers.

Three scores decide which answer a model gives; all are kept. The table's accuracy is that by the pointwise
mutual information with the question, where what an answer costs after the bare cue is taken off, so that an
answer that is likely anywhere is not preferred (Holtzman et al. 2021, arXiv 2104.08315); that by likelihood,
and that by likelihood per byte, for answers of unequal length, stand beside it.

A question that is too long for a model is left out for that model, with its twin, and counted.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ScoringError
from evalkit.models.protocol import TokenModel
from evalkit.tasks import TaskOutcome
from evalkit_tasks.asking.answer_likelihood import Question, answer_costs, fits
from evalkit_tasks.asking.heuristics import half_length, heuristic_accuracies, length_curve, summarise
from evalkit_tasks.asking.items import PROTOCOL_VERSION, AnyFamily, Item, sha256_of, shots_text

MAIN_SCORE = "PMI"


@dataclasses.dataclass(frozen=True)
class LikelihoodTask:
    """A family's items, asked by the likelihood of their answers after some solved examples."""

    family: AnyFamily
    items: tuple[Item, ...]
    shots: tuple[Item, ...]
    date: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the family of items."""
        return self.family.name

    @property
    def method(self) -> str:
        """How the task is asked, with the number of solved examples."""
        return f"{MAIN_SCORE}, {len(self.shots)} shots"

    @property
    def num_items(self) -> int:
        """How many questions are asked; twins are some of them."""
        return len(self.items)

    @property
    def sha256(self) -> str:
        """Digest of everything but the model that determines the numbers."""
        parts = [PROTOCOL_VERSION, sha256_of(self.items), shots_text(self.family, self.shots)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def score(self, model: TokenModel, advance: Callable[[int], None]) -> TaskOutcome:
        """Ask a model every question, and each bare cue once.

        Args:
            model: any that gives nats of tokens.
            advance: called with the number of questions asked so far.

        Raises:
            ScoringError: a text cannot be represented, or every question is too long for the model.
        """
        before = shots_text(self.family, self.shots)
        items = self._fitting_items(model, before)
        questions = [Question(before + item.story.text, item.story.answers) for item in items]
        costs = answer_costs(model, questions, advance)
        # The same cue may end many stories: what its answers cost on their own is asked once.
        cues = [Question(item.story.cue, item.story.answers) for item in items]
        distinct_cues = list(dict.fromkeys(cues))
        nats_by_cue = dict(zip(distinct_cues, answer_costs(model, distinct_cues).nats, strict=True))
        answered = [
            _Answered(item, nats, nats_by_cue[cue])
            for item, nats, cue in zip(items, costs.nats, cues, strict=True)
        ]
        predictions = {
            score: {answer.item.id: answer.choices[score] for answer in answered}
            for score in answered[0].choices
        }
        curve = length_curve(items, predictions[MAIN_SCORE])
        details = {
            "description": self.family.description,
            "date": self.date,
            "seed": self.seed,
            "num_shots": len(self.shots),
            "shots": before,
            "lengths": curve,
            "half_length": half_length(curve),
            "orders": _orders(items, predictions[MAIN_SCORE]),
            "heuristics": heuristic_accuracies([item for item in items if item.twin_of is None]),
            "num_too_long": len(self.items) - len(items),
            "num_tokens_read": costs.num_tokens_read,
            "num_tokens_unshared": costs.num_tokens_unshared,
            "items_sha256": sha256_of(self.items),
        }
        if note := self._note(model, len(self.items) - len(items)):
            details["note"] = note
        rows = [answer.row() for answer in answered]
        return TaskOutcome(rows, summarise(items, predictions, main=MAIN_SCORE), details)

    def _note(self, model: TokenModel, num_too_long: int) -> str:
        """What is not asked, in a line; empty where everything is."""
        parts = []
        if num_too_long:
            parts.append(
                f"{num_too_long} of {len(self.items)} questions are too long for {model.identity.name} "
                f"(context {model.context_limit}) and left out"
            )
        if (
            fewest := self.family.fewest_operations
        ):  # said whatever is asked, so that a cell is always the same
            parts.append(f"the shortest questions of {self.name} have length {fewest}")
        return "; ".join(parts)

    def _fitting_items(self, model: TokenModel, before: str) -> list[Item]:
        """The items that fit into a model's context; twins go together.

        Raises:
            ScoringError: none does.
        """
        too_long = {
            item.twin_of or item.id
            for item in self.items
            if not fits(model, Question(before + item.story.text, item.story.answers))
        }
        fitting = [item for item in self.items if (item.twin_of or item.id) not in too_long]
        if not fitting:
            raise ScoringError(
                f"{model.identity.name}: every question is too long for the model's context of "
                f"{model.context_limit}; ask with fewer examples (--shots) or shorter stories (--lengths)"
            )
        return fitting


class _Answered(NamedTuple):
    """What the answers to an item cost."""

    item: Item
    nats: NDArray[np.float64]
    """``[num_answers]``, after the question."""
    cue_nats: NDArray[np.float64]
    """``[num_answers]``, after the bare cue."""

    @property
    def choices(self) -> dict[str, int]:
        """The number of the answer that each score prefers."""
        num_bytes = [len(answer.strip().encode()) for answer in self.item.story.answers]
        return {
            MAIN_SCORE: int(np.argmin(self.nats - self.cue_nats)),
            "likelihood": int(np.argmin(self.nats)),
            "per byte": int(np.argmin(self.nats / num_bytes)),
        }

    def row(self) -> dict[str, object]:
        """The item's row of the cell's Parquet file."""
        story = self.item.story
        return {
            "id": self.item.id,
            "length": self.item.length,
            "twin_of": self.item.twin_of,
            "question": story.text,
            "answers": list(story.answers),
            "label": story.label,
            "nats": self.nats.tolist(),
            "cue_nats": self.cue_nats.tolist(),
            **{f"answer by {score}": choice for score, choice in self.choices.items()},
            **{f"answer by {name}": choice for name, choice in story.guesses.items()},
        }


def _orders(items: Sequence[Item], predicted: Mapping[str, int]) -> dict[str, int]:
    """Pairs of an item and its twin, and what a model makes of them.

    Answers are compared as texts: a twin may list them in another order.
    """
    by_id = {item.id: item for item in items}
    pairs = [(by_id[item.twin_of], item) for item in items if item.twin_of is not None]
    answers = [
        (item.story.answers[predicted[item.id]], twin.story.answers[predicted[twin.id]])
        for item, twin in pairs
    ]
    return {
        "num_pairs": len(pairs),
        "num_other_answer": sum(item.answer != twin.answer for item, twin in pairs),
        "num_answered_otherwise": sum(to_item != to_twin for to_item, to_twin in answers),
        "num_both_right": sum(
            (item.answer, twin.answer) == answered
            for (item, twin), answered in zip(pairs, answers, strict=True)
        ),
    }
