import json
import os
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.runner.claims import STALE_S
from evalkit.runner.corpora import run
from evalkit.runner.folder_status import num_cell_files
from evalkit.runner.journal import Journal, read_statuses, remove_dead
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Silent
from tests.support.toys import BigramModel, BrokenModel, corpus_of, run_cli

CORPUS = corpus_of(["a text", "a BREAK", "a third"])


class Watcher(Silent):
    """Looks from outside whenever something is told."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.seen: list[Any] = []

    def start(self, model: str, subject: str, num_parts: int) -> None:
        self.look()

    def advance(self, progress: Any) -> None:
        self.look()

    def look(self) -> None:
        [status] = read_statuses(self.output)
        self.seen.append((status.num_done, status.num_scored, len(status.failures), status.num_left))
        assert status.is_alive


def score(tmp_path: Path, models: list[Any], **fields: Any) -> Watcher:
    output = tmp_path / "runs"
    watcher = Watcher(output)
    ticks = iter(range(0, 10_000, 100))
    journal = Journal(watcher, output, tmp_path / "log.jsonl", clock=lambda: float(next(ticks)))
    run(models, [CORPUS], options=RunOptions(output=output, reporter=journal, journal=journal, **fields))
    journal.end()
    assert read_statuses(output) == []
    return watcher


@pytest.mark.parametrize("processes", [0, 1])
def test_a_running_job_can_be_watched_and_its_log_read(tmp_path: Path, processes: int) -> None:
    score(tmp_path, [BigramModel("first")])
    models = [BigramModel("first"), BigramModel("second"), BrokenModel("error"), BigramModel("third")]
    watcher = score(tmp_path, models, processes=processes)
    assert watcher.seen[0] == (1, 0, 0, 3)
    assert watcher.seen[-1] == (1, 1, 1, 1)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    last = events[[event["event"] for event in events].index("end") + 1 :]
    kinds = [event["event"] for event in last if event["event"] != "message"]
    assert kinds == ["open", "plan", "start", "scored", "start", "failed", "start", "scored", "end"]
    assert last[1]["num_cells"] == 4
    assert last[1]["num_done"] == 1
    assert last[-1] == {"time": last[-1]["time"], "event": "end", "num_scored": 2, "num_failed": 1}
    assert num_cell_files(tmp_path / "runs") == 3


def test_a_run_with_nothing_to_do_writes_no_file(tmp_path: Path) -> None:
    score(tmp_path, [BigramModel()])
    before = (tmp_path / "runs").stat().st_mtime_ns
    assert score(tmp_path, [BigramModel()]).seen == []
    assert (tmp_path / "runs").stat().st_mtime_ns == before


def test_a_killed_runs_file_says_so_and_goes_with_the_next_run(tmp_path: Path) -> None:
    output = tmp_path / "runs"
    pid = os.fork()
    if pid == 0:
        try:
            journal = Journal(Silent(), output)
            journal.begin(5, 2)
            journal.start("a model", "a corpus", 9)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    [status] = read_statuses(output)
    assert (status.is_alive, status.num_left, status.current[0].subject) == (False, 3, "a corpus")
    outcome = run_cli("status", output)
    assert outcome.exit_code == 0
    assert "killed" in outcome.stdout
    assert "2 of 5 cells done, 0 by it, 0 failed, 3 to go" in outcome.stdout
    assert "a model on a corpus: 0/9, 0%" in outcome.stdout
    as_json = json.loads(run_cli("status", output, "--json").stdout)
    assert (as_json["num_cells"], as_json["runs"][0]["is_alive"]) == (0, False)
    score(tmp_path, [BigramModel()])
    assert "no run is at work there" in run_cli("status", output).stdout


def test_a_run_on_another_machine_is_forgotten_when_it_was_not_heard_of_for_minutes(tmp_path: Path) -> None:
    Journal(Silent(), tmp_path).begin(3, 1)
    [path] = tmp_path.glob(".*.evalkit.run")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "elsewhere"}))
    for age_s, num_left in ((STALE_S / 2, 1), (STALE_S * 2, 0)):
        written_s = path.stat().st_mtime
        os.utime(path, (written_s - age_s, written_s - age_s))
        assert [status.is_alive for status in read_statuses(tmp_path)] == [None]
        remove_dead(tmp_path)
        assert len(read_statuses(tmp_path)) == num_left


def test_what_a_run_was_about_to_write_when_it_was_killed_goes_with_the_next(tmp_path: Path) -> None:
    begun = tmp_path / "..0.evalkit.run.abc.evalkit.tmp"
    begun.write_text("{", encoding="utf-8")
    Journal(Silent(), tmp_path).begin(1, 1)  # all is finished: it writes none itself
    assert not begun.exists()


def test_bad_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--log-file"):
        Journal(Silent(), tmp_path, tmp_path / "no folder" / "log.jsonl")
    outcome = run_cli("status", tmp_path / "nothing")
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    (tmp_path / ".x.evalkit.run").write_text("{}")
    (tmp_path / ".y.evalkit.run").write_text("no JSON")
    assert read_statuses(tmp_path) == []
