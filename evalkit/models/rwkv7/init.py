"""RWKV-7's initialisation and optimiser groups, as its authors train it.

Source: BlinkDL/RWKV-LM, ``RWKV-v7/train_temp``.

Both matter: their README warns that simplified versions of the layer with another initialisation lose much
of what the architecture can do.
"""

import math
from typing import TypedDict

import torch
from torch import Tensor

from evalkit.models.rwkv7.network import RWKV7


class ParameterGroup(TypedDict):
    """Parameters that Adam(W) treats alike."""

    params: list[Tensor]
    lr: float
    weight_decay: float


def initialise(network: RWKV7, seed: int) -> None:
    """Fill every parameter in place; the same seed gives the same network."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(_initial(name, parameter, network, generator))


def parameter_groups(network: RWKV7, learning_rate: float, weight_decay: float) -> list[ParameterGroup]:
    """Groups for Adam(W): the decay's offset w0 learns twice as fast; only matrices' ``.weight`` decays."""
    groups: dict[str, list[Tensor]] = {"fast": [], "decayed": [], "plain": []}
    for name, parameter in network.named_parameters():
        is_matrix = name.endswith(".weight") and parameter.dim() == 2
        kind = "fast" if name.endswith("att.w0") else "decayed" if is_matrix else "plain"
        groups[kind].append(parameter)
    return [
        {"params": groups["fast"], "lr": 2 * learning_rate, "weight_decay": 0.0},
        {"params": groups["decayed"], "lr": learning_rate, "weight_decay": weight_decay},
        {"params": groups["plain"], "lr": learning_rate, "weight_decay": 0.0},
    ]


def _initial(name: str, like: Tensor, network: RWKV7, generator: torch.Generator) -> Tensor:
    """A parameter's first value; ``n`` counts channels, ``depth`` runs from 1 in the first layer to 1/L."""
    num_layers, num_channels = len(network.shape.layers), network.shape.num_channels
    if not name.startswith("blocks."):
        return _outside(name, like, network, generator)
    _, layer_text, *part = name.split(".")
    layer, leaf = int(layer_text), ".".join(part)
    depth = 1 - layer / num_layers
    height = layer / max(1, num_layers - 1)

    n = torch.arange(num_channels, dtype=torch.float32)
    ramp = n / num_channels
    centred = n / max(1, num_channels - 1) - 0.5
    half = (network.shape.head_size - 1) / 2
    within_head = (n % network.shape.head_size - half) / half
    zigzag = within_head * within_head.abs()

    mix_exponents = {"x_r": 0.2, "x_w": 0.9, "x_k": 0.7, "x_v": 0.7, "x_a": 0.9, "x_g": 0.2}
    side, _, parameter = leaf.partition(".")
    if side == "att" and parameter in mix_exponents:
        return (1 - ramp ** (mix_exponents[parameter] * depth)).view_as(like)
    if leaf == "ffn.x_k":
        return (1 - ramp ** (depth**4)).view_as(like)
    vectors: dict[str, Tensor] = {
        "att.w0": -6 + 6 * (n / max(1, num_channels - 1)) ** (1 + height**0.3) + 0.5 + 2.5 * zigzag,
        "att.a0": -0.19 + 0.3 * zigzag + 0.4 * centred,
        "att.v0": 0.73 - 0.4 * centred,
        "att.k_k": 0.71 - 0.1 * centred,
        "att.k_a": torch.full_like(n, 1.02),
        "att.r_k": torch.full_like(n, -0.04),
        "att.ln_x.weight": torch.full_like(n, ((1 + layer) / num_layers) ** 0.7),
    }
    if leaf in vectors:
        return vectors[leaf].view_as(like)
    orthogonal_gains = {
        "att.receptance.weight": 1.0,
        "att.key.weight": 0.1,
        "att.value.weight": 1.0,
        "ffn.key.weight": 1.0,
        **{f"att.{letter}2": 0.1 for letter in "wavg"},
    }
    if leaf in orthogonal_gains:
        return _orthogonal(like, orthogonal_gains[leaf], generator)
    if parameter in ("w1", "a1", "v1", "g1", "output.weight", "value.weight") or leaf.endswith("bias"):
        return torch.zeros_like(like)
    if side.startswith("ln") and leaf.endswith("weight"):
        return torch.ones_like(like)
    raise ValueError(f"no initial value is known for parameter {name}")


def _outside(name: str, like: Tensor, network: RWKV7, generator: torch.Generator) -> Tensor:
    vocab_size, num_channels = network.shape.vocab_size, network.shape.num_channels
    if name == "emb.weight":
        return torch.empty_like(like).uniform_(-1e-4, 1e-4, generator=generator)
    if name == "head.weight":
        return _orthogonal(like, 0.5 * max(1.0, math.sqrt(vocab_size / num_channels)), generator)
    if name == "ln_out.weight":
        return torch.ones_like(like)
    if name == "ln_out.bias":
        return torch.zeros_like(like)
    raise ValueError(f"no initial value is known for parameter {name}")


def _orthogonal(like: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    weight = torch.empty_like(like)
    torch.nn.init.orthogonal_(weight, gain, generator=generator)
    return weight
