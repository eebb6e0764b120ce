"""From named features to RWKV-7 tensors: what each half of a layer reads and writes, without any indices.

A feature is a pair of channels that hold ``f`` and ``-f``, so that the mean over channels is 0 whatever
the features say. Features come in groups in which exactly one is 1 (or all are -1 or 1): the sum of squares
then depends on which groups have been written and on nothing else, layer normalisation is a division by a
known constant, and its weight takes the constant back. In the same way a head's value is a pair of
coordinates, so that group normalisation is a known gain.
"""

import dataclasses
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from evalkit.models.rwkv7.network import GROUP_NORM_EPS, LayerShape, NetworkShape
from evalkit.models.rwkv7.skeleton import network_skeleton

LAYER_NORM_EPS = 1e-5
SATURATED = 200.0
"""A logit whose sigmoid is 0 or 1 in float32."""

ONE = "one"
"""The feature that is always 1."""

Feature = Hashable
Weighted = Iterable[tuple[Feature, float]]


class AnyOf(NamedTuple):
    """Features of one group, any of which may be the one that is 1."""

    names: tuple[Feature, ...]


class Features:
    """The residual stream's features and the channels that hold them."""

    def __init__(self) -> None:
        self._places: dict[Feature, int] = {}

    def add(self, names: Iterable[Feature]) -> list[Feature]:
        """New features; gives them back as a list.

        Raises:
            ValueError: one exists already.
        """
        added = list(names)
        for name in added:
            if name in self._places:
                raise ValueError(f"feature {name!r} exists already")
            self._places[name] = len(self._places)
        return added

    @property
    def num_channels(self) -> int:
        """How many channels the features take: two each."""
        return 2 * len(self._places)

    def place(self, name: Feature) -> int:
        """The first of a feature's two channels."""
        return 2 * self._places[name]


class _Channels(NamedTuple):
    """The stream, C channels wide, of which features take the first."""

    features: Features
    num_channels: int

    def reader(self, weighted: Weighted) -> Tensor:
        """The vector ``[C]`` whose product with the stream is the weighted sum of features."""
        vector = torch.zeros(self.num_channels)
        for name, weight in weighted:
            place = self.features.place(name)
            vector[place] += weight / 2
            vector[place + 1] -= weight / 2
        return vector

    def writer(self, weighted: Weighted) -> Tensor:
        """The vector ``[C]`` that adds these amounts to features."""
        return 2 * self.reader(weighted)


@dataclasses.dataclass
class HeadDraft:
    """One head of one layer: what its coordinates read, and where its values go.

    Keys, receptances and learning rates are by key coordinate; what is kept is a list of features, each
    as a value of its own.
    """

    purpose: str = ""
    """What the state matrix holds, in words."""
    key: list[tuple[int, Feature, float]] = dataclasses.field(default_factory=list)
    receptance: list[tuple[int, Feature, float]] = dataclasses.field(default_factory=list)
    value: list[tuple[int, Feature, float]] = dataclasses.field(default_factory=list)
    """(which value, feature, weight): value i is held by two coordinates of opposite sign."""
    output: list[tuple[int, Feature]] = dataclasses.field(default_factory=list)
    """(which value, feature that it is written to)."""
    num_active: int = 1
    """How many of the values are not 0 in what is read."""
    rates: list[tuple[int, Feature, float]] = dataclasses.field(default_factory=list)
    """Learning rate logits, on top of ``rate_offsets``."""
    rate_offsets: dict[int, float] = dataclasses.field(default_factory=dict)
    """Where it is missing the learning rate is 0 unless a logit is added."""

    def erases(self, coordinates: Iterable[int]) -> None:
        """A learning rate of 1/2, which c = 2 makes a full removal of what the key holds."""
        self.rate_offsets.update(dict.fromkeys(coordinates, 0.0))


@dataclasses.dataclass
class LayerDraft:
    """One layer: heads, hidden units, and how much each half adds to the stream's sum of squares."""

    purpose: str = ""
    """What is known after it, in words."""
    heads: list[HeadDraft] = dataclasses.field(default_factory=list)
    units: list[tuple[list[tuple[Feature, float]], list[tuple[Feature, float]]]] = dataclasses.field(
        default_factory=list
    )
    """Hidden units: (what is summed up before ReLU and square, what the result is added to)."""
    num_written_by_heads: int = 0
    """Groups that the heads write, each of which has one feature of size 1."""
    num_written_by_units: int = 0

    def when(self, needed: Sequence[Feature], then: Weighted) -> None:
        """A hidden unit that adds ``then`` where all the needed features (or any of an `AnyOf`) are 1."""
        inputs: list[tuple[Feature, float]] = [(ONE, 1.0 - len(needed))]
        for feature in needed:
            names = feature.names if isinstance(feature, AnyOf) else (feature,)
            inputs += [(name, 1.0) for name in names]
        self.units.append((inputs, list(then)))


def tensor_shapes(
    features: Features, vocab_size: int, layers: Sequence[LayerDraft], head_size: int
) -> dict[str, torch.Size]:
    """The sizes of the tensors that `assemble` makes, by official name, before anything is in memory."""
    num_heads = max(max(len(layer.heads) for layer in layers), -(-features.num_channels // head_size))
    network = network_skeleton(_network_shape(vocab_size, num_heads * head_size, head_size, layers))
    return {name: value.shape for name, value in network.state_dict().items()}


def assemble(
    features: Features,
    embedding: Sequence[Weighted],
    num_embedded: int,
    layers: Sequence[LayerDraft],
    head: Sequence[Weighted],
    head_size: int,
) -> dict[str, Tensor]:
    """The tensors of an official RWKV-7 file.

    Args:
        features: all that any part names.
        embedding: what each token writes.
        num_embedded: how many groups that is.
        layers: the drafts.
        head: what each token's logit reads.
        head_size: N.

    Returns:
        By official name, float32.
    """
    shapes = tensor_shapes(features, len(embedding), layers, head_size)
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    num_channels = shapes["emb.weight"][1]
    channels = _Channels(features, num_channels)
    tensors["emb.weight"] = torch.stack([channels.writer(weighted) for weighted in embedding])
    tensors["head.weight"] = torch.stack([channels.reader(weighted) for weighted in head])
    num_groups = num_embedded

    def scale() -> float:
        """What layer normalisation divides by: each group that is written adds 1 to two channels' squares."""
        return math.sqrt(2 * num_groups / num_channels + LAYER_NORM_EPS)

    tensors["blocks.0.ln0.weight"].fill_(scale())
    for number, layer in enumerate(layers):
        block = f"blocks.{number}."
        tensors[f"{block}ln1.weight"].fill_(scale())
        _time_mix(tensors, f"{block}att.", layer, channels, head_size)
        num_groups += layer.num_written_by_heads
        tensors[f"{block}ln2.weight"].fill_(scale())
        inputs, outputs = zip(*layer.units, strict=True)
        tensors[f"{block}ffn.key.weight"] = torch.stack([channels.reader(summed) for summed in inputs])
        tensors[f"{block}ffn.value.weight"] = torch.stack([channels.writer(added) for added in outputs], 1)
        num_groups += layer.num_written_by_units
    tensors["ln_out.weight"].fill_(scale())
    return {name: value.contiguous() for name, value in tensors.items()}


def _network_shape(
    vocab_size: int, num_channels: int, head_size: int, layers: Sequence[LayerDraft]
) -> NetworkShape:
    return NetworkShape(
        vocab_size=vocab_size,
        num_channels=num_channels,
        head_size=head_size,
        layers=tuple(
            LayerShape(
                decay_rank=1,
                gate_rank=1,
                value_rank=1 if number else 0,
                learning_rate_rank=max(1, len(_controls(layer))),
                ffn_width=len(layer.units),
            )
            for number, layer in enumerate(layers)
        ),
    )


def _controls(layer: LayerDraft) -> list[Feature]:
    """The features that learning rates depend on, each a rank of the low-rank matrix."""
    return list(dict.fromkeys(feature for head in layer.heads for _, feature, _ in head.rates))


def _time_mix(
    tensors: dict[str, Tensor],
    prefix: str,
    layer: LayerDraft,
    channels: _Channels,
    head_size: int,
) -> None:
    """Fill in a layer's heads, whose tensors' names start with ``prefix``.

    Token shift, key mixing and bonus stay 0.
    """
    reader, writer = channels.reader, channels.writer
    for name in ("k_k", "ln_x.weight"):
        tensors[prefix + name].fill_(1.0)
    # No decay, no value residual, and a gate that is always open.
    tensors[prefix + "w0"].fill_(-SATURATED)
    if prefix + "v0" in tensors:
        tensors[prefix + "v0"].fill_(-SATURATED)
    tensors[prefix + "g1"][:, 0] = reader([(ONE, SATURATED)])
    tensors[prefix + "g2"].fill_(1.0)
    rates = tensors[prefix + "a0"].view(-1)
    rates.fill_(-SATURATED)
    controls = {feature: rank for rank, feature in enumerate(_controls(layer))}
    for feature, rank in controls.items():
        tensors[prefix + "a1"][:, rank] = reader([(feature, 1.0)])
    for number, head in enumerate(layer.heads):
        first = number * head_size
        for coordinate, feature, weight in head.key:
            tensors[prefix + "key.weight"][first + coordinate] += reader([(feature, weight)])
        for coordinate, feature, weight in head.receptance:
            tensors[prefix + "receptance.weight"][first + coordinate] += reader([(feature, weight)])
        for place, feature, weight in head.value:
            read = reader([(feature, weight)])
            tensors[prefix + "value.weight"][first + 2 * place] += read
            tensors[prefix + "value.weight"][first + 2 * place + 1] -= read
        gain = 1 / math.sqrt(2 * head.num_active / head_size + GROUP_NORM_EPS)
        for place, feature in head.output:
            tensors[prefix + "output.weight"][:, first + 2 * place] += writer([(feature, 1 / gain)])
        for coordinate, offset in head.rate_offsets.items():
            rates[first + coordinate] = offset
        for coordinate, feature, weight in head.rates:
            tensors[prefix + "a2"][controls[feature], first + coordinate] += weight
