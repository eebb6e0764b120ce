"""The rows of many cells in little memory: what cells of one corpus say alike is kept once, and packed."""

import functools
import hashlib
import marshal
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.spool import ByteSpool, Load, Spool
from evalkit.cells.columns import DocumentColumns
from evalkit.cells.schema import CorpusCell


class _Variant(NamedTuple):
    """What some cells of a corpus say alike of its documents."""

    lengths_sha256: str
    load: Callable[[], bytes]


class SharedRows:
    """Rows by cell. Cells of one digest have the same documents in one order, which `read_columns` checks."""

    def __init__(self) -> None:
        self._variants: dict[str, _Variant] = {}
        self._variant_of: dict[Path, str] = {}
        self._packed = ByteSpool()
        self._spool = Spool()
        self._load_bits: dict[Path, Load] = {}
        self._corpus_of: dict[Path, str] = {}

    def add(self, cell: CorpusCell, columns: DocumentColumns) -> None:
        """Keep a cell's rows."""
        lengths = columns.num_bytes.tobytes()
        said = marshal.dumps((*columns._replace(num_bytes=lengths, total_bits=b""),), 2)  # type: ignore[arg-type]
        sha256 = hashlib.sha256(said).hexdigest()
        if sha256 not in self._variants:
            lengths_sha256 = hashlib.sha256(lengths).hexdigest()
            self._variants[sha256] = _Variant(lengths_sha256, self._packed.keep(said))
        self._variant_of[cell.path] = sha256
        self._corpus_of[cell.path] = cell.corpus.sha256
        self._load_bits[cell.path] = self._spool.keep(columns.total_bits)

    def documents(self, cell: CorpusCell) -> DocumentColumns:
        """What a cell says of its documents, without the bits."""
        return _unpacked(self._variants[self._variant_of[cell.path]])

    def published_at(self, cells: Iterable[CorpusCell]) -> list[str | None] | None:
        """The days of documents by the first of these cells that states them; None: none does."""
        for sha256 in dict.fromkeys(self._variant_of[cell.path] for cell in cells):
            if (days := _unpacked(self._variants[sha256]).published_at) is not None:
                return days
        return None

    def take_total_bits(self, cell: CorpusCell) -> NDArray[np.float64]:
        """What a cell's documents cost, ``[D]``; once, as it is not kept here any longer."""
        return self._load_bits.pop(cell.path)()

    def disagreeing(self) -> list[Path]:
        """The cells that give documents other lengths than most cells of the same texts do."""
        lengths_of: dict[str, dict[Path, str]] = {}
        for path, sha256 in self._variant_of.items():
            of_corpus = lengths_of.setdefault(self._corpus_of[path], {})
            of_corpus[path] = self._variants[sha256].lengths_sha256
        paths = []
        for lengths in lengths_of.values():
            (most, _), *_ = Counter(lengths.values()).most_common(1)
            paths += [path for path, length in lengths.items() if length != most]
        return paths


@functools.lru_cache(maxsize=1)
def _unpacked(variant: _Variant) -> DocumentColumns:
    columns = DocumentColumns(*marshal.loads(variant.load()))
    lengths: bytes = columns.num_bytes  # type: ignore[assignment]
    return columns._replace(num_bytes=np.frombuffer(lengths, np.int64), total_bits=np.empty(0))
