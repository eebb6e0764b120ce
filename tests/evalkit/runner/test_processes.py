import faulthandler
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.cells.partial import PARTIAL_SUFFIX
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.processes import Forks
from evalkit.runner.ranking import RunResult
from evalkit.runner.reporter import Silent
from evalkit.scoring.workers import WorkerEndedError
from tests.support.toys import BigramModel, corpus_of, numbers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

CORPUS = corpus_of([f"text {number}: " + "abc " * (3 * number % 17) for number in range(24)])
OTHER = corpus_of(["another text", "and one more"], "other")


class Struck(BigramModel):
    """Something happens to its process in the calls with these numbers, counted over all processes."""

    tokens_per_batch = 96

    def __init__(self, name: str, strike: Callable[[], None], calls: Sequence[int]) -> None:
        super().__init__(name)
        self.strike, self.calls = strike, calls
        self.counter = multiprocessing.Value("i", 0)

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        with self.counter.get_lock():
            self.counter.value += 1
            number = self.counter.value
        if number in self.calls:
            self.strike()
        return super().nats(sequences, contexts=contexts)


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def by(number: signal.Signals) -> Callable[[], None]:
    def strike() -> None:
        faulthandler.disable()  # pytest's, which would tell of it at length
        os.kill(os.getpid(), number)

    return strike


def score(models: Sequence[Any], folder: Path, *, processes: int = 1, **fields: Any) -> RunResult:
    options = RunOptions(output=folder, processes=processes, checkpoint_s=0, **fields)
    return run(models, [CORPUS, OTHER], options=options)


def no_worker() -> None:
    raise WorkerEndedError("a process that computed has ended")


def no_gpu() -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("strike", "reason"),
    [
        (by(signal.SIGKILL), "was killed (SIGKILL: often because memory was full)"),
        (by(signal.SIGSEGV), "crashed (SIGSEGV)"),
        (no_worker, "a process that computed has ended"),
        (no_gpu, "lost its GPU (CUDA error: an illegal memory access was encountered)"),
    ],
    ids=["killed", "segfault", "worker", "broken GPU"],
)
def test_a_process_that_ends_costs_one_attempt_of_one_cell(
    strike: Callable[[], None], reason: str, tmp_path: Path
) -> None:
    whole = Struck("struck", strike, [])
    assert score([whole], tmp_path / "whole").num_scored == 2
    num_calls = whole.counter.value
    model, lines = Struck("struck", strike, [7]), Lines()
    result = score([model, BigramModel("next")], tmp_path / "struck", reporter=lines)
    assert (result.num_scored, result.failures) == (4, ())
    assert f"struck on corpus: its process {reason}; another goes on there" in lines.lines
    assert not any("FAILED" in line for line in lines.lines)
    assert num_calls < model.counter.value < num_calls + 4  # what was finished was not scored again
    score([BigramModel("next")], tmp_path / "whole")
    assert numbers(tmp_path / "struck") == numbers(tmp_path / "whole")


def test_a_cell_whose_process_ends_twice_has_failed_and_no_other(tmp_path: Path) -> None:
    model = Struck("struck", by(signal.SIGSEGV), range(7, 100))
    lines = Lines()
    result = score([BigramModel("first"), model, BigramModel("next")], tmp_path, reporter=lines)
    reason = "its process crashed (SIGSEGV), 2 times"
    assert [(f.model, f.subject, f.reason) for f in result.failures] == [
        ("struck", "corpus", reason),
        ("struck", "other", reason),
    ]
    assert result.num_scored == 4
    assert f"FAILED struck on corpus: {reason}" in lines.lines
    model.calls = []
    assert score([model], tmp_path).num_scored == 2


def test_an_interruption_keeps_what_is_finished_and_leaves_no_process(tmp_path: Path) -> None:
    def wait_for_the_end() -> None:
        os.kill(os.getppid(), signal.SIGINT)
        while True:
            signal.pause()

    def children() -> set[str]:
        """Of this process, those that have ended and nobody has waited for among them."""
        tasks = Path("/proc/self/task").iterdir()
        return {child for task in tasks for child in (task / "children").read_text().split()}

    before = children()  # of other tests: a server, a browser
    model = Struck("struck", wait_for_the_end, [7])
    with pytest.raises(KeyboardInterrupt):
        score([model], tmp_path)
    assert children() <= before
    assert len(list(tmp_path.rglob(f".*{PARTIAL_SUFFIX}/*"))) > 3
    num_calls = model.counter.value
    assert score([model], tmp_path).num_scored == 2
    whole = Struck("struck", wait_for_the_end, [])
    score([whole], tmp_path / "whole")
    assert model.counter.value - num_calls <= whole.counter.value - 4


def test_what_is_finished_is_kept_also_where_the_run_itself_is_killed(tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def strike() -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        while True:
            signal.pause()  # until the system says that the parent is gone

    model = Struck("struck", strike, [7])
    options = RunOptions(output=tmp_path, processes=1)  # nothing is due for a minute
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        run([model], [CORPUS], options=options)
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b""  # both processes have ended
    os.close(reading)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert list(tmp_path.rglob(f".*{PARTIAL_SUFFIX}/*"))
    lines = Lines()
    assert run([model], [CORPUS], options=RunOptions(output=tmp_path, reporter=lines)).num_scored == 1
    assert any("documents were finished before" in line for line in lines.lines)


def test_two_models_are_scored_at_a_time(tmp_path: Path) -> None:
    barrier = multiprocessing.Barrier(2)

    def meet() -> None:
        barrier.wait(60)

    models = [Struck(name, meet, [1]) for name in ("one", "two")]
    lines = Lines()
    result = score(models, tmp_path, processes=2, reporter=lines)
    assert (result.num_scored, result.failures) == (4, ())


def test_the_reporter_hears_what_it_would_hear_without_processes(tmp_path: Path) -> None:
    class Listener(Lines):
        def start(self, model: str, subject: str, num_parts: int) -> None:
            self.lines.append(f"start {model} {subject} {num_parts}")

        def advance(self, progress: Any) -> None:
            if progress.done >= 1:
                self.lines.append(f"done {progress.num_documents} {progress.num_bytes}")

        def finish(self) -> None:
            self.lines.append("finish")

    heard = {}
    for processes in (0, 1):
        listener = Listener()
        score([BigramModel(), "xz"], tmp_path / str(processes), processes=processes, reporter=listener)
        heard[processes] = listener.lines
    assert heard[0] == heard[1]
    assert sum(line == "finish" for line in heard[0]) == 4


def test_processes_that_say_nothing_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims in a store are touched in between, also while a model is loaded for minutes."""
    monkeypatch.setattr("evalkit.runner.processes.HEARTBEAT_S", 0.0)
    forks = Forks(RunOptions(processes=1))
    reading, writing = multiprocessing.Pipe(duplex=False)
    with reading, writing:
        forks._connections[0] = reading
        assert forks.wait() == []
        writing.send("ready")
        assert forks.wait() == [0]
