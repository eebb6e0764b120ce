"""The Triton kernels of WKV-7 against the recurrence in float64, in Triton's interpreter.

Every tensor that the kernels have to fill is filled with NaN before.
"""

import functools
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit_kernels import wkv7_triton as wkv7_triton_module
from evalkit_kernels.wkv7 import wkv7
from evalkit_kernels.wkv7_triton import choose, unavailable, wkv7_triton
from tests.support.toys import PATIENCE_S
from tests.support.triton_kernels import INSTALLED, ON_GPU, Compiler, Kernel, needs_triton

NAMES = ("y", "state", "d_r", "d_log_decay", "d_k", "d_v", "d_a", "d_b", "d_state")
KERNELS = ("chunked", "sequential")
FLA = importlib.util.find_spec("fla")

SINGLE: dict[str, dict[str, Any]] = {
    "usual": {"num_batch": 2, "num_tokens": 40},
    "fastest decay": {"decay": "fastest", "num_tokens": 33, "num_heads": 1},
    "no decay": {"decay": "none", "num_tokens": 33, "num_heads": 1},
    "nothing removed": {"a_zero": True},
    "one key repeated": {"repeat_key": True},
    "negative eigenvalues": {"factor": 2.0},
    "one key repeated, c = 1, no decay": {"repeat_key": True, "decay": "none", "num_tokens": 40},
    "one key repeated, c = 2, no decay": {"repeat_key": True, "factor": 2.0, "decay": "none"},
    "1 token": {"num_tokens": 1, "num_batch": 2},
    "15 tokens": {"num_tokens": 15},
    "16 tokens": {"num_tokens": 16},
    "17 tokens": {"num_tokens": 17},
    "one head": {"num_heads": 1, "head_size": 32},
    "head size 64": {"num_heads": 1, "head_size": 64, "num_tokens": 18},
    "head size 128": {"num_heads": 1, "head_size": 128, "num_tokens": 17},
    "all value rows in one program": {"num_heads": 1, "head_size": 32, "programs_wanted": 1},
}
HALF: dict[str, dict[str, Any]] = {
    "usual": {"num_tokens": 48, "head_size": 64, "num_heads": 1},
    "fastest decay": {"num_tokens": 48, "head_size": 64, "num_heads": 1, "decay": "fastest"},
    "no decay": {"num_tokens": 48, "head_size": 64, "num_heads": 1, "decay": "none"},
    "one key repeated": {"num_tokens": 48, "head_size": 64, "num_heads": 1, "repeat_key": True},
}


def random_inputs(
    *,
    num_batch: int = 1,
    num_tokens: int = 20,
    num_heads: int = 2,
    head_size: int = 16,
    decay: str = "mixed",
    repeat_key: bool = False,
    factor: float = 1.0,
    a_zero: bool = False,
) -> list[Tensor]:
    """The six inputs of the sizes that RWKV-7 makes, and a state; float64."""
    torch.manual_seed(0)
    shape = (num_batch, num_tokens, num_heads, head_size)
    r, k, v, direction, gate, logit = torch.randn(6, *shape, dtype=torch.float64)
    bound = -math.exp(-0.5)
    log_decay = {
        "mixed": bound * torch.sigmoid(3 * logit),
        "fastest": torch.full_like(r, bound),
        "none": torch.zeros_like(r),
    }[decay]
    if repeat_key:
        direction = direction[:, :1].expand(shape)
    kk = F.normalize(direction, dim=-1)
    rate = factor * (torch.ones_like(gate) if repeat_key else torch.sigmoid(gate))
    a = torch.zeros_like(kk) if a_zero else -kk
    state = torch.randn(num_batch, num_heads, head_size, head_size, dtype=torch.float64)
    return [r, log_decay, 0.3 * k, v, a, kk * rate, state]


def rounded(inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """As the operator takes them: log decays and states stay float32."""
    return [x.to(torch.float32 if i in (1, 6) else dtype) for i, x in enumerate(inputs)]


def outputs_and_gradients(
    operator: Callable[..., tuple[Tensor, Tensor]], inputs: list[Tensor]
) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    y, state = operator(*leaves)
    torch.manual_seed(1)
    d_y = torch.randn(y.shape, dtype=torch.float64).to(inputs[0].dtype)
    d_state = torch.randn(state.shape, dtype=torch.float64).float()
    outputs = (y, state)
    weights = [d_y.to(y.dtype), d_state.to(state.dtype)]
    return [y.detach(), state.detach(), *torch.autograd.grad(outputs, leaves, weights)]


def exact(inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The recurrence in float64, with output gradients rounded to ``dtype`` as the operator sees them."""

    def reference(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        return wkv7(*leaves, backend="reference")

    torch.manual_seed(1)
    leaves = [x.double().requires_grad_() for x in inputs]
    y, state = reference(*leaves)
    d_y = torch.randn(y.shape, dtype=torch.float64).to(dtype).double()
    d_state = torch.randn(state.shape, dtype=torch.float64).float().double()
    return [y.detach(), state.detach(), *torch.autograd.grad((y, state), leaves, (d_y, d_state))]


def errors(found: list[Tensor], wanted: list[Tensor]) -> dict[str, float]:
    result = {}
    for name, x, y in zip(NAMES, found, wanted, strict=True):
        assert x.shape == y.shape
        scale = y.norm().item() or 1.0
        result[name] = ((x.double() - y).norm() / scale).item()
    return result


interpreted = pytest.mark.skipif(not INSTALLED or ON_GPU, reason="these numbers are the interpreter's")


@pytest.fixture
def poisoned(interpreter_serves: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is allocated without being filled is NaN."""
    empty, empty_like = torch.empty, torch.empty_like

    def spoiled(x: Tensor) -> Tensor:
        return x.fill_(math.nan) if x.is_floating_point() else x

    monkeypatch.setattr(torch, "empty", lambda *a, **k: spoiled(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: spoiled(empty_like(*a, **k)))


@functools.cache
def single(case: str) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs in float32, and what the recurrence makes of them."""
    arguments = {name: value for name, value in SINGLE[case].items() if name != "programs_wanted"}
    inputs = rounded(random_inputs(**arguments), torch.float32)
    return inputs, exact(inputs, torch.float32)


@functools.cache
def half(dtype: torch.dtype, case: str) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs in 16 bits, and what the recurrence makes of them."""
    inputs = rounded(random_inputs(**HALF[case]), dtype)
    return inputs, exact(inputs, dtype)


def relative_error(x: Tensor, exact: Tensor) -> float:
    return ((x.double() - exact).norm() / exact.norm()).item()


@interpreted
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", SINGLE)
def test_float32_is_the_recurrence_forward_and_backward(
    kernel: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wkv7_triton_module, "_PROGRAMS_WANTED", SINGLE[case].get("programs_wanted", 264))
    inputs, expected = single(case)
    result = outputs_and_gradients(lambda *x: wkv7_triton(*x, kernel=kernel), inputs)
    for name, error in errors(result, expected).items():
        assert error < 1e-5, f"{name}: {error}"


# float16 rounds what is stored, 2.0e-4 rms; tf32 operands of products with the state add 1.5e-4 to y, more
# to gradients, which pass through several. The interpreter cuts bfloat16 off, 3.3e-3 rms, where a GPU rounds
# it, 1.7e-3; tf32 is lost in that. d_log_decay is stored in float32, but sums up to 16 tokens' terms that
# largely cancel: the most where decay is fastest. With one key repeated each token's a and b meet the same
# direction of the state, and what is small in their gradients is a difference of large numbers.
LIMITS = {torch.float16: 5e-4, torch.bfloat16: 4e-3}


@interpreted
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("case", HALF)
def test_16_bit_inputs_lose_little_more_than_their_rounding(dtype: torch.dtype, case: str) -> None:
    inputs, expected = half(dtype, case)
    result = outputs_and_gradients(lambda *x: wkv7_triton(*x, kernel="chunked"), inputs)
    error = errors(result, expected)
    assert error["y"] < LIMITS[dtype]
    assert error["state"] < 5e-4
    for name in NAMES[2:]:
        limit = 2e-3 if name == "d_log_decay" else 3e-3 if case == "one key repeated" else 1e-3
        if dtype == torch.bfloat16 and name not in ("d_state", "d_log_decay"):
            limit = 5e-3
        assert error[name] < limit, f"{name}: {error[name]}"
    wide, narrow = torch.float32, dtype
    assert [x.dtype for x in result] == [narrow, wide, narrow, wide, narrow, narrow, narrow, narrow, wide]


@interpreted
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 2.5e-4), (torch.bfloat16, 4e-3)])
def test_the_sequential_kernel_only_rounds_its_output(dtype: torch.dtype, limit: float) -> None:
    inputs, expected = half(dtype, "one key repeated")
    y, _ = wkv7_triton(*inputs, kernel="sequential")
    assert relative_error(y, expected[0]) < limit


@interpreted
@pytest.mark.usefixtures("poisoned")
def test_tf32_products_are_visible_without_a_gpu() -> None:
    """Operands in tf32, everything else in float32: what ``precision="tf32"`` costs by itself."""
    inputs = rounded(random_inputs(num_tokens=48, head_size=64, num_heads=1), torch.float32)
    y, _ = wkv7_triton(*inputs, kernel="chunked", precision="tf32")
    assert 5e-5 < relative_error(y, exact(inputs, torch.float32)[0]) < 5e-4


@interpreted
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("kernel", KERNELS)
def test_packed_sequences_are_separate_ones_bit_by_bit(kernel: str) -> None:
    lengths = [5, 0, 16, 19, 1]
    cu_seqlens = torch.tensor([0, *lengths]).cumsum(0)
    inputs = rounded(random_inputs(num_tokens=sum(lengths)), torch.float32)
    torch.manual_seed(2)
    inputs[6] = torch.randn(len(lengths), 2, 16, 16)

    def packed(*x: Tensor) -> tuple[Tensor, Tensor]:
        return wkv7_triton(*x, cu_seqlens.int(), kernel=kernel)

    def separate(*x: Tensor) -> tuple[Tensor, Tensor]:
        pieces = [
            wkv7_triton(*(z[:, start:end] for z in x[:6]), x[6][s : s + 1], kernel=kernel)
            for s, (start, end) in enumerate(itertools.pairwise(cu_seqlens.tolist()))
        ]
        return torch.cat([y for y, _ in pieces], 1), torch.cat([state for _, state in pieces])

    together, apart = outputs_and_gradients(packed, inputs), outputs_and_gradients(separate, inputs)
    again = outputs_and_gradients(packed, inputs)
    for name, x, y, z in zip(NAMES, together, apart, again, strict=True):
        assert torch.equal(x, y), name
        assert torch.equal(x, z), name
    assert torch.equal(together[1][1], inputs[6][1])  # an empty sequence keeps its state


@interpreted
@pytest.mark.usefixtures("poisoned")
def test_no_tokens_and_no_sequences() -> None:
    inputs = rounded(random_inputs(num_tokens=1), torch.float32)
    empty = [x[:, :0] for x in inputs[:6]]
    y, state, *_ = outputs_and_gradients(wkv7_triton, [*empty, inputs[6]])
    assert y.shape == (1, 0, 2, 16)
    assert torch.equal(state, inputs[6])
    y, state = wkv7_triton(*empty, inputs[6][:0], torch.tensor([0]))
    assert (y.shape, state.shape) == ((1, 0, 2, 16), (0, 2, 16, 16))


def measure_fla() -> dict[str, Any]:
    """flash-linear-attention's recurrence (scaled queries, heads first) and kernels; states transposed."""
    assert FLA is not None and FLA.submodule_search_locations is not None
    path = Path(FLA.submodule_search_locations[0]) / "ops/generalized_delta_rule/dplr/naive.py"
    spec = importlib.util.spec_from_file_location("naive", path)
    assert spec is not None and spec.loader is not None
    naive = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(naive)

    def recurrence(*x: Tensor) -> tuple[Tensor, Tensor]:
        r, log_decay, k, v, a, b = (z.transpose(1, 2) for z in x[:6])
        y, state = naive.dplr_recurrence(r * r.shape[-1] ** 0.5, k, v, a, b, log_decay, x[6].mT)
        return y.transpose(1, 2), state.mT

    rwkv7 = fla_kernels_by_the_interpreter()

    def chunks(*x: Tensor) -> tuple[Tensor, Tensor]:
        y, state = rwkv7.chunk_rwkv7(
            *x[:6], scale=1.0, initial_state=x[6].mT.contiguous(), output_final_state=True, chunk_size=16
        )
        return y, state.mT

    result = {}
    inputs = rounded(random_inputs(num_tokens=18), torch.float32)
    found = outputs_and_gradients(lambda *x: wkv7_triton(*x, kernel="chunked"), inputs)
    for name, oracle in (("recurrence", recurrence), ("chunks", chunks)):
        result[name] = errors(found, [x.double() for x in outputs_and_gradients(oracle, inputs)])
    r, log_decay, k, v, a, b, state = inputs
    y, after = rwkv7.fused_mul_recurrent_rwkv7(
        r=r, w=log_decay, k=k, v=v, kk=-a, a=-b / a,
        scale=1.0, initial_state=state.mT.contiguous(), output_final_state=True,
    )  # fmt: skip
    steps = wkv7_triton(*inputs, kernel="sequential")
    result["steps"] = {
        "y": ((steps[0] - y).norm() / y.norm()).item(),
        "state": ((steps[1] - after.mT).norm() / after.norm()).item(),
    }
    return result


def fla_kernels_by_the_interpreter() -> Any:
    """``fla.ops.rwkv7``, where the interpreter finds what those kernels bound while they were imported."""
    import triton
    import triton.language

    class First:
        """An autotuner that always takes the first configuration."""

        def __init__(self, kernel: Any, configurations: list[Any]) -> None:
            self.kernel, self.options = kernel, configurations[0].kwargs
            self.arg_names = kernel.arg_names

        def __getitem__(self, grid: Any) -> Any:
            return lambda *a, **k: self.run(*a, grid=grid, **k)

        def run(self, *arguments: Any, grid: Any, warmup: bool = False, **options: Any) -> Any:
            return self.kernel.run(*arguments, grid=grid, warmup=False, **options, **self.options)

    class Index(int):
        def to(self, dtype: Any) -> "Index":
            return self

    def late(name: str) -> Any:
        return lambda *a, **k: getattr(triton.language, name)(*a, **k)

    triton.autotune = lambda configs, **options: lambda kernel: First(kernel, configs)
    import fla.ops.rwkv7

    for name, module in list(sys.modules.items()):
        if name.startswith(("fla.ops", "fla.modules")):
            for function in ("exp", "exp2", "log", "log2", "gather"):
                if hasattr(module, function):
                    setattr(module, function, late(function))
            module.range = lambda *bounds: map(Index, range(*map(int, bounds)))  # type: ignore[attr-defined]
    return fla.ops.rwkv7


if __name__ == "__main__":  # triton is changed for flash-linear-attention: in a process of its own
    json.dump(measure_fla(), sys.stdout)


@interpreted
@pytest.mark.slow
@pytest.mark.skipif(FLA is None, reason="flash-linear-attention is not installed")
def test_flash_linear_attention_agrees(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"recurrence", "chunks", "steps"}
    for oracle, measured in result.items():
        for name, error in measured.items():
            assert error < 1e-5, f"{oracle}, {name}: {error}"


@needs_triton
@pytest.mark.skipif(sys.platform != "linux", reason="triton compiles on Linux")
@pytest.mark.parametrize("name", ["prepare", "scan", "sequential", "scan_backward", "gradients"])
def test_the_kernels_compile_for_an_h100(name: str, compiler: Compiler) -> None:
    """What N = 64 and bfloat16 become."""
    constants = {"N": 64, "Q": 16, "BV": 16, "SAVE": True, "VALUES": True}
    constants |= {"INNER": "tf32x3", "PRECISION": "tf32"}
    types = dict.fromkeys(("r", "k", "v", "a", "b", "y"), "*bf16")
    types |= {f"d_{name}": dtype for name, dtype in types.items()}
    types |= dict.fromkeys(("starts", "chunk_starts", "chunk_sequence"), "*i64")
    types |= {"num_sequences": "i32", "H": "i32"}
    arguments = getattr(importlib.import_module("evalkit_kernels.wkv7_triton_kernels"), name).arg_names
    signature = {x: types.get(x, "*fp32") for x in arguments if x not in constants}
    options = {"num_warps": 4, "num_stages": 2}
    compiled = compiler(Kernel("wkv7_triton_kernels", name, 90, signature, constants, options))
    if name == "sequential":
        assert compiled.ptx.count("mma.sync") == 0
    else:
        assert compiled.ptx.count("mma.sync") > 0
        assert compiled.ptx.count("cvt.rna.tf32.f32") > 0
    assert compiled.ptx.count("wgmma.mma") == 0  # made for 64 rows; these have 16 or 32
    assert compiled.shared <= 64 * 1024  # so that a multiprocessor holds three programs


def test_importing_needs_no_triton() -> None:
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import evalkit_kernels.wkv7_triton\n"
        "assert 'evalkit_kernels.wkv7_triton_kernels' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr


def test_why_it_cannot_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    cpu = torch.device("cpu")
    inputs = rounded(random_inputs(), torch.float32)
    if INSTALLED:
        with pytest.raises(ValueError, match="TRITON_INTERPRET=1"):
            wkv7_triton(*inputs)
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        assert unavailable(cpu) is None
        assert "head sizes" in (unavailable(cpu, torch.float32, 48) or "")
        assert "float64" in (unavailable(cpu, torch.float64) or "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert unavailable(cpu) == "triton is not installed"


@needs_triton
def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    inputs = rounded(random_inputs(), torch.float32)
    with pytest.raises(ValueError, match=r"must all be \[B, T, H, N\]"):
        wkv7_triton(inputs[0][:, :3], *inputs[1:])
    with pytest.raises(ValueError, match="state must be"):
        wkv7_triton(*inputs[:6], torch.zeros(2, 2, 16, 16))
    with pytest.raises(ValueError, match="unknown kernel 'fast'"):
        wkv7_triton(*inputs, kernel="fast")
    with pytest.raises(ValueError, match="unknown precision 'bf16'"):
        wkv7_triton(*inputs, precision="bf16")
    for wrong in ([0, 12, 8, 20], [0, 19], [1, 20]):
        with pytest.raises(ValueError, match="must rise from 0 to T = 20"):
            wkv7_triton(*inputs, torch.tensor(wrong))
    with pytest.raises(ValueError, match="needs B = 1"):
        wkv7_triton(*rounded(random_inputs(num_batch=2), torch.float32), torch.tensor([0, 20]))


def test_a_layout_is_kept_until_its_tensor_changes() -> None:
    cu_seqlens = torch.tensor([0, 5, 20])
    layout = wkv7_triton_module._layout(1, 20, cu_seqlens, cu_seqlens.device)
    assert layout.chunk_starts.tolist() == [0, 1, 2]
    assert layout.chunk_sequence.tolist() == [0, 1, 2]  # the last: room for a chunk that is not there
    assert wkv7_triton_module._layout(1, 20, cu_seqlens, cu_seqlens.device) is layout
    cu_seqlens[1] = 0
    layout = wkv7_triton_module._layout(1, 20, cu_seqlens, cu_seqlens.device)
    assert layout.chunk_starts.tolist() == [0, 0, 2]
    assert layout.chunk_sequence.tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="must rise from 0 to T = 21"):
        wkv7_triton_module._layout(1, 21, cu_seqlens, cu_seqlens.device)
    with torch.inference_mode():
        frozen = torch.tensor([0, 20])
        assert wkv7_triton_module._layout(1, 20, frozen, frozen.device).num_sequences == 1


def test_decoding_is_sequential_and_long_sequences_are_chunked() -> None:
    assert choose(1, 40, 1) == "sequential"
    assert choose(1024, 40, 1) == "sequential"
    assert choose(1, 40, 4096) == "chunked"
    assert choose(64, 40, 1024) == "chunked"
