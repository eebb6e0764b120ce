"""Triton kernels of what surrounds the state update in RWKV-7: token shift, preparation and finish.

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels, R = B T rows (tokens of all
sequences one after another), M = mixes.

In torch these are some thirty element-wise operators, each of which reads and writes ``[B, T, C]``. Here
every tensor is read once and written once. Arithmetic is float32 throughout; only what is stored is
rounded. What passes between the kernels and the state update in 16 bits, its output before the group norm
included, does so in the official CUDA kernel as well. Inference alone: nothing here has a gradient.

The twins in torch, which serve everywhere else, are `evalkit_kernels.wkv7_cpu.token_shift` and ``_mix`` of
`evalkit.models.rwkv7.network.TimeMix`; the equations are also those of `wkv7_cpu.c`.

No program adds to what another one writes, so that the same call gives the same bits. Importing this needs
triton, and ``TRITON_INTERPRET=1`` must be set before that to run on CPU tensors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from evalkit_kernels import wkv7_triton

TILE = 1024
"""Elements of a program: 8 per thread of four warps, so that 16-bit tensors move 16 bytes at a time."""
_TILE_CHANNELS = 256
"""Channels of a token shift's tile, whose other elements are rows: they share the mixes, and most of what
came before is the row above, still in the nearest cache."""
_NUM_WARPS = 4


@triton.jit  # type: ignore[untyped-decorator]
def _token_shift_kernel(
    h: tl.tensor,  # [R, C]
    shift: tl.tensor,  # [B, C]
    mixes: tl.tensor,  # M of [C]
    outputs: tl.tensor,  # M of [R, C]
    num_rows: tl.tensor,
    num_tokens: tl.tensor,
    num_channels: tl.tensor,
    NUM_MIXES: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
) -> None:
    """``outputs[m] = h + (previous - h) mixes[m]``."""
    # Neighbours in memory run side by side.
    num_channel_blocks = tl.cdiv(num_channels, BLOCK_C)
    rows = tl.program_id(0) // num_channel_blocks * BLOCK_R + tl.arange(0, BLOCK_R)
    channels = tl.program_id(0) % num_channel_blocks * BLOCK_C + tl.arange(0, BLOCK_C)
    is_channel = channels < num_channels
    inside = (rows < num_rows)[:, None] & is_channel[None, :]
    # A sequence's first token follows its shift, not the last token of the sequence before it.
    is_first = (rows % num_tokens == 0)[:, None]

    offsets = rows.to(tl.int64)[:, None] * num_channels + channels[None, :]
    shift_offsets = (rows // num_tokens).to(tl.int64)[:, None] * num_channels + channels[None, :]
    now = tl.load(h + offsets, inside, 0.0).to(tl.float32)
    earlier = tl.load(h + offsets - num_channels, inside & (is_first == 0), 0.0).to(tl.float32)
    before = tl.load(shift + shift_offsets, inside & is_first, 0.0).to(tl.float32)
    delta = tl.where(is_first, before, earlier) - now
    for m in tl.static_range(NUM_MIXES):
        mix = tl.load(mixes[m] + channels, is_channel, 0.0).to(tl.float32)
        mixed = now + delta * mix[None, :]
        tl.store(outputs[m] + offsets, mixed.to(outputs[m].dtype.element_ty), inside)


@triton.jit  # type: ignore[untyped-decorator]
def _prepare_kernel(
    decay_logit: tl.tensor,  # [R, H, N], as all tensors that are not parameters
    k: tl.tensor,
    v: tl.tensor,
    rate_logit: tl.tensor,
    residual_logit: tl.tensor,  # this and the next are None in layer 0
    v_first: tl.tensor,
    w0: tl.tensor,  # [H, N], as all parameters
    a0: tl.tensor,
    k_k: tl.tensor,
    k_a: tl.tensor,
    v0: tl.tensor,  # None in layer 0
    log_decay_out: tl.tensor,  # float32
    k_out: tl.tensor,
    v_out: tl.tensor,  # None in layer 0
    a_out: tl.tensor,
    b_out: tl.tensor,
    num_rows: tl.tensor,
    num_heads: tl.tensor,
    log_decay_bound: tl.tensor,
    HAS_RESIDUAL: tl.constexpr,
    BLOCK_R: tl.constexpr,
    N: tl.constexpr,
) -> None:
    """What `wkv7` takes, from what the matrix products give; see `prepare`."""
    rows = tl.program_id(0) // num_heads * BLOCK_R + tl.arange(0, BLOCK_R)
    channels = tl.program_id(0) % num_heads * N + tl.arange(0, N)
    offsets = rows.to(tl.int64)[:, None] * (num_heads * N) + channels[None, :]
    inside = (rows < num_rows)[:, None]

    decay_offset = tl.load(w0 + channels).to(tl.float32)[None, :]
    logit = tl.load(decay_logit + offsets, inside, 0.0).to(tl.float32) + decay_offset
    tl.store(log_decay_out + offsets, log_decay_bound * tl.sigmoid(logit), inside)

    if HAS_RESIDUAL:
        residual_offset = tl.load(v0 + channels).to(tl.float32)[None, :]
        logit = tl.load(residual_logit + offsets, inside, 0.0).to(tl.float32) + residual_offset
        value = tl.load(v + offsets, inside, 0.0).to(tl.float32)
        first_value = tl.load(v_first + offsets, inside, 0.0).to(tl.float32)
        value += (first_value - value) * tl.sigmoid(logit)
        tl.store(v_out + offsets, value.to(v_out.dtype.element_ty), inside)

    rate_offset = tl.load(a0 + channels).to(tl.float32)[None, :]
    rate = tl.sigmoid(tl.load(rate_logit + offsets, inside, 0.0).to(tl.float32) + rate_offset)
    key = tl.load(k + offsets, inside, 0.0).to(tl.float32)
    # The removal key is made of the key before the learning rate touches it.
    removal = key * tl.load(k_k + channels).to(tl.float32)[None, :]
    norm = tl.sqrt(tl.sum(removal * removal, 1))
    removal = removal / tl.maximum(norm, 1e-12)[:, None]
    key *= 1.0 + (rate - 1.0) * tl.load(k_a + channels).to(tl.float32)[None, :]
    tl.store(k_out + offsets, key.to(k_out.dtype.element_ty), inside)
    tl.store(a_out + offsets, (-removal).to(a_out.dtype.element_ty), inside)
    tl.store(b_out + offsets, (removal * rate).to(b_out.dtype.element_ty), inside)


@triton.jit  # type: ignore[untyped-decorator]
def _finish_kernel(
    y: tl.tensor,  # [R, H, N], as all tensors that are not parameters
    r: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    gate: tl.tensor,
    r_k: tl.tensor,  # [H, N], as all parameters
    weight: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    num_rows: tl.tensor,
    num_heads: tl.tensor,
    norm_eps: tl.tensor,
    BLOCK_R: tl.constexpr,
    N: tl.constexpr,
) -> None:
    """``(norm(y) weight + bias + (sum_j r k r_k) v) gate``."""
    rows = tl.program_id(0) // num_heads * BLOCK_R + tl.arange(0, BLOCK_R)
    channels = tl.program_id(0) % num_heads * N + tl.arange(0, N)
    offsets = rows.to(tl.int64)[:, None] * (num_heads * N) + channels[None, :]
    inside = (rows < num_rows)[:, None]

    read = tl.load(y + offsets, inside, 0.0).to(tl.float32)
    # The variance of what is centred: a mean of squares less a squared mean would cancel.
    centred = read - (tl.sum(read, 1) / N)[:, None]
    scale = tl.rsqrt(tl.sum(centred * centred, 1) / N + norm_eps)
    normalised = centred * scale[:, None] * tl.load(weight + channels).to(tl.float32)[None, :]
    normalised += tl.load(bias + channels).to(tl.float32)[None, :]

    receptance = tl.load(r + offsets, inside, 0.0).to(tl.float32)
    key = tl.load(k + offsets, inside, 0.0).to(tl.float32)
    bonus = tl.sum(receptance * key * tl.load(r_k + channels).to(tl.float32)[None, :], 1)
    value = tl.load(v + offsets, inside, 0.0).to(tl.float32)
    factor = tl.load(gate + offsets, inside, 0.0).to(tl.float32)
    result = (normalised + bonus[:, None] * value) * factor
    tl.store(out + offsets, result.to(out.dtype.element_ty), inside)


class Prepared(NamedTuple):
    """The inputs of `wkv7` beside r, ``[B, T, C]`` each."""

    log_decay: Tensor
    """Float32."""
    k: Tensor
    v: Tensor
    a: Tensor
    b: Tensor


def unavailable(device: torch.device, dtype: torch.dtype = torch.float32, head_size: int = 64) -> str | None:
    """Why the kernels cannot run for such inputs, in words; None where they can.

    They run where the state update between them does.
    """
    return wkv7_triton.unavailable(device, dtype, head_size)


def token_shift(h: Tensor, shift: Tensor, mixes: Sequence[Tensor]) -> list[Tensor]:
    """``h + (previous - h) * mix`` per mix, where ``previous`` is ``h`` one token earlier.

    Args:
        h: ``[B, T, C]``, float32 or 16-bit.
        shift: what comes before the first token, ``[B, C]``.
        mixes: C elements each.

    Returns:
        ``[B, T, C]`` per mix, in ``h``'s dtype.
    """
    num_batch, num_tokens, num_channels = h.shape
    num_rows = num_batch * num_tokens
    h, shift = h.contiguous(), shift.contiguous()
    outputs = [torch.empty_like(h) for _ in mixes]
    if not h.numel():
        return outputs
    channels = min(_TILE_CHANNELS, triton.next_power_of_2(num_channels))
    rows = TILE // channels
    grid = (triton.cdiv(num_rows, rows) * triton.cdiv(num_channels, channels),)
    with torch.cuda.device_of(h):  # type: ignore[no-untyped-call]
        _token_shift_kernel[grid](
            h,
            shift,
            tuple(mix.contiguous() for mix in mixes),
            tuple(outputs),
            num_rows,
            num_tokens,
            num_channels,
            NUM_MIXES=len(mixes),
            BLOCK_R=rows,
            BLOCK_C=channels,
            num_warps=_NUM_WARPS,
        )
    return outputs


def prepare(
    decay_logit: Tensor,
    k: Tensor,
    v: Tensor,
    rate_logit: Tensor,
    residual: tuple[Tensor, Tensor] | None,
    parameters: Sequence[Tensor],
    head_size: int,
    log_decay_bound: float,
) -> Prepared:
    """What the state update takes, from what the matrix products give.

    The equations::

        log_decay = log_decay_bound sigmoid(decay_logit + w0)
        rate      = sigmoid(rate_logit + a0)
        v         = v + (v_first - v) sigmoid(residual_logit + v0)      (not in layer 0)
        kk        = k k_k / max(|k k_k|, 1e-12)     (per head)
        k         = k (1 + (rate - 1) k_a)          a = -kk         b = kk rate

    Args:
        decay_logit: ``[B, T, C]``, float32 or 16-bit, as all tensors.
        k: key.
        v: value.
        rate_logit: of the in-context learning rate.
        residual: ``residual_logit`` and ``v_first``; None in layer 0.
        parameters: w0, a0, k_k, k_a, and v0 unless ``residual`` is None; C elements each.
        head_size: N, a power of two from 16 to 128.
        log_decay_bound: the log decay where its logit is infinite.

    Returns:
        All in ``k``'s dtype, but the log decay; ``v`` itself in layer 0.
    """
    num_heads = k.shape[-1] // head_size
    num_rows = k.shape[0] * k.shape[1]
    w0, a0, k_k, k_a, *rest = (x.contiguous() for x in parameters)
    decay_logit, k, v, rate_logit = (x.contiguous() for x in (decay_logit, k, v, rate_logit))
    residual_logit, v_first = (None, None) if residual is None else (x.contiguous() for x in residual)
    log_decay = torch.empty_like(k, dtype=torch.float32)
    k_out, a, b = (torch.empty_like(k) for _ in range(3))
    v_out = None if residual is None else torch.empty_like(v)
    if k.numel():
        rows = TILE // head_size
        with torch.cuda.device_of(k):  # type: ignore[no-untyped-call]
            _prepare_kernel[(triton.cdiv(num_rows, rows) * num_heads,)](
                decay_logit, k, v, rate_logit, residual_logit, v_first,
                w0, a0, k_k, k_a, rest[0] if rest else None,
                log_decay, k_out, v_out, a, b,
                num_rows, num_heads, float(log_decay_bound),
                HAS_RESIDUAL=residual is not None, BLOCK_R=rows, N=head_size,
                num_warps=_NUM_WARPS,
            )  # fmt: skip
    return Prepared(log_decay, k_out, v if v_out is None else v_out, a, b)


def finish(
    y: Tensor,
    r: Tensor,
    k: Tensor,
    v: Tensor,
    gate: Tensor,
    parameters: Sequence[Tensor],
    head_size: int,
    norm_eps: float,
) -> Tensor:
    """``(norm(y) weight + bias + (sum_j r k r_k) v) gate``, norm and sum per head.

    Args:
        y: what the state update gives, ``[B, T, C]``, float32 or 16-bit, as all tensors.
        r: receptance.
        k: key, as `prepare` gives it.
        v: value, as `prepare` gives it.
        gate: factor on the output.
        parameters: r_k, and the group norm's weight and bias; C elements each.
        head_size: N, a power of two from 16 to 128.
        norm_eps: of the group norm.

    Returns:
        ``[B, T, C]`` in ``gate``'s dtype.
    """
    num_heads = gate.shape[-1] // head_size
    num_rows = gate.shape[0] * gate.shape[1]
    inputs = [x.contiguous() for x in (y, r, k, v, gate, *parameters)]
    out = torch.empty_like(inputs[4])
    if out.numel():
        rows = TILE // head_size
        with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
            _finish_kernel[(triton.cdiv(num_rows, rows) * num_heads,)](
                *inputs, out,
                num_rows, num_heads, float(norm_eps),
                BLOCK_R=rows, N=head_size,
                num_warps=_NUM_WARPS,
            )  # fmt: skip
    return out


def time_mix_triton(
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
    """RWKV-7's time mix between its matrix products: `prepare`, the state update, `finish`.

    Arguments and results as of `evalkit_kernels.wkv7_cpu.time_mix_cpu`, in float32 or 16 bits; the state
    and the log decay stay in float32.

    Raises:
        ValueError: `unavailable` says why.
    """
    head_size = state.shape[-1]
    if reason := unavailable(r.device, r.dtype, head_size):
        raise ValueError(f"the Triton kernels cannot serve: {reason}")
    heads = (*r.shape[:2], -1, head_size)
    w0, a0, k_k, k_a, r_k, weight, bias, *v0 = parameters
    prepared = prepare(
        decay_logit, k, v, rate_logit, residual, [w0, a0, k_k, k_a, *v0], head_size, log_decay_bound
    )
    log_decay, k, v, a, b = (x.view(heads) for x in prepared)
    y, state = wkv7_triton.wkv7_triton(r.view(heads), log_decay, k, v, a, b, state)
    finished = finish(y.flatten(2), r, prepared.k, prepared.v, gate, [r_k, weight, bias], head_size, norm_eps)
    return finished, state
