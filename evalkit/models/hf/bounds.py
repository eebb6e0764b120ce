"""How large a network a checkpoint's config may ask for, judged before anything of it is made.

A ``config.json`` of a few hundred bytes can describe a network of any size. The weights beside it bound that.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from transformers.initialization import meta_device_safe_creation_ops

from evalkit.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

_MOST_PARTS = {
    r"layers?(?:_|$)|blocks?(?:_|$)|depth": 2048,
    r"experts?(?:_|$)|heads?(?:_|$)|groups?(?:_|$)": 16384,
}
"""Settings of which a network makes objects one by one, by their names, and more than any model has."""
_NO_COUNT = re.compile(r"_ids?(?:_|$)|index|size|dim|rank|period|start|end|interval|freq")
_MOST_ELEMENTS_PER_BYTE = 8
"""Weights of one bit."""
_SMALL_ELEMENTS = 2**24
_MOST_BUFFER_ELEMENTS = 2**28
"""A gigabyte of float32: more than the masks and rotary tables of any model."""


def check_stated_counts(stated: Mapping[str, object], name: str) -> None:
    """Refuse a config that asks for more layers, experts or heads than any model has.

    Raises:
        ModelError: it does; the message names the setting.
    """
    for key, value in _numbers(stated):
        for pattern, most in _MOST_PARTS.items():
            if re.search(pattern, key) and not _NO_COUNT.search(key) and value > most:
                raise ModelError(
                    f"{name}: config.json says {key} {value}, and no model has more than {most}; "
                    "fetch it again"
                )


def _numbers(value: object, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, Mapping | list):
                yield from _numbers(inner, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def check_network_size(
    config: "PreTrainedConfig",
    auto_class: "type[_BaseAutoModelClass]",
    num_bytes: int,
    name: str,
    *,
    trust_remote_code: bool,
) -> None:
    """Refuse a config whose network is larger than the weights beside it could fill; none of it is allocated.

    Args:
        config: as transformers has read it.
        auto_class: makes the network.
        num_bytes: of all files with weights, which may not be here yet.
        name: what messages call the model.
        trust_remote_code: whether the network may be one of the checkpoint's own Python.

    Raises:
        ModelError: it is larger.
    """
    # As transformers is going to make it, also of a checkpoint's own Python.
    with torch.device("meta"), meta_device_safe_creation_ops():
        network = auto_class.from_config(copy.deepcopy(config), trust_remote_code=trust_remote_code)
    num_elements = sum({id(tensor): tensor.numel() for tensor in network.parameters()}.values())
    num_buffer_elements = sum(tensor.numel() for tensor in network.buffers())
    if num_elements > max(_MOST_ELEMENTS_PER_BYTE * num_bytes, _SMALL_ELEMENTS):
        raise ModelError(
            f"{name}: config.json describes {num_elements:,} parameters, and the weights beside it have "
            f"{num_bytes:,} bytes; fetch both from one place"
        )
    if num_buffer_elements > max(num_bytes, _MOST_BUFFER_ELEMENTS):
        raise ModelError(
            f"{name}: config.json describes tables of {num_buffer_elements:,} numbers beside the weights; a "
            "length in it is no model's"
        )
