"""What the ``config.json`` beside RWKV-7 weights says: followed where it can be, refused where it cannot.

Sizes are read from the tensors. What tensors do not tell (the epsilons of the normalisations, whether the
head is the embedding) is taken from here, and what is another network than x070 is refused by its setting.
An official ``.pth`` that is named itself has no config.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from evalkit.errors import ModelError
from evalkit.files import parse_json
from evalkit.models.rwkv7.network import GROUP_NORM_EPS, RWKV7, Block, NetworkShape

_LAYER_NORM_EPS = 1e-5
_FIXED: dict[str, tuple[object, ...]] = {
    "model_type": (None, "rwkv7"),
    "hidden_act": (None, "sqrelu", "relu2"),
    "norm_first": (None, False, True),
    "norm_bias": (None, True),
    "attn": (None,),
}
"""Settings that x070 has one meaning for; None stands for a setting that is not there."""


class NormEpsilons(NamedTuple):
    """What is added to a variance before it is divided by."""

    layer: float
    group: float


class Settings(NamedTuple):
    """A ``config.json``, as far as it bears on the numbers; nothing is stated where there is none."""

    stated: Mapping[str, object]
    norm_eps: float | None

    @property
    def is_tied(self) -> bool:
        """Whether the head is the embedding."""
        return self.stated.get("tie_word_embeddings") is True

    def epsilons(self, shape: NetworkShape, *, is_fla: bool) -> NormEpsilons:
        """Epsilons as fla and the hub's own code take them from ``norm_eps``: times the head size in heads.

        Args:
            shape: of the network.
            is_fla: whether the tensors are in fla's layout, whose default depends on the head size too.
        """
        if self.norm_eps is None and not is_fla:
            return NormEpsilons(_LAYER_NORM_EPS, GROUP_NORM_EPS)
        eps = _LAYER_NORM_EPS if self.norm_eps is None else self.norm_eps
        return NormEpsilons(eps, eps * shape.head_size)


def read_settings(path: Path) -> Settings:
    """The settings beside a checkpoint.

    Args:
        path: the checkpoint's file or folder.

    Raises:
        ModelError: the config is no JSON object, or describes another network.
    """
    config = (path if path.is_dir() else path.parent) / "config.json"
    if path.suffix == ".pth" or not config.is_file():
        return Settings({}, None)
    try:
        stated = parse_json(config.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{config} cannot be read as JSON: {error}") from error
    if not isinstance(stated, dict):
        raise ModelError(f"{config} is no JSON object; fetch it again")
    for name, values in _FIXED.items():
        if stated.get(name) not in values:
            raise ModelError(
                f"{config} says {name} {stated[name]!r}; evalkit's RWKV-7 has {values[-1]!r} and nothing else"
            )
    return Settings(stated, _norm_eps(stated, config))


def _norm_eps(stated: Mapping[str, object], config: Path) -> float | None:
    value = stated.get("norm_eps")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ModelError(f"{config} says norm_eps {value!r}; it must be a number between 0 and 1")
    return float(value)


def check_sizes(settings: Settings, shape: NetworkShape, path: Path) -> None:
    """Refuse a config that belongs to other tensors: what it would make of these is not what was trained.

    Raises:
        ModelError: a size differs.
    """
    sizes = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.num_channels,
        "num_hidden_layers": len(shape.layers),
        "head_dim": shape.head_size,
        "num_heads": shape.num_channels // shape.head_size,
        "intermediate_size": shape.layers[0].ffn_width,
    }
    for name, size in sizes.items():
        value = settings.stated.get(name)
        if value is not None and value != size:
            raise ModelError(
                f"{path}: config.json says {name} {value!r}, the tensors {size}; fetch both from one place"
            )
    widths = settings.stated.get("value_dim")
    if widths is not None and set(widths if isinstance(widths, list) else [widths]) != {shape.num_channels}:
        raise ModelError(f"{path}: config.json says value_dim {widths!r}; evalkit knows {shape.num_channels}")


def tie_head(tensors: dict[str, Tensor], path: Path) -> None:
    """Give the tensors the embedding as their head, in place.

    Raises:
        ModelError: there is a head, and it is another one.
    """
    embedding = tensors.get("emb.weight")
    if embedding is None:
        return
    head = tensors.setdefault("head.weight", embedding)
    if not torch.equal(head, embedding):
        raise ModelError(
            f"{path}: config.json says tie_word_embeddings, but the file's head is not the embedding"
        )


def apply_epsilons(network: RWKV7, epsilons: NormEpsilons) -> None:
    """Set the epsilons of all normalisations of a network."""
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = epsilons.layer
    for block in network.blocks:
        cast(Block, block).att.ln_x.eps = epsilons.group
