"""The leaderboard's numbers: every cell, every pair, and the aggregates of every choice of corpora.

A view is what a reader has chosen: a policy, a source, a month. Aggregates and their paired differences are
computed for each view here, so that the page only shows, sorts and hides. Views are few, for a source and a
month together mostly leave one corpus.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.analysis.estimates import (
    AGGREGATES,
    Estimate,
    difference_of,
    differences,
    levels,
    rank_interval,
    resampled_sums,
)
from evalkit.analysis.results import Store

Pairs = dict[tuple[int, int], Estimate]


class Choice(NamedTuple):
    """What a reader has chosen; None: all."""

    policy: str
    source: str | None
    month: str | None


@dataclasses.dataclass(frozen=True)
class View:
    """The aggregates over the corpora of a choice."""

    corpora: tuple[int, ...]
    entrants: tuple[int, ...]
    """Those that have a cell on each of the corpora: only they can be ranked."""
    levels: dict[str, dict[int, Estimate]]
    """By aggregate, then entrant."""
    pairs: dict[str, Pairs]
    """By aggregate."""

    def ranks(self, kind: str, shown: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Rank intervals among the entrants shown."""
        return {entrant: rank_interval(self.pairs[kind], shown, entrant) for entrant in shown}

    def order(self, kind: str) -> list[int]:
        """Entrants from the lowest aggregate up."""
        return sorted(self.entrants, key=lambda entrant: (self.levels[kind][entrant].value, entrant))


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """All numbers of the leaderboard, the model pages and the comparison page."""

    store: Store
    sources: tuple[str, ...]
    """A label per corpus."""
    levels: tuple[dict[int, Estimate], ...]
    """Per corpus, by entrant: bits per byte."""
    pairs: tuple[Pairs, ...]
    """Per corpus."""
    views: dict[Choice, View]

    @property
    def default(self) -> Choice:
        """What the page shows first: everything under the default policy."""
        return Choice(self.store.policies[0], None, None)

    def level(self, corpus: int, entrant: int) -> Estimate:
        """A cell's number."""
        return self.levels[corpus][entrant]

    def difference(self, corpus: int, first: int, second: int) -> Estimate | None:
        """Bits per byte of the first minus the second; None where they have no document in common."""
        return difference_of(self.pairs[corpus], first, second)

    def best(self, corpus: int, entrants: Sequence[int]) -> set[int]:
        """The best of these entrants on a corpus and all that are not told apart from it."""
        here = [entrant for entrant in entrants if entrant in self.levels[corpus]]
        if not here:
            return set()
        leader = min(here, key=lambda entrant: (self.levels[corpus][entrant].value, entrant))
        tied = {leader}
        for other in here:
            one = None if other == leader else self.difference(corpus, other, leader)
            if one and one.low is not None and one.sign == 0:
                tied.add(other)
        return tied


def compute(store: Store, sources: Sequence[str]) -> Leaderboard:
    """All numbers.

    Args:
        store: the cells.
        sources: per corpus, where its documents come from.
    """
    # Stream 0 for a corpus by itself, as in cells and `evalkit compare`; its own stream where several are
    # put together, as `evalkit run` does.
    alone = [resampled_sums(corpus, stream=0) for corpus in store.corpora]
    together = alone[:1] + [
        resampled_sums(corpus, stream=number) for number, corpus in enumerate(store.corpora) if number
    ]
    own_levels = []
    own_pairs: list[Pairs] = []
    for corpus, sums in zip(store.corpora, alone, strict=True):
        own_levels.append(levels("micro", [sums], sorted(corpus.cells)))
        pairs: Pairs = {}
        for policy in store.policies:
            pairs |= differences("micro", [sums], sorted(_compared(store, policy) & set(corpus.cells)))
        own_pairs.append(pairs)
    views: dict[Choice, View] = {}
    known: dict[tuple[str, tuple[int, ...]], View] = {}
    for choice in _choices(store, sources):
        corpora = _corpora_of(choice, store, sources)
        if not corpora:
            continue
        if (choice.policy, corpora) not in known:
            entrants = [
                entrant
                for entrant in sorted(_compared(store, choice.policy))
                if all(entrant in store.corpora[corpus].cells for corpus in corpora)
            ]
            if len(corpora) == 1:
                [only] = corpora
                found = {entrant: own_levels[only][entrant] for entrant in entrants}
                by_kind, pairs_by_kind = (
                    dict.fromkeys(AGGREGATES, found),
                    dict.fromkeys(AGGREGATES, own_pairs[only]),
                )
            else:
                sums_of = [together[corpus] for corpus in corpora]
                by_kind = {kind: levels(kind, sums_of, entrants) for kind in AGGREGATES}
                pairs_by_kind = {kind: differences(kind, sums_of, entrants) for kind in AGGREGATES}
            known[choice.policy, corpora] = View(corpora, tuple(entrants), by_kind, pairs_by_kind)
        views[choice] = known[choice.policy, corpora]
    return Leaderboard(store, tuple(sources), tuple(own_levels), tuple(own_pairs), views)


def _compared(store: Store, policy: str) -> set[int]:
    """The entrants that are put side by side under a policy: compressors always are."""
    return {number for number, entrant in enumerate(store.entrants) if entrant.policy in (policy, None)}


def _corpora_of(choice: Choice, store: Store, sources: Sequence[str]) -> tuple[int, ...]:
    """The corpora that a choice leaves; not those on which no language model was scored under its policy.

    Nobody could be ranked over these, while compressors are scored on all of them.
    """
    models = {number for number in _compared(store, choice.policy) if store.entrants[number].policy}
    return tuple(
        number
        for number, corpus in enumerate(store.corpora)
        if choice.source in (None, sources[number])
        and choice.month in (None, corpus.month)
        and (not models or models & set(corpus.cells))
    )


def _choices(store: Store, sources: Sequence[str]) -> list[Choice]:
    months = sorted({corpus.month for corpus in store.corpora})
    return [
        Choice(policy, source, month)
        for policy in store.policies
        for source in [None, *sorted(set(sources))]
        for month in [None, *months]
    ]


def to_json(
    board: Leaderboard, rows: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> Any:
    """What the page's script needs: numbers as lists, pairs as ``{first: {second: [...]}}``.

    Args:
        board: the numbers.
        rows: per entrant, what the script filters and shows.
        columns: per corpus, likewise.
    """
    distinct: list[View] = []
    views = []
    for choice, view in board.views.items():
        if not any(view is other for other in distinct):
            distinct.append(view)
        index = next(number for number, other in enumerate(distinct) if other is view)
        views.append([*choice, index])
    return {
        "entrants": list(rows),
        "corpora": list(columns),
        "levels": [{str(entrant): _triple(one) for entrant, one in found.items()} for found in board.levels],
        "pairs": [_nested(pairs) for pairs in board.pairs],
        "choices": views,
        "views": [
            {
                "corpora": view.corpora,
                "aggregates": {
                    kind: {
                        "levels": {str(entrant): _triple(one) for entrant, one in view.levels[kind].items()},
                        # Of a single corpus: the corpus's own pairs.
                        "pairs": _nested(view.pairs[kind]) if len(view.corpora) > 1 else None,
                    }
                    for kind in AGGREGATES
                },
            }
            for view in distinct
        ],
    }


def _triple(one: Estimate) -> list[float | None]:
    return [one.value, one.low, one.high]


def _nested(pairs: Pairs) -> dict[str, dict[str, list[float | None]]]:
    found: dict[str, dict[str, list[float | None]]] = {}
    for (first, second), one in pairs.items():
        found.setdefault(str(first), {})[str(second)] = _triple(one)
    return found
