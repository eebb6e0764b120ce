"""What an accuracy has to be compared with: guessing, and heuristics that follow no state."""

from collections import Counter
from collections.abc import Mapping, Sequence

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


def heuristic_accuracies(items: Sequence[Item]) -> dict[str, float]:
    """Accuracy of each heuristic that the items name, and of always giving the same answer.

    The latter where all items have the same answers: the one that is right most often among these very
    items, for that is what a model comes to that prefers one answer whatever is asked.
    """
    names = dict.fromkeys(name for item in items for name in item.story.guesses)
    accuracies = {
        name: accuracy(items, {item.id: item.story.guesses[name] for item in items}) for name in names
    }
    if len({item.story.answers for item in items}) == 1:
        accuracies[CONSTANT] = max(Counter(item.answer for item in items).values()) / len(items)
    return accuracies


def buckets(lengths: Sequence[int]) -> dict[str, list[int]]:
    """Lengths between two powers of two together, under a name that says which there are.

    Returns:
        By name, such as ``3–4``, the different lengths in rising order: 1 and 2, 3 and 4, 5 to 8, ...
    """
    grouped: dict[int, list[int]] = {}
    for length in sorted(set(lengths)):
        grouped.setdefault(max(1, (length - 1).bit_length()), []).append(length)
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
        heuristics = heuristic_accuracies(in_bucket)
        best = max(heuristics, key=heuristics.__getitem__)
        pairs = [(item, twins[item.id]) for item in in_bucket if item.id in twins]
        are_both_right = [
            all(predictions[main][item.id] == item.story.label for item in pair) for pair in pairs
        ]
        further: dict[str, float | int | None] = {
            score: accuracy(in_bucket, predicted) for score, predicted in predictions.items() if score != main
        }
        further["both orders"] = sum(are_both_right) / len(are_both_right) if are_both_right else None
        rows.append(
            SummaryRow(
                bucket=name,
                num_items=len(in_bucket),
                accuracy=right,
                low=low,
                high=high,
                chance=chance(in_bucket),
                baseline=best,
                baseline_accuracy=heuristics[best],
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
    """L50: the greatest length up to which the scaled accuracy is at least one half at all; 0 if at none."""
    reached = 0
    for point in curve:
        if point["scaled_accuracy"] < 0.5:
            break
        reached = int(point["length"])
    return reached
