"""Models that were quantised, beside the one that they were made of, as far as their cells tell.

A cell tells it in two ways. ``origin`` is a model's name, from the catalog or ``evalkit.toml``. Where nobody
gave one, ``origin_sha256`` of GGUF files is the same for all that were made of one model
(`evalkit.models.gguf.dequantise.origin_sha256`); the original is then the one with the most bits per weight.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evalkit.analysis.configurations import ModelConfiguration
from evalkit.cells.schema import CellModel

_WHOLE_BITS = {"float64": 64.0, "float32": 32.0, "float16": 16.0, "bfloat16": 16.0}


class QuantisedModel(NamedTuple):
    """A configuration, and that of the model that it was quantised from; indices among the results'."""

    configuration: int
    original: int


class StoredWeights(NamedTuple):
    """How a model's weights are stored; None of what its cells do not say."""

    kind: str | None
    """``Q4_1``, ``bfloat16``: the type of most of the bytes."""
    bits_per_weight: float | None
    file_bytes: int | None


def stored_weights(model: CellModel) -> StoredWeights:
    """What a cell says of how the model's weights are stored."""
    kind = model.details.get("stored_dtype")
    bits, num_bytes = model.details.get("bits_per_weight"), model.details.get("file_bytes")
    kind = kind if isinstance(kind, str) else None
    return StoredWeights(
        kind,
        float(bits) if isinstance(bits, int | float) else _WHOLE_BITS.get(kind or ""),
        num_bytes if isinstance(num_bytes, int) else None,
    )


def quantised_models(configurations: Sequence[ModelConfiguration]) -> list[QuantisedModel]:
    """The quantised models whose original was scored in the same way; by original, most bits first.

    In the same way: under the same policy, with the same tokens read before a document and the same limit of
    the context, by the same loader where no origin is named.
    """
    pairs = [
        QuantisedModel(index, original)
        for index, configuration in enumerate(configurations)
        if configuration.policy is not None and (original := _original_of(index, configurations)) is not None
    ]
    return sorted(pairs, key=lambda pair: (pair.original, -_bits(configurations[pair.configuration]), pair))


def _original_of(index: int, configurations: Sequence[ModelConfiguration]) -> int | None:
    configuration = configurations[index]
    details = configuration.facts.details
    candidates = list(_scored_alike(index, configurations))
    if name := details.get("origin"):
        named = next((rival for rival in candidates if configurations[rival].model == name), None)
        if named is not None:
            return named
    digest = details.get("origin_sha256")
    family = [
        rival
        for rival in candidates
        if digest is not None
        and configurations[rival].facts.details.get("origin_sha256") == digest
        and configurations[rival].facts.loader == configuration.facts.loader
        and _bits(configurations[rival]) > _bits(configuration)
    ]
    return max(family, key=lambda rival: (_bits(configurations[rival]), -rival), default=None)


def _scored_alike(index: int, configurations: Sequence[ModelConfiguration]) -> Iterator[int]:
    settings = configurations[index].settings
    for rival, configuration in enumerate(configurations):
        beside = configuration.settings
        if rival != index and (settings.name, settings.prefix_ids, settings.context_limit) == (
            beside.name, beside.prefix_ids, beside.context_limit,
        ):  # fmt: skip
            yield rival


def _bits(configuration: ModelConfiguration) -> float:
    return stored_weights(configuration.facts).bits_per_weight or 0.0
