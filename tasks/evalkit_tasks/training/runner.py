"""Trains the cells that are missing, each in a process of one thread, and goes on where it was stopped."""

import concurrent.futures
import contextlib
import dataclasses
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
from evalkit.errors import EvalkitError, ScoringError, first_line
from evalkit.files import locked
from evalkit.runner.options import check_writable
from evalkit.terminal import show
from evalkit_tasks.training.cells import find_cell, partial_folder, write_cell
from evalkit_tasks.training.networks.architectures import find_architecture
from evalkit_tasks.training.spec import TrainSpec, check_spec, stack_key
from evalkit_tasks.training.tasks.catalog import get_task
from evalkit_tasks.training.training import run_specs

CHECKPOINT = "checkpoint.pt"
LINE_INTERVAL_S = 10.0

_ENDS = {
    "budget": " (out of budget)",
    "accuracy": " (accuracy reached)",
    "patience": " (validation loss no longer fell)",
}


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
    stacks = [stack for stack in stacks_of(specs) if any(spec not in done for spec in stack)]
    for spec, outcome in _outcomes(stacks, output, device, min(num_jobs, len(stacks))):
        if isinstance(outcome, ProbeCell):
            done[spec] = outcome
            tell(describe(outcome))
        else:
            failures.append(Failure(spec, outcome))
            tell(f"FAILED {spec.name}: {outcome}")
    return [done[spec] for spec in specs if spec in done], failures


def stacks_of(specs: Sequence[TrainSpec]) -> list[list[TrainSpec]]:
    """The specs in the groups that are trained side by side; each spec once.

    These are the seeds of a network that is computed faster so, if its training ends at an accuracy.
    """
    stacks: dict[TrainSpec, list[TrainSpec]] = {}
    for spec in dict.fromkeys(specs):
        is_batched = find_architecture(spec.model, spec.negative_eigenvalues).is_batched
        alike = dataclasses.replace(spec, seed=0) if is_batched and spec.stop_accuracy is not None else spec
        stacks.setdefault(alike, []).append(spec)
    return list(stacks.values())


def train_stack(
    specs: Sequence[TrainSpec], output: Path, device: str
) -> list[tuple[TrainSpec, ProbeCell | str]]:
    """The cells of specs that are trained side by side, from their checkpoint if there is one.

    Waits where another process is training one of them.

    Returns:
        Of each spec its cell, or why there is none.
    """
    from evalkit.cells.provenance import cell_environment

    with contextlib.ExitStack() as locks:
        for folder in sorted(partial_folder(spec, output) for spec in specs):
            locks.enter_context(locked(folder))
        outcomes: dict[TrainSpec, ProbeCell | str] = {
            spec: cell for spec in specs if (cell := find_cell(spec, output, say))
        }
        missing = [spec for spec in specs if spec not in outcomes]
        if missing:
            # All go on from where they were stopped, though some have their cells: the bits are the same.
            stack = list(specs) if _checkpoint(specs, output).is_file() else missing
            environment = cell_environment(device, num_threads=1)
            results = run_specs(stack, _checkpoint(stack, output), device=device, on_step=_progress(stack))
            for spec, result in zip(stack, results, strict=True):
                if isinstance(result, ScoringError):
                    outcomes[spec] = _reason(result)
                elif spec in missing:
                    outcomes[spec] = write_cell(
                        spec, get_task(spec.task), result, output, environment=environment
                    )
        for spec in specs:
            shutil.rmtree(partial_folder(spec, output), ignore_errors=True)
    return list(outcomes.items())


def _checkpoint(specs: Sequence[TrainSpec], output: Path) -> Path:
    """In the folder of the last, whose cell is the last that is written."""
    name = CHECKPOINT if len(specs) == 1 else f"{stack_key(specs)}.pt"
    return partial_folder(specs[-1], output) / name


def _progress(specs: Sequence[TrainSpec]) -> Callable[[int, float | None], None]:
    """What prints a line every few seconds."""
    seeds = ", ".join(str(spec.seed) for spec in specs[1:])
    name = specs[0].name + (f", {seeds}" if seeds else "")
    started_s = last_line_s = time.monotonic()

    def on_step(step: int, loss: float | None) -> None:
        nonlocal last_line_s
        now_s = time.monotonic()
        if loss is not None and now_s - last_line_s >= LINE_INTERVAL_S:
            last_line_s = now_s
            say(f"  {name}: step {step} of {specs[0].num_steps}, loss {loss:.4f}, {now_s - started_s:.0f} s")

    return on_step


def describe(cell: ProbeCell) -> str:
    """A finished cell in a line."""
    spec, training = cell.spec, cell.training
    parts = [f"{label_of_test(test)}: {cell.headline(test).accuracy:.3f}" for test in cell.tests_by_length()]
    return (
        f"{spec.task}, {cell.model.name}, {spec.num_layers} layers, seed {spec.seed}: "
        f"strings right, by length: {'; '.join(parts)}; {training.num_steps} steps"
        f"{_ENDS.get(training.stopped_by, '')}, "
        f"{training.training_cpu_s + training.testing_cpu_s:.0f} s of CPU"
    )


def _outcomes(
    stacks: Sequence[Sequence[TrainSpec]], output: Path, device: str, num_jobs: int
) -> Iterator[tuple[TrainSpec, ProbeCell | str]]:
    """A cell, or why there is none, for each spec as it is finished."""
    if num_jobs <= 1:
        for stack in stacks:
            try:
                yield from train_stack(stack, output, device)
            except (EvalkitError, RuntimeError, OSError) as error:  # RuntimeError: torch's, e.g. no memory
                yield from ((spec, _reason(error)) for spec in stack)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(num_jobs, context, _begin_worker) as pool:
        futures = {pool.submit(train_stack, stack, output, device): stack for stack in stacks}
        try:
            for future in concurrent.futures.as_completed(futures):
                failure = future.exception()
                if failure is None:
                    yield from future.result()
                else:
                    yield from ((spec, _reason(failure)) for spec in futures[future])
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
