"""The Triton kernels around RWKV-7's state update: on a GPU where there is one, else in the interpreter."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit.models.rwkv7.network import (
    GROUP_NORM_EPS,
    LOG_DECAY_BOUND,
    RWKV7,
    LayerShape,
    NetworkShape,
    TimeMix,
)
from evalkit_kernels import wkv7_cpu
from tests.support.triton_kernels import DEVICE, INTERPRETED, Compiler, Kernel, runs_kernels

pytest.importorskip("triton")
kernels = pytest.importorskip("evalkit_kernels.time_mix_triton")

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SIZES = [  # B, T, H, N: one token; one head; more rows than a program has, and not a multiple of them
    (1, 1, 2, 16),
    (2, 17, 1, 16),
    (2, 67, 2, 16),
    (2, 17, 3, 64),
    (1, 9, 1, 128),
]
BLOCK_SHAPE = NetworkShape(40, 32, 16, (LayerShape(8, 8, 8, 8, 48),) * 2)


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator).to(DEVICE, dtype)


def assert_rounded(found: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    """Nothing is lost but by the last rounding: to the nearest, but the interpreter cuts bfloat16 off."""
    assert found.dtype == dtype
    assert found.shape == exact.shape
    brain = 2.0**-7 if INTERPRETED else 2.0**-8
    unit = {torch.float32: 0.0, torch.bfloat16: brain, torch.float16: 2.0**-11}[dtype]
    torch.testing.assert_close(found.double(), exact, rtol=1.001 * unit, atol=1e-5)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs hold NaN until they are written to."""

    def spoiled(x: Tensor, **options: Any) -> Tensor:
        return torch.full_like(x, torch.nan, **options)

    monkeypatch.setattr(torch, "empty_like", spoiled)


def prepare_exactly(
    inputs: list[Tensor], residual: tuple[Tensor, Tensor] | None, parameters: list[Tensor], head_size: int
) -> list[Tensor]:
    decay_logit, k, v, rate_logit = (x.double() for x in inputs)
    w0, a0, k_k, k_a, *v0 = (x.double() for x in parameters)
    if residual is not None:
        v = torch.lerp(v, residual[1].double(), torch.sigmoid(v0[0] + residual[0].double()))
    rate = torch.sigmoid(a0 + rate_logit)
    kk = F.normalize((k * k_k).view(*k.shape[:2], -1, head_size), dim=-1, eps=1e-12).flatten(-2)
    log_decay = LOG_DECAY_BOUND * torch.sigmoid(w0 + decay_logit)
    return [log_decay, k * (1 + (rate - 1) * k_a), v, -kk, kk * rate]


def time_mix(dtype: torch.dtype) -> list[TimeMix]:
    """A first layer and one that has a value residual; every parameter counts."""
    torch.manual_seed(0)
    layers = [TimeMix(BLOCK_SHAPE, layer) for layer in range(2)]
    for layer in layers:
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return [layer.to(DEVICE, dtype) for layer in layers]


@runs_kernels
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("num_batch", "num_tokens", "num_channels", "num_mixes"),
    [(1, 1, 32, 6), (3, 1, 48, 2), (2, 17, 300, 6), (2, 5, 40, 1), (1, 1, 1, 1)],
)
def test_token_shift(
    num_batch: int, num_tokens: int, num_channels: int, num_mixes: int, dtype: torch.dtype
) -> None:
    h = normal(num_batch, num_tokens, num_channels, dtype=dtype)
    shift = normal(num_batch, num_channels, dtype=dtype)
    mixes = [normal(1, 1, num_channels, dtype=dtype, seed=m) for m in range(num_mixes)]
    exact = wkv7_cpu.token_shift(h.double(), shift.double(), [mix.double() for mix in mixes])
    found = kernels.token_shift(h, shift, mixes)
    assert len(found) == num_mixes
    for ours, wanted in zip(found, exact, strict=True):
        assert_rounded(ours, wanted, dtype)


@runs_kernels
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("has_residual", [False, True])
@pytest.mark.parametrize(("num_batch", "num_tokens", "num_heads", "head_size"), SIZES)
def test_preparation(
    num_batch: int, num_tokens: int, num_heads: int, head_size: int, has_residual: bool, dtype: torch.dtype
) -> None:
    sizes = num_batch, num_tokens, num_heads * head_size
    inputs = [normal(*sizes, dtype=dtype, seed=seed) for seed in range(4)]
    residual = (normal(*sizes, dtype=dtype, seed=5), normal(*sizes, dtype=dtype, seed=6))
    parameters = [normal(1, 1, sizes[-1], dtype=dtype, seed=seed) for seed in range(5)]
    inputs[1][0, 0, :head_size] = 0  # a removal key without a direction
    given = residual if has_residual else None
    parameters = parameters[: 4 + has_residual]
    exact = prepare_exactly(inputs, given, parameters, head_size)
    found = kernels.prepare(*inputs, given, parameters, head_size, LOG_DECAY_BOUND)
    assert found._fields == ("log_decay", "k", "v", "a", "b")
    assert (found.v is inputs[2]) == (not has_residual)
    for name, ours, wanted in zip(found._fields, found, exact, strict=True):
        assert_rounded(ours, wanted, torch.float32 if name == "log_decay" else dtype)


@runs_kernels
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("num_batch", "num_tokens", "num_heads", "head_size"), SIZES)
def test_finish(num_batch: int, num_tokens: int, num_heads: int, head_size: int, dtype: torch.dtype) -> None:
    num_channels = num_heads * head_size
    inputs = [normal(num_batch, num_tokens, num_channels, dtype=dtype, seed=seed) for seed in range(5)]
    inputs[0] += 3  # a mean that counts
    inputs[2] /= head_size**0.5
    r_k, weight, bias = (normal(num_channels, dtype=dtype, seed=seed) for seed in range(3))

    heads = num_batch, num_tokens, num_heads, head_size
    wide = [x.double() for x in inputs]
    norm = F.group_norm(
        wide[0].flatten(0, 1), num_heads, weight.double(), bias.double(), GROUP_NORM_EPS
    ).view_as(wide[4])
    bonus = (wide[1] * wide[2] * r_k.double()).view(heads).sum(-1, keepdim=True) * wide[3].view(heads)
    exact = (norm + bonus.view_as(norm)) * wide[4]
    found = kernels.finish(*inputs, [r_k.view(num_heads, -1), weight, bias], head_size, GROUP_NORM_EPS)
    assert_rounded(found, exact, dtype)


@runs_kernels
def test_strided_inputs_and_no_rows() -> None:
    h, mix = normal(2, 5, 32), normal(1, 1, 32)
    (plain,) = kernels.token_shift(h, h[:, -1], [mix])
    wide = torch.stack((h, h), -1)[..., 0]
    (strided,) = kernels.token_shift(wide, wide[:, -1], [torch.cat((mix, mix), 1)[:, ::2]])
    assert torch.equal(plain, strided)
    none = h[:0]
    assert kernels.token_shift(none, none[:, -1], [mix])[0].shape == none.shape
    assert kernels.prepare(none, none, none, none, None, [mix] * 4, 16, -1.0).k.shape == none.shape
    assert kernels.finish(none, none, none, none, none, [mix] * 3, 16, 1e-5).shape == none.shape


@runs_kernels
@pytest.mark.parametrize("num_tokens", [1, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_whole_time_mix(num_tokens: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("token_shift", "prepare", "finish"):
        count(name, calls, monkeypatch)
    h, shift = normal(2, num_tokens, 32, dtype=dtype), normal(2, 32, dtype=dtype)
    state = 0.3 * normal(2, 2, 16, 16)
    wide = h.double(), shift.double()
    v_first = v_first_plain = v_first_exact = None
    # 16-bit roundings fall elsewhere, but cost no more; the interpreter's all point the same way.
    allowed = 4.0 if INTERPRETED else 1.5
    with torch.no_grad():
        for layer, exactly in zip(time_mix(dtype), time_mix(dtype), strict=True):
            found, v_first, found_state = layer(h, shift, v_first, state, "triton")
            assert calls == ["token_shift", "prepare", "finish"]
            calls.clear()
            plain, v_first_plain, plain_state = layer(h, shift, v_first_plain, state, "torch")
            exactly.double()
            exact, v_first_exact, exact_state = exactly(*wide, v_first_exact, state.double(), "torch")
            assert not calls
            assert found.dtype == dtype
            assert found_state.dtype == torch.float32
            assert error(found, exact) < allowed * error(plain, exact) + 1e-6
            assert error(found_state, exact_state) < allowed * error(plain_state, exact_state) + 1e-6


def count(name: str, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    function = getattr(kernels, name)

    def counted(*arguments: Any) -> Any:
        calls.append(name)
        return function(*arguments)

    monkeypatch.setattr(kernels, name, counted)


def error(found: Tensor, exact: Tensor) -> float:
    """Root mean square, relative."""
    return float((found - exact).norm() / exact.norm())


@runs_kernels
def test_a_network_read_in_two_parts_gives_the_same() -> None:
    torch.manual_seed(0)
    network = RWKV7(BLOCK_SHAPE).to(DEVICE)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    ids = torch.arange(14, device=DEVICE).view(2, 7)
    with torch.no_grad():
        plain, plain_state = network(ids, backend="torch")
        first, state = network(ids[:, :6], backend="triton")
        second, state = network(ids[:, 6:], state, backend="triton")
    torch.testing.assert_close(torch.cat((first, second), 1), plain, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(state, plain_state, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@runs_kernels
def test_a_gradient_takes_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("token_shift", "prepare", "finish"):
        count(name, calls, monkeypatch)
    h, shift, state = normal(1, 2, 32), normal(1, 32), normal(1, 2, 16, 16)
    layer = time_mix(torch.float32)[0]
    layer(h, shift, None, state, "triton")[0].sum().backward()
    assert not calls
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_without_being_named_the_cpu_keeps_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    count("token_shift", calls, monkeypatch)
    layer = time_mix(torch.float32)[0].cpu()
    h, shift, state = torch.ones(1, 2, 32), torch.ones(1, 32), torch.zeros(1, 2, 16, 16)
    with torch.no_grad():
        for backend in ("auto", "torch", "reference"):
            layer(h, shift, None, state, backend)
    assert not calls


def test_where_triton_cannot_run_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "TRITON_INTERPRET=1" in kernels.unavailable(cpu)
    assert "not torch.float64" in kernels.unavailable(cpu, torch.float64)
    assert "not 24" in kernels.unavailable(cpu, torch.float32, 24)
    layer = time_mix(torch.float32)[0].cpu()
    inputs = torch.ones(1, 2, 32), torch.ones(1, 32), None, torch.zeros(1, 2, 16, 16)
    with torch.no_grad(), pytest.raises(ValueError, match="TRITON_INTERPRET=1"):
        layer(*inputs, "triton")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert kernels.unavailable(cpu) == "triton is not installed"


@pytest.mark.parametrize(
    ("capability", "dtype", "head_size"), [(90, "bf16", 64), (90, "fp32", 128), (80, "fp16", 16)]
)
def test_it_compiles_for_gpus_that_are_not_here(
    capability: int, dtype: str, head_size: int, compiler: Compiler
) -> None:
    """Down to machine code, with stores of 16 bytes per thread.

    An integer that is 1 becomes a constant when a kernel is launched: one token, one head.
    """

    def num_wide_stores(name: str, signature: dict[str, Any], constants: dict[str, Any]) -> int:
        options = {"num_warps": kernels._NUM_WARPS}
        kernel = Kernel(
            "time_mix_triton", name, capability, signature, constants, options, aligned=("num_channels",)
        )
        return compiler(kernel).ptx.count("st.global.v4")

    pointer, channels = f"*{dtype}", kernels._TILE_CHANNELS
    one_token = {"num_rows": 1, "num_tokens": 1}
    for num_mixes, single in ((1, one_token), (6, {})):
        num_stores = num_wide_stores(
            "_token_shift_kernel",
            {"h": pointer, "shift": pointer, "mixes": (pointer,) * num_mixes}
            | {"outputs": (pointer,) * num_mixes}
            | dict.fromkeys(("num_rows", "num_tokens", "num_channels"), "i32"),
            {"NUM_MIXES": num_mixes, "BLOCK_R": kernels.TILE // channels, "BLOCK_C": channels} | single,
        )
        assert num_stores >= num_mixes

    tile = {"BLOCK_R": kernels.TILE // head_size, "N": head_size}
    sizes = {"num_rows": "i32", "num_heads": "i32"}
    one_head = {"num_rows": 1, "num_heads": 1}
    for has_residual, single in ((False, one_head), (True, {})):
        residual = pointer if has_residual else None
        num_stores = num_wide_stores(
            "_prepare_kernel",
            dict.fromkeys(("decay_logit", "k", "v", "rate_logit", "w0", "a0", "k_k", "k_a"), pointer)
            | dict.fromkeys(("residual_logit", "v_first", "v0", "v_out"), residual)
            | dict.fromkeys(("k_out", "a_out", "b_out"), pointer)
            | {"log_decay_out": "*fp32", "log_decay_bound": "fp32"}
            | sizes,
            {"HAS_RESIDUAL": has_residual} | tile | single,
        )
        assert num_stores >= 4 + has_residual
    for single in (one_head, {}):
        num_stores = num_wide_stores(
            "_finish_kernel",
            dict.fromkeys(("y", "r", "k", "v", "gate", "r_k", "weight", "bias", "out"), pointer)
            | {"norm_eps": "fp32"}
            | sizes,
            tile | single,
        )
        assert num_stores >= 1
