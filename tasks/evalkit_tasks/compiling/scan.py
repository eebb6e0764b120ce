"""The ``scan`` form: 6 layers and more, polynomial in the number n of registers.

Each of log2(B) layers doubles how many of a block's last letters it has composed into one map (n^3 hidden
units each), as a parallel prefix sum does (Hillis and Steele, "Data parallel algorithms", 1986); the next
layer recalls the map of the block before, and the last copies one register per token from one bank to
another, B >= n. Blocks above 12 need another counter layer each time they double.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit_tasks.compiling.layers import (
    BASE_BLOCKS,
    START,
    doubling_layer,
    memory_heads,
    parity_layer,
    position_layer,
)
from evalkit_tasks.compiling.registers import NO_STEP, Registers, Step
from evalkit_tasks.compiling.steps import (
    EXECUTE,
    Draft,
    Embedding,
    carry_out,
    fitting_head_size,
    read_features,
    step_features,
    write_step,
)
from evalkit_tasks.compiling.weights import AnyOf, Feature, Features, LayerDraft

Columns = list[list[Feature]]
"""By x and then y: whether a map takes x to y. ``("recalled", feature)`` says the same of a map of before."""


class Composition(NamedTuple):
    """Layers that know at every token what its block's letters so far, and those of the block before, do."""

    layers: list[LayerDraft]
    """The last one has heads, and no hidden units yet."""
    columns: Columns
    """The map of the block's letters so far; that of the block before is recalled."""
    positions: list[Feature]
    """By place in two blocks."""
    start: Feature
    head_size: int


def scan_form(features: Features, registers: Registers, embedding: Embedding, tokens: list[int]) -> Draft:
    """The layers of the form; what each token writes is added to ``embedding``.

    Args:
        features: gets those of the form.
        registers: of the language.
        embedding: by token.
        tokens: of the letters, in order, and of the document start.
    """
    size = registers.num_registers
    block, num_doublings = scan_block(size)
    composition = composed_maps(
        features, registers.maps, embedding, tokens, block, num_doublings, is_last_letter_first=True
    )
    recall = composition.layers[-1]
    written_steps = step_features(features, 2 * size, with_exchange=False)
    read = read_features(features, registers, 2 * size)
    _copying_units(recall, registers, composition.columns, composition.positions, block)
    at_start = [(("read", number, register), 1.0) for number, register in enumerate(registers.read)]
    recall.when([composition.start], [*write_step(NO_STEP, with_exchange=False), *at_start])
    recall.num_written_by_units = 2 + len(registers.read)
    execute = LayerDraft(EXECUTE)
    bits = carry_out(features, execute, registers, 2, written_steps, read)
    return Draft([*composition.layers, execute], bits, size, composition.head_size, block)


def composed_maps(
    features: Features,
    maps: NDArray[np.int64],
    embedding: Embedding,
    tokens: list[int],
    block: int,
    num_doublings: int,
    *,
    is_last_letter_first: bool,
) -> Composition:
    """The layers before the last, which compose the maps of letters; tokens write those of single ones.

    Args:
        features: gets those of positions and maps.
        maps: ``[num_letters, size]``.
        embedding: by token.
        tokens: of the letters, in order, and of the document start.
        block: letters per block.
        num_doublings: how many more counters it needs; see `scan_block`.
        is_last_letter_first: whether the map of the last letter is the first that is applied.
    """
    head_size = fitting_head_size(4 * maps.shape[1], 2 * block, 6)
    columns = _embedded_maps(features, maps, embedding, tokens)
    base = block >> num_doublings
    layers = [parity_layer(features), position_layer(features, base)]
    layers += [doubling_layer(features, level, 2 * base << level) for level in range(num_doublings)]
    positions: list[Feature] = [("position", num_doublings, place) for place in range(2 * block)]
    start = ("position", num_doublings, START)
    composition = Composition(layers, columns, positions, start, head_size)
    span = 1
    while span < block:
        layers.append(_doubled_span(composition, span, block, is_last_letter_first=is_last_letter_first))
        span *= 2
    layers.append(LayerDraft("which step of the block before is due, and what to read"))
    layers[-1].heads = memory_heads(
        head_size,
        columns,
        "recalled",
        "the map of the block before",
        write={
            position: {block - 1: 0, 2 * block - 1: 1}.get(place, 2)
            for place, position in enumerate(positions)
        },
        read={position: int(place < block) for place, position in enumerate(positions)},
        start=start,
    )
    layers[-1].num_written_by_heads = len(columns)
    return composition


def _embedded_maps(
    features: Features, maps: NDArray[np.int64], embedding: Embedding, tokens: list[int]
) -> Columns:
    """Features of maps; each letter's token writes its own, any other token the identity."""
    size = maps.shape[1]
    columns = [features.add(("map", x, y) for y in range(size)) for x in range(size)]
    for column in columns:
        features.add(("recalled", name) for name in column)
    identity = [(columns[x][x], 1.0) for x in range(size)]
    for written in embedding:
        written += identity
    for token, row in zip(tokens, maps.tolist(), strict=False):  # the document start keeps it
        embedding[token][-size:] = [(columns[x][y], 1.0) for x, y in enumerate(row)]
    return columns


def _copying_units(
    recall: LayerDraft,
    registers: Registers,
    columns: Columns,
    positions: list[Feature],
    block: int,
) -> None:
    """Hidden units that say what is copied from the one bank to the other, and which register is read.

    In even blocks the first bank is read and the second one written, in odd blocks the other way round: at
    place x of a block, register x of the bank that is written gets what the map of the block before takes it
    from. What is read is the register to which that map and that of this block's letters so far send it.
    """
    size = registers.num_registers
    for place, position in enumerate(positions):
        bank, register = place // block * size, place % block
        if register >= size:
            recall.when([position], write_step(NO_STEP, with_exchange=False))
            continue
        for y in range(size):
            step = Step("copy", size - bank + register, bank + y)
            recall.when([position, ("recalled", columns[register][y])], write_step(step, with_exchange=False))
    for number, register in enumerate(registers.read):
        for bank, half in ((0, AnyOf(tuple(positions[:block]))), (size, AnyOf(tuple(positions[block:])))):
            for y, z in itertools.product(range(size), repeat=2):
                needed = [half, columns[register][y], ("recalled", columns[y][z])]
                recall.when(needed, [(("read", number, bank + z), 1.0)])


def _doubled_span(
    composition: Composition, span: int, block: int, *, is_last_letter_first: bool
) -> LayerDraft:
    """The maps of the block's last ``span`` letters become those of twice as many, as far as the block goes.

    What was recalled for that is erased, so that the next layer can recall into the same features.
    """
    layer = LayerDraft(f"the map of the block's last {2 * span} letters, of those of {span} and {span}")
    columns, positions = composition.columns, composition.positions
    size = len(columns)
    layer.heads = memory_heads(
        composition.head_size,
        columns,
        "recalled",
        f"the map of {span} letter{'s' * (span > 1)}, as of {span} before",
        write={position: place for place, position in enumerate(positions)},
        read={position: (place - span) % len(positions) for place, position in enumerate(positions)},
        start=composition.start,
    )
    layer.num_written_by_heads = size
    layer.num_written_by_units = -size
    late = AnyOf(tuple(name for place, name in enumerate(positions) if place % block >= span))
    for x, y in itertools.product(range(size), repeat=2):
        layer.when([late, columns[x][y]], [(columns[x][y], -1.0)])
        layer.when([("recalled", columns[x][y])], [(("recalled", columns[x][y]), -1.0)])
        for z in range(size):
            now, before = ((x, y), (y, z)) if is_last_letter_first else ((y, z), (x, y))
            needed = [late, columns[now[0]][now[1]], ("recalled", columns[before[0]][before[1]])]
            layer.when(needed, [(columns[x][z], 1.0)])
    return layer


def scan_block(num_steps: int) -> tuple[int, int]:
    """The shortest block with a token for each step, and how often a counter has to be doubled for it."""
    for block in BASE_BLOCKS:
        if block >= num_steps:
            return block, 0
    num_doublings = 1
    while BASE_BLOCKS[-1] << num_doublings < num_steps:
        num_doublings += 1
    return BASE_BLOCKS[-1] << num_doublings, num_doublings


def num_scan_layers(num_steps: int) -> int:
    """Layers of a form that composes the maps of blocks with a token for each step."""
    block, num_doublings = scan_block(num_steps)
    return 4 + num_doublings + max(0, block - 1).bit_length()
