"""Processes that compute with copies of one model, a single thread each.

The threads of one process wait for one another after every operator, and wait long where a core is taken by
another program; processes of their own do not. They are forks of the process that has loaded the model, so
that its weights lie in memory once. What they are given and answer goes through pipes.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.corpora.document import Document
from evalkit.errors import ScoringError
from evalkit.models.protocol import TokenModel

BYTES_PER_TOKEN = 4
"""Of text, about."""


@runtime_checkable
class ForkableModel(Protocol):
    """A model that says whether a fork of its process can compute with it."""

    is_forkable: bool
    """Whether it computes on the CPU, and holds no connection or thread."""

    def nats(
        self,
        sequences: Sequence[NDArray[np.int64]],
        *,
        contexts: Sequence[NDArray[np.int64]] | None = None,
    ) -> list[NDArray[np.float32]]:
        """As that of `TokenModel`; it takes arrays too, which are a fifth of the size of lists."""
        ...


@runtime_checkable
class CountingModel(Protocol):
    """A model that counts what it computes."""

    num_computed: int
    """Token positions so far, padding included."""


class WorkerEndedError(ScoringError):
    """A process that computed has ended, and its batch with it."""

    was_killed = False
    """By SIGKILL, as the system does where memory runs out."""


class Job(NamedTuple):
    """The arguments of `TokenModel.nats`."""

    sequences: Sequence[NDArray[np.int64]]
    contexts: Sequence[NDArray[np.int64]]


class Answer(NamedTuple):
    """What came of a job."""

    nats: list[NDArray[np.float32]]
    num_computed: int | None
    """Token positions, padding included; None where the model does not count them."""
    error: BaseException | None = None
    """What the model raised; the other members are empty then."""

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether half a job might have an answer."""
        from evalkit.models.devices import is_out_of_memory

        return isinstance(self.error, Exception) and is_out_of_memory(self.error)


def compute(model: TokenModel, job: Job) -> Answer:
    """What a model makes of a job; lack of memory is an answer, any other error is raised."""
    from evalkit.models.devices import free_cached_memory, is_out_of_memory

    before = model.num_computed if isinstance(model, CountingModel) else None
    try:
        if isinstance(model, ForkableModel):
            costs = model.nats(job.sequences, contexts=job.contexts)
        else:
            costs = model.nats(_as_lists(job.sequences), contexts=_as_lists(job.contexts))
        nats = [np.asarray(cost) for cost in costs]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        answer = Answer([], None, error.with_traceback(None))  # whose frames would hold what did not fit
        free_cached_memory()
        return answer
    return Answer(nats, None if before is None else model.num_computed - before)  # type: ignore[attr-defined]


def _as_lists(arrays: Sequence[NDArray[np.int64]]) -> list[list[int]]:
    return [array.tolist() for array in arrays]


def num_suited_workers(model: TokenModel, documents: Sequence[Document], num_allowed: int | None) -> int:
    """How many processes to compute in; one means this process, with as many threads as torch has.

    As many as torch has threads (a core each; ``OMP_NUM_THREADS`` says fewer), but no more than there are
    batches, and than there are windows as long as the longest: one process must not read alone while the
    others have nothing left. Where that leaves half of the threads or more without a process, this process
    uses them all.

    Args:
        model: a model; of one that does not run on the CPU there is one.
        documents: what is scored.
        num_allowed: at most so many, however many threads that leaves; None: any number.
    """
    is_forkable = isinstance(model, ForkableModel) and model.is_forkable
    if sys.platform != "linux" or not is_forkable or num_allowed == 1:
        return 1
    import torch

    lengths = [document.num_read_bytes for document in documents]
    num_bytes, longest = sum(lengths), max(lengths, default=0)
    if model.context_limit is not None:
        longest = min(longest, model.context_limit * BYTES_PER_TOKEN)
    bytes_per_job = max(1, longest, model.tokens_per_batch * BYTES_PER_TOKEN)
    num_threads, num_jobs = torch.get_num_threads(), num_bytes // bytes_per_job
    if num_allowed is None and 2 * num_jobs <= num_threads:
        return 1
    return max(1, min(num_allowed or num_threads, num_jobs))


class Workers:
    """Forks of this process that take jobs; a context manager that ends them."""

    def __init__(self, model: TokenModel, num_workers: int) -> None:
        """Start them.

        Args:
            model: what they compute with.
            num_workers: each has one thread. Of more, GNU's OpenMP library would wait in vain: a fork has
                not the threads that it remembers of the process before.
        """
        self._name = model.identity.name
        context = multiprocessing.get_context("fork")
        self._processes: dict[Connection, multiprocessing.process.BaseProcess] = {}
        for _ in range(num_workers):
            ours, theirs = context.Pipe()
            # A fork has copies of all that is open here: as long as one lived that had another's pipe, that
            # one would wait for jobs also when nobody is left to send any.
            not_its_own = [*self._processes, ours]
            process = context.Process(target=_serve, args=(model, theirs, not_its_own), daemon=True)
            with warnings.catch_warnings():
                # Of threads that hold locks: those of torch wait for work, and the progress bar's write.
                warnings.filterwarnings("ignore", "This process", DeprecationWarning)
                process.start()
            theirs.close()
            self._processes[ours] = process
        self._idle = list(self._processes)
        self._keys: dict[Connection, int] = {}

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_error: object) -> None:
        for connection in self._processes:
            connection.close()
        for process in self._processes.values():
            process.kill()
            process.join()

    @property
    def have_room(self) -> bool:
        """Whether one of them waits for a job."""
        return bool(self._idle)

    @property
    def are_busy(self) -> bool:
        """Whether one of them will answer."""
        return bool(self._keys)

    def send(self, key: int, job: Job) -> None:
        """Give a job to one of them that waits.

        Raises:
            ScoringError: it has ended.
        """
        connection = self._idle.pop(0)
        self._keys[connection] = key
        try:
            connection.send(job)
        except OSError as error:
            raise self._death(connection) from error

    def receive(self) -> tuple[int, Answer]:
        """Wait for an answer; returns its job's key with it.

        Raises:
            ScoringError: a process has ended before its answer.
        """
        connection = next(ready for ready in wait(list(self._keys)) if isinstance(ready, Connection))
        try:
            answer: Answer = connection.recv()
        except (EOFError, OSError) as error:
            raise self._death(connection) from error
        self._idle.append(connection)
        return self._keys.pop(connection), answer

    def _death(self, connection: Connection) -> ScoringError:
        process = self._processes[connection]
        process.join(10)
        code = process.exitcode
        end = f"exit code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                end = signal.Signals(-code).name
        memory = ", as the system does where memory runs out" if end == "SIGKILL" else ""
        error = WorkerEndedError(
            f"{self._name}: a process that computed with it has ended ({end}{memory}); run again with "
            "--workers 1"
        )
        error.was_killed = end == "SIGKILL"
        return error


def _serve(model: TokenModel, connection: Connection, not_its_own: Sequence[Connection]) -> None:
    """Answer jobs until nobody is left to send any."""
    import torch

    # They come to all of a group, and the process that was forked ends this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for copy in not_its_own:
        copy.close()
    torch.set_num_threads(1)
    gc.freeze()  # what is collected would be written to, and no longer be shared
    while True:
        try:
            job: Job = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        try:
            answer = compute(model, job)
        except BaseException as error:  # it is raised where the job came from
            error.add_note(traceback.format_exc())
            answer = Answer([], None, error.with_traceback(None))
        _send(connection, answer)


def _send(connection: Connection, answer: Answer) -> None:
    try:
        connection.send(answer)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)
    except Exception:  # an exception of a model's own that cannot be pickled
        error = answer.error
        connection.send(answer._replace(error=RuntimeError(f"{type(error).__name__}: {error}")))
