"""The leaderboard as the page has it without its script: everything under the default policy."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE
from evalkit.analysis.rankings import Choice, Counted, View
from evalkit.report.pages import ColumnHead, Pages, RowHead, SourceHead, TableCell
from evalkit.report.published_page import ShownTable, scored_here
from evalkit.report.shown import NUM_HEAT_STEPS, ShownEstimate, estimate, heat, part_text, rank_text
from evalkit.report.text import decimals

MAX_MONTHS = 12
"""Side by side, the newest first: a year."""


class BoardCell(NamedTuple):
    """A cell in a column of the leaderboard."""

    cell: TableCell
    heat: int
    """How far above the column's best, 0 to 4."""
    is_best: bool
    """Whether it is the column's best, or not told apart from it."""


class BoardRow(NamedTuple):
    """A row of the leaderboard."""

    head: RowHead
    rank: str
    mark: str
    """Behind rank and aggregates; see `evalkit.analysis.cutoff.MARKS`."""
    aggregates: Mapping[str, ShownEstimate | None]
    part: str
    """Over how many of the corpora the aggregates are, ``3 of 7``; empty: over all."""
    cells: Sequence[BoardCell | None]
    """Per column."""


class MonthRow(NamedTuple):
    """A model's headline aggregate, month by month."""

    head: RowHead
    levels: Sequence[ShownEstimate | None]
    marks: Sequence[str]
    parts: Sequence[str]
    """As `BoardRow.part`."""


class MonthTable(NamedTuple):
    """The months beside each other: of each what would count if it were the one that is shown."""

    months: Sequence[str]
    rows: Sequence[MonthRow]


class OptionalColumn(NamedTuple):
    """A column that readers can show and hide."""

    name: str
    """In links, and in the script."""
    heading: str
    is_shown: bool
    """Unless a reader hides it."""


OPTIONAL_COLUMNS = (
    OptionalColumn("size", "size", True),
    OptionalColumn("owner", "by", False),
    OptionalColumn("released", "released", False),
    OptionalColumn("cutoff", "cutoff", False),
    OptionalColumn("license", "licence", False),
)


class FrontPage(NamedTuple):
    """What the page says."""

    rows: list[BoardRow]
    columns: list[ColumnHead]
    counted: str
    """Which corpora count, and why."""
    elsewhere: list[ColumnHead]
    """Corpora on which no language model was scored under this policy."""
    aggregates: Mapping[str, str]
    """Headings by name."""
    policy: str
    month: str | None
    """The one that is shown; None: all."""
    updated: str | None
    """The day of the newest cell."""
    by_month: MonthTable | None
    optional_columns: Sequence[OptionalColumn]
    policies: Sequence[str]
    sources: list[SourceHead]
    languages: list[str]
    """Of the sources; empty where there is one alone."""
    months: list[str]
    licenses: list[str]
    num_models: int
    published: list[ShownTable]
    """What others have published of models that were scored here."""


def front_page(pages: Pages) -> FrontPage:
    """The page of the leaderboard."""
    board, results = pages.board, pages.results
    view, counted = board.views.get(board.default), board.counted(board.default)
    rows = _rows(pages, counted.view, view) if view and counted else []
    shown = counted.view.corpora if counted else ()
    everything = board.views.get(Choice(board.default.policy, None, None))
    scored = everything.corpora if everything else ()
    columns = pages.columns()
    languages = sorted({source.language for source in pages.sources} - {""})
    return FrontPage(
        rows=rows,
        columns=[column for column in columns if column.index in shown],
        counted=counted_words(counted) if counted else "",
        elsewhere=[column for column in columns if column.index not in scored],
        aggregates={kind: aggregate.title for kind, aggregate in AGGREGATES.items()},
        policy=board.default.policy,
        month=board.default.month,
        updated=max(
            (cell.created[:10] for corpus in results.corpora for cell in corpus.all_cells.values()),
            default=None,
        ),
        by_month=_by_month(pages, [row.head.index for row in rows]),
        optional_columns=OPTIONAL_COLUMNS,
        policies=results.policies,
        sources=pages.sources,
        languages=languages if len(languages) > 1 else [],
        months=sorted({corpus.month for corpus in results.corpora}),
        licenses=sorted({row.license for row in pages.rows() if row.license}),
        num_models=len({configuration.model for configuration in results.configurations}),
        published=scored_here(pages),
    )


def counted_words(counted: Counted) -> str:
    """Which corpora count unless a reader asks for all; ``static/leaderboard.js`` has the same words."""
    until = f"(cutoffs and releases until {counted.latest})"
    if counted.latest is None and counted.num_unknown:
        words = "Every corpus counts: of no model shown is it known when its training data end."
    elif counted.latest is None:
        words = "Every corpus counts: compressors have read nothing."
    elif not counted.num_newer:
        words = f"No corpus is newer than every model shown {until}, so every corpus counts: see the marks."
    elif counted.num_newer == counted.num_corpora:
        words = f"Every corpus is newer than every model shown {until}."
    else:
        words = (
            f"{counted.num_newer} of {counted.num_corpora} corpora count: those newer than every model shown "
            f"{until}."
        )
    if counted.latest is None or not counted.num_unknown:
        return words
    models = "1 model does" if counted.num_unknown == 1 else f"{counted.num_unknown} models do"
    return f"{words} {models} not decide this, for it is not known when their training data end: ?."


def _rows(pages: Pages, view: View, possible: View) -> list[BoardRow]:
    """The models that can be ranked from the lowest aggregate up, then those that lack a corpus.

    Args:
        pages: what the pages share.
        view: the corpora that count.
        possible: all corpora of the choice: whoever has a cell on one of them is in the table.
    """
    board, results = pages.board, pages.results
    policy = board.default.policy
    compared = [
        index
        for index, configuration in enumerate(results.configurations)
        if configuration.policy in (policy, None)
    ]
    ranked = view.order(HEADLINE)
    scored = set().union(*(results.corpora[corpus].all_cells for corpus in possible.corpora))
    unranked = [index for index in compared if index in scored and index not in ranked]
    ranks = view.ranks(HEADLINE, ranked)
    places = {kind: decimals(level.half_width for level in view.levels[kind].values()) for kind in AGGREGATES}
    best = {corpus: board.best(corpus, compared) for corpus in view.corpora}
    rows = []
    for index in [*ranked, *unranked]:
        aggregates = {kind: view.level(kind, index) for kind in AGGREGATES}
        headline = aggregates[HEADLINE]
        rows.append(
            BoardRow(
                head=pages.row(index),
                rank=rank_text(ranks.get(index)),
                mark=pages.mark(index, view.corpora) if headline else "",
                part=part_text(view, headline),
                aggregates={
                    kind: None if aggregate is None else estimate(aggregate.level, places[kind])
                    for kind, aggregate in aggregates.items()
                },
                cells=[_board_cell(pages, corpus, index, best[corpus]) for corpus in view.corpora],
            )
        )
    return rows


def _by_month(pages: Pages, first: Sequence[int]) -> MonthTable | None:
    """The headline aggregate of the newest months; None where there is one month only.

    Args:
        pages: what the pages share.
        first: the models of the board, in its order; those that it lacks come behind them.
    """
    views = {window.month: window.view for window in pages.windows[:MAX_MONTHS] if window.month is not None}
    if len(views) < 2:
        return None
    places = decimals(level.half_width for view in views.values() for level in view.levels[HEADLINE].values())
    scored = {index for view in views.values() for index in (*view.levels[HEADLINE], *view.partial[HEADLINE])}
    rows = []
    for index in [*first, *sorted(scored - set(first))]:
        levels = [view.level(HEADLINE, index) for view in views.values()]
        pairs = list(zip(views.values(), levels, strict=True))
        rows.append(
            MonthRow(
                pages.row(index),
                [level and estimate(level.level, places) for level in levels],
                [pages.mark(index, view.corpora) if level else "" for view, level in pairs],
                [part_text(view, level) for view, level in pairs],
            )
        )
    return MonthTable(list(views), rows)


def _board_cell(pages: Pages, corpus: int, configuration: int, best: set[int]) -> BoardCell | None:
    cell = pages.cell(corpus, configuration)
    if cell is None:
        return None
    whole = pages.results.corpora[corpus].cells
    levels = [pages.board.level(corpus, index).value for index in best if index in whole]
    # A level over other documents is not above or below the best, and has no tint.
    is_heated = bool(levels) and configuration in whole
    step = heat(cell.level.value, min(levels)) if is_heated else NUM_HEAT_STEPS - 1
    return BoardCell(cell, step, configuration in best)


def cell_links(pages: Pages) -> list[dict[str, list[str]]]:
    """For the scripts: per corpus, by configuration, the link, the marks and the title of every cell."""
    return [
        {
            str(configuration): [cell.href, cell.marks, cell.title]
            for configuration in corpus.all_cells
            if (cell := pages.cell(number, configuration)) is not None
        }
        for number, corpus in enumerate(pages.results.corpora)
    ]
