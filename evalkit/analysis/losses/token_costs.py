"""What each byte of a corpus's documents costs several models, one document after the other."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.byte_costs import byte_costs
from evalkit.cells.files import row_batches
from evalkit.cells.schema import CorpusCell
from evalkit.scoring.tokens import Tokens

_DOCUMENTS_AT_ONCE = 16
"""Of a cell: of a corpus of megabytes a thousand would take gigabytes."""


class DocumentCosts(NamedTuple):
    """A document that all models could represent."""

    document: int
    """Index among the corpus's documents."""
    costs: Iterator[NDArray[np.float64]]
    """Per model ``[num_bytes]``, one after the other, so that many models take no more memory than one."""
    is_paid: NDArray[np.bool_]
    """``[num_bytes]``: which bytes all of the models pay for."""


def documents_costs(cells: Sequence[CorpusCell], total_bits: NDArray[np.float64]) -> Iterator[DocumentCosts]:
    """The documents that all of these cells could represent, in their order; few are in memory at a time.

    Tokens' bits are kept in float32. What their sum lacks of a document's bits, a ten-millionth of it or
    less, is spread over its bytes, so that the bytes' bits add up to the cell's.

    Args:
        cells: of the same documents, with the bits of tokens.
        total_bits: ``[D, K]`` of the K cells; NaN where a document could not be represented.

    Raises:
        ScoringError: the rows of a cell cannot be read.
    """
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(contextlib.closing(_tokens(cell))) for cell in cells]
        for index, rows in enumerate(zip(*readers, strict=True)):
            if not np.isnan(total_bits[index]).any():
                yield _document(index, rows, total_bits[index])


def _document(index: int, rows: Sequence[Tokens], total_bits: NDArray[np.float64]) -> DocumentCosts:
    is_paid = np.ones(int(rows[0].ends[-1]), np.bool_)
    for tokens in rows:
        if np.isnan(tokens.bits).any():
            is_paid &= ~np.isnan(byte_costs(tokens.bits, tokens.ends))
    costs = (_whole(byte_costs(*tokens), total) for tokens, total in zip(rows, total_bits, strict=True))
    return DocumentCosts(index, costs, is_paid)


def _whole(costs: NDArray[np.float64], total_bits: float) -> NDArray[np.float64]:
    """The costs of bytes so that they add up to the document's bits."""
    num_paid = np.count_nonzero(~np.isnan(costs))
    return costs + (total_bits - np.nansum(costs)) / num_paid if num_paid else costs


def _tokens(cell: CorpusCell) -> Generator[Tokens, None, None]:
    """The tokens of each document of a cell; none where the model could not represent it."""
    path, remedy = cell.path.with_suffix(".parquet"), "delete it and run again"
    columns = ("token_bits", "token_ends")
    for batch in row_batches(path, columns, max_rows=_DOCUMENTS_AT_ONCE, remedy=remedy):
        bits, ends = batch["token_bits"], batch["token_ends"]
        all_bits = bits.values.to_numpy(zero_copy_only=False)
        all_ends = ends.values.to_numpy()
        bit_offsets, end_offsets = bits.offsets.to_numpy(), ends.offsets.to_numpy()
        for row in range(batch.num_rows):
            yield Tokens(
                all_bits[bit_offsets[row] : bit_offsets[row + 1]],
                all_ends[end_offsets[row] : end_offsets[row + 1]],
            )
