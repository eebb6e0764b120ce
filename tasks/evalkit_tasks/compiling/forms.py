"""The three forms of a compiled language, by how a letter's rewriting of registers becomes single steps.

* ``direct``, 1 layer: every letter is a single step (parity, swaps of five things, flip-flops);
* ``table``, 4 layers: letters come in blocks of B; what a block does to n registers takes at most n - 1 <= B
  steps, which are carried out during the next block. Layers 1 and 2 count positions, 3 recalls the last 2B
  letters and looks up, in a feed-forward table of all that they can be, the step and the register that
  says whether the string so far is accepted; 4 carries it out. The table grows as letters^(2B).
* ``scan``, 6 layers and more, polynomial in n: each of log2(B) layers doubles how many of a block's last
  letters it has composed into one map (n^3 hidden units each), the next recalls the map of the block before,
  and the last copies one register per token from one bank to another, B >= n. Blocks above 12 need another
  counter layer each time they double.
"""

import dataclasses
import itertools

from evalkit_tasks.compiling.layers import (
    BASE_BLOCKS,
    START,
    doubling_layer,
    letters_only_head,
    memory_heads,
    parity_layer,
    position_layer,
    register_heads,
    verdict_units,
)
from evalkit_tasks.compiling.registers import NO_STEP, Registers, Step, apply_steps, program
from evalkit_tasks.compiling.weights import ONE, AnyOf, Feature, Features, LayerDraft

MAX_TABLE = 20_000
"""Entries of the ``table`` form; above it there is the ``scan``."""

TOO_LARGE = 10**18
"""What `table_size` says of a table whose blocks no two layers can count."""

Embedding = list[list[tuple[Feature, float]]]
"""What each token of the vocabulary writes."""


@dataclasses.dataclass
class Draft:
    """What a form comes out as."""

    layers: list[LayerDraft]
    bits: list[Feature]
    num_embedded: int
    """Groups of features that tokens write beside the ones that they all do."""
    head_size: int
    block: int


def _direct(features: Features, registers: Registers, embedding: Embedding, tokens: list[int]) -> Draft:
    steps = _direct_steps(registers)
    assert steps is not None
    targets, sources, exchanged = _step_features(features, registers.num_registers)
    for token, step in zip(tokens, [*steps, NO_STEP], strict=True):
        embedding[token] += _write_step(step)
    for token in set(range(len(embedding))) - set(tokens):
        embedding[token] += _write_step(NO_STEP)
    layer = LayerDraft()
    read: list[dict[Feature, int]] = [{ONE: register} for register in registers.read]
    bits = _carry_out(features, layer, registers, 1, (targets, sources, exchanged), read)
    return Draft([layer], bits, 3, _head_size(2 * registers.num_registers), 1)


def _table(features: Features, registers: Registers, embedding: Embedding, tokens: list[int]) -> Draft:
    num_registers, num_letters = registers.num_registers, len(registers.maps)
    block = _table_block(num_registers)
    assert block is not None
    letters = features.add(("letter", letter) for letter in [*range(num_letters), START])
    for number, token in enumerate(tokens):
        embedding[token].append((letters[number], 1.0))
    for token in set(range(len(embedding))) - set(tokens):
        embedding[token].append((letters[0], 1.0))  # one like any other; the string is lost anyway
    layers = [parity_layer(features), position_layer(features, block)]
    head_size = _head_size(2 * block, 2 * len(letters), 2 * num_registers, 6)

    period = 2 * block
    positions: list[Feature] = [("position", 0, place) for place in range(period)]
    start = ("position", 0, START)
    recall = LayerDraft()
    for ago in range(1, period):
        features.add((f"{ago} ago", name) for name in letters)
        recall.heads += memory_heads(
            head_size,
            [letters],
            f"{ago} ago",
            write={position: place for place, position in enumerate(positions)},
            read={position: (place - ago) % period for place, position in enumerate(positions)},
            start=start,
        )
        recall.num_written_by_heads += 1
    targets, sources, exchanged = _step_features(features, num_registers)
    read: list[dict[Feature, int]] = []
    for number in range(len(registers.read)):
        names = features.add(("read", number, register) for register in range(num_registers))
        read.append({name: register for register, name in enumerate(names)})

    def letter(ago: int, which: int | str) -> Feature:
        return (f"{ago} ago", ("letter", which)) if ago else ("letter", which)

    maps = [tuple(row) for row in registers.maps.tolist()]
    for before in [None, *itertools.product(range(num_letters), repeat=block)]:
        steps = [] if before is None else program(_compose([maps[a] for a in before], num_registers))
        steps += [NO_STEP] * (block - len(steps))
        old: tuple[int | str, ...] = (START,) * block if before is None else before
        for length in range(1, block + 1):
            left = apply_steps(steps[length:], num_registers)
            needed: list[Feature] = [AnyOf(tuple(positions[length - 1 :: block]))]
            needed += [letter(length + block - 1 - place, which) for place, which in enumerate(old)]
            for now in itertools.product(range(num_letters), repeat=length):
                current = [letter(length - 1 - place, which) for place, which in enumerate(now)]
                function = _compose([left, *(maps[a] for a in now)], num_registers)
                reads = [
                    (("read", number, function[register]), 1.0)
                    for number, register in enumerate(registers.read)
                ]
                recall.when([*needed, *current], [*_write_step(steps[length - 1]), *reads])
    at_start = [(("read", number, register), 1.0) for number, register in enumerate(registers.read)]
    recall.when([start], [*_write_step(NO_STEP), *at_start])
    recall.num_written_by_units = 3 + len(registers.read)
    execute = LayerDraft()
    bits = _carry_out(features, execute, registers, 1, (targets, sources, exchanged), read)
    return Draft([*layers, recall, execute], bits, 1, head_size, block)


def _scan(features: Features, registers: Registers, embedding: Embedding, tokens: list[int]) -> Draft:
    size = registers.num_registers
    block, num_doublings = _scan_block(size)
    head_size = _head_size(4 * size, 2 * block, 6)
    # Column x says to what the letters composed so far map x.
    columns = [features.add(("map", x, y) for y in range(size)) for x in range(size)]
    for column in columns:
        features.add(("recalled", name) for name in column)
    identity = [(columns[x][x], 1.0) for x in range(size)]
    for written in embedding:
        written += identity
    for token, row in zip(tokens, registers.maps.tolist(), strict=False):
        embedding[token][-size:] = [(columns[x][y], 1.0) for x, y in enumerate(row)]
    base = block >> num_doublings
    layers = [parity_layer(features), position_layer(features, base)]
    layers += [doubling_layer(features, level, 2 * base << level) for level in range(num_doublings)]
    positions: list[Feature] = [("position", num_doublings, place) for place in range(2 * block)]
    start = ("position", num_doublings, START)

    span = 1
    while span < block:
        layers.append(_doubled_span(head_size, columns, positions, start, span, block))
        span *= 2

    recall = LayerDraft()
    recall.heads = memory_heads(
        head_size,
        columns,
        "recalled",
        write={
            position: {block - 1: 0, 2 * block - 1: 1}.get(place, 2)
            for place, position in enumerate(positions)
        },
        read={position: int(place < block) for place, position in enumerate(positions)},
        start=start,
    )
    recall.num_written_by_heads = size
    targets, sources, _ = _step_features(features, 2 * size, with_exchange=False)
    read: list[dict[Feature, int]] = []
    for number in range(len(registers.read)):
        names = features.add(("read", number, place) for place in range(2 * size))
        read.append({name: place for place, name in enumerate(names)})
    for place, position in enumerate(positions):
        bank, register = place // block * size, place % block
        if register >= size:
            recall.when([position], _write_step(NO_STEP, with_exchange=False))
            continue
        for y in range(size):
            step = Step("copy", size - bank + register, bank + y)
            recall.when(
                [position, ("recalled", columns[register][y])], _write_step(step, with_exchange=False)
            )
    for number, register in enumerate(registers.read):
        for bank, half in ((0, AnyOf(tuple(positions[:block]))), (size, AnyOf(tuple(positions[block:])))):
            for y, z in itertools.product(range(size), repeat=2):
                needed = [half, columns[register][y], ("recalled", columns[y][z])]
                recall.when(needed, [(("read", number, bank + z), 1.0)])
    at_start = [(("read", number, register), 1.0) for number, register in enumerate(registers.read)]
    recall.when([start], [*_write_step(NO_STEP, with_exchange=False), *at_start])
    recall.num_written_by_units = 2 + len(registers.read)
    execute = LayerDraft()
    bits = _carry_out(features, execute, registers, 2, (targets, sources, []), read)
    return Draft([*layers, recall, execute], bits, size, head_size, block)


def _doubled_span(
    head_size: int,
    columns: list[list[Feature]],
    positions: list[Feature],
    start: Feature,
    span: int,
    block: int,
) -> LayerDraft:
    """The maps of the block's last ``span`` letters become those of twice as many, as far as the block goes.

    What was recalled for that is erased, so that the next layer can recall into the same features.
    """
    layer = LayerDraft()
    size = len(columns)
    layer.heads = memory_heads(
        head_size,
        columns,
        "recalled",
        write={position: place for place, position in enumerate(positions)},
        read={position: (place - span) % len(positions) for place, position in enumerate(positions)},
        start=start,
    )
    layer.num_written_by_heads = size
    layer.num_written_by_units = -size
    late = AnyOf(tuple(name for place, name in enumerate(positions) if place % block >= span))
    for x, y in itertools.product(range(size), repeat=2):
        layer.when([late, columns[x][y]], [(columns[x][y], -1.0)])
        layer.when([("recalled", columns[x][y])], [(("recalled", columns[x][y]), -1.0)])
        for z in range(size):
            layer.when([late, columns[x][y], ("recalled", columns[y][z])], [(columns[x][z], 1.0)])
    return layer


def _carry_out(
    features: Features,
    layer: LayerDraft,
    registers: Registers,
    num_banks: int,
    steps: tuple[list[Feature], list[Feature], list[Feature]],
    read: list[dict[Feature, int]],
) -> list[Feature]:
    """The last layer: steps, the read-out and the verdict."""
    targets, sources, exchanged = steps
    heads, bits = register_heads(
        features,
        registers,
        num_banks=num_banks,
        targets=targets,
        sources=sources,
        exchanged=exchanged,
        read=read,
    )
    head, clean = letters_only_head(features)
    layer.heads += [*heads, head]
    flat = list(itertools.chain(*bits))
    layer.num_written_by_heads += len(flat) + 1
    verdict_units(features, layer, registers, flat, clean)
    return flat


def forms(registers: Registers) -> dict[int, str]:
    """The forms that a language has, by number of layers."""
    num_registers = registers.num_registers
    found = {}
    if _direct_steps(registers) is not None:
        found[1] = "direct"
    if table_size(registers) <= MAX_TABLE:
        found[4] = "table"
    block, num_doublings = _scan_block(num_registers)
    found[4 + num_doublings + max(0, block - 1).bit_length()] = "scan"
    return found


def table_size(registers: Registers) -> int:
    """Entries of the table form; a large number where its blocks would be too long to count."""
    block = _table_block(registers.num_registers)
    if block is None:
        return TOO_LARGE
    num_letters = len(registers.maps)
    num_blocks: int = num_letters**block + 1
    num_beginnings: int = sum(num_letters**length for length in range(1, block + 1))
    return num_blocks * num_beginnings


def _step_features(
    features: Features, num_places: int, *, with_exchange: bool = True
) -> tuple[list[Feature], list[Feature], list[Feature]]:
    """Features for a step's target, its source, and what it exchanges; each group has one for none."""
    groups = []
    for role in ("target", "source", "exchanged") if with_exchange else ("target", "source"):
        groups.append(features.add((role, place) for place in range(num_places)))
        features.add([(role, None)])
    return groups[0], groups[1], groups[2] if with_exchange else []


def _write_step(step: Step, *, with_exchange: bool = True) -> list[tuple[Feature, float]]:
    """The features of a step."""
    operation, target, source = step
    chosen: dict[str, int | None] = {"target": None, "source": None}
    if operation != "none":
        chosen = {"target": target, "source": source}
    if with_exchange:
        chosen["exchanged"] = source if operation == "swap" else None
    return [((role, place), 1.0) for role, place in chosen.items()]


def _direct_steps(registers: Registers) -> list[Step] | None:
    """The step of each letter; None where a letter needs more than one."""
    programs = [program(tuple(row)) for row in registers.maps.tolist()]
    if any(len(steps) > 1 for steps in programs):
        return None
    return [steps[0] if steps else NO_STEP for steps in programs]


def _compose(functions: list[tuple[int, ...]], num_registers: int) -> tuple[int, ...]:
    """The map of letters in a row: the last is applied first."""
    result = tuple(range(num_registers))
    for function in functions:
        result = tuple(result[y] for y in function)
    return result


def _table_block(num_registers: int) -> int | None:
    """The shortest block that has room for a program; None where two layers cannot count it."""
    return next((block for block in BASE_BLOCKS if block >= num_registers - 1), None)


def _scan_block(num_registers: int) -> tuple[int, int]:
    """The shortest block with a token for each register, and how often a counter has to be doubled for it."""
    for block in BASE_BLOCKS:
        if block >= num_registers:
            return block, 0
    num_doublings = 1
    while BASE_BLOCKS[-1] << num_doublings < num_registers:
        num_doublings += 1
    return BASE_BLOCKS[-1] << num_doublings, num_doublings


def _head_size(*needed: int) -> int:
    size: int = next(size for size in (16, 32, 64, 128) if size >= max(needed))
    return size


BUILDERS = {"direct": _direct, "table": _table, "scan": _scan}
"""From features, registers, embedding and the tokens of letters and document start to a `Draft`."""
