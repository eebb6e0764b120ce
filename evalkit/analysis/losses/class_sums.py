"""Bytes and bits of each class in each document, kept so that large corpora do not fill memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.losses.axes import byte_classes
from evalkit.analysis.losses.token_costs import DocumentCosts
from evalkit.analysis.spool import Load, Spool
from evalkit.corpora.document import Document

ClassKey = tuple[str, str]
"""Axis and name of a class."""
WHOLE: ClassKey = ("", "all bytes")
UNPAID = "bytes that not every model pays for"
_ROWS_AT_ONCE = 256


class ClassSums:
    """Sums by class and document. A class takes room only for documents in which it occurs."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._pending: dict[ClassKey, list[tuple[float, ...]]] = {}
        self._blocks: dict[ClassKey, list[Load]] = {}

    def add(self, document: Document, costs: DocumentCosts) -> None:
        """Add a document.

        Args:
            document: with its text.
            costs: of its bytes.
        """
        classes = byte_classes(document)
        codes = {
            axis: np.where(costs.is_paid, parts.codes, len(parts.names)) for axis, parts in classes.items()
        }
        sizes = {axis: 1 + len(parts.names) for axis, parts in classes.items()}
        sums = {axis: [np.bincount(codes[axis], minlength=size)] for axis, size in sizes.items()}
        whole = [float(len(costs.is_paid))]
        for model_costs in costs.costs:
            paid = np.nan_to_num(model_costs, nan=0.0)
            whole.append(float(paid.sum()))
            for axis, size in sizes.items():
                sums[axis].append(np.bincount(codes[axis], weights=paid, minlength=size))
        self._keep(WHOLE, costs.document, whole)
        for axis, parts in classes.items():
            self._keep_axis(axis, parts.names, costs.document, np.stack(sums[axis], axis=1))

    def _keep_axis(self, axis: str, names: Sequence[str], index: int, sums: NDArray[np.float64]) -> None:
        for name, row in zip((*names, UNPAID), sums, strict=True):
            if row[0]:
                self._keep((axis, name), index, row.tolist())

    def _keep(self, key: ClassKey, index: int, row: Sequence[float]) -> None:
        rows = self._pending.setdefault(key, [])
        rows.append((float(index), *row))
        if len(rows) == _ROWS_AT_ONCE:
            self._blocks.setdefault(key, []).append(self._spool.keep(np.array(rows)))
            rows.clear()

    def keys(self) -> list[ClassKey]:
        """All classes that occur, in the order in which they came."""
        return list(self._pending)

    def rows(self, key: ClassKey) -> NDArray[np.float64]:
        """``[R, 2 + K]``: a row for each document with such bytes: its index, their number, their bits."""
        blocks = [load() for load in self._blocks.get(key, [])]
        if self._pending[key]:
            blocks.append(np.array(self._pending[key]))
        return np.concatenate(blocks)
