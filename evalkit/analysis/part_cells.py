"""Cells over those documents of a corpus whose texts were at hand when a model was scored.

`evalkit.corpora.published.dataset_corpus` makes such a corpus, ``NAME-partial``, of the texts that may be
published. Its cells stand beside those of the whole corpus: differences are over the documents that two
models share, and no aggregate counts them, for their levels are over other texts.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.shared_rows import SharedRows
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.names import PARTIAL_ENDING

CorpusKey = tuple[str, str]
"""A corpus's name and digest."""


class PartCell(NamedTuple):
    """A cell of a part of a corpus."""

    cell: CorpusCell
    places: NDArray[np.int64]
    """Of its documents among the corpus's, rising."""


class Part(NamedTuple):
    """A corpus that is part of another one."""

    key: CorpusKey
    places: NDArray[np.int64]
    """As `PartCell.places`."""


def places_in(
    whole: Sequence[tuple[str, str]], part: Collection[tuple[str, str]]
) -> NDArray[np.int64] | None:
    """Where the documents of a part are in the whole; None where it is no part of it.

    Args:
        whole: id and digest of each document.
        part: likewise, in the same order.
    """
    place_of = {document: place for place, document in enumerate(whole)}
    places = [place_of.get(document, -1) for document in part]
    is_part = all(before < after for before, after in zip([-1, *places], places, strict=False))
    return np.array(places, np.int64) if is_part else None


def parts_of(cells: Mapping[CorpusKey, Sequence[CorpusCell]], rows: SharedRows) -> dict[CorpusKey, Part]:
    """The corpora that have a part among the others, and that part.

    Args:
        cells: of each corpus.
        rows: of the cells.
    """
    parts = {}
    for key in cells:
        if not key[0].endswith(PARTIAL_ENDING):
            continue
        for whole in cells:
            if whole[0] != key[0].removesuffix(PARTIAL_ENDING):
                continue
            places = places_in(*(_documents(cells[corpus][0], rows) for corpus in (whole, key)))
            if places is not None:
                parts[whole] = Part(key, places)
    return parts


def _documents(cell: CorpusCell, rows: SharedRows) -> list[tuple[str, str]]:
    columns = rows.documents(cell)
    return list(zip(columns.ids, columns.digests, strict=True))
