"""A child process that does foreign work: its answers are those of a call, its failures have names."""

import importlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit.errors import CorpusError, EvalkitError
from evalkit.isolation import DEFAULT_WORK_LIMITS, Worker, WorkFailed, WorkLimits

SHORT = WorkLimits(max_cpu_s=0.2, max_memory_bytes=1 << 30)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def process_id(number: int) -> tuple[int, int]:
    return os.getpid(), number


def busy() -> None:
    while True:
        pass


def busy_in_c() -> int:
    return len(str(7 ** (10**8)))


def hungry(num_bytes: int) -> int:
    return len(bytearray(num_bytes))


def waiting() -> None:
    threading.Event().wait()


def dies(number: int) -> None:
    os.kill(os.getpid(), number)


def leaves(code: int) -> None:
    os._exit(code)


def refuses(text: str) -> None:
    raise CorpusError(text)


def raises() -> int:
    return {}["no such key"]  # type: ignore[index]


def recursive(depth: int) -> int:
    return recursive(depth + 1)


def lock() -> object:
    return threading.Lock()


def failure(worker: Worker, limits: WorkLimits, function: object, *arguments: object) -> str:
    with pytest.raises(WorkFailed) as failed:
        worker.call(limits, (EvalkitError,), function, *arguments)  # type: ignore[arg-type]
    return failed.value.reason


def test_one_child_does_all_calls_and_it_is_another_process(worker: Worker) -> None:
    answers = [worker.call(DEFAULT_WORK_LIMITS, (), process_id, number) for number in range(20)]
    assert [number for _, number in answers] == list(range(20))
    (child,) = {process for process, _ in answers}
    assert child != os.getpid()


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        (busy, (), "took more than 0.2 s of processor time"),
        (busy_in_c, (), "took more than 0.2 s of processor time"),
        (hungry, (1 << 31,), "needed more than 1024 MiB"),
        (dies, (signal.SIGSEGV,), "crashed (SIGSEGV)"),
        (dies, (signal.SIGKILL,), "crashed (SIGKILL)"),
        (leaves, (3,), "ended its process (exit code 3)"),
        (raises, (), "failed with KeyError"),
        (recursive, (0,), "failed with RecursionError"),
        (lock, (), "gave what cannot be sent back: cannot pickle '_thread.lock' object"),
    ],
)
def test_every_way_to_fail_is_named_and_the_next_call_is_answered(
    worker: Worker, function: object, arguments: tuple[object, ...], reason: str
) -> None:
    assert failure(worker, SHORT, function, *arguments) == reason
    assert worker.call(SHORT, (), process_id, 7)[1] == 7


def test_a_call_that_only_waits_ends_by_the_clock_on_the_wall(worker: Worker) -> None:
    limits = WorkLimits(max_wall_s=0.05)
    assert failure(worker, limits, waiting) == "took more than 0.05 s"


def test_the_time_of_one_call_is_not_the_next_ones(worker: Worker) -> None:
    """Three calls of a tenth of a second's work each, under a limit of a quarter."""
    for _ in range(3):
        worker.call(WorkLimits(max_cpu_s=0.25), (), spends, 0.1)


def spends(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_child_that_has_grown_is_not_used_again(worker: Worker) -> None:
    limits = WorkLimits(max_memory_bytes=256 << 20)
    before, _ = worker.call(limits, (), process_id, 0)
    assert worker.call(limits, (), hungry, 160 << 20) == 160 << 20
    after, _ = worker.call(limits, (), process_id, 0)
    assert before != after


def test_expected_errors_come_as_they_are(worker: Worker) -> None:
    with pytest.raises(CorpusError, match=r"^no such corpus$"):
        worker.call(SHORT, (EvalkitError,), refuses, "no such corpus")
    assert failure(worker, SHORT, raises) == "failed with KeyError"


def test_what_cannot_be_sent_is_refused_in_one_line(worker: Worker) -> None:
    for function in (lambda: 0, threading.Lock().acquire):
        with pytest.raises(EvalkitError, match=r"cannot be sent .* at the top of a module") as refused:
            worker.call(SHORT, (), function)
        assert "\n" not in str(refused.value)


def test_the_working_folder_s_modules_are_not_run(worker: Worker) -> None:
    """A file `json.py` where the crawl happens to be started would be code of anybody's."""
    for name in ("json", "socket", "signal"):
        with open(f"{name}.py", "w") as file:  # noqa: PTH123
            file.write("raise SystemExit(f'run from the working folder: {__file__}')")
    elsewhere = Worker()
    assert elsewhere.call(DEFAULT_WORK_LIMITS, (), process_id, 1)[1] == 1
    elsewhere.close()


def test_what_can_be_imported_since_the_child_began_can_be_there_too(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = worker.call(DEFAULT_WORK_LIMITS, (), process_id, 1)
    (tmp_path / "late_module.py").write_text("def twice(number):\n    return 2 * number\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    late = importlib.import_module("late_module")
    assert worker.call(DEFAULT_WORK_LIMITS, (), late.twice, 21) == 42
    assert worker.call(DEFAULT_WORK_LIMITS, (), process_id, 1)[0] != first
