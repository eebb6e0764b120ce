"""`run_tasks`: models on tasks."""

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path

from evalkit.cells.provenance import cell_environment
from evalkit.cells.schema import TaskCell, content_of
from evalkit.cells.task_cell import (
    cell_path,
    find_task_cell,
    find_task_cell_of_versions,
    write_task_cell,
)
from evalkit.displayed import Displayed, Record, counted
from evalkit.errors import UsageError
from evalkit.models.loading import LocatedModel, locate_models, with_loaded_details
from evalkit.models.protocol import Codec, Model, TokenModel
from evalkit.runner.loop import score_missing
from evalkit.runner.options import RunOptions, listed
from evalkit.runner.plan import Failure, PlannedCell, places_of_run, planned_cell, work_of
from evalkit.runner.reporter import ItemProgress
from evalkit.runner.unaudited import unaudited_models
from evalkit.tasks import EvalTask, TaskOptions, default_date, make_tasks


@dataclasses.dataclass(frozen=True, repr=False)
class TaskRunResult(Displayed):
    """What a run over tasks found finished, and what it scored."""

    cells: Sequence[TaskCell]
    """In the order of the tasks, for each the models in theirs."""
    failures: tuple[Failure, ...]
    num_scored: int
    """Cells that this run computed; the others were finished before."""
    unaudited: tuple[str, ...] = ()
    """Models, by name, that have cells here and no kept audit; those of the package left out."""

    def headline(self) -> str:
        """How many cells, how many of them made now, and what failed."""
        return (
            f"{counted(len(self.cells), 'cell')}, {self.num_scored} scored now, {len(self.failures)} failed"
        )

    def records(self) -> list[Record]:
        """A row per cell and bucket of its items: accuracies with their intervals."""
        return [
            {"model": cell.model.name, "task": cell.task.name, **record}
            for cell in self.cells
            for record in cell.records()
        ]

    def to_json(self) -> dict[str, object]:
        """The result as strict JSON can hold it."""
        return {
            "schema_version": 2,
            "num_scored": self.num_scored,
            "cells": [{"file": str(cell.path), **content_of(cell)} for cell in self.cells],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }


def run_tasks(
    models: str | Model | Sequence[str | Model],
    tasks: str | EvalTask | Sequence[str | EvalTask],
    task_options: TaskOptions | None = None,
    *,
    options: RunOptions | None = None,
) -> TaskRunResult:
    """Ask every model every task, as far as that is not done yet.

    Names and options are checked before any weights are loaded; a cell that fails does not stop the others.

    Args:
        models: as for `evalkit.runner.corpora.run`; compressors cannot be asked.
        tasks: names of suites and of their members, or `evalkit.tasks.EvalTask` objects; a single one too.
        task_options: what items to make; None: the defaults, of this month.
        options: output folder, device, precision and the like; None: the defaults.

    Raises:
        UsageError: a name, an option or a combination of them is wrong.
        ModelError: there is no file at a path, or none of the models can be found and identified.
    """
    options = options or RunOptions()
    models, tasks = listed(models), listed(tasks)
    if not models:
        raise UsageError("nothing to do: name at least one model to ask")
    options.check()
    eval_tasks = make_tasks(tasks, task_options or TaskOptions(default_date()))
    located_models = locate_models(models, options.load_options)
    for located in located_models:
        name = located.identity.name
        if located.identity.loader == "codec" or isinstance(located.instance, Codec):
            raise UsageError(f"{name} is a compressor, it cannot be asked; name language models")
    pairs = [(located, task) for task in eval_tasks for located in located_models]
    works = [(located, work_of(located, task.num_items)) for located, task in pairs]
    pairs = [pairs[place] for place in places_of_run(works, options)]
    planned = [_planned(located, task, options) for located, task in pairs]
    result = score_missing(planned, options)
    unaudited = unaudited_models(result.first_cells, options)
    return TaskRunResult(result.cells, result.failures, result.num_scored, unaudited)


def _planned(located: LocatedModel, task: EvalTask, options: RunOptions) -> PlannedCell[TaskCell]:
    path = cell_path(located.identity, task, options.folder)
    return planned_cell(
        located,
        f"{task.name} ({task.method})",
        task.num_items,
        f"{task.num_items} items",
        path,
        functools.partial(_find, path, located, task),
        functools.partial(_score, located, task, path),
        options,
        work_of(located, task.num_items),
    )


def _find(path: Path, located: LocatedModel, task: EvalTask, options: RunOptions) -> TaskCell | None:
    warn = options.reporter.message
    cell = find_task_cell(path, located.identity, task, warn=warn, dry_run=options.dry_run)
    if cell is None and options.accept_versions:
        return find_task_cell_of_versions(path, located.identity, task, warn=warn)
    return cell


def _score(located: LocatedModel, task: EvalTask, path: Path, model: Model, options: RunOptions) -> TaskCell:
    if not isinstance(model, TokenModel):
        raise UsageError(f"{located.identity.name} has no tokens, it cannot be asked")
    environment = cell_environment(options.device)
    started_s = time.perf_counter()

    def count(num_done: int) -> None:
        elapsed_s = time.perf_counter() - started_s
        options.reporter.advance(ItemProgress(num_done, num_done / max(1, task.num_items), elapsed_s))

    outcome = task.score(model, count)
    return write_task_cell(
        path,
        with_loaded_details(located.identity, model),
        task,
        outcome,
        prefix=model.prefix,
        seconds=time.perf_counter() - started_s,
        environment=environment,
    )
