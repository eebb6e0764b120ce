"""What longer contexts gain a model on the same paid text, from the cells of ``--context-gain``."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from evalkit.analysis.estimates import ALONE, Estimate, estimates, resampled_columns
from evalkit.cells.schema import CorpusCell


class GainPoint(NamedTuple):
    """What contexts of one length come to."""

    num_context_bytes: int | None
    """None: all that stands before."""
    bits_per_byte: Estimate
    gain: Estimate
    """Bits per byte less than behind the shortest context, paired by document."""


class GainCurve(NamedTuple):
    """One model on one corpus."""

    model: str
    corpus: str
    """The one whose contexts were cut."""
    policy: str
    context_limit: int | None
    """Of the model, in tokens; None: there is none."""
    num_documents: int
    points: tuple[GainPoint, ...]
    """The shortest context first."""


def gain_curves(cells: Iterable[CorpusCell]) -> list[GainCurve]:
    """A curve for each model and corpus of which there are cells of two lengths or more.

    Of several cells of one model, corpus and length the newest counts. Documents that the model could not
    represent behind one of the contexts are left out of all; where none is left there is no curve.
    """
    families: dict[tuple[object, ...], dict[int | None, CorpusCell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.created):
        cut = cell.corpus.cut
        if cut is None:
            continue
        model, policy = cell.model, cell.policy
        settings = (model.dtype, policy.name, policy.prefix_ids, policy.context_limit)
        key = (cut.of, cut.of_sha256, model.name, model.weights_sha256, *settings)
        families.setdefault(key, {})[cut.num_bytes] = cell
    curves = (_curve(family) for family in families.values() if len(family) > 1)
    return [curve for curve in curves if curve is not None]


def _curve(family: Mapping[int | None, CorpusCell]) -> GainCurve | None:
    lengths = sorted(family, key=lambda length: float("inf") if length is None else length)
    rows = {length: {row.id: row for row in family[length].rows()} for length in lengths}
    first = rows[lengths[0]]
    ids = [
        name
        for name in first
        if all(name in of_length and of_length[name].total_bits is not None for of_length in rows.values())
    ]
    if not ids:
        return None
    num_bytes = np.array([first[name].num_bytes for name in ids], np.float64)
    clusters = [first[name].cluster for name in ids]
    bits = np.array([[rows[length][name].total_bits for length in lengths] for name in ids], np.float64)
    sums = resampled_columns(np.column_stack((bits, bits[:, :1] - bits, num_bytes)), clusters, stream=ALONE)
    numbers = estimates(sums[:-1] / sums[-1], len(set(clusters)))
    cell = family[lengths[0]]
    assert cell.corpus.cut is not None
    return GainCurve(
        cell.model.name,
        cell.corpus.cut.of,
        cell.policy.name,
        cell.policy.context_limit,
        len(ids),
        tuple(map(GainPoint, lengths, numbers[: len(lengths)], numbers[len(lengths) :])),
    )


def gain_lines(curve: GainCurve) -> list[str]:
    """A curve as lines of text."""
    limit = "" if curve.context_limit is None else f" ≤{curve.context_limit:,} tokens"
    lines = [
        f"{curve.model} on {curve.corpus} ({curve.policy}{limit}): the same text of {curve.num_documents:,} "
        "documents behind contexts of"
    ]
    for point in curve.points:
        lines.append(
            f"  {context_words(point):>16}  {_in_words(point.bits_per_byte)} bits/byte, "
            f"gain {_in_words(point.gain)}"
        )
    return lines


def gain_json(curve: GainCurve) -> dict[str, object]:
    """A curve for programs."""
    return {
        "model": curve.model,
        "corpus": curve.corpus,
        "policy": curve.policy,
        "context_limit": curve.context_limit,
        "num_documents": curve.num_documents,
        "points": [
            {
                "num_context_bytes": point.num_context_bytes,
                "bits_per_byte": point.bits_per_byte._asdict(),
                "gain": point.gain._asdict(),
            }
            for point in curve.points
        ],
    }


def context_words(point: GainPoint) -> str:
    """How long a context is, for people."""
    return "the whole text" if point.num_context_bytes is None else f"{point.num_context_bytes:,} bytes"


def _in_words(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" [{estimate.low:.4f}, {estimate.high:.4f}]"
    return f"{estimate.value:.4f}{interval}"
