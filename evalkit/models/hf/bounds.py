"""How much a checkpoint's small files may ask for, judged before anything is made that they describe.

A ``config.json`` of a few hundred bytes can describe a network of any size, and a ``tokenizer.json`` rules by
which a text grows without end. What weights are there bounds the first; the second is bounded by itself.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from evalkit.errors import ModelError
from evalkit.files import parse_json
from evalkit.models.hf.tokenizer_state import Part, components

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
_LARGEST_ID = 2**24
_MOST_GROWTH = 256
"""Bytes after a tokenizer's rules for a byte before them; SentencePiece's space is three."""


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
    config: "PreTrainedConfig", auto_class: "type[_BaseAutoModelClass]", weights: list[Path], name: str
) -> None:
    """Refuse a config whose network is larger than the weights beside it could fill; none of it is allocated.

    Args:
        config: as transformers has read it.
        auto_class: makes the network.
        weights: all files with weights.
        name: what messages call the model.

    Raises:
        ModelError: it is larger.
    """
    with torch.device("meta"):
        network = auto_class.from_config(copy.deepcopy(config))
    num_elements = sum({id(tensor): tensor.numel() for tensor in network.parameters()}.values())
    num_buffer_elements = sum(tensor.numel() for tensor in network.buffers())
    num_bytes = sum(path.stat().st_size for path in weights)
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


def check_tokenizer(path: Path, name: str) -> None:
    """Refuse a ``tokenizer.json`` whose rules, one after the other, can make a text many times as long.

    And one with an id that no vocabulary has: the library goes through all ids up to the largest.

    Raises:
        ModelError: it is one of these, or cannot be read.
    """
    try:
        state = parse_json(path.read_bytes())
        growth = math.prod(
            _growth(part)
            for step in ("normalizer", "pre_tokenizer", "decoder")
            for part in components(state.get(step))
        )
        vocabulary = state["model"].get("vocab")
        ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else []
        ids += [token["id"] for token in state.get("added_tokens") or ()]
        is_too_large = max(ids, default=0) > _LARGEST_ID
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{name}: the tokenizer in {path} cannot be read: {error!r}; fetch it again"
        ) from error
    if is_too_large:
        raise ModelError(f"{name}: {path} has a token of id {max(ids)}, and no vocabulary is as large")
    if growth > _MOST_GROWTH:
        raise ModelError(
            f"{name}: the rules in {path} can make a text {growth:.0g} times as long, more than any "
            "tokenizer's; fetch it again"
        )


def _growth(part: Part) -> float:
    """The most bytes that a rule makes of one."""
    if part["type"] == "ByteLevel":
        return 2.0
    if part["type"] == "Metaspace":
        return len(str(part["replacement"]).encode()) or 1.0
    if part["type"] != "Replace":
        return 1.0
    num_bytes = len(str(part["content"]).encode())
    pattern = part["pattern"]
    if isinstance(pattern.get("String"), str) and pattern["String"]:
        return max(1.0, num_bytes / len(pattern["String"].encode()))
    return 1.0 + num_bytes  # a regular expression that may match nothing, before every character
