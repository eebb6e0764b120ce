"""`evalkit run --prove N`: a cell says which of its documents were really decoded."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from evalkit.analysis.results import read_results
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from evalkit.report import build_site
from evalkit.runner.corpora import run
from evalkit.runner.corpora_table import notes
from evalkit.runner.options import RunOptions
from evalkit.runner.ranking import RunResult
from tests.support.toys import BigramModel, DistributionBigram, corpus_of

CORPUS = corpus_of(["one text that is long enough to be told from the next", "zwei", "three, and then some"])


class ByteBigram(DistributionBigram):
    def decode(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)


class Forgetful(ByteBigram):
    def decode(self, ids: Sequence[int]) -> bytes:
        return bytes(ids).replace(b"zwei", b"drei")


def proven(model: object, folder: Path, num_documents: int) -> RunResult:
    return run([model], [CORPUS], prove=num_documents, options=RunOptions(output=folder))  # type: ignore[list-item]


def without_proof(cell: CorpusCell) -> CorpusCell:
    return dataclasses.replace(cell, proof=None, sha256="", created="", seconds=0, metrics=None, path=Path())  # type: ignore[arg-type]


def test_a_cell_records_what_was_decoded_and_stays_the_same_cell(tmp_path: Path) -> None:
    [plain] = proven(ByteBigram(), tmp_path / "a", 0).cells
    result = proven(ByteBigram(), tmp_path / "b", 2)
    [cell] = result.cells
    assert plain.proof is None and "proof" not in plain.path.read_text(encoding="utf-8")
    assert cell.path.name == plain.path.name and without_proof(cell) == without_proof(plain)
    assert cell.proof is not None
    assert (cell.proof.num_documents, cell.proof.num_bytes) == (2, CORPUS.documents[0].num_bytes + 4)
    bits = sum(row.total_bits or 0 for row in plain.rows()[:2])
    assert cell.proof.total_bits == pytest.approx(bits, rel=1e-4)
    assert 8 * cell.proof.code_bytes == pytest.approx(bits, rel=2e-3, abs=8 * 16)
    assert f"2 documents, {cell.proof.num_bytes} bytes, were decoded" in "\n".join(notes(result))
    build_site(read_results(tmp_path / "b", warn=pytest.fail), tmp_path / "site")
    front = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert f"2 documents were decoded from {cell.proof.code_bytes} bytes of code" in front
    assert "<sup>✓" in front and "<b>✓</b> documents of it were coded by the model" in front


def test_a_finished_cell_gets_the_proof_that_it_lacks(tmp_path: Path) -> None:
    [plain] = proven(ByteBigram(), tmp_path, 0).cells
    for num_documents, num_scored, expected in ((2, 1, 2), (1, 0, 2), (9, 1, 3), (9, 0, 3)):
        result = proven(ByteBigram(), tmp_path, num_documents)
        assert result.num_scored == num_scored and not result.failures
        [cell] = result.cells
        assert cell.proof is not None and cell.proof.num_documents == expected
        assert dataclasses.replace(cell, proof=None, sha256=plain.sha256) == plain
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_compressors_are_decoded_too_and_what_cannot_be_is_said(tmp_path: Path) -> None:
    [cell] = proven("zstd", tmp_path, 2).cells
    assert cell.proof is not None and 8 * cell.proof.code_bytes == cell.proof.total_bits
    assert cell.proof.total_bits == sum(row.total_bits or 0 for row in cell.rows()[:2])
    [failure] = proven(BigramModel("opaque"), tmp_path, 2).failures
    assert "opaque does not show the distribution" in failure.reason
    [failure] = proven(Forgetful("forgetful"), tmp_path, 2).failures
    assert "was coded and came back as another text" in failure.reason
    with pytest.raises(UsageError, match="under policy uncheatable some tokens are not paid for"):
        run(["zstd"], [CORPUS], policy="uncheatable", prove=1, options=RunOptions(output=tmp_path))
