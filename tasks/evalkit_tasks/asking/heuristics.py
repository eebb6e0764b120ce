"""What an accuracy has to be compared with: guessing, and heuristics that follow no state."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
    accuracy: float


def heuristic_accuracies(items: Sequence[Item]) -> dict[str, float]:
    """Accuracy of each heuristic that the items name."""
    names = dict.fromkeys(name for item in items for name in item.story.guesses)
    return {name: accuracy(items, {item.id: item.story.guesses[name] for item in items}) for name in names}


def best_heuristic(items: Sequence[Item]) -> Baseline:
    """The best of the items' heuristics and of always giving the same answer, chosen by other items.

    Each half of the items is answered by the heuristic, and the constant answer, that is best on the other
    half: what is chosen and judged by the same items is too good. Its name has both where they differ.
    """
    halves = items[::2], items[1::2]
    names, num_right = [], 0.0
    for judged, chosen_by in (halves, halves[::-1]):
        if not judged:
            continue
        constant = Counter(item.story.label for item in chosen_by or judged).most_common(1)[0][0]
        accuracies = heuristic_accuracies(chosen_by or judged) | {
            CONSTANT: accuracy(chosen_by or judged, dict.fromkeys((item.id for item in items), constant))
        }
        best = max(accuracies, key=accuracies.__getitem__)
        guesses = {item.id: constant if best == CONSTANT else item.story.guesses[best] for item in judged}
        num_right += accuracy(judged, guesses) * len(judged)
        names.append(best)
    return Baseline(" / ".join(dict.fromkeys(names)), num_right / len(items))


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
        pairs = [(item, twins[item.id]) for item in in_bucket if item.id in twins]
        are_both_right = [
            all(predictions[main][item.id] == item.story.label for item in pair) for pair in pairs
        ]
        further: dict[str, float | int | None] = {
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
