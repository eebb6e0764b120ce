"""`run_tasks`: ask what is missing, keep what is there, and say plainly what failed."""

import dataclasses
import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit import environment
from evalkit.cells.task_cell import TaskCell, cell_path, find_task_cell, write_task_cell
from evalkit.errors import EvalkitError, UsageError, one_line
from evalkit.models.catalog import MIN_CONTEXT_LIMIT
from evalkit.models.loading import LocatedModel, locate_models
from evalkit.models.protocol import Codec, LoadOptions, Model, TokenModel
from evalkit.runner.corpora import (
    DEFAULT_OUTPUT,
    Failure,
    Reporter,
    Silent,
    check_device_and_dtype,
    check_writable,
)
from evalkit.scoring.documents import Progress
from evalkit.tasks import EvalTask, TaskOptions, default_date, make_tasks


@dataclasses.dataclass
class _Planned:
    located: LocatedModel
    task: EvalTask
    path: Path
    cell: TaskCell | None

    @property
    def label(self) -> str:
        return f"{self.task.name} ({self.task.method})"


@dataclasses.dataclass(frozen=True)
class TaskRunResult:
    """What a run found or made."""

    cells: tuple[TaskCell, ...]
    """In the order of the tasks, for each the models in theirs."""
    failures: tuple[Failure, ...]
    num_scored: int
    """Cells that this run computed; the others were there."""

    def to_json(self) -> dict[str, Any]:
        """The result as strict JSON can hold it."""
        return {
            "schema_version": 1,
            "num_scored": self.num_scored,
            "cells": [{"file": str(cell.path), **cell.content} for cell in self.cells],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }


def run_tasks(
    models: Sequence[str | Model],
    tasks: Sequence[str | EvalTask],
    options: TaskOptions | None = None,
    *,
    output: str | os.PathLike[str] = DEFAULT_OUTPUT,
    device: str = "auto",
    dtype: str = "auto",
    max_context: int | None = None,
    trust_remote_code: bool = False,
    dry_run: bool = False,
    debug: bool = False,
    reporter: Reporter | None = None,
) -> TaskRunResult:
    """Ask every model every task, as far as that is not done yet.

    Everything that was asked for is checked before any weights are loaded; a cell that fails does not
    stop the others.

    Args:
        models: as for `evalkit.runner.corpora.run`; compressors cannot be asked.
        tasks: names of suites and of their members, or `evalkit.tasks.EvalTask` objects.
        options: what items to make; None: the defaults, of this month.
        output: folder of the result cells.
        device: as for `run`, and so are the others.
        dtype: see there.
        max_context: see there.
        trust_remote_code: see there.
        dry_run: plan only.
        debug: let an error end the run where it happens.
        reporter: who is told.

    Raises:
        UsageError: a name, an option or a combination of them is wrong.
        ModelError: a model cannot be found or identified.
    """
    reporter = reporter or Silent()
    if not models:
        raise UsageError("nothing to do: name at least one model to ask")
    if max_context is not None and max_context < MIN_CONTEXT_LIMIT:
        raise UsageError(f"--max-context {max_context} is too small; give {MIN_CONTEXT_LIMIT} or more")
    load_options = LoadOptions(device, dtype, trust_remote_code, max_context)
    check_device_and_dtype(load_options)
    made = make_tasks(tasks, options or TaskOptions(default_date()))
    located_models = locate_models(models, load_options)
    for located in located_models:
        if located.identity.loader == "codec" or isinstance(located.instance, Codec):
            raise UsageError(
                f"{located.identity.name} is a compressor, it cannot be asked; name language models"
            )
    planned = []
    for task in made:
        for located in located_models:
            path = cell_path(located.identity, task, Path(output))
            cell = find_task_cell(path, warn=reporter.message, dry_run=dry_run)
            planned.append(_Planned(located, task, path, cell))
    missing = [one for one in planned if one.cell is None]
    if missing and not dry_run:
        check_writable(Path(output))
    reporter.message(f"{len(planned) - len(missing)} of {len(planned)} cells done, {len(missing)} to ask")
    for one in missing:
        reporter.message(f"  {one.located.identity.name}: {one.label}, {one.task.num_items} items")
    failures: list[Failure] = []
    if not dry_run:
        for located in located_models:
            of_model = [one for one in missing if one.located is located]
            failures += _ask_model(located, of_model, device, reporter, debug) if of_model else []
    cells = tuple(one.cell for one in planned if one.cell is not None)
    num_scored = 0 if dry_run else len(missing) - len(failures)
    return TaskRunResult(cells, tuple(failures), num_scored)


def _ask_model(
    located: LocatedModel, missing: Sequence[_Planned], device: str, reporter: Reporter, debug: bool
) -> list[Failure]:
    failures: list[Failure] = []

    def failed(error: Exception, cells: Sequence[_Planned]) -> None:
        if debug:
            raise error
        reason = one_line(str(error))
        if not isinstance(error, EvalkitError):
            reason = f"{type(error).__name__}: {reason} (run with --debug to see where)"
        for cell in cells:
            failures.append(Failure(located.identity.name, cell.label, reason))
            reporter.message(f"FAILED {located.identity.name} on {cell.label}: {reason}")

    # Whatever a model does, it is named as failed and the other cells go on.
    try:
        model = located.load()
    except Exception as error:
        failed(error, missing)
        return failures
    for cell in missing:
        try:
            _ask_cell(model, cell, device, reporter)
        except Exception as error:
            failed(error, [cell])
        finally:
            reporter.finish()
    del model
    if located.instance is None:
        gc.collect()  # the next model needs the memory
    return failures


def _ask_cell(model: Model, planned: _Planned, device: str, reporter: Reporter) -> None:
    if not isinstance(model, TokenModel):
        raise UsageError(f"{planned.located.identity.name} has no tokens, it cannot be asked")
    num_items = planned.task.num_items
    reporter.start(planned.located.identity.name, planned.label, num_items)
    # Before the asking: what goes wrong here should not cost hours.
    where = environment.environment() | environment.torch_environment(device)
    started = time.perf_counter()

    def advance(num_done: int) -> None:
        elapsed_s = time.perf_counter() - started
        reporter.advance(Progress(num_done, 0, 0.0, num_done / max(1, num_items), elapsed_s))

    outcome = planned.task.score(model, advance)
    planned.cell = write_task_cell(
        planned.path,
        planned.located.identity,
        planned.task,
        outcome,
        prefix=model.prefix,
        seconds=time.perf_counter() - started,
        environment=where,
    )
