"""The Triton kernels of the head: on a GPU where there is one, else in Triton's interpreter."""

from typing import Any

import pytest
import torch
from torch import Tensor

from evalkit_kernels import linear_nll
from evalkit_kernels.linear_nll import linear_nll_reference, triton_unavailable
from tests.support.triton_kernels import DEVICE, Compiler, Kernel, needs_gpu, runs_kernels

pytest.importorskip("triton")
kernels = pytest.importorskip("evalkit_kernels.linear_nll_triton")

SMALL = kernels.Tiles(rows=16, columns=32, channels=16, warps=4, stages=2)
"""Several tiles in every direction at the interpreter's sizes."""


def head(
    num_rows: int, vocab_size: int, num_channels: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_rows + vocab_size)
    hidden = torch.randn(num_rows, num_channels, generator=generator)
    weight = torch.randn(vocab_size, num_channels, generator=generator) / num_channels**0.5
    targets = torch.randint(0, vocab_size, (num_rows,), generator=generator)
    bias = torch.randn(vocab_size, generator=generator)
    return hidden.to(DEVICE, dtype), weight.to(DEVICE, dtype), targets.to(DEVICE), bias.to(DEVICE, dtype)


@runs_kernels
@pytest.mark.parametrize(
    ("num_rows", "vocab_size", "num_channels"),
    [(0, 5, 8), (1, 1, 1), (1, 2, 16), (17, 33, 24), (32, 257, 16), (16, 512, 64), (5, 31, 7)],
)
def test_the_kernel_gives_what_all_logits_give(num_rows: int, vocab_size: int, num_channels: int) -> None:
    hidden, weight, targets, _ = head(num_rows, vocab_size, num_channels)
    exact = linear_nll_reference(hidden.double(), weight.double(), targets)
    log_sum, logit = kernels.forward_fused(hidden, weight, targets, None, None, 1.0, tiles=SMALL)
    assert torch.allclose(log_sum - logit, exact, rtol=1e-6, atol=2e-6)
    found = linear_nll(hidden, weight, targets, backend="triton")
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, rtol=1e-6, atol=2e-6)


@runs_kernels
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_bias_scale_and_softcap(bias: bool, softcap: float | None, scale: float) -> None:
    hidden, weight, targets, offsets = head(9, 70, 24)
    logits = hidden.double() @ weight.double().T
    logits = (logits + offsets.double() if bias else logits) * scale
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    exact = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    options: Any = (offsets if bias else None, softcap, scale)
    log_sum, logit = kernels.forward_fused(hidden, weight, targets, *options, tiles=SMALL)
    assert torch.allclose(log_sum - logit, exact, rtol=1e-6, atol=3e-6)

    first = 20  # a block of logits in the middle of the vocabulary
    block = slice(first, None)
    log_sum, logit = kernels.block_statistics(
        hidden @ weight[block].T, targets - first, offsets[block] if bias else None, softcap, scale
    )
    here = targets >= first
    assert torch.allclose(log_sum, logits[:, block].logsumexp(1), rtol=1e-6, atol=3e-6)
    expected = logits.gather(1, targets[:, None])[:, 0] * here
    assert torch.allclose(logit.double(), expected, rtol=1e-6, atol=3e-6)


@runs_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_inputs_give_float32_logits(dtype: torch.dtype) -> None:
    hidden, weight, targets, bias = head(17, 100, 40, dtype)
    exact = linear_nll_reference(hidden.double(), weight.double(), targets, bias=bias.double())
    log_sum, logit = kernels.forward_fused(hidden, weight, targets, bias, None, 1.0, tiles=SMALL)
    assert torch.allclose(log_sum - logit, exact, rtol=1e-6, atol=3e-6)


@runs_kernels
def test_launches_repeat_to_the_bit_and_write_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory holds NaN in torch's deterministic mode."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    hidden, weight, targets, bias = head(17, 100, 24)
    product = hidden @ weight.T
    torch.use_deterministic_algorithms(True)
    try:
        launches = [
            (
                *kernels.forward_fused(hidden, weight, targets, bias, 5.0, 0.5, tiles=SMALL),
                *kernels.block_statistics(product, targets, bias, 5.0, 0.5),
            )
            for _ in range(2)
        ]
    finally:
        torch.use_deterministic_algorithms(False)
    for first, second in zip(*launches, strict=True):
        assert torch.isfinite(first).all()
        assert torch.equal(first, second)


@runs_kernels
@pytest.mark.parametrize("num_programs", [1, 6, 1000])
def test_any_number_of_splits_gives_the_same(num_programs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """53 rows are four row blocks in groups of three: the last group is smaller than the others."""
    monkeypatch.setattr(kernels, "NUM_PROGRAMS", num_programs)
    monkeypatch.setattr(kernels, "GROUP", 3)
    hidden, weight, targets, _ = head(53, 150, 16)
    exact = linear_nll_reference(hidden.double(), weight.double(), targets)
    log_sum, logit = kernels.forward_fused(hidden, weight, targets, None, None, 1.0, tiles=SMALL)
    assert torch.allclose(log_sum - logit, exact, rtol=1e-6, atol=2e-6)


@runs_kernels
def test_large_logits_and_forbidden_words() -> None:
    hidden, weight, targets, bias = head(16, 100, 16)
    bias[:70] = -torch.inf  # whole tiles
    targets %= 30
    targets += 70
    targets[0] = 3
    exact = linear_nll_reference(1e3 * hidden.double(), weight.double(), targets, bias=bias.double())
    log_sum, logit = kernels.forward_fused(1e3 * hidden, weight, targets, bias, None, 1.0, tiles=SMALL)
    assert torch.allclose(log_sum - logit, exact, rtol=1e-5, atol=1e-3)
    log_sum, logit = kernels.block_statistics(1e3 * hidden @ weight.T, targets, bias, None, 1.0)
    assert torch.allclose(log_sum - logit, exact, rtol=1e-5, atol=1e-3)
    log_sum, _ = kernels.block_statistics(hidden @ weight[:50].T, targets, bias[:50], None, 1.0)
    assert (log_sum == -torch.inf).all()


@runs_kernels
def test_strided_inputs_are_read_where_they_are() -> None:
    hidden, weight, targets, bias = head(17, 40, 24)
    plain = linear_nll(hidden, weight, targets, bias=bias, backend="triton")
    wide = torch.full((17, 48), torch.nan, device=DEVICE)
    wide[:, :24] = hidden
    twice = torch.stack((bias, bias), 1)
    strided = linear_nll(wide[:, :24], weight.T.contiguous().T, targets, bias=twice[:, 0], backend="triton")
    assert torch.equal(plain, strided)


@runs_kernels
def test_gradients_are_those_of_all_logits() -> None:
    gradients = []
    for backend in ("triton", "reference"):
        hidden, weight, targets, bias = head(9, 40, 24)
        leaves = [x.requires_grad_() for x in (hidden, weight, bias)]
        nats = linear_nll(hidden, weight, targets, bias=bias, softcap=4.0, scale=0.5, backend=backend)
        gradients.append(torch.autograd.grad(nats.square().sum(), leaves))
    for ours, exact in zip(*gradients, strict=True):
        assert torch.allclose(ours, exact, rtol=1e-5, atol=1e-6)


@needs_gpu
@pytest.mark.parametrize("backend", ["auto", "torch", "triton"])
@pytest.mark.parametrize("num_channels", [768, 2049])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_real_sizes_on_a_gpu(backend: str, num_channels: int, dtype: torch.dtype) -> None:
    hidden, weight, targets, bias = head(4099, 50001, num_channels, dtype)
    exact = torch.cat(
        [
            linear_nll_reference(
                hidden[i : i + 512].double(),
                weight.double(),
                targets[i : i + 512],
                bias=bias.double(),
                softcap=30.0,
            )
            for i in range(0, 4099, 512)
        ]
    )
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    first, second = (
        linear_nll(hidden, weight, targets, bias=bias, softcap=30.0, backend=backend) for _ in range(2)
    )
    assert torch.cuda.max_memory_allocated() - before < 1 << 30
    assert torch.equal(first, second)
    assert torch.allclose(first.double(), exact, rtol=1e-5, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
def test_targets_outside_the_vocabulary_cost_nan_on_a_gpu(backend: str) -> None:
    hidden, weight, targets, _ = head(4, 300, 16)
    targets[1], targets[2] = -1, 300
    nats = linear_nll(hidden, weight, targets, backend=backend)
    assert nats.isnan().tolist() == [False, True, True, False]


def test_where_triton_cannot_run_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets, _ = (x.cpu() for x in head(4, 30, 8))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="tensors on cpu need TRITON_INTERPRET=1"):
        linear_nll(hidden, weight, targets, backend="triton")
    with pytest.raises(ValueError, match=r"torch.float64 is none of float32, bfloat16 and float16"):
        linear_nll(hidden.double(), weight.double(), targets, backend="triton")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert triton_unavailable(hidden) == "triton is not installed"
    assert linear_nll(hidden, weight, targets).shape == (4,)


@pytest.mark.parametrize(
    ("capability", "dtype", "options"),
    [(90, "bf16", False), (90, "bf16", True), (90, "fp16", False), (90, "fp32", True), (80, "bf16", True)],
)
def test_it_compiles_for_gpus_that_are_not_here(
    capability: int, dtype: str, options: bool, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to machine code, with the tiles that such a GPU gets, within its registers and shared memory."""
    shared = {80: 163, 90: 227}[capability] << 10
    monkeypatch.setattr(kernels, "_shared_memory", lambda device: shared)
    torch_dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[dtype]
    tiles = kernels.choose_tiles(torch.empty(4096, 8, dtype=torch_dtype))
    bias = f"*{dtype}" if options else None
    flags: dict[str, Any] = {"HAS_BIAS": options, "HAS_SOFTCAP": options}
    outputs = dict.fromkeys(("maxima", "totals", "at_targets"), "*fp32")

    strides = ("hidden_stride", "weight_stride")
    fused = Kernel(
        "linear_nll_triton",
        "_fused_kernel",
        capability,
        {"hidden": f"*{dtype}", "weight": f"*{dtype}", "bias": bias, "targets": "*i64", **outputs}
        | dict.fromkeys(("num_rows", "num_columns", "num_splits", *strides), "i32")
        | dict.fromkeys(("softcap", "scale"), "fp32"),
        flags
        | {"NUM_CHANNELS": 900 if options else 768, "UPCAST": False, "GROUP": kernels.GROUP}
        | {"BLOCK_T": tiles.rows, "BLOCK_V": tiles.columns, "BLOCK_C": tiles.channels},
        {"num_warps": tiles.warps, "num_stages": tiles.stages},
        aligned=strides,
    )
    program = compiler(fused)
    assert program.shared <= shared
    if dtype != "fp32":
        assert ("wgmma.mma_async" if capability == 90 else "mma.sync") in program.ptx  # tensor cores
    block = Kernel(
        "linear_nll_triton",
        "_block_kernel",
        capability,
        {"product": "*fp32", "bias": bias, "targets": "*i64", **outputs}
        | {"num_columns": "i32", "product_stride": "i32", "softcap": "fp32", "scale": "fp32"},
        flags | {"BLOCK_B": 4096},
        {"num_warps": 8},
        aligned=("product_stride",),
    )
    compiler(block)
