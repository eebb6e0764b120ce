"""Trained probes as files for other programs: CSV for plots, JSON of all that ``probe table`` prints."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit import fields
from evalkit.cells.probe_schema import ProbeCell
from evalkit.files import atomic_write
from evalkit.spreadsheets import spreadsheet_rows
from evalkit_tasks.training.experiments import fewest_layers, group_experiments, layer_sweeps
from evalkit_tasks.training.published import compare
from evalkit_tasks.training.suites import quick_claims
from evalkit_tasks.training.theory_rows import theory_rows

THRESHOLDS = (0.90, 0.95, 0.99)
"""Sequence accuracies from which a number of layers suffices."""

Record = dict[str, object]
"""A line of a CSV file or an object of a JSON list, by column: strings, numbers, None or lists of them."""


def curve_records(cells: Sequence[ProbeCell]) -> list[Record]:
    """The length curves: a record for each test of each cell."""
    return [
        {
            "task": cell.spec.task,
            "model": cell.model.name,
            "layers": cell.spec.num_layers,
            "labels": cell.spec.labels,
            "train_length": cell.spec.train_length,
            "steps": cell.spec.num_steps,
            "seed": cell.spec.seed,
            "test": name,
            **dict(sorted(fields.to_json(test).items())),
        }
        for experiment in group_experiments(cells)
        for cell in experiment.cells
        for name, test in cell.tests_by_length().items()
    ]


def fewest_layers_records(cells: Sequence[ProbeCell]) -> list[Record]:
    """The fewest layers that suffice: a record for each sweep over layers and each test."""
    records: list[Record] = []
    for sweep in layer_sweeps(group_experiments(cells)):
        spec = sweep.experiments[0].spec
        of_threshold = [fewest_layers(sweep, threshold) for threshold in THRESHOLDS]
        for of_test in zip(*of_threshold, strict=True):
            records.append(
                {
                    "task": spec.task,
                    "model": sweep.experiments[0].model,
                    "labels": spec.labels,
                    "train_length": spec.train_length,
                    "test": of_test[0].test,
                    "layers_tried": " ".join(map(str, sweep.layers_tried)),
                    **{
                        f"min_layers_{threshold:.2f}": fewest.layers
                        for threshold, fewest in zip(THRESHOLDS, of_test, strict=True)
                    },
                }
            )
    return records


def to_json(cells: Sequence[ProbeCell]) -> dict[str, list[Record]]:
    """The curves, the fewest layers, the claims and the published numbers as JSON."""
    return {
        "curves": curve_records(cells),
        "min_layers": fewest_layers_records(cells),
        "theory": [
            row._asdict() | {"layers_tried": list(row.layers_tried), "fewest": dict(row.fewest)}
            for row in theory_rows(group_experiments(cells))
        ],
        "claims": [
            {
                "claim": claim.text,
                "metric": claim.metric,
                "test": claim.test,
                "low": claim.low,
                "high": claim.high,
                "values": list(values.values()),
                "holds": claim.holds(values),
                "source": claim.source,
            }
            for claim, values in ((claim, claim.values(cells)) for claim in quick_claims())
        ],
        "published": [
            comparison._asdict() | {"ours": list(comparison.ours)}
            for comparison in compare(group_experiments(cells))
        ],
    }


def write_csv(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    """A CSV file with a header; empty fields for what is not known."""
    # Of all records: those of older cells may have fewer metrics.
    rows = spreadsheet_rows(records)
    header = dict.fromkeys(name for row in rows for name in row)
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(header))
        writer.writeheader()
        writer.writerows(rows)
