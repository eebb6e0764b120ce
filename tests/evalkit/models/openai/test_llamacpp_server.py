"""llama.cpp's own server: each token is one that it is made to choose, and costs what it cost before that."""

import math
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from evalkit.corpora.document import make_document
from evalkit.errors import ModelError
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.scoring.documents import score_documents
from tests.support.byte_llama import byte_llama
from tests.support.completions_server import LlamaCppManner, LlamaCppServer
from tests.support.gguf_files import random_model
from tests.support.hub_server import serving
from tests.support.llamacpp_server import llamacpp_server

TEXTS = ("def read(path):\n    return naïve(漢字, '🙂')\n", "short", "")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    return random_model(folder / "nano.gguf", "llama", quantisation=gguf.GGMLQuantizationType.F32)


@pytest.fixture(scope="module")
def url(path: Path) -> Iterator[str]:
    with llamacpp_server(path) as address:
        yield address


def load(spec: str, max_context: int | None = None) -> TokenModel:
    model = load_model(spec, max_context=max_context)
    assert isinstance(model, TokenModel)
    return model


def bits(model: TokenModel) -> list[float]:
    documents = [make_document(text, source="test", license="CC0-1.0") for text in TEXTS if text]
    totals = [score.total_bits for score in score_documents(model, documents, "document")]
    return [total for total in totals if total is not None]


def test_scores_are_those_of_the_file(url: str, path: Path) -> None:
    """Also of tokens that end within a character, and in windows that slide."""
    served, exact = load(f"openai:{url}/v1", max_context=24), load(f"gguf:{path}", max_context=24)
    assert (served.prefix, served.vocab_size) == (exact.prefix, exact.vocab_size)
    for text, total, own in zip(TEXTS, bits(served), bits(exact), strict=False):
        assert abs(total - own) / len(text.encode()) < 2e-5


def test_tokens_are_those_of_the_file(url: str, path: Path) -> None:
    served, exact = load(f"openai:{url}/v1"), load(f"gguf:{path}")
    for text in (*TEXTS, "<s> </s>", "▁ \t\n\x00 e\u0301"):
        encoding, own = served.encode(text), exact.encode(text)
        np.testing.assert_array_equal(encoding.ids, own.ids)
        np.testing.assert_array_equal(encoding.ends, own.ends)


def test_what_a_cell_says(url: str) -> None:
    identity = load(f"openai:{url}/v1").identity
    assert identity.name == "openai:nano.gguf"  # the server calls it by its path
    assert identity.details["server"] == identity.numerics
    assert str(identity.numerics).startswith("llama.cpp ")
    assert identity.weights_sha256 == "not verifiable"
    assert identity.context_limit == 254


def test_no_other_tokenizer(url: str) -> None:
    with pytest.raises(ModelError, match="cuts texts itself; leave the tokenizer out"):
        load(f"openai:{url}/v1?tokenizer={byte_llama()}")


def test_a_request_for_each_token_and_as_many_at_a_time_as_slots() -> None:
    with serving(LlamaCppServer()) as server:
        model = load(server.spec)
        num_asked = len(server.bodies)
        costs = model.nats([[97], [98, 99], [100], [0xC3, 0xA9]])
        assert sum(map(len, costs)) == 6
        # The first of the last is told of beside another token, and only among all.
        assert len(server.bodies) - num_asked == 6 + 2
        assert {body["id_slot"] for body in server.bodies} == {0, 1}
        assert server.most_at_once <= 2
        local = load(f"hf:{byte_llama()}")
        for cost, own in zip(costs, local.nats([[97], [98, 99], [100], [0xC3, 0xA9]]), strict=True):
            np.testing.assert_allclose(cost, own, atol=1e-4)


FAULTS = {
    "ignores the bias": (
        LlamaCppManner(follows_bias=False),
        r"made to choose \d+: it does not follow "
        "logit_bias",
    ),
    "tells of after the bias": (LlamaCppManner(is_biased=True), "sum to|costs are of after the bias"),
    "truncates": (
        LlamaCppManner(reads=lambda ids: ids[-9:]),
        r"reads 9 tokens of a prompt of \d+: it "
        "truncates",
    ),
    "adds a BOS": (
        LlamaCppManner(reads=lambda ids: [256, *ids]),
        r"reads 33 tokens of a prompt of 32.* adds "
        "to",
    ),
    "tells nothing": (LlamaCppManner(told=False), "probabilities of 0 of 257 tokens"),
    "to the base 10": (
        LlamaCppManner(logprobs=lambda row, number: row / np.log(10)),
        "sum to .* no natural log",
    ),
    "to the base 2": (
        LlamaCppManner(logprobs=lambda row, number: row / np.log(2)),
        "sum to 0.* no natural log",
    ),
    "NaN": (LlamaCppManner(cost=lambda logprob: math.nan), "gives nan for token .*: no number"),
    "above 0": (LlamaCppManner(cost=lambda logprob: -logprob), "costs are of after|a probability above 1"),
    "says no bytes": (LlamaCppManner(pieces=False), r"does not say the bytes of its tokens \(/tokenize\)"),
    "differs when asked again": (
        LlamaCppManner(logprobs=lambda row, number: np.roll(row, number) if number > 9 else row),
        "the same text other costs when asked again",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_before_anything_is_scored(fault: str) -> None:
    manner, message = FAULTS[fault]
    with serving(LlamaCppServer(manner)) as server, pytest.raises(ModelError, match=message) as caught:
        locate_models([server.spec], LoadOptions())[0].load()
    assert "\n" not in str(caught.value)
