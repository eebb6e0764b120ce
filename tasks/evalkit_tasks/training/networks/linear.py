"""Linear recurrences with a matrix-valued state and a scalar decay: the chunked form, and RetNet.

Shape legend: B = batch, T = time, H = heads, N = head size, Q = chunk length, C = channels.

What a linear recurrence can track is decided by the eigenvalues of its transition (arXiv 2411.12537):
within [0, 1] not even parity; within [-1, 1] parity, and delta rules all swaps of two.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_tasks.training.networks.attention import rotate
from evalkit_tasks.training.networks.parts import Mixer, State

CHUNK_TOKENS = 64
_SMALLEST_DECAY = 1e-6
"""A decay nearer to 0 counts as this, so that its logarithm and gradient stay finite."""


def scalar_decay_attention(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``S_t = decay_t S_{t-1} + v_t k_t^T``, ``y_t = S_t q_t``, in chunks of matrix products.

    The quadratic ("dual") form of Mamba-2 (arXiv 2405.21060, section 6) inside a chunk; a negative decay is
    split into its sign and its logarithm.

    Args:
        q: ``[B, T, H, N]``.
        k: ``[B, T, H, N]``.
        v: ``[B, T, H, M]``.
        decay: ``[B, T, H]``, within [-1, 1].
        state: ``[B, H, M, N]`` before the first token; zeros if None.

    Returns:
        ``y`` ``[B, T, H, M]`` and the state after the last token.
    """
    q, k, v, decay = (x.transpose(1, 2) for x in (q, k, v, decay))  # time next to last
    if state is None:
        state = q.new_zeros(*v.shape[:2], v.shape[-1], k.shape[-1])
    log_decay = decay.abs().clamp_min(_SMALLEST_DECAY).log()
    sign = torch.where(decay < 0, -1.0, 1.0).to(decay.dtype)
    outputs = []
    for first in range(0, q.shape[2], CHUNK_TOKENS):
        chunk = slice(first, first + CHUNK_TOKENS)
        keys, values = k[:, :, chunk], v[:, :, chunk]
        decay_sum = log_decay[:, :, chunk].cumsum(-1)
        sign_product = sign[:, :, chunk].cumprod(-1)
        # The decay from token s to token t; above the diagonal there is nothing, and exp must not see it.
        between = (decay_sum[..., :, None] - decay_sum[..., None, :]).tril()
        signs = sign_product[..., :, None] * sign_product[..., None, :]
        # A product of signs from s to t is that up to t times that up to s, since a sign is its own inverse.
        scores = (q[:, :, chunk] @ keys.mT * between.exp() * signs).tril()
        into = (sign_product * decay_sum.exp())[..., None]
        outputs.append(scores @ values + (q[:, :, chunk] * into) @ state.mT)
        signs_to_end = sign_product[..., -1:] * sign_product
        to_end = (signs_to_end * (decay_sum[..., -1:] - decay_sum).exp())[..., None]
        state = into[..., -1:, :] * state + (values * to_end).mT @ keys
    return torch.cat(outputs, 2).transpose(1, 2), state


class RetNet(Mixer):
    """Retention (arXiv 2307.08621): the decay of a head is a constant, ``1 - 2^(-5 - head)``.

    With rotary queries and keys, a norm per head and a gate, as in the paper's equation 8.
    """

    def __init__(self, width: int, head_size: int) -> None:
        super().__init__()
        self.num_heads, self.head_size = width // head_size, head_size
        self.qkvg = nn.Linear(width, 4 * width, bias=False)
        self.norm = nn.RMSNorm(head_size)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        first, memory = (0, None) if state is None else state
        heads = (*x.shape[:2], self.num_heads, self.head_size)
        q, k, v, gate = self.qkvg(x).chunk(4, -1)
        q, k = (rotate(part.reshape(heads).transpose(1, 2), first).transpose(1, 2) for part in (q, k))
        exponents = torch.arange(self.num_heads, device=x.device, dtype=x.dtype)
        decay = (1 - 2.0 ** (-5 - exponents)).expand(heads[:-1])
        y, memory = scalar_decay_attention(q, k * self.head_size**-0.5, v.reshape(heads), decay, memory)
        y = self.norm(y).reshape(x.shape) * F.silu(gate)
        return self.output(y), (first + x.shape[1], memory)
