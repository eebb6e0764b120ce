"""The same text behind shorter and longer contexts: what is cut, what is paired, what the curve says."""

import json
from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.context_gain import gain_curves
from evalkit.analysis.results import read_results
from evalkit.corpora.context_gain import PAID_BYTES, cut_contexts
from evalkit.corpora.document import make_corpus, make_document
from evalkit.errors import LossyTextError, UsageError
from evalkit.models.protocol import Encoding
from evalkit.plots import draw
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.stats import ratio_interval
from tests.support.toys import BigramModel, run_cli


class LookingBack(BigramModel):
    """Pays a bit less for every byte, the longer its context is, up to 1,024 bytes; more for some texts."""

    def nats(self, sequences, *, contexts=None):  # type: ignore[no-untyped-def]
        return [
            np.full(len(targets), (3.0 + targets[0] % 4 - min(len(context) - 1, 1024) / 1024), np.float32)
            for targets, context in zip(sequences, contexts, strict=True)
        ]


def texts(num: int = 8) -> list[str]:
    return [chr(ord("a") + number) * (3000 + number) for number in range(num)]


def test_the_same_end_stands_behind_cut_contexts() -> None:
    whole = "é" * 1500 + "x" * PAID_BYTES
    pair = make_document(" paid", source="x", context="abcdef" * 100, id="pair")
    corpus = make_corpus(
        "c", [make_document(whole, source="x", id="doc"), pair, make_document("short", source="x")]
    )
    parts = {part.name: part for part in cut_contexts(corpus, [0, 501])}
    assert list(parts) == ["c+context-0", "c+context-501", "c+context-whole"]
    contexts = [[document.context for document in part.documents] for part in parts.values()]
    assert contexts[0] == [None, None]
    assert contexts[1] == ["é" * 250, ("abcdef" * 100)[-501:]]  # half a character is none
    assert contexts[2] == ["é" * 1500, "abcdef" * 100]
    for part in parts.values():
        assert [document.text for document in part.documents] == ["x" * PAID_BYTES, " paid"]
        assert [document.id for document in part.documents] == ["doc", "pair"]
        assert part.manifest.num_dropped == {"shorter than the longest context": 1}
    with pytest.raises(UsageError, match=r"c: no document has 9,999 bytes before .* \(the most is 3,000\)"):
        cut_contexts(corpus, [9999])


def test_the_curve_is_paired_and_no_board_shows_its_cells(tmp_path: Path) -> None:
    model = LookingBack()
    corpus = make_corpus("long", [make_document(text, source="x", id=text[0]) for text in texts()])
    options = RunOptions(output=tmp_path)
    run([model], [corpus, *cut_contexts(corpus, [0, 256, 512])], options=options)
    results = read_results(tmp_path, warn=lambda _: None)
    assert [scored.name for scored in results.corpora] == ["long"]
    [curve] = gain_curves(results.cells)
    assert (curve.corpus, curve.num_documents) == ("long", 8)
    assert [point.num_context_bytes for point in curve.points] == [0, 256, 512, None]
    gains = [point.gain for point in curve.points]
    nat = 1 / np.log(2)
    assert [gain.value for gain in gains] == pytest.approx([0, 0.25 * nat, 0.5 * nat, nat], abs=1e-6)
    for gain in gains:  # the same for every document, however unlike their bits are
        assert gain.low == pytest.approx(gain.value, abs=1e-6) == gain.high
    bits = [PAID_BYTES * (3 + ord(text[0]) % 4) * nat for text in texts()]
    expected = ratio_interval(bits, [PAID_BYTES] * 8, [text[0] for text in texts()])
    level = curve.points[0].bits_per_byte
    assert expected is not None and (level.low, level.high) == pytest.approx(expected, rel=1e-6)
    assert draw("context-gain", tmp_path).axes[0].get_ylabel().startswith("bits per byte less")
    with pytest.raises(UsageError, match="unknown model 'nobody'"):
        draw("context-gain", tmp_path, models=["nobody"])


def test_a_model_that_represents_no_document_behind_all_contexts_has_no_curve(tmp_path: Path) -> None:
    class Fickle(BigramModel):
        def encode(self, text: str) -> Encoding:
            if (len(text) > 2000) == (text[-1] < "e"):
                raise LossyTextError("not this one")
            return super().encode(text)

    corpus = make_corpus("long", [make_document(text, source="x", id=text[0]) for text in texts()])
    ran = run([Fickle()], cut_contexts(corpus, [0]), options=RunOptions(output=tmp_path))
    assert [cell.totals.num_documents for cell in ran.cells] == [4, 4]
    assert gain_curves(ran.cells) == []


def test_a_run_cuts_scores_and_prints(tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(3)))
    words = [
        "run",
        "--corpora",
        str(tmp_path / "long.jsonl"),
        "--models",
        "codec:xz",
        "--output",
        str(tmp_path / "runs"),
    ]
    refused = run_cli(*words, "--context-gain", "1x")
    assert (refused.exit_code, refused.stderr) == (
        2,
        "evalkit: --context-gain '1x' is no list of numbers from 0 on, by commas\n",
    )
    refused = run_cli(*words, "--context-gain", "1M")
    assert refused.exit_code == 2 and "no document has 1,048,576 bytes before" in refused.stderr
    planned = run_cli(*words, "--context-gain", "1k,0", "--limit", "2", "--dry-run")
    assert "long+context-1024: 2 documents, 2,048 bytes" in planned.stdout, planned
