"""WKV-7: every backend against the recurrence in float64."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit_kernels import native_calls, wkv7

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def random_inputs(
    *,
    num_batch: int = 2,
    num_tokens: int = 50,
    num_heads: int = 3,
    head_size: int = 32,
    decay: str = "mixed",
    repeat_key: bool = False,
    remove: bool = True,
    factor: float = 1.0,
    seed: int = 0,
) -> Inputs:
    """float64 inputs of the sizes that RWKV-7 makes; ``factor`` is c of diag(w) - c kk kk^T."""
    torch.manual_seed(seed)
    shape = (num_batch, num_tokens, num_heads, head_size)
    r, k, v, direction, gate, logit = torch.randn(6, *shape, dtype=torch.float64)
    bound = -math.exp(-0.5)
    log_decay = {
        "mixed": bound * torch.sigmoid(3 * logit),
        "fastest": torch.full(shape, bound, dtype=torch.float64),
        "none": torch.zeros(shape, dtype=torch.float64),
    }[decay]
    if repeat_key:
        direction = direction[:, :1].expand(shape)
    kk = F.normalize(direction, dim=-1)
    rate = factor * (torch.ones_like(gate) if repeat_key else torch.sigmoid(gate))
    return r, log_decay, 0.3 * k, v, -kk if remove else torch.zeros_like(kk), kk * rate


def relative_error(value: Tensor, exact: Tensor) -> float:
    size = exact.norm().item() or 1.0  # where nothing is removed, b has no gradient at all
    return (value.double() - exact).norm().item() / size


CASES = {
    "usual": {},
    "fastest decay": {"decay": "fastest", "num_tokens": 200},
    "no decay": {"decay": "none"},
    "nothing removed (a = 0)": {"remove": False},
    "one key repeated": {"repeat_key": True},
    "negative eigenvalues": {"factor": 2.0},
    "one key repeated, c = 2": {"repeat_key": True, "factor": 2.0, "decay": "none"},
    "1 token": {"num_tokens": 1},
    "15 tokens": {"num_tokens": 15},
    "16 tokens": {"num_tokens": 16},
    "17 tokens": {"num_tokens": 17},
    "1000 tokens": {"num_tokens": 1000, "num_batch": 1, "num_heads": 1},
    "96 heads": {"num_batch": 8, "num_heads": 12, "head_size": 16},
    "head size 64": {"head_size": 64},
    "head size 128": {"head_size": 128, "num_heads": 1},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("with_state", [False, True])
def test_chunks_give_what_the_recurrence_gives(case: str, with_state: bool) -> None:
    inputs = random_inputs(**CASES[case])  # type: ignore[arg-type]
    num_batch, _, num_heads, head_size = inputs[0].shape
    state = (
        torch.randn(num_batch, num_heads, head_size, head_size, dtype=torch.float64) if with_state else None
    )
    y, after = wkv7(*inputs, state, backend="reference")
    exact_y, exact_after = wkv7(*inputs, state, backend="torch")
    assert relative_error(exact_y, y) < 1e-13
    assert relative_error(exact_after, after) < 1e-13
    single = [x.float() for x in inputs]
    single_y, single_after = wkv7(*single, None if state is None else state.float(), backend="torch")
    assert single_after.dtype == torch.float32
    assert relative_error(single_y, y) < 1e-5
    assert relative_error(single_after, after) < 1e-5


def test_the_equations_by_hand() -> None:
    """Two tokens, one head of size 2, worked out with plain numbers."""
    r = torch.tensor([[[[1.0, 2.0]], [[3.0, 1.0]]]], dtype=torch.float64)
    log_decay = torch.log(torch.tensor([[[[0.5, 1.0]], [[0.25, 0.5]]]], dtype=torch.float64))
    k = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]], dtype=torch.float64)
    v = torch.tensor([[[[4.0, 8.0]], [[1.0, -1.0]]]], dtype=torch.float64)
    a = torch.tensor([[[[-1.0, 0.0]], [[-1.0, 0.0]]]], dtype=torch.float64)
    b = torch.tensor([[[[0.5, 0.0]], [[0.5, 0.0]]]], dtype=torch.float64)
    # S1 = v1 k1^T = [[4, 0], [8, 0]]; y1 = S1 r1 = (4, 8).
    # S1 a2 = (-4, -8); S2 = S1 diag(.25, .5) + (S1 a2) b2^T + v2 k2^T
    #   = [[1, 0], [2, 0]] + [[-2, 0], [-4, 0]] + [[0, 2], [0, -2]] = [[-1, 2], [-2, -2]]; y2 = (-1, -8).
    for backend in ("reference", "torch"):
        y, state = wkv7(r, log_decay, k, v, a, b, backend=backend)
        assert torch.allclose(y[0, :, 0], torch.tensor([[4.0, 8.0], [-1.0, -8.0]], dtype=torch.float64))
        assert torch.allclose(state[0, 0], torch.tensor([[-1.0, 2.0], [-2.0, -2.0]], dtype=torch.float64))


@pytest.mark.parametrize("cut", [1, 16, 31, 32, 33, 49])
def test_a_sequence_may_be_cut_anywhere(cut: int) -> None:
    inputs = random_inputs()
    whole, final = wkv7(*inputs, backend="torch")
    first, state = wkv7(*(x[:, :cut] for x in inputs), backend="torch")
    second, state = wkv7(*(x[:, cut:] for x in inputs), state, backend="torch")
    assert torch.allclose(torch.cat((first, second), 1), whole, rtol=0, atol=1e-13)
    assert torch.allclose(state, final, rtol=0, atol=1e-13)


def gradients(
    inputs: Inputs, state: Tensor, dtype: torch.dtype, backend: str, **options: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of all inputs and the state for fixed, unequal weights of the outputs."""
    leaves = [x.to(dtype).requires_grad_() for x in (*inputs, state)]
    y, after = wkv7(*leaves[:6], leaves[6], backend=backend, **options)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    dy = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype)
    dafter = torch.randn(after.shape, generator=generator, dtype=torch.float64).to(after.dtype)
    return torch.autograd.grad([y, after], leaves, [dy, dafter])


@pytest.mark.parametrize("case", [case for case in CASES if case != "1000 tokens"])
def test_gradients_of_all_inputs_are_those_of_the_recurrence(case: str) -> None:
    inputs = random_inputs(**CASES[case])  # type: ignore[arg-type]
    num_batch, _, num_heads, head_size = inputs[0].shape
    state = torch.randn(num_batch, num_heads, head_size, head_size, dtype=torch.float64)
    exact = gradients(inputs, state, torch.float64, "reference")
    for ours, theirs in zip(gradients(inputs, state, torch.float64, "torch"), exact, strict=True):
        assert relative_error(ours, theirs) < 1e-13
    for ours, theirs in zip(gradients(inputs, state, torch.float32, "torch"), exact, strict=True):
        assert relative_error(ours, theirs) < 1e-5


def test_the_backward_pass_does_not_pass_through_the_loop() -> None:
    """One node, not one per chunk: memory is one state per chunk."""
    inputs = [x.requires_grad_() for x in random_inputs(num_tokens=200)]
    y, _ = wkv7(*inputs, backend="torch")
    assert y.grad_fn is not None
    names, nodes = set(), [y.grad_fn]
    while nodes:
        node = nodes.pop()
        names.add(node.name())
        nodes.extend(parent for parent, _ in node.next_functions if parent is not None)
    assert names <= {"_ChunkedBackward", "torch::autograd::AccumulateGrad", "ToCopyBackward0"}


@pytest.mark.parametrize("backend", ["torch", "cpu"])
def test_several_networks_at_a_time_get_what_each_gets_alone(backend: str) -> None:
    """Within `torch.func.vmap`, gradients too; one input and the state are the same for all."""
    if backend == "cpu" and not native_calls.available():
        pytest.skip(native_calls.status())
    networks = [random_inputs(head_size=16, num_tokens=20, seed=seed) for seed in range(3)]
    inputs = [torch.stack(parts).float() for parts in zip(*networks, strict=True)]
    inputs[0] = inputs[0][0].movedim(0, 1)  # of all networks, and later not the first dimension
    state = torch.randn(2, 3, 16, 16)
    tensors = [x.requires_grad_() for x in (*inputs, state)]

    def of_one(r: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        return wkv7(r.movedim(1, 0), *rest, backend=backend)

    together = torch.func.vmap(of_one, in_dims=(None, 0, 0, 0, 0, 0, None))(*tensors)
    alone = [of_one(tensors[0], *(x[row] for x in tensors[1:6]), state) for row in range(3)]
    for ours, theirs in zip(together, zip(*alone, strict=True), strict=True):
        assert relative_error(ours, torch.stack(theirs).double()) < 1e-6
    weights = torch.randn_like(together[0])
    ours = torch.autograd.grad((together[0] * weights).sum() + together[1].sum(), tensors)
    losses = [(y * w).sum() + after.sum() for (y, after), w in zip(alone, weights, strict=True)]
    for gradient, exact in zip(ours, torch.autograd.grad(sum(losses), tensors), strict=True):
        assert relative_error(gradient, exact.double()) < 1e-5


@pytest.mark.parametrize("backend", ["auto", "torch", "reference", "cpu"])
def test_packed_sequences_are_sequences_of_their_own(backend: str) -> None:
    lengths = [5, 0, 33, 1, 16, 0]
    inputs = random_inputs(num_batch=1, num_tokens=sum(lengths))
    state = torch.randn(len(lengths), 3, 32, 32, dtype=torch.float64)
    dtype = torch.float32 if backend == "cpu" else torch.float64
    if backend == "cpu" and not native_calls.available():
        pytest.skip(f"the native loop is not available: {native_calls.status()}")
    cu_seqlens = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])
    y, after = wkv7(*(x.to(dtype) for x in inputs), state.to(dtype), cu_seqlens=cu_seqlens, backend=backend)
    assert y.shape == inputs[0].shape
    for s, length in enumerate(lengths):
        piece = slice(int(cu_seqlens[s]), int(cu_seqlens[s]) + length)
        alone_y, alone_after = wkv7(*(x[:, piece] for x in inputs), state[s : s + 1], backend="reference")
        tolerance = 1e-5 if dtype == torch.float32 else 1e-13
        assert torch.allclose(y[:, piece].double(), alone_y, rtol=tolerance, atol=tolerance)
        assert torch.allclose(after[s].double(), alone_after[0], rtol=tolerance, atol=tolerance)


def test_gradients_of_packed_sequences() -> None:
    inputs = random_inputs(num_batch=1, num_tokens=40)
    state = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    cu_seqlens = torch.tensor([0, 7, 7, 39, 40])
    found = gradients(inputs, state, torch.float64, "torch", cu_seqlens=cu_seqlens)
    exact = gradients(inputs, state, torch.float64, "reference", cu_seqlens=cu_seqlens)
    for ours, theirs in zip(found, exact, strict=True):
        assert relative_error(ours, theirs) < 1e-13


@pytest.mark.parametrize("bounds", [[0, 5], [1, 50], [0, 30, 20, 50], []])
def test_impossible_packings_are_refused(bounds: list[int]) -> None:
    inputs = random_inputs(num_batch=1)
    with pytest.raises(ValueError, match=r"cu_seqlens must rise from 0 to T = 50|state must be"):
        wkv7(*inputs, cu_seqlens=torch.tensor(bounds, dtype=torch.long))
    with pytest.raises(ValueError, match="with B = 2"):
        wkv7(*random_inputs(), cu_seqlens=torch.tensor([0, 50]))


def test_flash_linear_attention_says_the_same() -> None:
    """An independent implementation of the recurrence, in its own layout (state transposed)."""
    inputs = [x.float() for x in random_inputs(num_tokens=64)]
    r, log_decay, k, v, a, b = (x.transpose(1, 2) for x in inputs)
    state = torch.randn(2, 3, 32, 32)
    spec = importlib.util.find_spec("fla")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], "ops/generalized_delta_rule/dplr/naive.py")
    naive_spec = importlib.util.spec_from_file_location("fla_naive", path)
    assert naive_spec is not None
    assert naive_spec.loader is not None
    naive = importlib.util.module_from_spec(naive_spec)
    naive_spec.loader.exec_module(naive)
    y, after = wkv7(*inputs, state)
    for operator in (naive.dplr_recurrence, naive.dplr_chunkwise):
        # It scales by N^-0.5 itself.
        their_y, their_after = operator(r * 32**0.5, k, v, a, b, log_decay, initial_state=state.mT)
        assert relative_error(y, their_y.transpose(1, 2).double()) < 1e-5
        assert relative_error(after, their_after.mT.double()) < 1e-5


def test_sixteen_bit_inputs_keep_a_float32_state() -> None:
    inputs = [x.bfloat16() for x in random_inputs(head_size=64)]
    y, state = wkv7(*inputs)
    exact, _ = wkv7(*(x.double() for x in inputs), backend="reference")
    assert y.dtype == torch.bfloat16
    assert state.dtype == torch.float32
    assert relative_error(y, exact) < 4e-3  # the rounding of y itself: 2^-9 uniform is 1.1e-3 rms


def test_no_tokens_leave_the_state_alone() -> None:
    inputs = [x[:, :0] for x in random_inputs()]
    state = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for backend in ("reference", "torch"):
        y, after = wkv7(*inputs, state, backend=backend)
        assert y.shape == (2, 0, 3, 32)
        assert torch.equal(after, state)


def test_wrong_shapes_and_backends_are_refused() -> None:
    inputs = random_inputs()
    with pytest.raises(ValueError, match=r"must all be \[B, T, H, N\]"):
        wkv7(inputs[0][:, :3], *inputs[1:])
    with pytest.raises(ValueError, match=r"state must be \[2, H, N, N\]"):
        wkv7(*inputs, torch.zeros(2, 3, 32, 16))
    with pytest.raises(ValueError, match="unknown backend 'cuda'"):
        wkv7(*inputs, backend="cuda")
