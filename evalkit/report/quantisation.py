"""The table of what quantisation costs: each quantised model minus its original, corpus by corpus."""

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.analysis.quantisation import quantised_models, stored_weights
from evalkit.report.pages import ColumnHead, Pages, RowHead
from evalkit.report.shown import ShownGap, difference
from evalkit.report.text import number


class StoredModel(NamedTuple):
    """A model, and how its weights are stored."""

    head: RowHead
    kind: str
    bits_per_weight: str
    megabytes: str


class QuantisedRow(NamedTuple):
    """A quantised model beside its original."""

    model: StoredModel
    original: StoredModel
    gaps: Sequence[ShownGap | None]
    """Bits per byte of the model minus its original's, per column."""


class QuantisationTable(NamedTuple):
    """The rows, and the corpora on which a model and its original were both scored."""

    rows: list[QuantisedRow]
    columns: list[ColumnHead]


def quantisation_table(pages: Pages) -> QuantisationTable:
    """The models that were quantised, with the paired differences from what they were made of."""
    pairs = quantised_models(pages.results.configurations)
    columns = [
        column
        for column in pages.columns()
        if any({*pair} <= pages.results.corpora[column.index].cells.keys() for pair in pairs)
    ]
    rows = []
    for pair in pairs:
        gaps = [pages.board.difference(column.index, pair.configuration, pair.original) for column in columns]
        if any(gap is not None for gap in gaps):
            shown = [None if gap is None else difference(gap) for gap in gaps]
            rows.append(
                QuantisedRow(_stored(pages, pair.configuration), _stored(pages, pair.original), shown)
            )
    return QuantisationTable(rows, columns)


def _stored(pages: Pages, index: int) -> StoredModel:
    weights = stored_weights(pages.facts(index))
    megabytes = None if weights.file_bytes is None else weights.file_bytes / 1e6
    return StoredModel(
        pages.row(index), weights.kind or "–", number(weights.bits_per_weight, 2), number(megabytes, 1)
    )
