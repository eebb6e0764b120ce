"""`evalkit bench profile`: every moment belongs to one part."""

import json

from evalkit.bench.profile_child import BETWEEN, HEAD, IMPORTS, PARTS, PRODUCTS, WEIGHTS, WRITING
from evalkit.bench.stopwatch import Stopwatch
from tests.support.commands import run_cli


def test_the_innermost_part_has_the_time() -> None:
    watch = Stopwatch("all")
    double = watch.timed("inner", lambda number: 2 * sum(range(number)))
    with watch.during("outer"):
        assert double(1000) == 999_000
        assert watch.part == "outer"
    watch.settle()
    assert set(watch.wall_s) == set(watch.cpu_s) == {"all", "outer", "inner"}
    assert all(seconds >= 0 for seconds in (*watch.wall_s.values(), *watch.cpu_s.values()))


def test_a_whole_run_is_taken_apart() -> None:
    outcome = run_cli("bench", "profile", "--models", "rwkv7-nano", "--limit", "1", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    [row] = json.loads(outcome.stdout)["rows"]
    assert set(row["cpu_s"]) <= set(PARTS)
    for part in (IMPORTS, WEIGHTS, PRODUCTS, HEAD, BETWEEN, WRITING):
        assert row["cpu_s"][part] > 0, part
