"""What others have published, on a page of its own, and on the board what was scored here of the same."""

from typing import NamedTuple

from evalkit.analysis.published import DECIMALS, ComparedRow, PublishedTable, Unit, compare, published_tables
from evalkit.report.pages import Pages
from evalkit.report.text import number, signed


class ShownRow(NamedTuple):
    """A row of a published table, or one of ours below it."""

    label: str
    kind: str
    """``published``, ``ours`` or ``difference``."""
    values: list[str]


class ShownTable(NamedTuple):
    """A published table, as a page shows it."""

    key: str
    title: str
    source: str
    unit: Unit
    policy: str | None
    note: str | None
    columns: list[str]
    rows: list[ShownRow]


def all_tables(pages: Pages) -> list[ShownTable]:
    """Every table with ours below each row that was scored here, too."""
    return [_shown(table, rows) for table, rows in _compared(pages)]


def scored_here(pages: Pages) -> list[ShownTable]:
    """The same, of the rows that were scored here; tables without any are left out."""
    tables = [(table, [row for row in rows if row.ours]) for table, rows in _compared(pages)]
    return [_shown(table, rows) for table, rows in tables if rows]


def _compared(pages: Pages) -> list[tuple[PublishedTable, list[ComparedRow]]]:
    return [(table, compare(table, pages.board.results, pages.catalog)) for table in published_tables()]


def _shown(table: PublishedTable, rows: list[ComparedRow]) -> ShownTable:
    places = DECIMALS[table.unit]
    shown = []
    for row in rows:
        values = ["–" if value is None else number(value, places) for value in row.published.values]
        shown.append(ShownRow(row.published.name, "published", values))
        for ours in row.ours:
            values = ["–" if value is None else number(value, places) for value in ours.values]
            gaps = ["–" if gap is None else signed(gap, places) for gap in ours.differences]
            shown += [ShownRow(ours.label, "ours", values), ShownRow("difference", "difference", gaps)]
    return ShownTable(
        table.key,
        table.title,
        table.source,
        table.unit,
        table.policy,
        table.note,
        list(table.columns),
        shown,
    )
