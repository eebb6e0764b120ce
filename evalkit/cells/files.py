"""The two files of a cell of any kind: whole or absent, and never overwritten.

``<key>.json`` is strict JSON, written last and atomically: where it is, the cell is complete. It bears a
digest of itself (``sha256``) and of ``<key>.parquet`` beside it, which has a row per document or item. What
is not what was written is moved aside as ``*.damaged``: it is not believed, and not deleted either.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from evalkit.cells.small_files import small_content
from evalkit.corpora.parquet import bounded_batches, read_table
from evalkit.errors import ScoringError, first_line
from evalkit.fields import FieldError
from evalkit.files import atomic_write, locked, strict_json, sweep

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

SCHEMA_VERSION = 2
"""Of the files that are written."""

READABLE_SCHEMAS = (1, 2)
KEY_SCHEMA = 1
"""Part of every key. It stays where the schema of the files moves on: a key names the numbers, and these are
the same in either schema, so that no finished cell is computed again."""

_NO_CELL = f"is not a cell of schema {' or '.join(map(str, READABLE_SCHEMAS))}"


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_STATED_DIGEST = re.compile(rb'\n  "sha256": "([0-9a-f]{64})",(?=\n)')
_NO_DIGEST = "0" * 64

_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def find(
    path: Path,
    parse: Callable[[dict[str, object]], T],
    *,
    warn: Callable[[str], None],
    again: str,
    dry_run: bool = False,
    is_swept: bool = False,
) -> T | None:
    """The cell at a path, or None; what is no cell there is moved aside, and ``warn`` is told.

    What killed writers left in its folder is removed, but not in a dry run.

    Args:
        path: its JSON file.
        parse: makes the cell of what its JSON says; a FieldError says why it is none.
        warn: gets one line.
        again: what will be done about damage, e.g. ``scored again``.
        dry_run: tell of damage and leave the files where they are.
        is_swept: whether it is known that killed writers have left nothing in its folder.

    Raises:
        ScoringError: the files cannot be read, or cannot be moved.
    """
    try:
        if not dry_run and not is_swept and path.parent.is_dir():
            sweep(path.parent)
    except OSError as error:
        raise unreadable(path, error) from error
    if not _is_taken(path):
        return None
    try:
        return _parsed(path, parse)
    except _DamageError as damage:
        problem = damage
    if dry_run:
        warn(f"{path} {problem}; it will be moved aside and {again}")
        return None
    try:
        with locked(path.parent):
            return _parsed_or_moved(path, parse, warn, again)  # another run may have been here meanwhile
    except OSError as error:  # no lock
        raise _stuck(path, error) from error


def _parsed_or_moved(
    path: Path, parse: Callable[[dict[str, object]], T], warn: Callable[[str], None], again: str
) -> T | None:
    try:
        return _parsed(path, parse)
    except _DamageError as damage:
        if _is_taken(path):
            warn(f"{path} {damage}; it was moved to {_move_aside(path)} and is {again}")
    return None


def read_content(path: Path, *, remedy: str) -> dict[str, object]:
    """What a cell's JSON says.

    Args:
        path: the file.
        remedy: what to do if it is damaged.

    Raises:
        ScoringError: the files are not what was written, or cannot be read.
    """
    try:
        return _read(path)
    except _DamageError as damage:
        raise ScoringError(f"{path} {damage}; {remedy}") from damage


def check_rows(parquet: Path, sha256: str, *, remedy: str) -> None:
    """Refuse a Parquet file that is not the one that its cell names.

    Args:
        parquet: the file.
        sha256: its digest according to the cell.
        remedy: what to do if it is damaged.

    Raises:
        ScoringError: it has another digest, or cannot be read.
    """
    path = parquet.with_suffix(".json")
    try:
        _check_digest(parquet, sha256)
    except _DamageError as damage:
        raise ScoringError(f"{path} {damage}; {remedy}") from damage
    except OSError as error:
        raise unreadable(path, error) from error


def read_rows(parquet: Path, columns: Collection[str] | None = None, *, remedy: str) -> "pa.Table":
    """The rows of a cell.

    Args:
        parquet: the file.
        columns: those that are read, as far as they are there; None: all.
        remedy: what to do if it is damaged.

    Raises:
        ScoringError: it cannot be read, or was made to fill memory.
    """
    import pyarrow as pa

    path = parquet.with_suffix(".json")
    try:
        return read_table(parquet, columns)
    except (pa.ArrowException, ValueError) as error:
        raise ScoringError(f"{path} has rows that cannot be read: {first_line(error)}; {remedy}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def row_batches(
    parquet: Path, columns: Collection[str], *, max_rows: int, remedy: str
) -> "Iterator[pa.RecordBatch]":
    """The rows of a cell, at most that many at a time; arguments and errors as of `read_rows`."""
    import pyarrow as pa

    path = parquet.with_suffix(".json")
    try:
        yield from bounded_batches(parquet, columns, max_rows=max_rows)
    except (pa.ArrowException, ValueError) as error:
        raise ScoringError(f"{path} has rows that cannot be read: {first_line(error)}; {remedy}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def write(
    path: Path,
    write_rows: Callable[[Path], None],
    content_of: Callable[[str], dict[str, object]],
    parse: Callable[[dict[str, object]], object],
) -> dict[str, object]:
    """Write a cell's files, the JSON last; where another run has finished the same cell, that one stays.

    What is no cell there is moved aside, as by `find`.

    Args:
        path: the JSON file.
        write_rows: writes the Parquet file that it is given.
        content_of: the JSON's content, given the digest of the Parquet file.
        parse: as of `find`, for what lies there.

    Returns:
        The content as any later run will read it.
    """
    with locked(path.parent):
        if _is_taken(path):
            try:
                _parsed(path, parse)
            except _DamageError:
                _move_aside(path)
        if not _is_taken(path):
            parquet = path.with_suffix(".parquet")
            if _is_taken(parquet) and not parquet.is_file():
                _move_aside(path)
            with atomic_write(parquet) as temporary:
                write_rows(temporary)
                parquet_sha256 = rows_sha256(temporary)
            write_content(path, content_of(parquet_sha256))
        written: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return written


def write_content(path: Path, content: dict[str, object]) -> None:
    """Write a cell's JSON with its digest, whole or not at all, by whoever has locked the folder."""
    content["sha256"] = _NO_DIGEST  # JSON is made once: a file has the digested text but for a line
    text = strict_json(content).encode()
    line = _STATED_DIGEST.search(text)
    assert line is not None, "what a cell says ends in its totals"
    digest = _sha256_without(text, line)
    content["sha256"] = digest
    with atomic_write(path) as temporary:
        temporary.write_bytes(text[: line.start(1)] + digest.encode() + text[line.end(1) :])


class _DamageError(Exception):
    """What is wrong with a cell's files, in words that follow the name of its JSON."""


def _is_taken(path: Path) -> bool:
    """Whether anything has the name: a file, but also a folder, a pipe, a link to nothing."""
    return os.path.lexists(path)


def _parsed(path: Path, parse: Callable[[dict[str, object]], T]) -> T:
    content = _read(path)
    try:
        return parse(content)
    except FieldError as error:
        raise _DamageError(f"is no cell: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _read(path: Path) -> dict[str, object]:
    """What a cell's JSON says, which names the Parquet file beside it.

    Raises:
        _DamageError: one of the files is not what was written.
        ScoringError: they cannot be read, so that nothing is known of them.
    """
    parquet = path.with_suffix(".parquet")
    try:
        if not path.is_file():
            raise _DamageError("is no file" if _is_taken(path) else "is not there")
        text = path.read_bytes()
        content = _DECODER.decode(text.decode("utf-8"))
        if not isinstance(content, dict) or not is_readable_schema(content.get("schema_version")):
            raise _DamageError(_NO_CELL)
        if content.get("status") != "success" or not _is_as_digested(text, content):
            raise _DamageError("was changed after it was written")
        rows = content.get("items", content.get("documents"))
        parquet_sha256 = rows.get("parquet_sha256") if isinstance(rows, dict) else None
        if parquet_sha256 is None and parquet.is_file():
            raise _DamageError(_NO_CELL)
        _check_digest(parquet, parquet_sha256)
    except FileNotFoundError as error:
        raise _DamageError("is not there") from error
    except OSError as error:
        raise unreadable(path, error) from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # NaN and lone surrogates are found when the digest is taken
        raise _DamageError("is not strict JSON") from error
    return content


def _check_digest(parquet: Path, sha256: object) -> None:
    if not parquet.is_file():
        raise _DamageError(f"has lost {parquet.name}")
    if rows_sha256(parquet) != sha256:
        raise _DamageError(f"does not fit {parquet.name}")


def unreadable(path: Path, error: OSError) -> ScoringError:
    """The error for a cell of whose files nothing is known."""
    return ScoringError(
        f"{path} and its .parquet cannot be read: {error.strerror}; make them readable or move them away"
    )


def is_readable_schema(version: object) -> TypeGuard[int]:
    """Whether files of this schema can be read; 1.0 and true, which are equal to 1, are no schema."""
    return type(version) is int and version in READABLE_SCHEMAS


def _is_as_digested(text: bytes, content: Mapping[str, object]) -> bool:
    """Whether a cell's JSON is what its digest says; ``text`` is the file.

    A file as `write_content` writes it has the digested text but for a line.
    """
    stated = content.get("sha256")
    return stated is not None and (stated == digest_in_place(text) or stated == content_sha256(content))


def digest_in_place(text: bytes) -> str | None:
    """The digest that a cell's JSON states and has; None where it has another, or is written another way."""
    stated = _STATED_DIGEST.search(text)
    if stated is None or b"\\ud" in text or b"\\uD" in text:  # lone surrogates have no UTF-8
        return None
    sha256 = _sha256_without(text, stated)
    return sha256 if sha256.encode() == stated[1] else None


def _sha256_without(text: bytes, line: re.Match[bytes]) -> str:
    return hashlib.sha256(text[: line.start()] + text[line.end() :]).hexdigest()


def content_sha256(content: Mapping[str, object]) -> str:
    """Digest of a cell's JSON but for the entry that holds it."""
    digested = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(strict_json(digested).encode()).hexdigest()


def is_whole(json_file: bytes, parquet_file: bytes) -> bool:
    """Whether the contents of two files are a cell's as it was written, wherever they lie."""
    try:
        content = json.loads(json_file)
        rows = content.get("items", content.get("documents"))
        is_same = content["sha256"] == content_sha256(content)
        return bool(is_same and rows["parquet_sha256"] == hashlib.sha256(parquet_file).hexdigest())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def _move_aside(path: Path) -> str:
    """Rename a cell's files, over none that were moved before; returns the new name of the JSON.

    Raises:
        ScoringError: they cannot be renamed.
    """
    # The JSON last: whoever is stopped in between leaves a Parquet file that no cell will be written over.
    files = [path.with_suffix(".parquet"), path]
    endings = itertools.chain([".damaged"], (f".damaged-{number}" for number in itertools.count(2)))
    try:
        ending = next(e for e in endings if not any(_is_there(Path(f"{file}{e}")) for file in files))
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                file.rename(f"{file}{ending}")
    except OSError as error:
        raise _stuck(path, error) from error
    return f"{path.name}{ending}"


def _stuck(path: Path, error: OSError) -> ScoringError:
    return ScoringError(f"{path} is damaged and cannot be moved aside: {error.strerror}; move or delete it")


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def rows_sha256(path: str | os.PathLike[str]) -> str:
    """Digest of a cell's Parquet file, anew each time: a disk's error leaves a file's time as it was.

    Raises:
        OSError: it cannot be read.
    """
    content = small_content(path)
    if content is not None:
        return hashlib.sha256(content).hexdigest()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()
