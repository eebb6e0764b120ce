"""Architectures of transformers on tiny random models, against the full logits in float64.

flash-linear-attention is installed (the extra ``test`` has it), and transformers imports it for some of the
architectures here: all of them have to be right beside it.
"""

import functools
import importlib
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.integrations import hub_kernels
from transformers.models.mamba2 import modeling_mamba2

from evalkit.errors import ModelError
from evalkit.models.hf import attention
from evalkit.models.hf import model as hf
from evalkit.models.protocol import LoadOptions
from tests.support.architectures import ARCHITECTURES, COMPOSITES, random_model
from tests.support.tiny_models import TEXTS, as_fast, byte_level_tokenizer, entry, save_checkpoint
from tests.support.triton_kernels import ROOT, needs_triton

TAKING_KERNELS = [
    "bailing_hybrid",
    "bitnet",
    "falcon_h1",
    "kimi_linear",
    "lfm2",
    "mamba",
    "mamba2",
    "olmo_hybrid",
    "qwen3_5",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_next",
]
"""Architectures for which other packages have kernels, or classes of the same name."""
CARRYING = {"bloom", "falcon_h1", "gemma3_text", "gpt_oss", "llama", "mamba2", "mistral3", "qwen3_next"}
DEPENDING_ON_LENGTH = {
    *("deepseek_v32", "deepseek_v4", "doge", "glm_moe_dsa", "qwen4_exp_text"),  # tokens are chosen
    *("llama_dynamic_ntk", "phi3_longrope", "phimoe_longrope"),
}
NUM_TOKENS = 90
SHORT = 30
"""Tokens of a text before the switch of the position tables, which is at 40; the whole is beyond."""


@functools.cache
def tokenizer() -> Any:
    return as_fast(byte_level_tokenizer())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny checkpoint of an architecture; not to be changed."""

    @functools.cache
    def save(architecture: str) -> Path:
        folder = tmp_path_factory.mktemp("architectures") / architecture
        return save_checkpoint(folder, random_model(architecture, len(tokenizer())), tokenizer())

    return save


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' own switch for its torch path, which evalkit doesn't use."""
    monkeypatch.setattr(hub_kernels, "is_torchdynamo_exporting", lambda: True)


def load(folder: Path, **fields: Any) -> hf.HfModel:
    return hf.load(entry(folder, **({"context_limit": 512} | fields)), LoadOptions())


def reference_nats(folder: Path, architecture: str, ids: list[int]) -> np.ndarray:
    """Full logits of all in float64, with attention and experts written out."""
    settings: dict[str, Any] = {"attn_implementation": "eager", "experts_implementation": "eager"}
    if architecture == "falcon_alibi":
        settings["attn_implementation"] = "sdpa"  # transformers' eager Falcon adds ALiBi twice
    model_class = type(random_model(architecture, len(tokenizer())))
    model = model_class.from_pretrained(folder, dtype=torch.float64, **settings).eval()
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits[0].double()
    return -logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()


def total(nats: np.ndarray) -> float:
    return float(nats.astype(float).sum())


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *COMPOSITES])
def test_alone_batched_and_carried_on_are_the_full_logits_in_float64(
    architecture: str, checkpoint: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    model = load(checkpoint(architecture))
    ids = model.encode("".join(TEXTS)).ids[:NUM_TOKENS].tolist()
    prefix = list(model.prefix)
    alone, short_alone = model.nats([ids])[0], model.nats([ids[:SHORT]])[0]
    short, whole, other = model.nats([ids[:SHORT], ids, ids[3:60]])
    split = model.nats([ids[40:]], contexts=[[*prefix, *ids[:40]]])[0]

    request.getfixturevalue("without_packages")
    reference = reference_nats(checkpoint(architecture), architecture, [*prefix, *ids])
    reference_short = reference_nats(checkpoint(architecture), architecture, [*prefix, *ids[:SHORT]])
    assert reference.std() > 0.5  # far from uniform, so that errors would show
    assert total(alone) == pytest.approx(reference.sum(), rel=1e-6)
    assert total(short_alone) == pytest.approx(reference_short.sum(), rel=1e-6)
    assert total(whole) == pytest.approx(total(alone), rel=1e-6)
    assert total(short) == pytest.approx(total(short_alone), rel=1e-6)
    assert total(other) == pytest.approx(total(model.nats([ids[3:60]])[0]), rel=1e-6)
    assert total(split) == pytest.approx(reference[40:].sum(), rel=1e-6)
    np.testing.assert_allclose(alone, reference, rtol=1e-4, atol=1e-5)
    assert architecture not in CARRYING or model.carries_state
    assert architecture not in DEPENDING_ON_LENGTH or not model.carries_state
    if model.carries_state:
        reading = model.read_on([*prefix, *ids[:50]])
        endings = model.branch_nats(reading, [ids[50:], ids[50:60], [7, 8]])
        assert total(endings[0]) == pytest.approx(reference[50:].sum(), rel=1e-6)
        assert total(endings[1]) == pytest.approx(reference[50:60].sum(), rel=1e-6)


@pytest.mark.parametrize("architecture", sorted(COMPOSITES))
def test_encoders_of_composites_take_no_memory(architecture: str, checkpoint: Callable[[str], Path]) -> None:
    whole = random_model(architecture, len(tokenizer()))
    encoders = {
        name: module
        for name, module in whole.named_modules()
        if name.rpartition(".")[2] in ("vision_tower", "vision_model", "visual", "vqmodel")
        and name.count(".") < 2
    }
    [(name, encoder)] = encoders.items()
    loaded = load(checkpoint(architecture))
    parts = dict(loaded._model.named_modules())
    if architecture == "qwen3_5":  # transformers has a class for its language model
        assert name not in parts
        return
    assert loaded.identity.details["not_loaded"] == name
    assert not list(parts[name].state_dict())
    assert encoder.num_parameters() > 10_000
    num_loaded = sum(tensor.numel() for tensor in loaded._model.parameters())
    assert num_loaded == whole.num_parameters() - encoder.num_parameters()


def test_dynamic_tables_do_not_remember_longer_texts(checkpoint: Callable[[str], Path]) -> None:
    """transformers makes a table for the longest text so far, and keeps it beyond the switch."""
    model = load(checkpoint("llama_dynamic_ntk"))
    ids = model.encode("".join(TEXTS)).ids[:NUM_TOKENS].tolist()
    first = model.nats([ids[:60]])[0]
    model.nats([ids])
    np.testing.assert_array_equal(model.nats([ids[:60]])[0], first)


@pytest.mark.parametrize(
    ("architecture", "limit", "note"),
    [
        ("phi3_longrope", 512, "other position tables for texts of more than 40 tokens"),
        ("llama_dynamic_ntk", 512, "other position tables for texts of more than 40 tokens"),
        ("phi3_longrope", 40, None),
        ("llama_yarn", 512, None),
        ("llama", 512, None),
    ],
)
def test_tables_that_a_text_can_switch_are_said_in_the_cell(
    architecture: str, limit: int, note: str | None, checkpoint: Callable[[str], Path]
) -> None:
    identity = hf.identify(entry(checkpoint(architecture), context_limit=limit), LoadOptions())
    assert identity.details.get("position_tables") == note


@pytest.mark.parametrize(
    ("architecture", "note"),
    [
        ("mixtral", "to 1e-4: discrete routing by num_experts_per_tok"),
        (
            "deepseek_v32",
            "read one by one; ties of index_topk fall as the device lets them",
        ),
        ("llama", None),
    ],
)
def test_discrete_routing_is_said_in_the_cell(
    architecture: str, note: str | None, checkpoint: Callable[[str], Path]
) -> None:
    identity = hf.identify(entry(checkpoint(architecture)), LoadOptions())
    assert identity.details.get("batch_dependence") == note


class _Mixing(torch.nn.Module):
    """A body whose rows see the length of the longest beside them, as code of a repository may do."""

    def __init__(self, body: torch.nn.Module, *, remembers: bool) -> None:
        super().__init__()
        self.body = body
        self.remembers = remembers
        self.longest = 0

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        length = input_ids.shape[1]
        self.longest = max(self.longest, length) if self.remembers else length
        hidden: torch.Tensor = self.body(input_ids)
        return hidden * (1 + self.longest / 100)


@pytest.mark.parametrize("remembers", [False, True])
def test_what_depends_on_company_is_tried_at_loading(
    remembers: bool, checkpoint: Callable[[str], Path]
) -> None:
    plain = load(checkpoint("llama"))
    model = plain._model
    model.model.embed_tokens = _Mixing(model.model.embed_tokens, remembers=remembers)
    # A sum with the text's embeddings, so that their scale matters behind the first norm.
    settings: dict[str, Any] = {"prefix": plain.prefix, "policy_prefixes": plain.policy_prefixes}

    def wrap() -> hf.HfModel:
        return hf.HfModel(model, plain._token_bytes, identity=plain.identity, **settings)

    if remembers:
        with pytest.raises(ModelError, match=r"reads a text of 16 tokens differently after one of 64"):
            wrap()
        return
    wrapped = wrap()
    ids = wrapped.encode("".join(TEXTS)).ids[:NUM_TOKENS].tolist()
    short, long = wrapped.nats([ids[:SHORT], ids])
    np.testing.assert_array_equal(short, wrapped.nats([ids[:SHORT]])[0])
    np.testing.assert_array_equal(long, wrapped.nats([ids])[0])


def test_packages_kernels_are_left_where_they_were(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mamba_ssm and causal_conv1d have wheels for CUDA only: what stands in for them here fails alike."""

    def kernel(*_arguments: object, **_settings: object) -> None:
        raise RuntimeError("no GPU")

    for name, package, operator in [
        ("causal_conv1d_fn", "causal_conv1d", "causal_conv1d_fn"),
        ("mamba_chunk_scan_combined", "mamba_ssm", "mamba2_chunk_scan"),
    ]:
        stand_in = types.ModuleType(package)
        setattr(stand_in, name, kernel)
        monkeypatch.setitem(sys.modules, package, stand_in)
        decorate = hub_kernels.use_kernel_func_from_hub_with_fallback(name, package)
        torch_function = vars(modeling_mamba2)[operator].__wrapped__
        monkeypatch.setattr(modeling_mamba2, operator, decorate(torch_function))
    before = dict(vars(modeling_mamba2))
    model = random_model("mamba2", len(tokenizer()))
    with pytest.raises(RuntimeError, match="no GPU"):
        model(input_ids=torch.tensor([[1, 2, 3]]))
    loaded = load(checkpoint("mamba2"))
    ids = loaded.encode("".join(TEXTS)).ids[:NUM_TOKENS].tolist()
    assert np.isfinite(loaded.nats([ids])[0]).all()
    assert vars(modeling_mamba2) == before


def test_flash_linear_attention_changes_nothing(checkpoint: Callable[[str], Path]) -> None:
    """Importing it puts Mamba and BitNet of its own in the place of transformers'."""
    if not fla_is_importable():
        pytest.skip("flash-linear-attention needs a Triton that compiles")
    assert type(transformers.AutoConfig.for_model("mamba")).__module__.startswith("fla.")
    for architecture in ("mamba", "mamba2", "bitnet"):
        assert type(load(checkpoint(architecture))._model).__module__.startswith("transformers.")
    qwen = random_model("qwen3_next", len(tokenizer()))
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="0 active drivers"):
            qwen(input_ids=torch.tensor([[1, 2, 3]]))


def fla_is_importable() -> bool:
    try:
        importlib.import_module("fla")
    except Exception:  # its import runs Triton
        return False
    return True


@needs_triton
def test_architectures_are_as_right_beside_flash_linear_attention() -> None:
    """In a process of their own: here Triton interprets (see ``conftest.py``), and fla cannot be imported."""
    names = " or ".join(f"full_logits and [{name}]" for name in TAKING_KERNELS)
    plain = ["--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore", "-rs"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, "-k", f"changes_nothing or {names}", __file__],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert f"{len(TAKING_KERNELS) + 1} passed" in result.stdout, result.stdout[-1000:]


LONG_ATTENTION = [
    *("cohere2", "gemma2", "gemma3_text", "gemma3n_text", "gpt_oss", "llama4_text", "mistral"),
    *("bloom", "falcon", "falcon_alibi", "mpt", "qwen2_moe"),
]


@pytest.fixture
def tiny_blocks() -> Iterator[None]:
    token = attention._blocks.set(attention._Blocks(0, 16))
    yield
    attention._blocks.reset(token)


@pytest.mark.parametrize("architecture", LONG_ATTENTION)
@pytest.mark.usefixtures("tiny_blocks")
def test_attention_in_blocks_is_attention(
    architecture: str, checkpoint: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    model = load(checkpoint(architecture))
    ids = model.encode("".join(TEXTS)).ids[:NUM_TOKENS].tolist()
    beside, whole = model.nats([ids[:SHORT], ids])
    reading = model.read_on([*model.prefix, *ids[:50]])
    ending = model.branch_nats(reading, [ids[50:]])[0]
    reference = reference_nats(checkpoint(architecture), architecture, [*model.prefix, *ids])
    assert total(whole) == pytest.approx(reference.sum(), rel=1e-6)
    assert total(beside) == pytest.approx(reference[:SHORT].sum(), rel=1e-6)
    assert total(ending) == pytest.approx(reference[50:].sum(), rel=1e-6)


class _Largest(TorchDispatchMode):
    """The most bytes of any tensor that is made."""

    num_bytes = 0

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        for leaf in output if isinstance(output, tuple | list) else (output,):
            if isinstance(leaf, torch.Tensor):
                self.num_bytes = max(self.num_bytes, leaf.untyped_storage().nbytes())
        return output


SCORES = 4 * 4 * 600
"""Bytes for a token: four heads, 512 queries at once; scores of all by all take 48,000."""


@pytest.mark.parametrize(
    ("architecture", "bytes_per_token"),
    [
        ("gemma3_text", 1600),  # a mask of all by all takes 3000
        ("llama4_text", 1600),
        ("qwen2_moe", 1600),
        ("gpt_oss", SCORES),
        ("falcon", SCORES),
        ("bloom", SCORES),  # and what follows has ALiBi: read in pieces
        ("falcon_alibi", SCORES),
        ("mpt", SCORES),
    ],
)
def test_memory_of_attention_is_linear_in_the_text(
    architecture: str, bytes_per_token: int, checkpoint: Callable[[str], Path]
) -> None:
    model = load(checkpoint(architecture), context_limit=8192)
    num_tokens = 3000
    ids = (model.encode("".join(TEXTS)).ids.tolist() * num_tokens)[:num_tokens]
    with _Largest() as largest:
        nats = model.nats([ids])[0]
    assert np.isfinite(nats).all()
    assert largest.num_bytes < bytes_per_token * num_tokens
