"""WKV-7 on a GPU: forward and backward in chunks of 16 tokens, or token by token.

Shape legend: B = batch, T = time, H = heads, N = head size, Q = chunk length. The equations stand in
`wkv7_triton_kernels`, which is imported at the first call, so that machines without triton can import this.

The forward pass is `prepare` (all chunks and heads at once: whatever does not touch the state) and `scan`
(the state from chunk to chunk; its value rows are split over programs, since one head alone would occupy
one of 132 multiprocessors), or the one kernel `sequential`. Both keep the state before every chunk where a
gradient is wanted. The backward pass is `prepare` again, `scan_backward` (gradients of those states) and
`gradients` (those of the inputs, all chunks at once).
"""

import dataclasses
import functools
import importlib.util
import os
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.weak import WeakIdKeyDictionary

CHUNK_TOKENS = 16
"""The smallest that a tensor core takes. Work on the state falls with the chunk's length, the triangular
part and the range of the exponents grow with it."""

PRECISIONS = ("ieee", "tf32x3", "tf32")
KERNELS = ("auto", "chunked", "sequential")

_PROGRAMS_WANTED = 264
"""Two for each of an H100's 132 multiprocessors, so that one computes while the other waits."""


def choose(num_sequences: int, num_heads: int, num_tokens: int) -> str:
    """``chunked`` or ``sequential`` for sequences of ``num_tokens`` tokens: computed, not measured.

    For an H100 (132 multiprocessors of four schedulers, 1.755 GHz, 3 TB/s), N = 64 and 16-bit inputs, from
    the instructions of the kernels compiled for it:

    * ``sequential``: a token costs at least some 390 dependent cycles, 220 ns, however few the states; many
      states share the schedulers, 1,600 warp instructions per token and state or 1.75 ns.
    * ``chunked``: ``prepare``, before the scan can begin, costs some 8 µs with its launch; then a chunk of 16
      tokens some 1,000 dependent cycles, 36 ns per token; many states share the memory, 63 N bytes per
      token and state (float32 scratch, written and read) or 1.3 ns.
    """
    num_states = num_sequences * num_heads
    padded = -(-num_tokens // CHUNK_TOKENS) * CHUNK_TOKENS
    sequential_ns = num_tokens * max(220, 1.75 * num_states)
    chunked_ns = 8000 + padded * max(36, 1.3 * num_states)
    return "sequential" if sequential_ns <= chunked_ns else "chunked"


def unavailable(device: torch.device, dtype: torch.dtype = torch.float32, head_size: int = 64) -> str | None:
    """Why `wkv7_triton` cannot run for such inputs, in words; None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"it takes float32, bfloat16 and float16, not {dtype}"
    if head_size not in (16, 32, 64, 128):
        return f"it takes head sizes 16, 32, 64 and 128, not {head_size}"
    if device.type == "cuda":
        if torch.version.hip is not None:
            return "its kernels contain NVIDIA's assembly"
        if torch.cuda.get_device_capability(device) < (8, 0):
            return "it needs tf32 tensor cores: compute capability 8.0 or newer"
        return None
    if device.type == "cpu" and _interpreted():
        return None
    return f"it runs on CUDA devices (on the CPU only where TRITON_INTERPRET=1 is set), not on {device}"


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def wkv7_triton(
    r: Tensor,
    log_decay: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor,
    cu_seqlens: Tensor | None = None,
    *,
    kernel: str = "auto",
    precision: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs and final states of WKV-7; differentiable in the six inputs and the state.

    Args:
        r: receptance, ``[B, T, H, N]``; float32, bfloat16 or float16, N in 16, 32, 64, 128.
        log_decay: ``[B, T, H, N]``, natural logarithm; computed with in float32. The chunked kernels need
            decays whose product over eight tokens float32 can hold (RWKV-7's exceed exp(-5)).
        k: key, ``[B, T, H, N]``.
        v: value, ``[B, T, H, N]``.
        a: what is read from the old state, ``[B, T, H, N]``.
        b: what is written for it, ``[B, T, H, N]``.
        state: ``[B, H, N_value, N_key]`` before the first token, or ``[num_sequences, H, ...]``; used in
            float32.
        cu_seqlens: ``[num_sequences + 1]``, int32 or int64, with B = 1: sequence s has the tokens
            ``cu_seqlens[s]`` to ``cu_seqlens[s + 1]`` and starts from ``state[s]``. It must rise from 0 to
            T. That is checked on the CPU; a tensor on the GPU is trusted, for no call should wait there.
        kernel: ``chunked``, ``sequential``, or ``auto``, see `choose`.
        precision: of the operands of products with the states and of gradients: ``ieee``, ``tf32x3`` (on
            tensor cores, nearly as exact; used for float32 if None) or ``tf32`` (used for 16-bit inputs if
            None: rounds as float16 does, 2^-12 on average). Products inside a chunk are ``tf32x3`` even
            then, sums, decays, the triangular inverse and the states always float32.

    Returns:
        ``y``, ``[B, T, H, N]`` in ``r``'s dtype, and the final states in float32, shaped as ``state``.

    Raises:
        ValueError: shapes do not fit, an unknown kernel or precision, or `unavailable` says why not.
    """
    if r.dim() != 4 or any(x.shape != r.shape for x in (log_decay, k, v, a, b)):
        shapes = ", ".join(str(tuple(x.shape)) for x in (r, log_decay, k, v, a, b))
        raise ValueError(f"r, log_decay, k, v, a, b must all be [B, T, H, N]; got {shapes}")
    if any(x.device != r.device for x in (log_decay, k, v, a, b, state)):
        raise ValueError("r, log_decay, k, v, a, b and state must be on one device")
    num_batch, num_tokens, num_heads, head_size = r.shape
    for dtype in {x.dtype for x in (r, k, v, a, b)}:
        if (reason := unavailable(r.device, dtype, head_size)) is not None:
            raise ValueError(f"the Triton kernels cannot serve: {reason}")
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; known: {', '.join(KERNELS)}")
    if precision is None:
        precision = "tf32x3" if r.dtype == torch.float32 else "tf32"
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if precision == "tf32" and _interpreted():
        precision = "tf32_emulated"
    layout = _layout(num_batch, num_tokens, cu_seqlens, r.device)
    if state.shape != (layout.num_sequences, num_heads, head_size, head_size):
        wanted = (layout.num_sequences, num_heads, head_size, head_size)
        raise ValueError(f"state must be {wanted}; got {tuple(state.shape)}")
    if kernel == "auto":
        mean_tokens = num_batch * num_tokens // max(layout.num_sequences, 1)
        kernel = choose(layout.num_sequences, num_heads, mean_tokens)
    inputs = [x.contiguous() for x in (r, log_decay.float(), k, v, a, b, state.float())]
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        y, final_state = _WKV7.apply(*inputs, layout, kernel, precision)  # type: ignore[no-untyped-call]
    else:
        y, final_state, _ = _forward(inputs, layout, kernel, precision, save=False)
    return y, final_state


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Where sequences and their chunks begin; names as in `wkv7_triton_kernels`, all int64."""

    starts: Tensor
    chunk_starts: Tensor
    chunk_sequence: Tensor
    num_sequences: int
    num_chunks: int  # at least as many as there are


_packed_layouts = WeakIdKeyDictionary()


def _layout(num_batch: int, num_tokens: int, cu_seqlens: Tensor | None, device: torch.device) -> _Layout:
    """The layout, kept for the next layer of a network: it takes a dozen small launches."""
    if cu_seqlens is None:
        return _layout_of_batch(num_batch, num_tokens, device)
    if num_batch != 1 or cu_seqlens.dim() != 1 or len(cu_seqlens) < 1 or cu_seqlens.is_floating_point():
        raise ValueError(
            f"cu_seqlens needs B = 1 and [num_sequences + 1] integers; got B = {num_batch} and "
            f"{tuple(cu_seqlens.shape)} of {cu_seqlens.dtype}"
        )
    if cu_seqlens.is_inference():  # counts no changes, so what is kept could be stale
        return _layout_of_packed(num_tokens, cu_seqlens, device)
    key = (num_tokens, device, cu_seqlens._version)
    kept: tuple[object, _Layout] | None = _packed_layouts.get(cu_seqlens)  # type: ignore[no-untyped-call]
    if kept is None or kept[0] != key:
        kept = key, _layout_of_packed(num_tokens, cu_seqlens, device)
        _packed_layouts[cu_seqlens] = kept
    return kept[1]


@functools.lru_cache(maxsize=16)
def _layout_of_batch(num_batch: int, num_tokens: int, device: torch.device) -> _Layout:
    starts = torch.arange(num_batch + 1, device=device) * num_tokens
    return _with_chunks(starts, num_batch * -(-num_tokens // CHUNK_TOKENS))


def _layout_of_packed(num_tokens: int, cu_seqlens: Tensor, device: torch.device) -> _Layout:
    starts = cu_seqlens.long()
    if starts.device.type == "cpu":
        rising = bool((starts.diff() >= 0).all())
        if not rising or starts[0] != 0 or starts[-1] != num_tokens:
            raise ValueError(f"cu_seqlens must rise from 0 to T = {num_tokens}; got {starts.tolist()}")
    # An upper bound of the chunks: the true number would have to be fetched from the GPU.
    num_chunks = (num_tokens + (CHUNK_TOKENS - 1) * (len(starts) - 1)) // CHUNK_TOKENS
    return _with_chunks(starts.to(device).contiguous(), num_chunks)


def _with_chunks(starts: Tensor, num_chunks: int) -> _Layout:
    chunk_starts = torch.zeros_like(starts)
    chunk_starts[1:] = ((starts.diff() + CHUNK_TOKENS - 1) // CHUNK_TOKENS).cumsum(0)
    chunks = torch.arange(num_chunks, device=starts.device)
    chunk_sequence = torch.searchsorted(chunk_starts[1:].contiguous(), chunks, right=True)
    return _Layout(starts, chunk_starts, chunk_sequence, len(starts) - 1, num_chunks)


def _value_rows(num_states: int, head_size: int, most: int) -> int:
    """The most value rows per program, for they share the key side, that leave `_PROGRAMS_WANTED`."""
    rows = min(head_size, most)
    while rows > 16 and num_states * (head_size // rows) < _PROGRAMS_WANTED:
        rows //= 2
    return rows


def _scan_rows(head_size: int) -> int:
    """As many as four warps hold in registers."""
    return 16 if head_size == 128 else 32


def _inner(precision: str) -> str:
    """Precision of the products inside a chunk: see `wkv7_triton_kernels.prepare`."""
    return "ieee" if precision == "ieee" else "tf32x3"


def _prepare(inputs: list[Tensor], layout: _Layout, precision: str, *, values: bool) -> list[Tensor]:
    """What `prepare` computes, in its order; Uf and Yf only with ``values``. All float32."""
    from evalkit_kernels import wkv7_triton_kernels as kernels

    r, log_decay, k, v, a, b = inputs[:6]
    num_heads, head_size = r.shape[2:]
    shape = (layout.num_chunks, num_heads, CHUNK_TOKENS, head_size)
    shrinks, a_solved, r_solved, *fixed = (
        torch.empty(shape, dtype=torch.float32, device=r.device) for _ in range(5 if values else 3)
    )
    frames = torch.empty((layout.num_chunks, num_heads, 2, head_size), dtype=torch.float32, device=r.device)
    scratch = [shrinks, frames, a_solved, r_solved, *fixed]
    kernels.prepare[(layout.num_chunks * num_heads,)](
        r, log_decay, k, v, a, b,
        *scratch, *([] if values else [a_solved, r_solved]),  # the last two are then not written to
        layout.starts, layout.chunk_starts, layout.chunk_sequence, layout.num_sequences, num_heads,
        N=head_size, Q=CHUNK_TOKENS, VALUES=values, INNER=_inner(precision), PRECISION=precision,
        num_warps=4 if head_size == 128 else 2,
    )  # fmt: skip
    return scratch


def _forward(
    inputs: list[Tensor], layout: _Layout, kernel: str, precision: str, *, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """``y``, the final states and, with ``save``, the states before every chunk, ``[chunks, H, N, N]``."""
    from evalkit_kernels import wkv7_triton_kernels as kernels

    r, log_decay, k, v, a, b, state = inputs
    num_heads, head_size = r.shape[2:]
    y = torch.empty_like(r)
    final_state = torch.empty_like(state)
    chunk_states = state  # never written to without `save`
    if save:
        chunk_states = torch.empty(
            (layout.num_chunks, num_heads, head_size, head_size), dtype=torch.float32, device=r.device
        )
    if layout.num_chunks * num_heads == 0:
        return y, state.clone(), chunk_states
    most = 64 if kernel == "sequential" else _scan_rows(head_size)
    rows = _value_rows(layout.num_sequences * num_heads, head_size, most)
    grid = (layout.num_sequences * num_heads * (head_size // rows),)
    with torch.cuda.device_of(r):  # type: ignore[no-untyped-call]
        if kernel == "sequential":
            kernels.sequential[grid](
                r, log_decay, k, v, a, b,
                state, y, final_state, chunk_states,
                layout.starts, layout.chunk_starts, num_heads,
                N=head_size, Q=CHUNK_TOKENS, BV=rows, SAVE=save,
                num_warps=4,
            )  # fmt: skip
        else:
            kernels.scan[grid](
                k, v, b,
                *_prepare(inputs, layout, precision, values=True),
                state, y, final_state, chunk_states,
                layout.starts, layout.chunk_starts, num_heads,
                N=head_size, Q=CHUNK_TOKENS, BV=rows, SAVE=save, PRECISION=precision,
                num_warps=4, num_stages=2,
            )  # fmt: skip
    return y, final_state, chunk_states


def _backward(
    inputs: list[Tensor],
    chunk_states: Tensor,
    d_y: Tensor,
    d_final_state: Tensor,
    layout: _Layout,
    precision: str,
) -> list[Tensor]:
    """Gradients of the six inputs, each in its dtype, and of the initial states."""
    from evalkit_kernels import wkv7_triton_kernels as kernels

    r, b = inputs[0], inputs[5]
    num_heads, head_size = r.shape[2:]
    d_inputs = [torch.empty_like(x) for x in inputs]
    d_state = torch.empty_like(d_final_state)
    if layout.num_chunks * num_heads == 0:
        return [*d_inputs, d_final_state.clone()]
    d_chunk_states = torch.empty_like(chunk_states)
    rows = _value_rows(layout.num_sequences * num_heads, head_size, _scan_rows(head_size))
    with torch.cuda.device_of(r):  # type: ignore[no-untyped-call]
        kernels.scan_backward[(layout.num_sequences * num_heads * (head_size // rows),)](
            b, *_prepare(inputs, layout, precision, values=False),
            d_y, d_final_state, d_state, d_chunk_states,
            layout.starts, layout.chunk_starts, num_heads,
            N=head_size, Q=CHUNK_TOKENS, BV=rows, PRECISION=precision,
            num_warps=4, num_stages=2,
        )  # fmt: skip
        kernels.gradients[(layout.num_chunks * num_heads,)](
            *inputs, chunk_states, d_chunk_states, d_y, *d_inputs,
            layout.starts, layout.chunk_starts, layout.chunk_sequence, layout.num_sequences, num_heads,
            N=head_size, Q=CHUNK_TOKENS, BV=16, INNER=_inner(precision), PRECISION=precision,
            num_warps=8 if head_size == 128 else 4, num_stages=1,
        )  # fmt: skip
    return [*d_inputs, d_state]


class _WKV7(torch.autograd.Function):
    """Inputs and the state before every chunk are kept, all else is computed again."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        *inputs, ctx.layout, kernel, ctx.precision = arguments
        y, final_state, chunk_states = _forward(inputs, ctx.layout, kernel, ctx.precision, save=True)
        ctx.save_for_backward(*inputs[:6], chunk_states)
        return y, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor, d_final_state: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, chunk_states = ctx.saved_tensors
        d_y, d_final_state = d_y.contiguous(), d_final_state.contiguous()
        found = _backward(inputs, chunk_states, d_y, d_final_state, ctx.layout, ctx.precision)
        return *found, None, None, None
