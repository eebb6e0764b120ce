"""Models on one task, pair by pair."""

import io
from pathlib import Path

import lxml.html
import numpy as np
import pyarrow as pa
import pytest

from evalkit.analysis.task_pairs import PairedAccuracy, paired_accuracies
from evalkit.cells.reading import read_cell_of
from evalkit.cells.schema import TaskCell
from evalkit.runner.tasks import TaskRunResult
from evalkit.runner.tasks_table import print_task_result
from tests.support.cells import task_content, write_cell_files
from tests.support.sites import build_site_of

NUM_ITEMS = 40


def cell_of(
    folder: Path, model: str, right: set[int], *, num_items: int = NUM_ITEMS, sha256: str = "56" * 32
) -> TaskCell:
    """A cell of a model that is right on these items, and always wrong on their twins."""
    content = task_content(model)
    rows = [
        {"id": f"s3/{i}", "twin_of": None, "label": 1, "answer": int(i in right)} for i in range(num_items)
    ]
    rows += [{**row, "id": f"{row['id']}/twin", "twin_of": row["id"], "answer": 0} for row in rows[:9]]
    content["task"] |= {"method": "PMI, 4 shots", "num_items": len(rows), "sha256": sha256}
    path = folder / model.strip("<>") / f"{sha256[:4]}.json"
    table = pa.Table.from_pylist(rows).rename_columns(["id", "twin_of", "label", "answer by PMI"])
    write_cell_files(path, content, table)
    return read_cell_of(TaskCell, path)


def test_a_pair_is_narrower_than_its_accuracies_let_suppose(tmp_path: Path) -> None:
    # Right on the same items but for four that the second model misses and one that only it knows.
    best = cell_of(tmp_path, "best", set(range(1, 24)))
    second = cell_of(tmp_path, "second", {0, *range(5, 24)})
    [pair] = paired_accuracies([second, best])
    assert pair[:4] == ("s3", "PMI, 4 shots", "second", "best")
    assert pair.difference == pytest.approx(-3 / NUM_ITEMS) and pair.num_items == NUM_ITEMS
    # By the normal approximation: 1.96 standard errors of the mean of the differences item by item.
    half_width = 1.96 * np.std([-1] * 4 + [1] + [0] * 35) / np.sqrt(NUM_ITEMS)
    assert pair.interval is not None
    assert pair.interval.half_width == pytest.approx(half_width, rel=0.15)
    assert pair.interval.low < pair.difference < pair.interval.high
    unpaired = 1.96 * np.sqrt(2 * 0.5 * 0.5 / NUM_ITEMS)
    assert pair.interval.half_width < 0.6 * unpaired


def test_items_that_are_left_out_for_a_model_are_left_out_of_its_pair(tmp_path: Path) -> None:
    best = cell_of(tmp_path, "best", set(range(0, NUM_ITEMS, 2)))
    short = cell_of(tmp_path, "short", {0, 2, 3, 4}, num_items=10)
    [pair] = paired_accuracies([best, short])
    assert (pair.model, pair.reference, pair.num_items) == ("short", "best", 10)
    assert pair.difference == pytest.approx((4 - 5) / 10)


def test_where_the_pair_is_alike_on_every_item_there_is_no_interval(tmp_path: Path) -> None:
    cells = [cell_of(tmp_path, name, {1, 2, 3}) for name in ("first", "second")]
    assert paired_accuracies(cells) == [
        PairedAccuracy("s3", "PMI, 4 shots", "second", "first", 0.0, None, NUM_ITEMS)
    ]


def test_other_items_and_rows_without_answers_are_no_pairs(tmp_path: Path) -> None:
    first = cell_of(tmp_path, "first", {1})
    moved = cell_of(tmp_path, "second", {1}, sha256="78" * 32)
    assert paired_accuracies([first, moved]) == []
    plain = []
    for name in ("a", "b"):
        write_cell_files(tmp_path / "plain" / f"{name}.json", task_content(name))
        plain.append(read_cell_of(TaskCell, tmp_path / "plain" / f"{name}.json"))
    assert paired_accuracies(plain) == []


def test_a_terminal_narrower_than_the_rows_cuts_nothing_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "80")
    names = ("a-model-with-a-name-" * 5, "another-model-with-a-name-" * 4)
    cells = tuple(cell_of(tmp_path, name, {1, 2}) for name in names)
    terminal = Terminal()
    print_task_result(TaskRunResult(cells, (), 2), terminal)
    assert "…" not in terminal.getvalue()
    assert all(terminal.getvalue().count(name) == 2 for name in names)


def test_the_run_and_the_site_show_the_same_pair(tmp_path: Path) -> None:
    best = cell_of(tmp_path / "runs", "best", set(range(20)))
    second = cell_of(tmp_path / "runs", "<second>", set(range(4, 20)))
    printed = io.StringIO()
    print_task_result(TaskRunResult((second, best), (), 2), printed)
    lines = [" ".join(line.split()) for line in printed.getvalue().splitlines()]
    title = lines.index("difference in accuracy on the same items, in points (95 % interval)")
    assert lines[title + 1] == "task method model less that of n difference"
    *head, difference = lines[title + 2].split(" 40 ")
    assert head == ["s3 PMI, 4 shots <second> best"] and difference.startswith("-10.0 (-20.")
    build_site_of(tmp_path / "runs", tmp_path / "site")
    tree = lxml.html.fromstring((tmp_path / "site" / "probes.html").read_text(encoding="utf-8"))
    [row] = tree.xpath("//table[contains(@class, 'pairs')]/tbody/tr")
    shown = [" ".join(cell.text_content().split()) for cell in row]
    assert shown[:4] == ["<second>", "best", "PMI, 4 shots", "40"]
    assert shown[4].replace("−", "-") == difference.replace("(", "").replace(")", "")
