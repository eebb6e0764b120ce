"""Losses by class of bytes in words and numbers, and as JSON."""

from collections.abc import Iterator, Sequence

from evalkit.analysis.losses.axes import AXES
from evalkit.analysis.losses.class_losses import ClassGap, ClassLosses, CorpusLosses
from evalkit.analysis.results import Results
from evalkit.stats import CONFIDENCE

_NAME_WIDTH = 38


def losses_lines(results: Results, losses: CorpusLosses, axes: Sequence[str]) -> Iterator[str]:
    """A table for the model of the lowest bits per byte against each of the others; of one model, its own.

    Args:
        results: all cells.
        losses: of a corpus.
        axes: those that are shown.
    """
    corpus = results.corpora[losses.corpus]
    whole = losses.classes[0]
    yield (
        f"{corpus.label}: {losses.num_documents:,} documents in {losses.num_clusters:,} clusters, "
        f"{whole.num_bytes:,} bytes, policy {losses.policy}"
    )
    reference = losses.configurations[0]
    for rival in losses.configurations[1:] or (None,):
        models = [index for index in (reference, rival) if index is not None]
        names = [results.configurations[index].label for index in models]
        yield "  ".join(f"{letter}: {name}" for letter, name in zip("AB", names, strict=False))
        heads = "".join(f"{letter:>8}" for letter in "AB"[: len(names)])
        yield f"  {'bits per byte':<{_NAME_WIDTH}}{'bytes':>12}{'share':>8}{heads}" + (
            f"{'A − B':>10}  {'95 % interval':<20}{'A : B':>7}{'of A − B':>10}" if rival is not None else ""
        )
        yield _line(whole, whole, models)
        for axis in axes:
            yield f"{axis}: {AXES[axis].help}"
            yield from (_line(part, whole, models) for part in losses.of_axis(axis))
    if len(losses.configurations) > 1:
        num_classes = sum(len(losses.of_axis(axis)) for axis in AXES)
        yield (
            f"* differs also where all {num_classes} classes are looked at together: chance marks any of "
            f"them in {1 - CONFIDENCE:.0%} of corpora; intervals are of each class by itself"
        )


def _line(part: ClassLosses, whole: ClassLosses, models: Sequence[int]) -> str:
    levels = "".join(f"{part.levels[index].value:>8.3f}" for index in models)
    gap = part.gaps.get((models[0], models[1])) if len(models) > 1 else None
    return (
        f"  {part.name:<{_NAME_WIDTH}}{part.num_bytes:>12,}{part.num_bytes / whole.num_bytes:>8.1%}{levels}"
        + ("" if gap is None else _gap(gap))
    )


def _gap(gap: ClassGap) -> str:
    difference = gap.difference
    interval = "no interval"
    if difference.low is not None and difference.high is not None:
        interval = f"{_signed(difference.low)} to {_signed(difference.high)}"
    share = "–" if gap.share is None else f"{gap.share:.0%}".replace("-0%", "0%")
    mark = "*" if gap.is_clear else ""
    ratio = "–" if gap.ratio is None else f"{gap.ratio.value:.3f}"
    return f"{_signed(difference.value):>10}{mark:<2}{interval:<20}{ratio:>7}{share:>10}"


def _signed(value: float) -> str:
    """With its sign; what is rounded to 0 has none below it."""
    return f"{round(value, 4) + 0.0:+.4f}"


def losses_json(results: Results, losses: CorpusLosses, axes: Sequence[str]) -> dict[str, object]:
    """Everything of a corpus as strict JSON can hold it; arguments as of `losses_lines`."""
    corpus = results.corpora[losses.corpus]
    labels = {index: results.configurations[index].label for index in losses.configurations}
    parts = [losses.classes[0], *(part for axis in axes for part in losses.of_axis(axis))]
    return {
        "corpus": corpus.label,
        "sha256": corpus.sha256,
        "policy": losses.policy,
        "num_documents": losses.num_documents,
        "num_documents_left_out": losses.num_documents_left_out,
        "num_clusters": losses.num_clusters,
        "models": list(labels.values()),
        "classes": [
            {
                "axis": part.axis or None,
                "name": part.name,
                "num_bytes": part.num_bytes,
                "num_clusters": part.num_clusters,
                "levels": [
                    {"model": labels[index], "bits": part.bits[index], **level._asdict()}
                    for index, level in part.levels.items()
                ],
                "differences": [
                    {
                        "models": [labels[first], labels[second]],
                        **gap.difference._asdict(),
                        "ratio": gap.ratio and gap.ratio._asdict(),
                        "is_clear": gap.is_clear,
                        "share": gap.share,
                    }
                    for (first, second), gap in part.gaps.items()
                ],
            }
            for part in parts
        ],
    }
