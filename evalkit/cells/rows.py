"""The rows of a corpus's cell: what each document cost, and with token bits each of its tokens."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from evalkit.cells.columns import parquet_settings
from evalkit.cells.renewal import said_columns
from evalkit.scoring.documents import DocumentScore

if TYPE_CHECKING:
    import pyarrow as pa

_TOKENS_AT_ONCE = 1 << 20


def write_rows(
    sink: Path | BinaryIO,
    scores: Sequence[DocumentScore],
    *,
    token_bits: bool,
    further: "Mapping[str, pa.Array] | None" = None,
) -> None:
    """Write rows as a Parquet file.

    Args:
        sink: the file, open or not.
        scores: of the documents.
        token_bits: whether the bits of tokens are written too.
        further: columns beside those of a cell, by name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = {
        name: pa.array(values, pa.string())
        for name, values in said_columns([score.document for score in scores]).items()
    }
    columns = {
        "id": pa.array([score.document.id for score in scores], pa.string()),
        "sha256": pa.array([score.document.sha256 for score in scores], pa.string()),
        "title": said.pop("title"),
        "cluster": said.pop("cluster"),
        "num_bytes": pa.array([score.document.num_bytes for score in scores], pa.int64()),
        "num_tokens": pa.array([score.num_tokens for score in scores], pa.int64()),
        "total_bits": pa.array([score.total_bits for score in scores], pa.float64()),
        "lossy": pa.array([score.lossy for score in scores], pa.string()),
        **said,
        **(further or {}),
    }
    table = pa.table(columns)
    if not token_bits:
        pq.write_table(table, sink, **parquet_settings(table.column_names))
        return
    schema = table.schema.append(pa.field("token_bits", pa.list_(pa.float32())))
    schema = schema.append(pa.field("token_ends", pa.list_(pa.int64())))
    with pq.ParquetWriter(sink, schema, **parquet_settings(schema.names)) as writer:
        for start, end in _row_groups(scores):
            columns_of_rows = [*table.slice(start, end - start).columns, *_token_columns(scores[start:end])]
            writer.write_table(pa.table(columns_of_rows, schema=schema))


def _row_groups(scores: Sequence[DocumentScore]) -> Iterator[tuple[int, int]]:
    """The documents in stretches of about `_TOKENS_AT_ONCE` tokens: all that memory holds of them."""
    start, num_tokens = 0, 0
    for place, score in enumerate(scores):
        num_tokens += score.num_tokens or 0
        if num_tokens >= _TOKENS_AT_ONCE:
            yield start, place + 1
            start, num_tokens = place + 1, 0
    if start < len(scores):
        yield start, len(scores)


def _token_columns(scores: Sequence[DocumentScore]) -> tuple["pa.ListArray", "pa.ListArray"]:
    """The bits of tokens, null where unpaid, and their ends; null for a document without tokens."""
    import pyarrow as pa

    tokens = [None if score.load_tokens is None else score.load_tokens() for score in scores]
    is_null = pa.array([part is None for part in tokens])
    lengths = [0 if part is None else len(part.bits) for part in tokens]
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    bits = np.concatenate([np.empty(0, np.float32), *(part.bits for part in tokens if part is not None)])
    ends = np.concatenate([np.empty(0, np.int64), *(part.ends for part in tokens if part is not None)])
    return (
        pa.ListArray.from_arrays(offsets, pa.array(bits, pa.float32(), mask=np.isnan(bits)), mask=is_null),
        pa.ListArray.from_arrays(offsets, pa.array(ends, pa.int64()), mask=is_null),
    )
