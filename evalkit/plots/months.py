"""The plot of chained months: what the texts did, and what the models did."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from evalkit.analysis.months import Month, read_months
from evalkit.errors import unknown_name
from evalkit.plots.frame import (
    BITS_AXIS,
    FAINT,
    TEXT,
    EndLabel,
    Warn,
    frame,
    label_ends,
    line_style,
    styled,
)


@styled
def months(
    results: Path | str,
    *,
    anchors: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = lambda _: None,
) -> Figure:
    """Corpora of successive months chained by anchors: the drift of the texts, and levels without it.

    Args:
        results: what ``evalkit run --output`` wrote.
        anchors: models that tie the months together; empty: all that successive months have in common.
        models: names of those to show; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, fewer than two months, or months without a common anchor.
    """
    chain = read_months(results, anchors, policy=policy, warn=warn)
    known = sorted({name for month in chain for name in month.chained})
    for one in models:
        if not any(_is_called(name, one) for name in known):
            raise unknown_name("model", one, known, f"In the chain there are: {', '.join(known)}.")
    names = [name for name in known if not models or any(_is_called(name, one) for one in models)]
    tied = sorted({name for month in chain for name in month.anchors})
    figure, (drift, levels) = frame(
        "What months did to the texts, and what is left for the models",
        f"chained by {', '.join(tied)}; policy {policy}; bands and bars: 95 % intervals; "
        "thin: levels as measured",
        height=5.4,
        num_rows=2,
        sharex=True,
        height_ratios=[1, 2.2],
    )
    xs = list(range(len(chain)))
    percent = [100 * (month.drift.value - 1) for month in chain]
    drift.plot(xs, percent, color=TEXT, marker="o")
    drift.fill_between(
        xs,
        [100 * ((m.drift.low or m.drift.value) - 1) for m in chain],
        [100 * ((m.drift.high or m.drift.value) - 1) for m in chain],
        color=TEXT,
        alpha=0.12,
        linewidth=0,
    )
    drift.axhline(0, color=FAINT, linewidth=0.8)
    drift.set_ylabel("harder texts, %\n(bits of the anchors)")
    ends = []
    for index, name in enumerate(names):
        style = line_style(index)
        ends += _draw(levels, chain, name, style, index, len(names))
    levels.set_xticks(xs, [month.month for month in chain])
    levels.set_xlim(-0.25, len(chain) - 0.8)
    levels.set_xlabel("month of the corpora")
    levels.set_ylabel(f"chained {BITS_AXIS}")
    label_ends(levels, ends)
    return figure


def _is_called(label: str, name: str) -> bool:
    """Whether a row has this label, or is a configuration of the model of this name."""
    return label == name or label.startswith(f"{name} · ")


def _draw(
    axes: object, chain: Sequence[Month], name: str, style: dict[str, object], index: int, count: int
) -> list[EndLabel]:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    there = [place for place, month in enumerate(chain) if name in month.chained]
    chained = [chain[place].chained[name] for place in there]
    color = str(style["color"])
    shift = 0.05 * ((index % 5) - 2) / 2 if count > 1 else 0.0
    xs = np.array(there) + shift
    axes.plot(xs, [one.value for one in chained], **style)  # type: ignore[arg-type]
    axes.plot(xs, [chain[place].levels[name].value for place in there], color=color, linewidth=0.7, alpha=0.6)
    for x, one in zip(xs, chained, strict=True):
        if one.low is not None and one.high is not None:
            axes.plot([x, x], [one.low, one.high], color=color, linewidth=1.1, alpha=0.7)
    return [EndLabel(chained[-1].value, name, color, float(xs[-1]))]
