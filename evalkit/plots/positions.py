"""The plot of differences along the document."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from evalkit.analysis.estimates import Estimate
from evalkit.analysis.positions import EDGES, PositionBits, position_curve, position_differences
from evalkit.analysis.results import ScoredCorpus
from evalkit.errors import UsageError
from evalkit.plots.frame import BITS_AXIS, LineStyle, Mark, frame, record, styled
from evalkit.plots.labels import EndLabel, label_ends
from evalkit.plots.names import short
from evalkit.plots.scores import (
    Scores,
    Source,
    Warn,
    find_configuration,
    load_scores,
    marks_legend,
    name_of,
    silent,
    with_reference,
)

_LONG_NAME = 30


@styled
def positions(
    results: Source,
    *,
    reference: str | None = None,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Paired differences of bits per byte along the document, from cells with ``--token-bits``.

    Between models, or of one model between several ``--max-context``. Of a single cell, its bits per byte,
    which say nothing of how far back the model looks. One corpus is shown: the one with the most such cells.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        reference: the model to compare with; None: of one model its longest context, of several the one with
            the lowest bits per byte.
        corpora: names; empty: all.
        models: names; empty: all. The reference is always among them.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of other corpora that could be shown.

    Raises:
        UsageError: a name is unknown, or no cell has the bits of tokens.
    """
    names = with_reference(models, reference)
    scores = load_scores(results, corpora=corpora, models=names, policy=policy, warn=warn)
    number, with_tokens = _corpus_with_tokens(scores, name_of(results), warn)
    corpus = scores.results.corpora[number]
    edges = edges_for(corpus)
    is_long = corpus.num_bytes >= edges[-1]
    configurations = _able(scores, corpus, with_tokens, is_long, warn)
    by_context = _are_contexts(scores, configurations)
    configurations.sort(key=lambda index: _context(scores, index) if by_context else 0.0)
    anchor = _anchor(scores, number, configurations, reference)
    chosen, left_out = scores.choose(configurations, is_named=bool(models), warn=warn, first=[anchor])
    curves = _curves(corpus, chosen, anchor, is_long, edges)
    title, note = _words(scores, configurations, anchor)
    figure, [axes] = frame(
        title,
        f"{corpus.label}: the {is_long.sum():,} of {len(corpus.ids):,} documents of {edges[-1]:,} bytes "
        f"and more; policy {policy}; {note}bands: 95 % intervals over clusters of documents"
        f"{marks_legend({scores.mark(index, [number]) for index in chosen})}{left_out}",
        height=max(4.4, 0.8 + 0.17 * len(chosen)),
    )
    axes.set_xscale("log", base=2)
    ends = []
    for index, curve in curves.items():
        name, color = _name(scores, index, number, by_context), scores.style(index)["color"]
        _draw_curve(axes, curve, scores.style(index), name if by_context else scores.label(index))
        ends.append(EndLabel(curve[-1].bits_per_byte, name, color, _center(curve[-1])))
    _prepare_axes(axes, edges, _center(next(iter(curves.values()))[0]))
    if len(configurations) > 1:
        axes.axhline(0, color=scores.style(anchor)["color"], linewidth=0.9)
        name = _name(scores, anchor, number, by_context)
        ends.append(EndLabel(0.0, name, scores.style(anchor)["color"]))
        axes.set_ylabel(_difference_words(name, by_context))
    label_ends(axes, ends)
    return figure


def _are_contexts(scores: Scores, configurations: Sequence[int]) -> bool:
    """Whether these are one model that differs in nothing but its context."""
    rows = [scores.results.configurations[index] for index in configurations]
    limits = {row.settings.context_limit for row in rows}
    return len({row.model for row in rows}) == 1 and len(limits) == len(rows) > 1


def _context(scores: Scores, index: int) -> float:
    """A model's context limit; infinite where there is none."""
    return scores.results.configurations[index].settings.context_limit or math.inf


def _name(scores: Scores, index: int, corpus: int, by_context: bool) -> str:
    """What a line is called: where all are of one model, which the title names, by the context alone."""
    if not by_context:
        return scores.marked_label(index, [corpus])
    limit = _context(scores, index)
    words = "no context limit" if math.isinf(limit) else f"context ≤ {limit:,}"
    return f"{words}{scores.mark(index, [corpus])}"


def _difference_words(name: str, by_context: bool) -> str:
    """Of the vertical axis, in lines that are no longer than it is."""
    separator = " " if len(name) <= _LONG_NAME else "\n"
    return f"bits per byte minus those {'with' if by_context else 'of'}\n{name};{separator}below 0 is better"


def _able(
    scores: Scores,
    corpus: ScoredCorpus,
    configurations: Sequence[int],
    is_long: NDArray[np.bool_],
    warn: Warn,
) -> list[int]:
    """Those that can represent a long document; ``warn`` is told of the others.

    Raises:
        UsageError: none can.
    """
    able = [index for index in configurations if np.isfinite(corpus.bits[is_long, index]).any()]
    num_long = np.count_nonzero(is_long)
    for index in sorted(set(configurations) - set(able)):
        warn(f"{scores.label(index)} is left out: it can represent none of the {num_long:,} documents")
    if not able:
        raise UsageError(f"{corpus.label}: no model can represent a document of the {num_long:,} long ones")
    return able


def _anchor(scores: Scores, corpus: int, configurations: Sequence[int], reference: str | None) -> int:
    """Whose bits are subtracted: that of the name, a model's longest context, or the best model."""
    if reference is not None:
        return find_configuration(scores, reference, configurations)
    rows = scores.results.configurations
    lowest = sorted(configurations, key=lambda index: (scores.board.level(corpus, index).value, index))
    if len({rows[index].model for index in configurations}) == 1:
        # Of equal ones the lowest.
        return max(lowest, key=lambda index: _context(scores, index))
    return lowest[0]


def _curves(
    corpus: ScoredCorpus,
    configurations: Sequence[int],
    anchor: int,
    is_long: NDArray[np.bool_],
    edges: Sequence[int],
) -> dict[int, list[PositionBits]]:
    """The differences from the anchor; of a single model its own bits per byte.

    Raises:
        UsageError: no other model can represent a long document that the anchor can.
    """
    if len(configurations) == 1:
        return {anchor: position_curve(corpus.cells[anchor], edges)}
    rivals = [
        index
        for index in configurations
        if index != anchor and np.isfinite(corpus.bits[is_long][:, [index, anchor]]).all(axis=1).any()
    ]
    if not rivals:
        raise UsageError(f"{corpus.label}: no two models can represent the same long document")
    return {index: position_differences(corpus.cells[index], corpus.cells[anchor], edges) for index in rivals}


def _words(scores: Scores, configurations: Sequence[int], anchor: int) -> tuple[str, str]:
    """The title, and what must be said of it."""
    rows = scores.results.configurations
    if len(configurations) == 1:
        return (
            f"Bits per byte along documents: {short(scores.label(anchor))} alone",
            "this falls for a model that sees 512 bytes as well, so it does not say how far back a model "
            "looks: score a second model, or this one with a shorter --max-context; ",
        )
    num_models = len({rows[index].model for index in configurations})
    num_contexts = len({rows[index].settings.context_limit for index in configurations})
    if num_models == 1 and num_contexts > 1:
        title = f"What a longer context is worth to {short(rows[anchor].model)}, along documents"
    else:
        title = f"Where in documents models differ from {short(scores.label(anchor))}"
    return title, "paired, on the same bytes; "


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


def _draw_curve(axes: Axes, curve: Sequence[PositionBits], style: LineStyle, name: str) -> None:
    color = style["color"]
    for point in curve:
        number = Estimate(point.bits_per_byte, *(point.interval or (None, None)))
        subject = f"bytes {point.first_byte:,} to {point.end_byte:,}"
        record(axes, Mark(name, subject, _center(point), point.bits_per_byte, number, color))
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
