"""The rows of a cell of a corpus as columns, checked against what its JSON says of them.

A digest says that files are those that were written, not that they are right: a cell of somebody else's
program, or one that was edited and given new digests, may say 0.1 bits per byte beside rows that come to 1.
"""

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from evalkit.cells.choices import CHOICE_COLUMNS, check_choices, choice_types
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.digests import texts_sha256
from evalkit.corpora.parquet import checked_file, read_table
from evalkit.dates import last_day
from evalkit.errors import first_line
from evalkit.fields import FieldError

if TYPE_CHECKING:
    import pyarrow as pa

SUM_TOLERANCE = 1e-9
"""Relative: sums of the same numbers in another order, or by another program."""
TOKEN_TOLERANCE = 1e-4
"""Relative: bits of tokens are kept in float32."""
STORY_COLUMNS = ("story_id", "language")
"""Which only cells have whose corpora have stories in several languages."""
TOKEN_COLUMNS = {"token_bits", "token_ends"}
_LATER_COLUMNS = ("published_at", *STORY_COLUMNS)
"""Which older cells do not have."""
_LEAST_BITS = -1e-3  # of a document: log-softmax in float32 may give a probability a little above 1


class DocumentColumns(NamedTuple):
    """What a cell's rows say of its documents, in their order."""

    ids: list[str]
    digests: list[str]
    titles: list[str | None]
    clusters: list[str]
    published_at: list[str | None] | None
    """None where the cell is older than the column."""
    story_ids: list[str | None] | None
    """None where the corpus has no stories in several languages, and in older cells."""
    languages: list[str | None] | None
    """Stated where there are `story_ids`."""
    num_bytes: NDArray[np.int64]
    total_bits: NDArray[np.float64]
    """NaN where the model could not represent a document."""


def read_columns(cell: CorpusCell) -> DocumentColumns:
    """The rows of a cell.

    Raises:
        FieldError: they cannot be read, or are not what the cell says.
        OSError: the file cannot be read.
    """
    with _readable():
        file = checked_file(cell.path.with_suffix(".parquet"))
    _check_schema(file.schema, has_tokens=cell.documents.token_bits)
    has_choices = CHOICE_COLUMNS[0] in file.schema.names
    with _readable():
        table = file.table(set(file.schema.names) - TOKEN_COLUMNS)
    if table.num_rows != cell.corpus.num_documents:
        raise FieldError(f"it has {table.num_rows} rows, and corpus.num_documents is another number")
    for name in ("id", "sha256", "cluster", "num_bytes"):
        if table[name].null_count:
            raise FieldError(f"a row has no {name}")
    published_at, story_ids, languages = (
        table[name].to_pylist() if name in table.column_names else None for name in _LATER_COLUMNS
    )
    columns = DocumentColumns(
        ids=table["id"].to_pylist(),
        digests=table["sha256"].to_pylist(),
        titles=table["title"].to_pylist(),
        clusters=table["cluster"].to_pylist(),
        published_at=published_at,
        story_ids=story_ids,
        languages=languages,
        num_bytes=table["num_bytes"].to_numpy(),
        total_bits=table["total_bits"].to_numpy(),
    )
    _check_documents(cell, columns)
    _check_sums(cell, columns, table)
    if has_choices:
        check_choices(table, columns.num_bytes, columns.total_bits)
    if cell.documents.token_bits:
        start = 0
        with _readable():
            for batch in file.batches(TOKEN_COLUMNS):  # all tokens of a cell may not fit in memory
                _check_tokens(columns, start, batch)
                start += batch.num_rows
    return columns


class ParquetSettings(TypedDict, total=False):
    """Of pyarrow's writer."""

    compression: str
    use_dictionary: list[str]
    column_encoding: dict[str, str]


def parquet_settings(names: Collection[str]) -> ParquetSettings:
    """How pyarrow is to write a cell's rows: tokens, nearly all of a file, in half of the room by default.

    Ends are written as their differences, the bytes of bits apart from each other, which compresses both.

    Args:
        names: of the columns.
    """
    if TOKEN_COLUMNS.isdisjoint(names):
        return {"compression": "zstd"}
    return {
        "compression": "zstd",
        "use_dictionary": sorted(set(names) - TOKEN_COLUMNS),
        "column_encoding": {
            "token_bits.list.element": "BYTE_STREAM_SPLIT",
            "token_ends.list.element": "DELTA_BINARY_PACKED",
        },
    }


def read_rows(path: Path, columns: Collection[str] | None = None) -> "pa.Table":
    """The table of a Parquet file.

    Args:
        path: the file.
        columns: those that are read; None: all.

    Raises:
        FieldError: it is none.
        OSError: the file cannot be read.
    """
    with _readable():
        return read_table(path, columns)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Say of a file that is none of Parquet that its rows are none."""
    import pyarrow as pa

    try:
        yield
    except FieldError:
        raise
    except pa.ArrowException as error:
        raise FieldError("its rows are no Parquet file that can be read") from error
    except ValueError as error:
        raise FieldError(f"its rows cannot be read: {first_line(error)}") from error


def check_types(schema: "pa.Schema", types: "Mapping[str, pa.DataType]") -> None:
    """Refuse a table that lacks one of these columns, or has another type in one, or two of one name.

    Raises:
        FieldError: it does.
    """
    for name, kind in types.items():
        if schema.names.count(name) != 1:
            raise FieldError(f"its rows have {schema.names.count(name)} columns {name}")
        if schema.field(name).type != kind:
            raise FieldError(f"{name} of its rows is of type {schema.field(name).type}, not {kind}")


def _check_schema(schema: "pa.Schema", *, has_tokens: bool) -> None:
    import pyarrow as pa

    types = {
        **dict.fromkeys(("id", "sha256", "title", "cluster", "lossy"), pa.string()),
        **dict.fromkeys(("num_bytes", "num_tokens"), pa.int64()),
        "total_bits": pa.float64(),
    }
    if has_tokens:
        types |= {"token_bits": pa.list_(pa.float32()), "token_ends": pa.list_(pa.int64())}
    types |= dict.fromkeys((name for name in _LATER_COLUMNS if name in schema.names), pa.string())
    if CHOICE_COLUMNS[0] in schema.names:
        types |= choice_types()
    check_types(schema, types)
    unknown = set(schema.names) - set(types)
    if unknown:
        raise FieldError(f"{min(unknown)} of its rows is unknown")


def _check_documents(cell: CorpusCell, columns: DocumentColumns) -> None:
    """That the rows are those of the corpus's documents, in its order."""
    sha256 = texts_sha256(zip(columns.ids, columns.digests, strict=True))
    if sha256 != cell.corpus.sha256:
        raise FieldError("corpus.sha256 is not that of its rows' documents")
    if columns.num_bytes.min(initial=1) < 1:
        raise FieldError("a row has a document without bytes")
    bits = columns.total_bits[~np.isnan(columns.total_bits)]
    if not np.isfinite(bits).all() or bits.min(initial=0) < _LEAST_BITS:
        raise FieldError("a row's total_bits is less than 0, or infinite")
    for date in set(columns.published_at or ()):
        try:
            if date is not None:
                last_day(date)
        except ValueError as error:
            raise FieldError(f"a row's published_at: {error}") from error


def _check_sums(cell: CorpusCell, columns: DocumentColumns, table: "pa.Table") -> None:
    import pyarrow.compute as pc

    is_scored = ~np.isnan(columns.total_bits)
    if table["total_bits"].null_count != len(is_scored) - is_scored.sum():
        raise FieldError("a row's total_bits is NaN")
    tokens = table["num_tokens"].filter(is_scored)
    has_tokens = tokens.null_count < len(tokens)
    lossy = table["lossy"].is_valid()
    counts = {
        "corpus.num_bytes": (cell.corpus.num_bytes, int(columns.num_bytes.sum())),
        "totals.num_documents": (cell.totals.num_documents, int(is_scored.sum())),
        "totals.num_bytes": (cell.totals.num_bytes, int(columns.num_bytes[is_scored].sum())),
        "totals.num_tokens": (cell.totals.num_tokens, pc.sum(tokens).as_py() if has_tokens else None),
        "documents.num_lossy": (cell.documents.num_lossy, int((~is_scored).sum())),
        "documents.lossy": (
            [document.id for document in cell.documents.lossy],
            table["id"].filter(lossy).to_pylist(),
        ),
        "metrics.num_clusters": (
            cell.metrics.num_clusters,
            len({c for c, is_in in zip(columns.clusters, is_scored.tolist(), strict=True) if is_in}),
        ),
    }
    for name, (stated, counted) in counts.items():
        if stated != counted:
            raise FieldError(f"{name} is {_short(stated)}, its rows give {_short(counted)}")
    total_bits = math.fsum(columns.total_bits[is_scored].tolist())
    if not math.isclose(cell.totals.total_bits, total_bits, rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE):
        raise FieldError(f"totals.total_bits is {cell.totals.total_bits!r}, its rows give {total_bits!r}")


def _check_tokens(columns: DocumentColumns, start: int, batch: "pa.RecordBatch") -> None:
    """That the tokens of documents end at their ends, and their bits add up to the documents'.

    Args:
        columns: of all documents.
        start: place of the batch's first document among them.
        batch: the tokens of some.
    """
    import pyarrow.compute as pc

    bits, ends = (batch[name] for name in ("token_bits", "token_ends"))
    total_bits = columns.total_bits[start : start + batch.num_rows]
    num_bytes = columns.num_bytes[start : start + batch.num_rows]
    is_scored = ~np.isnan(total_bits)
    lengths, num_ends = (pc.list_value_length(lists).fill_null(0).to_numpy() for lists in (bits, ends))
    if not np.array_equal(lengths, num_ends) or (lengths[~is_scored] > 0).any():
        raise FieldError("the tokens of a row have not as many ends as bits")
    places = ends.flatten()
    if (lengths[is_scored] < 1).any() or places.null_count:
        raise FieldError("a row has no tokens, or one without an end")
    owner = np.repeat(np.arange(len(lengths)), lengths)
    places = places.to_numpy()
    last = np.cumsum(lengths) - 1
    rises = np.diff(places, prepend=0) >= 0
    rises[np.concatenate(([0], last[:-1] + 1))[lengths > 0]] = True  # where a document begins
    if not rises.all() or (places < 0).any() or (places[last[is_scored]] != num_bytes[is_scored]).any():
        raise FieldError("the tokens of a row do not end at its document's end")
    paid = np.nan_to_num(bits.flatten().to_numpy(zero_copy_only=False).astype(np.float64), nan=0.0)
    sums = np.bincount(owner, weights=paid, minlength=len(lengths))
    if not np.allclose(sums[is_scored], total_bits[is_scored], rtol=TOKEN_TOLERANCE, atol=TOKEN_TOLERANCE):
        raise FieldError("the bits of a row's tokens do not add up to its total_bits")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
