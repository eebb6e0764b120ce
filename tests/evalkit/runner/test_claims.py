import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.files import sweep
from evalkit.runner import claims, loop
from evalkit.runner.claims import STALE_S, claim_path, claimed, is_claimed
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.toys import BigramModel, cell_files, corpus_of

HERE = Path("folder/0123.json")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def forked(work: Callable[[], None]) -> int:
    """A process that does something and ends; it is not waited for to its very end, which a zombie is."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def write_claim(text: str, age_s: float) -> Path:
    path = claim_path(HERE)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    touched_s = path.stat().st_mtime - age_s
    os.utime(path, (touched_s, touched_s))
    return path


def test_a_claim_holds_while_its_block_runs_and_leaves_nothing() -> None:
    assert not is_claimed(HERE)
    with claimed(HERE) as is_ours:
        assert is_ours
        assert is_claimed(HERE)
        with claimed(HERE) as again:
            assert not again
        assert is_claimed(HERE)
    assert not is_claimed(HERE)
    assert list(HERE.parent.iterdir()) == []


def test_a_run_that_is_killed_while_it_claims_leaves_no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty claim, of which nobody knows whose it is, would hold others up for minutes."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lambda *_: os._exit(1))
        pid = forked(lambda: claimed(HERE).__enter__())
    assert not claim_path(HERE).exists() and len(list(HERE.parent.iterdir())) == 1
    sweep(HERE.parent)
    assert list(HERE.parent.iterdir()) == []
    os.waitpid(pid, 0)


def test_a_file_system_without_hard_links_has_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with claimed(HERE) as is_ours:
        assert is_ours and json.loads(claim_path(HERE).read_text())["pid"] == os.getpid()
        with claimed(HERE) as again:
            assert not again
    assert list(HERE.parent.iterdir()) == []


def test_the_claim_of_a_process_that_has_gone_is_nobodys() -> None:
    claim = claimed(HERE)

    def enter() -> None:
        claim.__enter__()

    pid = forked(enter)
    assert claim_path(HERE).is_file()
    assert not is_claimed(HERE)  # though the process is not even waited for
    with claimed(HERE) as is_ours:
        assert is_ours
        assert json.loads(claim_path(HERE).read_text())["pid"] == os.getpid()
    os.waitpid(pid, 0)


def test_a_process_id_that_another_process_has_by_now_is_not_taken_for_its_claim() -> None:
    with claimed(HERE):
        claim = json.loads(claim_path(HERE).read_text())
    write_claim(json.dumps(claim), 0)
    assert is_claimed(HERE)
    write_claim(json.dumps(claim | {"started": "1"}), 0)
    assert not is_claimed(HERE)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"host": "another", "pid": 1, "started": "5", "token": "t"}),
        json.dumps({"host": "another", "pid": None, "started": None}),
        "",
        '{"host": "ano',
        "[]",
        "\udcff".encode(errors="surrogateescape").decode(errors="replace"),
    ],
    ids=["another machine", "no process", "empty", "cut", "no object", "no text"],
)
def test_of_other_machines_claims_the_last_touch_tells(text: str) -> None:
    write_claim(text, STALE_S / 2)
    assert is_claimed(HERE)
    with claimed(HERE) as is_ours:
        assert not is_ours
    assert claim_path(HERE).read_text() == text
    write_claim(text, STALE_S * 2)
    assert not is_claimed(HERE)
    with claimed(HERE) as is_ours:
        assert is_ours
    assert list(HERE.parent.iterdir()) == []


def test_on_windows_no_process_is_asked_for_and_the_last_touch_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal 0, which does nothing elsewhere, is Ctrl-C there, for the very process that claims, too."""
    monkeypatch.setattr(claims, "_CAN_ASK_OF_PROCESSES", False)
    monkeypatch.setattr(os, "kill", lambda pid, number: pytest.fail(f"signal {number} to {pid}"))
    with claimed(HERE) as is_ours:
        assert is_ours and is_claimed(HERE)
        text = claim_path(HERE).read_text()
        assert json.loads(text)["pid"] == os.getpid()
    write_claim(text, STALE_S / 2)
    assert is_claimed(HERE)
    write_claim(text, STALE_S * 2)
    assert not is_claimed(HERE)


def test_a_claim_that_took_the_place_of_a_stale_one_is_put_back() -> None:
    path = write_claim("the new one", 0)
    claims._set_aside(path, "the stale one")
    assert path.read_text() == "the new one"
    claims._set_aside(path, "the new one")
    assert list(path.parent.iterdir()) == []
    claims._set_aside(path, "the new one")  # another run was faster


def test_a_claim_that_was_taken_over_is_left_to_its_new_owner() -> None:
    with claimed(HERE, heartbeat_s=0):
        claim_path(HERE).write_text("another's")
    assert claim_path(HERE).read_text() == "another's"


def test_two_runs_share_the_cells_and_do_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "WAIT_S", 0.01)
    corpora = [corpus_of([f"text {name} {number}" for number in range(4)], name) for name in "abc"]

    def work() -> None:
        models = [BigramModel(f"model-{number}", number) for number in range(4)]
        result = run(models, corpora, options=RunOptions(output="runs"))
        Path(f"done-{os.getpid()}").write_text(f"{result.num_scored} {len(result.cells)}")

    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    counts = [list(map(int, path.read_text().split())) for path in Path().glob("done-*")]
    assert sum(num_scored for num_scored, _ in counts) == 12
    assert [num_cells for _, num_cells in counts] == [12, 12]
    assert len(cell_files(Path("runs"))) == 12
    assert not list(Path("runs").rglob(".*"))


def test_a_run_waits_for_what_another_has_claimed_and_takes_it_over_when_that_dies() -> None:
    corpus = corpus_of(["a text", "another"])
    model = BigramModel()
    [cell] = run([model], [corpus], options=RunOptions(output="elsewhere")).cells
    path = Path("runs") / cell.path.relative_to("elsewhere")
    waits = []

    def sleep(_: float) -> None:
        waits.append(model.num_calls)
        if len(waits) == 3:
            claim_path(path).write_text(json.dumps({"host": claims._host(), "pid": 1, "started": "0"}))

    claim = claim_path(path)
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"host": "another", "pid": 1, "started": "0"}))
    before = model.num_calls
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", sleep)
        result = run([model], [corpus], options=RunOptions(output="runs"))
    assert (result.num_scored, waits) == (1, [before] * 3)
    assert result.cells[0].totals == cell.totals
