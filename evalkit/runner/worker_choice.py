"""``--workers auto``: whether a model is computed in processes or by threads, as a trial on it showed once.

What a trial showed is kept for the machine, the model and the precision. The bits are the same either way.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from evalkit.corpora.document import Document
from evalkit.environment import environment
from evalkit.files import atomic_write, cache_dir, parse_json
from evalkit.models.protocol import Model, ModelIdentity, TokenModel
from evalkit.runner.options import RunOptions
from evalkit.scoring.worker_trial import WorkerTrial, is_worth_a_trial, measure
from evalkit.scoring.workers import WorkerEndedError, num_suited_workers

T = TypeVar("T")


def with_workers(
    compute: Callable[[int], T],
    model: Model,
    documents: Sequence[Document],
    options: RunOptions,
) -> T:
    """Compute in as many processes as suit, and in this one where memory did not hold them.

    Args:
        compute: does it, given the number of processes; what it had finished it does not compute again.
        model: what is computed with.
        documents: what is scored.
        options: of the run; its reporter is told of a trial and its ratio.

    Raises:
        WorkerEndedError: a process that computed has ended, and not for lack of memory under ``auto``.
    """
    num_workers = _num_workers(model, documents, options)
    try:
        return compute(num_workers)
    except WorkerEndedError as error:
        if options.workers is not None or not error.was_killed:
            raise
        _keep(model.identity, WorkerTrial(num_workers, math.inf, 1.0))
        options.reporter.message(f"{error}; going on with threads, and so from now on")
        return compute(1)


def _num_workers(model: Model, documents: Sequence[Document], options: RunOptions) -> int:
    if not isinstance(model, TokenModel):
        return 1
    num_workers = num_suited_workers(model, documents, options.workers)
    if num_workers == 1 or options.workers is not None:
        return num_workers
    trial = _kept(model.identity)
    if trial is None and is_worth_a_trial(documents, num_workers):
        trial = measure(model, documents, num_workers)
        if trial is not None:
            _keep(model.identity, trial)
            options.reporter.message(_line(model.identity.name, trial))
    return num_workers if trial is None or trial.processes_speed >= 1 else 1


def _line(name: str, trial: WorkerTrial) -> str:
    """What a trial showed, in words."""
    processes = f"{trial.num_workers} single-threaded processes"
    speed = trial.processes_speed
    if speed == 0:
        return f"{name}: computed by threads: memory does not hold {processes}"
    if speed < 1:
        return f"{name}: computed by threads, {1 / speed:.2f} times as fast as {processes} in a trial"
    return f"{name}: computed in {processes}, {speed:.2f} times as fast as threads in a trial"


def _kept(identity: ModelIdentity) -> WorkerTrial | None:
    """What a trial of the model showed on this machine; None where there was none, or its file is damaged."""
    try:
        num_workers, processes_s, threads_s = parse_json(_path(identity).read_text(encoding="utf-8"))
        seconds = math.inf if processes_s is None else float(processes_s)
        trial = WorkerTrial(int(num_workers), seconds, float(threads_s))
    except (OSError, ValueError, TypeError):
        return None
    return trial if min(trial) > 0 else None


def _keep(identity: ModelIdentity, trial: WorkerTrial) -> None:
    seconds = None if trial.processes_s == math.inf else trial.processes_s
    with contextlib.suppress(OSError):  # else it is measured again
        path = _path(identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            content = json.dumps([trial.num_workers, seconds, trial.threads_s])
            temporary.write_text(content, encoding="utf-8")


def _path(identity: ModelIdentity) -> Path:
    import torch

    machine = environment()
    parts = [
        *(
            machine["cpu"],
            machine["num_cpus"],
            torch.get_num_threads(),
            torch.__version__,
            machine["evalkit"],
        ),
        *(
            identity.loader,
            identity.weights_sha256,
            identity.config_sha256,
            identity.numerics,
            identity.dtype,
        ),
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return cache_dir() / "worker-trials" / f"{digest}.json"
