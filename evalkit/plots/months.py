"""The plot of chained months: what the texts did, and what the models did."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalkit.analysis.cutoff import combined
from evalkit.analysis.months import Month, chain_months
from evalkit.analysis.results import Results
from evalkit.errors import unknown_name
from evalkit.plots.frame import BITS_AXIS, FAINT, TEXT, LineStyle, frame, line_style, styled
from evalkit.plots.labels import EndLabel, label_ends, short
from evalkit.plots.scores import Source, Warn, all_readings, marks_legend, results_of, silent


@styled
def months(
    results: Source,
    *,
    anchors: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Corpora of successive months chained by anchors: the drift of the texts, and levels without it.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        anchors: models that tie the months together; empty: all that successive months have in common.
        models: names of those to show; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, fewer than two months, or months without a common anchor.
    """
    read = results_of(results, warn)
    chain = chain_months(read, anchors, policy=policy)
    labels = sorted({label for month in chain for label in month.chained})
    for name in models:
        if not any(_is_called(label, name) for label in labels):
            raise unknown_name("model", name, labels, f"In the chain there are: {', '.join(labels)}.")
    shown = [label for label in labels if not models or any(_is_called(label, name) for name in models)]
    marks = _marks(read)
    ties = sorted({label for month in chain for label in month.anchors})
    figure, (drift, levels) = frame(
        "What months did to the texts, and what is left for the models",
        f"chained by {', '.join(ties)}; policy {policy}; bands and bars: 95 % intervals; "
        f"thin: levels as measured{marks_legend([marks[label] for label in shown])}",
        height=5.4,
        num_rows=2,
        sharex=True,
        height_ratios=[1, 2.2],
    )
    _draw_drift(drift, chain)
    ends = []
    for index, label in enumerate(shown):
        shift = 0.05 * ((index % 5) - 2) / 2 if len(shown) > 1 else 0.0
        end = _draw_model(levels, chain, label, line_style(index), shift)
        ends.append(end._replace(text=short(label, marks[label])))
    levels.set_xticks(range(len(chain)), [month.month for month in chain])
    levels.set_xlim(-0.25, len(chain) - 0.8)
    levels.set_xlabel("month of the corpora")
    levels.set_ylabel(f"chained {BITS_AXIS}")
    label_ends(levels, ends)
    return figure


def _marks(results: Results) -> dict[str, str]:
    """By label, what stands behind a model's name; see `evalkit.analysis.cutoff.MARKS`."""
    by_corpus = all_readings(results)
    return {
        row.label: combined(by_model[index].exposure for by_model in by_corpus if index in by_model).mark
        for index, row in enumerate(results.configurations)
    }


def _is_called(label: str, name: str) -> bool:
    """Whether a row has this label, or is a configuration of the model of this name."""
    return label == name or label.startswith(f"{name} · ")


def _draw_drift(axes: Axes, chain: Sequence[Month]) -> None:
    xs = list(range(len(chain)))
    axes.plot(xs, [100 * (month.drift.value - 1) for month in chain], color=TEXT, marker="o")
    axes.fill_between(
        xs,
        [100 * ((month.drift.low or month.drift.value) - 1) for month in chain],
        [100 * ((month.drift.high or month.drift.value) - 1) for month in chain],
        color=TEXT,
        alpha=0.12,
        linewidth=0,
    )
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.set_ylabel("harder texts, %\n(bits of the anchors)")


def _draw_model(axes: Axes, chain: Sequence[Month], label: str, style: LineStyle, shift: float) -> EndLabel:
    """A model's chained and measured levels, a little beside its month; returns the line's name."""
    scored = [place for place, month in enumerate(chain) if label in month.chained]
    chained = [chain[place].chained[label] for place in scored]
    xs = [place + shift for place in scored]
    color = style["color"]
    axes.plot(xs, [level.value for level in chained], **style)
    axes.plot(
        xs, [chain[place].levels[label].value for place in scored], color=color, linewidth=0.7, alpha=0.6
    )
    for x, level in zip(xs, chained, strict=True):
        if level.low is not None and level.high is not None:
            axes.plot([x, x], [level.low, level.high], color=color, linewidth=1.1, alpha=0.7)
    return EndLabel(chained[-1].value, label, color, xs[-1])
