"""What an accuracy has to be compared with: guessing, and heuristics that follow no state."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.stats import ratio_interval
from evalkit.tasks import SummaryRow
from evalkit_tasks.asking.items import Item
from evalkit_tasks.metrics import scaled_accuracy, wilson_interval

CONSTANT = "constant answer"


def chance(items: Sequence[Item]) -> float:
    """Expected accuracy of an answer drawn uniformly."""
    return sum(1 / len(item.story.answers) for item in items) / len(items)


def accuracy(items: Sequence[Item], predictions: Mapping[str, int]) -> float:
    """Share of the items whose prediction, by id, is right."""
    return sum(predictions[item.id] == item.story.label for item in items) / len(items)


class Baseline(NamedTuple):
    """The best heuristic, and how good it is on items that it was not chosen by."""

    name: str
    is_right: tuple[bool, ...]
    """On each item, in their order."""

    @property
    def accuracy(self) -> float:
        """Share of the items."""
        return sum(self.is_right) / len(self.is_right)


def heuristic_accuracies(items: Sequence[Item]) -> dict[str, float]:
    """Accuracy of each heuristic that the items name."""
    names = dict.fromkeys(name for item in items for name in item.story.guesses)
    return {name: accuracy(items, {item.id: item.story.guesses[name] for item in items}) for name in names}


def best_heuristic(items: Sequence[Item]) -> Baseline:
    """The best of the items' heuristics and of always giving the same answer, chosen by other items.

    Each half of the items is answered by the heuristic, and the constant answer, that is best on the other
    half: what is chosen and judged by the same items is too good. Its name has both where they differ. Each
    length and each place of the right answer is in both halves alike: else the constant answer that is right
    most often in a half would be right least often in the next, and any answer better than it.
    """
    in_turn = sorted(items, key=lambda item: (item.length, len(item.story.answers), item.story.label))
    halves = in_turn[::2], in_turn[1::2]
    names, is_right = [], {}
    for judged, chosen_by in (halves, halves[::-1]):
        if not judged:
            continue
        constant = Counter(item.story.label for item in chosen_by or judged).most_common(1)[0][0]
        accuracies = heuristic_accuracies(chosen_by or judged) | {
            CONSTANT: accuracy(chosen_by or judged, dict.fromkeys((item.id for item in items), constant))
        }
        best = max(accuracies, key=accuracies.__getitem__)
        for item in judged:
            guess = constant if best == CONSTANT else item.story.guesses[best]
            is_right[item.id] = guess == item.story.label
        names.append(best)
    return Baseline(" / ".join(dict.fromkeys(names)), tuple(is_right[item.id] for item in items))


def gain_entries(
    is_right: Sequence[bool], baseline: Sequence[bool], clusters: Sequence[str]
) -> dict[str, float | int | None]:
    """How much more often an answer is right than the best heuristic's, item by item, and its 95 % interval.

    Args:
        is_right: of each item.
        baseline: the same of the heuristic.
        clusters: of each item, what is resampled together.

    Returns:
        ``gain``, ``gain from`` and ``gain to``; the last two are None where there are too few clusters, or no
        two of them differ.
    """
    gains = [float(answer) - float(guess) for answer, guess in zip(is_right, baseline, strict=True)]
    interval = ratio_interval(gains, [1.0] * len(gains), clusters)
    return {
        "gain": math.fsum(gains) / len(gains),
        "gain from": interval.low if interval else None,
        "gain to": interval.high if interval else None,
    }


def buckets(lengths: Sequence[int]) -> dict[str, list[int]]:
    """Lengths between two powers of two together, under a name that says which there are.

    Returns:
        By name, such as ``3–4``, the different lengths in rising order: 0, 1 and 2, 3 and 4, 5 to 8, ...
    """
    grouped: dict[int, list[int]] = {}
    for length in sorted(set(lengths)):
        grouped.setdefault(max(1, (length - 1).bit_length()) if length else 0, []).append(length)
    return {
        str(bucket[0]) if len(bucket) == 1 else f"{bucket[0]}–{bucket[-1]}": bucket
        for bucket in grouped.values()
    }


def summarise(
    items: Sequence[Item], predictions: Mapping[str, Mapping[str, int]], *, main: str
) -> list[SummaryRow]:
    """A row per bucket of lengths and one for all.

    Twins count only in ``both orders``: the share of pairs of which both items are right. They have their
    items' operations, so that counting them as more items would make the interval too narrow.

    Args:
        items: with their twins.
        predictions: for each score, the number of the answer that it prefers, by item's id.
        main: the score whose accuracy heads the row.
    """
    singles = [item for item in items if item.twin_of is None]
    twins = {item.twin_of: item for item in items if item.twin_of is not None}
    rows = []
    groups = buckets([item.length for item in singles])
    for name, lengths in [*groups.items(), ("all", [item.length for item in singles])]:
        in_bucket = [item for item in singles if item.length in lengths]
        right = accuracy(in_bucket, predictions[main])
        low, high = wilson_interval(right * len(in_bucket), len(in_bucket))
        baseline = best_heuristic(in_bucket)
        is_right = [predictions[main][item.id] == item.story.label for item in in_bucket]
        pairs = [(item, twins[item.id]) for item in in_bucket if item.id in twins]
        are_both_right = [
            all(predictions[main][item.id] == item.story.label for item in pair) for pair in pairs
        ]
        further = gain_entries(is_right, baseline.is_right, [item.id for item in in_bucket])
        further |= {
            score: accuracy(in_bucket, predicted) for score, predicted in predictions.items() if score != main
        }
        further["both orders"] = sum(are_both_right) / len(pairs) if pairs else None
        # Guesses of an item and its twin are right together as often as two guesses are.
        further["both, chance"] = sum(chance(pair) ** 2 for pair in pairs) / len(pairs) if pairs else None
        rows.append(
            SummaryRow(
                bucket=name,
                num_items=len(in_bucket),
                accuracy=right,
                low=low,
                high=high,
                chance=chance(in_bucket),
                baseline=baseline.name,
                baseline_accuracy=baseline.accuracy,
                further=further,
            )
        )
    return rows


def length_curve(items: Sequence[Item], predictions: Mapping[str, int]) -> list[dict[str, float | int]]:
    """Accuracy at each length, twins left out."""
    singles = [item for item in items if item.twin_of is None]
    curve = []
    for length in sorted({item.length for item in singles}):
        of_length = [item for item in singles if item.length == length]
        right = accuracy(of_length, predictions)
        low, high = wilson_interval(right * len(of_length), len(of_length))
        curve.append(
            {
                "length": length,
                "num_items": len(of_length),
                "accuracy": right,
                "low": low,
                "high": high,
                "chance": chance(of_length),
                "scaled_accuracy": scaled_accuracy(right, round(1 / chance(of_length))),
            }
        )
    return curve


def half_length(curve: Sequence[Mapping[str, float | int]]) -> int:
    """L50: the greatest length up to which the scaled accuracy is at least one half at all, or 0."""
    reached = 0
    for point in curve:
        if point["scaled_accuracy"] < 0.5:
            break
        reached = int(point["length"])
    return reached
