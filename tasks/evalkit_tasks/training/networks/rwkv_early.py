"""RWKV-4, RWKV-5.2 and RWKV-6: the blocks before RWKV-7 (arXiv 2305.13048 and 2404.05892).

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels.

Token shifts, decays and bonuses begin as in the authors' code (BlinkDL/RWKV-LM), matrices as torch's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_kernels import wkv7
from evalkit_tasks.training.networks.parts import Mixer, SequenceNetwork, State

GROUP_NORM_EPS = 64e-5
MIX_RANK, DECAY_RANK = 16, 16
"""Of the token shift's and the decay's low-rank terms in RWKV-6; released models have 32 and 64 and more."""

_FFN_FACTOR = 3.5


def wkv6(
    r: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, bonus: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """``y_t = (S_{t-1} + v_t (bonus k_t)^T) r_t``, ``S_t = S_{t-1} diag(exp(log_decay_t)) + v_t k_t^T``.

    It is WKV-7 without removal, each query asked one token before: of the state that its own has not changed.

    Args:
        r: ``[B, T, H, N]``.
        k: ``[B, T, H, N]``.
        v: ``[B, T, H, N]``.
        log_decay: ``[B, T, H, N]``, of RWKV-5 the same for every token.
        bonus: ``[H, N]``.
        state: ``[B, H, N_value, N_key]``; zeros if None.

    Returns:
        ``y`` ``[B, T, H, N]`` and the state after the last token.
    """
    nothing = torch.zeros_like(r)
    later = torch.cat((r[:, 1:], nothing[:, :1]), 1)
    y, last = wkv7(later, log_decay, k, v, nothing, nothing, state)
    first = nothing[:, :1] if state is None else (state @ r[:, 0, :, :, None])[..., 0][:, None]
    present = (r * bonus * k).sum(-1, keepdim=True) * v
    return torch.cat((first, y[:, :-1]), 1) + present, last


def wkv4(
    k: Tensor, v: Tensor, log_decay: Tensor, bonus: Tensor, state: tuple[Tensor, Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """The mean of values, each weighed by ``exp(k)`` and a decay since, the present by ``exp(bonus + k)``.

    Token by token, with the largest exponent taken out.

    Args:
        k: ``[B, T, C]``.
        v: ``[B, T, C]``.
        log_decay: ``[C]``, less than 0.
        bonus: ``[C]``.
        state: numerator, denominator and their exponent, ``[B, C]`` each; None at a sequence's start.

    Returns:
        ``[B, T, C]`` and the state after the last token.
    """
    if state is None:
        zeros = torch.zeros_like(k[:, 0])
        state = (zeros, zeros, torch.full_like(zeros, -1e38))
    numerator, denominator, exponent = state
    outputs = []
    for t in range(k.shape[1]):
        present = bonus + k[:, t]
        largest = torch.maximum(exponent, present)
        past, now = (exponent - largest).exp(), (present - largest).exp()
        outputs.append((past * numerator + now * v[:, t]) / (past * denominator + now))
        decayed = exponent + log_decay
        exponent = torch.maximum(decayed, k[:, t])
        past, now = (decayed - exponent).exp(), (k[:, t] - exponent).exp()
        numerator, denominator = past * numerator + now * v[:, t], past * denominator + now
    return torch.stack(outputs, 1), (numerator, denominator, exponent)


class _Place:
    """Where a layer is, and the ramps over channels from which its vectors begin."""

    def __init__(self, layer: int, num_layers: int, width: int) -> None:
        self.depth = layer / max(1, num_layers - 1)
        self.height = 1 - layer / num_layers
        self.share = torch.arange(width) / width
        self.ramp = torch.arange(width) / max(1, width - 1)
        self.zigzag = (torch.arange(width) + 1) % 3 - 1.0

    def present(self, power: float, shift: float = 0.0) -> Tensor:
        """How much of the present token a token shift takes."""
        return self.share ** (power * self.height) + shift * self.depth

    def decay(self, low: float, span: float) -> Tensor:
        """The logarithm of minus a log decay."""
        return low + span * self.ramp ** (0.7 + 1.3 * self.depth)


def _shifted(x: Tensor, before: Tensor | None) -> Tensor:
    first = torch.zeros_like(x[:, :1]) if before is None else before[:, None]
    return torch.cat((first, x[:, :-1]), 1)


class TimeMix4(Mixer):
    """RWKV-4's, as in transformers' `rwkv`."""

    def __init__(self, width: int, place: _Place) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.stack((place.present(1), place.present(1, 0.3), place.present(0.5))))
        """Of the keys, the values and the receptances."""
        self.log_rate = nn.Parameter(place.decay(-5, 8))
        self.bonus = nn.Parameter(torch.full((width,), 0.3).log() + 0.5 * place.zigzag)
        self.key, self.value, self.receptance, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        before, memory = (None, None) if state is None else state
        past = _shifted(x, before)
        x_k, x_v, x_r = (x * mix + past * (1 - mix) for mix in self.mix)
        y, memory = wkv4(self.key(x_k), self.value(x_v), -self.log_rate.exp(), self.bonus, memory)
        return self.output(torch.sigmoid(self.receptance(x_r)) * y), (x[:, -1], memory)


class TimeMix56(Mixer):
    """RWKV-5.2's, and RWKV-6's, whose token shift and decay depend on the token.

    Args:
        width: C.
        head_size: N.
        place: of the layer.
        dynamic: whether it is RWKV-6's.
    """

    def __init__(self, width: int, head_size: int, place: _Place, *, dynamic: bool) -> None:
        super().__init__()
        self.num_heads, self.head_size, self.dynamic = width // head_size, head_size, dynamic
        slow, fast = place.present(1), place.present(0.5)
        mixes = (slow, place.present(1, 0.3), fast, fast)
        self.mix = nn.Parameter(torch.stack((*mixes, slow) if dynamic else mixes))
        """How much of the present k, v, r and g take, and in RWKV-6 w."""
        if dynamic:
            self.mix_x = nn.Parameter(slow.clone())
            self.mix_down = nn.Parameter(torch.zeros(width, 5 * MIX_RANK))
            self.mix_up = nn.Parameter(torch.empty(5, MIX_RANK, width).uniform_(-0.01, 0.01))
            self.decay_down = nn.Parameter(torch.zeros(width, DECAY_RANK))
            self.decay_up = nn.Parameter(torch.empty(DECAY_RANK, width).uniform_(-0.01, 0.01))
        self.log_rate = nn.Parameter(place.decay(-6, 5))
        bonus = place.depth * (1 - place.ramp) + 0.1 * place.zigzag
        self.bonus = nn.Parameter(bonus.view(self.num_heads, head_size))
        self.key, self.value, self.receptance, self.gate, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(5)
        )
        self.norm = nn.GroupNorm(self.num_heads, width, eps=GROUP_NORM_EPS)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        before, memory = (None, None) if state is None else state
        delta = _shifted(x, before) - x
        shares = [1 - mix for mix in self.mix]
        if self.dynamic:
            rank = torch.tanh((x + delta * (1 - self.mix_x)) @ self.mix_down).chunk(5, -1)
            shares = [share + part @ up for share, part, up in zip(shares, rank, self.mix_up, strict=True)]
        x_k, x_v, x_r, x_g, *x_w = (x + delta * share for share in shares)
        log_rate: Tensor = self.log_rate
        if self.dynamic:
            log_rate = log_rate + torch.tanh(x_w[0] @ self.decay_down) @ self.decay_up
        heads = (*x.shape[:2], self.num_heads, self.head_size)
        log_decay = (-log_rate.exp()).expand(x.shape).reshape(heads)
        r, k, v = self.receptance(x_r), self.key(x_k), self.value(x_v)
        y, memory = wkv6(r.view(heads), k.view(heads), v.view(heads), log_decay, self.bonus, memory)
        y = self.norm(y.reshape(-1, x.shape[-1])).view(x.shape)
        return self.output(y * F.silu(self.gate(x_g))), (x[:, -1], memory)


class ChannelMix(Mixer):
    """Squared ReLU behind a token shift, with a sigmoid gate, as all three have it."""

    def __init__(self, width: int, place: _Place) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.stack((place.present(1), place.present(1))))
        hidden = int(_FFN_FACTOR * width)
        self.key, self.value = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        past = _shifted(x, state)
        x_k, x_r = (x * mix + past * (1 - mix) for mix in self.mix)
        hidden = torch.relu(self.key(x_k)).square()
        return torch.sigmoid(self.receptance(x_r)) * self.value(hidden), x[:, -1]


class EarlyRWKV(SequenceNetwork):
    """Embedding, LayerNorm, layers of time mix and channel mix behind LayerNorms, LayerNorm, head.

    Args:
        vocab_size: number of input tokens.
        num_labels: number of labels.
        num_layers: number of layers.
        width: C.
        head_size: N; RWKV-4 has no heads.
        version: 4, 5 or 6.
    """

    def __init__(
        self, vocab_size: int, num_labels: int, *, num_layers: int, width: int, head_size: int, version: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        mixers: list[Mixer] = []
        for layer in range(num_layers):
            place = _Place(layer, num_layers, width)
            dynamic = version == 6
            time_mix = (
                TimeMix4(width, place)
                if version == 4
                else TimeMix56(width, head_size, place, dynamic=dynamic)
            )
            mixers += [time_mix, ChannelMix(width, place)]
        self.mixers = nn.ModuleList(mixers)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in mixers)
        self.first_norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head = nn.Linear(width, num_labels, bias=False)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` and the state after them; see `SequenceNetwork.forward`."""
        x = self.first_norm(self.embedding(ids))
        states = []
        for place, (norm, mixer) in enumerate(zip(self.norms, self.mixers, strict=True)):
            y, after = mixer(norm(x), None if state is None else state[place])
            x = x + y
            states.append(after)
        return self.head(self.last_norm(x)), tuple(states)
