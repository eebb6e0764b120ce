"""Two models on the same documents: the paired difference, which repeats where levels do not."""

import dataclasses
import math
from collections.abc import Sequence

from evalkit.analysis.cutoff import Reading
from evalkit.analysis.document_dates import reading_of_cell
from evalkit.analysis.quantisation import StoredWeights, stored_weights
from evalkit.cells.schema import CorpusCell, DocumentRow
from evalkit.displayed import Displayed, Record
from evalkit.errors import UsageError
from evalkit.models.catalog import load_catalog
from evalkit.stats import MIN_CLUSTERS, Interval, percentile_interval, resampled_ratios


@dataclasses.dataclass(frozen=True)
class DocumentDifference:
    """One document under both models."""

    id: str
    title: str | None
    num_bytes: int
    bits_per_byte_a: float
    bits_per_byte_b: float

    @property
    def difference(self) -> float:
        """Bits per byte of A minus B: negative where A is better."""
        return self.bits_per_byte_a - self.bits_per_byte_b


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(Displayed):
    """A minus B on the documents of one corpus."""

    model_a: str
    model_b: str
    corpus: str
    policy_a: str
    policy_b: str
    num_documents: int
    num_left_out: int
    """Documents that one of the two could not represent; always 0 unless they were allowed."""
    num_clusters: int
    bits_per_byte_a: float
    bits_per_byte_b: float
    weights_a: StoredWeights
    """How A's weights are stored, as far as its cell says."""
    weights_b: StoredWeights
    difference: float
    """Bits per byte of A minus B over all bytes: negative where A is better."""
    interval: Interval | None
    """95 % of the difference, over resampled clusters; None with fewer than `MIN_CLUSTERS`."""
    reading_a: Reading
    """Whether A can have read the corpus in training, as far as dates tell."""
    reading_b: Reading
    num_better_a: int
    """Documents on which A costs fewer bits."""
    documents: tuple[DocumentDifference, ...]
    """From the one where A gains most to the one where it loses most, per byte."""

    def headline(self) -> str:
        """Both models, the corpus, and the difference with its interval."""
        interval = f" [{self.interval.low:+.4f}, {self.interval.high:+.4f}]" if self.interval else ""
        difference = f"{self.difference:+.4f}{interval} bits/byte"
        return f"{self.model_a} minus {self.model_b} on {self.corpus}: {difference}"

    def records(self) -> list[Record]:
        """A row per document, from the one where A gains most."""
        return [
            {**dataclasses.asdict(document), "difference": document.difference} for document in self.documents
        ]

    @property
    def gains(self) -> list[DocumentDifference]:
        """Documents on which A costs fewer bits, from the largest gain per byte."""
        return [document for document in self.documents if document.difference < 0]

    @property
    def losses(self) -> list[DocumentDifference]:
        """Documents on which A costs more bits, from the largest loss per byte."""
        return [document for document in self.documents[::-1] if document.difference > 0]

    def to_json(self, num_documents: int) -> dict[str, object]:
        """The comparison as strict JSON can hold it, with at most that many gains and losses of A."""
        fields = dataclasses.asdict(self)
        for name in ("reading_a", "reading_b", "weights_a", "weights_b"):
            fields[name] = getattr(self, name)._asdict()
        fields["interval"] = self.interval and {"low": self.interval.low, "high": self.interval.high}
        del fields["documents"]
        for name, documents in (("best_documents", self.gains), ("worst_documents", self.losses)):
            fields[name] = [
                {**dataclasses.asdict(document), "difference": document.difference}
                for document in documents[:num_documents]
            ]
        return fields


def compare_cells(a: CorpusCell, b: CorpusCell, *, common_documents: bool = False) -> Comparison:
    """The paired difference of two cells.

    Args:
        a: one model's cell.
        b: another's, of the same documents.
        common_documents: compare what both could represent, where one of them could not represent all.

    Raises:
        UsageError: the cells are not of the same documents.
        ScoringError: a cell's rows are missing or damaged.
    """
    rows_a, rows_b = a.rows(), b.rows()
    if [(row.id, row.sha256) for row in rows_a] != [(row.id, row.sha256) for row in rows_b]:
        raise UsageError(
            f"{a.model.name} on {a.corpus.name} ({len(rows_a)} documents) and {b.model.name} on "
            f"{b.corpus.name} ({len(rows_b)}) are not scores of the same documents; score both on the same "
            "corpus with the same --limit"
        )
    pairs = [
        pair
        for pair in zip(rows_a, rows_b, strict=True)
        if pair[0].total_bits is not None and pair[1].total_bits is not None
    ]
    num_left_out = len(rows_a) - len(pairs)
    if num_left_out and not common_documents:
        raise UsageError(
            f"{num_left_out} of {len(rows_a)} documents of {a.corpus.name} cannot be represented by one of "
            f"{a.model.name} and {b.model.name}; give --common-documents to compare the others"
        )
    if not pairs:
        raise UsageError(f"{a.model.name} and {b.model.name} have no document of {a.corpus.name} in common")
    catalog = load_catalog()
    readings = (reading_of_cell(a, catalog, rows_a), reading_of_cell(b, catalog, rows_b))
    return _compare(a, b, pairs, num_left_out, readings)


def _compare(
    a: CorpusCell,
    b: CorpusCell,
    pairs: Sequence[tuple[DocumentRow, DocumentRow]],
    num_left_out: int,
    readings: tuple[Reading, Reading],
) -> Comparison:
    num_bytes = [row.num_bytes for row, _ in pairs]
    bits_a, bits_b = ([row.total_bits or 0.0 for row in rows] for rows in zip(*pairs, strict=True))
    differences = [cost_a - cost_b for cost_a, cost_b in zip(bits_a, bits_b, strict=True)]
    clusters = [row.cluster for row, _ in pairs]
    documents = sorted(
        (
            DocumentDifference(
                row.id, row.title, row.num_bytes, cost_a / row.num_bytes, cost_b / row.num_bytes
            )
            for (row, _), cost_a, cost_b in zip(pairs, bits_a, bits_b, strict=True)
        ),
        key=lambda document: document.difference,
    )
    return Comparison(
        model_a=a.model.name,
        model_b=b.model.name,
        corpus=a.corpus.name,
        policy_a=a.policy.name,
        policy_b=b.policy.name,
        num_documents=len(pairs),
        num_left_out=num_left_out,
        num_clusters=len(set(clusters)),
        bits_per_byte_a=math.fsum(bits_a) / sum(num_bytes),
        bits_per_byte_b=math.fsum(bits_b) / sum(num_bytes),
        weights_a=stored_weights(a.model),
        weights_b=stored_weights(b.model),
        difference=math.fsum(differences) / sum(num_bytes),
        interval=percentile_interval(resampled_ratios(differences, num_bytes, clusters), len(set(clusters))),
        reading_a=readings[0],
        reading_b=readings[1],
        num_better_a=sum(difference < 0 for difference in differences),
        documents=tuple(documents),
    )


def comparison_lines(comparison: Comparison, num_documents: int) -> list[str]:
    """The comparison in words and numbers."""
    a, b = comparison.model_a, comparison.model_b
    interval = comparison.interval
    lines = [
        f"{a} against {b} on {comparison.corpus}: {comparison.num_documents} documents in "
        f"{comparison.num_clusters} clusters, policy {comparison.policy_a}"
        + ("" if comparison.policy_a == comparison.policy_b else f" against {comparison.policy_b}"),
        f"  {a:<24} {comparison.bits_per_byte_a:.4f} bits/byte{_storage(comparison.weights_a)}",
        f"  {b:<24} {comparison.bits_per_byte_b:.4f} bits/byte{_storage(comparison.weights_b)}",
        f"  difference               {comparison.difference:+.4f}"
        + (
            f"  (95 % interval {interval.low:+.4f} to {interval.high:+.4f})"
            if interval
            else f"  (no interval: fewer than {MIN_CLUSTERS} clusters)"
        ),
        f"  {_verdict(comparison)}; {a} is better on {comparison.num_better_a} of "
        f"{comparison.num_documents} documents",
    ]
    if comparison.num_left_out:
        lines.append(
            f"  {comparison.num_left_out} documents that one of the two cannot represent are left out"
        )
    lines += [
        f"  {reading.exposure.mark} {model}: {reading.text}"
        for model, reading in ((a, comparison.reading_a), (b, comparison.reading_b))
        if reading.exposure.mark
    ]
    for heading, documents in (
        (f"{a} gains most", comparison.gains),
        (f"{a} loses most", comparison.losses),
    ):
        lines.append(f"{heading}:" if documents else f"{heading}: nowhere")
        lines += [
            f"  {document.difference:+.4f}  {document.bits_per_byte_a:.4f} vs "
            f"{document.bits_per_byte_b:.4f}  {document.num_bytes:>8,} bytes  {document.title or document.id}"
            for document in documents[:num_documents]
        ]
    return lines


def _storage(weights: StoredWeights) -> str:
    """How the weights are stored, of files that say how large they are."""
    if weights.file_bytes is None or weights.bits_per_weight is None:
        return ""
    megabytes = weights.file_bytes / 1e6
    return f"  ({weights.kind}, {weights.bits_per_weight:.2f} bits per weight, {megabytes:.1f} MB)"


def _verdict(comparison: Comparison) -> str:
    interval = comparison.interval
    if interval is None:
        return "whether the difference is more than chance cannot be said"
    if interval.low <= 0 <= interval.high:
        return "a tie: the interval contains 0"
    return f"{comparison.model_a if comparison.difference < 0 else comparison.model_b} is better"
