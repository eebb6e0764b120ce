"""The short form of the faults on purpose: a try or two of every attack, the same ones each time."""

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.__main__ import laboratory
from tests.faults.attacks import ATTACKS, Laboratory, complaints, damaged, last_line, tally
from tests.faults.injection import Fault
from tests.faults.victims import Ending
from tests.faults.workloads import BY_NAME, differences, state

SHORT = {
    "kill -9": ["run", "corpora import", "probe train", "leaderboard crawl", "leaderboard commit"],
    "killed by the clock": ["corpora import"],
    "torn write": ["run", "leaderboard score"],
    "disk full, writing": ["corpora import", "leaderboard publish"],
    "disk full, creating": ["corpora import"],
    "read-only": ["leaderboard publish"],
    "out of memory": ["corpora import"],
    "clock backwards": ["run"],
    "clock stopped": ["probe train"],
    "two writers": ["run"],
    "five writers": ["corpora import"],
    "corrupt cell": ["run"],
    "corrupt corpus": ["leaderboard score"],
    "corrupt input": ["corpora import"],
}


@pytest.mark.slow
def test_commands_that_are_struck_leave_what_undisturbed_ones_leave() -> None:
    attacks = {attack.name: attack for attack in ATTACKS}
    assert attacks.keys() - SHORT.keys() == {
        "corrupt weights",
        "hub fails",
        "truncated download",
    }  # seconds each
    with laboratory() as place:
        done = [
            tally(place, attacks[name], BY_NAME[command], 1, seed=1)
            for name, commands in SHORT.items()
            for command in commands
        ]
        _see_that_what_is_wrong_is_seen(place)
    assert {(one.attack, one.workload): one.findings for one in done if one.findings} == {}
    struck = {one.attack for one in done if one.num_struck}
    assert struck >= {"kill -9", "torn write", "disk full, writing", "disk full, creating", "read-only"}


def _see_that_what_is_wrong_is_seen(place: Laboratory) -> None:
    """A judge that sees nothing would find everything in order."""
    workload = BY_NAME["run"]
    reference = place.reference(workload)
    folder = place.copy(workload)
    ending = place.victims.run(workload.words, folder, Fault("kill at change", 3))
    assert ending.code == -9
    assert [line for line in differences(reference.after, state(folder)) if line.startswith("lost runs/")]
    assert place.again(workload, folder) == []
    [cell, *_] = sorted(folder.glob("runs/*/*/*.json"))
    shutil.copy(cell, cell.with_name("stray.json"))
    cell.write_text(cell.read_text().replace("0", "1", 1))
    named = [line.split("/")[0] for line in differences(reference.after, state(folder))]
    assert sorted(named) == ["another runs", "stray runs"]


def test_what_a_command_must_not_say() -> None:
    def said(code: int | None, text: str) -> list[str]:
        return complaints(Ending(code, text, 0, 0))

    assert said(1, "evalkit: texts.jsonl: no documents in it\n") == []
    assert said(0, "") == said(-9, "") == []
    assert said(None, "") == ["hangs"]
    assert said(1, "") == ["ends with 1 and without a word"]
    assert said(1, "Traceback (most recent call last)\nKeyError: 1")[0].startswith("says Traceback: KeyError")
    assert said(1, "evalkit: unexpected KeyError: 'x'")[0].startswith("says unexpected KeyError")
    assert last_line(Ending(1, "one\ntwo\n", 0, 0)) == "two"


def test_damage_is_never_what_was_there(tmp_path: Path) -> None:
    dice = random.Random(5)
    data = bytes(range(256)) * 4
    assert all(damaged(data, dice) != data for _ in range(200))
