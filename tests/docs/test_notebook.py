"""The notebook runs from its first cell to its last, and shows what it says."""

import ast
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import evalkit
from tests.support.toys import ROOT


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in notebook["cells"])  # nothing that was true once
    names: dict[str, object] = {}
    shown = []
    for source in sources:
        *statements, last = ast.parse(source).body
        assert isinstance(last, ast.Expr)
        exec(compile(ast.Module(statements, []), "notebook", "exec"), names)
        shown.append(eval(compile(ast.Expression(last.value), "notebook", "eval"), names))
    corpus, result, frame, comparison, tokens, figure = shown
    assert repr(corpus).startswith("<Corpus: python-stdlib: 1 document, 1,764 bytes")
    assert (
        repr(result)
        == "<RunResult: 2 models on python-stdlib, policy document: 2 cells, 2 scored now, 0 failed>"
    )
    assert "<th>bits_per_byte</th>" in result._repr_html_()
    costs = dict(zip(frame["model"], frame["bits_per_byte"], strict=True))
    assert costs["rwkv7-nano"] == pytest.approx(1.5610, abs=1e-4)  # as README has it
    assert comparison.difference == pytest.approx(costs["rwkv7-nano"] - costs["xz"])
    assert "".join(token for token, _ in tokens) == "The stake is paid in bits."
    assert isinstance(figure, Figure)


def test_every_public_name_is_listed_and_there() -> None:
    assert {*evalkit.__all__} <= {*dir(evalkit)}
    assert all(getattr(evalkit, name) is not None for name in evalkit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evalkit.nothing
