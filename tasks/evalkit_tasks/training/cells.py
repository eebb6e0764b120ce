"""Cells of the trained probes, kept as evalkit keeps all cells (`evalkit.cells.files`).

``<output>/probes/<task>/<model>/<key>.json`` says what was measured and how; ``<key>.parquet`` has a row per
test string, from which every other metric can be computed. ``<key>.partial/`` holds the checkpoint of a cell
that is being trained.

Schema 1 of the Parquet: ``test, num_letters, num_scored, num_correct, first_error`` (letters read up to and
with the first wrong answer; null for none), ``last_correct``.

What the JSON says is `evalkit.cells.probe_schema.ProbeCell`.
"""

import dataclasses
import datetime as dt
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.cells import files as cell_files
from evalkit.cells.environment_schema import Environment
from evalkit.cells.keys import check_parts
from evalkit.cells.object_store import copied_folder, is_url
from evalkit.cells.probe_schema import (
    LengthAtShare,
    ProbeCell,
    ProbeModel,
    ProbeRows,
    ProbeSpec,
    ProbeTaskFacts,
    ProbeTest,
    ProbeTraining,
    is_length,
)
from evalkit.cells.reading import cell_of, check_kind, checked_cell_of, read_cell
from evalkit.cells.schema import content_of
from evalkit.fields import from_json
from evalkit.files import slug
from evalkit_tasks.metrics import ItemScores, accuracy_entries, length_at_share, summary
from evalkit_tasks.training.networks.architectures import display_name
from evalkit_tasks.training.spec import TRAINER_VERSION, TrainSpec
from evalkit_tasks.training.tasks.other import NEGATIVE_CONTROLS
from evalkit_tasks.training.tasks.task import ProbeTask
from evalkit_tasks.training.theory_rows import cell_theory
from evalkit_tasks.training.training import TrainResult, steps_to_loss

if TYPE_CHECKING:
    from evalkit_tasks.training.testing import StringScores

FOLDER = "probes"
_REMEDY = "move it away and train it again"


def read_items(cell: ProbeCell) -> dict[str, ItemScores]:
    """What a network did with each test string, by test.

    Raises:
        ScoringError: the files are not what was written.
    """
    cell_files.read_content(cell.path, remedy=_REMEDY)
    table = cell_files.read_rows(cell.path.with_suffix(".parquet"), remedy=_REMEDY)
    frame = table.to_pandas(use_threads=False)
    items = {}
    for test in cell.tests_by_length():
        rows = frame[frame["test"] == test]
        columns = {name: rows[name].to_numpy() for name in ItemScores._fields}
        columns["first_error"] = rows["first_error"].fillna(0).to_numpy(np.int64)
        items[test] = ItemScores(**columns)
    return items


def cell_path(spec: TrainSpec, output: Path) -> Path:
    """Where a cell's JSON lies."""
    model = slug(display_name(spec.model, spec.negative_eigenvalues))
    return output / FOLDER / slug(spec.task) / model / f"{spec.key()}.json"


def partial_folder(spec: TrainSpec, output: Path) -> Path:
    """Where the checkpoint of an unfinished cell lies."""
    return cell_path(spec, output).with_suffix(".partial")


def find_cell(
    spec: TrainSpec, output: Path, warn: Callable[[str], None], *, dry_run: bool = False
) -> ProbeCell | None:
    """The finished cell of a spec, or None; what is no such cell is moved aside, and ``warn`` is told.

    In a dry run it stays where it is.
    """
    path = cell_path(spec, output)
    parse = functools.partial(_parsed, spec, path)
    return cell_files.find(path, parse, warn=warn, again="trained again", dry_run=dry_run)


def _parsed(spec: TrainSpec, path: Path, content: Mapping[str, object]) -> ProbeCell:
    """The cell of a spec from its JSON.

    Raises:
        FieldError: it is none, or another's.
    """
    cell = checked_cell_of(ProbeCell, path, content)
    stated = {**dataclasses.asdict(cell.spec), "trainer": cell.trainer_version}
    check_parts(stated, {**dataclasses.asdict(spec.resolved()), "trainer": TRAINER_VERSION})
    return cell


def read_cells(
    output: str | os.PathLike[str], *, tell: Callable[[str], None] = lambda _: None
) -> list[ProbeCell]:
    """Every finished cell under an output folder, in the order of its paths.

    Args:
        output: the folder, or the address of one in an object store.
        tell: gets a line where something is fetched.

    Raises:
        UsageError: the store cannot be read.
        ScoringError: one of them is damaged.
    """
    place = os.fspath(output)
    folder = copied_folder(f"{place}/{FOLDER}", tell=tell) if is_url(place) else Path(place, FOLDER)
    cells = [
        read_cell(path, remedy=_REMEDY) for path in sorted(filter(Path.is_file, folder.glob("*/*/*.json")))
    ]
    return [cell for cell in cells if isinstance(cell, ProbeCell)]


def write_cell(
    spec: TrainSpec,
    task: ProbeTask,
    result: TrainResult,
    output: Path,
    *,
    environment: Environment,
) -> ProbeCell:
    """Write a cell's two files, the JSON last; where another run was first, its cell stays."""
    path = cell_path(spec, output)
    of_lengths = [test for test in result.tests if is_length(test)] or list(result.tests)
    longest = max(of_lengths, key=lambda test: int(result.tests[test].items.num_letters.min()))

    def content(parquet_sha256: str) -> dict[str, object]:
        cell = ProbeCell(
            path=path,
            schema_version=cell_files.SCHEMA_VERSION,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            spec=ProbeSpec(**dataclasses.asdict(spec.resolved())),
            model=ProbeModel(
                name=display_name(spec.model, spec.negative_eigenvalues),
                num_parameters=result.num_parameters,
            ),
            task=_facts(task, display_name(spec.model, spec.negative_eigenvalues)),
            tests={name: _test(name, task, scores) for name, scores in result.tests.items()},
            l90=LengthAtShare(test=longest, length=length_at_share(result.tests[longest].items, 0.9))
            if _has_first_errors(result.tests[longest].items)
            else None,
            training=ProbeTraining(
                num_steps=result.history[-1][0] if result.history else 0,
                stopped_by=result.stopped_by,
                last_loss_nats=result.history[-1][1] if result.history else None,
                steps_to_solved_loss=steps_to_loss(result.history),
                history=tuple(result.history),
                training_cpu_s=round(result.training_cpu_s, 3),
                testing_cpu_s=round(result.testing_cpu_s, 3),
                learning_rate=None if spec.learning_rates is None else result.learning_rate,
                validation=tuple(result.looks) if result.looks else None,
                tried=tuple(result.tried) if result.tried else None,
            ),
            items=ProbeRows(parquet_sha256=parquet_sha256),
            environment=environment,
            trainer_version=TRAINER_VERSION,
            sha256="",
        )
        return content_of(cell)

    written = cell_files.write(
        path,
        lambda parquet: _write_rows(parquet, result.tests),
        content,
        functools.partial(_parsed, spec, path),
    )
    return check_kind(ProbeCell, cell_of(path, written))


def _facts(task: ProbeTask, model: str) -> ProbeTaskFacts:
    return ProbeTaskFacts(
        name=task.name,
        num_letters=task.num_tokens or task.num_letters,
        num_labels=task.num_answers or task.num_labels,
        is_negative_control=task.name in NEGATIVE_CONTROLS,
        version=task.version if task.version > 1 else None,
        theory=cell_theory(task.name, model),
    )


def _has_first_errors(items: ItemScores) -> bool:
    """Whether a letter can be the first that goes wrong: not where all is asked at the end, in one answer."""
    return bool((items.num_scored > 1).any())


def _test(name: str, task: ProbeTask, scores: "StringScores") -> ProbeTest:
    items = scores.items
    # Intervals count a string once, however often it was asked about.
    entries = {
        "shortest": int(items.num_letters.min()),
        "longest": int(items.num_letters.max()),
        "majority_label_accuracy": scores.majority.token,
        "majority_sequence_accuracy": scores.majority.sequence,
        "majority_last_position_accuracy": scores.majority.last_position,
        "num_distinct": scores.num_distinct,
        **summary(items, task.num_answers or task.num_labels, scores.num_distinct),
        **accuracy_entries("parity_accuracy", scores.parity_accuracy, scores.num_distinct),
    }
    if not _has_first_errors(items):
        entries |= {"first_error_median": None, "first_error_5_percent": None}
    return from_json(ProbeTest, entries, f"tests.{name}")


def _write_rows(path: Path, tests: "dict[str, StringScores]") -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for name, scores in tests.items():
        items = scores.items
        columns: dict[str, Any] = {"test": pa.array([name] * len(items.num_scored), pa.string())}
        columns |= {field: getattr(items, field) for field in ItemScores._fields}
        columns["first_error"] = pa.array(items.first_error, mask=items.first_error == 0)
        parts.append(pa.table(columns))
    pq.write_table(pa.concat_tables(parts), path, compression="zstd")
