"""Typed cells: what is committed reads back to the byte, and nothing but a cell is read as one."""

import json
from pathlib import Path

import pytest

from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.reading import read_cell
from evalkit.cells.schema import CorpusCell, content_of
from evalkit.files import strict_json
from tests.support.toys import ROOT

COMMITTED = [
    path for path in sorted((ROOT / "results" / "cells").rglob("*.json")) if path.name != "manifest.json"
]


@pytest.mark.parametrize("cls", [CorpusCell, ProbeCell])
def test_committed_cells_of_schema_1_read_back_to_the_byte(cls: type) -> None:
    cells = [cell for cell in map(read_cell, COMMITTED) if type(cell) is cls]
    assert len(cells) >= 36
    assert {cell.schema_version for cell in cells} == {1}
    for cell in cells:
        assert strict_json(content_of(cell)) == cell.path.read_text(encoding="utf-8")


def test_numbers_of_a_cell_are_those_of_the_file() -> None:
    [path] = (ROOT / "results" / "cells" / "python-stdlib" / "rwkv7-nano").glob("*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    cell = read_cell(path)
    assert isinstance(cell, CorpusCell)
    assert cell.path == Path(path)
    assert cell.bits_per_byte == cell.metrics.bits_per_byte == content["metrics"]["bits_per_byte"]
    assert cell.totals.total_bits == content["totals"]["total_bits"]
    assert cell.model.num_parameters == content["model"]["num_parameters"]
    assert cell.policy.prefix_ids == tuple(content["policy"]["prefix_ids"])
    assert cell.environment.torch is not None
    assert cell.environment.torch.num_threads == content["environment"]["num_threads"]
    rows = cell.rows()
    assert sum(row.total_bits for row in rows if row.total_bits is not None) == pytest.approx(
        cell.totals.total_bits, rel=1e-12
    )
    assert sum(row.num_bytes for row in rows) == cell.totals.num_bytes
