"""``--workers auto``: a choice of processes or threads that changes no number."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evalkit.runner import worker_choice
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.worker_trial import WorkerTrial
from tests.evalkit.runner.test_processes import CORPUS, Lines
from tests.support.toys import BigramModel, numbers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


class Forkable(BigramModel):
    """Has the processes that it computed in, or is killed in any but the first."""

    is_forkable = True
    tokens_per_batch = 96

    def __init__(self, name: str = "forkable", *, is_killed: bool = False) -> None:
        super().__init__(name)
        self.first_process, self.is_killed = os.getpid(), is_killed
        self.num_here = 0

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        if self.is_killed and os.getpid() != self.first_process:
            os.kill(os.getpid(), signal.SIGKILL)
        self.num_here += 1
        return super().nats(sequences, contexts=contexts)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(worker_choice, "is_worth_a_trial", lambda *_: True)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(num_threads)


def score(model: Forkable, folder: Path, workers: int | None = None) -> list[str]:
    reporter = Lines()
    result = run([model], CORPUS, options=RunOptions(output=folder, reporter=reporter, workers=workers))
    assert result.failures == ()
    return reporter.lines


@pytest.mark.parametrize(
    ("processes_s", "line"),
    [
        (1.0, "forkable: computed in 2 single-threaded processes, 1.50 times as fast as threads in a trial"),
        (3.0, "forkable: computed by threads, 2.00 times as fast as 2 single-threaded processes in a trial"),
        (float("inf"), "forkable: computed by threads: memory does not hold 2 single-threaded processes"),
    ],
)
def test_the_faster_is_taken_and_told_once(
    processes_s: float, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [WorkerTrial(2, processes_s, 1.5)]
    monkeypatch.setattr(worker_choice, "measure", lambda *_: trials.pop())
    score(Forkable(), tmp_path / "one", workers=1)
    for folder, told in (("first", [line]), ("again", [])):  # which takes what was kept
        model = Forkable()
        assert score(model, tmp_path / folder) == told
        assert (model.num_here == 0) == (processes_s == 1.0)
        assert numbers(tmp_path / folder) == numbers(tmp_path / "one")
    assert trials == []


def test_another_model_has_a_trial_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [WorkerTrial(2, 1.0, 1.5), WorkerTrial(2, 1.0, 0.5)]
    monkeypatch.setattr(worker_choice, "measure", lambda *_: trials.pop())
    first, other = Forkable(), Forkable("other")
    other.identity = first.identity.__class__(**{**vars(first.identity), "name": "other", "dtype": "float16"})
    assert "by threads" in score(first, tmp_path)[0]
    assert "in 2 single-threaded processes" in score(other, tmp_path)[0]


def test_processes_that_are_killed_for_memory_leave_it_to_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_choice, "is_worth_a_trial", lambda *_: False)
    score(Forkable(), tmp_path / "whole")
    [line] = score(Forkable(is_killed=True), tmp_path / "killed")
    assert line.startswith("forkable: a process that computed with it has ended (SIGKILL")
    assert line.endswith("going on with threads, and so from now on")
    assert score(Forkable(is_killed=True), tmp_path / "again") == []
    for folder in ("killed", "again"):
        assert numbers(tmp_path / folder) == numbers(tmp_path / "whole")
