"""A Ray cluster on this machine, which takes more CPU than a test should: `make ray` starts it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.runner import parts
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.object_stores import s3_server, stored
from tests.support.ray_killers import Killer, processes_of_ray
from tests.support.toys import corpus_of, numbers

pytestmark = [
    pytest.mark.skipif("EVALKIT_TEST_RAY" not in os.environ, reason="`make ray` starts it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
CORPUS = corpus_of([f"text {number}: " + "abc def " * (7 * number % 90) for number in range(120)])
MODELS = ("rwkv7-nano", "llama-nano")
MACHINES = ("first", "second")


class MachineKiller(Killer):
    """Kills one of a cluster's machines, with all that runs there."""

    def __init__(self, cluster: Any, machine: Any) -> None:
        super().__init__()
        self.cluster, self.machine = cluster, machine

    def kill(self) -> None:
        self.cluster.remove_node(self.machine, allow_graceful=False)


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


@contextlib.contextmanager
def two_machines(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """Ray's own way to have several on one: each with processes, resources, and here a cache of its own.

    Yields:
        The cluster, and its second machine.
    """
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        machines = [
            cluster.add_node(
                num_cpus=1,
                include_dashboard=False,
                env_vars={"EVALKIT_CACHE": str(tmp_path / name)},
            )
            for name in MACHINES
        ]
        cluster.wait_for_nodes()
        yield cluster, machines[1]
    finally:
        cluster.shutdown()


def test_of_two_machines_one_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with two_machines(tmp_path) as (cluster, machine):
        killer = MachineKiller(cluster, machine)
        options = RunOptions(
            output=tmp_path / "ray",
            engine="ray",
            address=cluster.address,
            processes=2,
            reporter=killer,
            checkpoint_s=0,
        )
        result = run(MODELS, [CORPUS], options=options)
    assert (result.num_scored, result.failures, killer.num_killed) == (2, (), 1)
    assert sum("was lost" in line and "another goes on there" in line for line in killer.lines) == 1
    assert run(MODELS, [CORPUS], options=RunOptions(output=tmp_path / "local")).num_scored == 2
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "local")
    assert not [path for path in (tmp_path / "ray").rglob(".*") if path.name != "."]


def test_two_machines_that_share_nothing_but_a_bucket_finish_a_cell_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(parts, "LEAST_PART_BYTES", 4000)
    killer = Killer()
    with s3_server(monkeypatch) as url, two_machines(tmp_path) as (cluster, _):
        options = RunOptions(
            output=url, engine="ray", address=cluster.address, processes=2, reporter=killer, checkpoint_s=0
        )
        result = run(MODELS[:1], [CORPUS], options=options)
        assert (result.num_scored, result.failures, killer.num_killed) == (1, (), 1)
        assert any("part " in line and "another goes on there" in line for line in killer.lines)
        assert [name.rpartition(".")[2] for name in stored(url)] == ["json", "parquet"]
        assert all((tmp_path / name / "remote").is_dir() for name in MACHINES)
        assert run(MODELS[:1], [CORPUS], options=RunOptions(output=tmp_path / "local")).num_scored == 1
        assert numbers(options.folder) == numbers(tmp_path / "local")
