import json
from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.compare import compare_cells, comparison_lines
from evalkit.cells.schema import CorpusCell
from evalkit.errors import ScoringError, UsageError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.toys import ROOT, TEXTS, BigramModel, corpus_of, run_cli, write_plugin, write_texts

CLUSTERS = ["x", "x", "y", "z", "z", "w", "v"]
CORPUS = corpus_of(TEXTS, clusters=CLUSTERS)
A, B = BigramModel("a"), BigramModel("b", 1)


def cells(output: Path, *models: BigramModel, **options: object) -> list[CorpusCell]:
    return list(run(models, [CORPUS], options=RunOptions(output=output), **options).cells)  # type: ignore[arg-type]


def test_the_difference_and_its_interval_are_those_of_a_plain_bootstrap(tmp_path: Path) -> None:
    found = compare_cells(*cells(tmp_path, A, B))
    num_bytes = np.array([len(text.encode()) for text in TEXTS])
    bits_a = np.array([A.bits(text) for text in TEXTS])
    bits_b = np.array([B.bits(text) for text in TEXTS])
    assert found.bits_per_byte_a == pytest.approx(bits_a.sum() / num_bytes.sum(), rel=1e-6)
    assert found.bits_per_byte_b == pytest.approx(bits_b.sum() / num_bytes.sum(), rel=1e-6)
    difference = (bits_a - bits_b).sum() / num_bytes.sum()
    assert found.difference == pytest.approx(difference, abs=1e-6)
    assert found.num_better_a == (bits_a < bits_b).sum()
    assert (found.num_documents, found.num_left_out, found.num_clusters) == (7, 0, 5)

    # Draw clusters with replacement, take the ratio of sums, many more times than evalkit does.
    names = sorted(set(CLUSTERS))
    members = [[i for i, cluster in enumerate(CLUSTERS) if cluster == name] for name in names]
    rng = np.random.default_rng(12345)
    drawn = []
    for _ in range(40_000):
        chosen = [i for pick in rng.integers(0, len(names), len(names)) for i in members[pick]]
        drawn.append((bits_a - bits_b)[chosen].sum() / num_bytes[chosen].sum())
    # Five clusters: Student's quantile with 4 degrees of freedom is 2.776445; times sqrt(5 / 4), 3.104160,
    # below minus which the normal distribution lies in 0.0954 % of cases.
    low, high = np.quantile(drawn, [0.000954, 1 - 0.000954])
    assert found.interval is not None
    assert found.interval.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.interval.high == pytest.approx(high, abs=0.05 * (high - low))

    per_byte = (bits_a - bits_b) / num_bytes
    order = np.argsort(per_byte)
    assert [document.id for document in found.documents] == [CORPUS.documents[i].id for i in order]
    assert [document.difference for document in found.documents] == pytest.approx(per_byte[order], abs=1e-6)


def test_every_document_its_own_cluster_gives_another_interval(tmp_path: Path) -> None:
    clustered = compare_cells(*cells(tmp_path, A, B)).interval
    alone = run([A, B], [corpus_of(TEXTS, "alone")], options=RunOptions(output=tmp_path)).cells
    assert compare_cells(*alone).interval != clustered


def test_a_model_against_itself_is_exactly_nothing(tmp_path: Path) -> None:
    [cell] = cells(tmp_path, A)
    found = compare_cells(cell, cell)
    assert found.difference == 0
    assert found.interval == (0, 0)
    assert found.num_better_a == 0
    assert "  a tie: the interval contains 0; a is better on 0 of 7 documents" in comparison_lines(found, 0)


def test_swapping_the_two_flips_the_sign(tmp_path: Path) -> None:
    a, b = cells(tmp_path, A, B)
    forth, back = compare_cells(a, b), compare_cells(b, a)
    assert forth.difference == -back.difference != 0
    assert forth.interval is not None
    assert back.interval is not None
    assert forth.interval == pytest.approx((-back.interval.high, -back.interval.low), rel=1e-9)
    assert [document.id for document in forth.documents] == [d.id for d in back.documents[::-1]]
    assert forth.num_better_a + back.num_better_a == len(TEXTS)


def test_the_verdict_follows_the_interval(tmp_path: Path) -> None:
    worse = BigramModel("worse")
    worse.table = worse.table + 1  # each token costs a nat more
    a, b = cells(tmp_path, A, worse)
    found = compare_cells(a, b)
    assert found.difference == pytest.approx(-1 / np.log(2), rel=1e-5)
    assert "  a is better; a is better on 7 of 7 documents" in comparison_lines(found, 0)
    assert "  a is better; worse is better on 0 of 7 documents" in comparison_lines(compare_cells(b, a), 0)


def test_gains_hold_no_loss_and_losses_no_gain(tmp_path: Path) -> None:
    worse = BigramModel("worse")
    worse.table = worse.table + 1  # on every document
    a, b = cells(tmp_path, A, worse)
    lines, content = comparison_lines(compare_cells(a, b), 2), compare_cells(a, b).to_json(2)
    assert lines[-4] == "a gains most:"
    assert all(line.startswith("  -") for line in lines[-3:-1])
    assert lines[-1] == "a loses most: nowhere"
    assert (len(content["best_documents"]), content["worst_documents"]) == (2, [])  # type: ignore[arg-type]
    lines, content = comparison_lines(compare_cells(b, a), 2), compare_cells(b, a).to_json(2)
    assert lines[-4:-2] == ["worse gains most: nowhere", "worse loses most:"]
    assert all(line.startswith("  +") for line in lines[-2:])
    assert (content["best_documents"], len(content["worst_documents"])) == ([], 2)  # type: ignore[arg-type]
    assert comparison_lines(compare_cells(a, a), 2)[-2:] == ["a gains most: nowhere", "a loses most: nowhere"]


def test_few_clusters_say_nothing_of_chance(tmp_path: Path) -> None:
    few = corpus_of(TEXTS[:6], clusters=["x", "x", "x", "y", "z", "w"])
    found = compare_cells(*run([A, B], [few], options=RunOptions(output=tmp_path)).cells)
    assert found.interval is None
    lines = "\n".join(comparison_lines(found, 1))
    assert "(no interval: fewer than 5 clusters)" in lines
    assert "cannot be said" in lines
    assert found.to_json(1)["interval"] is None


def test_cells_of_different_documents_are_refused(tmp_path: Path) -> None:
    [whole] = cells(tmp_path, A)
    [limited] = cells(tmp_path, B, limit=3)
    [other] = run([B], [corpus_of([*TEXTS[:-1], "another"])], options=RunOptions(output=tmp_path)).cells
    [reordered] = run([B], [corpus_of(TEXTS[::-1])], options=RunOptions(output=tmp_path)).cells
    for cell in (limited, other, reordered):
        for pair in ((whole, cell), (cell, whole)):
            with pytest.raises(UsageError, match="not scores of the same documents; score both on the same"):
                compare_cells(*pair, common_documents=True)


def test_documents_that_one_cannot_represent_are_left_out_only_on_request(tmp_path: Path) -> None:
    a, lossy = cells(tmp_path, A, BigramModel("lossy", 1, lossy="文"))
    for pair in ((a, lossy), (lossy, a)):
        with pytest.raises(UsageError, match=r"1 of 7 documents .* give --common-documents"):
            compare_cells(*pair)
    found = compare_cells(a, lossy, common_documents=True)
    kept = [text for text in TEXTS if "文" not in text]
    total = sum(len(text.encode()) for text in kept)
    assert (found.num_documents, found.num_left_out) == (6, 1)
    assert found.bits_per_byte_a == pytest.approx(sum(map(A.bits, kept)) / total, rel=1e-6)
    assert found.difference == pytest.approx(sum(A.bits(t) - B.bits(t) for t in kept) / total, abs=1e-6)
    lines = comparison_lines(found, 1)
    assert "  1 documents that one of the two cannot represent are left out" in lines


def test_no_common_document_is_refused(tmp_path: Path) -> None:
    corpus = corpus_of(["one\n", "two\n"])
    models = [BigramModel("no-one", lossy="one"), BigramModel("no-two", lossy="two")]
    with pytest.raises(UsageError, match="have no document of corpus in common"):
        compare_cells(
            *run(models, [corpus], options=RunOptions(output=tmp_path)).cells, common_documents=True
        )


def test_a_cell_whose_rows_are_damaged_is_refused(tmp_path: Path) -> None:
    a, b = cells(tmp_path, A, B)
    b.path.with_suffix(".parquet").write_bytes(b"PAR1")
    with pytest.raises(ScoringError, match=r"does not fit .*; delete it and run again"):
        compare_cells(a, b)


# --- the command


def test_the_command_scores_what_is_missing_and_prints_what_the_function_finds(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", TEXTS)
    command = ["compare", "zstd", "xz", "--corpus", texts, "--output", tmp_path / "runs"]
    outcome = run_cli(*command, "--json", "--documents", "2")
    assert outcome.exit_code == 0, outcome.stderr
    assert "2 to score" in outcome.stderr
    found = json.loads(outcome.stdout)
    by_model = {
        cell.model.name: cell
        for cell in run(["zstd", "xz"], [str(texts)], options=RunOptions(output=tmp_path / "runs")).cells
    }
    expected = compare_cells(by_model["zstd"], by_model["xz"])
    assert found == json.loads(json.dumps(expected.to_json(2)))
    assert [document["id"] for document in found["best_documents"]] == [d.id for d in expected.documents[:2]]
    assert found["worst_documents"][0]["id"] == expected.documents[-1].id
    assert len(found["worst_documents"]) == 2

    text = run_cli(*command, "--documents", "2")
    assert "0 to score" in text.stderr
    assert text.stdout.splitlines() == comparison_lines(expected, 2)

    # The same from the cells' files.
    paths = [by_model[name].path for name in ("zstd", "xz")]
    assert run_cli("compare", *paths, "--documents", "2") == (0, text.stdout, "")
    same = run_cli("compare", paths[0], paths[0], "--json")
    assert json.loads(same.stdout)["difference"] == 0


def test_what_the_command_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin"))
    texts = write_texts(tmp_path / "texts.json", [*TEXTS, "BREAK"])
    usual = ["--corpus", texts, "--output", tmp_path / "runs"]

    def last_line(exit_code: int, *words: str | Path) -> str:
        outcome = run_cli("compare", *words)
        assert (outcome.exit_code, outcome.stdout) == (exit_code, ""), outcome
        assert "Traceback" not in outcome.stderr
        return outcome.stderr.splitlines()[-1]

    assert "give --corpus NAME" in last_line(2, "zstd", "xz")
    assert "asked for twice: xz" in last_line(2, "xz", "xz", *usual)
    assert "toy:broken-nan could not be scored" in last_line(1, "zstd", "toy:broken-nan", *usual)
    assert "give --common-documents" in last_line(2, "zstd", "toy:lossy", *usual)
    assert run_cli("compare", "zstd", "toy:lossy", *usual, "--common-documents").exit_code == 0
    (tmp_path / "bad.json").write_text("{}")
    assert "bad.json is not a cell" in last_line(1, tmp_path / "bad.json", tmp_path / "bad.json")
    probe = next((ROOT / "results" / "cells" / "probes").rglob("*.json"))
    assert "is a cell of a trained probe; give one of a corpus" in last_line(1, probe, probe)
