"""WKV-7 in chunks of matrix products, on any device: the ``torch`` backend, forward and backward.

Shape legend: B = batch, T = time, H = heads, N = head size, Q = chunk length, i = value, j = key index.
Tensors of a chunk are ``[num_chunks, B, H, Q, N]``.

With L_t the decay's running sum inside the chunk and m its value in the middle (so that no exponent
exceeds half a chunk's decay), everything is put into the frame of m::

    r' = r e^{L - m}      a' = a e^{L_prev - m}      k' = k e^{m - L}      b' = b e^{m - L}      S' = S0 e^m

``u_t = S_{t-1} a_t`` then solves a unit lower triangular system per chunk, and y and the chunk's last
state are matrix products with it. Only what touches the state runs chunk after chunk.

The backward pass is the transpose of these products, from the states at the chunks' starts; nothing is
divided by the decay, so that it holds at the fastest decay what it holds at the slowest.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_TOKENS = 32
"""Fastest of 16, 32 and 64 on CPU. The centred exponents reach exp(0.6065 * 17) = 3e4 there."""


def wkv7_chunked(
    r: Tensor, log_decay: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs and final state, differentiable in all inputs; arguments as in `evalkit_kernels.wkv7`.

    All tensors are of one dtype, float32 or float64.
    """
    y, after = _Chunked.apply(r, log_decay, k, v, a, b, state)  # type: ignore[no-untyped-call]
    return y, after


class _Chunks(NamedTuple):
    """What of the inputs does not depend on the state, in the frame of the chunk's middle."""

    r: Tensor
    a: Tensor
    k: Tensor
    b: Tensor
    v: Tensor
    a_b: Tensor
    """``tril(a' b'^T, -1)``, ``[num_chunks, B, H, Q, Q]``; likewise the next three."""
    a_k: Tensor
    r_b: Tensor
    r_k: Tensor
    into_frame: Tensor
    """``e^m``, ``[num_chunks, B, H, 1, N]``."""
    out_of_frame: Tensor
    """``e^{L_Q - m}``, ``[num_chunks, B, H, 1, N]``."""


def _to_chunks(x: Tensor, num_chunks: int) -> Tensor:
    """``[B, T, H, N]`` in chunks; padded tokens neither decay nor write (log_decay = k = v = b = 0)."""
    num_batch, num_tokens, num_heads, head_size = x.shape
    x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, num_chunks * CHUNK_TOKENS - num_tokens))
    x = x.view(num_batch, num_chunks, CHUNK_TOKENS, num_heads, head_size)
    return x.permute(1, 0, 3, 2, 4).contiguous()


def _from_chunks(x: Tensor, num_tokens: int) -> Tensor:
    num_chunks, num_batch, num_heads, _, head_size = x.shape
    x = x.permute(1, 0, 3, 2, 4).reshape(num_batch, num_chunks * CHUNK_TOKENS, num_heads, head_size)
    return x[:, :num_tokens]


def _prepare(
    r: Tensor, log_decay: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor
) -> tuple[_Chunks, tuple[Tensor, Tensor, Tensor]]:
    """The chunks, and the factors that framed r, a and (k, b)."""
    num_chunks = -(-r.shape[1] // CHUNK_TOKENS)
    r, log_decay, k, v, a, b = (_to_chunks(x, num_chunks) for x in (r, log_decay, k, v, a, b))
    decay_sum = log_decay.cumsum(-2)
    middle = decay_sum[..., CHUNK_TOKENS // 2 - 1 : CHUNK_TOKENS // 2, :]
    grow = (decay_sum - middle).exp()
    grow_before = (decay_sum - log_decay - middle).exp()
    shrink = (middle - decay_sum).exp()
    r, a, k, b = r * grow, a * grow_before, k * shrink, b * shrink
    chunks = _Chunks(
        r=r,
        a=a,
        k=k,
        b=b,
        v=v,
        a_b=(a @ b.mT).tril(-1),
        a_k=(a @ k.mT).tril(-1),
        r_b=(r @ b.mT).tril(),
        r_k=(r @ k.mT).tril(),
        into_frame=middle.exp(),
        out_of_frame=grow[..., -1:, :],
    )
    return chunks, (grow, grow_before, shrink)


def _solve(a_b: Tensor, right: Tensor) -> Tensor:
    """``(I - a_b)^{-1} right`` by forward substitution, which repeated keys cannot upset."""
    identity = torch.eye(CHUNK_TOKENS, dtype=a_b.dtype, device=a_b.device)
    solved: Tensor = torch.linalg.solve_triangular(identity - a_b, right, upper=False, unitriangular=True)
    return solved


def _forward(chunks: _Chunks, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs by chunk, the states at the chunks' starts ``[num_chunks, B, H, N, N]``, the last state."""
    head_size = state.shape[-1]
    solved = _solve(chunks.a_b, torch.cat((chunks.a_k @ chunks.v, chunks.a), -1))
    u_fixed, u_state = solved.split(head_size, -1)  # type: ignore[no-untyped-call]
    y_fixed = chunks.r_k @ chunks.v + chunks.r_b @ u_fixed
    y_state = chunks.r + chunks.r_b @ u_state
    outputs, starts = [], []
    for c in range(chunks.r.shape[0]):
        starts.append(state)
        framed = state * chunks.into_frame[c]
        u = u_fixed[c] + u_state[c] @ framed.mT
        outputs.append(y_fixed[c] + y_state[c] @ framed.mT)
        state = (framed + chunks.v[c].mT @ chunks.k[c] + u.mT @ chunks.b[c]) * chunks.out_of_frame[c]
    return torch.stack(outputs), torch.stack(starts), state


class _Chunked(torch.autograd.Function):
    """The chunked form with its transpose; saves the inputs and one state per chunk."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        *tokens, state = inputs
        if tokens[0].shape[1] == 0:
            ctx.save_for_backward(*inputs)
            return torch.zeros_like(tokens[0]), state.clone()
        chunks, _ = _prepare(*tokens)
        y, starts, after = _forward(chunks, state)
        ctx.save_for_backward(*tokens, starts, after)
        return _from_chunks(y, tokens[0].shape[1]), after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dafter: Tensor) -> tuple[Tensor, ...]:
        if len(ctx.saved_tensors) == 7:  # no tokens
            *tokens, _ = ctx.saved_tensors
            return (*(torch.zeros_like(x) for x in tokens), dafter)
        *tokens, starts, after = ctx.saved_tensors
        num_tokens = tokens[0].shape[1]
        chunks, (grow, grow_before, shrink) = _prepare(*tokens)
        dy = _to_chunks(dy, chunks.r.shape[0])
        framed = starts * chunks.into_frame
        u = _solve(chunks.a_b, chunks.a_k @ chunks.v + chunks.a @ framed.mT)
        # Transposed substitution: upper triangular, and once for all chunks.
        identity = torch.eye(CHUNK_TOKENS, dtype=u.dtype, device=u.device)
        inverse = _solve(chunks.a_b, identity.expand_as(chunks.a_b))
        dx_fixed = inverse.mT @ (chunks.r_b.mT @ dy)
        dx_state = inverse.mT @ chunks.b
        dstate_fixed = dy.mT @ chunks.r

        dstate = dafter
        dends, dends_framed, dxs = [], [], []
        for c in reversed(range(chunks.r.shape[0])):
            dends.append(dstate)
            dframed = dstate * chunks.out_of_frame[c]
            dx = dx_fixed[c] + dx_state[c] @ dframed.mT
            dstate = (dframed + dx.mT @ chunks.a[c] + dstate_fixed[c]) * chunks.into_frame[c]
            dends_framed.append(dframed)
            dxs.append(dx)
        dend, dframed, dx = (torch.stack(x[::-1]) for x in (dends, dends_framed, dxs))

        da_b, da_k = (dx @ u.mT).tril(-1), (dx @ chunks.v.mT).tril(-1)
        dr_b, dr_k = (dy @ u.mT).tril(), (dy @ chunks.v.mT).tril()
        dv = chunks.r_k.mT @ dy + chunks.a_k.mT @ dx + chunks.k @ dframed.mT
        da = da_b @ chunks.b + da_k @ chunks.k + dx @ framed
        dr = dr_b @ chunks.b + dr_k @ chunks.k + dy @ framed
        db = da_b.mT @ chunks.a + dr_b.mT @ chunks.r + u @ dframed
        dk = da_k.mT @ chunks.a + dr_k.mT @ chunks.r + chunks.v @ dframed

        ends = torch.cat((starts[1:], after[None]))
        ddecay_sum = chunks.r * dr - chunks.k * dk - chunks.b * db
        ddecay_sum[..., -1, :] += (dend * ends).sum(-2)
        ddecay_sum[..., :-1, :] += (chunks.a * da)[..., 1:, :]
        dlog_decay = ddecay_sum.flip(-2).cumsum(-2).flip(-2)
        dtokens = (dr * grow, dlog_decay, dk * shrink, dv, da * grow_before, db * shrink)
        return (*(_from_chunks(x, num_tokens) for x in dtokens), dstate)
