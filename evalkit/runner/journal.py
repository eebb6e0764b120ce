"""How far a run is, for whoever looks from another terminal, and what happened, as lines of JSON.

``<output>/.<name>.evalkit.run`` is replaced every few seconds while a run goes on and removed when it ends:
one that lies there while its process is gone belongs to a run that was killed.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.fields import FieldError, from_json, to_json
from evalkit.files import atomic_write, parse_json, strict_json, sweep
from evalkit.runner.claims import STALE_S, age_s, process_of, runs_here
from evalkit.runner.reporter import CellProgress, ItemProgress, Reporter

if TYPE_CHECKING:
    from evalkit.runner.remote import RemoteFolder

RUN_SUFFIX = ".evalkit.run"
"""How the names of the files end that say how far a run is."""
WRITE_INTERVAL_S = 5.0
_FIRST_EVENT = "open"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellStatus:
    """A cell that is being scored."""

    model: str
    subject: str
    """The corpus, or the task and how it is asked."""
    num_parts: int
    """Documents or items."""
    num_finished: int = 0
    done: float = 0.0
    """Share of the work, 0 to 1."""
    elapsed_s: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FailedCell:
    """A cell that failed."""

    model: str
    subject: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How far a run is."""

    host: str
    """The machine, with what tells its process from others; see `evalkit.runner.claims`."""
    pid: int
    process_started: str | None
    started: str
    """In UTC, as ISO 8601 has it."""
    updated: str
    """The same: when this was written."""
    num_cells: int
    """Of the plan."""
    num_done: int
    """That were finished before, or by another run."""
    num_scored: int
    """By this run."""
    failures: tuple[FailedCell, ...]
    current: tuple[CellStatus, ...]

    @property
    def num_left(self) -> int:
        """Cells without an outcome."""
        return self.num_cells - self.num_done - self.num_scored - len(self.failures)

    @property
    def is_alive(self) -> bool | None:
        """Whether its process is there; None where that is another machine's."""
        return runs_here({"host": self.host, "pid": self.pid, "started": self.process_started})


class Journal:
    """A reporter that passes everything on, and keeps the file of the run and its log."""

    def __init__(
        self,
        reporter: Reporter,
        output: Path,
        log: Path | None = None,
        remote: "RemoteFolder | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Tell ``reporter`` everything as well.

        Args:
            reporter: who is told.
            output: the folder of the run.
            log: gets a line of JSON for each event, behind what it holds; None: no log.
            remote: the folder of a store that the run's cells go to, which is told as well; None: there is
                none.
            clock: tells seconds.

        Raises:
            UsageError: the log cannot be written.
        """
        self._reporter, self._output, self._log, self._clock = reporter, output, log, clock
        self._remote = remote
        self._path = output / f".{uuid.uuid4().hex[:16]}{RUN_SUFFIX}"
        self._written_s = -WRITE_INTERVAL_S
        process = process_of(os.getpid())
        now = _now()
        self._status = RunStatus(
            host=str(process["host"]),
            pid=os.getpid(),
            process_started=None if process["started"] is None else str(process["started"]),
            started=now,
            updated=now,
            num_cells=0,
            num_done=0,
            num_scored=0,
            failures=(),
            current=(),
        )
        self._current: dict[int, CellStatus] = {}
        self._lane = _Lane(self, reporter)
        self._write_log(_FIRST_EVENT, pid=os.getpid())

    def begin(self, num_cells: int, num_done: int) -> None:
        """A plan is made: so many cells, of which so many are finished already."""
        status = self._status
        self._status = dataclasses.replace(
            status, num_cells=status.num_cells + num_cells, num_done=status.num_done + num_done
        )
        self._write_log("plan", num_cells=num_cells, num_done=num_done)
        remove_dead(self._output)
        if self._remote is not None:
            self._remote.withdraw_dead(RUN_SUFFIX, _is_alive, warn=self.message)
        if num_done < num_cells:
            self._write(is_due=True)

    def settle(self, model: str, subject: str, *, is_scored: bool, problem: str | None = None) -> None:
        """A cell has an outcome: it failed, was scored by this run, or finished by another."""
        status = self._status
        if problem is not None:
            failures = (*status.failures, FailedCell(model=model, subject=subject, reason=problem))
            self._status = dataclasses.replace(status, failures=failures)
            self._write_log("failed", model=model, subject=subject, reason=problem)
        else:
            num_done, num_scored = status.num_done + (not is_scored), status.num_scored + is_scored
            self._status = dataclasses.replace(status, num_done=num_done, num_scored=num_scored)
            self._write_log("scored" if is_scored else "taken", model=model, subject=subject)
        self._write(is_due=True)

    def end(self) -> None:
        """The run has ended: its file goes."""
        with contextlib.suppress(OSError):  # a folder that is gone, or read-only by now
            self._path.unlink(missing_ok=True)
        if self._remote is not None:
            self._remote.withdraw(self._path.name, warn=self.message)
        self._write_log("end", num_scored=self._status.num_scored, num_failed=len(self._status.failures))

    def message(self, text: str) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._reporter.message(text)
        self._write_log("message", text=text)

    def plan(self, lines: Sequence[str]) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._reporter.plan(lines)

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._lane.start(model, subject, num_parts)

    def advance(self, progress: CellProgress) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._lane.advance(progress)

    def finish(self) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._lane.finish()

    def lane(self) -> Reporter:
        """See `evalkit.runner.reporter.Reporter`."""
        return _Lane(self, self._reporter.lane())

    def show(self, lane: object, cell: CellStatus | None) -> None:
        """What a lane is at; None: nothing."""
        before = self._current.pop(id(lane), None)
        if cell is not None:
            self._current[id(lane)] = cell
        if cell is not None and before is None:
            self._write_log("start", model=cell.model, subject=cell.subject, num_parts=cell.num_parts)
        self._write(is_due=cell is None or before is None)

    def _write(self, *, is_due: bool) -> None:
        now_s = self._clock()
        if not is_due and now_s - self._written_s < WRITE_INTERVAL_S:
            return
        self._written_s = now_s
        self._status = dataclasses.replace(
            self._status, updated=_now(), current=tuple(self._current.values())
        )
        text = strict_json(to_json(self._status))
        # What is told of a run is not worth the run.
        with contextlib.suppress(OSError), atomic_write(self._path, survives_crash=False) as temporary:
            temporary.write_text(text, encoding="utf-8")
        if self._remote is not None:
            self._remote.publish(self._path.name, text, warn=self.message)

    def _write_log(self, event: str, **fields: object) -> None:
        if self._log is None:
            return
        line = json.dumps({"time": _now(), "event": event, **fields}, ensure_ascii=False)
        try:
            with self._log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{line}\n")
        except OSError as error:
            if event == _FIRST_EVENT:
                raise UsageError(
                    f"cannot write to the log {self._log}: {error.strerror}; give another with --log-file"
                ) from error
            log, self._log = self._log, None  # what is told of a run is not worth the run
            self._reporter.message(f"the log {log} cannot be written anymore: {error.strerror}; going on")


class _Lane:
    """Cells one after the other, beside others."""

    def __init__(self, journal: Journal, reporter: Reporter) -> None:
        self._journal, self._reporter = journal, reporter
        self._cell: CellStatus | None = None

    def message(self, text: str) -> None:
        self._journal.message(text)

    def plan(self, lines: Sequence[str]) -> None:
        self._journal.plan(lines)

    def start(self, model: str, subject: str, num_parts: int) -> None:
        self._reporter.start(model, subject, num_parts)
        self._cell = CellStatus(model=model, subject=subject, num_parts=num_parts)
        self._journal.show(self, self._cell)

    def advance(self, progress: CellProgress) -> None:
        self._reporter.advance(progress)
        if self._cell is not None:
            self._cell = dataclasses.replace(
                self._cell,
                num_finished=_num_finished(progress),
                done=float(progress.done),
                elapsed_s=float(progress.elapsed_s),
            )
            self._journal.show(self, self._cell)

    def finish(self) -> None:
        self._reporter.finish()
        self._cell = None
        self._journal.show(self, None)

    def lane(self) -> Reporter:
        return self._journal.lane()


def _num_finished(progress: CellProgress) -> int:
    return progress.num_items if isinstance(progress, ItemProgress) else progress.num_documents


def read_statuses(output: Path) -> list[RunStatus]:
    """The runs that are at work in a folder or were killed there, the oldest first.

    Raises:
        UsageError: there is no such folder.
        OSError: it cannot be read.
    """
    if not output.is_dir():
        raise UsageError(f"there is no folder {output}; give the --output of a run")
    contents = []
    for path in output.glob(f".*{RUN_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # gone
            contents.append(path.read_bytes())
    return statuses_of(contents)


def statuses_of(contents: Iterable[bytes]) -> list[RunStatus]:
    """What the contents of runs' files say, the oldest run first; what is none of ours is passed over."""
    statuses = []
    for content in contents:
        with contextlib.suppress(FieldError, ValueError):  # none of ours
            statuses.append(from_json(RunStatus, parse_json(content), RUN_SUFFIX))
    return sorted(statuses, key=lambda status: status.started)


def _is_alive(content: bytes) -> bool | None:
    """Whether the run is at work that a file's content is of; None where that cannot be known here."""
    for status in statuses_of([content]):
        return status.is_alive
    return None


def remove_dead(output: Path) -> None:
    """Remove the files of runs that are gone: of this machine, or unheard of for `STALE_S` on another.

    So are those that they were about to write: a run that finds all finished writes none itself.
    """
    with contextlib.suppress(OSError):  # there is no folder yet, or it is read-only
        sweep(output)
    for path in output.glob(f".*{RUN_SUFFIX}"):
        with contextlib.suppress(OSError, FieldError, ValueError):
            is_alive = from_json(RunStatus, parse_json(path.read_bytes()), path.name).is_alive
            # One that lives after all writes its file again within seconds.
            if is_alive is False or (is_alive is None and age_s(path) > STALE_S):
                path.unlink(missing_ok=True)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
