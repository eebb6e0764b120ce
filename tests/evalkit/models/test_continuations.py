"""Shared beginnings are read once, and that changes nothing but the time."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.errors import ScoringError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.continuations import ReadingModel, Request, continuation_nats, distinct_inputs
from evalkit.models.hf.model import HfModel
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.hidden_states import shuffled_weights
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.models.rwkv7.model import RWKV7Model, load
from tests.support.architectures import REPRESENTATIVE
from tests.support.rwkv7_files import TINY, save_official
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model
from tests.support.toys import BigramModel, BrokenModel, identity

SHOTS = "The compression of a text is a bet on what comes next.\n\n" * 5
QUESTIONS = ("In the beginning there was", "In the end there was", "The stake is paid in", "It")
ANSWERS = (" bits", " bytes", " nothing", " no bits at all", " b")

READ_FROM_THE_START = {"mamba", "falcon_mamba", "recurrent_gemma", "xlstm"}
"""Their caches, as transformers 5 writes them, take single tokens only."""


def hf_model(architecture: str, **settings: Any) -> HfModel:
    tokenizer = byte_level_tokenizer()
    model = random_model(architecture, tokenizer.get_vocab_size(), **settings)
    return HfModel(
        model,
        TokenBytes(as_fast(tokenizer)),
        identity=identity(architecture),
        prefix=(1,),
        policy_prefixes={},
    )


def rwkv_model(path: Any) -> RWKV7Model:
    return load(CatalogEntry(name="tiny", loader="rwkv7", target=str(path)), LoadOptions("cpu", "float32"))


def requests(model: TokenModel, questions: tuple[str, ...] = QUESTIONS) -> list[Request]:
    return [
        Request(
            (*model.prefix, *model.encode(SHOTS + question).ids.tolist()),
            tuple(model.encode(answer).ids.tolist()),
        )
        for question in questions
        for answer in ANSWERS
    ]


@contextmanager
def counted(embedding: torch.nn.Module) -> Iterator[list[int]]:
    """Token positions that go through an embedding, padding included."""
    seen: list[int] = []
    handle = embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    try:
        yield seen
    finally:
        handle.remove()


def check_against_whole(model: TokenModel, embedding: torch.nn.Module) -> None:
    questions = requests(model)
    whole = model.nats(
        [request.continuation for request in questions], contexts=[request.context for request in questions]
    )
    assert isinstance(model, ReadingModel) and model.carries_state
    with counted(embedding) as seen:
        costs = continuation_nats(model, questions)
    for nats, expected in zip(costs.nats, whole, strict=True):
        np.testing.assert_allclose(nats, expected, rtol=1e-5, atol=1e-5)
    assert costs.num_tokens_unshared == sum(len(r.context) + len(r.continuation) - 1 for r in questions)
    once = {request.context[:end] for request in questions for end in range(1, len(request.context) + 1)}
    branches = {(r.context, r.continuation[:-1]) for r in questions}
    assert costs.num_tokens_read == len(once) + sum(len(read) for _, read in branches)
    padding = sum(seen) - costs.num_tokens_read
    assert 0 <= padding <= len(QUESTIONS) * len(ANSWERS) * max(len(r.continuation) for r in questions)
    assert sum(seen) * 6 < costs.num_tokens_unshared


@pytest.mark.parametrize("architecture", sorted(REPRESENTATIVE))
def test_hf_models_read_on_as_they_read_whole(architecture: str) -> None:
    model = hf_model(architecture)
    if architecture in READ_FROM_THE_START:
        assert not model.carries_state
        questions = requests(model)[:6]
        costs = continuation_nats(model, questions)
        assert costs.num_tokens_read == costs.num_tokens_unshared
        for request, nats in zip(questions, costs.nats, strict=True):
            [expected] = model.nats([request.continuation], contexts=[request.context])
            np.testing.assert_allclose(nats, expected, rtol=1e-5, atol=1e-5)
    else:
        check_against_whole(model, model._model.get_input_embeddings())


def test_rwkv7_reads_on_as_it_reads_whole(tmp_path: Any) -> None:
    save_official(tmp_path / "random.pth", num_layers=3)
    for path in (tmp_path / "random.pth", TINY):
        model = rwkv_model(path)
        check_against_whole(model, model.network.emb)


def test_a_reading_is_not_changed_by_what_is_read_from_it() -> None:
    for model in (rwkv_model(TINY), hf_model("gemma2"), hf_model("mamba2")):
        text = model.encode(SHOTS).ids.tolist()
        reading = model.read_on([*model.prefix, *text[:40]])
        before = model.branch_nats(reading, [text[40:50], text[40:44]])
        model.read_on(text[40:], reading)
        model.branch_nats(reading, [text[:9]] * 3)
        after = model.branch_nats(reading, [text[40:50], text[40:44]])
        for first_nats, second_nats in zip(before, after, strict=True):
            assert first_nats.tolist() == second_nats.tolist()


def test_small_batches_change_nothing() -> None:
    model = hf_model("llama")
    questions = requests(model)
    expected = continuation_nats(model, questions)
    model.tokens_per_batch = 1
    costs = continuation_nats(model, questions)
    assert costs.num_tokens_read == expected.num_tokens_read
    for nats, expected_nats in zip(costs.nats, expected.nats, strict=True):
        np.testing.assert_allclose(nats, expected_nats, rtol=1e-5, atol=1e-5)


def test_a_context_may_be_the_beginning_of_another_or_empty() -> None:
    model = hf_model("qwen2")
    ids = tuple(model.encode(SHOTS).ids[:12].tolist())
    questions = [
        Request((), ids[:3]),
        Request(ids[:4], ids[4:6]),
        Request(ids[:4], ids[6:7]),
        Request(ids[:9], ids[9:12]),
        Request(ids[:2], ids[5:8]),
    ]
    costs = continuation_nats(model, questions)
    for request, nats in zip(questions, costs.nats, strict=True):
        [expected] = model.nats([request.continuation], contexts=[request.context])
        np.testing.assert_allclose(nats, expected, rtol=1e-5, atol=1e-5)
    assert costs.nats[0][0] == pytest.approx(math.log(model.vocab_size))
    assert continuation_nats(model, []).nats == []


def test_models_with_nothing_but_nats_are_asked_in_batches() -> None:
    model = BigramModel()
    questions = requests(model)
    costs = continuation_nats(model, questions)
    assert costs.num_tokens_read == costs.num_tokens_unshared
    assert model.num_calls > 1  # tokens_per_batch is 200
    for request, nats in zip(questions, costs.nats, strict=True):
        before = [request.context[-1], *request.continuation[:-1]]
        np.testing.assert_allclose(nats, model.table[before, list(request.continuation)], rtol=1e-6)


def test_each_input_is_read_once() -> None:
    assert distinct_inputs([(1,), (2,)]) == ([], [None, None])
    assert distinct_inputs([(1, 2, 3), (1, 2, 4), (5,), (1, 2)]) == ([(1, 2), (1,)], [0, 0, None, 1])


def test_bad_costs_and_long_requests_are_refused() -> None:
    broken = BrokenModel("nan")
    with pytest.raises(ScoringError, match="broken-nan: a continuation got costs that are not 5 finite"):
        continuation_nats(broken, [Request((256,), tuple(b"BREAK"))])
    short = BigramModel("short", context_limit=4)
    assert len(continuation_nats(short, [Request((256, 1), (2, 3, 4))]).nats[0]) == 3
    with pytest.raises(ScoringError, match="the longest question has 5 tokens, the model's context holds 4"):
        continuation_nats(short, [Request((256, 1), (2, 3, 4, 5))])
    with pytest.raises(ScoringError, match="no token of its own"):
        continuation_nats(BigramModel(), [Request((256, 1), ())])


def test_hidden_states_end_where_the_head_begins() -> None:
    text = SHOTS[:60]
    hf, rwkv = hf_model("llama"), rwkv_model(TINY)
    for model in (hf, rwkv):
        ids = [*model.prefix, *model.encode(text).ids.tolist()]
        positions = [0, 5, len(ids) - 2]
        states = model.hidden_states(ids, positions)
        last = torch.from_numpy(states[-1])
        with torch.inference_mode():
            if model is hf:
                logits = hf._model.get_output_embeddings()(last)
                assert len(states) == hf._model.config.num_hidden_layers + 1
            else:
                logits = rwkv.network.head(rwkv.network.ln_out(last))
                assert len(states) == len(rwkv.network.blocks) + 1
        costs = -logits.log_softmax(-1)
        [nats] = model.nats([ids[1:]], contexts=[ids[:1]])
        for row, position in enumerate(positions):
            assert float(costs[row, ids[position + 1]]) == pytest.approx(float(nats[position]), abs=1e-4)
        again = model.hidden_states(ids[: positions[1] + 1], positions[:2])
        np.testing.assert_allclose(states[:, :2], again, rtol=1e-4, atol=1e-4)  # causal
        with shuffled_weights(model.network, seed=0):
            shuffled = model.hidden_states(ids, positions)
        # Another network's states in every layer; then the model's again.
        assert all(
            not np.allclose(layer, learnt, atol=0.1) for layer, learnt in zip(shuffled, states, strict=True)
        )
        np.testing.assert_allclose(model.hidden_states(ids, positions), states, rtol=1e-5, atol=1e-5)
