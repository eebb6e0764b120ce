"""What classes of bytes cost the models of a corpus: levels, paired differences, ratios, with intervals."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.estimates import ALONE, Estimate, estimates, resampled_columns
from evalkit.analysis.losses.axes import AXES
from evalkit.analysis.losses.class_sums import UNPAID, WHOLE, ClassKey, ClassSums
from evalkit.analysis.losses.token_costs import documents_costs
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.corpora.document import Corpus
from evalkit.stats import CONFIDENCE, MIN_CLUSTERS

MAX_MODELS = 12
"""Of a corpus: of more, those of the lowest bits per byte are shown."""
_GROUP_BYTES = 64 * 2**20
"""How large the sums are that are resampled together."""


class ClassGap(NamedTuple):
    """What a class costs one model against another, on the same bytes."""

    difference: Estimate
    """Bits per byte, first minus second."""
    ratio: Estimate | None
    """First over second; None where the second pays nothing."""
    is_clear: bool
    """Whether the difference stays clear of 0 where all classes of the corpus are looked at together."""
    share: float | None
    """Of the whole difference in bits between the two, how much is in this class; a class may have more than
    1, where others have less than 0. None where there is no difference."""


class ClassLosses(NamedTuple):
    """A class of bytes, and what each model pays for it."""

    axis: str
    """A name of `AXES`; empty of all bytes together."""
    name: str
    num_bytes: int
    num_clusters: int
    """In how many clusters of documents there are such bytes."""
    bits: dict[int, float]
    """By configuration."""
    levels: dict[int, Estimate]
    """Bits per byte, by configuration."""
    gaps: dict[tuple[int, int], ClassGap]
    """By pair of configurations, the lower in bits per byte first."""


class CorpusLosses(NamedTuple):
    """The classes of a corpus's bytes under one policy."""

    corpus: int
    """Index among the results' corpora."""
    policy: str | None
    configurations: tuple[int, ...]
    """From the lowest bits per byte."""
    configurations_left_out: tuple[int, ...]
    """Beyond `MAX_MODELS`."""
    num_documents: int
    num_documents_left_out: int
    """Which not every one of the models could represent."""
    num_clusters: int
    classes: tuple[ClassLosses, ...]
    """All bytes first, then axis by axis."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of models, the lower in bits per byte first."""
        places = range(len(self.configurations))
        return [
            (self.configurations[first], self.configurations[second])
            for first in places
            for second in places[first + 1 :]
        ]

    def of_axis(self, axis: str) -> list[ClassLosses]:
        """The classes of an axis; of the empty name all bytes together."""
        return [part for part in self.classes if part.axis == axis]


def with_token_bits(results: Results, corpus: ScoredCorpus, policy: str) -> list[int]:
    """The configurations of a policy that kept the bits of tokens, from the lowest bits per byte."""
    cells = {
        index: cell
        for index, cell in corpus.cells.items()
        if cell.documents.token_bits and results.configurations[index].policy == policy
    }
    return sorted(cells, key=lambda index: (cells[index].bits_per_byte, index))


def corpus_losses(
    results: Results, number: int, texts: Corpus, configurations: Sequence[int]
) -> CorpusLosses | None:
    """The losses of some models on a corpus; None where there is no document that all could represent.

    Args:
        results: all cells.
        number: index of the corpus.
        texts: the same documents with their texts.
        configurations: of one policy, all with the bits of tokens, see `with_token_bits`.

    Raises:
        ScoringError: the rows of a cell cannot be read.
    """
    corpus = results.corpora[number]
    chosen = tuple(configurations[:MAX_MODELS])
    sums = ClassSums()
    indices = []
    cells = [corpus.cells[index] for index in chosen]
    for costs in documents_costs(cells, corpus.bits[:, list(chosen)]):
        sums.add(texts.documents[costs.document], costs)
        indices.append(costs.document)
    if not indices:
        return None
    clusters = [corpus.clusters[index] for index in indices]
    return CorpusLosses(
        corpus=number,
        policy=results.configurations[chosen[0]].policy,
        configurations=chosen,
        configurations_left_out=tuple(configurations[MAX_MODELS:]),
        num_documents=len(indices),
        num_documents_left_out=len(corpus.ids) - len(indices),
        num_clusters=len(set(clusters)),
        classes=tuple(_classes(sums, corpus.clusters, clusters, chosen)),
    )


class _Sampled(NamedTuple):
    """A class's sums over documents, measured and resampled."""

    key: ClassKey
    num_clusters: int
    num_bytes: NDArray[np.float64]
    """``[1 + R]``."""
    bits: NDArray[np.float64]
    """``[K, 1 + R]``."""


def _classes(
    sums: ClassSums, cluster_of: Sequence[str], clusters: Sequence[str], configurations: Sequence[int]
) -> Iterator[ClassLosses]:
    sampled = sorted(_sampled(sums, cluster_of, clusters), key=_order)
    pairs = [(a, b) for a in range(len(configurations)) for b in range(a + 1, len(configurations))]
    gaps_of_pairs = [_gaps(sampled, first, second) for first, second in pairs]
    for place, part in enumerate(sampled):
        with np.errstate(divide="ignore", invalid="ignore"):  # resamples without such text
            levels = part.bits / part.num_bytes
        yield ClassLosses(
            *part.key,
            num_bytes=round(part.num_bytes[0]),
            num_clusters=part.num_clusters,
            bits=dict(zip(configurations, part.bits[:, 0].tolist(), strict=True)),
            levels=dict(zip(configurations, _estimates(levels, part.num_clusters), strict=True)),
            gaps={
                (configurations[first], configurations[second]): gaps[place]
                for (first, second), gaps in zip(pairs, gaps_of_pairs, strict=True)
                if part.key[1] != UNPAID
            },
        )


def _order(part: _Sampled) -> tuple[int, int, float, str]:
    axis, name = part.key
    if part.key == WHOLE:
        return -1, 0, 0.0, ""
    classes = AXES[axis].classes
    place = classes.index(name) if name in classes else len(classes) + (name == UNPAID)
    return list(AXES).index(axis), place, -part.num_bytes[0], name


def _sampled(sums: ClassSums, cluster_of: Sequence[str], clusters: Sequence[str]) -> Iterator[_Sampled]:
    """Every class, with the draws of the corpus by itself: the whole has the interval of the cell."""
    names = sorted(set(clusters))
    number_of = {name: number for number, name in enumerate(names)}
    keys = sums.keys()
    num_columns = sums.rows(WHOLE).shape[1] - 1
    size = max(1, _GROUP_BYTES // (8 * len(names) * num_columns))
    for start in range(0, len(keys), size):
        group = keys[start : start + size]
        columns = np.zeros((len(names), len(group), num_columns))
        for place, key in enumerate(group):
            rows = sums.rows(key)
            numbers = [number_of[cluster_of[int(index)]] for index in rows[:, 0]]
            np.add.at(columns[:, place], numbers, rows[:, 1:])
        flat = resampled_columns(columns.reshape(len(names), -1), names, stream=ALONE)
        for place, (key, samples) in enumerate(
            zip(group, flat.reshape(len(group), num_columns, -1), strict=True)
        ):
            num_clusters = np.count_nonzero(columns[:, place, 0])
            yield _Sampled(key, int(num_clusters), samples[0], samples[1:])


def _estimates(samples: NDArray[np.float64], num_clusters: int) -> list[Estimate]:
    """Estimates of a class that is in so many clusters: in too few it has no intervals."""
    return estimates(samples if num_clusters >= MIN_CLUSTERS else samples[:, :1], max(2, num_clusters))


def _gaps(sampled: Sequence[_Sampled], first: int, second: int) -> list[ClassGap]:
    """A pair's differences by class, and which of them are clear when all are looked at together."""
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = [(part.bits[first] - part.bits[second]) / part.num_bytes for part in sampled]
        ratios = [part.bits[first] / part.bits[second] for part in sampled]
    is_clear = _clear_together(differences, [part.num_clusters for part in sampled])
    whole = next(part for part in sampled if part.key == WHOLE)
    whole_bits = whole.bits[first, 0] - whole.bits[second, 0]
    return [
        ClassGap(
            _estimates(difference[None], part.num_clusters)[0],
            _estimates(ratio[None], part.num_clusters)[0] if np.isfinite(ratio[0]) else None,
            clear,
            float((part.bits[first, 0] - part.bits[second, 0]) / whole_bits) if whole_bits else None,
        )
        for part, difference, ratio, clear in zip(sampled, differences, ratios, is_clear, strict=True)
    ]


def _clear_together(differences: Sequence[NDArray[np.float64]], num_clusters: Sequence[int]) -> list[bool]:
    """Which differences lie further from 0 than chance lets any of them in all but 5 % of corpora.

    By the largest of their studentized deviations in each resample (Westfall and Young, Resampling-Based
    Multiple Testing, 1993, chapter 2), so that classes that go together are not counted as independent.
    """
    is_judged = [
        count >= MIN_CLUSTERS and bool(np.isfinite(samples).all())
        for samples, count in zip(differences, num_clusters, strict=True)
    ]
    places = [place for place, judged in enumerate(is_judged) if judged and len(differences[place]) > 1]
    is_clear = [False] * len(differences)
    if not places:
        return is_clear
    samples = np.stack([differences[place] for place in places])
    spreads = samples[:, 1:].std(axis=1)
    is_spread = spreads > 0  # a class that costs both the same everywhere is no difference
    deviations = np.abs(samples[is_spread, 1:] - samples[is_spread, :1]) / spreads[is_spread, None]
    if not len(deviations):
        return is_clear
    limit = np.quantile(deviations.max(axis=0), CONFIDENCE)
    for place, sample, spread in zip(places, samples, spreads, strict=True):
        is_clear[place] = bool(spread > 0 and abs(sample[0]) > limit * spread)
    return is_clear
