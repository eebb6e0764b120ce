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
    found = {name: accuracy(items, {item.id: item.story.guesses[name] for item in items}) for name in names}
    if len({item.story.answers for item in items}) == 1:
        found[CONSTANT] = max(Counter(item.answer for item in items).values()) / len(items)
    return found


def buckets(lengths: Sequence[int]) -> dict[str, list[int]]:
    """Lengths between two powers of two together, under a name that says which there are."""
    grouped: dict[int, list[int]] = {}
    for length in sorted(set(lengths)):
        grouped.setdefault(max(1, (length - 1).bit_length()), []).append(length)
    return {str(some[0]) if len(some) == 1 else f"{some[0]}–{some[-1]}": some for some in grouped.values()}


def summarise(
    items: Sequence[Item], predictions: Mapping[str, Mapping[str, int]], *, main: str
) -> list[SummaryRow]:
    """A row per bucket of lengths and one for all.

    Twins count only in ``both orders``: the share of pairs of which both items are right. They have their
    items' operations, so that counting them as more items would make the interval too narrow.

    Args:
        items: with their twins.
        predictions: for each way of scoring, the answer by item's id.
        main: the way whose accuracy heads the row.
    """
    singles = [item for item in items if item.twin_of is None]
    twins = {item.twin_of: item for item in items if item.twin_of is not None}
    rows = []
    groups = buckets([item.length for item in singles])
    for name, lengths in [*groups.items(), ("all", [item.length for item in singles])]:
        some = [item for item in singles if item.length in lengths]
        right = accuracy(some, predictions[main])
        low, high = wilson_interval(right * len(some), len(some))
        heuristics = heuristic_accuracies(some)
        best = max(heuristics, key=heuristics.__getitem__)
        pairs = [(item, twins[item.id]) for item in some if item.id in twins]
        both = [all(predictions[main][one.id] == one.story.label for one in pair) for pair in pairs]
        further: dict[str, float | int | None] = {
            way: accuracy(some, predicted) for way, predicted in predictions.items() if way != main
        }
        further["both orders"] = sum(both) / len(both) if both else None
        rows.append(
            SummaryRow(
                bucket=name,
                num_items=len(some),
                accuracy=right,
                low=low,
                high=high,
                chance=chance(some),
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
        some = [item for item in singles if item.length == length]
        right = accuracy(some, predictions)
        low, high = wilson_interval(right * len(some), len(some))
        curve.append(
            {
                "length": length,
                "num_items": len(some),
                "accuracy": right,
                "low": low,
                "high": high,
                "chance": chance(some),
                "scaled_accuracy": scaled_accuracy(right, round(1 / chance(some))),
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
