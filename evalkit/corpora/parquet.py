"""Parquet files of others, whose rows are counted before they are made.

A column that repeats a value holds its runs and a dictionary, so that a file of kilobytes can have millions
of rows, or the same long text a thousand times; and its pages are compressed besides.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 1000
_FEW_ROWS = 100_000
_SMALL_BYTES = 2**30
_MOST_GROWTH = 200
"""Bytes of text for a byte of the file: ten times what compressors make of prose."""


def bounded_batches(
    source: Path | bytes, columns: Collection[str] | None = None
) -> "Iterator[pa.RecordBatch]":
    """Some rows after others, as long as they are what a file of this size can hold.

    Args:
        source: the file, or its content.
        columns: those that are read; None: all.

    Raises:
        ValueError: they are more, in a line that says so.
        pyarrow.ArrowException, OSError: the file is none of Parquet, or damaged.
    """
    import pyarrow as pa

    num_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
    with _opened(source) as file:
        _check_declared(file.metadata, num_bytes)
        fields = [field for field in file.schema_arrow if columns is None or field.name in columns]
    texts = [field.name for field in fields if pa.types.is_string(field.type)]
    most_bytes = max(_SMALL_BYTES, _MOST_GROWTH * num_bytes)
    num_read_bytes = 0
    # As dictionaries, in which a text stands once, however many rows have it.
    with _opened(source, read_dictionary=texts) as file:
        names = [field.name for field in fields]
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False):
            num_read_bytes += sum(_num_decoded_bytes(column) for column in batch.columns)
            if num_read_bytes > most_bytes:
                raise ValueError(
                    f"its rows hold more than {most_bytes:,} bytes, and the file has {num_bytes:,}: it was "
                    "made to fill memory"
                )
            decoded = [
                column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                for column in batch.columns
            ]
            yield pa.RecordBatch.from_arrays(decoded, names=batch.schema.names) if texts else batch


def check_rows(source: Path | bytes) -> None:
    """Refuse a file whose rows are more than a file of its size can hold.

    Raises:
        ValueError: they are, in a line that says so.
        pyarrow.ArrowException, OSError: the file is none of Parquet, or damaged.
    """
    for _ in bounded_batches(source):
        pass


def _opened(source: Path | bytes, *, read_dictionary: list[str] | None = None) -> "pq.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = pa.BufferReader(source) if isinstance(source, bytes) else source
    return pq.ParquetFile(place, read_dictionary=read_dictionary)


def _check_declared(metadata: "pq.FileMetaData", num_bytes: int) -> None:
    """Refuse what the table of contents says, before any page is read."""
    if metadata.num_rows > max(_FEW_ROWS, num_bytes):
        raise ValueError(
            f"it has {metadata.num_rows:,} rows in {num_bytes:,} bytes: it was made to fill memory"
        )
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    num_plain_bytes = sum(
        group.column(index).total_uncompressed_size for group in groups for index in range(group.num_columns)
    )
    if num_plain_bytes > max(_SMALL_BYTES, _MOST_GROWTH * num_bytes):
        raise ValueError(f"its {num_bytes:,} bytes unpack to {num_plain_bytes:,}: it was made to fill memory")


def _num_decoded_bytes(column: "pa.Array") -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    return int(pc.sum(lengths).as_py() or 0)
