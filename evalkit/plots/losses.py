"""The plot of losses by kind: which classes of bytes make the differences between models."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evalkit.analysis.estimates import Estimate
from evalkit.analysis.losses.class_losses import (
    ClassGap,
    ClassLosses,
    CorpusLosses,
    corpus_losses,
    with_token_bits,
)
from evalkit.analysis.results import Results
from evalkit.analysis.texts import texts_at_hand
from evalkit.errors import UsageError
from evalkit.plots import edges
from evalkit.plots.frame import (
    FAINT,
    LABEL_SIZE,
    POINTS_PER_INCH,
    LineStyle,
    Mark,
    NotebookFigure,
    frame,
    record,
    styled,
)
from evalkit.plots.names import short
from evalkit.plots.scores import (
    Scores,
    Source,
    Warn,
    find_configuration,
    load_scores,
    marks_legend,
    name_of,
    results_of,
    silent,
    with_reference,
)
from evalkit.plots.settling import text_width

AXES_SHOWN = ("kind", "copies", "nesting")
_HANDLE_WIDTH = 40
"""Of a line in the legend and the room beside it, in typographic points."""
_WIDTH = 7.2
"""Of the figure, in inches."""
LEAST_SHARE = 0.001
"""Of the bytes: smaller classes are left out."""


@styled
def losses(
    results: Source,
    *,
    reference: str | None = None,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Paired differences from one model by class of bytes, with 95 % intervals.

    Of cells with ``--token-bits`` on corpora whose texts are in the store or built in. One corpus is shown:
    the one with the most such models.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        reference: the model to compare with; None: the one with the lowest bits per byte.
        corpora: names; empty: all.
        models: names; empty: all. The reference is always among them.
        policy: context policy of the language models.
        warn: told of every file that is left out, and of other corpora that could be shown.

    Raises:
        UsageError: a name is unknown, or there are no two models with token bits on texts at hand.
    """
    read, some = results_of(results, warn, with_limited=True), with_reference(models, reference)
    scores = load_scores(read, corpora=corpora, models=some, policy=policy, warn=warn)
    chosen = _chosen(scores, read, policy, warn)
    able = chosen.configurations
    anchor = able[0] if reference is None else find_configuration(scores, reference, able)
    rivals = [index for index in chosen.configurations if index != anchor]
    rivals, left_out = scores.choose(rivals, is_named=bool(models), warn=warn)
    whole = chosen.classes[0]
    parts = [
        part
        for part in chosen.classes
        if part.axis in ("", *AXES_SHOWN) and part.gaps and part.num_bytes >= LEAST_SHARE * whole.num_bytes
    ]
    marks = {scores.mark(index, [chosen.corpus]) for index in [anchor, *rivals]}
    anchor_label = scores.marked_label(anchor, [chosen.corpus])
    names = [scores.marked_label(rival, [chosen.corpus]) for rival in rivals]
    num_columns = _num_columns(names)
    figure, [axes] = frame(
        f"Losses by kind: differences from {anchor_label}",
        f"{scores.results.corpora[chosen.corpus].label}: {whole.num_bytes:,} bytes in "
        f"{chosen.num_documents:,} documents; policy {policy}; classes of {LEAST_SHARE:.1%} of the bytes and "
        "more; 95 % intervals over clusters of documents, of each class by itself; filled: clear of 0 also "
        f"when all classes are looked at together{marks_legend(marks)}{left_out}",
        width=_WIDTH,
        height=1.2 + 0.23 * len(parts) + 0.03 * len(rivals) * len(parts),
        num_legend_rows=-(-len(rivals) // num_columns),
    )
    for place, rival in enumerate(rivals):
        offset = (place - (len(rivals) - 1) / 2) * 0.7 / max(1, len(rivals))
        _draw_rival(axes, {part.name: _gap(part, rival, anchor) for part in parts}, offset, scores, rival)
    gaps = [_gap(part, rival, anchor)[0] for part in parts for rival in rivals]
    _prepare_axes(axes, parts, whole, gaps)
    axes.set_xlabel(f"bits per byte minus those of\n{anchor_label}; below 0 is better")
    _label(figure, dict(zip(names, map(scores.style, rivals), strict=True)), num_columns)
    return figure


def _num_columns(names: Sequence[str]) -> int:
    """Of the legend."""
    widest = _HANDLE_WIDTH + max(text_width(name, LABEL_SIZE) for name in names)
    return max(1, int(_WIDTH * POINTS_PER_INCH / widest))


def _label(figure: NotebookFigure, styles: Mapping[str, LineStyle], num_columns: int) -> None:
    """Say under the heading which model has which colour."""
    handles = [
        Line2D([], [], color=style["color"], marker=style["marker"], linewidth=1.6)
        for style in styles.values()
    ]
    figure.legend(
        handles,
        list(styles),
        ncols=num_columns,
        fontsize=LABEL_SIZE,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, figure.legend_top),
        borderaxespad=0,
    ).set_in_layout(False)


def _chosen(scores: Scores, read: Results, policy: str, warn: Warn) -> CorpusLosses:
    """The losses on the corpus on which most models can be compared.

    Texts and manifests are those of all results, where they were looked for once for all plots.
    """
    results = scores.results
    models = [with_token_bits(results, corpus, policy) for corpus in results.corpora]
    number_of = {corpus.key: number for number, corpus in enumerate(read.corpora)}
    numbers = [number_of[corpus.key] for corpus in results.corpora]
    able = [
        place
        for place, number in enumerate(numbers)
        if len(models[place]) > 1 and read.manifests.stored[number]
    ]
    if not able:
        raise UsageError(
            f"{name_of(read)}: no corpus whose texts are in the store or built in has two models with bits "
            "of tokens; run again with --token-bits"
        )
    chosen = max(able, key=lambda number: (len(models[number]), results.corpora[number].label))
    label = results.corpora[chosen].label
    if len(able) > 1:
        labels = ", ".join(results.corpora[number].label for number in able if number != chosen)
        warn(f"shown: {label}; --corpora shows another: {labels}")
    texts = texts_at_hand(read, numbers[chosen])
    shown = None if texts is None else corpus_losses(results, chosen, texts, models[chosen])
    if shown is None:
        raise UsageError(f"{label}: no document that each of the models could represent")
    return shown


def _gap(part: ClassLosses, rival: int, anchor: int) -> tuple[Estimate, bool]:
    """What a class costs the rival more than the anchor, and whether that is clear with all classes."""
    gap: ClassGap | None = part.gaps.get((rival, anchor))
    if gap is not None:
        return gap.difference, gap.is_clear
    gap = part.gaps[anchor, rival]
    return gap.difference.negated(), gap.is_clear


def _draw_rival(
    axes: Axes, gaps: Mapping[str, tuple[Estimate, bool]], offset: float, scores: Scores, rival: int
) -> None:
    """A model's differences by class, each a little beside its row."""
    style, label = scores.style(rival), scores.label(rival)
    for row, (name, gap) in enumerate(gaps.items()):
        _draw_gap(axes, row + offset, gap, style)
        value = gap[0].value
        record(axes, Mark(label, name, value, row + offset, gap[0], style["color"], False, True))


def _draw_gap(axes: Axes, height: float, gap: tuple[Estimate, bool], style: LineStyle) -> None:
    estimate, is_clear = gap
    color = style["color"]
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [height] * 2, color=color, linewidth=1.6)
    axes.plot(
        [estimate.value],
        [height],
        linestyle="",
        marker=style["marker"],
        markersize=4.5,
        color=color,
        markerfacecolor=color if is_clear else "white",
    )


def _prepare_axes(
    axes: Axes, parts: Sequence[ClassLosses], whole: ClassLosses, gaps: Sequence[Estimate]
) -> None:
    axes.set_xlim(*edges.limits_of([*gaps, Estimate(0.0, None, None)]))
    axes.axvline(0, color=FAINT, linewidth=0.8)
    names = [f"{short(part.name)}  {part.num_bytes / whole.num_bytes:.1%}" for part in parts]
    axes.set_yticks(range(len(parts)), names)
    axes.set_ylim(len(parts) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    for row in range(1, len(parts)):
        if parts[row].axis != parts[row - 1].axis:
            axes.axhline(row - 0.5, color=FAINT, linewidth=0.5)
