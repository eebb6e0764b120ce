"""The tables in the documentation are those of the attacks, commands and readers that there are."""

from collections import defaultdict
from pathlib import Path

import pytest

from tests.faults import tables
from tests.faults.attacks import ATTACKS, Tally
from tests.faults.fuzzing import Fuzzed, with_coverage, with_hypothesis
from tests.faults.readers import READER, READERS
from tests.faults.workloads import BY_NAME

LEAST_KILLS = 200
LEAST_SECONDS = 10
"""Of coverage-guided fuzzing of each reader."""


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_attacks_in_the_documentation_are_these() -> None:
    rows = tables.read("attacks")
    by_attack = {row["attack"]: row for row in rows if "attack" in row}
    assert list(by_attack) == [attack.name for attack in ATTACKS]
    assert [row["what it does"] for row in by_attack.values()] == [attack.text for attack in ATTACKS]
    assert [number(row["commands"]) for row in by_attack.values()] == [
        len(attack.workloads) for attack in ATTACKS
    ]
    assert number(by_attack["kill -9"]["tries"]) >= LEAST_KILLS
    by_command = {row["command"].strip("`"): row for row in rows if "command" in row}
    assert by_command.keys() == BY_NAME.keys()
    for part in (by_attack, by_command):
        assert {number(row["findings"]) for row in part.values()} == {0}
        assert all(number(row["felt"]) <= number(row["tries"]) for row in part.values())
    assert sum(number(row["tries"]) for row in by_attack.values()) == sum(
        number(row["tries"]) for row in by_command.values()
    )


def test_the_readers_in_the_documentation_are_these() -> None:
    rows = tables.read("readers")
    assert [row["files"] for row in rows] == [reader.name for reader in READERS]
    for row in rows:
        assert number(row["tries, hypothesis"]) >= 100
        assert number(row["tries, coverage-guided"]) >= 20
        assert number(row["seconds"]) >= LEAST_SECONDS
        assert number(row["findings"]) == 0


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- attacks: written by python -m tests.faults -->\nold\n<!-- end of attacks -->\nafter\n"
    )
    tallies = [
        Tally("kill -9", "run", 1200, 1100, ()),
        Tally("kill -9", "report", 5, 5, ("lost a cell", "stray file")),
        Tally("read-only", "run", 1, 1, ()),
    ]
    tables.write("attacks", tables.attack_tables(tallies), page)
    tables.write("attacks", tables.attack_tables(tallies), page)  # over itself
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    columns: dict[str, list[str]] = defaultdict(list)
    for row in tables.read("attacks", page):
        for name, value in row.items():
            columns[name].append(value)
    assert columns["attack"] == ["kill -9", "read-only"] and columns["command"] == ["`run`", "`report`"]
    assert columns["tries"] == ["1,205", "1", "1,201", "5"]
    assert columns["felt"] == ["1,105", "1", "1,101", "5"]
    assert columns["findings"] == ["2", "0", "0", "2"]


def test_both_fuzzers_find_what_is_there(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    row = tables.ReaderRow("JSON", Fuzzed(3, ("a",)), Fuzzed(4, ("b", "c")), 5)
    assert "| JSON | 3 | 4 | 5 | 3 |" in tables.reader_table([row])

    def read(folder: Path) -> None:
        if b"\0" in (folder / "texts.json").read_bytes():
            raise KeyError("a zero")

    found = with_hypothesis(READER["JSON"]._replace(read=read), tmp_path, 100)
    assert found.num_tries >= 100 and found.findings[0].startswith("KeyError: 'a zero'")
    guided = with_coverage(READER["evalkit.toml"], num_tries=200)
    assert guided.num_tries >= 200 and guided.findings == ()
