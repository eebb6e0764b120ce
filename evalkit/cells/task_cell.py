"""Cells of tasks: what one model answered to one task, on disk and whole or absent.

``<output>/tasks/<task>/<model>/<key>.json`` and ``.parquet``, under the rules of all cells
(`evalkit.cells.files`); the key is a digest of everything that determines the numbers, and the Parquet file
has a row per item.
"""

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evalkit.cells import files as cell_files
from evalkit.cells.environment_schema import Environment
from evalkit.cells.keys import (
    accepted,
    cell_model_parts,
    cells_in,
    check_parts,
    differ_in_versions_only,
    identity_parts,
    key_of,
)
from evalkit.cells.provenance import task_cell_model
from evalkit.cells.reading import cell_of, check_kind, checked_cell_of
from evalkit.cells.schema import CellItems, CellTask, TaskCell, content_of
from evalkit.files import slug
from evalkit.models.protocol import ModelIdentity
from evalkit.tasks import EvalTask, TaskOutcome

FOLDER = "tasks"
TASKS_VERSION = 1
"""Part of every key; raised by a change of how `evalkit.models.continuations` computes answers."""


def cell_path(identity: ModelIdentity, task: EvalTask, output: Path) -> Path:
    """The JSON file of a cell, there or not.

    Raises:
        ModelError: the model's identity cannot be kept in a cell.
    """
    task_cell_model(identity)  # what is wrong with it is told before anything is asked
    key = key_of(_parts(identity, task))
    return output / FOLDER / slug(task.name) / slug(identity.name) / f"{key}.json"


def _parts(identity: ModelIdentity, task: EvalTask) -> dict[str, object]:
    return {
        **identity_parts(identity),
        "task": [task.name, task.method, task.sha256],
        "version": TASKS_VERSION,
        "schema": cell_files.KEY_SCHEMA,
    }


def _cell_parts(cell: TaskCell) -> dict[str, object]:
    """What `_parts` were when the cell was computed."""
    return {
        **cell_model_parts(
            cell.model, cell.model.planned_rule or cell.model.prefix_rule, cell.model.context_limit
        ),
        "task": [cell.task.name, cell.task.method, cell.task.sha256],
        "version": cell.tasks_version,
        "schema": cell_files.KEY_SCHEMA,
    }


def find_task_cell(
    path: Path,
    identity: ModelIdentity,
    task: EvalTask,
    *,
    warn: Callable[[str], None],
    dry_run: bool = False,
) -> TaskCell | None:
    """The finished cell at `cell_path`, or None; what is no such cell is moved aside, and ``warn`` is told.

    Args:
        path: from `cell_path`.
        identity: of the model.
        task: what is asked.
        warn: gets a line for what is wrong with a file.
        dry_run: leave damaged files where they are.

    Raises:
        ScoringError: a file cannot be read, or not be moved.
    """
    parse = functools.partial(_parsed, identity, task, path)
    return cell_files.find(path, parse, warn=warn, again="asked again", dry_run=dry_run)


def _parsed(identity: ModelIdentity, task: EvalTask, path: Path, content: Mapping[str, object]) -> TaskCell:
    """The cell of a model and a task from its JSON.

    Raises:
        FieldError: it is none, or another's.
    """
    cell = checked_cell_of(TaskCell, path, content)
    check_parts(_cell_parts(cell), _parts(identity, task))
    return cell


def find_task_cell_of_versions(
    path: Path, identity: ModelIdentity, task: EvalTask, *, warn: Callable[[str], None]
) -> TaskCell | None:
    """The newest finished cell that differs only in the generation of the library that computed, or None.

    Args:
        path: from `cell_path`.
        identity: of the model.
        task: what is asked.
        warn: gets a line for what was accepted, or is wrong with a file.
    """
    for cell in cells_in(path.parent, warn=warn):
        if isinstance(cell, TaskCell) and differ_in_versions_only(_cell_parts(cell), _parts(identity, task)):
            warn(accepted(identity, task.name, cell.model))
            return cell
    return None


def write_task_cell(
    path: Path,
    identity: ModelIdentity,
    task: EvalTask,
    outcome: TaskOutcome,
    *,
    prefix: Sequence[int],
    seconds: float,
    environment: Environment,
) -> TaskCell:
    """Write a cell's two files, the JSON last; where another run has finished it meanwhile, that one stays.

    Args:
        path: from `cell_path`.
        identity: of the model.
        task: what was asked.
        outcome: what came of it.
        prefix: ids that stood before every question.
        seconds: time that asking took, without loading.
        environment: from `evalkit.cells.provenance.cell_environment`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def content(parquet_sha256: str) -> dict[str, object]:
        cell = TaskCell(
            path=path,
            schema_version=cell_files.SCHEMA_VERSION,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            seconds=seconds,
            model=task_cell_model(identity, prefix),
            task=CellTask(name=task.name, method=task.method, sha256=task.sha256, num_items=task.num_items),
            summary=tuple(outcome.summary),
            details=dict(outcome.details),
            documents=CellItems(parquet=path.with_suffix(".parquet").name, parquet_sha256=parquet_sha256),
            environment=environment,
            tasks_version=TASKS_VERSION,
            sha256="",
        )
        return content_of(cell)

    rows = pa.Table.from_pylist([dict(row) for row in outcome.rows])
    parse = functools.partial(_parsed, identity, task, path)
    written = cell_files.write(path, lambda parquet: pq.write_table(rows, parquet), content, parse)
    return check_kind(TaskCell, cell_of(path, written))
