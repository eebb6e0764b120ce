"""Trains the cells that are missing, each in a process of one thread, and goes on where it was stopped."""

import concurrent.futures
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from evalkit.cells.probe_schema import ProbeCell, label_of_test
from evalkit.errors import EvalkitError, first_line
from evalkit.files import locked
from evalkit.runner.options import check_writable
from evalkit.terminal import show
from evalkit_tasks.training.cells import find_cell, partial_folder, write_cell
from evalkit_tasks.training.spec import TrainSpec, check_spec
from evalkit_tasks.training.training import run_spec

CHECKPOINT = "checkpoint.pt"
LINE_INTERVAL_S = 10.0


class Failure(NamedTuple):
    """A cell that could not be trained."""

    spec: TrainSpec
    reason: str


def say(text: str) -> None:
    """Print a line of progress to the standard error."""
    show(text, err=True)


def train(
    specs: Sequence[TrainSpec],
    output: Path,
    *,
    num_jobs: int,
    device: str = "cpu",
    tell: Callable[[str], None] = say,
) -> tuple[list[ProbeCell], list[Failure]]:
    """Cells of all specs, in their order, trained as far as they are missing.

    Args:
        specs: what; every one is checked before the first is trained.
        output: the folder of all results.
        num_jobs: processes at a time.
        device: ``cpu`` or a CUDA device.
        tell: takes a line of progress.

    Raises:
        UsageError: a spec that cannot be trained, or an output folder that cannot be written.
    """
    for spec in specs:
        check_spec(spec)
    done = {spec: cell for spec in specs if (cell := find_cell(spec, output, tell))}
    missing = [spec for spec in dict.fromkeys(specs) if spec not in done]
    if missing:
        check_writable(output)
    for spec in done:  # of a run that ended between the cell and its checkpoint's removal
        shutil.rmtree(partial_folder(spec, output), ignore_errors=True)
    tell(f"{len(done)} of {len(specs)} cells done, {len(missing)} to train")
    failures = []
    for spec, outcome in _outcomes(missing, output, device, min(num_jobs, len(missing))):
        if isinstance(outcome, ProbeCell):
            done[spec] = outcome
            tell(describe(outcome))
        else:
            failures.append(Failure(spec, outcome))
            tell(f"FAILED {spec.name}: {outcome}")
    return [done[spec] for spec in specs if spec in done], failures


def train_cell(spec: TrainSpec, output: Path, device: str) -> ProbeCell:
    """One cell, from its checkpoint if there is one; waits where another process is training it."""
    from evalkit.cells.provenance import cell_environment

    folder = partial_folder(spec, output)
    with locked(folder):
        cell = find_cell(spec, output, say)
        if cell is None:
            environment = cell_environment(device, num_threads=1)
            started_s = last_line_s = time.monotonic()

            def on_step(step: int, loss: float | None) -> None:
                nonlocal last_line_s
                now_s = time.monotonic()
                if loss is not None and now_s - last_line_s >= LINE_INTERVAL_S:
                    last_line_s = now_s
                    taken = f"{now_s - started_s:.0f} s"
                    say(f"  {spec.name}: step {step} of {spec.num_steps}, loss {loss:.4f}, {taken}")

            result = run_spec(spec, folder / CHECKPOINT, device=device, on_step=on_step)
            cell = write_cell(spec, check_spec(spec), result, output, environment=environment)
        shutil.rmtree(folder, ignore_errors=True)
    return cell


def describe(cell: ProbeCell) -> str:
    """A finished cell in a line."""
    spec, training = cell.spec, cell.training
    parts = [f"{label_of_test(test)}: {cell.headline(test).accuracy:.3f}" for test in cell.tests_by_length()]
    return (
        f"{spec.task}, {cell.model.name}, {spec.num_layers} layers, seed {spec.seed}: "
        f"strings right, by length: {'; '.join(parts)}; {training.num_steps} steps"
        f"{' (out of budget)' if training.stopped_by == 'budget' else ''}, "
        f"{training.training_cpu_s + training.testing_cpu_s:.0f} s of CPU"
    )


def _outcomes(
    specs: Sequence[TrainSpec], output: Path, device: str, num_jobs: int
) -> Iterator[tuple[TrainSpec, ProbeCell | str]]:
    """A cell, or why there is none, for each spec as it is finished."""
    if num_jobs <= 1:
        for spec in specs:
            try:
                yield spec, train_cell(spec, output, device)
            except (EvalkitError, RuntimeError, OSError) as error:  # RuntimeError: torch's, e.g. no memory
                yield spec, _reason(error)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(num_jobs, context, _begin_worker) as pool:
        futures = {pool.submit(train_cell, spec, output, device): spec for spec in specs}
        try:
            for future in concurrent.futures.as_completed(futures):
                failure = future.exception()
                yield futures[future], future.result() if failure is None else _reason(failure)
        except (KeyboardInterrupt, GeneratorExit):
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _reason(error: BaseException) -> str:
    kind = "" if isinstance(error, EvalkitError) else f"{type(error).__name__}: "
    return kind + (first_line(error) if str(error) else "no reason given")


def _begin_worker() -> None:
    """One thread, no word on Ctrl-C (the parent stops us), and an end with the parent, whatever ends it."""
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
