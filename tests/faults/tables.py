"""The tables of what was tried and what came of it, in the documentation."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.attacks import ATTACKS, Tally
from tests.faults.fuzzing import Fuzzed
from tests.faults.victims import ROOT

PAGE = ROOT / "docs" / "security.md"
ATTACK_COLUMNS = ("attack", "what it does", "commands", "tries", "felt", "findings")
COMMAND_COLUMNS = ("command", "tries", "felt", "findings")
READER_COLUMNS = ("files", "tries, hypothesis", "tries, coverage-guided", "seconds", "findings")


class ReaderRow(NamedTuple):
    """A reader under both fuzzers."""

    reader: str
    by_hypothesis: Fuzzed
    by_coverage: Fuzzed
    seconds: int

    @property
    def findings(self) -> tuple[str, ...]:
        """Of both."""
        return self.by_hypothesis.findings + self.by_coverage.findings


def attack_tables(tallies: Sequence[Tally]) -> str:
    """Tries by attack and by command."""
    by_attack = [
        (attack.name, attack.text, len(chosen), *_sums(chosen))
        for attack in ATTACKS
        if (chosen := [tally for tally in tallies if tally.attack == attack.name])
    ]
    commands = list(dict.fromkeys(tally.workload for tally in tallies))
    by_command = [
        (f"`{name}`", *_sums([tally for tally in tallies if tally.workload == name])) for name in commands
    ]
    return f"{_table(ATTACK_COLUMNS, by_attack)}\n{_table(COMMAND_COLUMNS, by_command)}"


def _sums(tallies: Iterable[Tally]) -> tuple[int, int, int]:
    chosen = list(tallies)
    return (
        sum(tally.num_tries for tally in chosen),
        sum(tally.num_struck for tally in chosen),
        sum(len(tally.findings) for tally in chosen),
    )


def reader_table(rows: Sequence[ReaderRow]) -> str:
    """Tries by reader."""
    return _table(
        READER_COLUMNS,
        [
            (
                row.reader,
                row.by_hypothesis.num_tries,
                row.by_coverage.num_tries,
                row.seconds,
                len(row.findings),
            )
            for row in rows
        ],
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    rule = ["---" if name in ("attack", "what it does", "command", "files") else "--:" for name in columns]
    cells = [
        columns,
        rule,
        *([f"{value:,}" if isinstance(value, int) else value for value in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in cells)


def write(name: str, table: str, page: Path = PAGE, *, by: str = "tests.faults") -> None:
    """Put a table in its place in the page, with the day; ``by``: the program that writes it."""
    day = dt.datetime.now(dt.UTC).date().isoformat()
    text = page.read_text(encoding="utf-8")
    begin, end = _marks(name, by)
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    assert pattern.search(text), f"{page} has no place for {name}"
    page.write_text(
        pattern.sub(lambda _: f"{begin}\n\nRun on {day}.\n\n{table}\n{end}", text), encoding="utf-8"
    )


def _marks(name: str, by: str) -> tuple[str, str]:
    return f"<!-- {name}: written by python -m {by} -->", f"<!-- end of {name} -->"


def read(name: str, page: Path = PAGE, *, by: str = "tests.faults") -> list[Mapping[str, str]]:
    """The rows of the tables in that place, by column."""
    begin, end = _marks(name, by)
    part = page.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    rows: list[Mapping[str, str]] = []
    columns: list[str] = []
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            columns = []
        elif not columns:
            columns = cells
        elif not set(cells[0]) <= {"-", ":"}:
            rows.append(dict(zip(columns, cells, strict=True)))
    return rows
