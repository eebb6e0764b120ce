"""Documents of a cell that were really decoded: part of the cell, and of no key."""

import dataclasses
from collections.abc import Sequence

from evalkit.cells.corpus_cell import CellSpec
from evalkit.cells.files import write_content
from evalkit.cells.reading import read_corpus_cell
from evalkit.cells.schema import CellProof, CorpusCell, content_of
from evalkit.coding.proof import decode_again
from evalkit.files import locked
from evalkit.models.protocol import Model


def has_proof(cell: CorpusCell, num_documents: int) -> bool:
    """Whether so many documents of a cell were decoded, or all that it has."""
    enough = min(num_documents, cell.totals.num_documents)
    return enough <= 0 or (cell.proof is not None and cell.proof.num_documents >= enough)


def proof_of(model: Model, spec: CellSpec, num_documents: int, prefix: Sequence[int] | None) -> CellProof:
    """Code and decode the first documents of a cell's corpus.

    Args:
        model: the cell's.
        spec: the cell.
        num_documents: how many.
        prefix: ids that were read before each; None: the model's own.

    Raises:
        ScoringError: a document did not come back.
        ModelError: the model shows no distributions.
    """
    decoded = decode_again(model, spec.corpus.documents, spec.policy, prefix, most=num_documents)
    return CellProof(
        num_documents=decoded.num_documents,
        num_bytes=decoded.num_bytes,
        code_bytes=decoded.num_code_bytes,
        total_bits=decoded.ideal_bits,
    )


def add_proof(cell: CorpusCell, proof: CellProof) -> CorpusCell:
    """Write a proof into a finished cell, of which nothing else changes; the cell as it is then.

    Raises:
        OSError: the cell cannot be written.
    """
    with locked(cell.path.parent):
        write_content(cell.path, content_of(dataclasses.replace(read_corpus_cell(cell.path), proof=proof)))
    return dataclasses.replace(read_corpus_cell(cell.path), model=cell.model)
