"""The columns of a cell's rows that have what documents' choices cost, where a corpus has any."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.corpora.parquet import read_table
from evalkit.fields import FieldError
from evalkit.scoring.choices import ChoiceCosts

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

CHOICE_COLUMNS = ("choice_bits", "choice_alone_bits", "choice_num_bytes", "choice_gold")
_TOLERANCE = 1e-9


def choice_types() -> "dict[str, pa.DataType]":
    """The columns by name, with their types; all of them are there, or none."""
    import pyarrow as pa

    types = (pa.list_(pa.float64()), pa.list_(pa.float64()), pa.list_(pa.int64()), pa.int64())
    return dict(zip(CHOICE_COLUMNS, types, strict=True))


def choice_columns(costs: "Sequence[ChoiceCosts | None] | None") -> "dict[str, pa.Array]":
    """The columns of a cell; nothing where no document has choices."""
    import pyarrow as pa

    if costs is None:
        return {}
    values = zip(*((None,) * len(CHOICE_COLUMNS) if row is None else row for row in costs), strict=True)
    return {
        name: pa.array(column, kind)
        for column, (name, kind) in zip(values, choice_types().items(), strict=True)
    }


def read_choices(path: Path) -> list[ChoiceCosts | None] | None:
    """What the choices of each document cost; None where the file has no such columns.

    Args:
        path: the Parquet file of a cell that was checked.

    Raises:
        OSError: it cannot be read.
    """
    table = read_table(path, CHOICE_COLUMNS)
    if set(table.column_names) != set(CHOICE_COLUMNS):
        return None
    return [
        _row(*values) for values in zip(*(table[name].to_pylist() for name in CHOICE_COLUMNS), strict=True)
    ]


def _row(
    bits: list[float] | None, alone_bits: list[float] | None, num_bytes: list[int] | None, gold: int | None
) -> ChoiceCosts | None:
    if bits is None or num_bytes is None or gold is None:
        return None
    return ChoiceCosts(tuple(bits), None if alone_bits is None else tuple(alone_bits), tuple(num_bytes), gold)


def check_choices(
    table: "pa.Table", num_bytes: "NDArray[np.int64]", total_bits: "NDArray[np.float64]"
) -> None:
    """Refuse rows whose choices are not as many each, or whose right one is not the document's text.

    Args:
        table: with `CHOICE_COLUMNS`.
        num_bytes: of the documents.
        total_bits: of the documents.

    Raises:
        FieldError: they are not.
    """
    rows = zip(*(table[name].to_pylist() for name in CHOICE_COLUMNS), strict=True)
    for place, values in enumerate(rows):
        row = _row(*values)
        if row is None:
            continue
        lists = [row.bits, row.num_bytes, *([] if row.alone_bits is None else [row.alone_bits])]
        if {len(part) for part in lists} != {len(row.bits)} or not 0 <= row.gold < len(row.bits):
            raise FieldError("a row's choices have not as many costs each, or no right one")
        numbers = [number for part in lists for number in part]
        if any(number is None or not np.isfinite(number) for number in numbers):
            raise FieldError("a row's choices cost no number")
        is_text = row.num_bytes[row.gold] == num_bytes[place]
        if not is_text or not np.isclose(row.bits[row.gold], total_bits[place], rtol=_TOLERANCE):
            raise FieldError("a row's right choice is not its document's text")
