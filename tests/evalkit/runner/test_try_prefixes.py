"""`evalkit run --try-prefixes`: what each prefix costs on a sample, and nothing kept."""

import io
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit.models.loading import load_model
from evalkit.models.protocol import TokenModel
from evalkit.runner.options import RunOptions
from evalkit.runner.prefixes import NUM_CHARACTERS, print_trials, sample_of, try_prefixes
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import TEXTS, BigramModel, BrokenModel, corpus_of, run_cli, snapshot, write_texts

CORPUS = corpus_of(TEXTS)


class StartingModel(BigramModel):
    """The toy, to which any byte is as likely as another where nothing is read before it."""

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        contexts = contexts or [self.prefix] * len(sequences)
        costs = super().nats(sequences, contexts=[context or self.prefix for context in contexts])
        for cost, context in zip(costs, contexts, strict=True):
            cost[:1] = cost[:1] if context else math.log(self.vocab_size)
        return costs


def by_hand(model: BigramModel, ids: tuple[int, ...], texts: list[str]) -> float:
    """Bits per byte of the texts after these ids, from the table of the toy."""
    nats = 0.0
    for text in texts:
        data = text.encode()
        nats += sum(model.table[before, token] for before, token in itertools.pairwise(data))
        nats += model.table[ids[-1], data[0]] if ids else math.log(model.vocab_size)
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def test_the_candidates_of_a_model_and_what_they_cost() -> None:
    model = StartingModel()
    trials = try_prefixes([model], [CORPUS], num_documents=100).trials
    assert [(trial.rule, trial.ids, trial.is_used) for trial in trials] == [
        ("token:256", (256,), True),
        ("none", (), False),
        ("token:10", (10,), False),
    ]
    for trial in trials:
        assert (trial.num_documents, trial.num_bytes) == (len(TEXTS), CORPUS.num_bytes)
        assert trial.bits_per_byte == pytest.approx(by_hand(model, trial.ids, TEXTS), rel=1e-6)
    assert trials[2].text == "\\n"


def test_a_hugging_face_model_s_special_tokens_are_tried(tmp_path: Path) -> None:
    fast = as_fast(byte_level_tokenizer(adds_bos=True))
    save_checkpoint(tmp_path / "tiny", random_model("llama", len(fast)), fast)
    options = RunOptions(output=tmp_path / "runs", device="cpu", dtype="float32")
    result = try_prefixes([f"hf:{tmp_path / 'tiny'}"], [CORPUS], num_documents=3, options=options)
    assert not result.failures
    assert {trial.ids: trial.text for trial in result.trials} == {
        (1,): "<|startoftext|>",
        (0,): "<|endoftext|>",
        (): None,
        tuple(fast.encode("\n", add_special_tokens=False)): "\\n",
    }
    assert [trial.ids for trial in result.trials if trial.is_used] == [(1,)]
    model = load_model(f"hf:{tmp_path / 'tiny'}", device="cpu", dtype="float32")
    assert isinstance(model, TokenModel)
    sample = sample_of(CORPUS.documents, 3)
    for trial in result.trials:
        costs = [
            model.nats([model.encode(document.text).ids], contexts=[trial.ids])[0] for document in sample
        ]
        bits = sum(float(np.sum(nats, dtype=np.float64)) for nats in costs) / math.log(2)
        assert trial.bits_per_byte == pytest.approx(bits / trial.num_bytes, rel=1e-5)
    assert not (tmp_path / "runs").exists()


def test_a_sample_is_spread_evenly_and_cut() -> None:
    corpus = corpus_of([f"{number} " + "é" * 3000 for number in range(10)])
    sample = sample_of(corpus.documents, 4)
    assert [document.text.split()[0] for document in sample] == ["0", "2", "5", "7"]
    assert {len(document.text) for document in sample} == {NUM_CHARACTERS}
    assert len(sample_of(corpus.documents, 100)) == 10


def test_what_fails_is_named_and_the_others_are_tried() -> None:
    breaking = corpus_of([*TEXTS, "BREAK"], "breaking")
    result = try_prefixes([BrokenModel("nan"), StartingModel()], [breaking], num_documents=100)
    assert {trial.model for trial in result.trials} == {"bigram"}
    [failure] = result.failures
    assert failure.model == "broken-nan"
    stream = io.StringIO()
    print_trials(result, stream)
    assert f"FAILED broken-nan on its prefixes: {failure.reason}" in stream.getvalue()


def test_nothing_to_try_is_refused() -> None:
    with pytest.raises(UsageError, match="xz is a compressor and reads no prefix; leave it out"):
        try_prefixes(["xz"], [CORPUS])
    with pytest.raises(UsageError, match="nothing to try prefixes on"):
        try_prefixes([BigramModel()], [])
    with pytest.raises(UsageError, match="nothing to try prefixes on"):
        try_prefixes([BigramModel()], [CORPUS], num_documents=0)


def test_the_command_prints_a_table_and_writes_nothing(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.json", TEXTS)
    before = snapshot(tmp_path)
    words = ["run", "--try-prefixes", "--models", "llama-nano", "--corpora", str(texts)]
    words += ["--output", str(tmp_path / "runs"), "--limit", "2", "--device", "cpu"]
    done = run_cli(*words)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("llama-nano on texts: the first 2,048 characters of 2 documents, ")
    rows = {tuple(line.split()[:-2]): line.split() for line in lines[2:5]}
    values = [float(line.split()[-2 if "+" in line or "-0" in line else -1]) for line in lines[2:5]]
    assert values == sorted(values)
    assert any("<|start|> (bos, token:2047)" in line and line.startswith("*") for line in lines), rows
    assert snapshot(tmp_path) == before
    as_json = run_cli(*words, "--json", "--prefix", "token:7,8")
    trials = json.loads(as_json.stdout)["prefixes"]
    assert [trial["ids"] for trial in trials if trial["is_used"]] == [[7, 8]]
    assert [2047] in [trial["ids"] for trial in trials]
    assert snapshot(tmp_path) == before
    for option in (["--policy", "lm-eval"], ["--token-bits"], ["--dry-run"], ["--tasks", "state-tracking"]):
        refused = run_cli(*words, *option)
        assert refused.exit_code == 2
        assert "--try-prefixes goes without --tasks, --policy, --token-bits and --dry-run" in refused.stderr
