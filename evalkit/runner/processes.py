"""A process for each model: a crash, a lack of memory or a broken GPU costs one attempt of one cell.

The processes are forks of this one, with all that it has imported and read.
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
from typing import Any, NamedTuple, TypeVar

from evalkit.environment import environment, sources_sha256
from evalkit.runner.claims import HEARTBEAT_S
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import PlannedCell
from evalkit.runner.pool import STOP_PATIENCE_S, Message, Stopped, serve

CellT = TypeVar("CellT", covariant=True)

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
_PR_SET_PDEATHSIG = 1
"""Of prctl(2): which signal comes when the parent dies."""


def can_fork() -> bool:
    """Whether a fork of this process can go on: elsewhere the system's own libraries forbid it."""
    return sys.platform == "linux"


class Forks:
    """The engine of one machine: a fork of this process for each model, and a GPU for each of them."""

    def __init__(self, options: RunOptions) -> None:
        """Take the options of a run."""
        _import_for_forks()
        self._options, self._places = options, _places(options)
        self._connections: dict[int, Connection] = {}

    def num_slots(self) -> int:
        """See `evalkit.runner.pool.Engine`."""
        if self._options.processes is not None:
            return max(1, self._options.processes)
        return len(self._places)

    def start(self, cells: Sequence[PlannedCell[Any]], slot: int) -> int:
        """See `evalkit.runner.pool.Engine`; the number is the process's id."""
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
                for connection in self._connections.values():
                    connection.close()
                place = self._places[slot % len(self._places)]
                code = _serve_parent(theirs, *_moved(cells, self._options, place), parent)
            except BaseException as error:
                theirs.send(Stopped(None, f"ended with {type(error).__name__}: {error}"))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        theirs.close()
        self._connections[pid] = ours
        return pid

    def wait(self) -> Sequence[int]:
        """See `evalkit.runner.pool.Engine`."""
        ready = wait(list(self._connections.values()), timeout=HEARTBEAT_S)
        return [pid for pid, connection in self._connections.items() if connection in ready]

    def receive(self, number: int) -> Message | None:
        """See `evalkit.runner.pool.Engine`."""
        try:
            said: Message = self._connections[number].recv()
        except (EOFError, OSError):
            return None
        return said

    def bury(self, number: int) -> str:
        """See `evalkit.runner.pool.Engine`."""
        _, status = os.waitpid(number, 0)
        self._connections.pop(number).close()
        return _death(os.waitstatus_to_exitcode(status))

    def stop(self) -> None:
        """See `evalkit.runner.pool.Engine`."""
        try:
            for pid in self._connections:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            deadline_s = time.monotonic() + STOP_PATIENCE_S
            for connection in self._connections.values():
                while time.monotonic() < deadline_s and not _has_ended(connection):
                    pass
        finally:
            for pid, connection in self._connections.items():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                connection.close()
            self._connections = {}


def _import_for_forks() -> None:
    """Import and find out here, once, what each fork would for itself: half a second of every model."""
    import pyarrow as pa
    import pyarrow.parquet  # of cells
    import scipy.special  # noqa: F401  of intervals

    pa.array([""])  # the first one imports pandas, where that is installed
    environment()
    sources_sha256()


def _has_ended(connection: Connection) -> bool:
    """Whether a process has closed its end; what it still says is dropped."""
    if not connection.poll(1.0):
        return False
    try:
        connection.recv()
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


class _Place(NamedTuple):
    """Where a process computes."""

    device: str
    gpu: str | None = None
    """What ``CUDA_VISIBLE_DEVICES`` calls the only GPU that it sees; None: it sees what there is."""
    num_sharing: int = 1
    """Processes that share torch's threads."""


def _places(options: RunOptions) -> list[_Place]:
    """Where models and parts of corpora are shared out to, one at least."""
    devices = options.devices
    if len(devices) == 1:
        has_one_each = devices[0] in ("auto", "cuda") and options.device_map is None
        gpus = _gpus() if has_one_each else []
        return [_Place(devices[0], gpu) for gpu in gpus] or [_Place(devices[0])]
    if devices[0] == "cpu":
        return [_Place("cpu", num_sharing=len(devices))] * len(devices)
    gpus = _gpus()
    return [_Place("cuda", gpus[int(device.partition(":")[2])]) for device in devices]


def _gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls the GPUs that there are."""
    if "torch" not in sys.modules:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = [str(number) for number in range(torch.cuda.device_count())]
    return visible.split(",")[: len(numbers)] if visible else numbers


# --- in the process of a model ----------------------------------------------------------------------------


def _moved(
    cells: Sequence[PlannedCell[CellT]], options: RunOptions, place: _Place
) -> tuple[list[PlannedCell[CellT]], RunOptions]:
    """A model's cells and the run's options, as they are for this process at its place."""
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    if place.num_sharing > 1:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // place.num_sharing))
    if place.device == options.device:
        return list(cells), options
    located = cells[0].located
    located = located._replace(options=located.options._replace(device=place.device))
    moved = [dataclasses.replace(cell, located=located) for cell in cells]
    return moved, dataclasses.replace(options, device=place.device)


def _serve_parent(
    connection: Connection, cells: Sequence[PlannedCell[Any]], options: RunOptions, parent: int
) -> int:
    """Score a model's cells, for as long as the parent is there; the exit code."""
    for number in _ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that
        return 1
    return serve(cells, options, connection.send)


def _interrupt(_: int, __: FrameType | None) -> None:
    """End in good order; a second signal would only disturb that, and the parent does not wait for ever."""
    for number in _ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
