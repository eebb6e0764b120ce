"""The two files of a cell of any kind: whole or absent, and never overwritten.

``<key>.json`` is strict JSON, written last and atomically: where it is, the cell is complete. It bears a
digest of itself (``sha256``) and of ``<key>.parquet`` beside it, which has a row per document or item. What
is not what was written is moved aside as ``*.damaged``: it is not believed, and not deleted either.
"""

import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeGuard

from evalkit.errors import ScoringError
from evalkit.files import atomic_write, locked, strict_json, sweep

SCHEMA_VERSION = 2
"""Of the files that are written."""

READABLE_SCHEMAS = (1, 2)
KEY_SCHEMA = 1
"""Part of every key. It stays where the schema of the files moves on: a key names the numbers, and these are
the same in either schema, so that no finished cell is computed again."""

_NO_CELL = f"is not a cell of schema {' or '.join(map(str, READABLE_SCHEMAS))}"


def is_whole(path: Path, *, warn: Callable[[str], None], again: str, dry_run: bool = False) -> bool:
    """Whether a cell is there; files that are not what was written are moved aside, and ``warn`` is told.

    What killed writers left in its folder is removed, but not in a dry run.

    Args:
        path: its JSON file.
        warn: gets one line.
        again: what will be done about damage, e.g. ``scored again``.
        dry_run: tell of damage and leave the files where they are.

    Raises:
        ScoringError: the files cannot be read, or cannot be moved.
    """
    if not dry_run and path.parent.is_dir():
        sweep(path.parent)
    if not path.is_file():
        return False
    problem = damage(path)
    if problem is None:
        return True
    if dry_run:
        warn(f"{path} {problem}; it will be moved aside and {again}")
        return False
    with locked(path.parent):
        problem = damage(path)
        if problem is None:  # another run was here meanwhile
            return True
        if path.is_file():
            warn(f"{path} {problem}; it was moved to {_move_aside(path)} and is {again}")
    return False


def read_content(path: Path, *, remedy: str) -> dict[str, object]:
    """What a cell's JSON says.

    Args:
        path: the file.
        remedy: what to do if it is damaged.

    Raises:
        ScoringError: the files are not what was written, or cannot be read.
    """
    content = _read(path)
    if isinstance(content, str):
        raise ScoringError(f"{path} {content}; {remedy}")
    return content


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
        problem = _rows_damage(parquet, sha256)
    except OSError as error:
        raise unreadable(path, error) from error
    if problem is not None:
        raise ScoringError(f"{path} {problem}; {remedy}")


def write(
    path: Path, write_rows: Callable[[Path], None], content_of: Callable[[str], dict[str, object]]
) -> dict[str, object]:
    """Write a cell's files, the JSON last; where another run has finished the same cell, that one stays.

    Damaged files that lie there are moved aside, as by `is_whole`.

    Args:
        path: the JSON file.
        write_rows: writes the Parquet file that it is given.
        content_of: the JSON's content, given the digest of the Parquet file.

    Returns:
        The content as any later run will read it.
    """
    with locked(path.parent):
        if path.is_file() and damage(path) is not None:
            _move_aside(path)
        if not path.is_file():
            with atomic_write(path.with_suffix(".parquet")) as temporary:
                write_rows(temporary)
                parquet_sha256 = _parquet_digest(temporary)
            content = content_of(parquet_sha256)
            content["sha256"] = content_sha256(content)
            with atomic_write(path) as temporary:
                temporary.write_text(strict_json(content), encoding="utf-8")
        written: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return written


def damage(path: Path) -> str | None:
    """What is wrong with a cell's files, or None.

    Raises:
        ScoringError: they cannot be read, so that nothing is known of them.
    """
    content = _read(path)
    return content if isinstance(content, str) else None


def _read(path: Path) -> dict[str, object] | str:
    """What a cell's JSON says; or, as text, what is wrong with its files."""
    parquet = path.with_suffix(".parquet")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not is_readable_schema(content.get("schema_version")):
            return _NO_CELL
        if content.get("status") != "success" or content.get("sha256") != content_sha256(content):
            return "was changed after it was written"
        rows = content.get("items", content.get("documents"))
        parquet_sha256 = rows.get("parquet_sha256") if isinstance(rows, dict) else None
        if parquet.is_file() and parquet_sha256 is None:
            return _NO_CELL
        problem = _rows_damage(parquet, parquet_sha256)
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError):  # NaN and lone surrogates are found when the digest is taken
        return "is not strict JSON"
    return content if problem is None else problem


def _rows_damage(parquet: Path, sha256: object) -> str | None:
    if not parquet.is_file():
        return f"has lost {parquet.name}"
    return None if _parquet_digest(parquet) == sha256 else f"does not fit {parquet.name}"


def unreadable(path: Path, error: OSError) -> ScoringError:
    """The error for a cell of whose files nothing is known."""
    return ScoringError(
        f"{path} and its .parquet cannot be read: {error.strerror}; make them readable or move them away"
    )


def is_readable_schema(version: object) -> TypeGuard[int]:
    """Whether files of this schema can be read; 1.0 and true, which are equal to 1, are no schema."""
    return type(version) is int and version in READABLE_SCHEMAS


def content_sha256(content: Mapping[str, object]) -> str:
    """Digest of a cell's JSON but for the entry that holds it."""
    digested = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(strict_json(digested).encode()).hexdigest()


def _move_aside(path: Path) -> str:
    """Rename a cell's files, over none that were moved before; returns the new name of the JSON.

    Raises:
        ScoringError: they cannot be renamed.
    """
    # The JSON last: whoever is stopped in between leaves a Parquet file that no cell will be written over.
    files = [path.with_suffix(".parquet"), path]
    endings = itertools.chain([".damaged"], (f".damaged-{number}" for number in itertools.count(2)))
    try:
        ending = next(e for e in endings if not any(Path(f"{file}{e}").exists() for file in files))
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                file.rename(f"{file}{ending}")
    except OSError as error:
        raise ScoringError(
            f"{path} is damaged and cannot be moved aside: {error.strerror}; move or delete it"
        ) from error
    return f"{path.name}{ending}"


def _parquet_digest(path: Path) -> str:
    # Not `files.file_sha256`, which remembers: a disk's error leaves a file's time as it was.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
