"""Documents with a context: what is paid for, after what, and that it is what lm-evaluation-harness makes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.corpora.document import Document, make_corpus, make_document
from evalkit.errors import LossyTextError, ScoringError, UsageError
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.loading import load_model
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.documents import score_documents
from evalkit.scoring.encoding import encode_document
from evalkit.scoring.policy import windows
from tests.support import gguf_files
from tests.support.byte_llama import byte_llama
from tests.support.completions_server import CompletionsServer
from tests.support.hub_server import serving
from tests.support.llamacpp_server import llamacpp_server
from tests.support.rwkv7_files import TINY
from tests.support.tiny_models import (
    TEXTS,
    as_fast,
    byte_level_tokenizer,
    random_model,
    save_checkpoint,
    sentencepiece_tokenizer,
)
from tests.support.toys import BigramModel

MAX_LENGTH = 64
FORMATS = {
    "a blank before the continuation": ("The stake is paid", " in bits"),
    "a blank behind the context": ("The stake is paid ", "in bits"),
    "white space behind the context": ("Question: what is paid?\nAnswer:\n\n \t", "bits"),
    "in the middle of a word": ("The sta", "ke is paid"),
    "in the middle of a token": ("In the beginning there was the by", "te, and the byte was"),
    "few shots": ("Q: 1+1\nA: 2\n\nQ: 2+2\nA: 4\n\nQ: 3+3\nA:", " 6"),
    "a program": ("def add(first, second):\n    return", " first + second\n"),
    "a conversation": ("<|user|>\nHow much?\n<|assistant|>\n", "It costs 3,50 €."),
    "a translation": ("字节才是单位。=", "Байты, не буквы."),
    "a context beyond the model's": ("".join(TEXTS), " and more"),
    "no context": ("", "The stake is paid in bits."),
}


def conditional(*pairs: tuple[str, str]) -> list[Document]:
    return [
        make_document(text, source="test", context=context, id=f"d{place}")
        for place, (context, text) in enumerate(pairs)
    ]


def harness_nats(harness: Any) -> list[float]:
    from lm_eval.api.instance import Instance

    requests = [Instance("loglikelihood", {}, pair, place) for place, pair in enumerate(FORMATS.values())]
    return [-answer[0] for answer in harness.loglikelihood(requests, disable_tqdm=True)]


@pytest.mark.parametrize("adds_bos", [False, True])
def test_requests_cost_what_the_harness_makes_of_them(adds_bos: bool, tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    tokenizer = sentencepiece_tokenizer(space="none", adds_bos=True) if adds_bos else byte_level_tokenizer()
    fast = as_fast(tokenizer)
    folder = save_checkpoint(tmp_path / "llama", random_model("llama", len(fast)), fast)
    settings_of_harness = {"softmax_dtype": "float32", "dtype": "float32", "device": "cpu", "batch_size": 1}
    expected = harness_nats(HFLM(pretrained=str(folder), max_length=MAX_LENGTH, **settings_of_harness))
    model = load_model(f"hf:{folder}", max_context=MAX_LENGTH, device="cpu", dtype="float32")
    scores = score_documents(model, conditional(*FORMATS.values()), "lm-eval")
    nats = [score.total_bits * math.log(2) for score in scores if score.total_bits is not None]
    assert nats == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loader", ["rwkv7", "gguf"])
def test_requests_by_other_loaders_cost_what_the_harness_makes_of_them(loader: str, tmp_path: Path) -> None:
    from evalkit.exports.harness_model import EvalkitLM

    path = TINY if loader == "rwkv7" else gguf_files.random_model(tmp_path / "model.gguf", "llama")
    harness = EvalkitLM(
        f"{loader}:{path}", device="cpu", dtype="float32", max_length=MAX_LENGTH, prefix="token:0"
    )
    scores = score_documents(harness.model, conditional(*FORMATS.values()), "lm-eval")
    nats = [score.total_bits * math.log(2) for score in scores if score.total_bits is not None]
    assert nats == pytest.approx(harness_nats(harness), rel=1e-6)


CONDITIONAL = [
    *FORMATS.values(),
    ("   \n", " Paris"),  # nothing but white space, which lm-eval does not read
    ("\x00\x01", "a\x00"),
    ("x" * 99, " y" * 99),
]


def bits_of(spec: str) -> list[float | None]:
    """Bits under both policies."""
    model = load_model(spec, max_context=100)
    documents = conditional(*CONDITIONAL)
    # lm-eval refuses a continuation beyond the context, and without a BOS a text without a context.
    requests = [document for document in documents[:-1] if (document.context or "").strip()]
    scores = [
        *score_documents(model, documents, "document"),
        *score_documents(model, requests, "lm-eval"),
    ]
    return [score.total_bits for score in scores]


def test_a_file_costs_the_same_by_every_loader(tmp_path: Path) -> None:
    """Computed exactly, by llama.cpp, which rounds, and by its server."""
    extra = {"tokenizer.ggml.add_bos_token": True}
    path = gguf_files.random_model(tmp_path / "model.gguf", "llama", extra=extra)
    expected = bits_of(f"gguf:{path}")
    with llamacpp_server(path) as url:
        assert bits_of(f"openai:{url}/v1") == pytest.approx(expected, rel=1e-5)
    assert bits_of(f"llamacpp:{path}") == pytest.approx(expected, rel=5e-3)


def test_a_served_checkpoint_costs_what_it_costs_here() -> None:
    with serving(CompletionsServer()) as server:
        assert bits_of(server.spec) == pytest.approx(bits_of(f"hf:{byte_llama()}"), rel=1e-5)


def test_rwkv7_costs_the_same_from_a_gguf_file(tmp_path: Path) -> None:
    tensors = torch.load(TINY, weights_only=True)
    arrays = {name: tensor.float().numpy() for name, tensor in tensors.items()}
    path = gguf_files.write_rwkv7(tmp_path / "model.gguf", arrays, world=False)
    assert bits_of(f"gguf:{path}") == pytest.approx(bits_of(f"rwkv7:{TINY}"), rel=1e-6)


def test_a_request_that_is_too_long_is_refused_before_anything_is_scored() -> None:
    model = BigramModel(context_limit=8)
    documents = conditional(("a" * 50, "b"), ("a", "b" * 9))  # the longer one would be scored first
    with pytest.raises(ScoringError, match="a continuation of 9 tokens is longer than a context of 8"):
        score_documents(model, documents, "lm-eval")
    assert model.num_calls == 0
    assert len(score_documents(model, documents, "document")) == 2


TEXT = st.text("ab \né", max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT.filter(bool)), min_size=1, max_size=6), st.randoms())
@settings(max_examples=30, deadline=None)
def test_a_text_costs_what_it_costs_after_its_context_in_any_company(
    pairs: list[tuple[str, str]], random: Any
) -> None:
    model = BigramModel()
    documents = conditional(*pairs)
    shuffled = random.sample(documents, len(documents))
    for score in score_documents(model, shuffled, "document"):
        text = (score.document.context or "") + score.document.text
        whole, before = model.bits(text), model.bits(score.document.context or "\x00")
        expected = whole - (before if score.document.context else 0.0)
        assert score.total_bits == pytest.approx(expected, rel=1e-6)
        assert score.num_tokens == score.document.num_bytes


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 2), st.integers(6, 40))
@settings(max_examples=200, deadline=None)
def test_windows_pay_for_every_token_once_and_see_half_a_window(
    num_context: int, num_tokens: int, num_prefix: int, limit: int
) -> None:
    whole = np.arange(num_context + num_tokens)
    prefix = list(range(1000, 1000 + num_prefix))
    cut = windows(
        "document", whole[num_context:], prefix=prefix, context_limit=limit, context=whole[:num_context]
    )
    assert np.array_equal(np.concatenate([window.targets for window in cut]), whole[num_context:])
    for window in cut:
        place = num_context + window.first
        read = window.context[num_prefix:]
        assert window.context[:num_prefix].tolist() == prefix
        assert np.array_equal(read, whole[place - len(read) : place])  # what stands directly before
        assert window.num_positions <= limit
        assert len(read) >= min(place, limit // 2 - num_prefix)


def test_a_token_that_begins_in_the_context_is_paid_for_whole() -> None:
    encode = TokenBytes(as_fast(byte_level_tokenizer())).encode
    [document] = conditional(("In the beginning there was the ", "byte, and"))
    whole = encode("In the beginning there was the byte, and")
    encoded = encode_document(encode, document, "document", "m")
    first = len(encoded.context)
    assert [*encoded.context, *encoded.ids] == whole.ids.tolist()
    assert whole.ends[first - 1] == 30 and whole.ends[first] > 31  # the blank and the word are one token
    assert encoded.ends.tolist() == [end - 31 for end in whole.ends[first:].tolist()]
    harness = encode_document(encode, document, "lm-eval", "m")
    assert [*harness.context, *harness.ids] == whole.ids.tolist()
    # A token of the context alone that the whole does not have is read by the harness and by nobody else.
    [document] = conditional(("In the beginning there was the by", "te, and"))
    harness = encode_document(encode, document, "lm-eval", "m")
    assert harness.context.tolist() == encode("In the beginning there was the by").ids.tolist()
    assert encode_document(encode, document, "document", "m").context.tolist() == encoded.context.tolist()
    with pytest.raises(LossyTextError, match=r"makes 2 tokens alone and 1 with the text"):
        encode_document(encode, conditional((" th", "e"))[0], "lm-eval", "m")


def test_what_cannot_read_a_context_says_so_before_anything_is_scored(tmp_path: Path) -> None:
    model = BigramModel()
    corpus = make_corpus("pairs", conditional(("a", "b")))
    options = RunOptions(output=tmp_path)
    with pytest.raises(UsageError, match=r"pairs has documents with a context, and policy uncheatable knows"):
        run([model], [corpus], policy="uncheatable", options=options)
    with pytest.raises(UsageError, match="--prove: corpus pairs has documents with a context"):
        run([model], [corpus], prove=1, options=options)
    result = run(["xz", model], [corpus], options=options)
    assert [failure.reason for failure in result.failures] == [
        "xz: a compressor has nothing to read a context with; give documents with a context to language "
        "models only"
    ]
    assert model.num_calls == 1 and len(result.cells) == 1
    with pytest.raises(ScoringError, match="a continuation of 3 tokens is longer than a context of 2"):
        windows("lm-eval", [1, 2, 3], prefix=(), context_limit=2, context=[0])


def test_a_cell_says_how_many_have_a_context_and_is_found_by_it(tmp_path: Path) -> None:
    pairs = [("Question?\nAnswer:", " bits"), ("Question?\nAnswer:", " bytes"), ("", " bits")]
    plain = make_corpus("plain", conditional(*[("", text) for _, text in pairs[1:]]))
    corpus = make_corpus("pairs", conditional(*pairs))
    assert corpus.documents[0].cluster == corpus.documents[1].cluster != corpus.documents[2].cluster
    options = RunOptions(output=tmp_path)
    model = BigramModel(context_limit=64)
    first = run([model], [corpus, plain], policy="lm-eval", options=options)
    cells = {cell.corpus.name: cell for cell in first.cells}
    assert cells["pairs"].corpus.num_with_context == 2 and cells["plain"].corpus.num_with_context is None
    assert cells["pairs"].policy.context_prefix_ids == ()
    assert cells["plain"].policy.context_prefix_ids is None
    assert cells["pairs"].totals.num_bytes == 16
    again = run([model], [corpus, plain], policy="lm-eval", options=options)
    assert again.num_scored == 0 and {cell.path for cell in again.cells} == {
        cell.path for cell in first.cells
    }
