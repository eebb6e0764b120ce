"""The engine of many machines: Ray gives each model a process, and a GPU where there are any.

The plan goes once into Ray's object store; what comes back is what a fork of this process would say, as a
stream. Ray retries nothing itself: a process or machine that is lost costs what it costs on one machine
(`evalkit.runner.pool`). The output folder, local models and the hub's cache are paths on every machine.
"""

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.errors import UsageError, first_line
from evalkit.extras import check_extra
from evalkit.runner.claims import HEARTBEAT_S
from evalkit.runner.options import RunOptions
from evalkit.runner.parts import part_of
from evalkit.runner.plan import PlannedCell
from evalkit.runner.pool import STOP_PATIENCE_S, Message, Settled, Stopped, serve
from evalkit.scoring.parts import Part

if TYPE_CHECKING:
    from ray import ObjectRefGenerator

_LOOK_INTERVAL_S = 10.0
"""Between two looks at how many machines there are."""
_POLL_S = 0.2
"""How soon a process hears that it is to end."""


class Resources(NamedTuple):
    """What a machine has."""

    num_cpus: int
    num_gpus: int


class Share(NamedTuple):
    """How the machines are shared out."""

    num_slots: int
    """Models that are scored at a time."""
    num_cpus: int
    """For each of them."""
    num_gpus: int
    """Likewise: 1, or 0 where no machine has any."""


def share_out(machines: Sequence[Resources], processes: int | None, *, uses_gpus: bool) -> Share:
    """How many models are scored at a time, and with what.

    Args:
        machines: those that there are, at least one.
        processes: how many models at a time; None: as many as GPUs, or as machines where there are none.
        uses_gpus: whether models are to run on GPUs where there are any.
    """
    with_gpus = [machine for machine in machines if machine.num_gpus] if uses_gpus else []
    if with_gpus:
        num_slots = sum(machine.num_gpus for machine in with_gpus)
        num_cpus = min(machine.num_cpus // machine.num_gpus for machine in with_gpus)
        return Share(processes or num_slots, max(1, num_cpus), 1)
    num_slots = processes or len(machines)
    num_per_machine = -(-num_slots // len(machines))
    num_cpus = min(machine.num_cpus for machine in machines) // num_per_machine
    return Share(num_slots, max(1, num_cpus), 0)


class RayEngine:
    """Processes on the machines of a Ray cluster; see `evalkit.runner.pool.Engine`."""

    def __init__(self, cells: Sequence[PlannedCell[Any]], options: RunOptions) -> None:
        """Join the cluster at ``options.address``, or start one on this machine.

        Args:
            cells: all that the run will score.
            options: of the run.

        Raises:
            UsageError: Ray is not installed, nothing answers at the address, or the plan holds what cannot be
                sent to another process.
        """
        self._ray = _import_ray()
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            _connect(self._ray, options.address)
        self._options = options
        self._streams: dict[int, ObjectRefGenerator[Any]] = {}
        self._deaths: dict[int, str] = {}
        self._num_started = 0
        self._places = {id(cell): place for place, cell in enumerate(cells)}
        self._looked_s = time.monotonic()
        self._share = self._look()
        try:
            self._plan = self._ray.put(tuple(cells))
        except TypeError as error:
            self.stop()
            raise UsageError(
                f"a model or corpus cannot be sent to another machine ({first_line(error)}); name models "
                "and corpora, or use --engine local"
            ) from error

    def num_slots(self) -> int:
        """See `evalkit.runner.pool.Engine`; machines may come and go."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_INTERVAL_S:
            self._looked_s, self._share = now_s, self._look()
        return self._share.num_slots

    def start(self, cells: Sequence[PlannedCell[Any]], slot: int) -> int:  # noqa: ARG002
        """See `evalkit.runner.pool.Engine`; which GPU it gets is Ray's to say."""
        # A process that has computed is not taken again.
        task = self._ray.remote(max_calls=1)(stream).options(
            num_cpus=self._share.num_cpus,
            num_gpus=self._share.num_gpus,
            num_returns="streaming",
            max_retries=0,
            scheduling_strategy="SPREAD",
        )
        places = [(self._places[id(cell.whole or cell)], cell.part) for cell in cells]
        self._num_started += 1
        folder = self._options.folder
        self._streams[self._num_started] = task.remote(self._plan, places, self._sent_options(), folder)
        return self._num_started

    def wait(self) -> Sequence[int]:
        """See `evalkit.runner.pool.Engine`."""
        ready: Sequence[object] = ()
        deadline_s = time.monotonic() + HEARTBEAT_S
        while not ready and time.monotonic() < deadline_s:  # a signal is taken in between
            ready, _ = self._ray.wait(list(self._streams.values()), num_returns=1, timeout=1.0)
        return [number for number, messages in self._streams.items() if messages in ready]

    def receive(self, number: int) -> Message | None:
        """See `evalkit.runner.pool.Engine`."""
        try:
            said: Message = self._ray.get(next(self._streams[number]))
        except StopIteration:
            return None
        except self._ray.exceptions.RayError as error:
            self._deaths[number] = _death(error)
            return None
        return said

    def bury(self, number: int) -> str:
        """See `evalkit.runner.pool.Engine`."""
        del self._streams[number]
        return self._deaths.pop(number, "ended")

    def stop(self) -> None:
        """See `evalkit.runner.pool.Engine`; a cluster that this run has started ends as well."""
        try:
            for messages in self._streams.values():
                self._ray.cancel(messages, recursive=False)
            deadline_s = time.monotonic() + STOP_PATIENCE_S
            for messages in self._streams.values():
                while not _has_ended(self._ray, messages) and time.monotonic() < deadline_s:
                    pass
        finally:
            self._streams = {}
            if self._is_ours:
                self._ray.shutdown()

    def _look(self) -> Share:
        machines = [
            Resources(int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        uses_gpus = self._options.device in ("auto", "cuda")
        return share_out(machines or [Resources(1, 0)], self._options.processes, uses_gpus=uses_gpus)

    def _sent_options(self) -> RunOptions:
        from dataclasses import replace

        from evalkit.runner.reporter import Silent

        # Forks of a process that talks to Ray would not go on.
        has_store = self._options.remote is not None
        return replace(
            self._options,
            # The working directory there is another.
            output=self._options.output if has_store else self._options.folder,
            reporter=Silent(),
            journal=None,
            workers=1,
            is_elsewhere=has_store,
        )


def stream(
    plan: Sequence[PlannedCell[Any]],
    places: Sequence[tuple[int, Part | None]],
    options: RunOptions,
    folder: Path,
) -> Iterator[Message]:
    """Score a model's cells in a process of Ray's, and say what comes of them.

    Args:
        plan: all cells of the run.
        places: of the model's cells in it, and which part of each; None: the whole.
        options: of the run.
        folder: of the result cells where the plan was made; with an object store, another than here.

    Yields:
        What `evalkit.runner.pool.serve` sends.
    """
    messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    is_over = threading.Event()

    cells = [
        _moved(plan[place] if part is None else part_of(plan[place], part), folder, options)
        for place, part in places
    ]

    def send(message: Message) -> None:
        if is_over.is_set():
            raise KeyboardInterrupt
        if isinstance(message, Settled) and options.is_elsewhere:
            _store(cells[message.place], message, options)
        messages.put(message)

    def work() -> None:
        try:
            serve(cells, options, send)
        except BaseException as error:
            messages.put(Stopped(None, f"ended with {type(error).__name__}: {error}"))
        finally:
            messages.put(None)

    # What Ray interrupts is the main thread, which must be one that listens.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            with contextlib.suppress(queue.Empty):
                message = messages.get(timeout=_POLL_S)
                if message is None:
                    return
                yield message
    finally:
        is_over.set()
        thread.join(STOP_PATIENCE_S)


def _moved(cell: PlannedCell[Any], folder: Path, options: RunOptions) -> PlannedCell[Any]:
    """A cell of a plan that was made where the results lie in another folder."""
    from dataclasses import replace

    return replace(cell, path=options.folder / cell.path.relative_to(folder))


def _store(cell: PlannedCell[Any], settled: Settled, options: RunOptions) -> None:
    """Store a cell that was scored on this machine, or of which this machine has finished the last part."""
    assert options.remote is not None
    is_ours = settled.is_scored or (cell.part is not None and settled.failure is None and cell.path.exists())
    if is_ours:
        options.remote.store(cell.path)
        options.remote.documents.remove(cell.path, warn=lambda _: None)


def _import_ray() -> Any:
    # What a run does is nobody else's business; and what Ray will do to CUDA_VISIBLE_DEVICES one day, now.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    check_extra("ray")
    import ray

    return ray


def _connect(ray: Any, address: str | None) -> None:
    """Join or start a cluster; how this process ends on a signal stays as it was.

    Raises:
        UsageError: nothing answers at the address.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        if address is None:
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        else:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster answers at --address {address} ({first_line(error)}); give HOST:PORT of "
            "one that `ray start --head` has begun, auto on one of its machines, or no address"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _has_ended(ray: Any, messages: "ObjectRefGenerator[Any]") -> bool:
    """Whether a process has ended; what it still says is dropped."""
    ready, _ = ray.wait([messages], timeout=1.0)
    if not ready:
        return False
    try:
        ray.get(next(messages))
    except (StopIteration, ray.exceptions.RayError):
        return True
    return False


def _death(error: BaseException) -> str:
    """How a process ended, in words that follow its name."""
    names = {
        "WorkerCrashedError": "was lost: it was killed or crashed",
        "OutOfMemoryError": "was killed: memory was full",
        "NodeDiedError": "was lost with its machine",
        "LocalRayletDiedError": "was lost with its machine",
        "ObjectLostError": "was lost with its machine",
    }
    name = type(error).__name__
    return names.get(name, f"was lost ({name}: {first_line(error)})")
