"""Bits per byte against the position in the document, of one model or of two on the same bytes.

A model's own curve falls from the start of a document whatever it makes of what it has read: beginnings
are hard, and a model that sees 512 bytes falls as far as one that sees everything. What a context is worth
shows beside another model, or the same one with a shorter context, on the same bytes.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.byte_costs import byte_costs
from evalkit.cells.files import check_rows, read_rows
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from evalkit.stats import Interval, ratio_interval

EDGES = (0, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""Byte offsets between which positions are taken together."""


class PositionBits(NamedTuple):
    """What the bytes at some positions of all documents cost, or cost one model more than another."""

    first_byte: int
    """Offset of the first byte, from 0."""
    end_byte: int
    """Offset behind the last."""
    bits_per_byte: float
    interval: Interval | None
    """95 %, over resampled clusters of documents; None with fewer than `stats.MIN_CLUSTERS`."""


def position_curve(cell: CorpusCell, edges: Sequence[int] = EDGES) -> list[PositionBits]:
    """Bits per byte between byte offsets, over the documents that reach the last of them.

    Shorter documents are left out, so that every position is measured on the same documents. Bytes that are
    not paid for are not counted (`evalkit.analysis.byte_costs`).

    Args:
        cell: scored with ``--token-bits``.
        edges: rising byte offsets, two or more.

    Raises:
        UsageError: the cell has no token bits, or no document is long enough.
        ScoringError: the cell's rows are missing or damaged.
    """
    documents = [(row.cluster, _costs(row)) for row in token_rows(cell)]
    return _curve(cell, documents, edges)


def position_differences(
    cell: CorpusCell, reference: CorpusCell, edges: Sequence[int] = EDGES
) -> list[PositionBits]:
    """Bits per byte of one cell minus those of another, between byte offsets: paired, byte for byte.

    Over the documents that reach the last offset and that both can represent, and there over the bytes that
    both pay for.

    Args:
        cell: scored with ``--token-bits``.
        reference: the same, of the same corpus.
        edges: rising byte offsets, two or more.

    Raises:
        UsageError: a cell has no token bits, the cells are of different texts, or no document is long enough.
        ScoringError: a cell's rows are missing or damaged.
    """
    if cell.corpus.sha256 != reference.corpus.sha256:
        raise UsageError(
            f"{cell.path} and {reference.path} are of different texts; give two cells of one corpus"
        )
    documents: list[tuple[str, NDArray[np.float64] | None]] = []
    for row, partner in zip(token_rows(cell), token_rows(reference), strict=True):
        costs, partner_costs = _costs(row), _costs(partner)
        both = None if costs is None or partner_costs is None else costs - partner_costs
        documents.append((row.cluster, both))
    return _curve(cell, documents, edges)


def _curve(
    cell: CorpusCell, documents: Sequence[tuple[str, NDArray[np.float64] | None]], edges: Sequence[int]
) -> list[PositionBits]:
    """The mean over documents of the bytes' costs between offsets; costs are None of what is left out."""
    bits: list[NDArray[np.float64]] = []
    lengths: list[NDArray[np.float64]] = []
    clusters: list[str] = []
    for cluster, costs in documents:
        if costs is None or len(costs) < edges[-1]:
            continue
        pieces = [costs[first:end] for first, end in itertools.pairwise(edges)]
        bits.append(np.array([np.nansum(piece) for piece in pieces]))
        lengths.append(np.array([np.count_nonzero(~np.isnan(piece)) for piece in pieces], np.float64))
        clusters.append(cluster)
    if not bits:
        raise UsageError(
            f"{cell.path}: no document of {cell.corpus.name} has {edges[-1]:,} bytes; give smaller positions"
        )
    return [
        PositionBits(
            first,
            end,
            float(sum(row[index] for row in bits) / sum(row[index] for row in lengths)),
            ratio_interval([row[index] for row in bits], [row[index] for row in lengths], clusters),
        )
        for index, (first, end) in enumerate(itertools.pairwise(edges))
    ]


def _costs(row: "TokenRow") -> NDArray[np.float64] | None:
    """`byte_costs` of a document; None where the model could not represent it."""
    if row.token_bits is None or row.token_ends is None:
        return None
    return byte_costs(np.array(row.token_bits, dtype=np.float64), row.token_ends)  # None becomes NaN


class TokenRow(NamedTuple):
    """What a document's tokens cost, one by one; None where the document could not be represented."""

    cluster: str
    num_bytes: int
    token_bits: list[float | None] | None
    """Of each token; None where it is not paid for."""
    token_ends: list[int] | None
    """Byte offset at which each token ends."""


def token_rows(cell: CorpusCell) -> list[TokenRow]:
    """A row per document.

    Raises:
        UsageError: the cell has no token bits.
        ScoringError: its Parquet file is missing or not the one that the JSON names.
    """
    if not cell.documents.token_bits:
        raise UsageError(f"{cell.path} has no bits of tokens; run {cell.model.name} again with --token-bits")
    path, remedy = cell.path.with_suffix(".parquet"), "delete it and run again"
    check_rows(path, cell.documents.parquet_sha256, remedy=remedy)
    table = read_rows(path, TokenRow._fields, remedy=remedy)
    columns = [table[name].to_pylist() for name in TokenRow._fields]
    return [TokenRow(*values) for values in zip(*columns, strict=True)]
