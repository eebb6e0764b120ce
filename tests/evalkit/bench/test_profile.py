"""`evalkit bench profile`: every moment belongs to one part."""

import json
from types import SimpleNamespace

import pytest

from evalkit.bench.profile_child import BETWEEN, HEAD, IMPORTS, PARTS, PRODUCTS, WEIGHTS, WRITING
from evalkit.bench.stopwatch import Stopwatch
from tests.support.commands import run_cli


def test_the_innermost_part_has_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"wall": 100.0, "cpu": 7.0}

    def work(seconds: float) -> float:
        now["wall"] += seconds
        now["cpu"] += seconds / 2
        return 2 * seconds

    clock = SimpleNamespace(perf_counter=lambda: now["wall"], process_time=lambda: now["cpu"])
    monkeypatch.setattr("evalkit.bench.stopwatch.time", clock)
    watch = Stopwatch("all")
    inner = watch.timed("inner", work)
    work(1)
    with watch.during("outer"):
        work(2)
        assert inner(4) == 8
        assert watch.part == "outer"
        work(8)
        with pytest.raises(TypeError):
            inner("no number")  # type: ignore[arg-type]
    work(16)
    watch.settle()
    assert watch.wall_s == {"all": 17, "outer": 10, "inner": 4}
    assert watch.cpu_s == {"all": 8.5, "outer": 5, "inner": 2}


def test_a_whole_run_is_taken_apart() -> None:
    outcome = run_cli("bench", "profile", "--models", "rwkv7-nano", "--limit", "1", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    assert 0 < report["imports_cpu_s"] < 1000
    [row] = report["rows"]
    assert set(row["cpu_s"]) <= set(PARTS)
    for part in (IMPORTS, WEIGHTS, PRODUCTS, HEAD, BETWEEN, WRITING):
        assert row["cpu_s"][part] > 0, part
