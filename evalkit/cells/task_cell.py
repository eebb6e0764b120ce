"""Cells of tasks: what one model answered to one task, on disk and whole or absent.

``<output>/tasks/<task>/<model>/<key>.json`` and ``.parquet``, under the rules of all cells
(`evalkit.cells.files`); the key is a digest of everything that determines the numbers, and the Parquet file
has a row per item.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from evalkit.cells import files as cell_files
from evalkit.cells.provenance import task_cell_model
from evalkit.cells.reading import cell_of, check_kind, read_cell_of
from evalkit.cells.schema import CellItems, CellTask, Environment, TaskCell, content_of
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
    parts = {
        "loader": identity.loader,
        "revision": identity.revision,
        "weights": identity.weights_sha256,
        "dtype": identity.dtype,
        "tokenizer": identity.tokenizer_sha256,
        "prefix": identity.prefix,
        "context_limit": identity.context_limit,
        "task": [task.name, task.method, task.sha256],
        "version": TASKS_VERSION,
        "schema": cell_files.KEY_SCHEMA,
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    return output / FOLDER / slug(task.name) / slug(identity.name) / f"{key}.json"


def find_task_cell(path: Path, *, warn: Callable[[str], None], dry_run: bool = False) -> TaskCell | None:
    """The finished cell at `cell_path`, or None; a damaged one is moved aside, and ``warn`` is told.

    Raises:
        ScoringError: a file cannot be read, or is whole and no cell of a task.
    """
    if cell_files.is_whole(path, warn=warn, again="asked again", dry_run=dry_run):
        return read_cell_of(TaskCell, path)
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
    written = cell_files.write(path, lambda parquet: pq.write_table(rows, parquet), content)
    return check_kind(TaskCell, cell_of(path, written))
