"""The layers that theory says suffice stand beside those that sufficed in training."""

from pathlib import Path

import pytest

from evalkit_tasks.training.cells import read_cells
from evalkit_tasks.training.experiments import group_experiments
from evalkit_tasks.training.theory_rows import layers_by_theory, theory_of_task, theory_rows


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
    ],
)
def test_layers_by_theory(task: str, model: str, layers: str | None) -> None:
    assert layers_by_theory(task, model) == layers


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
