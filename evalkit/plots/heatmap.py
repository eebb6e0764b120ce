"""The plot of models by corpora."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evalkit.analysis.estimates import Estimate
from evalkit.errors import UsageError
from evalkit.plots.frame import LABEL_SIZE, TEXT, Mark, frame, record, styled
from evalkit.plots.names import short
from evalkit.plots.scores import Scores, Source, Warn, load_scores, marks_legend, name_of, silent

_MAX_COLUMNS_WITH_NUMBERS = 24
_EXTENSIONS: dict[tuple[bool, bool], Literal["neither", "min", "max", "both"]] = {
    (False, False): "neither",
    (True, False): "min",
    (False, True): "max",
    (True, True): "both",
}
"""At which ends of the colours something lies beyond them."""
_BEYOND = "; compressors further off than any language model: the colour of the end"


class _Table(NamedTuple):
    """Corpora by models, the model that is best in the mean first."""

    values: NDArray[np.float64]
    """``[R, C]``: bits per byte; NaN where there is no cell."""
    percent: NDArray[np.float64]
    """``[R, C]``: above the mean of the row's language models; of a row without any, of all."""
    bound: float
    """Of the colours: how far the furthest language model is from a mean."""
    marks: list[list[str]]
    """``[R][C]``: see `evalkit.analysis.cutoff.MARKS`."""
    corpora: list[str]
    models: list[str]
    colors: list[str]
    """Of the models."""


@styled
def heatmap(
    results: Source,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Models by corpora: how far each is from the mean of the language models on a corpus.

    They set the scale of the colours; a compressor beyond it has the colour of its end.

    Args:
        results: what ``evalkit run --output`` wrote: its folder, or read by `evalkit.analysis.results`.
        corpora: names; empty: all.
        models: names; empty: all.
        policy: context policy of the language models.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or fewer than two models are left.
    """
    table = _table(load_scores(results, corpora=corpora, models=models, policy=policy, warn=warn))
    num_rows, num_columns = table.values.shape
    if num_columns < 2:
        raise UsageError(f"{name_of(results)}: a heat map needs two models or more on the same corpora")
    # Room for the longest of each, where 20 letters do not suffice.
    longest = [max(len(short(name)) for name in names) for names in (table.models, table.corpora)]
    below, beside = (0.07 * max(0, length - 20) for length in longest)
    is_beyond = np.abs(table.percent) > table.bound * (1 + 1e-9)  # False where there is no cell
    figure, [axes] = frame(
        "Where each model is better or worse than the others",
        f"bits per byte (numbers, lower is better), coloured by its distance from the mean of the row's "
        f"language models; policy {policy}; columns from the lowest to the highest"
        f"{_BEYOND if is_beyond.any() else ''}"
        f"{marks_legend({mark for row in table.marks for mark in row})}",
        width=min(16.0, max(6.0, 2.6 + 0.62 * num_columns) + beside),
        height=min(14.0, 1.5 + 0.42 * num_rows + below),
    )
    mesh = axes.pcolormesh(
        table.percent, cmap="RdBu_r", vmin=-table.bound, vmax=table.bound, edgecolors="white", linewidth=1
    )
    _prepare_axes(axes, table)
    _record(axes, table)
    if num_columns <= _MAX_COLUMNS_WITH_NUMBERS:
        _write_numbers(axes, table)
    sides = (bool((is_beyond & (table.percent < 0)).any()), bool((is_beyond & (table.percent > 0)).any()))
    bar = figure.colorbar(
        mesh, ax=axes, pad=0.02, aspect=max(8, 5 * num_rows), shrink=0.95, extend=_EXTENSIONS[sides]
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label("% from the language models' mean\nblue: fewer bits", fontsize=LABEL_SIZE)
    return figure


def _table(scores: Scores) -> _Table:
    columns = sorted({index for corpus in scores.results.corpora for index in corpus.cells})
    values = np.full((len(scores.results.corpora), len(columns)), np.nan)
    for row, levels in enumerate(scores.board.levels):
        for column, index in enumerate(columns):
            if index in levels:
                values[row, column] = levels[index].value
    is_compressor = np.array([scores.results.configurations[index].policy is None for index in columns])
    is_mean = np.isfinite(values) & ~is_compressor
    is_mean |= np.isfinite(values) & ~is_mean.any(axis=1, keepdims=True)
    means = np.nanmean(np.where(is_mean, values, np.nan), axis=1, keepdims=True)
    percent = 100 * (values / means - 1)
    furthest = float(np.max(np.abs(percent), where=is_mean, initial=0.0))
    bound = furthest or float(np.nanmax(np.abs(percent))) or 1.0
    order = np.argsort(np.nanmean(percent, axis=0), kind="stable")
    return _Table(
        values[:, order],
        percent[:, order],
        bound,
        [[scores.mark(columns[column], [row]) for column in order] for row in range(len(values))],
        [corpus.label for corpus in scores.results.corpora],
        [scores.label(columns[column]) for column in order],
        [scores.style(columns[column])["color"] for column in order],
    )


def _prepare_axes(axes: Axes, table: _Table) -> None:
    axes.invert_yaxis()
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(np.arange(len(table.corpora)) + 0.5, list(map(short, table.corpora)))
    axes.set_xticks(
        np.arange(len(table.models)) + 0.5,
        list(map(short, table.models)),
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )


def _record(axes: Axes, table: _Table) -> None:
    for row, column in np.ndindex(*table.values.shape):
        if np.isfinite(table.values[row, column]):
            number = Estimate(float(table.values[row, column]), None, None)
            model, color = table.models[column], table.colors[column]
            record(axes, Mark(model, table.corpora[row], column + 0.5, row + 0.5, number, color, False))


def _write_numbers(axes: Axes, table: _Table) -> None:
    for row, column in np.ndindex(*table.values.shape):
        value = table.values[row, column]
        if np.isfinite(value):
            is_dark = abs(table.percent[row, column]) > 0.6 * table.bound
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:.2f}{table.marks[row][column]}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if is_dark else TEXT,
            )
