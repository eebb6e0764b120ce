"""Cells that are cut into parts, because models are fewer than processes."""

import math
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit.cells.schema import CorpusCell
from evalkit.models.loading import locate_models
from evalkit.runner import parts
from evalkit.runner.corpora import planned_cells, planned_specs, run
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import PartScored, PlannedCell
from evalkit.runner.processes import Forks
from evalkit.scoring.parts import Part, places_of_part
from tests.evalkit.runner.test_processes import Lines, Struck, by
from tests.support.toys import BigramModel, corpus_of, numbers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

CORPUS = corpus_of([f"text {number}: " + "abc " * (5 * number % 37) for number in range(40)], "large")
SMALL = corpus_of(["another text", "and one more"], "small")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LEAST_PART_BYTES", 500)


def planned(model: BigramModel, folder: Path) -> list[PlannedCell[CorpusCell]]:
    options = RunOptions(output=folder)
    specs = planned_specs(locate_models([model], options.load_options), [CORPUS], "document", None, False)
    return planned_cells(specs, options)


def score(model: BigramModel | str, folder: Path, **fields: Any) -> Lines:
    reporter = Lines()
    options = RunOptions(output=folder, reporter=reporter, checkpoint_s=0, **fields)
    result = run([model], [CORPUS, SMALL], options=options, token_bits=True)
    assert (result.num_scored, result.failures, len(result.cells)) == (2, (), 2)
    assert not [path for path in folder.rglob(".*") if path.name != "."]
    return reporter


def test_every_document_is_in_one_part_and_parts_have_about_as_much() -> None:
    documents = CORPUS.documents
    places = [places_of_part(documents, Part(number, 4)) for number in range(4)]
    assert sorted(place for part in places for place in part) == list(range(40))
    sizes = [sum(documents[place].num_read_bytes for place in part) for part in places]
    assert max(sizes) - min(sizes) < 2 * max(document.num_read_bytes for document in documents)
    lone = [places_of_part(documents[:1], Part(number, 3)) for number in range(3)]
    assert lone == [{0}, frozenset(), frozenset()]


def test_a_cell_in_parts_is_that_of_one_process(tmp_path: Path) -> None:
    """Of a model that slides windows over what is long, and cannot represent every document."""
    model = BigramModel(lossy="text 7:", context_limit=40)
    score(model, tmp_path / "whole")
    reporter = score(model, tmp_path / "parts", processes=3)
    assert numbers(tmp_path / "parts") == numbers(tmp_path / "whole")
    assert reporter.lines == []


def test_documents_are_split_over_the_devices_of_a_list(tmp_path: Path) -> None:
    model = BigramModel(lossy="text 7:", context_limit=40)
    score(model, tmp_path / "whole")
    lines = score(model, tmp_path / "devices", device="cpu,cpu,cpu", processes=None).lines
    assert numbers(tmp_path / "devices") == numbers(tmp_path / "whole")
    assert lines == []
    options = RunOptions(output=tmp_path, device="cpu,cpu,cpu", processes=None)
    assert Forks(options).num_slots() == 3


def test_a_compressor_is_cut_as_well(tmp_path: Path) -> None:
    score("zstd", tmp_path / "whole")
    score("zstd", tmp_path / "parts", processes=2)
    assert numbers(tmp_path / "parts") == numbers(tmp_path / "whole")


def test_a_part_whose_process_is_killed_is_taken_up_by_another(tmp_path: Path) -> None:
    score(BigramModel("bigram"), tmp_path / "whole")
    struck = Struck("bigram", by(signal.SIGKILL), [9])
    struck.tokens_per_batch = BigramModel.tokens_per_batch
    reporter = score(struck, tmp_path / "parts", processes=2)
    assert numbers(tmp_path / "parts") == numbers(tmp_path / "whole")
    [line] = [line for line in reporter.lines if "another goes on there" in line]
    assert line.startswith("bigram on large, part ")


def test_a_part_that_fails_twice_fails_its_cell_alone_once(tmp_path: Path) -> None:
    struck = Struck("bigram", by(signal.SIGKILL), range(1, 999))
    options = RunOptions(output=tmp_path, processes=2, checkpoint_s=0)
    result = run([struck], [CORPUS], options=options)
    assert [(failure.model, failure.subject) for failure in result.failures] == [("bigram", "large")]
    assert "its process was killed" in result.failures[0].reason
    assert not list(tmp_path.rglob("*.claim"))


def test_a_cell_that_another_run_has_is_not_cut_nor_one_that_is_a_share(tmp_path: Path) -> None:
    [cell] = planned(BigramModel(), tmp_path)
    assert [piece.subject for piece in parts.CutCells().cut([cell], 2 * cell.work)] == ["large"]
    claim = parts.hold(cell.path)
    assert claim is not None
    assert parts.CutCells().cut([cell], cell.work / 3) == [cell]
    claim.touch()
    claim.release()
    assert parts.CutCells().cut([cell], cell.work / 3, lambda _: False) == [cell]
    cut = parts.CutCells[Any]()
    pieces = cut.cut([cell], cell.work / 2)
    assert [piece.subject for piece in pieces] == [f"large, part {number} of 4" for number in (1, 2, 3, 4)]
    assert math.isclose(sum(piece.work for piece in pieces), cell.work)
    assert all(map(cut.holds, [cell, *pieces]))
    assert [cut.settle(piece, PartScored()) for piece in pieces[1:]] == [None] * 3
    assert isinstance(cut.settle(pieces[0], PartScored()), PartScored)
    assert not cut.holds(cell)
    assert not list(tmp_path.rglob("*.claim"))
