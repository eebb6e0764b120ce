"""What classes cost: sums, levels and paired differences, computed a second time from the files."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evalkit.analysis.estimates import resampled_columns
from evalkit.analysis.losses.axes import AXES, byte_classes
from evalkit.analysis.losses.class_losses import (
    CorpusLosses,
    _clear_together,
    corpus_losses,
    with_token_bits,
)
from evalkit.analysis.losses.class_sums import UNPAID
from evalkit.analysis.results import Results, read_results
from evalkit.corpora.store import Corpus
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.stores import Counted, small_corpora
from tests.support.toys import run_cli

MODELS = ("bytes", "threes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of different tokens on a corpus, under two policies; "threes" lacks a document."""
    folder = tmp_path_factory.mktemp("losses")
    models = [
        Counted("bytes", "the of and text 12\n" * 9, 1),
        Counted("threes", "some", 3, refuses="def add"),
    ]
    for policy in ("document", "uncheatable"):
        run(models, [corpus()], policy=policy, options=RunOptions(output=folder), token_bits=True)
    return folder


def corpus() -> Corpus:
    return small_corpora()[0]


def losses_of(folder: Path, policy: str, *models: str) -> tuple[Results, CorpusLosses]:
    results = read_results(folder, warn=print)
    chosen = [
        index
        for index in with_token_bits(results, results.corpora[0], policy)
        if results.configurations[index].label in models
    ]
    losses = corpus_losses(results, 0, corpus(), chosen)
    assert losses is not None
    return results, losses


def costs_of(results: Results, configuration: int) -> dict[str, list[float]]:
    """Bits of each byte of each document, from the file; NaN where unpaid."""
    path = results.corpora[0].cells[configuration].path.with_suffix(".parquet")
    costs: dict[str, list[float]] = {}
    for row in pq.read_table(path).to_pylist():
        start = 0
        for bits, end in zip(row["token_bits"] or [], row["token_ends"] or [], strict=True):
            value = math.nan if bits is None else bits / (end - start)
            costs.setdefault(row["id"], []).extend([value] * (end - start))
            start = end
    return costs


@pytest.mark.parametrize("policy", ["document", "uncheatable"])
@pytest.mark.parametrize("model", MODELS)
def test_the_classes_of_each_axis_add_up_to_the_cell(folder: Path, policy: str, model: str) -> None:
    results, losses = losses_of(folder, policy, model)
    [configuration] = losses.configurations
    cell = results.corpora[0].cells[configuration]
    for axis in ("", *AXES):
        parts = losses.of_axis(axis)
        bits = math.fsum(part.bits[configuration] for part in parts)
        assert bits == pytest.approx(cell.totals.total_bits, rel=1e-9), axis
        assert sum(part.num_bytes for part in parts) == cell.totals.num_bytes
    level, interval = losses.classes[0].levels[configuration], cell.metrics.interval
    assert interval is not None
    assert level == pytest.approx((cell.bits_per_byte, interval.low, interval.high), abs=1e-6)


def test_a_class_costs_what_its_bytes_do(folder: Path) -> None:
    results, losses = losses_of(folder, "document", *MODELS)
    assert (losses.num_documents, losses.num_documents_left_out) == (14, 1)
    first, second = losses.configurations
    costs = [costs_of(results, index) for index in losses.configurations]
    documents = [
        document for document in corpus().documents if document.id in costs[0] and document.id in costs[1]
    ]
    for axis in AXES:
        sums: dict[str, list[float]] = {}
        for document in documents:
            names, codes = byte_classes(document)[axis]
            for code, *bits in zip(codes.tolist(), *(model[document.id] for model in costs), strict=True):
                held = sums.setdefault(names[code], [0, 0.0, 0.0])
                held[:] = [held[0] + 1, held[1] + bits[0], held[2] + bits[1]]
        assert {part.name for part in losses.of_axis(axis)} == set(sums)
        for part in losses.of_axis(axis):
            num_bytes, *bits = sums[part.name]
            assert part.num_bytes == num_bytes
            assert part.levels[first].value == pytest.approx(bits[0] / num_bytes, abs=1e-6)
            gap = part.gaps[first, second]
            assert gap.difference.value == pytest.approx((bits[0] - bits[1]) / num_bytes, abs=2e-6)
            assert gap.ratio.value == pytest.approx(bits[0] / bits[1], abs=2e-6)
        shares = [part.gaps[first, second].share or 0.0 for part in losses.of_axis(axis)]
        assert math.fsum(shares) == pytest.approx(1)


def test_bytes_that_one_model_does_not_pay_for_are_in_no_difference(folder: Path) -> None:
    results, losses = losses_of(folder, "uncheatable", *MODELS)
    costs = [costs_of(results, index) for index in losses.configurations]
    num_unpaid = sum(
        math.isnan(a + b)
        for name in set(costs[0]) & set(costs[1])
        for a, b in zip(costs[0][name], costs[1][name], strict=True)
    )
    for axis in AXES:
        [unpaid] = [part for part in losses.of_axis(axis) if part.name == UNPAID]
        assert unpaid.num_bytes == num_unpaid == 3 * losses.num_documents
        assert not unpaid.gaps


def test_classes_in_few_clusters_have_no_interval(folder: Path) -> None:
    _, losses = losses_of(folder, "document", "bytes")
    code = next(part for part in losses.of_axis("document") if part.name == "code, .py")
    assert code.num_clusters == 1
    [level] = code.levels.values()
    assert level.low is None and level.value > 0


def test_chance_marks_any_of_many_classes_in_about_five_percent_of_corpora() -> None:
    """Each looked at by itself, chance would mark one of twenty in 64 %."""
    rng = np.random.default_rng(7)
    clusters = [str(number) for number in range(40)]
    num_marked = 0
    for _ in range(60):
        rows = resampled_columns(rng.normal(size=(40, 20)), clusters, stream=0)
        num_marked += any(_clear_together(list(rows), [40] * 20))
    assert num_marked <= 8
    planted = rng.normal(size=(40, 20))
    planted[:, 3] -= 1.5
    rows = resampled_columns(planted, clusters, stream=0)
    assert np.flatnonzero(_clear_together(list(rows), [40] * 20)).tolist() == [3]


def test_the_command_prints_and_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        "".join(
            json.dumps({"id": document.id, "text": document.text, "source": document.source}) + "\n"
            for document in corpus().documents
        )
    )
    missing = run_cli("losses", str(folder))
    assert missing.exit_code == 2
    assert "its texts are not at hand; name it or its file with --corpora" in missing.stderr
    shown = run_cli("losses", str(folder), "--corpora", str(texts), "--axes", "kind,nesting")
    assert shown.exit_code == 0, shown.stderr
    assert "A: bytes  B: threes" in shown.stdout
    assert "1 documents are left out" in shown.stderr
    unknown = run_cli("losses", str(folder), "--axes", "kinds")
    assert (unknown.exit_code, "Did you mean kind?" in unknown.stderr) == (2, True)
    unknown = run_cli("losses", str(folder), "--policy", "documnt")
    assert unknown.exit_code == 2 and "unknown policy 'documnt'. Did you mean document" in unknown.stderr
    content = json.loads(run_cli("losses", str(folder), "--corpora", str(texts), "--json").stdout)
    assert content[0]["models"] == ["bytes", "threes"]
    limited = tmp_path / "limited"
    run([Counted("bytes", "x", 1)], [corpus()], options=RunOptions(output=limited), token_bits=True, limit=3)
    [part] = json.loads(run_cli("losses", str(limited), "--corpora", str(texts), "--json").stdout)
    assert part["corpus"] == f"{corpus().name} (first 3)"
    assert part["classes"][0]["num_bytes"] == corpus().limited(3).num_bytes
    without = tmp_path / "runs"
    run([Counted("bytes", "x", 1)], [corpus()], options=RunOptions(output=without))
    refused = run_cli("losses", str(without))
    assert refused.exit_code == 2
    assert "no language model kept the bits of its tokens; score it again with `evalkit run" in refused.stderr
