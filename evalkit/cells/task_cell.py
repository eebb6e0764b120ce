"""Cells of tasks: what one model answered to one task, on disk and whole or absent.

``<output>/tasks/<task>/<model>/<key>.json`` and ``.parquet``, under the rules of all cells
(`evalkit.cells.files`); the key is a digest of everything that determines the numbers, and the Parquet file
has a row per item.
"""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.cells import files as cell_files
from evalkit.cells.files import SCHEMA_VERSION
from evalkit.files import slug
from evalkit.models.protocol import ModelIdentity
from evalkit.tasks import EvalTask, SummaryRow, TaskOutcome

FOLDER = "tasks"
TASKS_VERSION = 1
"""Part of every key; raised by a change of how `evalkit.models.continuations` computes answers."""


class TaskCell(NamedTuple):
    """A finished cell."""

    path: Path
    content: dict[str, Any]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.content["model"]["name"])

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.content["task"]["name"])

    @property
    def method(self) -> str:
        """How it was asked."""
        return str(self.content["task"]["method"])

    @property
    def summary(self) -> list[SummaryRow]:
        """The lines of the table."""
        return [SummaryRow(**row) for row in self.content["summary"]]

    def rows(self) -> list[dict[str, Any]]:
        """A row per item.

        Raises:
            ScoringError: the files are not what was written.
        """
        import pyarrow.parquet as pq

        cell_files.read_content(self.path, remedy="delete it and run again")
        rows: list[dict[str, Any]] = pq.read_table(self.path.with_suffix(".parquet")).to_pylist()
        return rows


def cell_path(identity: ModelIdentity, task: EvalTask, output: Path) -> Path:
    """The JSON file of a cell, there or not."""
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
        "schema": SCHEMA_VERSION,
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    return output / FOLDER / slug(task.name) / slug(identity.name) / f"{key}.json"


def find_task_cell(path: Path, *, warn: Callable[[str], None], dry_run: bool = False) -> TaskCell | None:
    """The finished cell at `cell_path`, or None; a damaged one is moved aside, and ``warn`` is told."""
    if cell_files.is_whole(path, warn=warn, again="asked again", dry_run=dry_run):
        return TaskCell(path, cell_files.read_content(path, remedy="run again"))
    return None


def write_task_cell(
    path: Path,
    identity: ModelIdentity,
    task: EvalTask,
    outcome: TaskOutcome,
    *,
    prefix: Sequence[int],
    seconds: float,
    environment: Mapping[str, Any],
) -> TaskCell:
    """Write a cell's two files, the JSON last; where another run has finished it meanwhile, that one stays.

    Args:
        path: from `cell_path`.
        identity: of the model.
        task: what was asked.
        outcome: what came of it.
        prefix: ids that stood before every question.
        seconds: time that asking took, without loading.
        environment: see `evalkit.environment.environment`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def content_of(parquet_sha256: str) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "probe",
            "status": "success",
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seconds": seconds,
            "model": {
                "name": identity.name,
                "loader": identity.loader,
                "revision": identity.revision,
                "weights_sha256": identity.weights_sha256,
                "tokenizer_sha256": identity.tokenizer_sha256,
                "dtype": identity.dtype,
                "context_limit": identity.context_limit,
                "prefix_rule": identity.prefix,
                "prefix_ids": [int(token) for token in prefix],
                **identity.details,
            },
            "task": {
                "name": task.name,
                "method": task.method,
                "sha256": task.sha256,
                "num_items": task.num_items,
            },
            "summary": [dataclasses.asdict(row) for row in outcome.summary],
            "details": dict(outcome.details),
            "documents": {
                "parquet": path.with_suffix(".parquet").name,
                "parquet_sha256": parquet_sha256,
            },
            "environment": dict(environment),
            "tasks_version": TASKS_VERSION,
        }

    rows = pa.Table.from_pylist([dict(row) for row in outcome.rows])
    return TaskCell(path, cell_files.write(path, lambda parquet: pq.write_table(rows, parquet), content_of))
