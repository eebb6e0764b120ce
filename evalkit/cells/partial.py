"""What a cell's documents cost while the cell is not finished: beside it, and taken up by the next run.

``.<key>.evalkit.partial/`` lies where the cell will lie and goes with the cell's writing. Each file in it is
whole or absent and holds documents that were finished since the one before it, in the columns of a cell's
rows. Its name has a digest of its content, and one of what else the numbers come of: machine, software (its
sources, and not the commit of a checkout), what is read before a document. What does not fit is not taken up,
and is told. Nothing in it is a cell, and `evalkit leaderboard commit` does not look at it.

Batches are made of all documents as ever, and those of finished documents passed over
(`evalkit.scoring.documents`): a cell that was interrupted is the one that it would have been, bit for bit.
"""

import dataclasses
import hashlib
import io
import math
import shutil
import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.cells.environment_schema import Environment
from evalkit.cells.rows import write_rows
from evalkit.corpora.document import Document
from evalkit.corpora.parquet import read_table
from evalkit.environment import sources_sha256
from evalkit.errors import disk_error, first_line
from evalkit.fields import to_json
from evalkit.files import atomic_write, strict_json
from evalkit.models.prefixes import Prefix
from evalkit.scoring.documents import DocumentScore
from evalkit.scoring.tokens import Tokens, TokenSpool

PARTIAL_SUFFIX = ".evalkit.partial"
"""How the names of these folders end."""
PARTIAL_INTERVAL_S = 60.0
"""What a killed run may lose."""
_MAX_WAITING_TOKENS = 1 << 22
"""Tokens, 12 bytes each, whose bits are written sooner than that."""
_PART_SUFFIX = ".part"
_NUM_DIGITS = 32


def partial_folder(cell: Path) -> Path:
    """Where the finished documents of a cell lie that is not finished.

    Args:
        cell: its JSON file, which need not be there.
    """
    return cell.with_name(f".{cell.stem}{PARTIAL_SUFFIX}")


def remove_partial(cell: Path) -> None:
    """Remove the finished documents of a cell that is finished itself; they only take space."""
    folder = partial_folder(cell)
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)


class PartialCell:
    """The documents of one cell that are finished; `evalkit.scoring.documents.ScoreLog` says for whom."""

    def __init__(
        self,
        cell: Path,
        documents: Sequence[Document],
        *,
        environment: Environment,
        prefix: Prefix | None,
        spool: TokenSpool | None,
        warn: Callable[[str], None],
        interval_s: float = PARTIAL_INTERVAL_S,
        clock: Callable[[], float] = time.perf_counter,
        places: Container[int] | None = None,
        written: Callable[[Path], None] | None = None,
    ) -> None:
        """Take up what an earlier run has finished.

        Args:
            cell: the JSON file to be.
            documents: of the cell.
            environment: of this run; what was computed in another is not taken up.
            prefix: what is read before a document; likewise.
            spool: keeps the bits of tokens; None: they are not kept.
            warn: gets a line for what is taken up, and for what is not.
            interval_s: between two writings.
            clock: tells seconds.
            places: of the documents that are taken up; None: of all.
            written: is told of each file that was written; None: nobody is.

        Raises:
            OSError: the folder cannot be looked at.
        """
        self._folder, self._documents, self._spool = partial_folder(cell), documents, spool
        self._warn, self._interval_s, self._clock = warn, interval_s, clock
        self._places: Container[int] = range(len(documents)) if places is None else places
        self._written = written
        self._origin = _origin(environment, prefix)
        self._scores: dict[int, DocumentScore] = {}
        self._seconds = 0.0
        self._waiting: dict[int, DocumentScore] = {}
        self._num_waiting_tokens = 0
        self._read_all()
        self._written_s = clock()

    @property
    def scores(self) -> Mapping[int, DocumentScore]:
        """What earlier runs have finished, by place in the corpus."""
        return self._scores

    @property
    def seconds(self) -> float:
        """What these took the earlier runs."""
        return self._seconds

    def add(self, place: int, score: DocumentScore) -> None:
        """Take a document that is finished; it is on disk within the interval.

        Args:
            place: of the document in the corpus.
            score: what it cost.

        Raises:
            DiskError: the disk is full.
        """
        self._waiting[place] = score
        self._num_waiting_tokens += (score.num_tokens or 0) if self._spool is not None else 0
        is_due = self._clock() - self._written_s >= self._interval_s
        if is_due or self._num_waiting_tokens >= _MAX_WAITING_TOKENS:
            self.write()

    def write(self) -> None:
        """Write what is not on disk yet.

        Raises:
            DiskError: the disk is full.
        """
        now_s = self._clock()
        if not self._waiting:
            return
        try:
            self._write_part(now_s - self._written_s)
        except OSError as error:
            full = disk_error(error, self._folder)
            if full is not None:
                raise full from error
            self._warn(f"finished documents cannot be kept in {self._folder}: {error.strerror}; going on")
        else:
            self._waiting, self._num_waiting_tokens = {}, 0
        self._written_s = now_s

    def _write_part(self, seconds: float) -> None:
        import pyarrow as pa

        scores = list(self._waiting.values())
        further = {
            "place": pa.array(list(self._waiting), pa.int64()),
            "is_literal": pa.array([score.is_literal for score in scores], pa.bool_()),
            "seconds": pa.array([seconds, *[0.0] * (len(scores) - 1)], pa.float64()),
        }
        sink = io.BytesIO()
        write_rows(sink, scores, token_bits=self._spool is not None, further=further)
        digest = hashlib.sha256(sink.getbuffer()).hexdigest()[:_NUM_DIGITS]
        path = self._folder / f"{self._origin}-{digest}{_PART_SUFFIX}"
        with atomic_write(path) as temporary:
            temporary.write_bytes(sink.getbuffer())
        if self._written is not None:
            self._written(path)

    def _read_all(self) -> None:
        if not self._folder.is_dir():
            return
        problems = []
        for path in sorted(self._folder.glob(f"*{_PART_SUFFIX}")):
            try:
                self._read_part(path)
            except OSError as error:
                problems.append(f"{path.name} cannot be read: {error.strerror}")
            except ValueError as error:  # what pyarrow raises is one
                problems.append(f"{path.name}: {first_line(error)}")
        for problem in problems:
            self._warn(f"{self._folder}: {problem}; its documents are scored again")
        if 0 < len(self._scores) < len(self._documents):
            self._warn(f"{len(self._scores)} of {len(self._documents)} documents were finished before")

    def _read_part(self, path: Path) -> None:
        """Take what one file holds, or nothing of it.

        Raises:
            ValueError: it is damaged, or of another cell.
            OSError: it cannot be read.
        """
        origin, _, digest = path.name.removesuffix(_PART_SUFFIX).partition("-")
        if origin != self._origin:
            raise ValueError("computed by other software, on another machine, or behind another prefix")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:_NUM_DIGITS] != digest:
            raise ValueError("is not what was written")
        rows = read_table(content).to_pylist()
        scores = {
            row["place"]: _score(row, self._documents, self._spool)
            for row in rows
            if row["place"] in self._places
        }
        self._scores.update(scores)
        self._seconds += sum(row["seconds"] for row in rows if row["place"] in self._places)


def _origin(environment: Environment, prefix: Prefix | None) -> str:
    """Digest of what the numbers come of beside the cell's key.

    The sources stand for the checkout's state: a commit in the middle of a long run costs nothing.
    """
    computed_by = to_json(dataclasses.replace(environment, git=None))
    of_run = {"environment": computed_by, "sources": sources_sha256(), "prefix": prefix and list(prefix)}
    return hashlib.sha256(strict_json(of_run).encode()).hexdigest()[:16]


def _score(row: Mapping[str, Any], documents: Sequence[Document], spool: TokenSpool | None) -> DocumentScore:
    document = documents[row["place"]]
    if document.sha256 != row["sha256"]:
        raise ValueError("is of another corpus")
    load_tokens = None
    if spool is not None and row["token_bits"] is not None:
        bits = [math.nan if bits is None else bits for bits in row["token_bits"]]
        load_tokens = spool.keep(Tokens(np.array(bits, np.float32), np.array(row["token_ends"], np.int64)))
    return DocumentScore(
        document, row["num_tokens"], row["total_bits"], row["lossy"], load_tokens, row["is_literal"]
    )
