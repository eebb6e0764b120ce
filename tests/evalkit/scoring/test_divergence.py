"""Divergence of two models in lockstep, against the definition on stored distributions."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evalkit.corpora.document import Document
from evalkit.corpora.store import make_document
from evalkit.errors import ScoringError, UsageError
from evalkit.models.distributions import DistributionModel, recut
from evalkit.models.loading import load_model
from evalkit.scoring import divergence as scoring
from evalkit.scoring.divergence import (
    DocumentDivergence,
    check_same_distributions,
    score_divergence,
    token_divergences,
)
from evalkit.scoring.policy import windows
from tests.support import gguf_files, tiny_models
from tests.support.rwkv7_files import TINY, save_official
from tests.support.toys import TEXTS, DistributionBigram

Array = NDArray[np.float64]


def documents(*texts: str) -> list[Document]:
    return [make_document(text, source="test") for text in texts]


def definition(logits: Array, reference: Array) -> Array:
    """The divergence of each row in bits, from distributions that are all in memory, in float64."""
    p, q = (
        np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
        for rows in (reference - reference.max(1, keepdims=True), logits - logits.max(1, keepdims=True))
    )
    ratio = np.log2(p, where=p > 0, out=np.zeros_like(p)) - np.log2(q, where=q > 0, out=np.zeros_like(q))
    return np.asarray((p * ratio).sum(1))


def test_a_tokens_divergence_is_the_definitions() -> None:
    random = np.random.default_rng(0)
    logits, reference = random.standard_normal((2, 50, 300)) * 5
    targets = random.integers(0, 300, 50)
    result = token_divergences(*map(torch.from_numpy, (logits, reference, targets)))
    np.testing.assert_allclose(result.nats.numpy() / np.log(2), definition(logits, reference), rtol=1e-12)
    assert result.agrees.tolist() == (logits.argmax(1) == reference.argmax(1)).tolist()
    expected = np.log(np.exp(reference).sum(1)) - reference[np.arange(50), targets]
    np.testing.assert_allclose(result.reference_nats.numpy(), expected, rtol=1e-12)


def test_tokens_that_are_impossible_to_both_add_nothing() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf]])
    reference = torch.tensor([[1.0, 0.0, -torch.inf]])
    [nats] = token_divergences(logits, reference, torch.tensor([0])).nats.tolist()
    p = np.e / (1 + np.e)
    assert nats == pytest.approx(p * 1 - (1 - p) * 1, rel=1e-12)
    # What only the model holds for impossible is infinitely far.
    assert token_divergences(logits, torch.zeros(1, 3), torch.tensor([0])).nats.tolist() == [np.inf]


@pytest.mark.parametrize("num_rows", [1, 3, 4, 100])
def test_pieces_are_cut_anew_whatever_they_were(num_rows: int) -> None:
    rows = torch.arange(23.0)[:, None].repeat(1, 2)
    pieces = list(recut(iter(torch.split(rows, [5, 0, 1, 9, 8])), num_rows))
    assert torch.equal(torch.cat(pieces), rows)
    assert {len(piece) for piece in pieces[:-1]} <= {num_rows}
    assert 0 < len(pieces[-1]) <= num_rows


def test_a_documents_sums_are_those_of_its_tokens_by_position(monkeypatch: pytest.MonkeyPatch) -> None:
    model, reference = DistributionBigram("a", 1), DistributionBigram("b")
    texts = ["x", "An odd text. " * 40, "é" * 64]
    whole = score_divergence(model, reference, documents(*texts), "document")
    monkeypatch.setattr(scoring, "_NUM_LOGITS", 257 * 7)
    pieces = score_divergence(model, reference, documents(*texts), "document")
    for text, score, again in zip(texts, whole, pieces, strict=True):
        tokens = list(text.encode())
        before = [256, *tokens[:-1]]
        bits = definition(-model.table[before], -reference.table[before])
        agrees = model.table[before].argmin(1) == reference.table[before].argmin(1)
        edges = [0, 64, 128, 256, 512, 1024]
        for index, (first, end) in enumerate(itertools.pairwise(edges)):
            assert score.num_tokens[index] == len(tokens[first:end])
            assert score.bits[index] == pytest.approx(bits[first:end].sum(), rel=1e-6)
            assert score.num_agreeing[index] == agrees[first:end].sum()
        assert score.num_tokens.sum() == len(tokens)
        assert score.max_bits == pytest.approx(bits.max(), abs=1e-6)
        np.testing.assert_allclose(again.bits, score.bits, rtol=1e-12)
        assert again.num_agreeing.tolist() == score.num_agreeing.tolist()


def test_no_more_logits_are_held_than_a_block_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_NUM_LOGITS", 257 * 11)
    models = DistributionBigram("a", 1), DistributionBigram("b")
    score_divergence(*models, documents("A text of some length. " * 30), "document")
    for model in models:
        assert max(model.num_rows) == 11
        assert sum(model.num_rows) == 690


def test_a_model_against_itself_is_exactly_nothing() -> None:
    model = DistributionBigram("a")
    for score in score_divergence(model, DistributionBigram("b"), documents(*TEXTS), "document"):
        assert score.bits.sum() == score.max_bits == 0
        assert (score.num_agreeing == score.num_tokens).all()


def test_what_nothing_precedes_is_equally_likely_to_both() -> None:
    """Of the policy uncheatable a toy reads no prefix, and pays for no chunk's first token."""
    models = DistributionBigram("a", 1), DistributionBigram("b")
    [score] = score_divergence(*models, documents("abc"), "uncheatable")
    bits = definition(-models[0].table[[97, 98]], -models[1].table[[97, 98]])
    assert (score.num_tokens.sum(), score.bits.sum()) == (2, pytest.approx(bits.sum(), abs=1e-6))
    for model in models:
        model.prefix = ()
    [score] = score_divergence(*models, documents("abc"), "document")
    assert (score.num_tokens.sum(), score.bits.sum()) == (3, pytest.approx(bits.sum(), abs=1e-6))


def test_a_document_that_one_cannot_represent_is_left_out() -> None:
    models = DistributionBigram("a", 1, lossy="Straße"), DistributionBigram("b")
    scores = score_divergence(*models, documents(*TEXTS), "document")
    assert [score.document.text for score in scores] == [text for text in TEXTS if "Straße" not in text]


def test_a_divergence_that_is_no_number_is_refused() -> None:
    broken = DistributionBigram("broken")
    broken.table[65] = np.nan
    with pytest.raises(ScoringError, match=r"broken: its distribution in document .* is no finite"):
        score_divergence(broken, DistributionBigram("b"), documents("ABC"), "document")


def stored_logits(model: DistributionModel, context: Sequence[int], targets: Sequence[int]) -> Array:
    return torch.cat([model.logits(piece) for piece in model.head_inputs(context, targets)]).double().numpy()


def assert_equal_to_stored(
    scores: Sequence[DocumentDivergence], expected: Iterator[tuple[Array, Array]]
) -> None:
    """Bits per token, to 1e-6, of logits that were kept whole."""
    for score, (logits, reference) in zip(scores, expected, strict=True):
        bits = definition(logits, reference)
        assert bits.mean() > 1e-4
        assert score.num_tokens.sum() == len(bits)
        assert score.bits.sum() / len(bits) == pytest.approx(bits.mean(), abs=1e-6, rel=1e-6)
        assert score.num_agreeing.sum() == (logits.argmax(1) == reference.argmax(1)).sum()


def test_equals_the_divergence_of_transformers_stored_logits_in_float64(tmp_path: Path) -> None:
    tokenizer = tiny_models.as_fast(tiny_models.byte_level_tokenizer(), eos_token="<|endoftext|>")
    weights = tiny_models.random_model("gemma2", len(tokenizer))  # with a softcap
    tiny_models.save_checkpoint(tmp_path / "whole", weights, tokenizer)
    for parameter in weights.parameters():
        parameter.data = parameter.data.half().float() * 1.2
    tiny_models.save_checkpoint(tmp_path / "rounded", weights, tokenizer)
    folders = [tmp_path / "rounded", tmp_path / "whole"]
    models = [load_model(f"hf:{folder}", device="cpu") for folder in folders]
    model, reference = models
    assert isinstance(model, DistributionModel)
    assert isinstance(reference, DistributionModel)
    texts = documents(*TEXTS)
    exact = [type(weights).from_pretrained(folder).double().eval() for folder in folders]

    def stored() -> Iterator[tuple[Array, Array]]:
        for document in texts:
            ids = [*reference.prefix, *reference.encode(document.text).ids.tolist()]
            with torch.inference_mode():
                first, second = (net(input_ids=torch.tensor([ids[:-1]])).logits[0].numpy() for net in exact)
            yield first, second

    check_same_distributions((model, reference), texts, "document")
    assert_equal_to_stored(score_divergence(model, reference, texts, "document"), stored())


def test_equals_stored_logits_where_a_state_is_carried_and_where_windows_slide(tmp_path: Path) -> None:
    save_official(tmp_path / "other.pth", vocab_size=257, num_channels=64, num_layers=2)
    texts = documents("A long text that goes on and on. " * 24, TEXTS[0])  # beyond a slice of 512
    path = tmp_path / "other.pth"
    model = load_model(f"rwkv7:{path}", device="cpu")
    reference = load_model(f"rwkv7:{path}", device="cpu", max_context=700)
    assert isinstance(model, DistributionModel)
    assert isinstance(reference, DistributionModel)
    with pytest.raises(UsageError, match=r"different parts of document .*None and 700 .*--max-context"):
        check_same_distributions((model, reference), texts, "document")
    model.network.head.weight.data += 0.01 * torch.randn(257, 64, generator=torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    model.context_limit = 700

    def stored() -> Iterator[tuple[Array, Array]]:
        for document in texts:
            ids = reference.encode(document.text).ids
            cut = windows("document", ids, prefix=reference.prefix, context_limit=700)
            rows = [
                [stored_logits(part, window.context.tolist(), window.targets.tolist()) for window in cut]
                for part in (model, reference)
            ]
            yield np.concatenate(rows[0]), np.concatenate(rows[1])

    assert_equal_to_stored(score_divergence(model, reference, texts, "document"), stored())


@pytest.mark.parametrize(
    "spec", ["gemma2", "granite", "mamba", "rwkv7", "llamacpp"], ids=lambda spec: str(spec)
)
def test_logits_are_those_by_which_a_models_tokens_are_paid_for(tmp_path: Path, spec: str) -> None:
    """With a softcap, a scale, a state; and as llama.cpp gives them."""
    name = f"rwkv7:{TINY}"
    if spec != "rwkv7":
        architecture = "llama" if spec == "llamacpp" else spec
        path = gguf_files.random_model(tmp_path / "model.gguf", architecture)
        name = f"{'llamacpp' if spec == 'llamacpp' else 'gguf'}:{path}"
    model = load_model(name)
    assert isinstance(model, DistributionModel)
    ids = np.random.default_rng(0).integers(2, 250, 80).tolist()
    for context in ([5], [5, 6, 7]):
        [nats] = model.nats([ids], contexts=[context])
        logits = torch.from_numpy(stored_logits(model, context, ids))
        assert logits.shape == (80, model.vocab_size)
        expected = -torch.log_softmax(logits, -1)[torch.arange(80), torch.tensor(ids)]
        np.testing.assert_allclose(nats, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_coarser_weights_lie_further_from_their_original(tmp_path: Path) -> None:
    """The file of 16-bit weights, of 8 and of 4 bits, each against that of 32."""
    texts = documents(*TEXTS[:2])
    reference = load_model(f"gguf:{gguf_files.random_model(tmp_path / 'F32.gguf', 'llama')}")
    assert isinstance(reference, DistributionModel)
    means = []
    for name in ("F16", "Q8_0", "Q4_1", "Q4_0"):
        kind = gguf.GGMLQuantizationType[name]
        path = gguf_files.random_model(tmp_path / f"{name}.gguf", "llama", quantisation=kind)
        model = load_model(f"gguf:{path}")
        assert isinstance(model, DistributionModel)
        scores = score_divergence(model, reference, texts, "document")
        means.append(sum(score.bits.sum() for score in scores) / sum(s.num_tokens.sum() for s in scores))
    assert 0 < means[0] < 1e-4
    assert [10 * mean < later for mean, later in itertools.pairwise(means)][:2] == [True, True]
    assert means == sorted(means)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 300}, "different vocabularies, of 257 and 300 tokens"),
        ({"prefix": (0,)}, r"different tokens before a document, token:256 and token:0; .*--prefix"),
    ],
)
def test_distributions_that_cannot_be_compared_are_refused(fields: dict[str, object], message: str) -> None:
    first, second = DistributionBigram("a"), DistributionBigram("b")
    for name, value in fields.items():
        setattr(second, name, value)
    with pytest.raises(UsageError, match=message):
        check_same_distributions((first, second), documents(*TEXTS), "document")


class Shifted(DistributionBigram):
    """Another vocabulary of as many tokens."""

    def encode(self, text: str) -> "scoring.Encoding":
        encoding = super().encode(text)
        return encoding._replace(ids=np.where(encoding.ids > 127, 0, encoding.ids))


def test_other_tokens_of_a_text_are_refused_with_their_place() -> None:
    with pytest.raises(UsageError, match=r"a and b have different vocabularies: .* which part at byte 4;"):
        check_same_distributions(
            (DistributionBigram("a"), Shifted("b")), documents("plain", "Straße"), "document"
        )
