"""A Ray cluster on this machine, which takes more CPU than a test should: `make ray` starts it."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from evalkit.runner import parts
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Silent
from tests.support.toys import corpus_of, numbers

pytestmark = [
    pytest.mark.skipif("EVALKIT_TEST_RAY" not in os.environ, reason="`make ray` starts it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
CORPUS = corpus_of([f"text {number}: " + "abc def " * (7 * number % 90) for number in range(120)])
MODELS = ("rwkv7-nano", "llama-nano")


class Killer(Silent):
    """Kills the process of a cell when its first documents are finished."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.num_killed = 0

    def message(self, text: str) -> None:
        self.lines.append(text)

    def advance(self, progress: object) -> None:
        if not self.num_killed:
            self.kill()
            self.num_killed += 1

    def kill(self) -> None:
        os.kill(min(processes_of_ray()), signal.SIGKILL)


class MachineKiller(Killer):
    """Kills one of a cluster's machines, with all that runs there."""

    def __init__(self, cluster: Any, machine: Any) -> None:
        super().__init__()
        self.cluster, self.machine = cluster, machine

    def kill(self) -> None:
        self.cluster.remove_node(self.machine, allow_graceful=False)


def processes_of_ray() -> list[int]:
    """Those that score, by what Ray lets them call themselves."""
    names = {path.parent.name: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")}
    return [int(pid) for pid, name in names.items() if name.startswith(b"ray::stream")]


def test_two_workers_of_which_one_is_killed_write_the_cells_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    killer = Killer()
    options = RunOptions(output=tmp_path / "ray", engine="ray", processes=2, reporter=killer, checkpoint_s=0)
    result = run(MODELS, [CORPUS], options=options)
    assert (result.num_scored, result.failures, killer.num_killed) == (2, (), 1)
    assert (
        sum(
            "its process was lost: it was killed or crashed; another goes on" in line for line in killer.lines
        )
        == 1
    )
    assert run(MODELS, [CORPUS], options=RunOptions(output=tmp_path / "local")).num_scored == 2
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "local")
    assert not [path for path in (tmp_path / "ray").rglob(".*") if path.name != "."]
    assert processes_of_ray() == []


def test_a_corpus_is_cut_into_parts_of_which_one_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(parts, "LEAST_PART_BYTES", 4000)
    killer = Killer()
    options = RunOptions(output=tmp_path / "ray", engine="ray", processes=2, reporter=killer, checkpoint_s=0)
    result = run(MODELS[:1], [CORPUS], options=options)
    assert (result.num_scored, result.failures, killer.num_killed) == (1, (), 1)
    assert any("part " in line and "another goes on there" in line for line in killer.lines)
    assert run(MODELS[:1], [CORPUS], options=RunOptions(output=tmp_path / "local")).num_scored == 1
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "local")
    assert not [path for path in (tmp_path / "ray").rglob(".*") if path.name != "."]


def test_of_two_machines_one_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own way to have several on one: each with processes, resources and a life of its own."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        killer = MachineKiller(cluster, cluster.add_node(num_cpus=1))
        cluster.wait_for_nodes()
        options = RunOptions(
            output=tmp_path / "ray",
            engine="ray",
            address=cluster.address,
            processes=2,
            reporter=killer,
            checkpoint_s=0,
        )
        result = run(MODELS, [CORPUS], options=options)
    finally:
        cluster.shutdown()
    assert (result.num_scored, result.failures, killer.num_killed) == (2, (), 1)
    assert sum("was lost" in line and "another goes on there" in line for line in killer.lines) == 1
    assert run(MODELS, [CORPUS], options=RunOptions(output=tmp_path / "local")).num_scored == 2
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "local")
    assert not [path for path in (tmp_path / "ray").rglob(".*") if path.name != "."]
