"""Finished cells that were looked at before, known again by the bytes of their two files.

What `evalkit.cells.corpus_cell.find_cell` finds of a cell follows from these bytes, from the key, and from
what the corpus says of its documents. Both files are read and their digests taken every time; where all is as
it was when the cell was found whole and current, its JSON need not be read as JSON to know that it is there.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cells import files as cell_files
from evalkit.cells.provenance import check_identity
from evalkit.cells.schema import CorpusCell
from evalkit.cells.small_files import small_content
from evalkit.corpora.document import Corpus
from evalkit.files import TEMPORARY_SUFFIX
from evalkit.remembered import KNOWN_CELLS, remember_checked, was_checked

if TYPE_CHECKING:
    from evalkit.cells.corpus_cell import CellSpec


def is_known_cell(spec: "CellSpec", folder: str, key: str) -> bool:
    """Whether `find_cell` is known to find a cell, by the bytes of its files.

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
    names = names_in(folder)
    of_cell = [name for name in names if key in name or name.endswith(TEMPORARY_SUFFIX)]
    if len(of_cell) != 2 or f"{key}.json" not in names or f"{key}.parquet" not in names:
        return False
    try:
        text = small_content(f"{folder}/{key}.json")
        if text is None or spec.corpus.manifest.records_sha256 is None:
            return False
        parquet_sha256 = cell_files.rows_sha256(f"{folder}/{key}.parquet")
    except OSError:  # the closer look tells of it
        return False
    return was_checked(KNOWN_CELLS, _known_by(key, spec.corpus, text, parquet_sha256))


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
    with contextlib.suppress(OSError):
        text = cell.path.read_bytes()
        if cell_files.digest_in_place(text) == cell.sha256:  # else it is another one since
            remember_checked(KNOWN_CELLS, _known_by(key, corpus, text, cell.documents.parquet_sha256))


def _known_by(key: str, corpus: Corpus, text: bytes, parquet_sha256: str) -> str:
    """Digest of all that decides whether a cell is finished."""
    facts = (key, corpus.manifest.records_sha256, corpus.date_from, corpus.date_to, parquet_sha256)
    digest = hashlib.sha256(text)
    digest.update(os.fsencode("\n".join(map(str, facts))))
    return digest.hexdigest()
