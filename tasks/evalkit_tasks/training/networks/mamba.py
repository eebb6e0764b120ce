"""Mamba-1, -2 and -3: selective state spaces.

Shape legend: B = batch, T = time, H = heads, M = head size of the values, N = state size, C = channels,
E = 2 C inner channels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_tasks.training.networks.linear import scalar_decay_attention
from evalkit_tasks.training.networks.parts import Mixer, ShortConvolution, State, step_bias

_NORM_EPS = 1e-5
_SMALLEST_RATE = 1e-4


def diagonal_scan(decay: Tensor, update: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """``h_t = decay_t h_{t-1} + update_t`` element by element, in about log2 T parallel passes.

    Of two pieces of a sequence one after the other, decays multiply and ``h`` adds up as in one step, so that
    pieces are joined pairwise, each twice as long as those before.

    Args:
        decay: ``[B, T, ...]``.
        update: of the same shape.
        state: ``[B, ...]`` before the first token.

    Returns:
        ``h`` of every token, and the last.
    """
    update = torch.cat((update[:, :1] + decay[:, :1] * state[:, None], update[:, 1:]), 1)
    reach = 1
    while reach < update.shape[1]:
        update = torch.cat((update[:, :reach], update[:, reach:] + decay[:, reach:] * update[:, :-reach]), 1)
        decay = torch.cat((decay[:, :reach], decay[:, reach:] * decay[:, :-reach]), 1)
        reach *= 2
    return update, update[:, -1]


def selective_scan(
    values: Tensor, step: Tensor, rates: Tensor, keys: Tensor, queries: Tensor, state: Tensor, *, signed: bool
) -> tuple[Tensor, Tensor]:
    """The recurrence of `Mamba1` by `diagonal_scan`, for devices that do much at once.

    Args:
        values: ``[B, T, E]``.
        step: ``[B, T, E]``.
        rates: ``[E, N]``, more than 0.
        keys: ``[B, T, N]``.
        queries: ``[B, T, N]``.
        state: ``[B, E, N]`` before the first token.
        signed: see `Mamba1`.

    Returns:
        ``y`` ``[B, T, E]`` and the state after the last token.
    """
    decay = torch.exp(-step[..., None] * rates)
    if signed:
        decay = 2 * decay - 1
    states, state = diagonal_scan(decay, (step * values)[..., None] * keys[:, :, None], state)
    return (states @ queries[..., None])[..., 0], state


def selective_scan_reference(
    values: Tensor, step: Tensor, rates: Tensor, keys: Tensor, queries: Tensor, state: Tensor, *, signed: bool
) -> tuple[Tensor, Tensor]:
    """The same as `selective_scan` token by token, which on a CPU is faster: a state stays in its cache."""
    outputs = []
    updates = step * values
    for t in range(values.shape[1]):
        decay = torch.exp(-step[:, t, :, None] * rates)
        if signed:
            decay = 2 * decay - 1
        state = torch.addcmul(updates[:, t, :, None] * keys[:, t, None], decay, state)
        outputs.append((state @ queries[:, t, :, None])[..., 0])
    return torch.stack(outputs, 1), state


class Mamba1(Mixer):
    """Mamba (arXiv 2312.00752): a decay for every channel and state, ``exp(dt A)``, with dt of the token.

    ``h_t = exp(dt A) h_{t-1} + dt x B``, ``y_t = h_t C + D x``, as in the authors' layer and transformers',
    with their initial values. With ``signed`` the decay is ``2 exp(dt A) - 1`` in (-1, 1) (arXiv 2411.12537).

    Args:
        width: C; inside, twice that.
        state_size: N.
        signed: see above.
    """

    def __init__(self, width: int, state_size: int, *, signed: bool) -> None:
        super().__init__()
        inner, rank = 2 * width, math.ceil(width / 16)
        self.sizes, self.signed = (rank, state_size, state_size), signed
        self.input = nn.Linear(width, 2 * inner, bias=False)
        self.convolution = ShortConvolution(inner)
        self.selection = nn.Linear(inner, sum(self.sizes), bias=False)
        self.step = nn.Linear(rank, inner)
        self.log_rate = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.output = nn.Linear(inner, width, bias=False)
        with torch.no_grad():
            self.step.weight.uniform_(-(rank**-0.5), rank**-0.5)
            self.step.bias.copy_(step_bias(inner))

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        seen, memory = (None, None) if state is None else state
        values, gate = self.input(x).chunk(2, -1)
        values, seen = self.convolution(values, seen)
        step_input, keys, queries = self.selection(values).split(self.sizes, -1)
        step = F.softplus(self.step(step_input))
        if memory is None:
            memory = x.new_zeros(x.shape[0], *self.log_rate.shape)
        scan = selective_scan if x.is_cuda else selective_scan_reference
        y, memory = scan(values, step, self.log_rate.exp(), keys, queries, memory, signed=self.signed)
        y = y + self.skip * values
        return self.output(y * F.silu(gate)), (seen, memory)


class Mamba2(Mixer):
    """Mamba-2 (arXiv 2405.21060): a scalar decay per head and token, keys and queries shared by the heads.

    Args:
        width: C; inside, twice that.
        head_size: of the values, M.
        state_size: of keys and queries, N.
        signed: whether the decay is ``2 exp(dt A) - 1`` in (-1, 1) (arXiv 2411.12537) in place of
            ``exp(dt A)`` in (0, 1).
    """

    def __init__(self, width: int, head_size: int, state_size: int, *, signed: bool) -> None:
        super().__init__()
        inner = 2 * width
        self.head_size, self.signed, self.num_heads = head_size, signed, inner // head_size
        self.sizes = (inner, inner + 2 * state_size, self.num_heads)
        self.input = nn.Linear(width, sum(self.sizes), bias=False)
        self.convolution = ShortConvolution(inner + 2 * state_size)
        # Initial values as in the authors' code: A uniform in [1, 16], dt log-uniform in [0.001, 0.1].
        self.log_rate = nn.Parameter(torch.empty(self.num_heads).uniform_(1, 16).log())
        self.step_bias = nn.Parameter(step_bias(self.num_heads))
        self.skip = nn.Parameter(torch.ones(self.num_heads))
        self.norm = nn.RMSNorm(inner)
        self.output = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        seen, memory = (None, None) if state is None else state
        gate, xbc, step_logit = self.input(x).split(self.sizes, -1)
        xbc, seen = self.convolution(xbc, seen)
        inner, state_size = gate.shape[-1], (xbc.shape[-1] - gate.shape[-1]) // 2
        values, keys, queries = xbc.split((inner, state_size, state_size), -1)
        values = values.reshape(*x.shape[:2], self.num_heads, self.head_size)
        shared = (*x.shape[:2], self.num_heads, state_size)
        step = F.softplus(step_logit + self.step_bias)
        decay = torch.exp(-step * self.log_rate.exp())
        if self.signed:
            decay = 2 * decay - 1
        y, memory = scalar_decay_attention(
            queries[:, :, None].expand(shared),
            keys[:, :, None].expand(shared),
            values * step[..., None],
            decay,
            memory,
        )
        y = (y + self.skip[:, None] * values).reshape(gate.shape)
        return self.output(self.norm(y * F.silu(gate))), (seen, memory)


class Mamba3(Mixer):
    """Mamba-3 (arXiv 2603.15569) with one input and output per head ("SISO").

    A state is rotated, pair by pair, by angles of the token (complex eigenvalues; no eigenvalue is a negative
    real one but by a turn of pi), and an input enters half at its own token and half at the next
    (the exponential-trapezoidal rule)::

        S_t = alpha_t S_{t-1} + (1 - lambda_t) dt_t alpha_t x_{t-1} k_{t-1}^T + lambda_t dt_t x_t k_t^T
        y_t = S_t q_t + D x_t           alpha_t = exp(dt_t A_t), A_t = -softplus(a_t)

    where the queries q and keys k of all heads, after RMSNorm and with a bias per head, are turned by the
    sum of ``dt_t pi tanh(angle)`` up to their token. The gate is SiLU on the output; as in the paper there
    is no convolution. As in the authors' layer with ``rope_fraction`` 1 all pairs are turned.

    Args:
        width: C; inside, twice that.
        head_size: M.
        state_size: N, even.
    """

    def __init__(self, width: int, head_size: int, state_size: int) -> None:
        super().__init__()
        inner = 2 * width
        self.head_size, self.num_heads, self.state_size = head_size, inner // head_size, state_size
        heads = self.num_heads
        self.sizes = (inner, inner, state_size, state_size, heads, heads, heads, state_size // 2)
        self.input = nn.Linear(width, sum(self.sizes), bias=False)
        self.step_bias = nn.Parameter(step_bias(heads))
        self.key_bias = nn.Parameter(torch.ones(heads, state_size))
        self.query_bias = nn.Parameter(torch.ones(heads, state_size))
        self.key_norm = nn.RMSNorm(state_size, eps=_NORM_EPS)
        self.query_norm = nn.RMSNorm(state_size, eps=_NORM_EPS)
        self.skip = nn.Parameter(torch.ones(heads))
        self.output = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        gate, values, keys, queries, step_logit, rate_logit, share_logit, angles = self.input(x).split(
            self.sizes, -1
        )
        values = values.reshape(*x.shape[:2], self.num_heads, self.head_size)
        step = F.softplus(step_logit + self.step_bias)
        rate = F.softplus(rate_logit).clamp_min(_SMALLEST_RATE)
        share = torch.sigmoid(share_logit)
        turned, memory, last_key, last_value = (None, None, None, None) if state is None else state
        turns = (step[..., None] * (math.pi * torch.tanh(angles))[:, :, None]).cumsum(1)
        if turned is not None:
            turns = turns + turned[:, None]
        keys = turn(self.key_norm(keys)[:, :, None] + self.key_bias, turns)
        queries = turn(self.query_norm(queries)[:, :, None] + self.query_bias, turns)
        if last_key is None or last_value is None:
            last_key, last_value = torch.zeros_like(keys[:, 0]), torch.zeros_like(values[:, 0])
        y, memory = trapezoidal_attention(
            queries, keys, values, -rate * step, step, share, (memory, last_key, last_value)
        )
        y = (y + self.skip[:, None] * values).reshape(gate.shape)
        return self.output(y * F.silu(gate)), (turns[:, -1], memory, keys[:, -1], values[:, -1])


def trapezoidal_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    step: Tensor,
    share: Tensor,
    state: tuple[Tensor | None, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """The recurrence of `Mamba3` in chunks: one for the keys, and one for the keys a token late.

    Args:
        q: ``[B, T, H, N]``.
        k: ``[B, T, H, N]``.
        v: ``[B, T, H, M]``.
        log_decay: ``[B, T, H]``, at most 0.
        step: ``[B, T, H]``.
        share: ``[B, T, H]``: lambda.
        state: ``[B, H, M, N]``, or None for zeros; the key ``[B, H, N]`` and the value ``[B, H, M]`` before.

    Returns:
        ``y`` ``[B, T, H, M]`` and the matrix after the last token.
    """
    memory, last_key, last_value = state
    decay = log_decay.exp()
    late_keys = torch.cat((last_key[:, None], k[:, :-1]), 1)
    late_values = torch.cat((last_value[:, None], v[:, :-1]), 1)
    now, memory = scalar_decay_attention(q, k, v * (share * step)[..., None], decay, memory)
    weights = ((1 - share) * step * decay)[..., None]
    late, late_memory = scalar_decay_attention(q, late_keys, late_values * weights, decay)
    return now + late, memory + late_memory


def turn(x: Tensor, angles: Tensor) -> Tensor:
    """``[..., N]`` with each pair (2 i, 2 i + 1) turned by ``[..., N / 2]`` radians."""
    even, odd = x[..., ::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
