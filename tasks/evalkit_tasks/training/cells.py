"""Cells of the trained probes, kept as evalkit keeps all cells (`evalkit.cells.files`).

``<output>/probes/<task>/<model>/<key>.json`` says what was measured and how; ``<key>.parquet`` has a row per
test string, from which every other metric can be computed. ``<key>.partial/`` holds the checkpoint of a cell
that is being trained.

Schema 1 of the Parquet: ``test, num_letters, num_scored, num_correct, first_error`` (letters read up to and
with the first wrong answer; null for none), ``last_correct``.

Each of the JSON's ``tests`` has the metrics of `evalkit_tasks.metrics.summary`, and ``parity_accuracy`` with
its interval: null where the task has no parities, absent from cells that are older than it.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evalkit.cells import files as cell_files
from evalkit.cells.files import SCHEMA_VERSION
from evalkit.files import slug
from evalkit_tasks.metrics import ItemScores, accuracy_entries, length_at_share, summary
from evalkit_tasks.training.networks import display_name
from evalkit_tasks.training.other_tasks import NEGATIVE_CONTROLS
from evalkit_tasks.training.probe_task import ProbeTask
from evalkit_tasks.training.spec import TRAINER_VERSION, TrainSpec, spec_json
from evalkit_tasks.training.training import TrainResult, steps_to_loss

KIND = "trained-probe"
FOLDER = "probes"


class ProbeCell(NamedTuple):
    """A finished cell."""

    path: Path
    content: dict[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        """The `TrainSpec`, with every default filled in."""
        return self.content["spec"]  # type: ignore[no-any-return]

    @property
    def tests(self) -> dict[str, dict[str, Any]]:
        """The metrics of each test, by its name, from short to long."""
        tests: dict[str, dict[str, Any]] = self.content["tests"]
        return dict(sorted(tests.items(), key=lambda test: (test[1]["shortest"], test[1]["longest"])))

    def items(self) -> dict[str, ItemScores]:
        """What each network did with each test string.

        Raises:
            ScoringError: the files are not what was written.
        """
        import pyarrow.parquet as pq

        cell_files.read_content(self.path, remedy="train it again")
        frame = pq.read_table(self.path.with_suffix(".parquet")).to_pandas()
        found = {}
        for test in self.tests:
            rows = frame[frame["test"] == test]
            columns = {name: rows[name].to_numpy() for name in ItemScores._fields}
            columns["first_error"] = rows["first_error"].fillna(0).to_numpy(np.int64)
            found[test] = ItemScores(**columns)
        return found


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
    """The finished cell of a spec, or None; damaged files are moved aside, and ``warn`` is told.

    In a dry run they stay where they are.
    """
    path = cell_path(spec, output)
    whole = cell_files.is_whole(path, warn=warn, again="trained again", dry_run=dry_run)
    return read_cell(path) if whole else None


def read_cell(path: Path) -> ProbeCell:
    """A cell from its JSON file.

    Raises:
        ScoringError: the file is no whole cell of this schema.
    """
    return ProbeCell(path, cell_files.read_content(path, remedy="train it again, or move it away"))


def read_cells(output: Path) -> list[ProbeCell]:
    """Every finished cell under an output folder, in the order of its paths.

    Raises:
        ScoringError: one of them is damaged.
    """
    cells = []
    for path in sorted((output / FOLDER).glob("*/*/*.json")):
        cell = read_cell(path)
        if cell.content.get("kind") == KIND:  # other probes' cells may lie here too
            cells.append(cell)
    return cells


def write_cell(
    spec: TrainSpec, task: ProbeTask, result: TrainResult, output: Path, *, environment: dict[str, Any]
) -> ProbeCell:
    """Write a cell's two files, the JSON last; where another run was first, its cell stays."""
    path = cell_path(spec, output)
    content = cell_files.write(
        path,
        lambda parquet: _write_rows(parquet, result.tests),
        lambda parquet_sha256: _content(spec, task, result, parquet_sha256, environment),
    )
    return ProbeCell(path, content)


def _content(
    spec: TrainSpec,
    task: ProbeTask,
    result: TrainResult,
    parquet_sha256: str,
    environment: dict[str, Any],
) -> dict[str, Any]:
    longest = max(result.tests, key=lambda test: int(result.tests[test].num_letters.min()))
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "status": "success",
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "spec": spec_json(spec),
        "model": {
            "name": display_name(spec.model, spec.negative_eigenvalues),
            "num_parameters": result.num_parameters,
        },
        "task": {
            "name": task.name,
            "num_letters": task.num_letters,
            "num_labels": task.num_labels,
            "is_negative_control": task.name in NEGATIVE_CONTROLS,
        },
        "tests": {
            name: {
                "shortest": spec.test_lengths()[name][0],
                "longest": spec.test_lengths()[name][1],
                "majority_label_accuracy": result.majority_accuracy[name],
                **summary(items, task.num_labels),
                **accuracy_entries("parity_accuracy", result.parity_accuracy[name], len(items.num_scored)),
            }
            for name, items in result.tests.items()
        },
        "l90": {"test": longest, "length": length_at_share(result.tests[longest], 0.9)},
        "training": {
            "num_steps": result.history[-1][0] if result.history else 0,
            "stopped_by": result.stopped_by,
            "last_loss_nats": result.history[-1][1] if result.history else None,
            "steps_to_loss_0.02": steps_to_loss(result.history),
            "history": [list(entry) for entry in result.history],
            "training_cpu_s": round(result.training_cpu_s, 3),
            "testing_cpu_s": round(result.testing_cpu_s, 3),
        },
        "items": {"parquet_sha256": parquet_sha256},
        "environment": environment,
        "trainer_version": TRAINER_VERSION,
    }


def _write_rows(path: Path, tests: dict[str, ItemScores]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for name, items in tests.items():
        columns: dict[str, Any] = {"test": pa.array([name] * len(items.num_scored), pa.string())}
        columns |= {field: getattr(items, field) for field in ItemScores._fields}
        columns["first_error"] = pa.array(items.first_error, mask=items.first_error == 0)
        parts.append(pa.table(columns))
    pq.write_table(pa.concat_tables(parts), path, compression="zstd")
