"""The native loops against the recurrence in float64, and how they are built or done without."""

import copy
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from evalkit_kernels import wkv7
from evalkit_kernels.wkv7 import choose_backend
from evalkit_kernels.wkv7_cpu import squared_relu, token_shift
from tests.support.toys import PATIENCE_S

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler"
)

TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """`torch.empty` gives NaN, so that what a loop forgets to write is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def random_inputs(
    num_batch: int = 2, num_tokens: int = 50, num_heads: int = 3, head_size: int = 64, case: str = "usual"
) -> tuple[list[Tensor], Tensor]:
    """r, log_decay, k, v, a, b of the sizes that RWKV-7 makes, and a state; float32."""
    generator = torch.Generator().manual_seed(0)
    shape = (num_batch, num_tokens, num_heads, head_size)
    r, k, v, direction, rate, logit = (torch.randn(shape, generator=generator) for _ in range(6))
    log_decay, rate = -math.exp(-0.5) * torch.sigmoid(3 * logit), torch.sigmoid(rate)
    if case == "fastest decay":
        log_decay = torch.full(shape, -math.exp(-0.5))
    elif case == "no decay":
        log_decay = torch.zeros(shape)
    elif case == "nothing removed":
        direction = torch.zeros(shape)
    elif case.startswith("one key"):
        direction = direction[:, :1].expand(shape)
        rate = torch.full(shape, float(case[-1]))
        if rate.max() == 2:  # a reflection; with decay its eigenvalue would exceed 1 in size
            log_decay = torch.zeros(shape)
    kk = F.normalize(direction, dim=-1)
    state = torch.randn(num_batch, num_heads, head_size, head_size, generator=generator)
    return [r, log_decay, 0.3 * k, v, -kk, kk * rate], state


def relative_error(value: Tensor, exact: Tensor) -> float:
    return ((value.double() - exact).norm() / exact.norm().clamp(min=1e-30)).item()  # both may be 0


def with_gradients(inputs: list[Tensor], state: Tensor, backend: str) -> tuple[Tensor, ...]:
    """Outputs, state, and the gradients of all inputs and the state for fixed, unequal weights of both."""
    leaves = [x.detach().requires_grad_() for x in (*inputs, state)]
    outputs = wkv7(*leaves[:6], leaves[6], backend=backend)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator).to(x.dtype) for x in outputs]
    return (*outputs, *torch.autograd.grad(outputs, leaves, weights))


def check(inputs: list[Tensor], state: Tensor | None) -> None:
    """Outputs, and where there is a state the gradients too.

    Gradients of some cases amplify rounding: as exact as the float32 recurrence under autograd is enough.
    """
    if state is None:
        exact = wkv7(*(x.double() for x in inputs), backend="reference")
        found = plain = wkv7(*inputs, backend="cpu")
    else:
        exact = with_gradients([x.double() for x in inputs], state.double(), "reference")
        found = with_gradients(inputs, state, "cpu")
        plain = with_gradients(inputs, state, "reference")
    for index, (value, wanted) in enumerate(zip(found, exact, strict=True)):
        assert value.dtype == torch.float32
        rounding = 0.0 if index < 2 else relative_error(plain[index], wanted)
        assert relative_error(value, wanted) <= max(TOLERANCE, 1.5 * rounding)


@needs_compiler
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize(
    "case", ["usual", "fastest decay", "no decay", "nothing removed", "one key, c = 1", "one key, c = 2"]
)
def test_adversarial_inputs(case: str, with_state: bool) -> None:
    inputs, state = random_inputs(num_tokens=200, case=case)
    check(inputs, state if with_state else None)


@needs_compiler
@pytest.mark.parametrize("num_tokens", [1, 15, 16, 17, 1000])
def test_lengths(num_tokens: int) -> None:
    check(*random_inputs(num_batch=1, num_tokens=num_tokens, num_heads=1))
    check(*random_inputs(num_batch=2, num_tokens=num_tokens, num_heads=2, head_size=32))


@needs_compiler
@pytest.mark.parametrize("head_size", range(16, 129, 16))
def test_head_sizes(head_size: int) -> None:
    check(*random_inputs(head_size=head_size))


@needs_compiler
def test_many_heads() -> None:
    check(*random_inputs(num_batch=8, num_heads=12, num_tokens=40))


@needs_compiler
def test_no_token_leaves_the_state() -> None:
    inputs, state = random_inputs(num_tokens=0)
    y, after, *_ = with_gradients(inputs, state, "cpu")
    assert y.shape == inputs[0].shape
    assert torch.equal(after, state)


@needs_compiler
def test_strides() -> None:
    inputs, state = random_inputs()
    dense = with_gradients(inputs, state, "cpu")
    by_head = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs]
    by_value = [x.mT.contiguous().mT for x in inputs]
    slices = [torch.cat((x, torch.full_like(x, math.nan)), 2)[:, :, :3] for x in inputs]
    for strided in (by_head, by_value, slices):
        assert not strided[0].is_contiguous()
        found = with_gradients(strided, state.mT.contiguous().mT, "cpu")
        assert all(map(torch.equal, found, dense))


@needs_compiler
def test_inputs_are_left_alone() -> None:
    inputs, state = random_inputs()
    copies = [x.clone() for x in (*inputs, state)]
    wkv7(*inputs, state, backend="cpu")
    assert all(map(torch.equal, (*inputs, state), copies))


@needs_compiler
def test_the_state_carries_over() -> None:
    inputs, state = random_inputs()
    whole, final = wkv7(*inputs, state, backend="cpu")
    first, state = wkv7(*(x[:, :17] for x in inputs), state, backend="cpu")
    second, state = wkv7(*(x[:, 17:] for x in inputs), state, backend="cpu")
    assert torch.equal(torch.cat((first, second), 1), whole)
    assert torch.equal(state, final)


@needs_compiler
def test_extreme_decays() -> None:
    inputs, state = random_inputs(num_tokens=3)
    for log_decay, kept in ((-math.inf, 0.0), (-1e4, 0.0), (-87.5, 0.0), (math.log(2), 2.0)):
        inputs[1] = torch.full_like(inputs[1], log_decay)
        inputs[2] = inputs[5] = torch.zeros_like(inputs[2])
        _, after = wkv7(*inputs, state, backend="cpu")
        assert torch.allclose(after, state * kept**3, rtol=1e-6, atol=1e-30)
    inputs[1] = torch.full_like(inputs[1], math.nan)
    assert wkv7(*inputs, state, backend="cpu")[0].isnan().all()


@needs_compiler
@pytest.mark.usefixtures("threads")
def test_any_number_of_threads_gives_the_same_bits() -> None:
    inputs, state = random_inputs(num_batch=4, num_tokens=60, num_heads=12)
    results = []
    for num_threads in (1, 2, 5):
        torch.set_num_threads(num_threads)
        results.append(wkv7(*inputs, state, backend="cpu"))
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_inputs(dtype: torch.dtype) -> None:
    inputs, state = random_inputs()
    inputs = [x.to(dtype) for x in inputs]
    y, after = wkv7(*inputs, state, backend="cpu")
    wide, wide_after = wkv7(*(x.float() for x in inputs), state, backend="cpu")
    assert torch.equal(y, wide.to(dtype))
    assert torch.equal(after, wide_after)


@needs_compiler
def test_auto_takes_the_native_loop_only_where_it_serves() -> None:
    inputs, state = random_inputs(num_tokens=40)
    assert choose_backend(*inputs, state) == "cpu"
    assert choose_backend(*(x.double() for x in (*inputs, state))) == "torch"
    assert choose_backend(*(x[..., :8] for x in inputs)) == "torch"
    assert choose_backend(*(x[:, :1].double() for x in inputs), state.double()) == "reference"
    with_gradient = [inputs[0].requires_grad_(), *inputs[1:]]
    assert choose_backend(*with_gradient, state) == "cpu"
    assert choose_backend(*(x.double() for x in with_gradient), state.double()) == "torch"
    with pytest.raises(ValueError, match="it takes float32 or 16-bit CPU tensors"):
        wkv7(*(x.double() for x in inputs), state.double(), backend="cpu")


@needs_compiler
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("num_threads", [1, 2])
def test_token_shift_and_squared_relu(num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    h, shift, mixes = torch.randn(3, 130, 96), torch.randn(3, 96), torch.rand(2, 96)
    previous = torch.cat((shift[:, None], h[:, :-1]), 1)
    for mixed, mix in zip(token_shift(h, shift, list(mixes)), mixes, strict=True):
        torch.testing.assert_close(mixed, h + (previous - h) * mix)
    wanted = torch.relu(h).square()
    found = squared_relu(h)
    assert torch.equal(found, wanted)
    assert found is h  # in place: the native loop served


@needs_compiler
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("head_size", [16, 64])
def test_time_mix(head_size: int, num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    exact_network = RWKV7(NetworkShape(50, 192, head_size, (LayerShape(16, 16, 16, 16, 256),) * 2)).double()
    for parameter in exact_network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network = copy.deepcopy(exact_network).float()
    ids, more = torch.randint(50, (3, 130)).split((129, 1), 1)
    with torch.no_grad():
        exact, exact_state = exact_network(ids, backend="reference")
        found, state = network(ids)
        for values, wanted in zip((found, *state), (exact, *exact_state), strict=True):
            assert relative_error(values, wanted) <= 2 * TOLERANCE  # of two layers' products, too
        exact, _ = exact_network(more, exact_state, backend="reference")
        assert relative_error(network(more, state)[0], exact) <= 2 * TOLERANCE
    with_gradient, _ = network(ids)  # all but the recurrence through torch
    assert relative_error(with_gradient.detach(), found.double()) <= 2 * TOLERANCE
    with_gradient.sum().backward()
    assert all(
        x.grad is not None for name, x in network.named_parameters() if name.startswith("blocks.1.att")
    )


def test_gradients_flow_through_the_torch_twins() -> None:
    h = torch.randn(1, 5, 16, dtype=torch.float64, requires_grad=True)
    shift, mix = torch.randn(1, 16, dtype=torch.float64), torch.rand(16, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: squared_relu(token_shift(x, shift, [mix])[0]), h)
    single = h.detach().float().requires_grad_()
    squared_relu(token_shift(single, shift.float(), [mix.float()])[0]).sum().backward()
    assert single.grad is not None


def run_python(code: str, **environment: str) -> str:
    """The output of a fresh interpreter that finds this checkout's packages."""
    known = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=known,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


STATUS = """
import torch
from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from evalkit_kernels import native_calls, wkv7
x = torch.full((1, 40, 2, 16), 0.1)
y, state = wkv7(x, -x, x, x, -x, x)
exact, _ = wkv7(*(part.double() for part in (x, -x, x, x, -x, x)), backend="reference")
assert ((y - exact).norm() / exact.norm()).item() < 1e-6
print(native_calls.status())
"""


def test_without_a_compiler_torch_serves(tmp_path: Path) -> None:
    status = run_python(STATUS, PATH="", HOME=str(tmp_path))
    assert status == "torch: no C compiler found"


def test_a_compiler_that_fails_is_reported(tmp_path: Path) -> None:
    compiler = tmp_path / "broken-cc"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "error: no such option" >&2\nexit 3\n'
    )
    compiler.chmod(0o755)
    status = run_python(STATUS, PATH=os.environ["PATH"], CC=str(compiler), EVALKIT_CACHE=str(tmp_path))
    assert status == "torch: broken-cc failed: error: no such option"
    product = tmp_path / "no-library"
    product.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do [ $# = 0 ] && exit; shift; done\necho no >"$2"\n')
    product.chmod(0o755)
    status = run_python(STATUS, PATH=os.environ["PATH"], CC=str(product), EVALKIT_CACHE=str(tmp_path))
    assert status.startswith("torch: ")


@needs_compiler
def test_two_processes_may_build_at_once(tmp_path: Path) -> None:
    known = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "EVALKIT_CACHE": str(tmp_path / "cache"),
    }
    processes = [
        subprocess.Popen([sys.executable, "-c", STATUS], env=known, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert output.startswith("native (")
    (library,) = (tmp_path / "cache" / "native").iterdir()  # and nothing half done beside it
    before = library.stat().st_mtime_ns
    assert run_python(STATUS, PATH=os.environ["PATH"], EVALKIT_CACHE=str(tmp_path / "cache"))
    assert library.stat().st_mtime_ns == before


@needs_compiler
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    status = run_python(STATUS, PATH=os.environ["PATH"], EVALKIT_CACHE=str(tmp_path / "cache"))
    assert status.startswith("native (")
