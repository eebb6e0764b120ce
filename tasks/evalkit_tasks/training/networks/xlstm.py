"""The layers of xLSTM (arXiv 2405.04517): sLSTM, whose recurrence is nonlinear, and mLSTM, whose is linear.

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels, Q = chunk length.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_tasks.training.networks.linear import CHUNK_TOKENS
from evalkit_tasks.training.networks.parts import Mixer, ShortConvolution, State

_NORM_EPS, _SLSTM_NORM_EPS = 1e-6, 1e-5
_GATE_CAP = 15.0
_LEAST_NORMALIZER = 1e-6

MemoryState = tuple[Tensor, Tensor, Tensor]
"""Of an mLSTM: the memory ``[B, H, N, N_value]``, the normaliser ``[B, H, N]``, the stabiliser ``[B, H]``."""


def mlstm(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_logit: Tensor,
    forget_logit: Tensor,
    state: MemoryState | None = None,
) -> tuple[Tensor, MemoryState]:
    """The mLSTM in chunks of matrix products, stabilised (arXiv 2405.04517, equations 19-27).

    With ``f = sigmoid(forget)`` and ``i = exp(input)``: ``C_t = f C_{t-1} + i k v^T``,
    ``n_t = f n_{t-1} + i k``, ``y_t = C_t^T q / max(|n_t q|, 1)``, where q is divided by the root of N.

    Args:
        q: ``[B, T, H, N]``.
        k: ``[B, T, H, N]``.
        v: ``[B, T, H, N_value]``.
        input_logit: ``[B, T, H]``.
        forget_logit: ``[B, T, H]``.
        state: before the first token, with memory and normaliser times ``exp(-stabiliser)``; zeros if None.

    Returns:
        ``y`` ``[B, T, H, N_value]`` and the state after the last token.
    """
    q, k, v = (x.transpose(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
    log_input, log_keep = input_logit.transpose(1, 2), F.logsigmoid(forget_logit).transpose(1, 2)
    if state is None:
        zeros = k.new_zeros(*k.shape[:2], k.shape[-1])
        state = (zeros[..., None] * v[:, :, :1], zeros, zeros[..., 0])
    memory, normalizer, bound = state
    outputs = []
    for first in range(0, q.shape[2], CHUNK_TOKENS):
        chunk = slice(first, first + CHUNK_TOKENS)
        queries, keys, values = q[:, :, chunk], k[:, :, chunk], v[:, :, chunk]
        keep_sums = log_keep[:, :, chunk].cumsum(-1)
        arrival = log_input[:, :, chunk] - keep_sums
        future = torch.ones(keep_sums.shape[-1], keep_sums.shape[-1], dtype=torch.bool, device=q.device).triu(
            1
        )
        exponents = (keep_sums[..., :, None] + arrival[..., None, :]).masked_fill(future, -math.inf)
        before = keep_sums + bound[..., None]
        bounds = torch.maximum(exponents.amax(-1), before)
        scores = queries @ keys.mT * (exponents - bounds[..., None]).exp()
        carried = (before - bounds).exp()
        numerator = scores @ values + carried[..., None] * (queries @ memory)
        denominator = scores.sum(-1) + carried * (queries @ normalizer[..., None])[..., 0]
        least = (-bounds).exp()
        outputs.append(numerator / (torch.maximum(denominator.abs(), least) + _LEAST_NORMALIZER)[..., None])
        until_end = keep_sums[..., -1:] + arrival
        next_bound = torch.maximum(until_end.amax(-1), before[..., -1])
        weights = (until_end - next_bound[..., None]).exp()[..., None]
        shrink = (before[..., -1] - next_bound).exp()
        memory = shrink[..., None, None] * memory + (keys * weights).mT @ values
        normalizer = shrink[..., None] * normalizer + (keys * weights).sum(-2)
        bound = next_bound
    return torch.cat(outputs, 2).transpose(1, 2), (memory, normalizer, bound)


def mlstm_reference(
    q: Tensor, k: Tensor, v: Tensor, input_logit: Tensor, forget_logit: Tensor, state: MemoryState
) -> tuple[Tensor, MemoryState]:
    """The same as `mlstm`, token by token."""
    memory, normalizer, bound = state
    outputs = []
    for t in range(q.shape[1]):
        log_keep = F.logsigmoid(forget_logit[:, t]) + bound
        bound = torch.maximum(log_keep, input_logit[:, t])
        keep, write = (log_keep - bound).exp(), (input_logit[:, t] - bound).exp()
        memory = (
            keep[..., None, None] * memory + write[..., None, None] * k[:, t, :, :, None] * v[:, t, :, None]
        )
        normalizer = keep[..., None] * normalizer + write[..., None] * k[:, t]
        query = q[:, t] * q.shape[-1] ** -0.5
        denominator = torch.maximum((query * normalizer).sum(-1).abs(), (-bound).exp()) + _LEAST_NORMALIZER
        outputs.append((query[..., None, :] @ memory)[..., 0, :] / denominator[..., None])
    return torch.stack(outputs, 1), (memory, normalizer, bound)


class MLSTM(Mixer):
    """The mLSTM layer of xLSTM 7B (arXiv 2503.13427), as in transformers' `xlstm`.

    Queries and keys are half as wide as values; both gates' logits are capped at 15 by tanh and begin without
    the input, at -10 and from 3 to 6; a LayerNorm per head without bias and a sigmoid gate follow. The block
    of the first xLSTM paper had another layout, with a convolution and a projection up, around the same rule.
    """

    def __init__(self, width: int, head_size: int) -> None:
        super().__init__()
        self.num_heads, self.head_size = width // head_size, head_size
        key_width = self.num_heads * (head_size // 2)
        self.sizes = (key_width, key_width, width, width)
        self.qkvo = nn.Linear(width, sum(self.sizes), bias=False)
        self.gates = nn.Linear(width, 2 * self.num_heads)
        self.norm_weight = nn.Parameter(torch.ones(self.num_heads, head_size))
        self.output = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.gates.weight.zero_()
            self.gates.bias[: self.num_heads] = -10.0
            self.gates.bias[self.num_heads :] = torch.linspace(3, 6, self.num_heads)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        q, k, v, gate = self.qkvo(x).split(self.sizes, -1)
        q, k, v = (part.reshape(*x.shape[:2], self.num_heads, -1) for part in (q, k, v))
        logits = _GATE_CAP * torch.tanh(self.gates(x) / _GATE_CAP)
        input_logit, forget_logit = logits.chunk(2, -1)
        y, state = mlstm(q, k, v, input_logit, forget_logit, state)
        y = F.layer_norm(y, y.shape[-1:], eps=_NORM_EPS) * self.norm_weight
        return self.output(torch.sigmoid(gate) * y.reshape(x.shape)), state


class SLSTM(Mixer):
    """The sLSTM layer of xLSTM (arXiv 2405.04517, equations 8-17, stabilised).

    With pre-activations ``z, o, f, i`` from the input and, through a matrix per head, from the last output::

        m_t = max(log sigmoid(f) + m_{t-1}, i)            the stabiliser
        i'  = exp(i - m_t)        f' = exp(log sigmoid(f) + m_{t-1} - m_t)
        c_t = f' c_{t-1} + i' tanh(z)      n_t = f' n_{t-1} + i'      h_t = sigmoid(o) c_t / n_t

    As in the authors' layer every gate of a head reads that head's channels alone, i and f through a short
    convolution with SiLU; what is fed back begins at 0; a LayerNorm per head without bias follows, and no
    projection. Deviations from their code: the forget gate's bias begins between 3 and 6 over a head's
    channels, where theirs follows a power law of the channel, and there is no dropout.
    """

    def __init__(self, width: int, head_size: int) -> None:
        super().__init__()
        self.num_heads, self.head_size = width // head_size, head_size
        self.convolution = ShortConvolution(width)
        bound = head_size**-0.5
        self.zo = nn.Parameter(torch.empty(self.num_heads, head_size, 2 * head_size).uniform_(-bound, bound))
        self.fi = nn.Parameter(torch.empty(self.num_heads, head_size, 2 * head_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(self.num_heads, 4 * head_size))
        self.recurrent = nn.Parameter(torch.zeros(self.num_heads, head_size, 4 * head_size))
        """From a head's last output to its z, o, f and i."""
        self.norm_weight = nn.Parameter(torch.ones(self.num_heads, head_size))
        with torch.no_grad():
            self.bias[:, 2 * head_size : 3 * head_size] = torch.linspace(3, 6, head_size)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        seen, cell = (None, None) if state is None else state
        smoothed, seen = self.convolution(x, seen)
        heads = (*x.shape[:2], self.num_heads, 1, self.head_size)
        parts = (x.reshape(heads) @ self.zo, smoothed.reshape(heads) @ self.fi)
        inputs = torch.cat(parts, -1)[..., 0, :] + self.bias  # [B, T, H, 4 N]
        if cell is None:
            zeros = x.new_zeros(x.shape[0], self.num_heads, self.head_size)
            # No memory yet: whatever the first input gate is, it becomes the stabiliser.
            cell = (zeros, zeros, zeros, torch.full_like(zeros, -torch.inf))
        h, c, n, m = cell
        outputs = []
        for t in range(x.shape[1]):
            fed_back = torch.bmm(h.transpose(0, 1), self.recurrent).transpose(0, 1)
            z, o, f, i = (inputs[:, t] + fed_back).chunk(4, -1)
            log_keep = F.logsigmoid(f) + m
            m = torch.maximum(log_keep, i)
            write, keep = torch.exp(i - m), torch.exp(log_keep - m)
            c = keep * c + write * torch.tanh(z)
            n = keep * n + write
            h = torch.sigmoid(o) * c / n
            outputs.append(h)
        y = torch.stack(outputs, 1)
        y = F.layer_norm(y, y.shape[-1:], eps=_SLSTM_NORM_EPS) * self.norm_weight
        return y.reshape(x.shape), (seen, (h, c, n, m))
