"""What the site says of tasks beside their numbers."""

from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.task_notes import TaskNotes, task_notes
from evalkit.cells.probe_schema import ProbeCell
from evalkit_tasks.asking.suites import regular_languages, state_tracking
from evalkit_tasks.notes import notes_of_task
from evalkit_tasks.training.cells import read_cells
from evalkit_tasks.training.tasks.descriptions import describe_asked
from tests.support.cells import probe_content, probe_test, write_cell_files


def cells_of(folder: Path, *specs: dict[str, Any]) -> list[ProbeCell]:
    """Cells of the LSTM on parity, tested on the published range, with what each one's spec says."""
    for number, spec in enumerate(specs):
        content = probe_content("parity", "lstm")
        content["spec"] |= spec
        content["tests"]["40-256"] = probe_test(40, 256, 0.97)
        write_cell_files(folder / "probes" / "parity" / "lstm" / f"{number}.json", content)
    return read_cells(folder)


def test_published_numbers_stand_beside_ours_only_where_the_protocol_is_the_same(tmp_path: Path) -> None:
    published = {"labels": "last", "train_length": 40}
    for number, change in enumerate(({"labels": "every"}, {"train_length": 32})):
        notes = notes_of_task("parity", cells_of(tmp_path / str(number), published | change))
        assert notes is not None and not notes.published
    notes = notes_of_task("parity", cells_of(tmp_path / "same", published))
    assert notes is not None
    assert {(number.model, number.published, number.ours) for number in notes.published} >= {
        ("lstm", "100.0", "97.0 (1 layer, last label, 75 steps)")
    }
    assert all(number.url.startswith("https://") and number.test == "40-256" for number in notes.published)


def test_theory_is_said_of_cells_that_are_older_than_it(tmp_path: Path) -> None:
    [cell] = cells_of(tmp_path, {})
    assert cell.task.theory is None
    notes = notes_of_task("parity", [cell])
    assert notes is not None and (notes.language_class, notes.layers) == ("solvable", {"lstm": "1"})
    assert notes_of_task("parrots", [cell]) is None


def test_every_asked_task_has_a_summary_and_a_source(tmp_path: Path) -> None:
    for name in (*state_tracking.members, *regular_languages.members):
        description = describe_asked(name)
        assert description is not None and description.source.url
        notes = task_notes(name, [], pytest.fail)
        assert notes is not None and notes.summary == description.summary
    [cell] = cells_of(tmp_path, {})
    notes = notes_of_task("flip-flop", [cell])
    assert notes is not None and "; sparse tests have 98 %" in notes.summary
    assert task_notes("somebody's", [], pytest.fail) is None


def test_a_package_whose_notes_raise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, cells: object) -> TaskNotes:
        raise KeyError(name)

    def fine(name: str, cells: object) -> TaskNotes:
        return TaskNotes(f"about {name}")

    providers = [("broken-package", lambda: broken), ("fine-package", lambda: fine)]
    monkeypatch.setattr("evalkit.analysis.task_notes._providers", lambda: providers)
    warnings: list[str] = []
    notes = task_notes("s3", [], warnings.append)
    assert notes is not None and notes.summary == "about s3"
    assert warnings == ["the notes of broken-package on the task 's3' cannot be had: KeyError('s3')"]
