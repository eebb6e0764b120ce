"""Parquet files of others, of which it is known what they unpack to before they are unpacked.

A column that repeats a value holds its runs and a dictionary, so that a file of kilobytes can have millions
of rows, or the same long text a thousand times; a row can be a list of millions; pages are compressed
besides; and the table of contents may say nothing of it. The headers of the pages bound it all, and for
ordinary files that is enough. Where they allow for more than a file of this size should hold, its texts are
counted as they are unpacked, each once; texts in lists, which cannot be had so, in a child process first.
"""

import functools
import mmap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from evalkit.corpora.parquet_pages import DELTA_BYTE_ARRAY, DICTIONARY_ENCODINGS, Buffer, Page, read_columns

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evalkit.isolation import Worker

Rows = TypeVar("Rows", "pa.Table", "pa.RecordBatch")
_BATCH_ROWS = 1000
_FEW_ROWS = 100_000
_SMALL_BYTES = 2**30
_MOST_GROWTH = 200
"""Bytes of text for a byte of the file: ten times what compressors make of prose."""
_CPU_S_PER_BYTE = 1e-6
_CHILD_BYTES = 2 << 30
"""For what it has imported, and what the library sets apart."""
_READ_BYTES = 1 << 20
"""A file of so many bytes is read into memory, once for its pages' headers and for its rows."""
_BYTES_PER_VALUE = 12
"""Of a number, and of what says in which list it is."""


class _Bounds(NamedTuple):
    """What a file can unpack to at most, by the headers of its pages."""

    num_flat_bytes: int
    """Of the values of columns that have one in a row."""
    num_nested_bytes: int
    """Of those in lists and structs."""
    delta_columns: frozenset[str]
    """Of texts each of which is the start of the one before it, and more: not to be had as a dictionary."""
    largest_delta_bytes: int
    """Of pages of these columns: a text can be as long."""
    metadata: "pq.FileMetaData"
    """The table of contents."""
    schema: "pa.Schema"
    """The columns."""


class _Leaf(NamedTuple):
    """A column that holds values."""

    path: str
    is_flat: bool
    """A row has one value of it."""
    is_text: bool
    value_bytes: int
    """That a value takes in memory, without those of a text."""


def _leaves(metadata: "pq.FileMetaData") -> list[_Leaf]:
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    return [
        _Leaf(
            path := column.path,
            column.name == path,
            column.physical_type == "BYTE_ARRAY",
            max(_BYTES_PER_VALUE, column.length or 0),
        )
        for column in columns
    ]


class CheckedFile(NamedTuple):
    """A file that can be read: its rows are as many as a file of its size can hold."""

    source: Path | bytes
    """The file, or its content: a small one is read once."""
    bounds: _Bounds

    @property
    def schema(self) -> "pa.Schema":
        """Its columns."""
        return self.bounds.schema

    def table(self, columns: Collection[str] | None = None) -> "pa.Table":
        """Its rows; see `read_table`."""
        import pyarrow as pa

        names = self._names(columns)
        if self._is_bounded():
            with _opened(self.source, metadata=self.bounds.metadata) as file:
                return _validated(file.read(columns=names, use_threads=False))
        return pa.Table.from_batches(self._counted_batches(names))

    def batches(
        self, columns: Collection[str] | None = None, *, max_rows: int = _BATCH_ROWS
    ) -> "Iterator[pa.RecordBatch]":
        """Some rows after others, at most that many at a time; see `read_table`."""
        names = self._names(columns)
        if not self._is_bounded():
            yield from self._counted_batches(names, max_rows)
            return
        with _opened(self.source, metadata=self.bounds.metadata) as file:
            settings = {"batch_size": max_rows, "columns": names, "use_threads": False}
            yield from map(_validated, file.iter_batches(**settings))

    def check_rows(self) -> None:
        """Unpack the rows if nothing else says how many bytes they are; see `check_rows`."""
        if not self._is_bounded():
            for _ in self._counted_batches(None):
                pass

    def _names(self, columns: Collection[str] | None) -> list[str]:
        return [field.name for field in self.schema if columns is None or field.name in columns]

    def _is_bounded(self) -> bool:
        """Whether the headers of its pages say that its rows are no more than it can hold."""
        return self.bounds.num_flat_bytes <= _most_bytes(self.source)

    def _counted_batches(
        self, names: list[str] | None, max_rows: int = _BATCH_ROWS
    ) -> "Iterator[pa.RecordBatch]":
        """Some rows after others, whose texts are read as dictionaries first: in these each stands once."""
        import pyarrow as pa

        num_rows = max(1, min(max_rows, _SMALL_BYTES // 8 // max(1, self.bounds.largest_delta_bytes)))
        count = _Count(self.source, _most_bytes(self.source))
        texts = [
            leaf.path
            for leaf in _leaves(self.bounds.metadata)
            if leaf.is_text and leaf.is_flat and leaf.path not in self.bounds.delta_columns
        ]
        with _opened(self.source, read_dictionary=texts) as file:
            for batch in file.iter_batches(batch_size=num_rows, columns=names, use_threads=False):
                count.add(batch)
                fields = [self.schema.field(name) for name in batch.schema.names]
                arrays = [
                    column if column.type == field.type else column.dictionary_decode().cast(field.type)
                    for column, field in zip(batch.columns, fields, strict=True)
                ]
                yield _validated(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)))


def checked_file(source: Path | bytes) -> CheckedFile:
    """A file of which the headers of all pages were read, before any page is unpacked.

    Args:
        source: the file, or its content.

    Raises:
        ValueError: its rows are more than a file of its size can hold, in a line that says so.
        pyarrow.ArrowException, OSError: the file is none of Parquet, or damaged.
    """
    if isinstance(source, Path) and source.is_file() and source.stat().st_size <= _READ_BYTES:
        source = source.read_bytes()
    return CheckedFile(source, _checked_bounds(source))


def read_table(source: Path | bytes, columns: Collection[str] | None = None) -> "pa.Table":
    """The table of a file, as long as it is what a file of this size can hold.

    Args:
        source: the file, or its content.
        columns: those that are read; None: all.

    Raises:
        ValueError: it is more, in a line that says so.
        pyarrow.ArrowException, OSError: the file is none of Parquet, or damaged.
    """
    return checked_file(source).table(columns)


def bounded_batches(
    source: Path | bytes, columns: Collection[str] | None = None, *, max_rows: int = _BATCH_ROWS
) -> "Iterator[pa.RecordBatch]":
    """Some rows after others, at most that many at a time; see `read_table`."""
    yield from checked_file(source).batches(columns, max_rows=max_rows)


def check_rows(source: Path | bytes) -> None:
    """Refuse a file whose rows are more than a file of its size can hold.

    Raises:
        ValueError: they are, in a line that says so.
        pyarrow.ArrowException, OSError: the file is none of Parquet, or damaged.
    """
    checked_file(source).check_rows()


def _validated(rows: Rows) -> Rows:
    """The same; texts that are no UTF-8 are found here, not where somebody looks at them."""
    rows.validate(full=True)
    return rows


def _count_apart(source: Path | bytes) -> None:
    """Read a file in a child process, and nothing of it here.

    Raises:
        ValueError: it holds too much.
        pyarrow.ArrowException, OSError: it is damaged.
    """
    import pyarrow as pa

    from evalkit.isolation import WorkFailed, WorkLimits

    limits = WorkLimits(
        max_cpu_s=20 + _CPU_S_PER_BYTE * _num_bytes(source),
        max_memory_bytes=_CHILD_BYTES + 2 * _most_bytes(source),
    )
    try:
        _worker().call(limits, (ValueError, OSError, pa.ArrowException), _count, source, _most_bytes(source))
    except WorkFailed as failure:
        raise ValueError(f"reading it {failure.reason}: it was made to fill memory") from None


def _count(source: Path | bytes, most_bytes: int) -> None:
    count = _Count(source, most_bytes)
    with _opened(source) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
            count.add(batch)


class _Count:
    """What was unpacked of a file so far."""

    def __init__(self, source: Path | bytes, most_bytes: int) -> None:
        self._num_file_bytes, self._most_bytes = _num_bytes(source), most_bytes
        self._num_read_bytes = 0

    def add(self, batch: "pa.RecordBatch") -> None:
        self._num_read_bytes += sum(_num_decoded_bytes(column) for column in batch.columns)
        if self._num_read_bytes > self._most_bytes:
            raise ValueError(
                f"its rows hold more than {self._most_bytes:,} bytes, and the file has "
                f"{self._num_file_bytes:,}: it was made to fill memory"
            )


def _num_bytes(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _most_bytes(source: Path | bytes) -> int:
    return max(_SMALL_BYTES, _MOST_GROWTH * _num_bytes(source))


def _opened(
    source: Path | bytes,
    *,
    read_dictionary: list[str] | None = None,
    metadata: "pq.FileMetaData | None" = None,
) -> "pq.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = pa.BufferReader(source) if isinstance(source, bytes) else source
    return pq.ParquetFile(place, read_dictionary=read_dictionary, metadata=metadata)


@contextmanager
def _content(source: Path | bytes) -> Iterator[Buffer]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        view = memoryview(content)
        try:
            yield view
        finally:
            view.release()


def _checked_bounds(source: Path | bytes) -> _Bounds:
    """What a file can unpack to.

    Raises:
        ValueError: more rows, values or bytes than a file of its size can hold.
        pyarrow.ArrowException, OSError: the file is none of Parquet, or damaged.
    """
    num_bytes, most_bytes = _num_bytes(source), _most_bytes(source)
    with _opened(source) as file:
        metadata, schema = file.metadata, file.schema_arrow
    if metadata.num_rows > max(_FEW_ROWS, num_bytes):
        raise ValueError(
            f"it has {metadata.num_rows:,} rows in {num_bytes:,} bytes: it was made to fill memory"
        )
    num_plain_bytes = num_array_bytes = 0
    num_value_bytes = {True: 0, False: 0}
    delta_columns: dict[str, int] = {}
    for leaf, column_pages in _columns(source, metadata):
        pages, dictionary_bytes = list(column_pages), 0
        for page in pages:
            num_plain_bytes += page.num_plain_bytes
            num_array_bytes += page.num_values * leaf.value_bytes
            if page.encoding is None:
                dictionary_bytes = max(dictionary_bytes, page.num_plain_bytes)
            num_value_bytes[leaf.is_flat] += _most_value_bytes(page, leaf, dictionary_bytes)
        if any(page.encoding == DELTA_BYTE_ARRAY for page in pages):
            largest_bytes = max(page.num_plain_bytes for page in pages)
            delta_columns[leaf.path] = max(largest_bytes, delta_columns.get(leaf.path, 0))
        if num_plain_bytes > most_bytes:
            raise ValueError(
                f"its {num_bytes:,} bytes unpack to {num_plain_bytes:,}: it was made to fill memory"
            )
        if num_array_bytes > most_bytes:
            raise ValueError(
                f"its {num_bytes:,} bytes hold values that take {num_array_bytes:,}: it was made to fill "
                "memory"
            )
    bounds = _Bounds(
        num_value_bytes[True],
        num_value_bytes[False],
        frozenset(delta_columns),
        max(delta_columns.values(), default=0),
        metadata,
        schema,
    )
    if bounds.num_nested_bytes > most_bytes:
        _count_apart(source)
    return bounds


def _columns(source: Path | bytes, metadata: "pq.FileMetaData") -> Iterator[tuple[_Leaf, Iterator[Page]]]:
    """The columns of every row group, and the pages of each."""
    leaves = _leaves(metadata)
    with _content(source) as content:
        for columns in read_columns(content):
            if len(columns) != len(leaves):
                raise ValueError(f"it has {len(leaves)} columns, and {len(columns)} in a group of rows")
            yield from zip(leaves, columns, strict=True)


def _most_value_bytes(page: Page, leaf: _Leaf, dictionary_bytes: int) -> int:
    """What the values of a page can take."""
    if page.encoding == DELTA_BYTE_ARRAY:
        return page.num_values * max(_BYTES_PER_VALUE, page.num_plain_bytes)
    if page.encoding in DICTIONARY_ENCODINGS and leaf.is_text:
        return page.num_values * max(_BYTES_PER_VALUE, dictionary_bytes)
    return max(page.num_plain_bytes, page.num_values * leaf.value_bytes)


def _num_decoded_bytes(column: "pa.Array") -> int:
    """What an array takes, each text of a dictionary counted wherever it stands."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    return int(pc.sum(lengths).as_py() or 0)


@functools.cache
def _worker() -> "Worker":
    from evalkit.isolation import Worker

    return Worker()
