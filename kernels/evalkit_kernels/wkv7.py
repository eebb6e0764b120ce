"""WKV-7, the state update of RWKV-7 (arXiv 2503.14456, eq. 14-17; "Goose", x070).

Shape legend: B = batch, T = time, H = heads, N = head size, Q = chunk length, i = value, j = key index.

Per head and token, with a state ``S[i, j]``::

    S_t = S_{t-1} diag(exp(log_decay_t)) + (S_{t-1} a_t) b_t^T + v_t k_t^T
    y_t = S_t r_t

RWKV-7 calls it with ``a = -kk`` and ``b = kk * gate`` for a normalised ``kk``; the transition matrix is
then ``diag(w) - c kk kk^T`` and ``b`` alone carries c. ``b = 2 kk`` gives eigenvalues down to -1
("negative eigenvalues", arXiv 2411.12537); nothing here treats it specially.
"""

import torch
from torch import Tensor

from evalkit_kernels import wkv7_cpu

BACKENDS = ("auto", "reference", "torch", "cpu")

CHUNK_TOKENS = 32
"""Fastest of 16, 32 and 64 on CPU. The centred exponents reach exp(0.6065 * 17) = 3e4 there."""


def wkv7(
    r: Tensor,
    log_decay: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Outputs and final state of the recurrence above.

    Args:
        r: receptance, ``[B, T, H, N]``.
        log_decay: ``[B, T, H, N]``, natural logarithm of the decay; in RWKV-7 between -exp(-0.5) and 0.
        k: key, ``[B, T, H, N]``.
        v: value, ``[B, T, H, N]``.
        a: what is read from the old state, ``[B, T, H, N]``.
        b: what is written for it, ``[B, T, H, N]``.
        state: ``[B, H, N_value, N_key]`` before the first token; zeros if None.
        backend: ``reference`` (token by token), ``torch`` (chunks), ``cpu`` (a native loop for float32
            and 16-bit inputs, without gradients), ``auto``: the fastest of those that can serve.

    Returns:
        ``y``, ``[B, T, H, N]`` in ``r``'s dtype, and the state after the last token,
        ``[B, H, N_value, N_key]`` in float32 (float64 where ``r`` is float64).

    Raises:
        ValueError: shapes do not fit, an unknown backend, or ``cpu`` where it cannot serve.
    """
    if any(x.shape != r.shape for x in (log_decay, k, v, a, b)) or r.dim() != 4:
        shapes = ", ".join(str(tuple(x.shape)) for x in (r, log_decay, k, v, a, b))
        raise ValueError(f"r, log_decay, k, v, a, b must all be [B, T, H, N]; got {shapes}")
    num_batch, _, num_heads, head_size = r.shape
    wide = torch.float64 if r.dtype == torch.float64 else torch.float32
    if state is None:
        state = r.new_zeros(num_batch, num_heads, head_size, head_size, dtype=wide)
    elif state.shape != (num_batch, num_heads, head_size, head_size):
        raise ValueError(
            f"state must be [B, H, N, N] = {(num_batch, num_heads, head_size, head_size)}; "
            f"got {tuple(state.shape)}"
        )
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    if backend == "auto":
        if wkv7_cpu.serves(r, log_decay, k, v, a, b, state, head_size=head_size):
            backend = "cpu"
        else:
            backend = "reference" if r.shape[1] == 1 else "torch"
    elif backend == "cpu" and not wkv7_cpu.serves(r, log_decay, k, v, a, b, state, head_size=head_size):
        raise ValueError(
            "backend 'cpu' takes float32 or 16-bit CPU tensors that need no gradient, with a head size that "
            f"is a multiple of 16 up to {wkv7_cpu.MAX_HEAD_SIZE}, and a C compiler; this is {r.dtype} on "
            f"{r.device}, head size {head_size}, {wkv7_cpu.status()}"
        )
    compute = {"reference": wkv7_reference, "torch": _wkv7_chunked, "cpu": wkv7_cpu.wkv7_cpu}[backend]
    y, state = compute(*(x.to(wide) for x in (r, log_decay, k, v, a, b)), state.to(wide))
    return y.to(r.dtype), state


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


def _wkv7_chunked(
    r: Tensor, log_decay: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The same in chunks of Q tokens: everything inside a chunk is a matrix product.

    With L_t the decay's running sum inside the chunk and m its value at the middle (so that no exponent
    exceeds half a chunk's decay), u_t = S_{t-1} a_t solves a unit lower triangular system per chunk.
    Only what touches the state runs chunk after chunk; all else runs for all chunks at once.
    """
    num_batch, num_tokens, num_heads, head_size = r.shape
    num_chunks = -(-num_tokens // CHUNK_TOKENS)
    padding = num_chunks * CHUNK_TOKENS - num_tokens

    def chunks(x: Tensor) -> Tensor:
        # Padded tokens neither decay nor write: log_decay = k = v = b = 0.
        x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, padding))
        x = x.view(num_batch, num_chunks, CHUNK_TOKENS, num_heads, head_size)
        return x.permute(1, 0, 3, 2, 4).contiguous()  # [num_chunks, B, H, Q, N]

    r, log_decay, k, v, a, b = map(chunks, (r, log_decay, k, v, a, b))
    decay_sum = log_decay.cumsum(-2)
    middle = decay_sum[..., CHUNK_TOKENS // 2 - 1 : CHUNK_TOKENS // 2, :]
    grow, shrink = (decay_sum - middle).exp(), (middle - decay_sum).exp()
    r = r * grow
    a = a * (decay_sum - log_decay - middle).exp()
    k = k * shrink
    b = b * shrink
    into_frame = middle.exp()
    out_of_frame = (decay_sum[..., -1:, :] - middle).exp()

    a_b = (a @ b.mT).tril(-1)
    a_k_v = (a @ k.mT).tril(-1) @ v
    r_b = (r @ b.mT).tril()
    r_k_v = (r @ k.mT).tril() @ v
    identity = torch.eye(CHUNK_TOKENS, dtype=r.dtype, device=r.device)
    # U = (I - a_b)^-1 (a_k_v + a S^T): solved once for both right-hand sides, applied to S in the loop.
    solved = torch.linalg.solve_triangular(
        identity - a_b, torch.cat((a_k_v, a), -1), upper=False, unitriangular=True
    )
    u_fixed, u_state = solved.split(head_size, -1)
    y_fixed = r_k_v + r_b @ u_fixed
    y_state = r + r_b @ u_state

    outputs = []
    for c in range(num_chunks):
        framed = state * into_frame[c]
        u = u_fixed[c] + u_state[c] @ framed.mT
        outputs.append(y_fixed[c] + y_state[c] @ framed.mT)
        state = (framed + v[c].mT @ k[c] + u.mT @ b[c]) * out_of_frame[c]
    y = torch.stack(outputs) if outputs else torch.zeros_like(r)
    y = y.permute(1, 0, 3, 2, 4).reshape(num_batch, num_chunks * CHUNK_TOKENS, num_heads, head_size)
    return y[:, :num_tokens], state
