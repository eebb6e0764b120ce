"""Metrics of a probe: what share of items, positions and lengths a network got right.

Everything is derived from four numbers per item (`ItemScores`), which cells keep, so that any convention of
the literature can be computed later: accuracy per token, per sequence or at the last position, raw or
scaled, at any threshold.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats import CONFIDENCE, Interval

NOT_SCORED = -1
"""The label of a position at which nothing is asked."""


class ItemScores(NamedTuple):
    """What is kept of each item; all arrays ``[num_items]``."""

    num_letters: NDArray[np.int64]
    """Length of the string."""
    num_scored: NDArray[np.int64]
    """Positions at which a label was asked for; at least 1."""
    num_correct: NDArray[np.int64]
    first_error: NDArray[np.int64]
    """Letters read up to and with the first wrong answer; 0 where there is none."""
    last_correct: NDArray[np.bool_]
    """Whether the last scored position is right."""


def score_items(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], num_letters: NDArray[np.int64]
) -> ItemScores:
    """Scores of items from the predicted and the true labels.

    Args:
        predictions: ``[num_items, T]``; column t follows letter t + 1.
        labels: ``[num_items, T]``, `NOT_SCORED` where nothing is asked.
        num_letters: ``[num_items]``; an answer after the last letter counts as given at it.

    Raises:
        ValueError: an item has no scored position.
    """
    scored = labels != NOT_SCORED
    if not scored.any(1).all():
        raise ValueError("an item has no position at which a label is asked for")
    wrong = scored & (predictions != labels)
    first = np.minimum(wrong.argmax(1) + 1, num_letters)
    last = scored.shape[1] - 1 - scored[:, ::-1].argmax(1)
    return ItemScores(
        num_letters=num_letters,
        num_scored=scored.sum(1),
        num_correct=(scored & ~wrong).sum(1),
        first_error=np.where(wrong.any(1), first, 0),
        last_correct=~wrong[np.arange(len(wrong)), last],
    )


def parity_accuracy(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], parities: NDArray[np.int64]
) -> float:
    """Share of the scored positions at which the predicted permutation has the parity of the true one.

    High where the accuracy is not: the network has learnt the sign of the permutation, a shortcut on the
    way to the permutation itself (Li et al., "(How) do language models track state?", arXiv 2503.02854).
    Guessing gives 1/2 where both parities are equally frequent.

    Args:
        predictions: see `score_items`.
        labels: see there.
        parities: ``[num_labels]``, 0 or 1.
    """
    scored = labels != NOT_SCORED
    return float((parities[predictions[scored]] == parities[labels[scored]]).mean())


def wilson_interval(num_successes: float, num_trials: int) -> Interval:
    """Wilson's score interval of a proportion (E. B. Wilson 1927), `evalkit.stats.CONFIDENCE` wide.

    Raises:
        ValueError: there was no trial.
    """
    if num_trials < 1:
        raise ValueError("a proportion of no trials has no interval")
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = num_successes / num_trials
    centre = share + z**2 / (2 * num_trials)
    spread = z * math.sqrt(share * (1 - share) / num_trials + z**2 / (4 * num_trials**2))
    scale = 1 + z**2 / num_trials
    return Interval(max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale))


def scaled_accuracy(accuracy: float, num_labels: int) -> float:
    """0 at chance among ``num_labels`` labels, 1 where all is right (Grazzi et al., arXiv 2411.12537)."""
    chance = 1 / num_labels
    return (accuracy - chance) / (1 - chance)


def length_at_share(items: ItemScores, share: float) -> int | None:
    """The first length by which fewer than ``share`` of the items are without an error; None if never.

    L90 is this with 0.9 on the longest strings.
    """
    errors = np.sort(items.first_error[items.first_error > 0])
    num_allowed = math.floor((1 - share) * len(items.first_error) + 1e-9)
    return int(errors[num_allowed]) if len(errors) > num_allowed else None


def summary(
    items: ItemScores, num_labels: int, num_distinct: int | None = None
) -> dict[str, float | int | None]:
    """All metrics of a set of items.

    Args:
        items: the answers.
        num_labels: how many there are to choose from.
        num_distinct: how many of the items differ; intervals, those of `accuracy_entries`, are of so many.
            None for all.
    """
    num_distinct = len(items.num_scored) if num_distinct is None else num_distinct
    sequence = float((items.num_correct == items.num_scored).mean())
    last = float(items.last_correct.mean())
    token = float(items.num_correct.sum() / items.num_scored.sum())
    metrics: dict[str, float | int | None] = {"num_items": len(items.num_scored)}
    for name, value in (("token", token), ("sequence", sequence), ("last_position", last)):
        metrics |= accuracy_entries(f"{name}_accuracy", value, num_distinct)
    metrics["scaled_token_accuracy"] = scaled_accuracy(token, num_labels)
    metrics["scaled_last_position_accuracy"] = scaled_accuracy(last, num_labels)
    # An item without an error errs beyond its end, wherever that is: None where the quantile is one of these.
    errors = np.where(items.first_error > 0, items.first_error, np.inf)
    for name, quantile in (("first_error_median", 0.5), ("first_error_5_percent", 0.05)):
        value_at = float(np.quantile(errors, quantile, method="inverted_cdf"))
        metrics[name] = int(value_at) if np.isfinite(value_at) else None
    return metrics


def accuracy_entries(name: str, accuracy: float | None, num_items: int) -> dict[str, float | None]:
    """An accuracy with its Wilson interval over items as entries of a cell; all None where there is none.

    Positions of one string are not independent, so the interval of an accuracy over positions takes each
    item for one trial, which is wide rather than narrow.
    """
    low, high = (None, None) if accuracy is None else wilson_interval(accuracy * num_items, num_items)
    return {name: accuracy, f"{name}_low": low, f"{name}_high": high}
