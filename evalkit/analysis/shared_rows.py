"""The rows of many cells in little memory: what cells of one corpus say alike is kept once."""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.spool import Load, Spool
from evalkit.cells.columns import DocumentColumns
from evalkit.cells.schema import CorpusCell


class SharedRows:
    """Rows by cell. Cells of one digest have the same documents in one order, which `read_columns` checks."""

    def __init__(self) -> None:
        self._variants: dict[str, list[DocumentColumns]] = {}
        self._variant_of: dict[Path, DocumentColumns] = {}
        self._spool = Spool()
        self._load_bits: dict[Path, Load] = {}
        self._corpus_of: dict[Path, str] = {}

    def add(self, cell: CorpusCell, columns: DocumentColumns) -> None:
        """Keep a cell's rows."""
        variants = self._variants.setdefault(cell.corpus.sha256, [])
        variant = next((variant for variant in variants if _are_alike(variant, columns)), None)
        if variant is None:
            if variants:
                columns = columns._replace(ids=variants[0].ids, digests=variants[0].digests)
            variants.append(columns)
            variant = columns
        self._variant_of[cell.path] = variant
        self._corpus_of[cell.path] = cell.corpus.sha256
        self._load_bits[cell.path] = self._spool.keep(columns.total_bits)

    def documents(self, cell: CorpusCell) -> DocumentColumns:
        """What a cell says of its documents; the bits are of any cell that says the same."""
        return self._variant_of[cell.path]

    def take_total_bits(self, cell: CorpusCell) -> NDArray[np.float64]:
        """What a cell's documents cost, ``[D]``; once, as it is not kept here any longer."""
        return self._load_bits.pop(cell.path)()

    def disagreeing(self) -> list[Path]:
        """The cells that give documents other lengths than most cells of the same texts do."""
        paths = []
        for sha256, variants in self._variants.items():
            if len({variant.num_bytes.tobytes() for variant in variants}) == 1:
                continue
            lengths = {
                path: variant.num_bytes.tobytes()
                for path, variant in self._variant_of.items()
                if self._corpus_of[path] == sha256
            }
            (most, _), *_ = Counter(lengths.values()).most_common(1)
            paths += [path for path, length in lengths.items() if length != most]
        return paths


def _are_alike(first: DocumentColumns, second: DocumentColumns) -> bool:
    return (
        first.clusters == second.clusters
        and first.titles == second.titles
        and first.published_at == second.published_at
        and (first.story_ids, first.languages) == (second.story_ids, second.languages)
        and np.array_equal(first.num_bytes, second.num_bytes)
    )
