"""The layers that theory says suffice stand beside those that sufficed in training."""

from pathlib import Path

import pytest

from evalkit.cells.probe_schema import ProbeCell, ProbeTheory
from evalkit.cells.reading import read_cell
from evalkit.fields import to_json
from evalkit.report.probes import probe_groups
from evalkit_tasks.training.cells import read_cells
from evalkit_tasks.training.experiments import group_experiments
from evalkit_tasks.training.theory_rows import cell_theory, layers_by_theory, theory_of_task, theory_rows
from tests.support.cells import probe_content, write_cell_files


@pytest.mark.parametrize(
    ("task", "model", "layers"),
    [
        ("parity", "rwkv7 c=1", "none"),
        ("s3", "rwkv7 c=2", "4"),
        ("word-problem:a5", "transformer-rope", "growing"),
        ("tomita-4", "transformer-nope", "constant"),
        ("mod-7", "gru", "1"),
        ("parity", "deltanet[0,1]", None),  # nothing is said of it
        ("mqar:64", "lstm", None),  # no regular language
        ("s9", "lstm", None),  # too large a group
        ("regex:(01)*", "rwkv7 c=1", "constant"),
        ("(01)*", "rwkv7 c=1", "constant"),  # the same, as it may be written too
        ("flip-flop", "rwkv7 c=1", "constant"),
        ("s5-4tokens", "lstm", None),
        ("majority", "lstm", None),
        ("file:pyproject.json", "lstm", None),  # nothing that a cell names is read
    ],
)
def test_layers_by_theory(task: str, model: str, layers: str | None) -> None:
    assert layers_by_theory(task, model) == layers


def test_a_cell_holds_what_theory_says_and_the_site_shows_it(tmp_path: Path) -> None:
    theory = cell_theory("parity", "rwkv7 c=1")
    assert theory == ProbeTheory(language_class="solvable", sufficient_layers="none")
    assert cell_theory("mqar:64", "lstm") is None
    content = probe_content(task="parity", model="rwkv7 c=1")
    content["task"]["theory"] = to_json(theory)
    write_cell_files(tmp_path / "cell.json", content)
    cell = read_cell(tmp_path / "cell.json")
    assert isinstance(cell, ProbeCell)
    [group] = probe_groups([cell], tmp_path, pytest.fail)[1]
    assert (group.language_class, [row.theory for row in group.rows]) == ("solvable", ["none"])


def test_rows_of_the_committed_results() -> None:
    folder = Path(__file__).parents[3] / "results" / "cells"
    cells = read_cells(folder)
    rows = {(row.task, row.model, row.layers_tried): row for row in theory_rows(group_experiments(cells))}
    # Two layers fit S3 at the length of training and at no greater one; 4 would do at every length.
    s3 = rows["s3", "rwkv7 c=2", (1, 2, 4)]
    assert (s3.language_class, s3.by_theory) == ("solvable", "4")
    assert dict(s3.fewest) == {"16": 2, "32": None, "64": None, "128": None, "256": None}
    theory = theory_of_task("s5-swaps")
    assert theory is not None and theory.language_class == "non-solvable"
