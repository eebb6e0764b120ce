"""Intervals of models' macro averages, from their cells."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from evalkit.analysis.aggregates import HEADLINE
from evalkit.analysis.estimates import MODELS_AT_ONCE, DocumentBits, levels, sums_together
from evalkit.cells.schema import CorpusCell
from evalkit.stats import Interval

_NUMBERS_AT_ONCE = 1 << 22
"""Of documents times models: 32 MB."""


def macro_intervals(models: Sequence[Sequence[CorpusCell]]) -> list[Interval | None]:
    """The interval of each model's macro average over its cells of several corpora; of one cell, that cell's.

    Args:
        models: the cells of each model, each of another corpus, in any order. Neighbors that were scored on
            the same documents share their draws, which take most of the time.

    Raises:
        ScoringError: a cell's rows are missing or damaged.
    """
    ordered = [sorted(cells, key=lambda cell: (cell.corpus.name, cell.corpus.sha256)) for cells in models]
    intervals: list[Interval | None] = []
    for _, group in itertools.groupby(ordered, key=_scored_on):
        for batch in _batches(list(group)):
            intervals += _intervals(batch)
    return intervals


def _scored_on(cells: Sequence[CorpusCell]) -> list[tuple[str, int]]:
    return [(cell.corpus.sha256, cell.corpus.num_documents) for cell in cells]


def _batches(models: Sequence[Sequence[CorpusCell]]) -> Iterator[Sequence[Sequence[CorpusCell]]]:
    """Models that are in memory together, all of which were scored on the same documents."""
    num_documents = max(1, sum(cell.corpus.num_documents for cell in models[0]))
    num_models = max(1, min(MODELS_AT_ONCE, _NUMBERS_AT_ONCE // num_documents))
    for start in range(0, len(models), num_models):
        yield models[start : start + num_models]


def _intervals(models: Sequence[Sequence[CorpusCell]]) -> list[Interval | None]:
    """`macro_intervals` of models that were scored on the same documents, their cells in one order."""
    if len(models[0]) == 1:
        return [cells[0].metrics.interval for cells in models]
    corpora = []
    for cells in zip(*models, strict=True):
        corpus = _documents(cells)
        if corpus is None or (len(models) > 1 and np.isnan(corpus.bits).any()):
            # What one could not represent, or what was said of its documents, is no matter of the others.
            return [interval for model in models for interval in _intervals([model])]
        corpora.append(corpus)
    estimates = levels(HEADLINE, sums_together(corpora), range(len(models)))
    return [
        None if estimate.low is None or estimate.high is None else Interval(estimate.low, estimate.high)
        for estimate in (estimates[place] for place in range(len(models)))
    ]


def _documents(cells: Sequence[CorpusCell]) -> DocumentBits | None:
    """What models paid for the documents of a corpus; None where their cells say different clusters."""
    first = cells[0].rows()
    clusters = [row.cluster for row in first]
    bits = np.empty((len(first), len(cells)))
    for place, cell in enumerate(cells):
        rows = first if place == 0 else cell.rows()
        if [row.cluster for row in rows] != clusters:
            return None
        bits[:, place] = [math.nan if row.total_bits is None else row.total_bits for row in rows]
    num_bytes = np.array([row.num_bytes for row in first], np.int64)
    return DocumentBits(cells[0].corpus.sha256, clusters, num_bytes, bits)
