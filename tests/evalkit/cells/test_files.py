"""What `evalkit.cells.files` does that `test_corpus_cell.py` does not show of whole cells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.cells import files as cell_files
from evalkit.errors import ScoringError
from evalkit.files import TEMPORARY_SUFFIX, strict_json


def content_of(parquet_sha256: str) -> dict[str, Any]:
    return {"schema_version": 1, "status": "success", "items": {"parquet_sha256": parquet_sha256}}


def write(path: Path, rows: bytes = b"rows") -> dict[str, Any]:
    return cell_files.write(path, lambda parquet: parquet.write_bytes(rows), content_of, dict)


def is_whole(path: Path, warn: Callable[[str], None] = pytest.fail, *, dry_run: bool = False) -> bool:
    return cell_files.find(path, dict, warn=warn, again="scored again", dry_run=dry_run) is not None


def test_what_is_damaged_when_a_cell_is_finished_is_moved_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    write(path)
    path.with_suffix(".parquet").write_bytes(b"damaged after the run had looked for the cell")
    before = path.read_bytes()
    content = write(path, b"other rows")
    assert is_whole(path)
    assert content["items"]["parquet_sha256"] != content_of("")["items"]["parquet_sha256"]
    assert (tmp_path / "cell.json.damaged").read_bytes() == before
    assert (tmp_path / "cell.parquet.damaged").read_bytes().startswith(b"damaged after")


def test_a_cell_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    write(path)
    parquet = path.with_suffix(".parquet")
    parquet.unlink()
    parquet.symlink_to("/proc/self/mem")  # a file whose first byte is an input/output error
    for look in (is_whole, write, lambda path: cell_files.read_content(path, remedy="")):
        with pytest.raises(ScoringError, match=r"cannot be read: Input/output error; make them readable"):
            look(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cell.json", "cell.parquet"]


def test_damage_that_cannot_be_moved_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 240}.json"  # with .damaged behind it, longer than names may be
    path.write_text("damage")
    told: list[str] = []
    with pytest.raises(ScoringError, match="is damaged and cannot be moved aside: File name too long"):
        is_whole(path, told.append)
    assert path.read_text() == "damage"


@pytest.mark.parametrize("rows", [{}, {"items": 3}, {"documents": {"parquet": "cell.parquet"}}])
def test_a_cell_that_names_no_rows_is_of_another_schema(tmp_path: Path, rows: dict[str, Any]) -> None:
    path = tmp_path / "cell.json"
    write(path)
    content = {"schema_version": 1, "status": "success", **rows}
    content["sha256"] = cell_files.content_sha256(content)
    path.write_text(strict_json(content))
    with pytest.raises(ScoringError, match="is not a cell of schema 1 or 2; move it away"):
        cell_files.read_content(path, remedy="move it away")


def test_what_killed_writers_left_beside_a_whole_cell_is_removed(tmp_path: Path) -> None:
    """Another run had finished the cell meanwhile, so that nothing is written there any more."""
    path = tmp_path / "cell.json"
    write(path)
    leftover = tmp_path / f".cell.parquet.ab12cd34{TEMPORARY_SUFFIX}"
    leftover.write_bytes(b"half")
    assert is_whole(path, dry_run=True)
    assert leftover.exists()
    assert is_whole(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cell.json", "cell.parquet"]
