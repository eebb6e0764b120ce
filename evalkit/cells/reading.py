"""The one reader of cells, whatever their kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from evalkit.cells import files as cell_files
from evalkit.cells.checking import check_cell
from evalkit.cells.columns import DocumentColumns
from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.schema import CorpusCell, TaskCell, kind_in_file
from evalkit.errors import ScoringError, UsageError
from evalkit.fields import FieldError, from_json
from evalkit.remembered import CHECKED_CELLS, remember_checked, was_checked

_KINDS = (CorpusCell, TaskCell, ProbeCell)
_IN_WORDS = {CorpusCell: "a corpus", TaskCell: "a task", ProbeCell: "a trained probe"}
_REMEDY = "move it away and run again"

AnyCell = CorpusCell | TaskCell | ProbeCell
C = TypeVar("C", CorpusCell, TaskCell, ProbeCell)


class CheckedCell(NamedTuple):
    """A cell that was read, and its rows where it is of a corpus."""

    cell: AnyCell
    columns: DocumentColumns | None


def read_cell(path: Path, *, remedy: str = _REMEDY) -> AnyCell:
    """A cell of any kind from its JSON file, checked against its Parquet file.

    Args:
        path: the JSON file.
        remedy: what to do if it is not what was written, for the message.

    Raises:
        ScoringError: the files are no whole cell, a field is missing, unknown or of the wrong type, or
            numbers contradict one another or the rows.
    """
    return read_checked_cell(path, remedy=remedy).cell


def read_checked_cell(path: Path, *, remedy: str = _REMEDY) -> CheckedCell:
    """`read_cell`, with the rows of a cell of a corpus; arguments and errors are the same."""
    content = cell_files.read_content(path, remedy=remedy)
    try:
        cell = _parsed(path, content)
        return CheckedCell(cell, check_cell(cell))
    except FieldError as error:
        raise ScoringError(f"{path} is no cell: {error}; {remedy}") from error
    except OSError as error:
        raise cell_files.unreadable(path, error) from error


def checked_cell_of(cls: type[C], path: Path, content: Mapping[str, object]) -> C:
    """The cell of a kind that a JSON file holds, checked against the Parquet file beside it.

    Args:
        cls: `CorpusCell`, `TaskCell` or `ProbeCell`.
        path: the JSON file.
        content: what it says.

    Raises:
        FieldError: a field is missing, unknown or of the wrong type, the cell is of another kind, or numbers
            contradict one another or the rows.
        OSError: the rows cannot be read.
    """
    cell = _parsed(path, content)
    if not isinstance(cell, cls):
        raise FieldError(f"it is of {_IN_WORDS[type(cell)]}, not of {_IN_WORDS[cls]}")
    if not was_checked(CHECKED_CELLS, cell.sha256):
        check_cell(cell)
        remember_checked(CHECKED_CELLS, cell.sha256)
    return cell


def read_cell_of(cls: type[C], path: Path, *, remedy: str = _REMEDY) -> C:
    """A cell of one kind from its JSON file.

    Args:
        cls: `CorpusCell`, `TaskCell` or `ProbeCell`.
        path: the JSON file.
        remedy: what to do if it is not what was written, for the message.

    Raises:
        ScoringError: as by `read_cell`, and where the cell is of another kind.
    """
    return check_kind(cls, read_cell(path, remedy=remedy))


def read_corpus_cell(path: Path) -> CorpusCell:
    """The cell of a corpus from its JSON file.

    Raises:
        UsageError: there is no such file.
        ScoringError: as by `read_cell_of`.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}; cells lie under runs/CORPUS/MODEL/")
    return read_cell_of(CorpusCell, path)


def check_kind(cls: type[C], cell: AnyCell) -> C:
    """The cell, which is of this kind.

    Raises:
        ScoringError: it is of another one.
    """
    if not isinstance(cell, cls):
        raise ScoringError(f"{cell.path} is a cell of {_IN_WORDS[type(cell)]}; give one of {_IN_WORDS[cls]}")
    return cell


def cell_of(path: Path, content: Mapping[str, object], *, remedy: str = _REMEDY) -> AnyCell:
    """A cell from what its JSON file says, whether or not that is on disk.

    Raises:
        ScoringError: a field is missing, unknown or of the wrong type.
    """
    try:
        return _parsed(path, content)
    except FieldError as error:
        raise ScoringError(f"{path} is no cell: {error}; {remedy}") from error


def _parsed(path: Path, content: Mapping[str, object]) -> AnyCell:
    fields = dict(content)
    if fields.pop("status", None) != "success":
        raise FieldError("status must be 'success'")
    version = fields.get("schema_version")
    if not cell_files.is_readable_schema(version):
        readable = " or ".join(map(str, cell_files.READABLE_SCHEMAS))
        raise FieldError(f"schema_version is {version!r}, not {readable}")
    cls = _class_of(fields.pop("kind", None), version)
    return from_json(cls, fields, path=path)


def _class_of(kind: object, version: int) -> type[AnyCell]:
    kinds = {kind_in_file(cls, version): cls for cls in _KINDS}
    if kind is None and None not in kinds:
        raise FieldError("kind is missing")
    if not isinstance(kind, str | None) or kind not in kinds:
        raise FieldError(f"kind is {kind!r}, not {' or '.join(repr(name) for name in kinds if name)}")
    return kinds[kind]
