"""Models as llama.cpp computes them."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from evalkit.corpora.document import make_document
from evalkit.errors import LossyTextError, ModelError, UsageError
from evalkit.models.llamacpp.library import LlamaCpp
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.scoring.documents import score_documents
from tests.support.gguf_files import random_model, sentencepiece_metadata, write_rwkv7
from tests.support.nasty_texts import nasty_texts
from tests.support.rwkv7_files import random_tensors

TEXT = "def read(path):\n    return open(path).read()  # 12 lines, it's short\n" * 6


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llamacpp")
    return random_model(folder / "model.gguf", "llama", quantisation=gguf.GGMLQuantizationType.Q8_0)


def load(spec: str) -> TokenModel:
    model = load_model(spec)
    assert isinstance(model, TokenModel)
    return model


def test_scores_are_near_the_exact_ones_and_not_the_same(path: Path) -> None:
    """It rounds activations: the same weights, computed exactly, cost something else."""
    documents = [make_document(TEXT, source="test", license="CC0-1.0")]
    totals = {
        loader: score_documents(load(f"{loader}:{path}"), documents, "document")[0].total_bits
        for loader in ("llamacpp", "gguf")
    }
    assert totals["llamacpp"] == pytest.approx(totals["gguf"], rel=0.02)
    assert totals["llamacpp"] != pytest.approx(totals["gguf"], rel=1e-6)


def test_windows_contexts_and_neighbours(path: Path) -> None:
    model = load(f"llamacpp:{path}")
    ids = model.encode(TEXT).ids.tolist()[:120]
    [whole] = model.nats([ids], contexts=[(0,)])
    again, rest, unread = model.nats([ids[:50], ids[50:], ids[:3]], contexts=[(0,), (0, *ids[:50]), ()])
    assert again.sum() == pytest.approx(
        whole[:50].sum(), rel=0.02
    )  # a text of another length rounds elsewhere
    np.testing.assert_allclose(rest, whole[50:], atol=1e-5)
    assert unread[0] == pytest.approx(np.log(model.vocab_size))
    assert len(model.nats([[]])[0]) == 0
    np.testing.assert_array_equal(model.nats([ids], contexts=[(0,)])[0], whole)


@pytest.mark.parametrize("add_space_prefix", [True, False])
def test_tokens_tile_the_bytes(tmp_path: Path, add_space_prefix: bool) -> None:
    metadata = sentencepiece_metadata() | {"tokenizer.ggml.add_space_prefix": add_space_prefix}
    model = load(f"llamacpp:{random_model(tmp_path / 'model.gguf', 'llama', vocabulary=metadata)}")
    for text in nasty_texts(200, seed=5):
        if "▁" in text:
            with pytest.raises(LossyTextError, match="do not decode"):
                model.encode(text)
            continue
        encoding = model.encode(text)
        assert len(encoding.ids) == len(encoding.ends)
        assert int(encoding.ends[-1]) == len(text.encode())
        assert (np.diff(encoding.ends) >= 0).all()
    with pytest.raises(LossyTextError, match="lone surrogate"):
        model.encode("a\ud800")


def test_the_identity_says_what_computes(path: Path) -> None:
    [located] = locate_models([f"llamacpp:{path}"], LoadOptions())
    identity = located.identity
    assert identity.numerics is not None
    assert "llama.cpp of " in identity.numerics
    assert identity.details["weights"] == "as llama.cpp computes them"
    assert identity.details["quantisation"] == "Q8_0 (23), F32 (7)"
    assert (identity.context_limit, identity.dtype) == (256, "llama.cpp")
    assert located.load().identity.weights_sha256 == identity.weights_sha256


def test_recurrent_models_have_no_limit(tmp_path: Path) -> None:
    tensors = random_tensors(vocab_size=257, num_channels=64, num_layers=2)
    arrays = {name: value.numpy() for name, value in tensors.items()}
    path = write_rwkv7(tmp_path / "model.gguf", arrays, world=False)
    model = load_model(f"llamacpp:{path}")
    assert model.identity.context_limit is None  # type: ignore[union-attr]


def test_what_llama_cpp_cannot_load_is_said(path: Path, tmp_path: Path) -> None:
    broken = random_model(tmp_path / "broken.gguf", "llama", extra={"tokenizer.ggml.pre": "klingon"})
    with pytest.raises(ModelError, match=r"llama.cpp does not load .*broken.gguf"):
        load_model(f"llamacpp:{broken}")
    for options in (LoadOptions(dtype="float32"), LoadOptions(device="cuda")):
        with pytest.raises(UsageError, match="leave --dtype and --device out"):
            locate_models([f"llamacpp:{path}"], options)


def test_memory_is_given_back(path: Path) -> None:
    llama_cpp = LlamaCpp(path, num_threads=1)
    assert len(llama_cpp.nats([0], [3, 4, 5])) == 3
    llama_cpp.close()
    llama_cpp.close()
