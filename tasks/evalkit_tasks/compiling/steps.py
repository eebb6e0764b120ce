"""What the forms share: how steps are written into the stream and carried out on registers."""

import dataclasses
import itertools
from typing import NamedTuple

from evalkit_tasks.compiling.layers import letters_only_head, register_heads, verdict_units
from evalkit_tasks.compiling.registers import Readout, Registers, Step
from evalkit_tasks.compiling.weights import Feature, Features, HeadDraft, LayerDraft

Embedding = list[list[tuple[Feature, float]]]
"""What each token of the vocabulary writes."""


EXECUTE = "the label's bits and whether the string is accepted; carries out the step that is due"
"""What the last layer of every form is for."""


class StepFeatures(NamedTuple):
    """The features that say which step is due; in each group one more than these stands for none."""

    targets: list[Feature]
    """By place of a register: it is rewritten."""
    sources: list[Feature]
    """The target gets its content."""
    exchanged: list[Feature]
    """It gets the target's content; empty where all steps are copies."""


@dataclasses.dataclass
class Draft:
    """What a form comes out as."""

    layers: list[LayerDraft]
    bits: list[Feature]
    """What is read out after each token, -1 or 1: by register of `Registers.read`, then by bit."""
    num_embedded: int
    """Groups of features that tokens write beside the ones that they all do."""
    head_size: int
    block: int
    """Letters per block; 1 in the direct form."""


def step_features(features: Features, num_places: int, *, with_exchange: bool = True) -> StepFeatures:
    """Features for a step's target, its source, and what it exchanges; each group has one for none."""
    groups = []
    for role in ("target", "source", "exchanged") if with_exchange else ("target", "source"):
        groups.append(features.add((role, place) for place in range(num_places)))
        features.add([(role, None)])
    return StepFeatures(groups[0], groups[1], groups[2] if with_exchange else [])


def write_step(step: Step, *, with_exchange: bool = True) -> list[tuple[Feature, float]]:
    """What a token writes to say that a step is due: a feature of each group, with its amount."""
    operation, target, source = step
    chosen: dict[str, int | None] = {"target": None, "source": None}
    if operation != "none":
        chosen = {"target": target, "source": source}
    if with_exchange:
        chosen["exchanged"] = source if operation == "swap" else None
    return [((role, place), 1.0) for role, place in chosen.items()]


def read_features(features: Features, registers: Registers, num_places: int) -> list[dict[Feature, int]]:
    """For each register of `Registers.read`: features that say which place is read, and the place of each."""
    read: list[dict[Feature, int]] = []
    for number in range(len(registers.read)):
        names = features.add(("read", number, place) for place in range(num_places))
        read.append({name: place for place, name in enumerate(names)})
    return read


def carry_out(
    features: Features,
    layer: LayerDraft,
    registers: Registers,
    num_banks: int,
    written_steps: StepFeatures,
    read: list[dict[Feature, int]],
) -> list[Feature]:
    """Fill in the last layer: steps, the read-out and the verdict.

    Args:
        features: gets those of the bits and of the verdict.
        layer: gets heads and hidden units.
        registers: of the language.
        num_banks: how many sets of registers there are.
        written_steps: what says which step is due.
        read: for each register of `Registers.read`, the place that is read under each feature.

    Returns:
        The features of the bits that are read out.
    """
    heads, bits = register_heads(
        features,
        registers,
        num_banks=num_banks,
        targets=written_steps.targets,
        sources=written_steps.sources,
        exchanged=written_steps.exchanged,
        read=read,
    )
    flat = list(itertools.chain(*bits))
    judge(features, layer, registers.readout, heads, flat)
    return flat


def judge(
    features: Features, layer: LayerDraft, readout: Readout, heads: list[HeadDraft], bits: list[Feature]
) -> None:
    """Give the last layer its heads, one that remembers tokens that are no letters, and the verdict's units.

    Args:
        features: gets those of the verdict.
        layer: gets heads and hidden units.
        readout: what the bits say.
        heads: that carry out steps and read the bits.
        bits: the features that they write.
    """
    head, clean = letters_only_head(features)
    layer.heads += [*heads, head]
    layer.num_written_by_heads += len(bits) + 1
    verdict_units(features, layer, readout, bits, clean)


def compose(functions: list[tuple[int, ...]], num_registers: int) -> tuple[int, ...]:
    """The map of letters in a row, of which the last is applied first (see `registers`)."""
    composed = tuple(range(num_registers))
    for function in functions:
        composed = tuple(composed[y] for y in function)
    return composed


def fitting_head_size(*needed: int) -> int:
    """The smallest head size that has room for each of these numbers of coordinates."""
    size: int = next(size for size in (16, 32, 64, 128) if size >= max(needed))
    return size
