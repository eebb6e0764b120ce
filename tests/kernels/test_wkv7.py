"""WKV-7: every backend against the recurrence in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit_kernels import wkv7

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def random_inputs(
    *,
    num_batch: int = 2,
    num_tokens: int = 50,
    num_heads: int = 3,
    head_size: int = 32,
    decay: str = "mixed",
    repeat_key: bool = False,
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
    return r, log_decay, 0.3 * k, v, -kk, kk * rate


def relative_error(value: Tensor, exact: Tensor) -> float:
    return ((value.double() - exact).norm() / exact.norm()).item()


CASES = {
    "usual": {},
    "fastest decay": {"decay": "fastest", "num_tokens": 200},
    "no decay": {"decay": "none"},
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


def test_gradients_of_all_inputs_are_those_of_the_recurrence() -> None:
    inputs = [x.requires_grad_() for x in random_inputs(num_tokens=37, head_size=16)]
    state = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 37, 3, 16, dtype=torch.float64)
    gradients = []
    for backend in ("reference", "torch"):
        y, after = wkv7(*inputs, state, backend=backend)
        loss = (y * weights).sum() + after.square().sum()
        gradients.append(torch.autograd.grad(loss, [*inputs, state]))
    for ours, exact in zip(gradients[1], gradients[0], strict=True):
        assert relative_error(ours, exact) < 1e-11


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
    with pytest.raises(ValueError, match=r"state must be \[B, H, N, N\]"):
        wkv7(*inputs, torch.zeros(2, 3, 32, 16))
    with pytest.raises(ValueError, match="unknown backend 'cuda'"):
        wkv7(*inputs, backend="cuda")
