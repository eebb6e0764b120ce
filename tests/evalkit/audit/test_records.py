"""Audits beside the cells: a model that failed gets no cell, or one that says so, on the board too."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.analysis.results import read_results
from evalkit.audit.auditing import audit_model
from evalkit.audit.records import audit_path, audits_in, kept_fault, write_audit
from evalkit.corpora.store import make_corpus, make_document
from evalkit.errors import ModelError
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.report.site import build_site
from evalkit.runner import unaudited
from evalkit.runner.corpora import run
from evalkit.runner.corpora_table import notes
from evalkit.runner.options import RunOptions
from evalkit.runner.unaudited import unaudited_models
from tests.planted.ports import Port, counted_logits
from tests.support.toys import TEXTS

CORPUS = make_corpus("texts", [make_document(text, source="toy") for text in TEXTS])


def port(fault: str | None) -> Port:
    return Port(counted_logits(), f"port {fault}", fault)


def keep(model: Port, folder: Path) -> None:
    write_audit(audit_model(model, extent="short"), audit_path(folder, model.identity))


def test_a_model_that_failed_gets_a_cell_only_unaudited_and_all_say_so(tmp_path: Path) -> None:
    right, wrong = port(None), port("BOS doubled")
    for model in (right, wrong):
        keep(model, tmp_path)
    result = run([right, wrong], [CORPUS], options=RunOptions(output=tmp_path))
    [failure] = result.failures
    assert failure.model == wrong.identity.name and "prefix doubled" in failure.reason
    assert [cell.failed_audit for cell in result.cells] == [None]
    result = run([right, wrong], [CORPUS], options=RunOptions(output=tmp_path, unaudited=True))
    assert [cell.failed_audit for cell in result.cells] == [None, "prefix doubled"]
    assert any(note.startswith("⚠ port BOS doubled on texts") for note in notes(result))
    results = read_results(tmp_path, warn=pytest.fail)  # audits are no cells, and no damaged ones
    build_site(results, tmp_path / "site")
    page = (tmp_path / "site" / "audits.html").read_text()
    assert "failed, likely prefix doubled" in page and "port None, float32: passed" in page
    assert page.count("A failure usually is") == 1  # where nothing failed there is nothing to say
    front = (tmp_path / "site" / "index.html").read_text()
    assert "⚠" in front and "audits.html" in front and "the model passed its short audit" in front
    [of_wrong] = [path.read_text() for path in (tmp_path / "site" / "models").glob("*doubled*.html")]
    assert ">failed, likely prefix doubled</a>" in of_wrong


def test_a_run_audits_first_and_says_who_was_never_audited(tmp_path: Path) -> None:
    right, wrong = port(None), port("BOS doubled")
    before = run([right], [CORPUS], options=RunOptions(output=tmp_path))
    assert before.unaudited == ("port None",) and any(
        "not audited: port None;" in note for note in notes(before)
    )
    result = run([right, wrong], [CORPUS], options=RunOptions(output=tmp_path, audit=True))
    [failure] = result.failures
    assert "port BOS doubled failed its audit (prefix doubled)" in failure.reason
    assert [audit.extent for audit in audits_in(tmp_path, warn=pytest.fail)] == [
        "short"
    ]  # the other was scored
    scored = run([wrong], [CORPUS], options=RunOptions(output=tmp_path, audit=True, unaudited=True))
    assert [cell.failed_audit for cell in scored.cells] == ["prefix doubled"] and not scored.unaudited
    build_site(read_results(tmp_path, warn=pytest.fail), tmp_path / "site")
    assert "the model was not audited" in (tmp_path / "site" / "index.html").read_text()


def test_an_audit_is_of_a_model_and_not_of_its_name(tmp_path: Path) -> None:
    """A path has another name where another path is beside it."""
    audited = port("BOS doubled")
    keep(audited, tmp_path)
    renamed = port("BOS doubled")
    renamed.identity = dataclasses.replace(audited.identity, name="another name")
    assert kept_fault(tmp_path, renamed.identity) == "prefix doubled"
    assert kept_fault(tmp_path, dataclasses.replace(audited.identity, dtype="bfloat16")) is None


def test_a_cell_computed_before_the_audit_stays_and_keys_do_not_change(tmp_path: Path) -> None:
    wrong = port("BOS doubled")
    [before] = run([wrong], [CORPUS], options=RunOptions(output=tmp_path)).cells
    keep(wrong, tmp_path)
    result = run([wrong], [CORPUS], options=RunOptions(output=tmp_path))
    assert result.num_scored == 0 and [cell.path for cell in result.cells] == [before.path]


def test_an_audit_that_cannot_be_read_is_told_and_not_believed(tmp_path: Path) -> None:
    model = port(None)
    path = audit_path(tmp_path, model.identity)
    assert kept_fault(tmp_path, model.identity) is None
    keep(model, tmp_path)
    assert kept_fault(tmp_path, model.identity) is None
    path.write_text(path.read_text().replace('"outcome": "passed"', '"outcome": "perfect"', 1))
    with pytest.raises(ModelError, match=r"is no audit .*delete it"):
        kept_fault(tmp_path, model.identity)
    assert run([model], [CORPUS], options=RunOptions(output=tmp_path, unaudited=True)).failures
    warnings: list[str] = []
    assert list(audits_in(tmp_path, warn=warnings.append)) == []
    assert len(warnings) == 1 and "perfect" in warnings[0]


def test_of_the_package_those_without_a_fingerprint_are_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    located = locate_models(["rwkv7-nano", "hybrid-nano", "llama-nano"], LoadOptions(device="cpu"))
    cell: Any = SimpleNamespace(is_of_a_compressor=False)
    first_cells = [(model, lambda: cell) for model in located]
    assert unaudited_models(first_cells, RunOptions(output=tmp_path)) == ()
    monkeypatch.setattr(unaudited, "shipped_names", lambda: ("rwkv7-nano", "llama-nano"))
    assert unaudited_models(first_cells, RunOptions(output=tmp_path)) == ("hybrid-nano",)
