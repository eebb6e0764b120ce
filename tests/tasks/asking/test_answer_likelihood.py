"""Answers are paid for from the first token that any of them changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import ScoringError
from evalkit.models.hf.model import HfModel
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.protocol import Encoding
from evalkit_tasks.asking.answer_likelihood import Question, answer_costs, answer_requests
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, sentencepiece_tokenizer
from tests.support.toys import BigramModel, identity


def hf_model(tokenizer: Any, prefix: tuple[int, ...]) -> HfModel:
    token_bytes = TokenBytes(as_fast(tokenizer))
    model = random_model("llama", tokenizer.get_vocab_size())
    return HfModel(model, token_bytes, identity=identity("tiny"), prefix=prefix, policy_prefixes={})


MODELS = {
    "byte level": hf_model(byte_level_tokenizer(), (1,)),
    "byte level without prefix": hf_model(byte_level_tokenizer(), ()),
    "sentencepiece": hf_model(sentencepiece_tokenizer(), (1,)),
    "bytes": BigramModel(),
}
TEXT = st.text(alphabet="in the beginning there was text äß\n", min_size=1, max_size=30)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(text=TEXT, answers=st.lists(TEXT, min_size=2, max_size=4, unique=True))
def test_costs_differ_as_those_of_the_whole_texts(name: str, text: str, answers: list[str]) -> None:
    model = MODELS[name]
    requests = answer_requests(model, Question(text, tuple(answers)))
    wholes = [model.encode(text + answer) for answer in answers]
    assert len({request.context for request in requests}) == 1
    for request, whole in zip(requests, wholes, strict=True):
        assert request.context + request.continuation == (*model.prefix, *whole.ids.tolist())
        read = len(request.context) - len(model.prefix)
        assert read == 0 or whole.ends[read - 1] <= len(text.encode())  # no byte of an answer is for free
    [nats] = answer_costs(model, [Question(text, tuple(answers))]).nats
    full = [
        float(cost.sum(dtype=np.float64)) for cost in model.nats([whole.ids.tolist() for whole in wholes])
    ]
    np.testing.assert_allclose(nats - nats[0], np.array(full) - full[0], atol=2e-4)


class Merging(BigramModel):
    """Bytes, but ``bc`` is one token, 257."""

    vocab_size = 258

    def encode(self, text: str) -> Encoding:
        ids: list[int] = []
        for byte in text.encode():
            if ids[-1:] == [ord("b")] and byte == ord("c"):
                ids[-1] = 257
            else:
                ids.append(byte)
        return Encoding(np.array(ids), np.cumsum([2 if token == 257 else 1 for token in ids]))


def ids(text: str) -> tuple[int, ...]:
    return tuple(text.encode())


def test_a_token_across_the_boundary_is_paid_for_in_every_answer() -> None:
    model = Merging("merging")
    straddling = answer_requests(model, Question("ab", ("c", "d")))
    assert [request.context for request in straddling] == [(256, *ids("a"))] * 2
    assert [request.continuation for request in straddling] == [(257,), ids("bd")]
    clean = answer_requests(model, Question("ab", (" c", " d")))
    assert [request.context for request in clean] == [(256, *ids("ab"))] * 2
    # What the answers share is paid for, too: their lengths must count.
    assert [request.continuation for request in clean] == [ids(" c"), ids(" d")]


def test_the_model_s_prefix_is_read_first_or_there_is_none() -> None:
    with_prefix, without = MODELS["byte level"], MODELS["byte level without prefix"]
    question = Question("In the beginning there was the", (" byte", " text"))
    assert [request.context[0] for request in answer_requests(with_prefix, question)] == [1, 1]
    assert (
        answer_requests(without, question)[0].context == answer_requests(with_prefix, question)[0].context[1:]
    )
    costs = [answer_costs(model, [question]).nats[0] for model in (with_prefix, without)]
    assert abs(costs[0] - costs[1]).max() > 1e-3


def test_shared_beginnings_are_read_once() -> None:
    model = MODELS["byte level"]
    shots = "In the beginning there was the byte, and the byte was with the file.\n\n" * 4
    questions = [
        Question(f"{shots}The {word} was", (" byte", " text", " bits")) for word in ("first", "next")
    ]
    costs = answer_costs(model, questions)
    assert costs.num_tokens_read * 5 < costs.num_tokens_unshared
    alone = [answer_costs(model, [question]).nats[0] for question in questions]
    np.testing.assert_allclose(costs.nats, alone, rtol=1e-5)


def test_what_cannot_be_asked_is_said() -> None:
    lossy = BigramModel("lossy", lossy="ß")
    with pytest.raises(ScoringError, match="lossy cannot be asked: the toy cannot write 'ß'"):
        answer_costs(lossy, [Question("Stra", ("ße", "nd"))])
    short = BigramModel("short", context_limit=8)
    with pytest.raises(ScoringError, match=r"short: the longest question has 12 tokens.*holds 8.*--shots"):
        answer_costs(short, [Question("0123456789", ("ab", "cd"))])


def test_a_question_that_is_too_long_is_found_before_any_is_asked() -> None:
    num_sequences: list[int] = []

    class Short(BigramModel):
        def nats(self, sequences, *, contexts=None):
            num_sequences.append(len(sequences))
            return super().nats(sequences, contexts=contexts)

    questions = [Question("0" * (1 + i // 100), (" a", " b")) for i in range(1000)]
    with pytest.raises(ScoringError, match="the longest question has 12 tokens"):
        answer_costs(Short("short", context_limit=11), questions)
    assert not num_sequences
    assert len(answer_costs(Short("longer", context_limit=12), questions).nats) == 1000


def test_progress_is_told_after_every_lot() -> None:
    num_done: list[int] = []
    questions: Sequence[Question] = [Question(f"{i}", (" a", " b")) for i in range(300)]
    answer_costs(MODELS["bytes"], questions, num_done.append)
    assert num_done == [128, 256, 300]
