"""Finished cells that were looked at before, known again by the stamps or by the bytes of their two files.

What `evalkit.cells.corpus_cell.find_cell` finds of a cell follows from these bytes, from the key, and from
what the corpus says of its documents. Where the bytes are as they were when the cell was found whole and
current, its JSON need not be read as JSON to know that it is there; where the stamps of both files and of
their folder are, not even the bytes. That says that a cell is there, and no more: whoever wants its numbers
reads it whole, with all digests.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cells import files as cell_files
from evalkit.cells.provenance import check_identity
from evalkit.cells.schema import CorpusCell
from evalkit.cells.small_files import small_content
from evalkit.corpora.document import Corpus
from evalkit.files import TEMPORARY_SUFFIX, FileStamp, is_settled
from evalkit.remembered import KNOWN_CELLS, remember_checked, was_checked

if TYPE_CHECKING:
    from evalkit.cells.corpus_cell import CellSpec


def is_known_cell(spec: "CellSpec", folder: str, key: str) -> bool:
    """Whether `find_cell` is known to find a cell, by its files.

    Where there is more of it than its two files, or something that a killed writer has left, that is for a
    closer look.

    Args:
        spec: the cell.
        folder: its `CellSpec.folder_name`.
        key: of the spec.

    Raises:
        ModelError: the model's identity cannot be kept in a cell.
        ScoringError: the folder cannot be read.
    """
    check_identity(spec.identity)
    if spec.corpus.manifest.records_sha256 is None:
        return False
    try:
        stamps = _stamps(folder, key)
        if was_checked(KNOWN_CELLS, _digest(_facts(key, spec.corpus, *stamps))):
            return True
        return _is_known_by_bytes(key, spec.corpus, folder, stamps)
    except OSError:  # the closer look tells of it
        return False


def _stamps(folder: str, key: str) -> list[FileStamp]:
    """Of the two files of a cell and of their folder, which whatever is added or removed changes.

    Raises:
        OSError: there are none.
    """
    places = (folder, f"{folder}/{key}.json", f"{folder}/{key}.parquet")
    states = [os.stat(place) for place in places]  # noqa: PTH116  as in `names_in`
    return [FileStamp(of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_ino) for of in states]


def _is_known_by_bytes(key: str, corpus: Corpus, folder: str, stamps: Sequence[FileStamp]) -> bool:
    """Whether a cell is known by what its files hold; then it is remembered by their stamps as well.

    Args:
        key: of the cell.
        corpus: that is scored.
        folder: of the files.
        stamps: taken before.

    Raises:
        OSError: a file cannot be read.
        ScoringError: the folder cannot be read.
    """
    names = names_in(folder)
    of_cell = [name for name in names if key in name or name.endswith(TEMPORARY_SUFFIX)]
    if len(of_cell) != 2 or f"{key}.json" not in names or f"{key}.parquet" not in names:
        return False
    text = small_content(f"{folder}/{key}.json")
    if text is None:
        return False
    parquet_sha256 = cell_files.rows_sha256(f"{folder}/{key}.parquet")
    if not was_checked(KNOWN_CELLS, _digest(_facts(key, corpus, parquet_sha256), text)):
        return False
    if all(map(is_settled, stamps)):
        remember_checked(KNOWN_CELLS, _digest(_facts(key, corpus, *stamps)))
    return True


def names_in(folder: str | Path) -> set[str]:
    """What lies in the folder of a cell.

    Raises:
        ScoringError: it cannot be read.
    """
    try:
        return set(os.listdir(folder))  # noqa: PTH208  there are thousands of cells in a plan
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise cell_files.unreadable(Path(folder), error) from error


def remember_known(key: str, corpus: Corpus, cell: CorpusCell) -> None:
    """Remember a cell that was found whole and current, if it is written as cells are.

    Args:
        key: of the cell.
        corpus: that is scored.
        cell: as it was read, under its key's name.
    """
    if cell.path.stem != key or corpus.manifest.records_sha256 is None:
        return
    folder = os.fspath(cell.path.parent)
    with contextlib.suppress(OSError):
        stamps = _stamps(folder, key)
        if was_checked(KNOWN_CELLS, _digest(_facts(key, corpus, *stamps))):
            return
        text = cell.path.read_bytes()
        if cell_files.digest_in_place(text) == cell.sha256:  # else it is another one since
            facts = _facts(key, corpus, cell.documents.parquet_sha256)
            remember_checked(KNOWN_CELLS, _digest(facts, text))
            _is_known_by_bytes(key, corpus, folder, stamps)


def _facts(key: str, corpus: Corpus, *of_files: object) -> str:
    """What decides whether a cell is finished, beside its JSON's text."""
    facts = (key, corpus.manifest.records_sha256, corpus.date_from, corpus.date_to, *of_files)
    return "\n".join(map(str, facts))


def _digest(facts: str, text: bytes = b"") -> str:
    digest = hashlib.sha256(text)
    digest.update(os.fsencode(facts))
    return digest.hexdigest()
