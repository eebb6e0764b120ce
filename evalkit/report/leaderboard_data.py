"""The leaderboard's numbers as its script and the comparison page's read them.

Numbers are lists ``[value, low, high]``, pairs are ``{first: {second: [...]}}``.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE
from evalkit.analysis.estimates import NUM_NEIGHBORS, Estimate, Pairs
from evalkit.analysis.rankings import Leaderboard, View
from evalkit.report.front_page import OPTIONAL_COLUMNS
from evalkit.report.pages import ColumnHead, RowHead, SourceHead


def leaderboard_data(
    board: Leaderboard,
    rows: Sequence[RowHead],
    columns: Sequence[ColumnHead],
    sources: Sequence[SourceHead],
) -> dict[str, object]:
    """What the scripts need; pairs and views are made when they are written, one after the other.

    Args:
        board: the numbers.
        rows: the heads, per model configuration.
        columns: the heads, per corpus.
        sources: of the corpora.
    """
    views = board.views_by_corpora
    near_only = {"num_neighbors": NUM_NEIGHBORS} if board.is_near_only else {}
    number_of = {id(view): number for number, view in enumerate(views.values())}
    return {
        **near_only,
        "configurations": [dataclasses.asdict(row) for row in rows],
        "corpora": [dataclasses.asdict(column) for column in columns],
        "sources": [source._asdict() for source in sources],
        "aggregates": {kind: aggregate.title for kind, aggregate in AGGREGATES.items()},
        "headline": HEADLINE,
        "default_month": board.default.month,
        "optional_columns": [column._asdict() for column in OPTIONAL_COLUMNS],
        "levels": [_levels(levels) for levels in board.levels],
        "in_part": [sorted(corpus.part_cells) for corpus in board.results.corpora],
        "pairs": (_nested(pairs) for pairs in board.pairs),
        "choices": [[*choice, number_of[id(view)]] for choice, view in board.views.items()],
        "views": ({"policy": policy, **_view(view)} for (policy, _), view in views.items()),
    }


def _view(view: View) -> dict[str, object]:
    return {
        "corpora": view.corpora,
        "aggregates": {
            kind: {
                "levels": _levels(view.levels[kind]),
                # Of a single corpus: the corpus's own pairs.
                "pairs": _nested(view.pairs[kind]) if len(view.corpora) > 1 else None,
                "partial": {str(index): list(part.level) for index, part in view.partial[kind].items()},
            }
            for kind in AGGREGATES
        },
    }


def _levels(levels: Mapping[int, Estimate]) -> dict[str, list[float | None]]:
    return {str(index): list(level) for index, level in levels.items()}


def _nested(pairs: Pairs) -> dict[str, dict[str, list[float | None]]]:
    nested: dict[str, dict[str, list[float | None]]] = {}
    for (first, second), gap in pairs.items():
        nested.setdefault(str(first), {})[str(second)] = list(gap)
    return nested
