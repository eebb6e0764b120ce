"""Documents as Parquet tables: a column for each field of `Document`, in its order.

Stored corpora and published datasets both have them, and both have been written in several versions: until
version 1 of the manifest's schema ``num_bytes`` was called ``n_bytes``, until version 3 there was no
``story_id``.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from evalkit.corpora.document import Document

if TYPE_CHECKING:
    import pyarrow as pa

REQUIRED_FIELDS = frozenset({"id", "text", "source", "num_bytes", "sha256"})
FIELD_NAMES = tuple(field.name for field in dataclasses.fields(Document))
OLD_NAMES = {"n_bytes": "num_bytes"}
"""Names of columns in files of schema version 1."""
OLDEST_FIELD_NAMES = frozenset(FIELD_NAMES) - {"story_id"}
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

    new_to_old = {new: old for old, new in OLD_NAMES.items() if old in column_names}
    return [
        pa.field(
            new_to_old.get(name, name),
            pa.int64() if name == "num_bytes" else pa.string(),
            nullable=name not in REQUIRED_FIELDS,
        )
        for name in names
        if name in OLDEST_FIELD_NAMES or name in column_names
    ]


def with_current_names(table: "pa.Table") -> "pa.Table":
    """The same table with its columns called as in this version."""
    return table.rename_columns([OLD_NAMES.get(name, name) for name in table.column_names])


def document_row(document: Document) -> dict[str, str | int | None]:
    """A document's fields by name; unlike `dataclasses.asdict` it copies no text."""
    return {name: getattr(document, name) for name in FIELD_NAMES}
