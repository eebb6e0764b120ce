"""The plot of bits per byte along the context."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from evalkit.analysis.positions import EDGES, PositionBits, position_curve
from evalkit.analysis.results import ScoredCorpus
from evalkit.errors import UsageError
from evalkit.plots.frame import BITS_AXIS, frame, line_style, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.scores import Scores, Source, Warn, load_scores, marks_legend, name_of, silent


@styled
def positions(
    results: Source,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Bits per byte against the position in the document, from cells with ``--token-bits``.

    One corpus is shown: the one with the most such cells.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of other corpora that could be shown.

    Raises:
        UsageError: a name is unknown, or no cell has the bits of tokens.
    """
    scores = load_scores(results, corpora=corpora, models=models, policy=policy, warn=warn)
    number, configurations = _corpus_with_tokens(scores, name_of(results), warn)
    corpus = scores.results.corpora[number]
    edges = edges_for(corpus)
    is_long = corpus.num_bytes >= edges[-1]
    num_long = int(np.count_nonzero(is_long))
    curves: dict[int, list[PositionBits]] = {}
    for index in configurations:
        if np.isfinite(corpus.bits[is_long, index]).any():
            curves[index] = position_curve(corpus.cells[index], edges)
        else:
            warn(f"{scores.label(index)} is left out: it can represent none of the {num_long:,} documents")
    if not curves:
        raise UsageError(f"{corpus.label}: no model can represent a document of {edges[-1]:,} bytes")
    figure, [axes] = frame(
        "How far back models make use of what they have read",
        f"{corpus.label}: the {num_long:,} of {len(corpus.ids):,} documents of {edges[-1]:,} bytes and more; "
        f"policy {policy}; bands: 95 % intervals over clusters of documents"
        f"{marks_legend({scores.mark(index, [number]) for index in curves})}",
    )
    axes.set_xscale("log", base=2)
    ends = []
    for place, (index, curve) in enumerate(curves.items()):
        _draw_curve(axes, curve, place)
        color = line_style(place)["color"]
        ends.append(
            EndLabel(curve[-1].bits_per_byte, scores.marked_label(index, [number]), color, _center(curve[-1]))
        )
    _prepare_axes(axes, edges, _center(next(iter(curves.values()))[0]))
    label_ends(axes, ends)
    return figure


def _corpus_with_tokens(scores: Scores, place: str, warn: Warn) -> tuple[int, list[int]]:
    """Index of the corpus on which most models kept the bits of their tokens, and these models."""
    with_tokens = {
        number: [index for index, cell in corpus.cells.items() if cell.documents.token_bits]
        for number, corpus in enumerate(scores.results.corpora)
    }
    corpora = scores.results.corpora
    able = [number for number, indices in with_tokens.items() if indices]
    if not able:
        raise UsageError(
            f"{place}: no cell of a language model here has the bits of its tokens; "
            "run again with --token-bits"
        )
    chosen = max(able, key=lambda number: (len(with_tokens[number]), corpora[number].label))
    if len(able) > 1:
        labels = ", ".join(corpora[number].label for number in able if number != chosen)
        warn(f"shown: {corpora[chosen].label}; --corpora shows another: {labels}")
    return chosen, with_tokens[chosen]


def edges_for(corpus: ScoredCorpus) -> tuple[int, ...]:
    """Byte offsets up to the last one that ten documents, or a tenth of them, reach.

    Raises:
        UsageError: too few documents are long enough to have two positions.
    """
    enough = max(2, min(10, len(corpus.ids) // 10))
    reached = [edge for edge in EDGES if np.count_nonzero(corpus.num_bytes >= edge) >= enough]
    if len(reached) < 3:
        raise UsageError(
            f"{corpus.label}: fewer than {enough} documents have {EDGES[2]} bytes; a curve needs longer ones"
        )
    return tuple(reached)


def _center(point: PositionBits) -> float:
    """Where a point stands: the middle of its bytes on a logarithmic axis, which has no place for byte 0."""
    return float(np.sqrt(max(point.first_byte, point.end_byte / 4) * point.end_byte))


def _draw_curve(axes: Axes, curve: Sequence[PositionBits], place: int) -> None:
    style = line_style(place)
    axes.plot([_center(point) for point in curve], [point.bits_per_byte for point in curve], **style)
    band = [(_center(point), point.interval) for point in curve if point.interval]
    axes.fill_between(
        [x for x, _ in band],
        [interval.low for _, interval in band],
        [interval.high for _, interval in band],
        color=style["color"],
        alpha=0.13,
        linewidth=0,
    )


def _prepare_axes(axes: Axes, edges: Sequence[int], first: float) -> None:
    axes.xaxis.set_major_locator(FixedLocator([float(edge) for edge in edges[1:]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(first / 1.2, edges[-1])
    axes.set_xlabel("position in the document, bytes from its start")
    axes.set_ylabel(BITS_AXIS)
