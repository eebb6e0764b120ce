"""Runs whose cells go to an object store: a real S3 server on loopback, and fsspec's store in memory."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from evalkit.analysis.results import read_results
from evalkit.errors import UsageError
from evalkit.files import cache_dir
from evalkit.runner import remote
from evalkit.runner.claims import process_of
from evalkit.runner.corpora import run
from evalkit.runner.folder_status import folder_status
from evalkit.runner.journal import RUN_SUFFIX, Journal
from evalkit.runner.options import RunOptions
from evalkit.runner.ranking import RunResult
from evalkit.runner.remote import RemoteFolder, remote_folder
from evalkit.runner.reporter import Silent
from tests.support.object_stores import memory_store, s3_server, stored
from tests.support.toys import BigramModel, corpus_of, numbers
from tests.support.upload_hub import TOKEN, UploadHub, serve

CORPUS = corpus_of([f"text {number}: " + "abc " * (3 * number % 17) for number in range(12)])
OTHER = corpus_of(["another text", "and one more"], "other")


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def memory() -> Iterator[str]:
    with memory_store() as url:
        yield url


def forget(url: str) -> None:
    """From now on this is another machine."""
    shutil.rmtree(remote_folder(url).folder, ignore_errors=True)
    remote_folder.cache_clear()


def score(url: str, names: tuple[str, ...] = ("bigram",), **fields: Any) -> RunResult:
    return run(
        [BigramModel(name) for name in names], [CORPUS, OTHER], options=RunOptions(output=url, **fields)
    )


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server(monkeypatch) as url:
        yield url


@pytest.mark.filterwarnings("ignore")  # of botocore and the server
def test_cells_go_to_s3_and_are_taken_up_from_there(bucket: str, tmp_path: Path) -> None:
    """In processes of their own: no client of the store is at work in them."""
    first = score(bucket, ("bigram",), processes=1)
    assert (first.num_scored, first.failures) == (2, ())
    score(str(tmp_path), ("bigram",))
    assert numbers(remote_folder(bucket).folder) == numbers(tmp_path)
    cells = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("[!.]*.*")]
    assert stored(bucket) == sorted(cells)  # and no claim
    forget(bucket)
    again = score(bucket, ("bigram",), processes=1)
    assert (again.num_scored, len(again.cells)) == (0, 2)
    assert numbers(remote_folder(bucket).folder) == numbers(tmp_path)
    warnings: list[str] = []
    read = read_results(bucket, warn=warnings.append)
    assert numbers(read.folder) == numbers(tmp_path)
    assert read_results(bucket, warn=pytest.fail).folder == read.folder
    assert (folder_status(bucket), len(warnings)) == ((2, []), 1)
    ours, theirs = remote_folder(bucket), RemoteFolder(bucket)
    assert ours.claim(again.cells[0].path)
    assert not theirs.claim(again.cells[0].path)
    ours.release_all(warn=pytest.fail)
    assert theirs.claim(again.cells[0].path)
    theirs.release_all(warn=pytest.fail)
    assert stored(bucket) == sorted(cells)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    with serve() as server:
        server.datasets["me/results"] = [("0" * 40, {})]
        at = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", at)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
    remote_folder.cache_clear()


def test_cells_go_to_a_dataset_repository_and_are_taken_up_from_there(hub: UploadHub, tmp_path: Path) -> None:
    """By the hub's own client, which remembers what a folder held unless it is told to look again."""
    url = "hf://datasets/me/results/runs"
    first = score(url)
    assert (first.num_scored, first.failures) == (2, ())
    score(str(tmp_path))
    assert numbers(remote_folder(url).folder) == numbers(tmp_path)
    cells = {f"runs/{path.relative_to(tmp_path).as_posix()}" for path in tmp_path.rglob("[!.]*.*")}
    assert set(hub.files("me/results")) == cells
    [cell, _] = first.cells
    theirs = RemoteFolder(url)
    theirs.fetch(cell.path, again=True)
    files = {name: data for name, data in hub.files("me/results").items() if cell.path.stem not in name}
    hub.datasets["me/results"].append(("1" * 40, files))  # somebody removes a cell
    theirs.fetch(cell.path, again=True)
    assert not cell.path.exists()
    forget(url)
    again = score(url)
    assert (again.num_scored, len(again.cells), set(hub.files("me/results"))) == (1, 2, cells)
    assert numbers(read_results(url, warn=lambda _: None).folder) == numbers(tmp_path)
    assert folder_status(url) == (2, [])


def test_a_bucket_out_of_reach_is_told_before_anything_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"cannot open nowhere://x: .*pip install 'evalkit-bpb\[s3\]'"):
        score("nowhere://x")
    monkeypatch.setattr(
        "fsspec.implementations.memory.MemoryFileSystem.find",
        lambda *_, **__: (_ for _ in ()).throw(PermissionError("no such key\nmore")),
    )
    with pytest.raises(
        UsageError, match=r"cannot read or write memory://y \(no such key\); check the address"
    ):
        score("memory://y")
    remote_folder.cache_clear()


def test_one_listing_finds_what_is_there(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    score(memory, ("a", "b", "c"))
    forget(memory)
    requests: list[str] = []
    files = type(fsspec.filesystem("memory"))
    for name in ("find", "get_file", "cat_file", "pipe_file"):
        method = getattr(files, name)

        def counted(self: Any, *arguments: Any, name: str = name, method: Any = method, **named: Any) -> Any:
            requests.append(name)
            return method(self, *arguments, **named)

        monkeypatch.setattr(files, name, counted)
    assert len(score(memory, ("a", "b", "c"), dry_run=True).cells) == 6
    assert requests == ["find", *["get_file"] * 12]
    assert len(score(memory, ("a", "b", "c")).cells) == 6
    assert requests == ["find", *["get_file"] * 12]


def test_what_was_removed_there_is_scored_again_and_what_was_not_stored_is_stored(memory: str) -> None:
    files = fsspec.filesystem("memory")
    [cell, _] = score(memory).cells
    key = f"bucket/runs/{cell.path.relative_to(remote_folder(memory).folder)}"
    files.rm_file(f"/{key}")
    remote_folder.cache_clear()
    assert score(memory).num_scored == 1
    assert files.exists(f"/{key}")
    before = files.cat_file(f"/{key}")
    (cell.path.parent / ".evalkit.synced").unlink()
    files.rm_file(f"/{key}")
    remote_folder.cache_clear()
    assert score(memory).num_scored == 0
    assert files.cat_file(f"/{key}") == before


def test_what_is_damaged_there_is_replaced(memory: str) -> None:
    files = fsspec.filesystem("memory")
    [cell, _] = score(memory).cells
    key = f"/bucket/runs/{cell.path.relative_to(remote_folder(memory).folder)}"
    whole = json.loads(files.cat_file(key))
    files.pipe_file(key, b'{"sha256": "no"}')
    forget(memory)
    assert score(memory).num_scored == 1
    assert json.loads(files.cat_file(key))["totals"] == whole["totals"]


def test_another_machine_is_kept_from_what_is_being_scored(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = remote_folder(memory), RemoteFolder(memory)
    cell = folder.folder / "corpus" / "bigram" / "0.json"
    assert folder.claim(cell)
    assert folder.claim(cell)  # it is ours
    assert not elsewhere.claim(cell)
    assert elsewhere.is_refused(cell)
    key = elsewhere.key(remote.claim_path(cell))
    files = fsspec.filesystem("memory")
    gone = {**process_of(1), "started": "0", "token": "x"}
    files.pipe_file(key, json.dumps(gone).encode())
    assert elsewhere.claim(cell)  # its process has gone
    files.pipe_file(key, json.dumps({**gone, "host": "another"}).encode())
    third = RemoteFolder(memory)
    assert not third.claim(cell)
    monkeypatch.setattr(remote, "STALE_S", -1.0)
    assert third.claim(cell)


@pytest.mark.parametrize("processes", [0, 1])
def test_claims_are_touched_while_a_model_is_at_work(
    memory: str, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """Also of later cells, and where all happens in one process; a store that fails then costs no cell."""
    monkeypatch.setattr(remote, "HEARTBEAT_S", 0.0)
    files = type(fsspec.filesystem("memory"))
    pipe_file, touched = files.pipe_file, []

    def failing(self: Any, path: str, value: bytes, **named: Any) -> None:
        if "claim" in path and "mode" not in named:
            touched.append(path)
            raise ConnectionResetError("no route")
        pipe_file(self, path, value, **named)

    monkeypatch.setattr(files, "pipe_file", failing)
    reporter = Lines()
    result = score(memory, processes=processes, reporter=reporter)
    assert (result.num_scored, result.failures, len(set(touched))) == (2, (), 2)
    assert [line for line in reporter.lines if "claim" in line] == [
        f"a claim in {memory} cannot be touched or removed (no route); going on: other runs wait up to "
        "5 minutes for its cell, or score it too"
    ]


def test_how_far_a_run_is_is_seen_from_another_machine(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remote_of_run, reporter = remote_folder(memory), Lines()
    dead = Journal(reporter, remote_of_run.folder, remote=remote_of_run)
    dead.begin(9, 0)
    files = fsspec.filesystem("memory")
    [name] = [name for name in stored(memory) if name.endswith(RUN_SUFFIX)]
    key = f"/bucket/runs/{name}"
    elsewhere = json.loads(files.cat_file(key)) | {"host": "elsewhere", "started": "2026-01-01"}
    files.pipe_file(key, json.dumps(elsewhere).encode())
    forget(memory)
    journal = Journal(reporter, remote_folder(memory).folder, remote=remote_folder(memory))
    journal.begin(3, 1)
    assert [(run.num_left, run.is_alive) for run in folder_status(memory).runs] == [(9, None), (2, True)]
    monkeypatch.setattr(remote, "STALE_S", -1.0)
    journal.begin(1, 0)  # of its tasks: what is unheard of goes
    assert [run.num_left for run in folder_status(memory).runs] == [2]  # written every half minute
    journal.end()
    assert folder_status(memory) == (0, [])
    assert reporter.lines == []


def test_a_cell_that_cannot_be_stored_fails_and_is_kept(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "_store", lambda *_: (_ for _ in ()).throw(OSError("no space there")))
        failures = score(memory).failures
    assert [failure.reason for failure in failures] == [
        f"finished, and cannot be stored in {memory} (no space there); the next run stores it"
    ] * 2
    result = score(memory)
    assert (result.num_scored, result.failures) == (0, ())
    assert sum(name.endswith(".json") for name in stored(memory)) == 2
    assert cache_dir() in remote_folder(memory).folder.parents
