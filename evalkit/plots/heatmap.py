"""The plot of models by corpora."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit.plots.frame import LABEL_SIZE, TEXT, frame, styled
from evalkit.plots.labels import short
from evalkit.plots.scores import Scores, Source, Warn, load_scores, marks_legend, name_of, silent

_MAX_COLUMNS_WITH_NUMBERS = 24


class _Table(NamedTuple):
    """Corpora by models, the model that is best in the mean first."""

    values: NDArray[np.float64]
    """``[R, C]``: bits per byte; NaN where there is no cell."""
    percent: NDArray[np.float64]
    """``[R, C]``: above the mean of the row."""
    marks: list[list[str]]
    """``[R][C]``: see `evalkit.analysis.cutoff.MARKS`."""
    corpora: list[str]
    models: list[str]


@styled
def heatmap(
    results: Source,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = silent,
) -> Figure:
    """Models by corpora: how far each is from the mean of all models on a corpus.

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
    below, beside = (0.07 * max(0, max(map(len, texts)) - 20) for texts in (table.models, table.corpora))
    figure, [axes] = frame(
        "Where each model is better or worse than the others",
        f"bits per byte (numbers, lower is better), coloured by its distance from the row's mean; policy "
        f"{policy}; columns from the lowest to the highest"
        f"{marks_legend({mark for row in table.marks for mark in row})}",
        width=min(16.0, max(6.0, 2.6 + 0.62 * num_columns) + beside),
        height=min(14.0, 1.5 + 0.42 * num_rows + below),
    )
    bound = float(np.nanmax(np.abs(table.percent))) or 1.0
    mesh = axes.pcolormesh(
        table.percent, cmap="RdBu_r", vmin=-bound, vmax=bound, edgecolors="white", linewidth=1
    )
    _prepare_axes(axes, table)
    if num_columns <= _MAX_COLUMNS_WITH_NUMBERS:
        _write_numbers(axes, table, bound)
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=max(8, 5 * num_rows), shrink=0.95)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label("% from the row's mean\nblue: fewer bits", fontsize=LABEL_SIZE)
    return figure


def _table(scores: Scores) -> _Table:
    columns = sorted({index for corpus in scores.results.corpora for index in corpus.cells})
    values = np.full((len(scores.results.corpora), len(columns)), np.nan)
    for row, levels in enumerate(scores.board.levels):
        for column, index in enumerate(columns):
            if index in levels:
                values[row, column] = levels[index].value
    percent = 100 * (values / np.nanmean(values, axis=1, keepdims=True) - 1)
    order = np.argsort(np.nanmean(percent, axis=0), kind="stable")
    return _Table(
        values[:, order],
        percent[:, order],
        [[scores.mark(columns[column], [row]) for column in order] for row in range(len(values))],
        [short(corpus.label) for corpus in scores.results.corpora],
        [short(scores.label(columns[column])) for column in order],
    )


def _prepare_axes(axes: Axes, table: _Table) -> None:
    axes.invert_yaxis()
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(np.arange(len(table.corpora)) + 0.5, table.corpora)
    axes.set_xticks(
        np.arange(len(table.models)) + 0.5,
        table.models,
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )


def _write_numbers(axes: Axes, table: _Table, bound: float) -> None:
    for row, column in np.ndindex(*table.values.shape):
        value = table.values[row, column]
        if np.isfinite(value):
            is_dark = abs(table.percent[row, column]) > 0.6 * bound
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:.2f}{table.marks[row][column]}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if is_dark else TEXT,
            )
