"""The native loops of `wkv7_cpu.c`: float32 on CPU, prebuilt or compiled; `wkv7_cpu` has a gradient too.

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels.

Nothing here is needed for a result: every function has a twin in torch that serves where no C compiler is
at hand, where a gradient is wanted, and for other dtypes. `native_calls.status` says which of the two it is.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from evalkit_kernels import native_calls
from evalkit_kernels.linear import is_stacked
from evalkit_kernels.native_calls import INT, POINTER, Operand, available, operands, pointers, rows

MAX_HEAD_SIZE = 128
_PIECE_TOKENS = 16
"""``PIECE_TOKENS``: tokens between the states that the gradient keeps."""

_SIZES = (
    ("num_batch", INT),
    ("num_tokens", INT),
    ("num_heads", INT),
    ("head_size", INT),
    ("next_piece", INT),
)


class _Wkv7(ctypes.Structure):
    """``struct wkv7``."""

    _fields_ = (
        ("inputs", Operand * 6),
        ("state_before", POINTER),
        ("state_after", POINTER),
        ("y", POINTER),
        *_SIZES,
    )


class _Wkv7Backward(ctypes.Structure):
    """``struct wkv7_backward``."""

    _fields_ = (
        ("inputs", Operand * 6),
        ("d_y", Operand),
        ("state_before", POINTER),
        ("d_state_after", POINTER),
        ("d_inputs", POINTER * 6),
        ("d_state_before", POINTER),
        ("scratch", POINTER),
        *_SIZES,
        ("next_scratch", INT),
    )


class _TimeMix(ctypes.Structure):
    """``struct time_mix``."""

    _fields_ = (
        ("inputs", Operand * 8),
        ("parameters", POINTER * 8),
        ("state_before", POINTER),
        ("state_after", POINTER),
        ("out", POINTER),
        *_SIZES,
        ("log_decay_bound", ctypes.c_float),
        ("norm_eps", ctypes.c_float),
    )


class _TokenShift(ctypes.Structure):
    """``struct token_shift``."""

    _fields_ = (
        ("h", POINTER),
        ("shift", POINTER),
        ("mixes", ctypes.POINTER(POINTER)),
        ("outputs", ctypes.POINTER(POINTER)),
        ("num_mixes", INT),
        ("num_batch", INT),
        ("num_tokens", INT),
        ("num_channels", INT),
        ("next_piece", INT),
    )


class _SquaredRelu(ctypes.Structure):
    """``struct squared_relu``."""

    _fields_ = (("data", POINTER), ("size", INT), ("next_piece", INT))


def serves(*tensors: Tensor, head_size: int = 16, gradient: bool = False) -> bool:
    """Whether the native loops can take these tensors: on CPU, of at most float32.

    Args:
        tensors: all that the loop reads.
        head_size: of the state.
        gradient: the loop has a gradient, so that tensors may need one.
    """
    return (
        head_size % 16 == 0
        and 0 < head_size <= MAX_HEAD_SIZE
        and all(
            x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
            for x in tensors
        )
        and (gradient or not needs_gradient(*tensors))
        and not any(map(is_stacked, tensors))
        and available()
    )


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether autograd would record what is done with these."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def wkv7_cpu(
    r: Tensor, log_decay: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The recurrence of `evalkit_kernels.wkv7.wkv7`, token by token, and its gradient.

    Arguments as there, all float32. The gradient computes the states again, so that nothing but the
    arguments is kept for it.
    """
    y, state_after = _Wkv7Cpu.apply(r, log_decay, k, v, a, b, state)  # type: ignore[no-untyped-call]
    return y, state_after


class _Wkv7Cpu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(*tensors)
        *inputs, state = tensors
        return _wkv7_forward([rows(x) for x in inputs], state.contiguous())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_y: Tensor, d_state_after: Tensor) -> tuple[Tensor, ...]:
        *inputs, state = ctx.saved_tensors
        return _wkv7_backward(
            [rows(x) for x in inputs], state.contiguous(), rows(d_y), d_state_after.contiguous()
        )


def _wkv7_forward(inputs: Sequence[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    r = inputs[0]
    y = torch.empty(r.shape)
    state_after = torch.empty(state.shape)
    arguments = _Wkv7(operands(inputs, 6), state.data_ptr(), state_after.data_ptr(), y.data_ptr(), *r.shape)
    native_calls.run("evalkit_wkv7", r.numel(), arguments)
    return y, state_after


def _wkv7_backward(
    inputs: Sequence[Tensor], state: Tensor, d_y: Tensor, d_state_after: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the six inputs and of the state."""
    r = inputs[0]
    d_inputs = [torch.empty(r.shape) for _ in inputs]
    d_state = torch.empty(state.shape)
    num_tokens, head_size = r.shape[1], r.shape[3]
    num_states = -(-num_tokens // _PIECE_TOKENS) + _PIECE_TOKENS + 2
    scratch = torch.empty(torch.get_num_threads(), num_states * head_size**2 + (num_tokens + 1) * head_size)
    arguments = _Wkv7Backward(
        operands(inputs, 6),
        operands([d_y], 1)[0],
        state.data_ptr(),
        d_state_after.data_ptr(),
        pointers(d_inputs, 6),
        d_state.data_ptr(),
        scratch.data_ptr(),
        *r.shape,
    )
    native_calls.run("evalkit_wkv7_backward", r.numel(), arguments)
    return (*d_inputs, d_state)


def time_mix_cpu(
    r: Tensor,
    decay_logit: Tensor,
    k: Tensor,
    v: Tensor,
    rate_logit: Tensor,
    gate: Tensor,
    residual: tuple[Tensor, Tensor] | None,
    parameters: Sequence[Tensor],
    state: Tensor,
    *,
    log_decay_bound: float,
    norm_eps: float,
) -> tuple[Tensor, Tensor]:
    """RWKV-7's time mix between its matrix products; the equations stand in `wkv7_cpu.c`.

    Args:
        r: receptance, ``[B, T, C]`` float32, as all the following.
        decay_logit: without its offset w0.
        k: key, before the learning rate touches it.
        v: value, of this layer.
        rate_logit: of the in-context learning rate, without its offset a0.
        gate: factor on the output.
        residual: logit without its offset v0 and the first layer's values; None in the first layer.
        parameters: w0, a0, k_k, k_a, r_k, group norm's weight and bias, and v0 unless ``residual`` is
            None; C elements each.
        state: ``[B, H, N_value, N_key]``, float32.
        log_decay_bound: the log decay where its logit is infinite.
        norm_eps: of the group norm.

    Returns:
        The input of the output projection, ``[B, T, C]``, and the new state.
    """
    num_batch, num_tokens, _ = r.shape
    num_heads, head_size = state.shape[1:3]
    inputs = [r, decay_logit, k, v, rate_logit, gate, *(residual or ())]
    inputs = [rows(x.view(num_batch, num_tokens, num_heads, head_size)) for x in inputs]
    parameters = [x.contiguous() for x in parameters]
    state = state.contiguous()
    out = torch.empty(r.shape)
    state_after = torch.empty(state.shape)
    arguments = _TimeMix(
        operands(inputs, 8),
        pointers(parameters, 8),
        state.data_ptr(),
        state_after.data_ptr(),
        out.data_ptr(),
        num_batch,
        num_tokens,
        num_heads,
        head_size,
        log_decay_bound=log_decay_bound,
        norm_eps=norm_eps,
    )
    native_calls.run("evalkit_time_mix", r.numel(), arguments)
    return out, state_after


def token_shift(h: Tensor, shift: Tensor, mixes: Sequence[Tensor]) -> list[Tensor]:
    """``h + (previous - h) * mix`` per mix, where ``previous`` is ``h`` one token earlier.

    Args:
        h: ``[B, T, C]``, T at least 1.
        shift: what comes before the first token, ``[B, C]``.
        mixes: C elements each, of a shape that broadcasts against ``h``.

    Returns:
        ``[B, T, C]`` per mix.
    """
    if not _serves_float32(h, shift, *mixes):
        delta = torch.cat((shift[:, None], h[:, :-1]), 1) - h
        return [torch.addcmul(h, delta, mix) for mix in mixes]
    h, shift = h.contiguous(), shift.contiguous()
    mixes = [mix.contiguous() for mix in mixes]
    outputs = [torch.empty(h.shape) for _ in mixes]
    arguments = _TokenShift(
        h.data_ptr(),
        shift.data_ptr(),
        pointers(mixes, len(mixes)),
        pointers(outputs, len(mixes)),
        len(mixes),
        *h.shape,
    )
    native_calls.run("evalkit_token_shift", h.numel(), arguments)
    return outputs


def squared_relu(x: Tensor) -> Tensor:
    """``relu(x) ** 2``; overwrites ``x`` where the native loop serves, so give it what nobody else reads."""
    if not (_serves_float32(x) and x.is_contiguous()):
        return torch.relu(x).square()
    native_calls.run("evalkit_squared_relu", x.numel(), _SquaredRelu(x.data_ptr(), x.numel()))
    return x


def _serves_float32(*tensors: Tensor) -> bool:
    return all(x.dtype == torch.float32 for x in tensors) and serves(*tensors)
