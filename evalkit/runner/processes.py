"""A process for each model: a crash, a lack of memory or a broken GPU costs one attempt of one cell.

The processes are forks of this one, with all that it has imported and read. Nothing but the files of cells
comes back: a cell is finished where `PlannedCell.find` finds it. A cell whose process ended twice has failed;
what its first attempt has finished is on disk, and the second goes on there (`evalkit.cells.partial`).
"""

import contextlib
import ctypes
import dataclasses
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe, wait
from types import FrameType
from typing import Generic, NamedTuple, TypeVar

from evalkit.errors import DiskError
from evalkit.runner.loop import Schedule
from evalkit.runner.one_model import BrokenProcessError, finished, score_model, told_failure
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import Busy, Failure, PlannedCell
from evalkit.runner.reporter import CellProgress, Reporter

CellT = TypeVar("CellT", covariant=True)

MAX_ATTEMPTS = 2
"""Processes that may end in a cell before it has failed."""
_PROGRESS_INTERVAL_S = 0.2
_STOP_PATIENCE_S = 60.0
"""What a process gets to write what is finished."""
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
_PR_SET_PDEATHSIG = 1
"""Of prctl(2): which signal comes when the parent dies."""


def can_fork() -> bool:
    """Whether a fork of this process can go on: elsewhere the system's own libraries forbid it."""
    return sys.platform == "linux"


def num_slots(options: RunOptions) -> int:
    """How many models are scored at a time."""
    if options.processes is not None:
        return max(1, options.processes)
    return max(1, len(_gpus(options)))


def score_in_processes(schedule: Schedule[CellT], options: RunOptions) -> None:
    """Score what is left of a schedule, each model in a process of its own.

    Raises:
        DiskError: the output folder cannot be written anymore.
        KeyboardInterrupt: it was interrupted; the processes have ended, and what they finished is kept.
    """
    pool = _Pool(schedule, options)
    try:
        pool.run()
    finally:
        pool.stop()


class _Settled(NamedTuple):
    """What a process says of its cell number `place`."""

    place: int
    failure: Failure | None
    is_busy: bool
    is_scored: bool


class _Told(NamedTuple):
    """A call of a reporter's method."""

    method: str
    arguments: tuple[object, ...]


class _Stopped(NamedTuple):
    """Why a process ends before its work does."""

    disk: str | None
    """The disk is full: the message."""
    reason: str | None
    """Anything else, in words that follow the process's name."""


@dataclasses.dataclass
class _Child(Generic[CellT]):
    pid: int
    connection: Connection
    cells: list[PlannedCell[CellT]]
    slot: int
    reporter: Reporter
    open: dict[int, PlannedCell[CellT]]
    """Those without an outcome, by their number."""
    current: int | None = None
    """The cell that was begun."""
    reason: str | None = None


class _Pool(Generic[CellT]):
    """The processes of a run."""

    def __init__(self, schedule: Schedule[CellT], options: RunOptions) -> None:
        self._schedule, self._options = schedule, options
        self._num_attempts: dict[int, int] = {}
        self._children: dict[int, _Child[CellT]] = {}
        self._gpus = _gpus(options)
        self._num_slots = num_slots(options)

    def run(self) -> None:
        while True:
            while len(self._children) < self._num_slots:
                cells = self._schedule.next(wait=not self._children)
                if not cells:
                    break
                self._start(cells)
            if not self._children:
                return
            for ready in wait([child.connection for child in self._children.values()]):
                self._receive(next(c for c in self._children.values() if c.connection is ready))

    def stop(self) -> None:
        """End the processes that there are: first let them write what is finished."""
        try:
            for child in self._children.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)
            deadline_s = time.monotonic() + _STOP_PATIENCE_S
            for child in self._children.values():
                while time.monotonic() < deadline_s and not _has_ended(child):
                    pass
        finally:
            for child in self._children.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                child.connection.close()
            self._children = {}

    def _start(self, cells: list[PlannedCell[CellT]]) -> None:
        used = {child.slot for child in self._children.values()}
        slot = next(number for number in range(self._num_slots) if number not in used)
        ours, theirs = Pipe(duplex=False)
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; those that imports start (OpenBLAS) are made for it.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ours.close()
                for child in self._children.values():
                    child.connection.close()
                if self._gpus:
                    os.environ["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
                code = _serve(theirs, cells, self._options, parent)
            except BaseException as error:
                theirs.send(_Stopped(None, f"ended with {type(error).__name__}: {error}"))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        theirs.close()
        reporter = self._options.reporter if self._num_slots == 1 else self._options.reporter.lane()
        self._children[pid] = _Child(pid, ours, cells, slot, reporter, dict(enumerate(cells)))

    def _receive(self, child: _Child[CellT]) -> None:
        try:
            said = child.connection.recv()
        except (EOFError, OSError):
            self._bury(child)
            return
        if isinstance(said, _Told):
            if said.method == "start":
                child.current = next(n for n, cell in child.open.items() if cell.subject == said.arguments[1])
            getattr(child.reporter, said.method)(*said.arguments)
        elif isinstance(said, _Stopped):
            if said.disk is not None:
                raise DiskError(said.disk)
            child.reason = said.reason
        else:
            self._settle(child, said)

    def _settle(self, child: _Child[CellT], said: _Settled) -> None:
        cell = child.open.pop(said.place)
        child.current = None
        outcome: CellT | Failure | Busy | None = said.failure
        if said.is_busy:
            outcome = Busy()
        elif outcome is None:
            outcome = finished(cell, self._options)
        if outcome is None:
            outcome = told_failure(cell, f"{cell.path} was removed as soon as it was written", self._options)
        self._schedule.settle(cell, outcome, is_scored=said.is_scored)

    def _bury(self, child: _Child[CellT]) -> None:
        """Take leave of a process: what it was at gets another attempt, or has failed."""
        _, status = os.waitpid(child.pid, 0)
        child.connection.close()
        del self._children[child.pid]
        if not child.open:
            return
        if child.current is not None:
            child.reporter.finish()
        reason = child.reason or _death(os.waitstatus_to_exitcode(status))
        # Where it ended in loading, each of the model's cells has lost an attempt.
        attempted = set(child.open) if child.current is None else {child.current}
        for place in attempted:
            cell = child.open[place]
            num_attempts = self._num_attempts[id(cell)] = self._num_attempts.get(id(cell), 0) + 1
            if num_attempts >= MAX_ATTEMPTS:
                del child.open[place]
                text = f"its process {reason}, {num_attempts} times"
                self._schedule.settle(cell, told_failure(cell, text, self._options))
        again = [cell.subject for place, cell in child.open.items() if place in attempted]
        if again:
            self._options.reporter.message(
                f"{child.cells[0].model} on {', '.join(again)}: its process {reason}; another goes on there"
            )
        self._schedule.put_back(list(child.open.values()))


def _has_ended(child: _Child[CellT]) -> bool:
    """Whether a process has closed its end; what it still says is dropped."""
    if not child.connection.poll(1.0):
        return False
    try:
        child.connection.recv()
    except (EOFError, OSError):
        return True
    return False


def _death(code: int) -> str:
    """How a process ended, in words that follow its name."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL: often because memory was full)"
    if code < 0:
        with contextlib.suppress(ValueError):  # a signal without a name
            return f"crashed ({signal.Signals(-code).name})"
    return f"ended (exit code {code})"


def _gpus(options: RunOptions) -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls the GPUs that models are shared out to; none where one is named."""
    if options.device not in ("auto", "cuda") or "torch" not in sys.modules:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = [str(number) for number in range(torch.cuda.device_count())]
    return visible.split(",")[: len(numbers)] if visible else numbers


# --- in the process of a model ----------------------------------------------------------------------------


class _PipeReporter:
    """Tells the parent, of progress not more often than somebody could read it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._told_s = connection, 0.0

    def message(self, text: str) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._connection.send(_Told("message", (text,)))

    def plan(self, lines: Sequence[str]) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._connection.send(_Told("plan", (tuple(lines),)))

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._told_s = 0.0
        self._connection.send(_Told("start", (model, subject, num_parts)))

    def advance(self, progress: CellProgress) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        now_s = time.monotonic()
        if progress.done >= 1 or now_s - self._told_s >= _PROGRESS_INTERVAL_S:
            self._told_s = now_s
            self._connection.send(_Told("advance", (progress,)))

    def finish(self) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._connection.send(_Told("finish", ()))

    def lane(self) -> "Reporter":
        """See `evalkit.runner.reporter.Reporter`."""
        return self


def _serve(
    connection: Connection, cells: Sequence[PlannedCell[CellT]], options: RunOptions, parent: int
) -> int:
    """Score a model's cells; the exit code."""
    for number in _ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that
        return 1
    options = dataclasses.replace(options, reporter=_PipeReporter(connection), journal=None, processes=0)
    try:
        for place, (outcome, is_scored) in enumerate(score_model(cells, options, is_alone=True)):
            failure = outcome if isinstance(outcome, Failure) else None
            connection.send(_Settled(place, failure, isinstance(outcome, Busy), is_scored))
    except KeyboardInterrupt:
        return 128 + signal.SIGTERM
    except BrokenPipeError:  # the parent is gone
        return 1
    except DiskError as error:
        connection.send(_Stopped(str(error), None))
        return error.exit_code
    except BrokenProcessError as error:
        connection.send(_Stopped(None, str(error)))
        return 1
    return 0


def _interrupt(_: int, __: FrameType | None) -> None:
    """End in good order; a second signal would only disturb that, and the parent does not wait for ever."""
    for number in _ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
