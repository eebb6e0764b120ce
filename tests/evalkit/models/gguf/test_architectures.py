"""Random models of every architecture: what evalkit computes of a file against what llama.cpp does.

llama.cpp is made to attend in float32: as its users have it, it rounds queries, keys and values to float16,
and differs by up to 9e-5. What it cannot be kept from is looking GELU up in a table of float16.
"""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.errors import ModelError
from evalkit.models.gguf.architectures import ARCHITECTURES
from evalkit.models.loading import load_model
from evalkit.models.protocol import TokenModel
from tests.support import gguf_files
from tests.support.exact_llama_cpp import ExactLlamaCpp
from tests.support.gguf_files import (
    FFN,
    HEAD,
    MIXTRAL_METADATA,
    NUM_LAYERS,
    WIDTH,
    Tensors,
    byte_level_vocabulary,
    random_model,
    routed_mlp,
)

RELATIVE = 2e-6
"""Of a text's nats, in float32."""
RELATIVE_WITH_GELU = 2e-5
WITH_GELU = ("gpt2", "gemma", "gemma2", "gemma3", "starcoder2")
NUM_TOKENS = 90


def ids_of(seed: int = 0) -> list[int]:
    vocab_size = len(byte_level_vocabulary()[0])
    return np.random.default_rng(seed).integers(2, vocab_size, NUM_TOKENS).tolist()


def both_nats(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    model = load_model(f"gguf:{path}", device="cpu")
    assert isinstance(model, TokenModel)
    ids = ids_of()
    llama_cpp = ExactLlamaCpp(path, num_threads=1)
    assert llama_cpp.vocab_size == model.vocab_size
    return model.nats([ids], contexts=[(0,)])[0], llama_cpp.nats([0], ids)


def assert_equal_nats(path: Path, architecture: str) -> None:
    relative = RELATIVE_WITH_GELU if architecture in WITH_GELU else RELATIVE
    ours, theirs = both_nats(path)
    assert float(theirs.std()) > 2  # tokens differ, so that a wrong network cannot pass
    assert float(ours.sum()) == pytest.approx(float(theirs.sum()), rel=relative)
    np.testing.assert_allclose(ours, theirs, atol=50 * relative * float(theirs.mean()))


def test_every_architecture_is_tried() -> None:
    assert set(gguf_files.ARCHITECTURES) == set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", gguf_files.ARCHITECTURES)
def test_equals_llama_cpp(tmp_path: Path, architecture: str) -> None:
    path = random_model(tmp_path / "model.gguf", architecture)
    assert_equal_nats(path, architecture)


def test_layers_for_later_tokens_are_left_out(tmp_path: Path) -> None:
    def with_one(tensors: Tensors) -> None:
        tensors |= {name.replace("blk.3.", "blk.4."): v for name, v in tensors.items() if "blk.3." in name}
        tensors["blk.4.nextn.eh_proj.weight"] = np.ones((WIDTH, 2 * WIDTH), np.float32)
        for norm in ("enorm", "hnorm"):
            tensors[f"blk.4.nextn.{norm}.weight"] = np.ones(WIDTH, np.float32)

    extra = {"qwen35.block_count": 5, "qwen35.nextn_predict_layers": 1}
    path = random_model(tmp_path / "model.gguf", "qwen35", extra=extra, change=with_one)
    plain, _ = both_nats(random_model(tmp_path / "plain.gguf", "qwen35"))
    ours, theirs = both_nats(path)
    np.testing.assert_array_equal(ours, plain)
    assert float(ours.sum()) == pytest.approx(float(theirs.sum()), rel=RELATIVE)


def experts(tensors: Tensors) -> None:
    for layer in range(NUM_LAYERS):
        for part in ("gate", "up", "down"):
            del tensors[f"blk.{layer}.ffn_{part}.weight"]
        tensors |= routed_mlp(layer, FFN)


def test_a_llama_with_experts_equals_llama_cpp(tmp_path: Path) -> None:
    path = random_model(tmp_path / "model.gguf", "llama", extra=MIXTRAL_METADATA, change=experts)
    assert_equal_nats(path, "llama")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"llama.expert_used_count": 5}, "sends a token to 5 of 4 experts"),
        (
            {"llama.expert_count": 10**9},
            r"ffn_gate_inp.weight is \(4, 64\), by its metadata \(1000000000, 64\)",
        ),
        ({"llama.expert_count": 0}, "expert_count is 0, not a number above zero"),
        ({"llama.expert_shared_count": 1}, "what llama.expert_shared_count = 1 means to llama"),
    ],
)
def test_experts_that_do_not_fit_are_refused(tmp_path: Path, extra: dict[str, object], message: str) -> None:
    path = random_model(tmp_path / "model.gguf", "llama", extra=MIXTRAL_METADATA | extra, change=experts)
    with pytest.raises(ModelError, match=message):
        load_model(f"gguf:{path}")


def test_half_of_the_experts_rows_is_no_model(tmp_path: Path) -> None:
    def without(tensors: Tensors) -> None:
        experts(tensors)
        del tensors["blk.1.ffn_up_exps.weight"]

    path = random_model(tmp_path / "model.gguf", "llama", extra=MIXTRAL_METADATA, change=without)
    with pytest.raises(ModelError, match=r"no tensor for model.layers.1.mlp.experts.gate_up_proj;"):
        load_model(f"gguf:{path}")


def rope_factors(*names: str) -> Callable[[Tensors], object]:
    random = np.random.default_rng(3)
    return lambda tensors: tensors.update(
        {name: random.uniform(1, 6, HEAD // 2).astype(np.float32) for name in names}
    )


def biases(tensors: Tensors) -> None:
    random = np.random.default_rng(4)
    for layer in range(NUM_LAYERS):
        for part, size in (("q", WIDTH), ("k", WIDTH // 2), ("v", WIDTH // 2), ("output", WIDTH)):
            tensors[f"blk.{layer}.attn_{part}.bias"] = random.standard_normal(size).astype(np.float32)


@pytest.mark.parametrize(
    ("architecture", "extra", "change"),
    [
        ("llama", {}, rope_factors("rope_freqs.weight")),  # Llama 3.1's scaling
        ("llama", {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 3.0}, None),
        ("llama", {}, biases),
        (
            "qwen3",
            {
                "qwen3.rope.scaling.type": "yarn",
                "qwen3.rope.scaling.factor": 4.0,
                "qwen3.rope.scaling.original_context_length": 64,
            },
            None,
        ),
        (
            "llama",
            {
                "llama.rope.scaling.type": "yarn",
                "llama.rope.scaling.factor": 8.0,
                "llama.rope.scaling.original_context_length": 32,
                "llama.rope.scaling.attn_factor": 1.2,
            },
            None,
        ),
        ("gemma3", {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}, None),
        ("gemma3", {"gemma3.rope.freq_base_swa": 300.0}, None),
        ("phi3", {"phi3.rope.dimension_count": HEAD // 2}, None),
        (
            "phi3",
            {
                "phi3.context_length": 600,
                "phi3.rope.scaling.original_context_length": 40,
                "phi3.rope.scaling.attn_factor": 1.1,
            },
            rope_factors("rope_factors_long.weight", "rope_factors_short.weight"),
        ),
    ],
)
def test_positions_and_biases_equal_llama_cpp(
    tmp_path: Path,
    architecture: str,
    extra: dict[str, object],
    change: Callable[[Tensors], object] | None,
) -> None:
    plain, _ = both_nats(random_model(tmp_path / "plain.gguf", architecture))
    path = random_model(
        tmp_path / "model.gguf", architecture, extra=extra, change=change or (lambda _tensors: None)
    )
    assert_equal_nats(path, architecture)
    changed, theirs = both_nats(path)
    assert np.abs(changed - plain).mean() > 20 * np.abs(changed - theirs).mean()  # and it matters


@pytest.mark.parametrize("quantisation", ["Q4_1", "Q8_0", "F16", "BF16"])
def test_dequantised_is_what_the_quantised_weights_are(tmp_path: Path, quantisation: str) -> None:
    """A file of quantised weights costs what a file of the same numbers in float32 does, to the last bit."""
    kind = gguf.GGMLQuantizationType[quantisation]

    def rounded(tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            if tensor.ndim == 2:
                tensors[name] = gguf.dequantize(gguf.quantize(tensor, kind), kind).reshape(tensor.shape)

    ids = ids_of()
    stored = load_model(f"gguf:{random_model(tmp_path / 'stored.gguf', 'llama', quantisation=kind)}")
    plain = load_model(f"gguf:{random_model(tmp_path / 'plain.gguf', 'llama', change=rounded)}")
    assert isinstance(stored, TokenModel)
    assert isinstance(plain, TokenModel)
    np.testing.assert_array_equal(
        stored.nats([ids], contexts=[(0,)])[0], plain.nats([ids], contexts=[(0,)])[0]
    )


def test_a_folder_and_a_file_in_it(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        random_model(tmp_path / name, "llama")
    assert load_model(f"gguf:{tmp_path}:b.gguf").identity.name == "gguf:b.gguf"
    with pytest.raises(ModelError, match=r"several files; add one after a colon: a.gguf, b.gguf"):
        load_model(f"gguf:{tmp_path}")
    with pytest.raises(ModelError, match="there is no file or folder"):
        load_model(f"gguf:{tmp_path}:c.gguf")
    (tmp_path / "b.gguf").unlink()
    assert load_model(f"gguf:{tmp_path}").identity.files[0].name == "a.gguf"
    with pytest.raises(ModelError, match="no installed package is called no_such_package; give a file"):
        load_model("gguf:no_such_package")
    with pytest.raises(ModelError, match=r"the package pytest has no \*.gguf"):
        load_model("gguf:pytest")


@pytest.mark.parametrize("loader", ["hf", "rwkv7"])
def test_the_loaders_of_other_formats_say_how_a_gguf_file_is_scored(tmp_path: Path, loader: str) -> None:
    path = random_model(tmp_path / "model.gguf", "llama")
    with pytest.raises(ModelError, match=f"score it as gguf:{path}"):
        load_model(f"{loader}:{path}")
