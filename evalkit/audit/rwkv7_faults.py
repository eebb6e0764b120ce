"""RWKV-7 with the mistakes that ports of it make: what a model's weights cost in each of them.

The equations are those of `evalkit.models.rwkv7.network`, written out once more and plainly, with the places
where they are got wrong. With no departure it gives the network's own numbers, which a test holds.
"""

import dataclasses
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit.models.rwkv7.network import GROUP_NORM_EPS, LOG_DECAY_BOUND, RWKV7
from evalkit_kernels import wkv7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Departure:
    """What a port does otherwise; the defaults are right."""

    fault: str
    """Of `evalkit.audit.result.FAULTS`."""
    transposed: tuple[str, ...] = ()
    """Low-rank matrices whose numbers are read in the order of the transposed shape."""
    has_tanh: bool = True
    has_gate_sigmoid: bool = True
    norm_eps: float = GROUP_NORM_EPS
    takes_first_values: bool = True
    """Of layer 0, not of the layer before."""
    has_value_residual: bool = True
    log_decay_bound: float = LOG_DECAY_BOUND
    state_dtype: torch.dtype | None = None
    """What the state is rounded to after every token."""
    has_bonus: bool = True
    scales_key: bool = True
    removes_scaled_key: bool = False
    squares_relu: bool = True
    has_embedding_norm: bool = True


DEPARTURES = (
    Departure(fault="transposed low-rank matrix", transposed=("w1", "a1", "v1", "g1")),
    Departure(fault="transposed low-rank matrix", transposed=("w2", "a2", "v2", "g2")),
    Departure(
        fault="transposed low-rank matrix", transposed=("w1", "a1", "v1", "g1", "w2", "a2", "v2", "g2")
    ),
    *(Departure(fault="transposed low-rank matrix", transposed=(f"{letter}1",)) for letter in "wavg"),
    *(Departure(fault="transposed low-rank matrix", transposed=(f"{letter}2",)) for letter in "wavg"),
    Departure(fault="missing tanh", has_tanh=False),
    Departure(fault="missing gate sigmoid", has_gate_sigmoid=False),
    Departure(fault="GroupNorm epsilon", norm_eps=1e-5),
    Departure(fault="GroupNorm epsilon", norm_eps=1e-3),
    Departure(fault="first values of the wrong layer", takes_first_values=False),
    Departure(fault="missing value residual", has_value_residual=False),
    Departure(fault="decay constant", log_decay_bound=-0.6),
    Departure(fault="16-bit state", state_dtype=torch.bfloat16),
    Departure(fault="16-bit state", state_dtype=torch.float16),
    Departure(fault="missing bonus", has_bonus=False),
    Departure(fault="key is not scaled", scales_key=False),
    Departure(fault="removal key of the scaled key", removes_scaled_key=True),
    Departure(fault="ReLU is not squared", squares_relu=False),
    Departure(fault="missing embedding norm", has_embedding_norm=False),
)


def hidden_with(network: RWKV7, ids: Tensor, departure: Departure | None = None) -> Tensor:
    """What goes into the head at every position, ``[T, C]`` in float32, of ids ``[T]``.

    Args:
        network: whose weights are read.
        ids: token ids from a text's start.
        departure: None: as it is right.
    """
    departure = departure or Departure(fault="")
    weights = {name: tensor.detach().float() for name, tensor in network.state_dict().items()}
    for name in list(weights):
        if name.rsplit(".", 1)[-1] in departure.transposed:
            weights[name] = weights[name].reshape(weights[name].shape[::-1]).T
    x = F.embedding(ids, weights["emb.weight"])
    if departure.has_embedding_norm:
        x = _norm(x, weights, "blocks.0.ln0")
    first_values: Tensor | None = None
    for layer in range(len(network.shape.layers)):
        at = f"blocks.{layer}."
        h = _norm(x, weights, at + "ln1")
        y, values = _time_mix(h, weights, at + "att.", first_values, network.shape.head_size, departure)
        if first_values is None or not departure.takes_first_values:
            first_values = values
        x = x + y
        h = _norm(x, weights, at + "ln2")
        mixed = torch.lerp(h, _before(h), weights[at + "ffn.x_k"][0, 0])
        inner = torch.relu(mixed @ weights[at + "ffn.key.weight"].T)
        x = x + (inner * inner if departure.squares_relu else inner) @ weights[at + "ffn.value.weight"].T
    return _norm(x, weights, "ln_out")


def _time_mix(
    h: Tensor,
    weights: Mapping[str, Tensor],
    at: str,
    first_values: Tensor | None,
    head_size: int,
    departure: Departure,
) -> tuple[Tensor, Tensor]:
    """Output of the mix and the layer's values, before the value residual, ``[T, C]`` both."""
    w = {name.removeprefix(at): tensor for name, tensor in weights.items() if name.startswith(at)}
    before, heads = _before(h), (len(h), -1, head_size)
    x = {letter: torch.lerp(h, before, w[f"x_{letter}"][0, 0]) for letter in "rwkvag"}
    r, k, values = x["r"] @ w["receptance.weight"].T, x["k"] @ w["key.weight"].T, x["v"] @ w["value.weight"].T
    inner, gate = x["w"] @ w["w1"], x["g"] @ w["g1"]
    inner = torch.tanh(inner) if departure.has_tanh else inner
    gate = (torch.sigmoid(gate) if departure.has_gate_sigmoid else gate) @ w["g2"]
    log_decay = departure.log_decay_bound * torch.sigmoid(w["w0"][0, 0] + inner @ w["w2"])
    rate = torch.sigmoid(w["a0"][0, 0] + x["a"] @ w["a1"] @ w["a2"])
    v = values
    if first_values is not None and departure.has_value_residual:
        v = torch.lerp(v, first_values, torch.sigmoid(w["v0"][0, 0] + x["v"] @ w["v1"] @ w["v2"]))
    scaled = k * (1 + (rate - 1) * w["k_a"][0, 0]) if departure.scales_key else k
    removal = F.normalize(
        ((scaled if departure.removes_scaled_key else k) * w["k_k"][0, 0]).view(heads), dim=-1, eps=1e-12
    )
    r, k, v, rate = r.view(heads), scaled.view(heads), v.view(heads), rate.view(heads)
    y = _recurrence(r, log_decay.view(heads), k, v, -removal, removal * rate, departure.state_dtype)
    num_heads = y.shape[1]
    y = F.group_norm(y.flatten(1), num_heads, w["ln_x.weight"], w["ln_x.bias"], departure.norm_eps)
    if departure.has_bonus:
        y = y + ((r * k * w["r_k"]).sum(-1, keepdim=True) * v).flatten(1)
    return (y * gate) @ w["output.weight"].T, values


def _recurrence(
    r: Tensor, log_decay: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state_dtype: torch.dtype | None
) -> Tensor:
    """`evalkit_kernels.wkv7` of one text, ``[T, H, N]``, with a state that is rounded where that is asked."""
    parts = [part[None].contiguous() for part in (r, log_decay, k, v, a, b)]
    if state_dtype is None:
        y, _ = wkv7(*parts)
        return y[0]
    state, outputs = None, []
    for t in range(len(r)):
        step = [part[:, t : t + 1].contiguous() for part in parts]
        _, state = wkv7(step[0], step[1], step[2], step[3], step[4], step[5], state)
        state = state.to(state_dtype).float()
        outputs.append((state[0] @ r[t, :, :, None])[..., 0])  # of the rounded state
    return torch.stack(outputs)


def _norm(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def _before(h: Tensor) -> Tensor:
    return F.pad(h, (0, 0, 1, -1))
