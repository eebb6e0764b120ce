"""Models handed out to processes that may end at any moment, on this machine or on others.

Nothing but the files of cells comes back: a cell is finished where `PlannedCell.find` finds it. A cell whose
process ended twice has failed; what its first attempt has finished is on disk, and the second goes on there
(`evalkit.cells.partial`).
"""

import dataclasses
import itertools
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from evalkit.errors import DiskError
from evalkit.runner.loop import Schedule
from evalkit.runner.one_model import BrokenProcessError, finished, score_model, told_failure
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import Busy, Failure, PartScored, PlannedCell
from evalkit.runner.reporter import CellProgress, Reporter

CellT = TypeVar("CellT", covariant=True)

MAX_ATTEMPTS = 2
"""Processes that may end in a cell before it has failed."""
STOP_PATIENCE_S = 60.0
"""What a process gets to write what is finished."""
_PROGRESS_INTERVAL_S = 0.2


class Settled(NamedTuple):
    """What a process says of its cell number `place`."""

    place: int
    failure: Failure | None
    is_busy: bool
    is_scored: bool


class Told(NamedTuple):
    """A call of a reporter's method."""

    method: str
    arguments: tuple[object, ...]


class Stopped(NamedTuple):
    """Why a process ends before its work does."""

    disk: str | None
    """The disk is full: the message."""
    reason: str | None
    """Anything else, in words that follow the process's name."""


Message = Settled | Told | Stopped


class Engine(Protocol):
    """Where the processes are, and how they are started and heard; each has a number of its own."""

    def num_slots(self) -> int:
        """How many models are scored at a time, as of now."""
        ...

    def start(self, cells: Sequence[PlannedCell[Any]], slot: int) -> int:
        """Start a process that runs `serve` on a model's cells; its number.

        Args:
            cells: of one model.
            slot: from 0, none that another process has.
        """
        ...

    def wait(self) -> Sequence[int]:
        """Wait until processes have something to say, or have ended; their numbers.

        None after `HEARTBEAT_S`: claims are touched also while a model is loaded for long.
        """
        ...

    def receive(self, number: int) -> Message | None:
        """What a process of those that `wait` gave says; None: it has ended."""
        ...

    def bury(self, number: int) -> str:
        """Take leave of a process that has ended; how it did, in words that follow its name."""
        ...

    def stop(self) -> None:
        """End the processes that there are: first let them write what is finished."""
        ...


def score_with(engine: Engine, schedule: Schedule[CellT], options: RunOptions) -> None:
    """Score what is left of a schedule, each model in a process of its own.

    Raises:
        DiskError: the output folder cannot be written anymore.
        KeyboardInterrupt: it was interrupted; the processes have ended, and what they finished is kept.
    """
    try:
        _Pool(engine, schedule, options).run()
    finally:
        engine.stop()
        schedule.let_go()


@dataclasses.dataclass
class _Worker(Generic[CellT]):
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

    def __init__(self, engine: Engine, schedule: Schedule[CellT], options: RunOptions) -> None:
        self._engine, self._schedule, self._options = engine, schedule, options
        self._num_attempts: dict[int, int] = {}
        self._workers: dict[int, _Worker[CellT]] = {}

    def run(self) -> None:
        if (num_slots := self._engine.num_slots()) > 1:
            self._schedule.share_out(num_slots)
        while True:
            while len(self._workers) < self._engine.num_slots():
                cells = self._schedule.next(wait=not self._workers)
                if not cells:
                    break
                self._start(cells)
            if not self._workers:
                return
            for number in self._engine.wait():
                self._receive(number)
            self._schedule.beat()

    def _start(self, cells: list[PlannedCell[CellT]]) -> None:
        used = {worker.slot for worker in self._workers.values()}
        num_slots = self._engine.num_slots()
        # Machines may have gone since their number was asked for.
        slot = next(number for number in itertools.count() if number not in used)
        number = self._engine.start(cells, slot)
        reporter = self._options.reporter if num_slots == 1 else self._options.reporter.lane()
        self._workers[number] = _Worker(cells, slot, reporter, dict(enumerate(cells)))

    def _receive(self, number: int) -> None:
        worker, said = self._workers[number], self._engine.receive(number)
        if said is None:
            self._bury(number)
        elif isinstance(said, Told):
            if said.method == "start":
                subject = said.arguments[1]
                worker.current = next(n for n, cell in worker.open.items() if cell.subject == subject)
            getattr(worker.reporter, said.method)(*said.arguments)
        elif isinstance(said, Stopped):
            if said.disk is not None:
                raise DiskError(said.disk)
            worker.reason = said.reason
        else:
            self._settle(worker, said)

    def _settle(self, worker: _Worker[CellT], said: Settled) -> None:
        cell = worker.open.pop(said.place)
        worker.current = None
        outcome: CellT | Failure | Busy | PartScored | None = said.failure
        if said.is_busy:
            outcome = Busy()
        elif outcome is None and cell.part is not None:
            outcome = PartScored()
        elif outcome is None:
            outcome = finished(cell, self._options)
        if outcome is None:
            outcome = told_failure(cell, f"{cell.path} was removed as soon as it was written", self._options)
        self._schedule.settle(cell, outcome, is_scored=said.is_scored)

    def _bury(self, number: int) -> None:
        """Take leave of a process: what it was at gets another attempt, or has failed."""
        how = self._engine.bury(number)
        worker = self._workers.pop(number)
        if not worker.open:
            return
        if worker.current is not None:
            worker.reporter.finish()
        reason = worker.reason or how
        # Where it ended in loading, each of the model's cells has lost an attempt.
        attempted = set(worker.open) if worker.current is None else {worker.current}
        for place in attempted:
            cell = worker.open[place]
            num_attempts = self._num_attempts[id(cell)] = self._num_attempts.get(id(cell), 0) + 1
            if num_attempts >= MAX_ATTEMPTS:
                del worker.open[place]
                text = f"its process {reason}, {num_attempts} times"
                self._schedule.settle(cell, told_failure(cell, text, self._options))
        again = [cell.subject for place, cell in worker.open.items() if place in attempted]
        if again:
            self._options.reporter.message(
                f"{worker.cells[0].model} on {', '.join(again)}: its process {reason}; another goes on there"
            )
        self._schedule.put_back(list(worker.open.values()))


# --- in the process of a model ----------------------------------------------------------------------------


class _MessageReporter:
    """Sends what it is told, of progress not more often than somebody could read it."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send, self._told_s = send, 0.0

    def message(self, text: str) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._send(Told("message", (text,)))

    def plan(self, lines: Sequence[str]) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._send(Told("plan", (tuple(lines),)))

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._told_s = 0.0
        self._send(Told("start", (model, subject, num_parts)))

    def advance(self, progress: CellProgress) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        now_s = time.monotonic()
        if progress.done >= 1 or now_s - self._told_s >= _PROGRESS_INTERVAL_S:
            self._told_s = now_s
            self._send(Told("advance", (progress,)))

    def finish(self) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._send(Told("finish", ()))

    def lane(self) -> Reporter:
        """See `evalkit.runner.reporter.Reporter`."""
        return self


def serve(cells: Sequence[PlannedCell[CellT]], options: RunOptions, send: Callable[[Message], None]) -> int:
    """Score a model's cells, and say what comes of them.

    Args:
        cells: of one model.
        options: of the run.
        send: takes what the pool is to hear.

    Returns:
        The exit code of the process.
    """
    options = dataclasses.replace(
        options, reporter=_MessageReporter(send), journal=None, processes=0, engine="local"
    )
    try:
        for place, (outcome, is_scored) in enumerate(score_model(cells, options, is_alone=True)):
            failure = outcome if isinstance(outcome, Failure) else None
            send(Settled(place, failure, isinstance(outcome, Busy), is_scored))
    except KeyboardInterrupt:
        return 128 + signal.SIGTERM
    except BrokenPipeError:  # the parent is gone
        return 1
    except DiskError as error:
        send(Stopped(str(error), None))
        return error.exit_code
    except BrokenProcessError as error:
        send(Stopped(None, str(error)))
        return 1
    return 0
