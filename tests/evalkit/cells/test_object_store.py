"""Commands that read cells, on folders of an object store: fsspec's in memory; S3's is in test_remote."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from evalkit.analysis.results import read_results
from evalkit.cells.object_store import copied_folder
from evalkit.errors import UsageError
from evalkit.files import cache_dir
from tests.support.cells import corpus_content, task_content, write_cell_files
from tests.support.toys import run_cli

URL = "memory://bucket/runs"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """The store, with two cells and what is none of any cell; the cells lie in ``local`` as well."""
    write_cell_files(tmp_path / "local/toy/rwkv7/cell.json", corpus_content())
    write_cell_files(tmp_path / "local/tasks/s3/rwkv7/cell.json", task_content())
    files = fsspec.filesystem("memory")
    files.put(str(tmp_path / "local"), "/bucket/runs", recursive=True)
    for name in ("toy/rwkv7/large.parquet", "data.csv", "../../evil.json", "toy/.claim.json"):
        files.pipe_file(f"/bucket/runs/{name}", b"{}")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read from the store since this list was cleared."""
    names: list[str] = []
    files = type(fsspec.filesystem("memory"))
    for method_name in ("get_file", "cat_file", "open"):
        method = getattr(files, method_name)

        def counted(self: Any, path: str, *arguments: Any, method: Any = method, **named: Any) -> Any:
            names.append(path.removeprefix("/bucket/runs/"))
            return method(self, path, *arguments, **named)

        monkeypatch.setattr(files, method_name, counted)
    return names


def test_cells_of_a_store_are_fetched_once_and_read_as_those_of_a_folder(
    store: Any, fetched: list[str], tmp_path: Path
) -> None:
    outcome, local = run_cli("table", URL, "--json"), run_cli("table", tmp_path / "local", "--json")
    assert (outcome.exit_code, outcome.stdout) == (0, local.stdout)
    assert "memory://bucket/runs: fetching 4 files (0.0 MB)" in outcome.stderr
    cells = ["tasks/s3/rwkv7/cell.parquet", "tasks/s3/rwkv7/cell.json"]
    cells += ["toy/rwkv7/cell.parquet", "toy/rwkv7/cell.json"]
    assert list(dict.fromkeys(fetched)) == cells
    fetched.clear()
    assert "fetching" not in run_cli("table", f"{URL}/", "--json").stderr
    assert fetched == []
    copies = [path.name for path in cache_dir().rglob("*.*") if path.is_file()]
    assert not {"evil.json", "large.parquet", ".claim.json", "data.csv"} & set(copies)


def test_a_copy_follows_what_is_replaced_and_removed_in_the_store(store: Any, fetched: list[str]) -> None:
    read_results(URL, warn=lambda _: None)
    changed = {**corpus_content(), "seconds": 2.5, "created": "2026-11-21T12:34:56+00:00"}
    path = copied_folder(URL, tell=pytest.fail) / "toy/rwkv7/cell.json"
    whole = path.read_bytes()
    write_cell_files(path, changed)
    store.put_file(str(path), "/bucket/runs/toy/rwkv7/cell.json")
    path.write_bytes(whole)
    store.rm("/bucket/runs/tasks", recursive=True)
    fetched.clear()
    results = read_results(URL, warn=lambda _: None)
    assert fetched[0] == "toy/rwkv7/cell.json"
    assert [cell.created for cell in results.cells] == [changed["created"]]
    assert results.probes == ()
    (results.folder / ".evalkit.copied").write_text("[]")  # nothing is known of what lies there
    stray = results.folder / "toy" / "rwkv7" / "gone.json"
    stray.write_text("{}")
    assert len(read_results(URL, warn=lambda _: None).cells) == 1
    assert not stray.exists()


def test_status_fetches_no_cell(store: Any, fetched: list[str]) -> None:
    run = {"host": "elsewhere", "pid": 7, "process_started": "1", "num_cells": 5, "num_done": 2}
    times = {"started": "2026-11-30T10:00:00+00:00", "updated": "2026-11-30T10:05:00+00:00"}
    status = {**run, **times, "num_scored": 1, "failures": [], "current": []}
    store.pipe_file("/bucket/runs/.0.evalkit.run", json.dumps(status).encode())
    fetched.clear()
    outcome = run_cli("status", URL)
    assert outcome.exit_code == 0
    assert set(fetched) == {".0.evalkit.run"}
    assert "2 cells in memory://bucket/runs" in outcome.stdout
    assert "last heard of 2026-11-30T10:05:00+00:00: 3 of 5 cells done, 1 by it, 0 failed, 2 to go" in (
        outcome.stdout
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "runs", "--output", "s3://bucket/site"),
        ("plot", "leaderboard", "runs", "--output", "s3://bucket/plot.svg"),
        ("export", "runs", "--format", "csv", "--output", "s3://bucket/cells.csv"),
        ("leaderboard", "init", "s3://bucket/board", "--contact", "operator@bits-per-byte.org"),
        ("compare", "s3://bucket/a.json", "b.json"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_makes_no_sense_in_a_store_is_refused_in_one_line(arguments: tuple[str, ...]) -> None:
    outcome = run_cli(*arguments)
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    assert "of this machine" in outcome.stderr or "on this machine" in outcome.stderr
    assert not Path("s3:").exists()


def test_an_empty_store_and_one_out_of_reach_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="memory://empty holds no whole cell"):
        read_results("memory://empty", warn=pytest.fail)
    with pytest.raises(UsageError, match=r"cannot open nowhere://x: .*; for s3://"):
        read_results("nowhere://x", warn=pytest.fail)
