"""Documents as Parquet tables: a column for each field of `Document`, in its order.

Stored corpora and published datasets both have them, and both have been written in several versions: until
version 1 of the manifest's schema ``num_bytes`` was called ``n_bytes``, until version 3 there was no
``story_id``. Columns of contexts and choices are only where a document has any.
"""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.corpora.document import Document
from evalkit.errors import CorpusError

if TYPE_CHECKING:
    import pyarrow as pa

REQUIRED_FIELDS = frozenset({"id", "text", "source", "num_bytes", "sha256"})
FIELD_NAMES = tuple(field.name for field in dataclasses.fields(Document))
OLD_NAMES = {"n_bytes": "num_bytes"}
"""Names of columns in files of schema version 1."""
CONDITIONAL_FIELDS = ("context", "choices")
"""The fields that only tables have in which a document has one of them."""
OLDEST_FIELD_NAMES = frozenset(FIELD_NAMES) - {"story_id", *CONDITIONAL_FIELDS}
"""The fields that every file has, of whatever version."""


def document_columns(
    names: Sequence[str] = FIELD_NAMES, column_names: Collection[str] = FIELD_NAMES
) -> "list[pa.Field]":
    """The column of each of these fields of a document.

    Args:
        names: fields of `Document`.
        column_names: the columns of a file that is to be read; where it has an old name, so has the result,
            and what it is too old to have is not in it.
    """
    import pyarrow as pa

    types = {"num_bytes": pa.int64(), "choices": pa.list_(pa.string())}
    new_to_old = {new: old for old, new in OLD_NAMES.items() if old in column_names}
    return [
        pa.field(
            new_to_old.get(name, name),
            types.get(name, pa.string()),
            nullable=name not in REQUIRED_FIELDS,
        )
        for name in names
        if name in OLDEST_FIELD_NAMES or name in column_names
    ]


def columns_of(documents: Iterable[Document]) -> tuple[str, ...]:
    """The fields for which a table of documents has a column."""
    is_conditional = any(
        document.context is not None or document.choices is not None for document in documents
    )
    return tuple(name for name in FIELD_NAMES if is_conditional or name not in CONDITIONAL_FIELDS)


def with_current_names(table: "pa.Table") -> "pa.Table":
    """The same table with its columns called as in this version."""
    return table.rename_columns([OLD_NAMES.get(name, name) for name in table.column_names])


def document_row(document: Document) -> dict[str, str | int | tuple[str, ...] | None]:
    """A document's fields by name; unlike `dataclasses.asdict` it copies no text."""
    return {name: getattr(document, name) for name in FIELD_NAMES}


def document_of(row: Mapping[str, Any]) -> Document:
    """The document of a row with the fields' names; what it lacks is as `Document` has it.

    Raises:
        CorpusError: a choice is null.
    """
    choices = row.get("choices")
    if choices is not None and None in choices:
        raise CorpusError(f"document {row.get('id')}: one of its choices is null")
    return Document(**{**row, "choices": None if choices is None else tuple(choices)})


def documents_of(table: "pa.Table") -> list[Document]:
    """The documents of a table with the fields' names; see `document_of`, which this is for many.

    Raises:
        CorpusError: a choice is null.
    """
    columns = [_values(table, name) for name in FIELD_NAMES]
    choices = columns[FIELD_NAMES.index("choices")]
    for document_id, of_document in zip(columns[FIELD_NAMES.index("id")], choices, strict=True):
        if of_document is not None and None in of_document:
            raise CorpusError(f"document {document_id}: one of its choices is null")
    columns[FIELD_NAMES.index("choices")] = [None if part is None else tuple(part) for part in choices]
    return [Document(*row) for row in zip(*columns, strict=True)]


def _values(table: "pa.Table", name: str) -> list[Any]:
    """A column as Python has it; of one that is not there, None for each row."""
    import pyarrow as pa

    if name not in table.column_names:
        return [None] * table.num_rows
    column = table[name]
    if column.null_count == len(column):
        return [None] * len(column)
    if column.null_count or not pa.types.is_string(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return [text for chunk in column.chunks for text in _texts(chunk)]


def _texts(array: "pa.StringArray") -> list[str]:
    """Texts of which none is null; pyarrow takes three times as long, or imports pandas, which takes longer.

    Raises:
        UnicodeDecodeError: they are not UTF-8.
    """
    import numpy as np

    if not len(array):
        return []
    _, places, content = array.buffers()
    ends = np.frombuffer(places, np.int32)[array.offset : array.offset + len(array) + 1].tolist()
    data = content.to_pybytes()[: ends[-1]] if content is not None else b""
    text = data.decode("utf-8")
    if len(text) == len(data):  # ASCII, where places of bytes are those of letters
        return [text[start:end] for start, end in itertools.pairwise(ends)]
    return [data[start:end].decode("utf-8") for start, end in itertools.pairwise(ends)]
