"""Work on foreign bytes in a process of its own, with limits of time and memory that hold whatever happens.

A page of a megabyte can keep a library's parser busy for hours, fill the memory or crash it. In a child
process that is the failure of one call, named, and the caller goes on. The child is used again for the next
call; only after a failure, or when it has grown, is there a new one.

What a function returns is what it would have returned here: it, its arguments and its result are pickled, and
it is imported in the child from the same places. The child guards against what libraries do by mistake, not
against code that means harm: it may do all that its user may.
"""

import atexit
import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from evalkit.errors import EvalkitError, first_line

P = ParamSpec("P")
T = TypeVar("T")


class WorkLimits(NamedTuple):
    """What one call may take."""

    max_cpu_s: float = 20.0
    """Of processor time, so that a busy machine does not change what comes out."""
    max_wall_s: float = 600.0
    """For calls that wait for something."""
    max_memory_bytes: int = 2 << 30
    """Of the whole child, with what it has imported."""


DEFAULT_WORK_LIMITS = WorkLimits()


class WorkFailed(Exception):  # callers make a named failure of their own of it
    """A call that used up its limits, crashed, or raised what it should not; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Task(NamedTuple):
    limits: WorkLimits
    expected: tuple[type[Exception], ...]
    call: bytes
    """Pickled function, arguments and keyword arguments."""


class _Answer(NamedTuple):
    value: object = None
    error: Exception | None = None
    """Of an expected type."""
    reason: str | None = None
    """Of a failure."""
    unreadable: str | None = None
    """Why the call could not even be unpickled."""
    retires: bool = False
    """The child ends after this."""


class Worker:
    """A child process that does one call after another. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._pid = os.getpid()
        self._search_path: list[str] = []
        """Where the child looks for modules."""
        atexit.register(self._end, kill=True)

    def call(
        self,
        limits: WorkLimits,
        expected: tuple[type[Exception], ...],
        function: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """What a function returns, called in the child.

        Args:
            limits: of this call.
            expected: exceptions that are the function's answers: they are raised here as they are.
            function: importable by its name, as are the types of its arguments and its result.
            args: its arguments.
            kwargs: its arguments by keyword.

        Raises:
            WorkFailed: a limit, a crash, or an exception that was not expected.
            EvalkitError: the call cannot be sent to another process, or that process does not start.
        """
        try:
            call = pickle.dumps((function, args, kwargs))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise _unsendable(function, str(error)) from error
        with self._lock:
            answer = self._answer(_Task(limits, expected, call))
        if answer.unreadable is not None:
            raise _unsendable(function, answer.unreadable)
        if answer.error is not None:
            raise answer.error
        if answer.reason is not None:
            raise WorkFailed(answer.reason)
        value: T = answer.value  # type: ignore[assignment]  # what the function returned
        return value

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end(kill=True)

    def _answer(self, task: _Task) -> _Answer:
        if self._pid != os.getpid():  # a fork: the child that there is is its parent's, and answers that
            if self._process is not None:
                self._process.returncode = 0  # nobody here is to wait for it
            self._process, self._pid = None, os.getpid()
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        if self._connection is not None and self._search_path != sys.path:
            self._end(kill=True)  # what can be imported here now could not be there
        connection = self._connection or self._start()
        try:
            connection.send_bytes(pickle.dumps(task))
            if not connection.poll(task.limits.max_wall_s):
                self._end(kill=True)
                return _Answer(reason=f"took more than {task.limits.max_wall_s:g} s")
            answer: _Answer = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return _Answer(reason=_death(self._end(), task.limits))
        except BaseException:  # Ctrl-C: what the child answers now would be taken for the next call's answer
            self._end(kill=True)
            raise
        if answer.retires:
            self._end()
        return answer

    def _start(self) -> Connection:
        """A new child, ready for calls."""
        if sys.platform == "win32":
            raise EvalkitError(
                "what may take any time or memory is read in a process of its own with limits of both, which "
                "Windows does not have; use Linux, macOS or WSL for this file"
            )
        ours, theirs = socket.socketpair()
        with theirs:
            self._search_path = list(sys.path)
            arguments = json.dumps([self._search_path, theirs.fileno()])
            # -P: no module of the working folder before this program's own path is in place.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what libraries say there of foreign bytes is for nobody
            )
        self._connection = connection = Connection(ours.detach())
        try:
            connection.recv_bytes()
        except (EOFError, OSError):
            code = self._end()
            raise EvalkitError(
                f"the process that reads foreign files does not start ({sys.executable}, exit code {code}); "
                "see whether memory is left, or install evalkit anew"
            ) from None
        return connection

    def _end(self, *, kill: bool = False) -> int:
        """Wait for the end of the child; its exit code, 0 where there was none."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return 0
        if kill:
            process.kill()
        return process.wait()


def _unsendable(function: Callable[..., object], problem: str) -> EvalkitError:
    name = getattr(function, "__qualname__", repr(function))
    return EvalkitError(
        f"{name} cannot be sent to the process that reads foreign files ({problem}); define it, and the "
        "types of what it takes and returns, at the top of a module that can be imported"
    )


def _death(code: int, limits: WorkLimits) -> str:
    """What a child's exit code says of the call that it did not survive."""
    if code == -signal.SIGPROF:
        return f"took more than {limits.max_cpu_s:g} s of processor time"
    if code < 0:
        with contextlib.suppress(ValueError):  # a signal without a name
            return f"crashed ({signal.Signals(-code).name})"
    return f"ended its process (exit code {code})"


# --- in the child ----------------------------------------------------------------------------------------

_CHILD = (
    "import sys, json; path, handle = json.loads(sys.argv[1]); sys.path[:] = path; "
    "from evalkit.isolation import serve; serve(handle)"
)
_EXHAUSTED = "memory"
_EXHAUSTED_SHARE = 0.9
"""Of the memory that a call may take: an error after that much comes from the limit, whatever it says."""
_RETIRED_SHARE = 0.5
"""Of the memory that a call may take: a child that has grown so far would fail an innocent one."""


def serve(handle: int) -> None:
    """Answer calls until the other end is closed; only ever called in the child.

    Args:
        handle: of the socket on which calls come.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then closes its end
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, also in the middle of a C function
    connection = Connection(handle)
    connection.send_bytes(b"")
    while True:
        try:
            task: _Task = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        answer = _done(task)
        try:
            data = pickle.dumps(answer)
        except Exception as error:  # a result of a type that does not pickle
            answer = _Answer(reason=f"gave what cannot be sent back: {first_line(error)}")
            data = pickle.dumps(answer)
        connection.send_bytes(data)
        if answer.retires:
            return


def _done(task: _Task) -> _Answer:
    try:
        function, args, kwargs = pickle.loads(task.call)
    except Exception as error:  # it may come from a module that cannot be imported here
        return _Answer(unreadable=first_line(error))
    _limit_memory(task.limits.max_memory_bytes)
    signal.setitimer(signal.ITIMER_PROF, task.limits.max_cpu_s)
    try:
        answer = _Answer(value=function(*args, **kwargs))
    except task.expected as error:
        answer = _Answer(error=error)
    except MemoryError:
        answer = _Answer(reason=_EXHAUSTED)
    except Exception as error:  # whatever a library raises over foreign bytes
        answer = _Answer(reason=f"failed with {type(error).__name__}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    peak_share = process_peak_bytes() / task.limits.max_memory_bytes
    # C libraries whose allocation failed say that the input is malformed.
    is_error = answer.error is not None or answer.reason is not None
    if answer.reason == _EXHAUSTED or (is_error and peak_share > _EXHAUSTED_SHARE):
        reason = f"needed more than {task.limits.max_memory_bytes >> 20} MiB"
        return _Answer(reason=reason, retires=True)
    return answer._replace(retires=peak_share > _RETIRED_SHARE)


def _limit_memory(max_bytes: int) -> None:
    """Bound what the process may allocate, where the system can (macOS does not)."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, hard))


def process_peak_bytes() -> int:
    """The most memory that the process has held so far."""
    if sys.platform == "linux":  # where ru_maxrss counts what the parent held when it started the child
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    if sys.platform == "win32":  # where nobody counts it for us
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
