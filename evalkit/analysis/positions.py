"""Bits per byte against the position in the document: how far back a model makes use of what it has read."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.byte_costs import byte_costs
from evalkit.cells.files import check_rows
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from evalkit.stats import Interval, ratio_interval

EDGES = (0, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""Byte offsets between which positions are taken together."""


class PositionBits(NamedTuple):
    """What the bytes at some positions of all documents cost."""

    first_byte: int
    """Offset of the first byte, from 0."""
    end_byte: int
    """Offset behind the last."""
    bits_per_byte: float
    interval: Interval | None
    """95 %, over resampled clusters of documents; None with fewer than `stats.MIN_CLUSTERS`."""


def position_curve(cell: CorpusCell, edges: Sequence[int] = EDGES) -> list[PositionBits]:
    """Bits per byte between byte offsets, over the documents that reach the last of them.

    Shorter documents are left out, so that every position is measured on the same documents and the curve
    shows the context's effect, not which documents are long. Bytes that are not paid for are not counted
    (`evalkit.analysis.byte_costs`).

    Args:
        cell: scored with ``--token-bits``.
        edges: rising byte offsets, two or more.

    Raises:
        UsageError: the cell has no token bits, or no document is long enough.
        ScoringError: the cell's rows are missing or damaged.
    """
    bits: list[NDArray[np.float64]] = []
    lengths: list[NDArray[np.float64]] = []
    clusters: list[str] = []
    for cluster, costs in _costs_by_document(cell):
        if len(costs) < edges[-1]:
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


def _costs_by_document(cell: CorpusCell) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Cluster and `byte_costs` of every document that the model could represent."""
    for row in token_rows(cell):
        if row.token_bits is not None and row.token_ends is not None:
            bits = np.array(row.token_bits, dtype=np.float64)  # None becomes NaN
            yield row.cluster, byte_costs(bits, row.token_ends)


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
    import pyarrow.parquet as pq

    if not cell.documents.token_bits:
        raise UsageError(f"{cell.path} has no bits of tokens; run {cell.model.name} again with --token-bits")
    path = cell.path.with_suffix(".parquet")
    check_rows(path, cell.documents.parquet_sha256, remedy="delete it and run again")
    table = pq.read_table(path, columns=list(TokenRow._fields))
    columns = [table[name].to_pylist() for name in TokenRow._fields]
    return [TokenRow(*values) for values in zip(*columns, strict=True)]
