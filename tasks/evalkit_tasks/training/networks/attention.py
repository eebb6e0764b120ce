"""The Transformer of the probes: pre-norm, causal softmax attention, three ways to know a position.

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_tasks.training.networks.parts import Mixer, ResidualStack, State

Positions = Literal["rope", "nope", "learned"]
ROPE_BASE = 10_000.0


class Attention(Mixer):
    """Causal multi-head attention, with rotary positions (arXiv 2104.09864) or without."""

    def __init__(self, width: int, head_size: int, *, rotary: bool) -> None:
        super().__init__()
        self.num_heads, self.head_size, self.rotary = width // head_size, head_size, rotary
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and None; ``state`` has to be None."""
        if state is not None:
            raise ValueError("a Transformer reads a sequence in one piece; it was given a state")
        num_batch, num_tokens, width = x.shape
        heads = (num_batch, num_tokens, self.num_heads, self.head_size)
        q, k, v = (part.view(heads).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        if self.rotary:
            q, k = rotate(q), rotate(k)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(y.transpose(1, 2).reshape(num_batch, num_tokens, width)), None


def rotate(x: Tensor, first: int = 0) -> Tensor:
    """Rotary position embedding of ``[B, H, T, N]``: the pair (n, n + N/2) turned by t * base^(-2n/N).

    Args:
        x: queries or keys.
        first: position of ``x``'s first token.
    """
    half = x.shape[-1] // 2
    rates = ROPE_BASE ** (-torch.arange(half, dtype=torch.float64, device=x.device) / half)
    times = torch.arange(first, first + x.shape[-2], dtype=torch.float64, device=x.device)
    angles = times[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    low, high = x.split(half, -1)  # type: ignore[no-untyped-call]
    return torch.cat((low * cos - high * sin, low * sin + high * cos), -1)


class Transformer(ResidualStack):
    """A decoder-only Transformer.

    Args:
        vocab_size: number of input tokens.
        num_labels: number of labels.
        num_layers: number of layers.
        width: channels.
        head_size: channels of a head.
        positions: rotary, none, or a table with a row for each of ``num_positions``; its rows beyond the
            training length stay at their initial values.
        num_positions: the longest sequence that learned positions can serve.
    """

    is_recurrent = False

    def __init__(
        self,
        vocab_size: int,
        num_labels: int,
        *,
        num_layers: int,
        width: int,
        head_size: int,
        positions: Positions,
        num_positions: int,
    ) -> None:
        super().__init__(
            vocab_size,
            num_labels,
            [Attention(width, head_size, rotary=positions == "rope") for _ in range(num_layers)],
            width=width,
            hidden=4 * width,
            num_positions=num_positions if positions == "learned" else 0,
        )
        self.num_positions = num_positions
        self.position_kind = positions

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` and the state after them; see `SequenceNetwork.forward`."""
        if self.position_kind == "learned" and ids.shape[1] > self.num_positions:
            raise ValueError(f"{ids.shape[1]} tokens, but there are positions for {self.num_positions}")
        return super().forward(ids, state)
