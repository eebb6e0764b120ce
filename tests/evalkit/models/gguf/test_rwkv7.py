"""RWKV-7 in GGUF: the same as its original, to the error of the quantisation and no more."""

import re
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from evalkit.errors import ModelError
from evalkit.models.llamacpp.library import LlamaCpp
from evalkit.models.loading import load_model
from evalkit.models.protocol import TokenModel
from evalkit.models.rwkv7.model import RWKV7Model
from tests.support.gguf_files import stored_type, write_rwkv7
from tests.support.nasty_texts import nasty_texts
from tests.support.rwkv7_files import TINY, random_tensors

TEXT = "def read(path):\n    with open(path) as file:\n        return file.read()  # whole\n" * 2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that reads bytes after a start, of three layers and random weights in float16."""
    path = tmp_path_factory.mktemp("small") / "small.pth"
    tensors = random_tensors(vocab_size=257, num_channels=128, num_layers=3, head_size=64)
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, path)
    return path


def official_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}


def nats(spec: str, text: str = TEXT) -> NDArray[np.float32]:
    model = load_model(spec)
    assert isinstance(model, TokenModel)
    return model.nats([model.encode(text).ids.tolist()])[0]


def test_whole_numbers_come_back_to_the_last_bit(small: Path, tmp_path: Path) -> None:
    path = write_rwkv7(
        tmp_path / "small.gguf",
        official_tensors(small),
        quantisation=gguf.GGMLQuantizationType.F16,
        world=False,
    )
    np.testing.assert_array_equal(nats(f"gguf:{path}"), nats(f"rwkv7:{small}"))
    path = write_rwkv7(tmp_path / "tiny.gguf", official_tensors(TINY), world=False)
    np.testing.assert_array_equal(nats(f"gguf:{path}"), nats(f"rwkv7:{TINY}"))


def rounded_tensors(
    official: dict[str, NDArray[np.float32]], kind: gguf.GGMLQuantizationType
) -> dict[str, torch.Tensor]:
    """An official checkpoint with its matrices rounded by gguf's quantiser.

    The low-rank matrices lie turned round in the file, and blocks go along its rows.
    """
    rounded = {}
    for name, tensor in official.items():
        turned = re.fullmatch(r".*\.[wavg][12]", name) is not None
        value = np.ascontiguousarray(tensor.T if turned else tensor)
        is_matrix = tensor.ndim == 2 and not name.endswith("r_k")
        if is_matrix and stored_type(name, value, kind) == kind:
            value = gguf.dequantize(gguf.quantize(value, kind), kind).reshape(value.shape)
        rounded[name] = torch.from_numpy(np.ascontiguousarray(value.T if turned else value))
    return rounded


@pytest.mark.parametrize("is_tiny", [False, True], ids=["small", "tiny"])
@pytest.mark.parametrize("quantisation", ["Q8_0", "Q4_1"])
def test_quantised_is_the_original_with_quantised_weights(
    small: Path, tmp_path: Path, quantisation: str, is_tiny: bool
) -> None:
    """The error is that of the rounded weights, and nothing else."""
    path = TINY if is_tiny else small
    official = official_tensors(path)
    kind = gguf.GGMLQuantizationType[quantisation]
    gguf_path = write_rwkv7(tmp_path / "model.gguf", official, quantisation=kind, world=False)
    torch.save(rounded_tensors(official, kind), tmp_path / "rounded.pth")
    ours, expected = nats(f"gguf:{gguf_path}"), nats(f"rwkv7:{tmp_path / 'rounded.pth'}")
    np.testing.assert_array_equal(ours, expected)
    error = abs(float(ours.sum() / nats(f"rwkv7:{path}").sum()) - 1)
    assert 1e-6 < error < {"Q8_0": 0.002, "Q4_1": 0.2}[quantisation]


def test_equals_llama_cpp(small: Path, tmp_path: Path) -> None:
    """llama.cpp has the constant exp(-1/2) to six digits."""
    path = write_rwkv7(tmp_path / "model.gguf", official_tensors(small), world=False)
    ids = list(TEXT.encode())
    ours = load_model(f"gguf:{path}")
    assert isinstance(ours, TokenModel)
    theirs = LlamaCpp(path, num_threads=1).nats([256], ids)
    np.testing.assert_allclose(ours.nats([ids])[0], theirs, atol=2e-4)


def test_worlds_vocabulary_is_the_files(tmp_path: Path) -> None:
    tensors = {name: value.numpy() for name, value in random_tensors(num_channels=64, num_layers=2).items()}
    path = write_rwkv7(tmp_path / "model.gguf", tensors, world=True)
    model = load_model(f"gguf:{path}")
    assert isinstance(model, RWKV7Model)
    assert model.tokenizer.name == "rwkv-world-20230424"
    assert model.prefix == (0,)
    llama_cpp = LlamaCpp(path, num_threads=1)
    assert llama_cpp.tokenize("<s>") == [
        0
    ]  # llama.cpp reads the name of its control token in a text as that token
    assert model.encode("<s>").ids.tolist() != [0]
    texts = [text for text in nasty_texts(300, seed=2) if "<s>" not in text]
    assert len(texts) > 200
    for text in texts:
        assert model.encode(text).ids.tolist() == llama_cpp.tokenize(text)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"rwkv7.wkv.head_size": 7}, "no tensor blk.0.time_mix_r_k.weight of shape"),
        ({"rwkv7.negative_eigenvalues": "full"}, "does not know what rwkv7.negative_eigenvalues means"),
        ({"tokenizer.ggml.tokens": ["a"] * 257}, "neither RWKV World's nor bytes"),
    ],
)
def test_what_is_not_rwkv7_as_it_is_known_is_refused(
    small: Path, tmp_path: Path, extra: dict[str, object], message: str
) -> None:
    path = write_rwkv7(tmp_path / "model.gguf", official_tensors(small), world=False, extra=extra)
    with pytest.raises(ModelError, match=message):
        load_model(f"gguf:{path}")
