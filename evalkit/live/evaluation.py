"""What a live model was found to cost: numbers by corpus, and what changed since the evaluation before."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from evalkit.analysis.estimates import Estimate
from evalkit.cells.renewal import cluster_of
from evalkit.cells.schema import CorpusCell
from evalkit.errors import ScoringError, unknown_name
from evalkit.scoring.documents import DocumentScore
from evalkit.stats import Interval, percentile_interval, ratio_interval, resampled_ratios


@dataclasses.dataclass(frozen=True)
class CorpusScore:
    """A live model on a corpus."""

    corpus: str
    bits_per_byte: float
    interval: Interval | None
    """95 %, over clusters of documents; None with too few of them."""
    change: Estimate | None
    """Minus the evaluation before, on the same documents: most of what makes a level uncertain is not in it.
    None at the first."""
    num_bytes: int
    num_lossy: int
    """Documents that the tokens cannot represent, and that count nowhere."""
    documents: tuple[DocumentScore, ...]
    """In the corpus's order."""
    cell: CorpusCell | None = None
    """What was written, where there is an output folder."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A live model on all corpora of an `Evaluator`."""

    run: str
    step: int | None
    seconds: float
    scores: tuple[CorpusScore, ...]

    @property
    def bits_per_byte(self) -> float:
        """The plain mean over the corpora."""
        return math.fsum(score.bits_per_byte for score in self.scores) / len(self.scores)

    def __getitem__(self, corpus: str) -> CorpusScore:
        """A corpus's score by the corpus's name.

        Raises:
            UsageError: none is called so.
        """
        by_name = {score.corpus: score for score in self.scores}
        if corpus not in by_name:
            raise unknown_name("corpus", corpus, by_name, f"There are: {', '.join(by_name)}.")
        return by_name[corpus]

    def metrics(self) -> dict[str, float]:
        """Numbers by their names in logs: ``bits_per_byte/CORPUS``, and of several the mean."""
        numbers = {f"bits_per_byte/{score.corpus}": score.bits_per_byte for score in self.scores}
        return numbers if len(numbers) == 1 else {**numbers, "bits_per_byte/mean": self.bits_per_byte}


def corpus_score(
    corpus: str, documents: Sequence[DocumentScore], before: Sequence[DocumentScore] | None
) -> CorpusScore:
    """Put a corpus's documents together.

    Args:
        corpus: its name.
        documents: their scores.
        before: those of the evaluation before, of the same documents.

    Raises:
        ScoringError: no document could be scored.
    """
    scored = [score for score in documents if score.total_bits is not None]
    if not scored:
        raise ScoringError(f"no document of {corpus} could be scored: {documents[0].lossy}")
    bits = [score.total_bits or 0.0 for score in scored]
    num_bytes = [score.document.num_bytes for score in scored]
    clusters = [cluster_of(score.document) for score in scored]
    return CorpusScore(
        corpus,
        math.fsum(bits) / sum(num_bytes),
        ratio_interval(bits, num_bytes, clusters),
        None if before is None else _change(documents, before),
        sum(num_bytes),
        len(documents) - len(scored),
        tuple(documents),
    )


def _change(documents: Sequence[DocumentScore], before: Sequence[DocumentScore]) -> Estimate | None:
    pairs = [
        (later.total_bits - earlier.total_bits, later.document)
        for later, earlier in zip(documents, before, strict=True)
        if later.total_bits is not None and earlier.total_bits is not None
    ]
    if not pairs:
        return None
    differences = np.array([difference for difference, _ in pairs])
    num_bytes = [document.num_bytes for _, document in pairs]
    clusters = [cluster_of(document) for _, document in pairs]
    interval = percentile_interval(resampled_ratios(differences, num_bytes, clusters), len(set(clusters)))
    value = math.fsum(differences) / sum(num_bytes)
    return Estimate(value, None, None) if interval is None else Estimate(value, *interval)
