"""The leaderboard's numbers: every cell, every pair, and the aggregates of every choice of corpora.

A view is what a reader has chosen: a policy, a source, a month. Aggregates and their paired differences are
computed for each view here, so that the page only shows, sorts and hides. Views are few, for a source and a
month together mostly leave one corpus.

What is counted unless a reader asks for all corpora are those of the choice that are newer than every model
shown (`cutoff.is_newer_than`), or all of them where none is: for this each view has narrower ones beside it.
"""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.aggregates import AGGREGATES
from evalkit.analysis.cutoff import Cutoff, is_newer_than, latest_day
from evalkit.analysis.document_dates import Dates, dates_of
from evalkit.analysis.estimates import (
    ALONE,
    Estimate,
    Sums,
    differences,
    is_near_only,
    levels,
    resampled_sums,
    sums_together,
)
from evalkit.analysis.pair_table import PairTable
from evalkit.analysis.results import UNDATED, Results, ScoredCorpus
from evalkit.models.catalog import load_catalog


class Choice(NamedTuple):
    """What a reader has chosen; None: all."""

    policy: str
    source: str | None
    month: str | None


class PartialLevel(NamedTuple):
    """An aggregate over the corpora of a view that a model has: over fewer than all it compares with none."""

    level: Estimate
    num_corpora: int


@dataclasses.dataclass(frozen=True)
class View:
    """The aggregates over the corpora of a choice; corpora and models are indices among the results'."""

    corpora: tuple[int, ...]
    configurations: tuple[int, ...]
    """Those that have a cell on each of the corpora: only they can be ranked."""
    levels: Mapping[str, Mapping[int, Estimate]]
    """By aggregate, then model."""
    pairs: Mapping[str, PairTable]
    """By aggregate."""
    partial: Mapping[str, Mapping[int, PartialLevel]]
    """By aggregate, then model: of those that have a cell on some of the corpora, and not on each."""

    def level(self, kind: str, index: int) -> PartialLevel | None:
        """A model's aggregate over all of the corpora, or over those that it has; None: it has none."""
        level = self.levels[kind].get(index)
        return self.partial[kind].get(index) if level is None else PartialLevel(level, len(self.corpora))

    def ranks(self, kind: str, shown: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Rank intervals among the models shown."""
        return self.pairs[kind].rank_intervals(shown)

    def order(self, kind: str) -> list[int]:
        """Models from the lowest aggregate up."""
        return sorted(self.configurations, key=lambda index: (self.levels[kind][index].value, index))


class Counted(NamedTuple):
    """The corpora that are counted of a choice."""

    view: View
    """Over those that are newer than every model shown; over all of the choice where none is."""
    num_corpora: int
    """Of the choice."""
    num_newer: int
    latest: dt.date | None
    """The last day that one of the models shown can have read something of; None: known of none."""
    num_unknown: int
    """Language models of which it is not known."""


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """All numbers of the leaderboard, the model pages and the comparison page."""

    results: Results
    sources: tuple[str, ...]
    """A label per corpus."""
    levels: tuple[dict[int, Estimate], ...]
    """Per corpus, by model: bits per byte; also of those scored on some of its documents only."""
    pairs: tuple[PairTable, ...]
    """Per corpus."""
    views: dict[Choice, View]
    views_by_corpora: dict[tuple[str, tuple[int, ...]], View]
    """By policy and corpora: those of the choices, and what `counted` leaves of them."""
    dates: Dates
    sums: tuple[Sums, ...]
    """Per corpus, with the draws that it has among others; empty where there is a single corpus."""

    @property
    def default(self) -> Choice:
        """What the page shows first: of the default policy, the month that `opening_month` finds, or all."""
        policy = self.results.policies[0]
        sources_by_month = {
            choice.month: [self.sources[corpus] for corpus in view.corpora]
            for choice, view in self.views.items()
            if choice[:2] == (policy, None) and choice.month is not None and choice.month != UNDATED
        }
        return Choice(policy, None, opening_month(sources_by_month))

    def counted(self, choice: Choice) -> Counted | None:
        """The corpora that are counted of a choice, unless a reader asks for all; None: it has no corpora."""
        view = self.views.get(choice)
        if view is None:
            return None
        rows = self.results.configurations
        shown = {index for corpus in view.corpora for index in self.results.corpora[corpus].all_cells}
        models = [index for index in sorted(shown) if rows[index].policy == choice.policy]
        cutoffs = [self.dates.cutoffs[index] for index in models]
        newer = newer_corpora(view.corpora, self.dates, cutoffs)
        counted = self.views_by_corpora[choice.policy, newer] if newer else view
        return Counted(counted, len(view.corpora), len(newer), latest_day(cutoffs), cutoffs.count(None))

    def level(self, corpus: int, configuration: int) -> Estimate:
        """A cell's number."""
        return self.levels[corpus][configuration]

    def difference(self, corpus: int, first: int, second: int) -> Estimate | None:
        """Bits per byte of the first minus the second; None where they have no document in common."""
        return self.pairs[corpus].difference(first, second)

    @property
    def is_near_only(self) -> bool:
        """Whether models are so many that some are paired with their neighbors in rank alone."""
        return any(table.near_only for table in self.pairs)

    def best(self, corpus: int, configurations: Sequence[int]) -> set[int]:
        """The best of these models on a whole corpus and all that are not told apart from it."""
        corpus_levels = self.levels[corpus]
        scored = [index for index in configurations if index in corpus_levels]
        whole = [index for index in scored if index in self.results.corpora[corpus].cells]
        if not whole:
            return set()
        leader = min(whole, key=lambda index: (corpus_levels[index].value, index))
        gaps = {index: self.difference(corpus, index, leader) for index in scored if index != leader}
        # A difference without interval is no tie: nothing is known of it.
        ties = {index for index, gap in gaps.items() if gap and gap.low is not None and gap.sign == 0}
        return {leader} | ties


def newer_corpora(corpora: Sequence[int], dates: Dates, cutoffs: Sequence[Cutoff | None]) -> tuple[int, ...]:
    """Those of the corpora that are newer than every model with one of these cutoffs."""
    latest = latest_day(cutoffs)
    return tuple(corpus for corpus in corpora if is_newer_than(dates.earliest[corpus], latest))


def opening_month(sources_by_month: Mapping[str, Sequence[str]]) -> str | None:
    """The month that a board opens with: the newest of which at least half of the sources have a corpus.

    A month in which most sources failed, or have not been crawled yet, does not stand for the board.

    Args:
        sources_by_month: of each month the sources of its corpora; one with two windows stands there twice.

    Returns:
        None where most months have a single corpus (a source that comes once a month, corpora put together
        by hand): there months are no windows.
    """
    num_windows = sum(len(sources) > 1 for sources in sources_by_month.values())
    if len(sources_by_month) < 2 or 2 * num_windows < len(sources_by_month):
        return None
    num_sources = {month: len(set(sources)) for month, sources in sources_by_month.items()}
    return max(month for month, number in num_sources.items() if 2 * number >= max(num_sources.values()))


def compute(results: Results, sources: Sequence[str], dates: Dates | None = None) -> Leaderboard:
    """All numbers.

    Args:
        results: the cells.
        sources: per corpus, where its documents come from.
        dates: see `evalkit.analysis.document_dates.dates_of`; None: they are looked for.
    """
    dates = dates_of(results, load_catalog()) if dates is None else dates
    alone = [_numbers_alone(results, corpus) for corpus in results.corpora]
    corpus_levels, corpus_pairs = [by_model for by_model, _ in alone], [pairs for _, pairs in alone]
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
            near_only = is_near_only(configurations)
            pairs_by_kind = {
                kind: PairTable(differences(kind, sums, configurations), [by_kind[kind]] if near_only else [])
                for kind in AGGREGATES
            }
        partial = _partial_levels(results, policy, corpora, corpus_levels, together)
        return View(corpora, tuple(configurations), by_kind, pairs_by_kind, partial)

    # Many choices leave the same corpora: each is computed once.
    computed: dict[tuple[str, tuple[int, ...]], View] = {}
    views: dict[Choice, View] = {}
    for choice in _choices(results, sources):
        corpora = _corpora_of(choice, results, sources)
        if corpora:
            if (choice.policy, corpora) not in computed:
                computed[choice.policy, corpora] = view_of(choice.policy, corpora)
            views[choice] = computed[choice.policy, corpora]
    for policy, corpora in list(computed):
        for cutoff in {dates.cutoffs[index] for index in _compared(results, policy)} - {None}:
            key = (policy, newer_corpora(corpora, dates, [cutoff]))
            if key[1] and key not in computed:
                computed[key] = view_of(*key)
    return Leaderboard(
        results,
        tuple(sources),
        tuple(corpus_levels),
        tuple(corpus_pairs),
        views,
        dict(sorted(computed.items())),
        dates,
        tuple(together),
    )


def _partial_levels(
    results: Results,
    policy: str,
    corpora: tuple[int, ...],
    corpus_levels: Sequence[Mapping[int, Estimate]],
    together: Sequence[Sums],
) -> dict[str, dict[int, PartialLevel]]:
    """`View.partial` of these corpora.

    Args:
        results: the cells.
        policy: under which models are compared.
        corpora: of the view.
        corpus_levels: of each corpus by itself.
        together: of each corpus, resampled together.
    """
    by_corpora = defaultdict(list)
    for index in sorted(_compared(results, policy)):
        scored = tuple(corpus for corpus in corpora if index in results.corpora[corpus].cells)
        if 0 < len(scored) < len(corpora):
            by_corpora[scored].append(index)
    partial: dict[str, dict[int, PartialLevel]] = {kind: {} for kind in AGGREGATES}
    for scored, indices in by_corpora.items():
        for kind, by_model in partial.items():
            if len(scored) == 1:
                measured = {index: corpus_levels[scored[0]][index] for index in indices}
            else:
                measured = levels(kind, [together[corpus] for corpus in scored], indices)
            by_model |= {index: PartialLevel(level, len(scored)) for index, level in measured.items()}
    return partial


def _numbers_alone(results: Results, corpus: ScoredCorpus) -> tuple[dict[int, Estimate], PairTable]:
    """A corpus by itself: levels of all models, and the differences of those compared under each policy."""
    sums = [resampled_sums(corpus, stream=ALONE)]
    corpus_levels = levels("micro", sums, sorted(corpus.all_cells))
    pairs: dict[tuple[int, int], Estimate] = {}
    near_only = []
    for policy in results.policies:
        group = sorted(_compared(results, policy) & corpus_levels.keys())
        pairs |= differences("micro", sums, group)
        if is_near_only(group):
            near_only.append({index: corpus_levels[index] for index in group})
    return corpus_levels, PairTable(pairs, near_only)


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
