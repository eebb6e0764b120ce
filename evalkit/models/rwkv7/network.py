"""RWKV-7 ("Goose", x070) in PyTorch, from the equations of arXiv 2503.14456.

Shape legend: B = batch, T = time, C = channels, H = heads, N = head size (C = H N), L = layers,
V = vocabulary.

Parameters bear the names and shapes of the official ``.pth`` files, so that a file's tensors are the
module's `state_dict`. Weights and matrix products run in the module's dtype; the decay, the
normalisations and the state stay in float32 (float64 in a float64 module), because a decay near 1 or a
state rounded to 16 bits costs 1e-2 relative error where all else costs 1e-3.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_kernels import linear, wkv7, wkv7_cpu
from evalkit_kernels.linear import is_stacked
from evalkit_kernels.wkv7_cpu import squared_relu, token_shift

LOG_DECAY_BOUND = -math.exp(-0.5)
"""The log decay is this times a sigmoid: no channel keeps less than exp(-0.6065) = 0.545 per token."""

GROUP_NORM_EPS = 64e-5

REMOVAL_STRENGTHS = {"off": 1.0, "stable": 1.0 + math.exp(LOG_DECAY_BOUND), "full": 2.0}
"""By ``negative_eigenvalues``, the factor c of a head's transition ``diag(w) - c kk (rate * kk)^T``.

Released models have ``off``. ``stable`` reaches an eigenvalue of -1 and none below at any decay; ``full``
reaches -1 where nothing decays, and -1.4548 where everything does (arXiv 2411.12537).
"""


class LayerShape(NamedTuple):
    """Low-rank sizes of one layer and its feed-forward width; official files vary in all of them."""

    decay_rank: int
    gate_rank: int
    value_rank: int
    """Unused in layer 0, which has no value residual."""
    learning_rate_rank: int
    ffn_width: int


class NetworkShape(NamedTuple):
    """Everything that determines a network's parameters."""

    vocab_size: int
    num_channels: int
    head_size: int
    layers: tuple[LayerShape, ...]


class State(NamedTuple):
    """What the network knows after the tokens it has read; constant in size.

    The last normalised input of each token shift, and the matrix-valued state of each head.
    """

    att_shift: Tensor
    """``[L, B, C]``."""
    wkv: Tensor
    """``[L, B, H, N_value, N_key]``, float32."""
    ffn_shift: Tensor
    """``[L, B, C]``."""

    def narrow(self, num_rows: int) -> "State":
        """The state of the batch's first rows."""
        return State(*(part[:, :num_rows] for part in self))


class TimeMix(nn.Module):
    """The attention-like half of a block (paper eq. 3-20)."""

    def __init__(self, shape: NetworkShape, layer: int, removal_strength: float = 1.0) -> None:
        super().__init__()
        self.removal_strength = removal_strength
        num_channels, low_rank = shape.num_channels, shape.layers[layer]
        self.num_heads, self.head_size = num_channels // shape.head_size, shape.head_size

        def vector() -> nn.Parameter:
            return nn.Parameter(torch.zeros(1, 1, num_channels))

        def down_up(name: str, rank: int) -> None:
            setattr(self, f"{name}1", nn.Parameter(torch.zeros(num_channels, rank)))
            setattr(self, f"{name}2", nn.Parameter(torch.zeros(rank, num_channels)))

        self.x_r, self.x_w, self.x_k = vector(), vector(), vector()
        self.x_v, self.x_a, self.x_g = vector(), vector(), vector()
        self.w0, self.a0 = vector(), vector()
        self.k_k, self.k_a = vector(), vector()
        self.w1: Tensor
        self.w2: Tensor
        self.a1: Tensor
        self.a2: Tensor
        self.g1: Tensor
        self.g2: Tensor
        down_up("w", low_rank.decay_rank)
        down_up("a", low_rank.learning_rate_rank)
        down_up("g", low_rank.gate_rank)
        self.has_value_residual = layer > 0
        if self.has_value_residual:
            self.v0 = vector()
            self.v1: Tensor
            self.v2: Tensor
            down_up("v", low_rank.value_rank)
        self.r_k = nn.Parameter(torch.zeros(self.num_heads, self.head_size))
        self.receptance = nn.Linear(num_channels, num_channels, bias=False)
        self.key = nn.Linear(num_channels, num_channels, bias=False)
        self.value = nn.Linear(num_channels, num_channels, bias=False)
        self.output = nn.Linear(num_channels, num_channels, bias=False)
        self.ln_x = nn.GroupNorm(self.num_heads, num_channels, eps=GROUP_NORM_EPS)

    def forward(
        self, h: Tensor, shift: Tensor, v_first: Tensor | None, state: Tensor, backend: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Output ``[B, T, C]``, layer 0's values ``[B, T, C]``, and the new state.

        Args:
            h: normalised input, ``[B, T, C]``.
            shift: the normalised input before it, ``[B, C]``.
            v_first: layer 0's values of the same tokens; None in layer 0.
            state: ``[B, H, N, N]``.
            backend: of `evalkit_kernels.wkv7`.
        """
        mixes = (self.x_r, self.x_k, self.x_v, self.x_w, self.x_a, self.x_g)
        x_r, x_k, x_v, x_w, x_a, x_g = _token_shift(h, shift, mixes, backend)
        r = linear(x_r, self.receptance.weight)
        k = linear(x_k, self.key.weight)
        v = linear(x_v, self.value.weight)
        decay_logit = _low_rank(x_w, self.w1, self.w2, torch.tanh)
        rate_logit = _low_rank(x_a, self.a1, self.a2)
        gate = _low_rank(x_g, self.g1, self.g2, torch.sigmoid)
        residual = None if v_first is None else (_low_rank(x_v, self.v1, self.v2), v_first)

        tensors = (r, decay_logit, k, v, rate_logit, gate)
        parameters = [self.w0, self.a0, self.k_k, self.k_a, self.r_k, self.ln_x.weight, self.ln_x.bias]
        if residual is not None:
            parameters.append(self.v0)
        # The fused loops compute the transition of released models, and no other.
        is_released = self.removal_strength == 1.0
        native = is_released and backend in ("auto", "cpu") and h.dtype == torch.float32
        if native and wkv7_cpu.serves(*tensors, state, self.w0, head_size=self.head_size):
            y, state = wkv7_cpu.time_mix_cpu(
                *tensors,
                residual,
                parameters,
                state,
                log_decay_bound=LOG_DECAY_BOUND,
                norm_eps=self.ln_x.eps,
            )
        elif is_released and _fused(backend, self.head_size, *tensors, *(residual or ()), *parameters, state):
            from evalkit_kernels.time_mix_triton import time_mix_triton

            y, state = time_mix_triton(
                *tensors,
                residual,
                parameters,
                state,
                log_decay_bound=LOG_DECAY_BOUND,
                norm_eps=self.ln_x.eps,
            )
        else:
            y, state = self._mix(*tensors, residual, state, backend)
        return linear(y, self.output.weight), v if v_first is None else v_first, state

    def _mix(
        self,
        r: Tensor,
        decay_logit: Tensor,
        k: Tensor,
        v: Tensor,
        rate_logit: Tensor,
        gate: Tensor,
        residual: tuple[Tensor, Tensor] | None,
        state: Tensor,
        backend: str,
    ) -> tuple[Tensor, Tensor]:
        """All between the matrix products; see `evalkit_kernels.wkv7_cpu.time_mix_cpu` for the arguments."""
        heads = (*r.shape[:2], self.num_heads, self.head_size)
        # In float32, for the decay is applied again at every token, and so is its rounding.
        log_decay = LOG_DECAY_BOUND * torch.sigmoid(_wide(self.w0 + decay_logit))
        rate = torch.sigmoid(self.a0 + rate_logit)
        if residual is not None:
            residual_logit, v_first = residual
            # Deeper layers may take over layer 0's values, channel by channel.
            v = torch.lerp(v, v_first, torch.sigmoid(self.v0 + residual_logit))

        # The removal key is made of the key before the learning rate touches it. It is of unit length in each
        # head, so that the rate alone says how much is removed along it.
        kk = F.normalize(_wide(k * self.k_k).view(heads), dim=-1, eps=1e-12)
        k = k * (1 + (rate - 1) * self.k_a)
        r, k, v = r.view(heads), k.view(heads), v.view(heads)
        y, state = wkv7(
            _wide(r),
            log_decay.view(heads),
            _wide(k),
            _wide(v),
            -kk,
            kk * (self.removal_strength * _wide(rate)).view(heads),
            state,
            backend=backend,
        )
        y = F.group_norm(
            y.reshape(-1, gate.shape[-1]),
            self.num_heads,
            _wide(self.ln_x.weight),
            _wide(self.ln_x.bias),
            self.ln_x.eps,
        )
        # What the current token adds by itself, past the state and its normalisation.
        bonus = _wide(r * k * self.r_k).sum(-1, keepdim=True) * v
        y = y.view(gate.shape) + bonus.reshape(gate.shape)
        return y.to(gate.dtype) * gate, state


class ChannelMix(nn.Module):
    """The feed-forward half of a block: squared ReLU behind a token shift."""

    def __init__(self, shape: NetworkShape, layer: int) -> None:
        super().__init__()
        num_channels, width = shape.num_channels, shape.layers[layer].ffn_width
        self.x_k = nn.Parameter(torch.zeros(1, 1, num_channels))
        self.key = nn.Linear(num_channels, width, bias=False)
        self.value = nn.Linear(width, num_channels, bias=False)

    def forward(self, h: Tensor, shift: Tensor, backend: str) -> Tensor:
        """``[B, T, C]`` from the normalised input ``h`` and the one before it, ``shift`` ``[B, C]``."""
        (mixed,) = _token_shift(h, shift, (self.x_k,), backend)
        return linear(squared_relu(linear(mixed, self.key.weight)), self.value.weight)


class Block(nn.Module):
    """One layer; the first also normalises the embedding (``ln0``)."""

    def __init__(self, shape: NetworkShape, layer: int, removal_strength: float = 1.0) -> None:
        super().__init__()
        if layer == 0:
            self.ln0: nn.Module = nn.LayerNorm(shape.num_channels)
        self.ln1 = nn.LayerNorm(shape.num_channels)
        self.ln2 = nn.LayerNorm(shape.num_channels)
        self.att = TimeMix(shape, layer, removal_strength)
        self.ffn = ChannelMix(shape, layer)


class RWKV7(nn.Module):
    """The network up to the head, which `evalkit_kernels.linear_nll` applies.

    Args:
        shape: of all parameters.
        removal_strength: see `REMOVAL_STRENGTHS`.
    """

    def __init__(self, shape: NetworkShape, removal_strength: float = 1.0) -> None:
        super().__init__()
        self.shape = shape
        self.emb = nn.Embedding(shape.vocab_size, shape.num_channels)
        self.blocks = nn.ModuleList(
            Block(shape, layer, removal_strength) for layer in range(len(shape.layers))
        )
        self.ln_out = nn.LayerNorm(shape.num_channels)
        self.head = nn.Linear(shape.num_channels, shape.vocab_size, bias=False)

    def zero_state(self, num_batch: int) -> State:
        """The state before any token."""
        weight = self.emb.weight
        num_layers, num_channels = len(self.shape.layers), self.shape.num_channels
        head_size = self.shape.head_size
        shift = weight.new_zeros(num_layers, num_batch, num_channels)
        wkv = weight.new_zeros(
            num_layers,
            num_batch,
            num_channels // head_size,
            head_size,
            head_size,
            dtype=_wide(weight[:0]).dtype,
        )
        return State(shift, wkv, shift.clone())

    def forward(
        self, ids: Tensor, state: State | None = None, *, backend: str = "auto"
    ) -> tuple[Tensor, State]:
        """Inputs of the head for every position, and the state after the last.

        Args:
            ids: ``[B, T]``, T at least 1.
            state: after the tokens before; None at a document's start.
            backend: of `evalkit_kernels.wkv7`.

        Returns:
            ``[B, T, C]``: ``head(out[:, t])`` are the logits of token t + 1; and the new state.
        """
        state = self.zero_state(ids.shape[0]) if state is None else state
        blocks = cast(Sequence[Block], self.blocks)
        x = blocks[0].ln0(self.emb(ids))
        v_first: Tensor | None = None
        att_shift, wkv, ffn_shift = [], [], []
        for layer, block in enumerate(blocks):
            h = block.ln1(x)
            att_shift.append(h[:, -1])
            y, v_first, layer_state = block.att(h, state.att_shift[layer], v_first, state.wkv[layer], backend)
            wkv.append(layer_state)
            x = x + y
            h = block.ln2(x)
            ffn_shift.append(h[:, -1])
            x = x + block.ffn(h, state.ffn_shift[layer], backend)
        return self.ln_out(x), State(torch.stack(att_shift), torch.stack(wkv), torch.stack(ffn_shift))


def _low_rank(
    x: Tensor, down: Tensor, up: Tensor, activation: Callable[[Tensor], Tensor] = lambda x: x
) -> Tensor:
    """``activation(x @ down) @ up``; the files store these two as in x out."""
    return linear(activation(linear(x, down.T)), up.T)


def _token_shift(h: Tensor, shift: Tensor, mixes: Sequence[Tensor], backend: str) -> list[Tensor]:
    """See `evalkit_kernels.wkv7_cpu.token_shift`; fused on a GPU."""
    if _fused(backend, 64, h, shift, *mixes):
        from evalkit_kernels import time_mix_triton

        return time_mix_triton.token_shift(h, shift, mixes)
    return token_shift(h, shift, mixes)


def _fused(backend: str, head_size: int, *tensors: Tensor) -> bool:
    """Whether `evalkit_kernels.time_mix_triton` takes these: on a GPU or by name, without a gradient."""
    x = tensors[0]
    if not (backend == "triton" or (backend == "auto" and x.is_cuda)) or wkv7_cpu.needs_gradient(*tensors):
        return False
    if any(map(is_stacked, tensors)) or importlib.util.find_spec("triton") is None:  # what follows imports it
        return False
    from evalkit_kernels import time_mix_triton

    return time_mix_triton.unavailable(x.device, x.dtype, head_size) is None


def _wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
