"""`evalkit compare --kl`: cells and divergence of two models, and what is refused before slow work."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from evalkit.analysis.divergence import Divergence, divergence_lines
from evalkit.errors import UsageError
from evalkit.models.gguf import model as gguf_loader
from evalkit.runner.corpora import run
from evalkit.runner.divergence import run_divergence
from evalkit.runner.options import RunOptions
from evalkit.stats import ratio_interval
from tests.support import gguf_files
from tests.support.toys import (
    TEXTS,
    BigramModel,
    DistributionBigram,
    cell_files,
    corpus_of,
    run_cli,
    write_texts,
)

CLUSTERS = ["x", "x", "y", "z", "z", "w", "v"]
CORPUS = corpus_of(TEXTS, clusters=CLUSTERS)


def divergence_of(folder: Path, *models: BigramModel, **options: object) -> Divergence:
    return run_divergence(*models, CORPUS, options=RunOptions(output=folder), **options).divergence  # type: ignore[arg-type, misc]


def bits_of_tokens(model: BigramModel, reference: BigramModel, text: str) -> np.ndarray:
    """The definition, from tables of nats."""
    before = [256, *text.encode()[:-1]]
    nats, expected = model.table[before], reference.table[before]
    return np.asarray((np.exp(-expected) * (nats - expected)).sum(1) / np.log(2))


def test_means_and_intervals_are_those_of_the_tokens(tmp_path: Path) -> None:
    model, reference = DistributionBigram("a", 1), DistributionBigram("b")
    result = divergence_of(tmp_path, model, reference)
    bits = [bits_of_tokens(model, reference, text) for text in TEXTS]
    lengths = [len(row) for row in bits]
    assert (result.num_documents, result.num_left_out, result.num_clusters) == (7, 0, 5)
    assert result.overall.num_tokens == sum(lengths)
    assert result.overall.bits_per_token == pytest.approx(sum(map(sum, bits)) / sum(lengths), rel=1e-6)
    assert result.bits_per_byte == pytest.approx(result.overall.bits_per_token, rel=1e-12)  # bytes are tokens
    assert result.max_bits == pytest.approx(max(row.max() for row in bits), rel=1e-6)
    assert result.overall.interval == pytest.approx(
        ratio_interval([row.sum() for row in bits], lengths, CLUSTERS), rel=1e-6
    )
    early, late = result.positions[:2]
    assert (early.first_token, early.end_token, late.first_token, late.end_token) == (0, 64, 64, 128)
    assert early.num_documents == 7
    assert late.num_documents == sum(length > 64 for length in lengths) == 3
    assert late.bits_per_token == pytest.approx(
        sum(row[64:128].sum() for row in bits) / sum(len(row[64:128]) for row in bits), rel=1e-6
    )
    assert late.interval is None  # of three documents
    assert early.interval == pytest.approx(
        ratio_interval([row[:64].sum() for row in bits], [len(row[:64]) for row in bits], CLUSTERS), rel=1e-6
    )
    assert sum(estimate.num_tokens for estimate in result.positions) == result.overall.num_tokens
    lines = divergence_lines(result)
    assert f"  {result.overall.bits_per_token:.4g} bits/token  (95 % interval" in lines[1]
    assert "(no interval)" in lines[-1]


def test_the_cells_are_those_of_a_run_and_are_found_again(tmp_path: Path) -> None:
    models = DistributionBigram("a", 1), DistributionBigram("b")
    options = RunOptions(output=tmp_path)
    result = run_divergence(*models, CORPUS, limit=6, options=options)
    plain = run(list(models), [CORPUS], limit=6, options=options)
    assert plain.num_scored == 0
    assert [cell.sha256 for cell in plain.cells] == [cell.sha256 for cell in result.cells]
    assert result.divergence.num_documents == 6
    again = run_divergence(*models, CORPUS, limit=6, options=options)
    assert again == result


def test_a_document_that_one_cannot_represent_is_told_of(tmp_path: Path) -> None:
    result = divergence_of(tmp_path, DistributionBigram("a", 1, lossy="Straße"), DistributionBigram("b"))
    assert (result.num_documents, result.num_left_out) == (6, 1)
    assert "  1 documents that one of the two cannot represent are left out" in divergence_lines(result)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("xz", DistributionBigram("b")), "xz is a compressor and has no distribution; leave out --kl"),
        ((DistributionBigram("a"), BigramModel("plain")), r"plain: its loader 'toy' gives what tokens cost"),
        ((DistributionBigram("a"), DistributionBigram("a")), "asked for twice: a"),
        (("rwkv7-nano", "gpt5"), "unknown model 'gpt5'"),
    ],
)
def test_models_without_distributions_are_refused(
    tmp_path: Path, models: tuple[str | BigramModel, str | BigramModel], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_divergence(*models, CORPUS, options=RunOptions(output=tmp_path))
    assert cell_files(tmp_path) == []


def test_a_policy_that_looks_for_a_start_of_each_model_needs_a_prefix(tmp_path: Path) -> None:
    names = "rwkv7-nano", "llama-nano"
    options = RunOptions(output=tmp_path)
    with pytest.raises(UsageError, match=r"looks for a start token for each model, .*; give --prefix"):
        run_divergence(*names, CORPUS, policy="uncheatable-2025-12", options=options)


def test_two_vocabularies_are_refused_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for pre in ("gpt-2", "smollm"):
        path = gguf_files.random_model(
            tmp_path / f"{pre}.gguf", "llama", vocabulary=gguf_files.byte_level_metadata(pre)
        )
        names.append(f"gguf:{path}")
    monkeypatch.setattr(gguf_loader, "load_weights", None)  # what would read them
    with pytest.raises(UsageError, match=r"gguf:gpt-2.gguf and gguf:smollm.gguf have different vocabularies"):
        run_divergence(*names, corpus_of(["in 1234 years"]), options=RunOptions(output=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_the_command_line(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", TEXTS[:5])
    original = gguf_files.random_model(tmp_path / "F32.gguf", "llama")
    kind = gguf.GGMLQuantizationType.Q8_0
    quantised = gguf_files.random_model(tmp_path / "Q8_0.gguf", "llama", quantisation=kind)
    command = ["compare", f"gguf:{quantised}", f"gguf:{original}", "--corpus", texts, "--output",
               tmp_path / "runs", "--kl"]  # fmt: skip
    outcome = run_cli(*command, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    content = json.loads(outcome.stdout)
    divergence = content["divergence"]
    assert (divergence["model"], divergence["reference"]) == ("gguf:Q8_0.gguf", "gguf:F32.gguf")
    assert divergence["overall"]["bits_per_token"] > 1e-3
    assert divergence["overall"]["interval"]["low"] < divergence["overall"]["bits_per_token"]
    assert 0.5 < divergence["overall"]["agreement"] < 1
    assert content["difference"] == pytest.approx(
        content["bits_per_byte_a"] - content["bits_per_byte_b"], abs=1e-9
    )
    outcome = run_cli(*command)
    assert "Kullback-Leibler divergence of gguf:Q8_0.gguf from gguf:F32.gguf on texts: " in outcome.stdout
    cells = [path for path in cell_files(tmp_path / "runs") if path.suffix == ".json"]
    outcome = run_cli("compare", *cells, "--kl")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "--kl reads the models themselves; give two models and --corpus" in outcome.stderr
