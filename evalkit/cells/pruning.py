"""Cells without the bits of their tokens: the same numbers in a fraction of the room.

A cell with the bits of tokens takes three to seven bytes for each of them, one without a hundred bytes for a
document. The new cell has the key of one that was scored without, and says on which day they were taken out;
everything else in it stays. To have the bits again means to score again.
"""

import dataclasses
import functools
from pathlib import Path

from evalkit.cells import files as cell_files
from evalkit.cells.columns import TOKEN_COLUMNS, parquet_settings, read_rows
from evalkit.cells.corpus_cell import cell_parts
from evalkit.cells.keys import key_of
from evalkit.cells.reading import checked_cell_of, read_cell
from evalkit.cells.schema import CorpusCell, content_of
from evalkit.errors import ScoringError
from evalkit.files import locked


def prune_token_bits(path: Path, day: str) -> int:
    """Replace a cell by the same one without the bits of tokens; returns how many bytes that freed.

    0 where it has none, or is no corpus's. Where a cell without them is there already, that one stays.

    Args:
        path: the cell's JSON file.
        day: of today, for the new cell.

    Raises:
        ScoringError: the files are no whole cell, its name is not that of what it says, or the folder cannot
            be written.
    """
    remedy = "its token bits stay; move it away and run again"
    documents = cell_files.read_content(path, remedy=remedy).get("documents")
    if not (isinstance(documents, dict) and documents.get("token_bits") is True):
        return 0
    cell = read_cell(path, remedy=remedy)  # what is replaced has to be right, down to its rows
    if not isinstance(cell, CorpusCell):
        return 0
    target = path.with_stem(_pruned_stem(cell))
    parquet = path.with_suffix(".parquet")
    try:
        before = path.stat().st_size + parquet.stat().st_size
        written = _write(cell, target, day)
        with locked(path.parent):  # the JSON first: what is left of a cell that lost it is no cell
            path.unlink(missing_ok=True)
            parquet.unlink(missing_ok=True)
    except OSError as error:
        raise ScoringError(
            f"{error.filename or path}: {error.strerror}; the bits of its tokens stay: make it writable"
        ) from error
    return before - written


def _pruned_stem(cell: CorpusCell) -> str:
    """The name of the cell without the bits of tokens: a key, and of what renewed cells have besides."""
    key, dash, renewed = cell.path.stem.partition("-")
    for prefix_by_ids in (False, True):
        parts = cell_parts(cell, prefix_by_ids=prefix_by_ids)
        if key_of(parts) == key:
            return f"{key_of({**parts, 'token_bits': False})}{dash}{renewed}"
    raise ScoringError(f"{cell.path} has another key than what it says; the bits of its tokens stay")


def _write(cell: CorpusCell, target: Path, day: str) -> int:
    """Write the new cell, and return how many bytes it takes."""

    def write_rows(parquet: Path) -> None:
        import pyarrow.parquet as pq

        rows = read_rows(cell.path.with_suffix(".parquet"))
        rows = rows.drop_columns([name for name in rows.column_names if name in TOKEN_COLUMNS])
        pq.write_table(rows, parquet, **parquet_settings(rows.column_names))

    def content(parquet_sha256: str) -> dict[str, object]:
        documents = dataclasses.replace(
            cell.documents,
            parquet=target.with_suffix(".parquet").name,
            parquet_sha256=parquet_sha256,
            token_bits=False,
            token_bits_removed=day,
        )
        return content_of(dataclasses.replace(cell, documents=documents))

    cell_files.write(target, write_rows, content, functools.partial(checked_cell_of, CorpusCell, target))
    return target.stat().st_size + target.with_suffix(".parquet").stat().st_size
