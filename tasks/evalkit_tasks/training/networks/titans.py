"""A memory in the style of Titans (arXiv 2501.00663): learnt at test time by gradient descent with momentum.

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_tasks.training.networks.parts import Mixer, ShortConvolution, State

_NORM_EPS = 1e-5


def surprise_memory(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rate: Tensor,
    momentum: Tensor,
    forget: Tensor,
    state: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Equations 9-14 of the paper for a linear memory and the loss ``|M k - v|^2 / 2``, token by token.

    ``S_t = momentum S_{t-1} - rate (M_{t-1} k - v) k^T``, ``M_t = (1 - forget) M_{t-1} + S_t`` and
    ``y = M_t q``. The paper's parallel form takes the gradient where a chunk begins: another function.

    Args:
        q: ``[B, T, H, N]``.
        k: ``[B, T, H, N]``.
        v: ``[B, T, H, N]``.
        rate: ``[B, T, H]``: theta.
        momentum: ``[B, T, H]``: eta.
        forget: ``[B, T, H]``: alpha.
        state: memory and momentum, ``[B, H, N_value, N_key]`` each; zeros if None.

    Returns:
        ``y`` ``[B, T, H, N]`` and the state after the last token.
    """
    if state is None:
        zeros = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], q.shape[3])
        state = (zeros, zeros)
    memory, surprise = state
    rates, momenta, keeps = (x[..., None, None] for x in (rate, momentum, 1 - forget))
    outputs = []
    for t in range(q.shape[1]):
        key = k[:, t, :, :, None]
        error = memory @ key - v[:, t, :, :, None]
        surprise = momenta[:, t] * surprise - rates[:, t] * error @ key.mT
        memory = keeps[:, t] * memory + surprise
        outputs.append((memory @ q[:, t, :, :, None])[..., 0])
    return torch.stack(outputs, 1), (memory, surprise)


class TitansMemory(Mixer):
    """The long-term memory of Titans, by itself and linear.

    As in the paper q, k and v go through short convolutions and SiLU, q and k have length 1, and rate,
    momentum and forgetting depend on the token; the output is normalised and gated. Deviations: the memory
    is a matrix for each head, where the paper's has two layers and more; the three gates are sigmoids per
    head, momentum beginning at 0.12 and forgetting at 0.018; there are no persistent tokens and no attention
    beside it.
    """

    def __init__(self, width: int, head_size: int) -> None:
        super().__init__()
        self.num_heads, self.head_size = width // head_size, head_size
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.convolution = ShortConvolution(3 * width, bias=False)
        self.rates = nn.Linear(width, 3 * self.num_heads)
        self.gate = nn.Linear(width, width, bias=False)
        self.norm = nn.RMSNorm(head_size, eps=_NORM_EPS)
        self.output = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.rates.bias.copy_(torch.tensor([0.0, -2.0, -4.0]).repeat_interleave(self.num_heads))

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        seen, memory = (None, None) if state is None else state
        qkv, seen = self.convolution(self.qkv(x), seen)
        q, k, v = (part.reshape(*x.shape[:2], self.num_heads, self.head_size) for part in qkv.chunk(3, -1))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        rate, momentum, forget = torch.sigmoid(self.rates(x)).chunk(3, -1)
        y, memory = surprise_memory(q, k, v, rate, momentum, forget, memory)
        y = self.norm(y).reshape(x.shape) * F.silu(self.gate(x))
        return cast(Tensor, self.output(y)), (seen, memory)
