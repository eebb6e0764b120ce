"""A fault in the process that calls `inject`: killed, out of room or memory, a clock that runs backwards.

Moments are operations on files, which Python tells its audit hooks of before it does them, so that the same
order strikes at the same place. Between two of them, in the middle of a write, the kernel's limit on the size
of a file strikes at any byte.
"""

import datetime as dt
import errno
import itertools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "tempfile.",
    "shutil.",
)
_OPERATIONS = ("open", "os.", "fcntl.", "tempfile.", "shutil.", "socket.", "subprocess.")
_NEEDS_ROOM = ("open", "os.mkdir", "os.link", "os.symlink", "tempfile.mkstemp", "tempfile.mkdtemp")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NO_DISK = ("/dev/", "/proc/", "/sys/")


class Fault(NamedTuple):
    """What happens to a process, and when."""

    kind: str = "none"
    """One of `KINDS`."""
    at: int = 0
    """At which operation, byte or millisecond; for ``out of memory`` how many MB more it gets."""


class Operations:
    """How many operations there were so far."""

    def __init__(self) -> None:
        self.num_operations = 0
        self.num_changes = 0
        """Of these, how many change something on a disk."""


def inject(fault: Fault) -> Operations:
    """Let the fault happen to this process from now on; the counts go on while it runs."""
    operations = Operations()
    strike = KINDS[fault.kind](fault.at)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not event.startswith(_OPERATIONS):
            return
        operations.num_operations += 1
        changes = _changes(event, arguments)
        operations.num_changes += changes
        strike(operations, event, arguments, changes)

    sys.addaudithook(hook)
    return operations


_Strike = Callable[[Operations, str, tuple[Any, ...], bool], None]


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    path = arguments[0] if arguments else None
    if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(_NO_DISK):
        return False
    if event == "open":
        return bool(arguments[2] & _WRITING) and not isinstance(path, int)
    return event.startswith(_CHANGES)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _none(at: int) -> _Strike:
    return lambda operations, event, arguments, changes: None


def _kill_at_operation(at: int) -> _Strike:
    def strike(operations: Operations, event: str, arguments: tuple[Any, ...], changes: bool) -> None:
        if operations.num_operations == at:
            _die()

    return strike


def _kill_at_change(at: int) -> _Strike:
    def strike(operations: Operations, event: str, arguments: tuple[Any, ...], changes: bool) -> None:
        if changes and operations.num_changes == at:
            _die()

    return strike


def _kill_at_millisecond(at: int) -> _Strike:
    """Of processor time; the default action of the signal ends a process as SIGKILL does."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, at / 1000)
    return _none(at)


def _limit_files(at: int, action: signal.Handlers) -> _Strike:
    signal.signal(signal.SIGXFSZ, action)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, resource.RLIM_INFINITY))
    return _none(at)


def _kill_at_byte(at: int) -> _Strike:
    """The write that would make a file longer than ``at`` bytes fills it so far, and the next one kills."""
    return _limit_files(at, signal.SIG_DFL)


def _full_at_byte(at: int) -> _Strike:
    return _limit_files(at, signal.SIG_IGN)


def _full_at_change(at: int) -> _Strike:
    def strike(operations: Operations, event: str, arguments: tuple[Any, ...], changes: bool) -> None:
        if changes and operations.num_changes >= at and event in _NEEDS_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), _path(arguments))

    return strike


def _read_only(at: int) -> _Strike:
    """What the process may not change is its working folder."""
    folder = str(Path.cwd())

    def strike(operations: Operations, event: str, arguments: tuple[Any, ...], changes: bool) -> None:
        path = _path(arguments)
        if changes and path is not None and str(Path(path).absolute()).startswith(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    return strike


def _path(arguments: tuple[Any, ...]) -> str | None:
    if arguments and isinstance(arguments[0], str | bytes | os.PathLike):
        return os.fsdecode(arguments[0])
    return None


def _out_of_memory(at: int) -> _Strike:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + at * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return _none(at)


def _clock(step_s: float) -> _Strike:
    """Every look at any clock finds it ``step_s`` further than the last one; the first ones are right."""
    real_datetime, start_s = dt.datetime, time.time()
    looks = itertools.count()

    def seconds() -> float:
        return start_s + step_s * next(looks)

    class OfDatetime(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real_datetime)

    class SteppingDatetime(real_datetime, metaclass=OfDatetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real_datetime.fromtimestamp(seconds(), tz)

    dt.datetime = SteppingDatetime  # type: ignore[misc]
    for name in ("time", "monotonic", "perf_counter", "process_time"):
        setattr(time, name, seconds)
        setattr(time, f"{name}_ns", lambda: int(seconds() * 1e9))
    return _none(0)


KINDS: dict[str, Callable[[int], _Strike]] = {
    "none": _none,
    "kill at operation": _kill_at_operation,
    "kill at change": _kill_at_change,
    "kill at millisecond": _kill_at_millisecond,
    "kill at byte": _kill_at_byte,
    "full at byte": _full_at_byte,
    "full at change": _full_at_change,
    "read-only": _read_only,
    "out of memory": _out_of_memory,
    "clock backwards": lambda at: _clock(-1.0),
    "clock stopped": lambda at: _clock(0.0),
}
