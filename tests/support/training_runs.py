"""Cells of the checkpoints of training runs, without any models: what each document cost is given."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.cells.corpus_cell import CellSpec, write_cell
from evalkit.cells.provenance import cell_environment
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.document import Corpus
from evalkit.corpora.store import make_corpus, make_document
from evalkit.models.prefixes import NO_PREFIX
from evalkit.scoring.documents import DocumentScore
from tests.support.toys import identity


def corpus_of_lengths(num_bytes: NDArray[np.int64], name: str = "val") -> Corpus:
    """A document of each length, a cluster each."""
    texts = [f"{place} ".ljust(int(length), "x") for place, length in enumerate(num_bytes)]
    return make_corpus(name, [make_document(text, source="s") for text in texts])


def write_checkpoint(
    output: Path,
    run: str,
    step: int,
    corpus: Corpus,
    bits: NDArray[np.float64],
    *,
    is_old: bool = False,
    **details: str | float,
) -> CorpusCell:
    """The cell of a checkpoint, whose documents cost ``bits``; an old one says run and step by its name."""
    scores = [
        DocumentScore(document, document.num_bytes, float(cost))
        for document, cost in zip(corpus.documents, bits, strict=True)
    ]
    model = identity(
        f"hf:{run}/step-{step}",
        loader="hf",
        weights_sha256=f"{run} {step}",
        details={} if is_old else {"run": run, "step": step, **details},
    )
    spec = CellSpec(model, corpus, "document", None)
    return write_cell(spec, scores, output, seconds=1.0, prefix=NO_PREFIX, environment=cell_environment(None))
