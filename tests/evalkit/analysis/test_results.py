"""Which cells make one row."""

import json
from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis import spool
from evalkit.analysis.results import Results, read_results
from evalkit.cells.files import content_sha256
from evalkit.files import strict_json
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.cells import corpus_content, write_cell_files
from tests.support.toys import TEXTS, BigramModel, corpus_of


def score(model: BigramModel, folder: Path, corpus: str, created: str) -> float:
    """A cell that was written on that day; its bits per byte."""
    [cell] = run([model], [corpus_of(TEXTS, corpus)], options=RunOptions(output=folder)).cells
    content = json.loads(cell.path.read_text(encoding="utf-8")) | {"created": f"{created}T00:00:00+00:00"}
    content["sha256"] = content_sha256(content)
    cell.path.write_text(strict_json(content), encoding="utf-8")
    return cell.bits_per_byte


def shown(results: Results, corpus: str) -> dict[str, float]:
    """Bits per byte by label."""
    [scored] = [scored for scored in results.corpora if scored.label == corpus]
    return {results.configurations[row].label: cell.bits_per_byte for row, cell in scored.cells.items()}


def test_one_row_for_one_config_whatever_the_version_of_the_library(tmp_path: Path) -> None:
    model = {"weights_sha256": "the same"}
    score(BigramModel(seed=1, **model), tmp_path, "first", "2026-01-01")  # of before configs were stated
    old = score(
        BigramModel(seed=2, config_sha256="a", numerics="l 1", **model), tmp_path, "second", "2026-02-01"
    )
    new = score(
        BigramModel(seed=3, config_sha256="a", numerics="l 2", **model), tmp_path, "second", "2026-03-01"
    )
    assert old != new
    results = read_results(tmp_path, warn=pytest.fail)
    assert [configuration.label for configuration in results.configurations] == ["bigram"]
    assert shown(results, "second") == {"bigram": pytest.approx(new, rel=1e-12)}

    other = score(BigramModel(seed=4, config_sha256="b", **model), tmp_path, "second", "2026-04-01")
    results = read_results(tmp_path, warn=pytest.fail)
    assert shown(results, "second") == {
        "bigram · config a": pytest.approx(new, rel=1e-12),
        "bigram · config b": pytest.approx(other, rel=1e-12),
    }
    assert list(shown(results, "first")) == ["bigram · config not stated"]


def test_one_row_for_one_prefix_in_whatever_words(tmp_path: Path) -> None:
    """Older cells say ``default`` or ``bos`` of the ids that newer ones spell out."""
    for words, corpus in (("default", "first"), ("token:256", "second"), ("bos", "third")):
        score(BigramModel(prefix=words), tmp_path, corpus, "2026-01-01")
    results = read_results(tmp_path, warn=pytest.fail)
    assert [configuration.label for configuration in results.configurations] == ["bigram"]
    another = BigramModel(prefix="token:7")
    another.prefix = (7,)
    score(another, tmp_path, "first", "2026-01-02")
    assert list(shown(read_results(tmp_path, warn=pytest.fail), "first")) == [
        "bigram · prefix token:256",
        "bigram · prefix token:7",
    ]


def test_bits_beyond_what_memory_is_to_hold_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cell_files(tmp_path / "toy" / "rwkv7" / "cell.json", corpus_content())
    [held] = read_results(tmp_path, warn=pytest.fail).corpora
    monkeypatch.setattr(spool, "LIMIT_BYTES", 0)
    [spooled] = read_results(tmp_path, warn=pytest.fail).corpora
    assert np.array_equal(held.bits, spooled.bits, equal_nan=True)
    assert spooled.bits[0, 0] == 300.125
