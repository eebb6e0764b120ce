"""Other spellings than the tokenizer's: the estimate beside the sum over all, where they can be counted."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evalkit.coding.segmentations import Spellings, Stretch, lost_bits
from evalkit.coding.tokenization_bound import tokenization_bound
from evalkit.corpora.store import Corpus, make_corpus, make_document
from evalkit.errors import ModelError, ScoringError
from evalkit.models.lanes import lane_reader
from evalkit.models.protocol import Encoding
from tests.faults.coded_files import ByteBigram
from tests.support.byte_llama import byte_llama
from tests.support.toys import BigramModel, identity, run_cli

TOKENS = (b"", b"a", b"b", b"ab", b"ba", b"aba", b"bab", b"abab")
"""The first begins a text."""


class Tiny:
    """Eight tokens, each with a probability that depends on the two before it; reads "a" and "b" greedily."""

    vocab_size = len(TOKENS)
    prefix: tuple[int, ...] = (0,)
    tokens_per_batch = 1 << 16
    context_limit: int | None = None

    def __init__(self, spread: float = 1.5, canonical: float = 2.0) -> None:
        self.identity, self.policy_prefixes = identity("tiny", prefix="token:0"), {}
        rng = np.random.default_rng(7)
        logits = rng.normal(0, spread, (len(TOKENS),) * 3)
        logits += canonical * np.array([len(token) for token in TOKENS])  # as if trained on greedy tokens
        self.table = torch.log_softmax(torch.from_numpy(logits).float(), -1)

    def encode(self, text: str) -> Encoding:
        ids: list[int] = []
        while text:
            ids.append(
                max(
                    (i for i, token in enumerate(TOKENS) if token and text.encode().startswith(token)),
                    key=lambda i: len(TOKENS[i]),
                )
            )
            text = text[len(TOKENS[ids[-1]]) :]
        return Encoding(np.array(ids, np.int64), np.cumsum([len(TOKENS[i]) for i in ids]))

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(TOKENS[i] for i in ids)

    def head_inputs(self, context: Sequence[int], targets: Sequence[int]) -> Iterator[torch.Tensor]:
        ids = [0, *context, *targets[:-1]]
        yield torch.tensor([ids[i - 1 : i + 1] for i in range(len(context), len(ids))])

    def logits(self, head_inputs: torch.Tensor) -> torch.Tensor:
        return self.table[head_inputs[:, 0], head_inputs[:, 1]]

    def nats(self, sequences: Any, *, contexts: Any = None) -> list[NDArray[np.float32]]:
        raise NotImplementedError


def all_spellings(data: bytes) -> Iterator[tuple[int, ...]]:
    if not data:
        yield ()
    for i, token in enumerate(TOKENS):
        if token and data.startswith(token):
            yield from ((i, *rest) for rest in all_spellings(data[len(token) :]))


def log_probability(model: Tiny, context: Sequence[int], ids: Sequence[int]) -> float:
    whole = [0, *context, *ids]
    first = len(whole) - len(ids)
    return sum(float(model.table[whole[i - 2], whole[i - 1], whole[i]]) for i in range(first, len(whole)))


@pytest.mark.parametrize(("data", "canonical"), [(b"ababbaab", 2.0), (b"abbabaab", 1.0), (b"aab", 0.0)])
def test_the_estimate_is_that_of_all_spellings(data: bytes, canonical: float) -> None:
    model = Tiny(canonical=canonical)
    context = (0, 3, 1)
    ids = tuple(model.encode(data.decode()).ids.tolist())
    logs = [log_probability(model, context, spelling) for spelling in all_spellings(data)]
    exact = math.exp(np.logaddexp.reduce(logs) - log_probability(model, context, ids))
    assert exact > 1.04  # there is something to find
    rng = np.random.default_rng(0)
    reader, spellings = lane_reader(model), Spellings(model)
    runs = [lost_bits(reader, spellings, Stretch(context, ids), num_draws=32, rng=rng) for _ in range(40)]
    assert runs[0].canonical_bits == pytest.approx(-log_probability(model, context, ids) / math.log(2))
    ratios, bits = (np.array(values) for values in zip(*((run.ratio, run.bits) for run in runs), strict=True))
    error, error_bits = (values.std() / math.sqrt(len(runs)) for values in (ratios, bits))
    assert abs(ratios.mean() - exact) < 3 * error + 1e-6 and error < 0.2 * (exact - 1)
    assert bits.mean() < math.log2(exact) + 3 * error_bits + 1e-6  # not too much on average


def corpus(*texts: str) -> Corpus:
    return make_corpus("texts", [make_document(text, source="toy") for text in texts])


def test_a_corpus_is_sampled_and_the_interval_is_over_its_documents() -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(["a", "b"], 40)) for _ in range(12)]
    bound = tokenization_bound(Tiny(), corpus(*texts), num_stretches=10, num_draws=4)
    assert (bound.num_stretches, bound.num_bytes) == (10, 400)
    assert bound.interval.low < bound.lost_bits_per_byte < bound.interval.high
    assert bound.to_json()["interval"] == {"low": bound.interval.low, "high": bound.interval.high}
    share = 100 * bound.lost_bits_per_byte / bound.bits_per_byte
    assert bound.lost_percent == pytest.approx(share) and share > 0.5
    assert bound == tokenization_bound(Tiny(), corpus(*texts), num_stretches=10, num_draws=4)
    few = tokenization_bound(Tiny(), corpus(texts[0]), num_draws=4)
    assert (few.num_stretches, few.interval) == (1, None)


def test_bytes_have_no_other_spelling() -> None:
    bound = tokenization_bound(ByteBigram(), corpus("Straße, 文字", "abc"))
    assert (bound.lost_bits_per_byte, bound.num_bytes) == (0, 18)


def test_a_context_leaves_room_for_the_longest_spelling() -> None:
    model = Tiny()
    longest = []

    def head_inputs(context: Sequence[int], targets: Sequence[int]) -> Iterator[torch.Tensor]:
        longest.append(len(context) + len(targets))
        return Tiny.head_inputs(model, context, targets)

    model.head_inputs, model.context_limit = head_inputs, 12
    bound = tokenization_bound(model, corpus("abab" * 20))
    assert max(longest) <= 12 and bound.num_bytes > 0
    model.context_limit = 1
    with pytest.raises(ScoringError, match="too short to spell"):
        tokenization_bound(model, corpus("abab"))
    with pytest.raises(ModelError, match="does not show the distribution"):
        tokenization_bound(BigramModel("bigram"), corpus("abab"))


def test_the_command_prints_the_bound_of_a_corpus(tmp_path: Path) -> None:
    """Of a model that reads bytes, to which nothing is lost."""
    (tmp_path / "notes.txt").write_text("Rain on the grain road.")
    arguments = ("audit", f"hf:{byte_llama()}", "--tokenization-bound", str(tmp_path / "notes.txt"))
    printed = json.loads(run_cli(*arguments, "--json").stdout)
    assert printed["schema_version"] == 1 and printed["interval"] is None
    assert (printed["num_bytes"], printed["num_tokens"], printed["lost_bits_per_byte"]) == (23, 23, 0)
    lines = run_cli(*arguments).stdout.splitlines()
    assert f"{printed['bits_per_byte']:.4f} bits per byte" in lines[1]
    assert "0.0000 bits per byte (too few documents for an interval)" in lines[2]
    outcome = run_cli(*arguments, "--against", "rwkv7-nano")
    assert outcome.exit_code == 2 and "--tokenization-bound goes without --against" in outcome.stderr
