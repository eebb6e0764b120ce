"""Bits of documents: what is summed, and that batches change nothing."""

import importlib
import math
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from evalkit import Document, Encoding, LossyTextError, ModelIdentity, ScoringError, TokenModel, load_corpus
from evalkit.corpora.store import make_document
from evalkit.models.catalog import CatalogEntry
from evalkit.models.codecs import CODECS
from evalkit.models.hf import model as hf_loader
from evalkit.models.loading import load_model
from evalkit.models.protocol import LoadOptions
from evalkit.scoring.batches import Piece, batches
from evalkit.scoring.documents import DocumentScore, Progress, score_documents
from evalkit.scoring.policy import Window
from evalkit.scoring.tokens import Tokens, TokenSpool
from tests.support import tiny_models
from tests.support.rwkv7_files import TINY, save_official


def tokens_of(score: DocumentScore) -> Tokens:
    assert score.load_tokens is not None
    return score.load_tokens()


def documents(*texts: str) -> list[Document]:
    return [make_document(text, source="test", license="CC0-1.0") for text in texts]


class Unigram:
    """A model in 30 lines: bytes, with the probabilities of their counts in a fixed text."""

    prefix: tuple[int, ...] = ()
    context_limit: int | None = None
    policy_prefixes: Mapping[str, tuple[int, ...]] = {}
    tokens_per_batch = 64
    vocab_size = 256

    def __init__(self) -> None:
        counts = np.bincount(np.frombuffer(b"a text that everybody knows", np.uint8), minlength=256) + 1.0
        self.probabilities = counts / counts.sum()
        self.identity = ModelIdentity(
            "unigram", "python", None, "0" * 64, "bytes", "none", "float64", self.context_limit
        )
        self.calls: list[int] = []

    def encode(self, text: str) -> Encoding:
        if "▁" in text:
            raise LossyTextError("this tokenizer takes ▁ for a space")
        ids = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
        return Encoding(ids, np.arange(1, len(ids) + 1))

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        self.calls.append(len(sequences))
        return [-np.log(self.probabilities[np.asarray(ids, int)]).astype(np.float32) for ids in sequences]


def test_a_model_of_thirty_lines_satisfies_the_protocol() -> None:
    model = Unigram()
    assert isinstance(model, TokenModel)
    text = "wörld ☃ text"
    [score] = score_documents(model, documents(text), "document")
    expected = -sum(math.log2(model.probabilities[byte]) for byte in text.encode())
    assert score.total_bits == pytest.approx(expected, rel=1e-6)
    assert score.num_tokens == len(text.encode())


def test_scores_come_in_the_order_of_the_documents() -> None:
    texts = ["bb" * 40, "a", "ccc", "d" * 200, "", "ee"]
    scores = score_documents(Unigram(), documents(*texts), "document")
    assert [score.document.text for score in scores] == texts
    assert scores[4].total_bits == 0.0


def test_a_lossy_document_has_no_bits_and_says_why() -> None:
    scores = score_documents(Unigram(), documents("fine", "not ▁ fine"), "document")
    assert scores[0].total_bits is not None
    assert scores[1].total_bits is None
    assert scores[1].lossy == "this tokenizer takes ▁ for a space"


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 300), max_size=40), budget=st.integers(1, 500))
def test_batches_hold_every_window_once_and_keep_the_budget(lengths: list[int], budget: int) -> None:
    pieces = [Piece(i, Window(np.zeros(1, int), np.zeros(n, int), 0)) for i, n in enumerate(lengths)]
    cut = list(batches(pieces, budget))
    assert sorted(piece.document for batch in cut for piece in batch) == list(range(len(lengths)))
    for batch in cut:
        longest = max(piece.window.num_positions for piece in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    flat = [piece.window.num_positions for batch in cut for piece in batch]
    assert flat == sorted(flat, reverse=True)


def test_batches_are_padded_no_further_than_another_batch_costs() -> None:
    lengths = [290, 250, 180, 120, 98, 97]
    pieces = [Piece(i, Window(np.zeros(1, int), np.zeros(n, int), 0)) for i, n in enumerate(lengths)]

    def cut(max_padding: int | None) -> list[list[int]]:
        return [[piece.document for piece in batch] for batch in batches(pieces, 1024, max_padding)]

    assert cut(None) == [[0, 1, 2], [3, 4, 5]]
    assert cut(64) == [[0, 1], [2, 3], [4, 5]]
    assert cut(23) == [[0], [1], [2], [3, 4], [5]]
    assert cut(0) == [[n] for n in range(6)]


def test_progress_ends_with_everything_done() -> None:
    seen: list[Progress] = []
    texts = ["some text"] * 5 + ["a longer text that is alone"]
    scores = score_documents(Unigram(), documents(*texts), "document", progress=seen.append)
    assert len(seen) > 1
    assert seen[-1].done == 1.0
    assert seen[-1].num_documents == 6
    assert seen[-1].num_bytes == sum(len(text) for text in texts)
    assert seen[-1].total_bits == pytest.approx(sum(score.total_bits or 0 for score in scores))
    assert [step.done for step in seen] == sorted(step.done for step in seen)


def test_tokens_are_kept_on_request() -> None:
    [score] = score_documents(Unigram(), documents("tokens"), "uncheatable", spool=TokenSpool())
    assert np.isnan(tokens_of(score).bits[0])  # the first id of a chunk is not paid for
    assert float(tokens_of(score).bits[1:].sum()) == pytest.approx(score.total_bits, rel=1e-6)
    assert tokens_of(score).ends.tolist() == [1, 2, 3, 4, 5, 6]
    [without] = score_documents(Unigram(), documents("tokens"), "document")
    assert without.load_tokens is None


@pytest.mark.parametrize("name", CODECS)
def test_codecs_pay_for_whole_documents(name: str) -> None:
    model = load_model(name)
    texts = documents("The same sentence again. " * 40, "x")
    scores = score_documents(model, texts, "document")
    alone = [score_documents(model, [text], "document")[0].total_bits for text in texts]
    assert [score.total_bits for score in scores] == alone
    assert all(bits is not None and bits % 8 == 0 for bits in alone)
    assert scores[0].num_tokens is None


class _Broken(Unigram):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def encode(self, text: str) -> Encoding:
        ids, ends, _ = super().encode(text)
        return Encoding(ids[1:], ends[:-1]) if self.fault == "bytes" else Encoding(ids, ends)

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        costs = super().nats(sequences, contexts=contexts)
        if self.fault == "nan":
            costs[-1][0] = np.nan
        return [cost[1:] for cost in costs] if self.fault == "shape" else costs


@pytest.mark.parametrize(
    ("fault", "message"),
    [("nan", "not 4 finite numbers"), ("shape", "not 4 finite"), ("bytes", "covers 3 of 4 bytes")],
)
def test_a_model_that_breaks_its_promise_is_named(fault: str, message: str) -> None:
    with pytest.raises(ScoringError, match=rf"unigram.*{message}"):
        score_documents(_Broken(fault), documents("text"), "document")


# --- real models on real text


@pytest.fixture(scope="module")
def real_texts() -> list[Document]:
    """Sources of the standard library: short and long, in order of the corpus."""
    chosen = sorted(load_corpus("python-stdlib").documents, key=lambda document: document.num_bytes)[:14]
    assert len({document.num_bytes for document in chosen}) > 10
    return chosen


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenModel]:
    folder = tmp_path_factory.mktemp("models")
    save_official(folder / "world.pth", num_channels=64, head_size=32)
    tokenizer = tiny_models.byte_level_tokenizer()
    fast = tiny_models.as_fast(tokenizer, eos_token="<|endoftext|>")
    for architecture in ("llama", "gemma2", "mamba2"):
        model = tiny_models.random_model(architecture, len(fast))
        tiny_models.save_checkpoint(folder / architecture, model, fast)
    specs = {
        "rwkv7 world": f"rwkv7:{folder / 'world.pth'}",
        "rwkv7 bytes": f"rwkv7:{TINY}",
        **{name: f"hf:{folder / name}" for name in ("llama", "gemma2", "mamba2")},
    }
    loaded = {}
    for name, spec in specs.items():
        model = load_model(spec, device="cpu", dtype="float32")
        assert isinstance(model, TokenModel)
        loaded[name] = model
    return loaded


NAMES_OF_MODELS = ("rwkv7 world", "rwkv7 bytes", "llama", "gemma2", "mamba2")


@pytest.mark.parametrize("name", NAMES_OF_MODELS)
@pytest.mark.parametrize("policy", ["document", "uncheatable", "lm-eval"])
def test_batches_and_order_change_nothing(
    models: dict[str, TokenModel],
    real_texts: list[Document],
    name: str,
    policy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = models[name]
    texts = real_texts[:8]
    if policy == "lm-eval" and not model.prefix:
        with pytest.raises(ScoringError, match="needs a BOS"):
            score_documents(model, texts, policy)
        return
    together = [score.total_bits for score in score_documents(model, texts, policy)]
    backwards = [score.total_bits for score in score_documents(model, texts[::-1], policy)][::-1]
    # Too few for two of the texts; those that carry a state read them in pieces of so many.
    monkeypatch.setattr(model, "tokens_per_batch", 16)
    alone = [score.total_bits for score in score_documents(model, texts, policy)]
    assert together == pytest.approx(alone, rel=1e-5)
    assert together == pytest.approx(backwards, rel=1e-5)


@pytest.mark.parametrize("name", NAMES_OF_MODELS)
def test_the_bytes_add_up(models: dict[str, TokenModel], real_texts: list[Document], name: str) -> None:
    scores = score_documents(models[name], real_texts, "document", spool=TokenSpool())
    for score in scores:
        assert tokens_of(score).ends[-1] == score.document.num_bytes
        assert not np.isnan(tokens_of(score).bits).any()
        assert float(tokens_of(score).bits.astype(np.float64).sum()) == pytest.approx(
            score.total_bits, rel=1e-6
        )
    assert sum(score.document.num_bytes for score in scores) == sum(len(text.data) for text in real_texts)


def test_a_context_limit_of_64_pays_for_each_token_once(
    models: dict[str, TokenModel], real_texts: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models["llama"]
    text = max(real_texts, key=lambda document: document.num_bytes)
    monkeypatch.setattr(model, "context_limit", 64)
    [score] = score_documents(model, [text], "document", spool=TokenSpool())
    ids = model.encode(text.text).ids.tolist()
    assert len(tokens_of(score).bits) == len(ids) > 500
    assert not np.isnan(tokens_of(score).bits).any()
    # By hand: the first 64 tokens after the prefix; then 32 at a time, after the prefix and the 32 before.
    expected = [model.nats([ids[:64]])[0]]
    for first in range(64, len(ids), 32):
        piece = ids[first : first + 32]
        context = [*model.prefix, *ids[first - (64 - len(piece)) : first]]
        expected.append(model.nats([piece], contexts=[context])[0])
    assert tokens_of(score).bits * math.log(2) == pytest.approx(np.concatenate(expected), rel=1e-4, abs=1e-5)


def published_uncheatable_rate_percent(logits_of: object, ids: list[int], num_bytes: int) -> float:
    """The formula of Uncheatable Eval in 2024-25, in float64 where it had the model's own precision.

    Chunks of 1024 ids with a fresh context each; ``log_softmax(logits[:-1]).gather(ids[1:])``; the sum
    over the bytes of the text, in percent of 8 bits.
    """
    total_nats = 0.0
    for first in range(0, len(ids), 1024):
        chunk = ids[first : first + 1024]
        log_p = torch.log_softmax(logits_of(chunk).double(), -1)[:-1]  # type: ignore[operator]
        total_nats -= float(log_p.gather(-1, torch.tensor(chunk[1:], dtype=torch.long)[:, None]).sum())
    return total_nats / num_bytes / math.log(2) * 0.125 * 100


def test_uncheatable_is_the_published_formula_for_rwkv(models: dict[str, TokenModel]) -> None:
    model = models["rwkv7 world"]
    text = "".join(document.text for document in load_corpus("python-stdlib").documents[:2])[:9000]

    def logits_of(chunk: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            hidden, _ = model.network(torch.tensor([chunk]))  # type: ignore[attr-defined]
            return model.network.head(hidden[0])  # type: ignore[attr-defined,no-any-return]

    ids = model.encode(text).ids.tolist()
    assert len(ids) > 2048
    expected = published_uncheatable_rate_percent(logits_of, ids, len(text.encode()))
    [score] = score_documents(model, documents(text), "uncheatable")
    assert score.total_bits is not None
    assert 12.5 * score.total_bits / score.document.num_bytes == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("adds_bos", [False, True])
def test_uncheatable_is_the_published_formula_for_hugging_face(tmp_path: Path, adds_bos: bool) -> None:
    tokenizer = tiny_models.byte_level_tokenizer(adds_bos=adds_bos)
    fast = tiny_models.as_fast(tokenizer, eos_token="<|endoftext|>", bos_token="<|startoftext|>")
    network = tiny_models.random_model("llama", len(fast), max_position_embeddings=1024)
    tiny_models.save_checkpoint(tmp_path, network, fast)
    text = "".join(document.text for document in load_corpus("python-stdlib").documents[:2])[:5000]
    plain = transformers.AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"]
    assert (plain[0] == fast.bos_token_id) is adds_bos
    assert len(plain) > 1500

    def logits_of(chunk: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            return network(torch.tensor([chunk])).logits[0]  # type: ignore[no-any-return]

    expected = published_uncheatable_rate_percent(logits_of, plain, len(text.encode()))
    model = load_model(f"hf:{tmp_path}", device="cpu", dtype="float32")
    [score] = score_documents(model, documents(text), "uncheatable")
    assert score.total_bits is not None
    assert 12.5 * score.total_bits / score.document.num_bytes == pytest.approx(expected, rel=1e-6)


def looped_uncheatable_rate_percent(network: Any, tokenizer: Any, text: str, chunk_size: int = 1024) -> float:
    """Uncheatable Eval's `eval_hf_model` with ``add_bos=True``, step by step, in float64.

    Ids of `encode(bos_token)` before every chunk, which is shorter by as many; their logits are cut off, and
    with them the one that predicts the chunk's first id.
    """
    bos_ids = tokenizer.encode(tokenizer.bos_token)
    input_ids = tokenizer(text)["input_ids"]
    total_nats = 0.0
    step = chunk_size - len(bos_ids)
    for begin in range(0, len(input_ids), step):
        chunk = torch.tensor(bos_ids + input_ids[begin : begin + step])
        with torch.inference_mode():
            logits = network(chunk[None]).logits[0].double()[len(bos_ids) :]
        targets = chunk[len(bos_ids) :][1:]
        total_nats -= float(torch.log_softmax(logits[:-1], -1).gather(-1, targets[:, None]).sum())
    return total_nats / len(text.encode()) / math.log(2) * 0.125 * 100


def looped_uncheatable_2025_12_rate_percent(
    logits_of: Any, ids: list[int], start: int, num_bytes: int
) -> float:
    """Uncheatable Eval's loops since 2025-12, `eval_rwkv` and `eval_hf_model` with ``add_*``, in float64.

    A token before each chunk of 4000 ids of the text without special tokens;
    ``cross_entropy(logits[:-1], chunk[1:])``, summed.
    """
    total_nats = 0.0
    for begin in range(0, len(ids), 4000):
        chunk = [start, *ids[begin : begin + 4000]]
        logits = logits_of(chunk).double()
        total_nats += float(
            torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(chunk[1:]), reduction="sum")
        )
    return total_nats / num_bytes / math.log(2) * 0.125 * 100


def test_uncheatable_2025_12_is_its_loop_for_rwkv(models: dict[str, TokenModel]) -> None:
    model = models["rwkv7 world"]
    text = "".join(document.text for document in load_corpus("python-stdlib").documents[:2])[:2500]

    def logits_of(chunk: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            hidden, _ = model.network(torch.tensor([chunk]))  # type: ignore[attr-defined]
            return model.network.head(hidden[0])  # type: ignore[attr-defined,no-any-return]

    ids = model.encode(text).ids.tolist()
    assert model.prefix == (0,)
    expected = looped_uncheatable_2025_12_rate_percent(logits_of, ids, 0, len(text.encode()))
    [score] = score_documents(model, documents(text), "uncheatable-2025-12")
    assert score.total_bits is not None
    assert 12.5 * score.total_bits / score.document.num_bytes == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize(("mode", "num_characters"), [("bos", 14_000), ("eos", 1500), ("newline", 1500)])
def test_uncheatable_2025_12_is_its_loop_in_each_mode(
    tmp_path: Path, mode: str, num_characters: int, adds_bos: bool
) -> None:
    fast = tiny_models.as_fast(
        tiny_models.byte_level_tokenizer(adds_bos=adds_bos),
        eos_token="<|endoftext|>",
        bos_token="<|startoftext|>",
    )
    network = tiny_models.random_model("llama", len(fast), max_position_embeddings=4096)
    tiny_models.save_checkpoint(tmp_path, network, fast)
    text = "".join(document.text for document in load_corpus("python-stdlib").documents[:4])[:num_characters]
    [line_break] = fast.encode("\n", add_special_tokens=False)
    start = {"bos": fast.bos_token_id, "eos": fast.eos_token_id, "newline": line_break}[mode]

    def logits_of(chunk: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            return network(torch.tensor([chunk])).logits[0]  # type: ignore[no-any-return]

    ids = fast(text, add_special_tokens=False)["input_ids"]
    assert (len(ids) > 4000) is (mode == "bos")  # two chunks, or one
    expected = looped_uncheatable_2025_12_rate_percent(logits_of, ids, start, len(text.encode()))
    prefix = f"token:{line_break}" if mode == "newline" else mode
    model = load_model(f"hf:{tmp_path}", device="cpu", dtype="float32", prefix=prefix)
    [score] = score_documents(model, documents(text), "uncheatable-2025-12")
    assert score.total_bits is not None
    assert 12.5 * score.total_bits / score.document.num_bytes == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("adds_bos", [False, True])
def test_uncheatable_with_a_bos_before_every_chunk_is_its_loop(tmp_path: Path, adds_bos: bool) -> None:
    fast = tiny_models.as_fast(tiny_models.byte_level_tokenizer(adds_bos=adds_bos))
    network = tiny_models.random_model("llama", len(fast), max_position_embeddings=1024)
    tiny_models.save_checkpoint(tmp_path, network, fast)
    text = "".join(document.text for document in load_corpus("python-stdlib").documents[:2])[:5000]
    expected = looped_uncheatable_rate_percent(network, fast, text)
    spec = f"hf:{tmp_path}"
    entry = CatalogEntry("of-the-catalog", "hf", str(tmp_path), prefix="eos", uncheatable_bos=True)
    rates = []
    for model in (
        load_model(spec, device="cpu", dtype="float32", prefix="bos"),
        hf_loader.load(entry, LoadOptions("cpu", "float32")),
        load_model(spec, device="cpu", dtype="float32"),
    ):
        [score] = score_documents(model, documents(text), "uncheatable", spool=TokenSpool())
        assert score.total_bits is not None
        rates.append(12.5 * score.total_bits / score.document.num_bytes)
        num_chunks = math.ceil(((score.num_tokens or 0) + adds_bos) / (1022 if adds_bos else 1023))
        if len(rates) < 3:
            assert (
                np.isnan(tokens_of(score).bits).sum() == num_chunks - adds_bos
            )  # the first one's is the BOS
    assert rates[:2] == [pytest.approx(expected, rel=1e-6)] * 2
    assert rates[2] != pytest.approx(expected, rel=1e-6)


class Cramped(Unigram):
    """A model whose memory holds so many positions."""

    def __init__(self, num_positions: int) -> None:
        super().__init__()
        self.num_positions = num_positions

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        if len(sequences) * max(map(len, sequences)) > self.num_positions:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().nats(sequences, contexts=contexts)


def test_a_batch_that_does_not_fit_in_memory_is_halved() -> None:
    texts = documents(*("a text that everybody knows"[:length] for length in (7, 8, 8, 8, 8, 8, 8, 8, 8, 3)))
    roomy, cramped = Unigram(), Cramped(20)
    expected = [score.total_bits for score in score_documents(roomy, texts, "document")]
    assert [score.total_bits for score in score_documents(cramped, texts, "document")] == expected
    assert roomy.calls == [9, 1]
    assert cramped.calls == [2, 2, 2, 2, 2]  # nine rows did not fit, nor four


def test_a_document_that_does_not_fit_in_memory_says_what_would() -> None:
    texts = documents("short", "a text that everybody knows")
    with pytest.raises(
        ScoringError, match=r"does not fit in memory: 26 tokens .* pass --max-context 13"
    ) as caught:
        score_documents(Cramped(20), texts, "document")
    assert texts[1].id in str(caught.value)


def test_what_is_no_lack_of_memory_is_not_tried_again() -> None:
    class Broken(Unigram):
        def nats(self, *_arguments: object, **_settings: object) -> list[NDArray[np.float32]]:
            self.calls.append(0)
            raise RuntimeError("a kernel failed")

    model = Broken()
    with pytest.raises(RuntimeError, match="a kernel failed"):
        score_documents(model, documents("one", "two"), "document")
    assert model.calls == [0]


class Counting(Unigram):
    """Knows of how many of its encodings anybody still has the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: weakref.WeakSet[Tokens] = weakref.WeakSet()
        self.most_alive = 0

    def encode(self, text: str) -> Encoding:
        encoding = super().encode(text)
        ids = encoding.ids.view(Tokens)
        self.alive.add(ids)
        self.most_alive = max(self.most_alive, len(self.alive))
        return encoding._replace(ids=ids)


class Tokens(np.ndarray[tuple[int], np.dtype[np.int64]]):
    """Ids of which it can be told whether they are still held."""

    __hash__ = object.__hash__


def test_memory_holds_the_tokens_of_few_documents() -> None:
    """Of a thousand documents as of a hundred: those of the batches that are being made."""
    most_alive = []
    for num_documents in (100, 1000):
        model = Counting()
        texts = documents(*("x" * (20 + number % 40) for number in range(num_documents)))
        scores = score_documents(model, texts, "document")
        assert len(scores) == num_documents
        most_alive.append(model.most_alive)
    # 16 batches of 64 tokens in documents of at least 20, and the batch that was left of those before.
    assert max(most_alive) <= 16 * 64 // 20 + 64 // 20 + 2


class Shapes(TorchDispatchMode):
    """Sees with which shapes an operator is called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[torch.Size, ...]] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if "_linear_pointwise" in str(func):
            self.seen.add((args[0].shape[:-1].numel(), args[1].shape))
        return func(*args, **(kwargs or {}))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_products_have_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN keeps 0.3 MB for each and never lets go of it."""
    monkeypatch.setattr(importlib.import_module("evalkit_kernels.linear"), "onednn_is_faster", lambda: True)
    model = load_model(f"rwkv7:{TINY}")
    texts = documents(*(("abcdefgh" * 100)[:n] for n in range(1, 600, 7)))
    with Shapes() as shapes:
        scores = score_documents(model, texts, "document")
    assert len({score.num_tokens for score in scores}) == 86
    num_rows = {rows for rows, _ in shapes.seen}
    assert len({weight for _, weight in shapes.seen}) >= 5
    assert len(num_rows) <= 32
    assert max(num_rows) <= 512


SCORES_MORE_AND_MORE = """
import random, sys
from pathlib import Path
from evalkit.corpora.store import make_document
from evalkit.models.loading import load_model
from evalkit.scoring.documents import score_documents

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

lengths = random.Random(1).choices(range(1, 300), k=500)
texts = [make_document("a" * n, source="test", license="CC0-1.0") for n in lengths]
model = load_model("rwkv7:" + sys.argv[1])
score_documents(model, texts[:100], "document")
before = resident_mb()
score_documents(model, texts[100:], "document")
print(resident_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells resident memory there")
def test_resident_memory_does_not_grow_with_the_documents() -> None:
    """400 documents after 100 of the same lengths add nothing but their scores."""
    command = [sys.executable, "-c", SCORES_MORE_AND_MORE, str(TINY)]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(child.stdout) < 60
