"""What the divergence of two models comes to over a corpus: means with intervals, and by position."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.cells.renewal import cluster_of
from evalkit.errors import UsageError
from evalkit.scoring.divergence import POSITION_EDGES, DocumentDivergence
from evalkit.stats import MIN_CLUSTERS, Interval, ratio_interval


@dataclasses.dataclass(frozen=True)
class DivergenceEstimate:
    """Over the tokens at some positions of all documents."""

    first_token: int
    """How many tokens of the document stand before the first of them."""
    end_token: int | None
    """The same behind the last; None: to the end of the documents."""
    num_tokens: int
    num_documents: int
    """That have such tokens."""
    bits_per_token: float
    """Mean Kullback-Leibler divergence."""
    interval: Interval | None
    """95 %, over resampled clusters of documents; None with fewer than `MIN_CLUSTERS`."""
    agreement: float
    """Share of the tokens before which both hold the same token for the likeliest."""
    agreement_interval: Interval | None

    def to_json(self) -> dict[str, object]:
        """The estimate as strict JSON can hold it."""
        fields = dataclasses.asdict(self)
        for name in ("interval", "agreement_interval"):
            interval = getattr(self, name)
            fields[name] = interval and {"low": interval.low, "high": interval.high}
        return fields


@dataclasses.dataclass(frozen=True)
class Divergence:
    """How far a model's distributions lie from a reference's on a corpus."""

    model: str
    reference: str
    corpus: str
    policy: str
    num_documents: int
    num_left_out: int
    """Documents that one of the two cannot represent."""
    num_clusters: int
    bits_per_byte: float
    """The divergence of all tokens over the bytes of the documents."""
    max_bits: float
    """The greatest divergence of a token."""
    overall: DivergenceEstimate
    positions: tuple[DivergenceEstimate, ...]
    """By the number of tokens before a token; without those that no document reaches."""

    def to_json(self) -> dict[str, object]:
        """The divergence as strict JSON can hold it."""
        return {
            **dataclasses.asdict(self),
            "overall": self.overall.to_json(),
            "positions": [estimate.to_json() for estimate in self.positions],
        }


def summarise_divergence(
    scores: Sequence[DocumentDivergence],
    *,
    model: str,
    reference: str,
    corpus: str,
    policy: str,
    num_documents: int,
) -> Divergence:
    """Means over a corpus, and between `POSITION_EDGES`.

    Args:
        scores: of the documents that both models can represent.
        model: name of the model that is judged.
        reference: name of that by which it is.
        corpus: name of the corpus.
        policy: under which both read.
        num_documents: that were to be read.

    Raises:
        UsageError: there is no token to be compared.
    """
    num_tokens = np.array([score.num_tokens for score in scores]).reshape(len(scores), -1)
    if not num_tokens.sum():
        raise UsageError(f"{model} and {reference} have no token of {corpus} in common")
    bits = np.array([score.bits for score in scores])
    num_agreeing = np.array([score.num_agreeing for score in scores])
    clusters = [cluster_of(score.document) for score in scores]
    edges = [*POSITION_EDGES, None]
    positions = [
        _estimate(edges[index] or 0, edges[index + 1], num_tokens[:, index], bits[:, index],
                  num_agreeing[:, index], clusters)
        for index in range(num_tokens.shape[1])
        if num_tokens[:, index].any()
    ]  # fmt: skip
    return Divergence(
        model=model,
        reference=reference,
        corpus=corpus,
        policy=policy,
        num_documents=len(scores),
        num_left_out=num_documents - len(scores),
        num_clusters=len(set(clusters)),
        bits_per_byte=float(bits.sum()) / sum(score.document.num_bytes for score in scores),
        max_bits=max(score.max_bits for score in scores),
        overall=_estimate(0, None, num_tokens.sum(1), bits.sum(1), num_agreeing.sum(1), clusters),
        positions=tuple(positions),
    )


def _estimate(
    first_token: int,
    end_token: int | None,
    num_tokens: NDArray[np.int64],
    bits: NDArray[np.float64],
    num_agreeing: NDArray[np.int64],
    clusters: Sequence[str],
) -> DivergenceEstimate:
    has_tokens = num_tokens > 0
    counts = num_tokens[has_tokens]
    names = [cluster for cluster, has in zip(clusters, has_tokens, strict=True) if has]
    return DivergenceEstimate(
        first_token,
        end_token,
        int(counts.sum()),
        len(counts),
        float(bits.sum() / counts.sum()),
        ratio_interval(bits[has_tokens], counts, names),
        float(num_agreeing.sum() / counts.sum()),
        ratio_interval(num_agreeing[has_tokens], counts, names),
    )


def divergence_lines(divergence: Divergence) -> list[str]:
    """The divergence in words and numbers."""
    overall = divergence.overall
    lines = [
        f"Kullback-Leibler divergence of {divergence.model} from {divergence.reference} on "
        f"{divergence.corpus}: {overall.num_tokens:,} tokens of {divergence.num_documents} documents in "
        f"{divergence.num_clusters} clusters, policy {divergence.policy}",
        f"  {overall.bits_per_token:.4g} bits/token"
        + (
            f"  (95 % interval {overall.interval.low:.4g} to {overall.interval.high:.4g})"
            if overall.interval
            else f"  (no interval: fewer than {MIN_CLUSTERS} clusters)"
        )
        + f", {divergence.bits_per_byte:.4g} bits/byte; the greatest of a token {divergence.max_bits:.4g}",
        f"  the same likeliest token before {100 * overall.agreement:.2f} % of the tokens"
        + _percent_interval(overall.agreement_interval),
    ]
    if divergence.num_left_out:
        lines.append(
            f"  {divergence.num_left_out} documents that one of the two cannot represent are left out"
        )
    lines.append(f"  {'tokens before':>17}  {'documents':>9}  {'tokens':>9}  bits/token")
    for estimate in divergence.positions:
        end = "" if estimate.end_token is None else f"{estimate.end_token - 1:,}"
        span = f"{estimate.first_token:,} to {end}"
        interval = estimate.interval
        lines.append(
            f"  {span:>17}  {estimate.num_documents:>9,}  {estimate.num_tokens:>9,}  "
            f"{estimate.bits_per_token:.4g}"
            + (f"  ({interval.low:.4g} to {interval.high:.4g})" if interval else "  (no interval)")
            + f"  same likeliest {100 * estimate.agreement:.2f} %"
        )
    return lines


def _percent_interval(interval: Interval | None) -> str:
    return "" if interval is None else f" ({100 * interval.low:.2f} to {100 * interval.high:.2f})"
