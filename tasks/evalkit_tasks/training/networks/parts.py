"""What the probed networks share: the pre-norm residual stack, the feed-forward layer, the short convolution.

Shape legend: B = batch, T = time, C = channels, V = input tokens, K = labels.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEPS = (1e-3, 1e-1)

State = Any
"""What a network carries from one piece of a sequence to the next: nested tuples of tensors."""


class SequenceNetwork(nn.Module):
    """A causal network from tokens to a label's logits at every position."""

    is_recurrent = True
    """Whether a sequence may be given in pieces, with the state carried from one to the next."""

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` for ``ids`` ``[B, T]``, and the state after the last token.

        Args:
            ids: tokens, T at least 1.
            state: what an earlier call returned; None at the sequence's start.
        """
        raise NotImplementedError

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for AdamW: only matrices decay, and neither embeddings nor norms nor biases."""
        embeddings = {
            id(parameter)
            for module in self.modules()
            if isinstance(module, nn.Embedding)
            for parameter in module.parameters()
        }
        groups: dict[bool, list[Tensor]] = {True: [], False: []}
        for parameter in self.parameters():
            groups[parameter.dim() >= 2 and id(parameter) not in embeddings].append(parameter)
        return [
            {"params": groups[True], "lr": learning_rate, "weight_decay": weight_decay},
            {"params": groups[False], "lr": learning_rate, "weight_decay": 0.0},
        ]


class Mixer(nn.Module):
    """The half of a layer that moves information along time."""

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` for the normalised input ``[B, T, C]``, and the state after it."""
        raise NotImplementedError


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202), the feed-forward layer of Llama and of fla's models."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, ``[B, T, C]`` as its input."""
        gate, value = self.up(x).chunk(2, -1)
        return cast(Tensor, self.down(F.silu(gate) * value))


class ResidualStack(SequenceNetwork):
    """Embedding, layers ``x + mixer(norm(x))`` and ``x + feed_forward(norm(x))``, norm, head.

    Args:
        vocab_size: V.
        num_labels: K.
        mixers: one per layer.
        width: C.
        hidden: width of the feed-forward layers; 0 for none (as in Mamba).
        num_positions: rows of a table of learned positions; 0 for none.
    """

    def __init__(
        self,
        vocab_size: int,
        num_labels: int,
        mixers: Sequence[Mixer],
        *,
        width: int,
        hidden: int,
        num_positions: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(num_positions, width) if num_positions else None
        self.mixers = nn.ModuleList(mixers)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in mixers)
        self.hidden_norms = nn.ModuleList(nn.RMSNorm(width) for _ in mixers if hidden)
        self.feed_forwards = nn.ModuleList(FeedForward(width, hidden) for _ in mixers if hidden)
        self.last_norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, num_labels)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` and the state after them; see `SequenceNetwork.forward`."""
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions.weight[: ids.shape[1]]
        states = []
        for layer, (norm, mixer) in enumerate(zip(self.norms, self.mixers, strict=True)):
            y, after = mixer(norm(x), None if state is None else state[layer])
            x = x + y
            states.append(after)
            if self.feed_forwards:
                x = x + self.feed_forwards[layer](self.hidden_norms[layer](x))
        return self.head(self.last_norm(x)), tuple(states)


class ShortConvolution(nn.Module):
    """A causal convolution over 4 tokens of each channel, then SiLU, as in Mamba and fla's DeltaNet."""

    SIZE = 4

    def __init__(self, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, self.SIZE, groups=width, bias=bias)

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """``[B, T, C]`` for ``x`` and the inputs before it, ``[B, SIZE - 1, C]`` (zeros if None)."""
        if before is None:
            before = x.new_zeros(x.shape[0], self.SIZE - 1, x.shape[2])
        seen = torch.cat((before, x), 1)
        return F.silu(self.convolution(seen.mT).mT), seen[:, 1 - self.SIZE :]


def step_bias(size: int) -> Tensor:
    """What softplus makes into steps that are log-uniform from 0.001 to 0.1, as Mamba's begin."""
    step = torch.empty(size).uniform_(*map(math.log, _STEPS)).exp()
    return step + torch.log(-torch.expm1(-step))
