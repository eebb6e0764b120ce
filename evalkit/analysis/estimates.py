"""From documents' bits to numbers with intervals: levels, aggregates, paired differences, ranks.

Everything is computed on arrays whose first column is what was measured and whose R other columns are the
bootstrap resamples of `evalkit.stats`: whatever is done to the first is done to each of the others, and the
interval of a number is that of its row. All models share the draws of a corpus, so that differences are
paired; different corpora are drawn independently.

Which draws a corpus gets follows from the corpus, never from its place in a list: a corpus by itself has
those of its cells (stream 0), and where several are put together each has those of its digest
(`corpus_stream`). So `evalkit run`, the site, plots and months print one interval for one set of cells, in
whatever order they come.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.aggregates import AGGREGATES, Array
from evalkit.analysis.spool import Load, Spool
from evalkit.stats import resampled_ratios, row_quantiles, tails

DECIMALS = 6
"""To which numbers are rounded before anything is printed or called a tie."""

ALONE = 0
"""The stream of a corpus by itself: that of the intervals in cells and of `evalkit compare`."""

NUM_NEIGHBORS = 32
"""On either side in rank: with whom each of many models is paired, so that pairs grow as cells do."""

MODELS_AT_ONCE = 128
"""Whose resamples are in memory together."""

Pairs = Mapping[tuple[int, int], "Estimate"]
"""First minus second, by two model configurations; each pair in one of its two orders."""


class Estimate(NamedTuple):
    """A number and its 95 % interval, where there is one."""

    value: float
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        """The number after ±."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval is clear of 0 on that side, else 0: a tie, or not known."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    def negated(self) -> "Estimate":
        """The estimate of minus the same."""
        if self.low is None or self.high is None:
            return Estimate(0.0 - self.value, None, None)
        return Estimate(0.0 - self.value, 0.0 - self.high, 0.0 - self.low)


class ScoredDocuments(Protocol):
    """The documents of a corpus and what K model configurations paid for them."""

    @property
    def sha256(self) -> str:
        """The corpus's digest."""
        ...

    @property
    def clusters(self) -> Sequence[str]:
        """``[D]``: what documents share that are not independent draws."""
        ...

    @property
    def num_bytes(self) -> NDArray[np.int64]:
        """``[D]``."""
        ...

    @property
    def bits(self) -> Array:
        """``[D, K]``; NaN where a model could not represent a document, or was not scored at all."""
        ...


class DocumentBits(NamedTuple):
    """`ScoredDocuments` by themselves."""

    sha256: str
    clusters: Sequence[str]
    num_bytes: NDArray[np.int64]
    bits: Array


def corpus_stream(sha256: str) -> int:
    """The stream of draws that a corpus has among other corpora.

    Args:
        sha256: the corpus's digest, in hexadecimal digits.
    """
    return int(sha256[:16], 16)


def estimates(samples: Array, num_clusters: int) -> list[Estimate]:
    """An estimate per row of ``[N, 1 + R]``; without interval where there are no resamples.

    Args:
        samples: what was measured, and the resamples.
        num_clusters: in each resample; over several corpora the fewest.
    """
    values = samples[:, 0].round(DECIMALS).tolist()
    if samples.shape[1] == 1:
        return [Estimate(value, None, None) for value in values]
    with np.errstate(invalid="ignore"):  # a resample without a byte of a model's documents
        low, high = row_quantiles(samples[:, 1:], tails(num_clusters)).round(DECIMALS)
    is_finite = np.logical_and.reduce(np.isfinite(samples[:, 1:]), axis=1)
    return [
        Estimate(value, float(low[row]), float(high[row])) if is_finite[row] else Estimate(value, None, None)
        for row, value in enumerate(values)
    ]


def resampled_columns(columns: Array, clusters: Sequence[str], *, stream: int) -> Array:
    """Sums over documents, measured and resampled: ``[N, 1 + R]``.

    Args:
        columns: ``[D, N]``.
        clusters: ``[D]``; with fewer than `stats.MIN_CLUSTERS` distinct ones R is 0.
        stream: see `evalkit.stats.resampled_ratios`.
    """
    measured = columns.sum(axis=0)
    # `resampled_ratios` divides by the resampled sum of the denominators. With shares that add up to one in
    # each cluster that is the number of clusters drawn, which never changes: out comes a mean per draw.
    names, cluster_of, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    means = resampled_ratios(columns, 1 / sizes[cluster_of], clusters, stream=stream)
    if means is None:
        return np.asarray(measured[:, None])
    rows = np.empty((len(measured), 1 + len(means)))  # filled in place: of a thousand models it is 32 MB
    rows[:, 0] = measured
    np.multiply(means.T, len(names), out=rows[:, 1:])
    return rows


class Sums(NamedTuple):
    """A corpus's sums, measured and resampled, over the documents that a pair of models has in common."""

    load_bits: Load
    load_num_bytes: Load
    num_sets: int
    """M."""
    common: NDArray[np.int64]
    """``[K, K]``: which of the M sets two models have in common; on the diagonal a model's own."""
    num_clusters: int

    @property
    def bits(self) -> Array:
        """``[M, K, 1 + R]``: M sets of documents; bits of a model outside its own documents count as 0."""
        return self.load_bits()

    @property
    def num_bytes(self) -> Array:
        """``[M, 1 + R]``."""
        return self.load_num_bytes()


def resampled_sums(corpus: ScoredDocuments, *, stream: int, spool: Spool | None = None) -> Sums:
    """The sums of a corpus; M is 1 where every model could represent every document.

    Args:
        corpus: its documents.
        stream: `ALONE`, or the corpus's `corpus_stream`.
        spool: where those of many corpora are kept; None: in memory.
    """
    is_paid = ~np.isnan(corpus.bits)
    is_paid[:, ~is_paid.any(axis=0)] = True  # a model without a cell makes no set of documents of its own
    bits = np.where(np.isnan(corpus.bits), 0.0, corpus.bits)
    # Few models cannot represent everything, and those mostly lack the same documents. So: the distinct sets
    # of documents, the intersections of any two of these, and which of the intersections two models share.
    document_sets, set_of = np.unique(is_paid.T, axis=0, return_inverse=True)
    intersections = document_sets[:, None] & document_sets[None]
    masks, mask_of = np.unique(intersections.reshape(-1, len(bits)), axis=0, return_inverse=True)
    common = mask_of.reshape(len(document_sets), len(document_sets))[np.ix_(set_of.ravel(), set_of.ravel())]
    # All of them in one go, K bits and one number of bytes for each mask: the draws are made once.
    columns = np.concatenate(
        [np.column_stack((bits * mask[:, None], corpus.num_bytes * mask)) for mask in masks], axis=1
    )
    rows = resampled_columns(columns, corpus.clusters, stream=stream)
    stacked = rows.reshape(len(masks), -1, rows.shape[1])
    keep = (spool or Spool()).keep
    num_clusters = len(set(corpus.clusters))
    return Sums(keep(stacked[:, :-1]), keep(stacked[:, -1]), len(masks), common, num_clusters)


def sums_together(corpora: Sequence[ScoredDocuments]) -> list[Sums]:
    """The sums of corpora that are put together, each with the draws of its digest; of one, its own."""
    if len(corpora) == 1:
        return [resampled_sums(corpora[0], stream=ALONE)]
    spool = Spool()
    return [resampled_sums(corpus, stream=corpus_stream(corpus.sha256), spool=spool) for corpus in corpora]


def aggregate(kind: str, bits: Iterable[Array], num_bytes: Iterable[Array]) -> Array:
    """Bits per byte over several corpora, ``[N, 1 + R]``; one corpus after the other, if they come so.

    Args:
        kind: one of `AGGREGATES`.
        bits: per corpus, ``[N, 1 + R]``.
        num_bytes: per corpus, ``[N, 1 + R]`` or ``[1, 1 + R]``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return AGGREGATES[kind].function(zip(bits, num_bytes, strict=True))


def levels(kind: str, sums: Sequence[Sums], configurations: Sequence[int]) -> dict[int, Estimate]:
    """The aggregate of each model over these corpora, each over the documents it could represent."""
    if not configurations:
        return {}
    samples = level_samples(kind, sums, configurations)
    return dict(zip(configurations, estimates(samples, fewest_clusters(sums)), strict=True))


def fewest_clusters(sums: Sequence[Sums]) -> int:
    """Of any corpus: what decides how wide an interval over several must be, to be on the safe side."""
    return min(corpus.num_clusters for corpus in sums)


def level_samples(kind: str, sums: Sequence[Sums], configurations: Sequence[int]) -> Array:
    """The aggregate of each model, each over the documents it could represent: ``[N, 1 + R]``."""
    # Some models at a time: a step of an aggregate holds several arrays as large as its result.
    starts = range(0, len(configurations), MODELS_AT_ONCE)
    blocks = (configurations[start : start + MODELS_AT_ONCE] for start in starts)
    return np.concatenate([_block_samples(kind, sums, block) for block in blocks])


def _block_samples(kind: str, sums: Sequence[Sums], configurations: Sequence[int]) -> Array:
    sets = [corpus.common[configurations, configurations] for corpus in sums]
    return aggregate(
        kind,
        (corpus.bits[chosen, configurations] for corpus, chosen in zip(sums, sets, strict=True)),
        (corpus.num_bytes[chosen] for corpus, chosen in zip(sums, sets, strict=True)),
    )


def is_near_only(configurations: Sequence[int]) -> bool:
    """Whether these are so many models that each is paired with its neighbors alone (`NUM_NEIGHBORS`)."""
    return len(configurations) > 2 * NUM_NEIGHBORS + 1


def differences(
    kind: str, sums: Sequence[Sums], configurations: Sequence[int]
) -> dict[tuple[int, int], Estimate]:
    """First minus second for every pair of models, over the documents that both could represent.

    Where models are so many that their pairs would be far more than their cells (`is_near_only`): for each
    model and its `NUM_NEIGHBORS` neighbors in rank on either side, and for the best and each of the others.
    """
    gaps_by_pair: dict[tuple[int, int], Estimate] = {}
    # Where all could represent all, a pair's documents are everybody's: levels are computed once.
    is_whole = all(corpus.num_sets == 1 for corpus in sums)
    is_near = is_near_only(configurations)
    samples = level_samples(kind, sums, configurations) if (is_whole or is_near) and configurations else None
    values = samples[:, 0] if is_near and samples is not None else None
    for place, partners in _pairings(len(configurations), values):
        first, seconds = configurations[place], [configurations[partner] for partner in partners]
        if is_whole and samples is not None:
            gaps = samples[place] - samples[partners]
        else:
            gaps = pair_samples(kind, sums, first, seconds)
        gaps_by_pair |= {
            (first, second): gap
            for second, gap in zip(seconds, estimates(gaps, fewest_clusters(sums)), strict=True)
            if math.isfinite(gap.value)  # else the two have no document in common
        }
    return gaps_by_pair


def _pairings(num_models: int, values: Array | None) -> Iterator[tuple[int, list[int]]]:
    """Who is paired with whom: places of the first of pairs, and of some of their partners, which come later.

    Args:
        num_models: how many there are.
        values: by which they are ranked, where only neighbors are paired; None: all are.
    """
    for place, partners in _partners(num_models, values):
        for start in range(0, len(partners), MODELS_AT_ONCE):
            yield place, partners[start : start + MODELS_AT_ONCE]


def _partners(num_models: int, values: Array | None) -> Iterator[tuple[int, list[int]]]:
    """`_pairings`, all partners of a place together."""
    if values is None:
        yield from ((place, list(range(place + 1, num_models))) for place in range(num_models - 1))
        return
    order = np.argsort(values, kind="stable").tolist()
    partners: list[set[int]] = [set() for _ in order]
    for rank, place in enumerate(order):
        for partner in order[1:] if rank == 0 else order[rank + 1 : rank + 1 + NUM_NEIGHBORS]:
            partners[min(place, partner)].add(max(place, partner))
    yield from ((place, sorted(later)) for place, later in enumerate(partners))


def pair_samples(kind: str, sums: Sequence[Sums], first: int, seconds: Sequence[int]) -> Array:
    """One model minus each of others, ``[N, 1 + R]``, each pair over the documents that it has in common."""
    # Both in one go, so that every corpus is loaded once.
    places = [first] * len(seconds) + list(seconds)
    sets = [np.tile(corpus.common[first, seconds], 2) for corpus in sums]
    samples = aggregate(
        kind,
        (corpus.bits[chosen, places] for corpus, chosen in zip(sums, sets, strict=True)),
        (corpus.num_bytes[chosen] for corpus, chosen in zip(sums, sets, strict=True)),
    )
    return np.asarray(samples[: len(seconds)] - samples[len(seconds) :])
