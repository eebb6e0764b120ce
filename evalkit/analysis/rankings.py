"""The leaderboard's numbers: every cell, every pair, and the aggregates of every choice of corpora.

A view is what a reader has chosen: a policy, a source, a month. Aggregates and their paired differences are
computed for each view here, so that the page only shows, sorts and hides. Views are few, for a source and a
month together mostly leave one corpus.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.aggregates import AGGREGATES
from evalkit.analysis.estimates import (
    ALONE,
    Estimate,
    Pairs,
    difference_of,
    differences,
    levels,
    rank_interval,
    resampled_sums,
    sums_together,
)
from evalkit.analysis.pair_table import PairTable
from evalkit.analysis.results import Results


class Choice(NamedTuple):
    """What a reader has chosen; None: all."""

    policy: str
    source: str | None
    month: str | None


@dataclasses.dataclass(frozen=True)
class View:
    """The aggregates over the corpora of a choice; corpora and models are indices among the results'."""

    corpora: tuple[int, ...]
    configurations: tuple[int, ...]
    """Those that have a cell on each of the corpora: only they can be ranked."""
    levels: Mapping[str, Mapping[int, Estimate]]
    """By aggregate, then model."""
    pairs: Mapping[str, Pairs]
    """By aggregate."""

    def ranks(self, kind: str, shown: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Rank intervals among the models shown."""
        return {index: rank_interval(self.pairs[kind], shown, index) for index in shown}

    def order(self, kind: str) -> list[int]:
        """Models from the lowest aggregate up."""
        return sorted(self.configurations, key=lambda index: (self.levels[kind][index].value, index))


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """All numbers of the leaderboard, the model pages and the comparison page."""

    results: Results
    sources: tuple[str, ...]
    """A label per corpus."""
    levels: tuple[dict[int, Estimate], ...]
    """Per corpus, by model: bits per byte."""
    pairs: tuple[Pairs, ...]
    """Per corpus."""
    views: dict[Choice, View]

    @property
    def default(self) -> Choice:
        """What the page shows first: everything under the default policy."""
        return Choice(self.results.policies[0], None, None)

    def level(self, corpus: int, configuration: int) -> Estimate:
        """A cell's number."""
        return self.levels[corpus][configuration]

    def difference(self, corpus: int, first: int, second: int) -> Estimate | None:
        """Bits per byte of the first minus the second; None where they have no document in common."""
        return difference_of(self.pairs[corpus], first, second)

    def best(self, corpus: int, configurations: Sequence[int]) -> set[int]:
        """The best of these models on a corpus and all that are not told apart from it."""
        corpus_levels = self.levels[corpus]
        scored = [index for index in configurations if index in corpus_levels]
        if not scored:
            return set()
        leader = min(scored, key=lambda index: (corpus_levels[index].value, index))
        gaps = {index: self.difference(corpus, index, leader) for index in scored if index != leader}
        # A difference without interval is no tie: nothing is known of it.
        ties = {index for index, gap in gaps.items() if gap and gap.low is not None and gap.sign == 0}
        return {leader} | ties


def compute(results: Results, sources: Sequence[str]) -> Leaderboard:
    """All numbers.

    Args:
        results: the cells.
        sources: per corpus, where its documents come from.
    """
    corpus_levels: list[dict[int, Estimate]] = []
    corpus_pairs: list[PairTable] = []
    for corpus in results.corpora:
        sums = [resampled_sums(corpus, stream=ALONE)]
        corpus_levels.append(levels("micro", sums, sorted(corpus.cells)))
        pairs: dict[tuple[int, int], Estimate] = {}
        for policy in results.policies:
            pairs |= differences("micro", sums, sorted(_compared(results, policy) & set(corpus.cells)))
        corpus_pairs.append(PairTable(pairs))
    together = sums_together(results.corpora) if len(results.corpora) > 1 else []

    def view_of(policy: str, corpora: tuple[int, ...]) -> View:
        configurations = [
            index
            for index in sorted(_compared(results, policy))
            if all(index in results.corpora[corpus].cells for corpus in corpora)
        ]
        if len(corpora) == 1:  # all aggregates are the corpus's own number
            levels_of_corpus = {index: corpus_levels[corpora[0]][index] for index in configurations}
            by_kind = dict.fromkeys(AGGREGATES, levels_of_corpus)
            pairs_by_kind = dict.fromkeys(AGGREGATES, corpus_pairs[corpora[0]])
        else:
            sums = [together[corpus] for corpus in corpora]
            by_kind = {kind: levels(kind, sums, configurations) for kind in AGGREGATES}
            pairs_by_kind = {kind: PairTable(differences(kind, sums, configurations)) for kind in AGGREGATES}
        return View(corpora, tuple(configurations), by_kind, pairs_by_kind)

    # Many choices leave the same corpora: each of these views is computed once.
    computed: dict[tuple[str, tuple[int, ...]], View] = {}
    views: dict[Choice, View] = {}
    for choice in _choices(results, sources):
        corpora = _corpora_of(choice, results, sources)
        if corpora:
            key = (choice.policy, corpora)
            if key not in computed:
                computed[key] = view_of(*key)
            views[choice] = computed[key]
    return Leaderboard(results, tuple(sources), tuple(corpus_levels), tuple(corpus_pairs), views)


def _compared(results: Results, policy: str) -> set[int]:
    """The models that are put side by side under a policy: compressors always are."""
    return {index for index, row in enumerate(results.configurations) if row.policy in (policy, None)}


def _corpora_of(choice: Choice, results: Results, sources: Sequence[str]) -> tuple[int, ...]:
    """The corpora that a choice leaves; not those on which no language model was scored under its policy.

    Nobody could be ranked over these, while compressors are scored on all of them.
    """
    models = {index for index in _compared(results, choice.policy) if results.configurations[index].policy}
    return tuple(
        number
        for number, corpus in enumerate(results.corpora)
        if choice.source in (None, sources[number])
        and choice.month in (None, corpus.month)
        and (not models or models & set(corpus.cells))
    )


def _choices(results: Results, sources: Sequence[str]) -> list[Choice]:
    months = sorted({corpus.month for corpus in results.corpora})
    return [
        Choice(policy, source, month)
        for policy in results.policies
        for source in [None, *sorted(set(sources))]
        for month in [None, *months]
    ]
