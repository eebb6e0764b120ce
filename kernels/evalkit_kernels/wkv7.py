"""WKV-7, the state update of RWKV-7 (arXiv 2503.14456, eq. 14-17; "Goose", x070).

Shape legend: B = batch, T = time, H = heads, N = head size, Q = chunk length, i = value, j = key index.

Per head and token, with a state ``S[i, j]``::

    S_t = S_{t-1} diag(exp(log_decay_t)) + (S_{t-1} a_t) b_t^T + v_t k_t^T
    y_t = S_t r_t

RWKV-7 calls it with ``a = -kk`` and ``b = kk * gate`` for a normalised ``kk``; the transition matrix is
then ``diag(w) - c kk kk^T`` and ``b`` alone carries c. ``b = 2 kk`` gives eigenvalues down to -1
("negative eigenvalues", arXiv 2411.12537); nothing here treats it specially.
"""

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit_kernels import native_calls, wkv7_cpu, wkv7_triton
from evalkit_kernels.linear import is_stacked
from evalkit_kernels.wkv7_chunked import wkv7_chunked

BACKENDS = ("auto", "reference", "torch", "cpu", "triton")


def wkv7(
    r: Tensor,
    log_decay: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    cu_seqlens: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Outputs and final state of the recurrence above, differentiable in every input and the state.

    Args:
        r: receptance, ``[B, T, H, N]``.
        log_decay: ``[B, T, H, N]``, natural logarithm of the decay; in RWKV-7 between -exp(-0.5) and 0.
        k: key, ``[B, T, H, N]``.
        v: value, ``[B, T, H, N]``.
        a: what is read from the old state, ``[B, T, H, N]``.
        b: what is written for it, ``[B, T, H, N]``.
        state: ``[B, H, N_value, N_key]`` before the first token; zeros if None. With ``cu_seqlens`` one
            per sequence, ``[S, H, N_value, N_key]``.
        cu_seqlens: ``[S + 1]``, where packed sequences start and end: with B = 1 the tokens
            ``[cu_seqlens[s], cu_seqlens[s + 1])`` are sequence s, which begins with its own state.
            Sequences may be empty.
        backend: ``reference`` (token by token), ``torch`` (chunks), ``cpu`` (a native loop), ``triton``
            (GPU), ``auto``: see `choose_backend`.

    Returns:
        ``y``, ``[B, T, H, N]`` in ``r``'s dtype, and the states after the last tokens, shaped like
        ``state``, in float32 (float64 where ``r`` is float64).

    Raises:
        ValueError: shapes do not fit, an unknown backend, or one that cannot serve these inputs.
    """
    if any(x.shape != r.shape for x in (log_decay, k, v, a, b)) or r.dim() != 4:
        shapes = ", ".join(str(tuple(x.shape)) for x in (r, log_decay, k, v, a, b))
        raise ValueError(f"r, log_decay, k, v, a, b must all be [B, T, H, N]; got {shapes}")
    num_batch, num_tokens, num_heads, head_size = r.shape
    num_states = num_batch if cu_seqlens is None else max(0, len(cu_seqlens) - 1)
    wide = torch.float64 if r.dtype == torch.float64 else torch.float32
    if state is None:
        state = r.new_zeros(num_states, num_heads, head_size, head_size, dtype=wide)
    elif state.shape != (num_states, num_heads, head_size, head_size):
        raise ValueError(
            f"state must be [{num_states}, H, N, N] = {(num_states, num_heads, head_size, head_size)}; "
            f"got {tuple(state.shape)}"
        )
    inputs = (r, log_decay, k, v, a, b)
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    if any(map(is_stacked, (*inputs, state))):
        if cu_seqlens is not None:
            raise ValueError("packed sequences have no form for torch.func.vmap; give them in rows")
        y, state = _Stacked.apply(backend, *inputs, state)  # type: ignore[no-untyped-call]
        return y, state
    if backend == "auto":
        backend = choose_backend(*inputs, state)
    elif reason := cannot_serve(backend, *inputs, state):
        raise ValueError(f"backend {backend!r} cannot serve: {reason}")
    if backend == "triton":
        return wkv7_triton.wkv7_triton(r, log_decay.float(), k, v, a, b, state.float(), cu_seqlens)
    compute = _COMPUTES[backend]
    state, wide_inputs = state.to(wide), [x.to(wide) for x in inputs]
    if cu_seqlens is None:
        y, state = compute(*wide_inputs, state)
    else:
        lengths = _lengths(cu_seqlens, num_batch, num_tokens)
        y, state = _packed(compute, wide_inputs, state, lengths)
    return y.to(r.dtype), state


class _Stacked(torch.autograd.Function):
    """`wkv7` of several networks at a time, within `torch.func.vmap`: their rows are rows of one batch."""

    @staticmethod
    def forward(backend: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        return wkv7(*tensors, backend=backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        raise NotImplementedError("only within torch.func.vmap, where autograd follows what it calls")

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], backend: str, *tensors: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        num_networks: int = info.batch_size
        rows = [
            (x.expand(num_networks, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1)
            for x, dim in zip(tensors, in_dims[1:], strict=True)
        ]
        y, state = wkv7(*rows, backend=backend)
        apart = (num_networks, rows[0].shape[0] // num_networks)
        return (y.view(*apart, *y.shape[1:]), state.view(*apart, *state.shape[1:])), (0, 0)


def choose_backend(*tensors: Tensor) -> str:
    """The fastest backend that can serve: the inputs ``[B, T, H, N]`` in order, then the state.

    The order of the backends by device, gradient and number of tokens is in ``wkv7_choices.json``, which
    ``evalkit bench kernels --write-choices`` measures and writes. For a device that nobody has measured
    yet it is `_UNMEASURED`.
    """
    num_tokens = tensors[0].shape[1]
    gradient = wkv7_cpu.needs_gradient(*tensors)
    order = _UNMEASURED
    for row in _choices():
        if (row["device"], row["gradient"]) == (tensors[0].device.type, gradient):
            if row["from_tokens"] > max(1, num_tokens):
                break
            order = row["order"]
    return next(name for name in (*order, *_UNMEASURED) if not cannot_serve(name, *tensors))


_UNMEASURED = ("triton", "cpu", "torch", "reference")


@functools.cache
def _choices() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        Path(__file__).with_name("wkv7_choices.json").read_text(encoding="utf-8")
    )["rows"]
    return rows


def cannot_serve(backend: str, *tensors: Tensor) -> str | None:
    """Why a backend cannot serve these tensors, the inputs in order; None where it can."""
    r = tensors[0]
    head_size = r.shape[-1]
    if backend == "triton":
        return wkv7_triton.unavailable(r.device, r.dtype, head_size)
    if backend == "cpu" and not wkv7_cpu.serves(*tensors, head_size=head_size, gradient=True):
        return (
            "it takes float32 or 16-bit CPU tensors, with a head size that is a "
            f"multiple of 16 up to {wkv7_cpu.MAX_HEAD_SIZE}, and needs a C compiler; this is {r.dtype} on "
            f"{r.device}, head size {head_size}, {native_calls.status()}"
        )
    return None


def _lengths(cu_seqlens: Tensor, num_batch: int, num_tokens: int) -> list[int]:
    """Lengths of the packed sequences."""
    bounds = cu_seqlens.tolist()
    lengths = [last - first for first, last in itertools.pairwise(bounds)]
    if num_batch != 1 or bounds[:1] != [0] or bounds[-1] != num_tokens or min(lengths, default=0) < 0:
        raise ValueError(
            f"cu_seqlens must rise from 0 to T = {num_tokens}, with B = 1; got {bounds} with B = {num_batch}"
        )
    return lengths


def _packed(
    compute: Callable[..., tuple[Tensor, Tensor]], inputs: list[Tensor], state: Tensor, lengths: list[int]
) -> tuple[Tensor, Tensor]:
    """Packed sequences as the rows of a padded batch; padding neither decays nor writes."""
    longest = torch.arange(max(lengths, default=0), device=state.device)
    real = longest < torch.tensor(lengths, device=state.device)[:, None]  # [S, T]
    rows = []
    for x in inputs:
        row = x.new_zeros(*real.shape, *x.shape[2:])
        rows.append(row.masked_scatter(real[..., None, None], x[0]))
    y, state = compute(*rows, state)
    return y[real][None], state


def wkv7_reference(
    r: Tensor, log_decay: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The recurrence token by token, as the equations read. Arguments as in `wkv7`, all of one dtype."""
    outputs = []
    for t in range(r.shape[1]):
        read = torch.einsum("bhij,bhj->bhi", state, a[:, t])
        state = (
            state * log_decay[:, t].exp()[:, :, None, :]
            + read[..., None] * b[:, t, :, None, :]
            + v[:, t, :, :, None] * k[:, t, :, None, :]
        )
        outputs.append(torch.einsum("bhij,bhj->bhi", state, r[:, t]))
    return (torch.stack(outputs, 1) if outputs else torch.zeros_like(r)), state


_COMPUTES: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "reference": wkv7_reference,
    "torch": wkv7_chunked,
    "cpu": wkv7_cpu.wkv7_cpu,
}
