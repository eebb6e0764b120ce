"""The three forms of a compiled language, by how a letter's rewriting of registers becomes single steps.

* ``direct``, 1 layer: every letter is a single step (parity, swaps of five things, flip-flops);
* ``table``, 4 layers: letters come in blocks of B; what a block does to n registers takes at most n - 1 <= B
  steps, which are carried out during the next block. Layers 1 and 2 count positions, 3 recalls the last 2B
  letters and looks up, in a feed-forward table of all that they can be, the step and the register that
  says whether the string so far is accepted; 4 carries it out. The table grows as letters^(2B).
* ``scan``, 6 layers and more, polynomial in n: see `evalkit_tasks.compiling.scan`.
"""

import itertools

from evalkit_tasks.compiling.layers import BASE_BLOCKS, START, memory_heads, parity_layer, position_layer
from evalkit_tasks.compiling.registers import NO_STEP, Registers, Step, apply_steps, program
from evalkit_tasks.compiling.scan import scan_block, scan_form
from evalkit_tasks.compiling.steps import (
    Draft,
    Embedding,
    carry_out,
    compose,
    fitting_head_size,
    read_features,
    step_features,
    write_step,
)
from evalkit_tasks.compiling.weights import ONE, AnyOf, Feature, Features, LayerDraft

MAX_TABLE = 20_000
"""Entries of the ``table`` form; above it there is the ``scan``."""

TOO_LARGE = 10**18
"""What `table_size` says of a table whose blocks no two layers can count."""


def _direct_form(features: Features, registers: Registers, embedding: Embedding, tokens: list[int]) -> Draft:
    steps = _direct_steps(registers)
    assert steps is not None
    written_steps = step_features(features, registers.num_registers)
    for token, step in zip(tokens, [*steps, NO_STEP], strict=True):
        embedding[token] += write_step(step)
    for token in set(range(len(embedding))) - set(tokens):
        embedding[token] += write_step(NO_STEP)
    layer = LayerDraft()
    read: list[dict[Feature, int]] = [{ONE: register} for register in registers.read]
    bits = carry_out(features, layer, registers, 1, written_steps, read)
    return Draft([layer], bits, 3, fitting_head_size(2 * registers.num_registers), 1)


def _table_form(features: Features, registers: Registers, embedding: Embedding, tokens: list[int]) -> Draft:
    num_registers, num_letters = registers.num_registers, len(registers.maps)
    block = _table_block(num_registers)
    assert block is not None
    letters = features.add(("letter", letter) for letter in [*range(num_letters), START])
    for number, token in enumerate(tokens):
        embedding[token].append((letters[number], 1.0))
    for token in set(range(len(embedding))) - set(tokens):
        embedding[token].append((letters[0], 1.0))  # one like any other; the string is lost anyway
    layers = [parity_layer(features), position_layer(features, block)]
    head_size = fitting_head_size(2 * block, 2 * len(letters), 2 * num_registers, 6)

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
    written_steps = step_features(features, num_registers)
    read = read_features(features, registers, num_registers)
    _table_units(recall, registers, positions, block)
    at_start = [(("read", number, register), 1.0) for number, register in enumerate(registers.read)]
    recall.when([start], [*write_step(NO_STEP), *at_start])
    recall.num_written_by_units = 3 + len(registers.read)
    execute = LayerDraft()
    bits = carry_out(features, execute, registers, 1, written_steps, read)
    return Draft([*layers, recall, execute], bits, 1, head_size, block)


def _table_units(recall: LayerDraft, registers: Registers, positions: list[Feature], block: int) -> None:
    """A hidden unit for all that the last letters can be: those of the block before, and of this one so far.

    It says the step that is due now, of those that carry out the block before, and the register to read: the
    one that holds, now that some steps are done, what is asked for once all of them and the letters of this
    block were carried out.
    """
    num_registers, num_letters = registers.num_registers, len(registers.maps)

    def letter(num_ago: int, letter_read: int | str) -> Feature:
        return (f"{num_ago} ago", ("letter", letter_read)) if num_ago else ("letter", letter_read)

    maps = [tuple(row) for row in registers.maps.tolist()]
    # None: the first block, before which there is no other.
    for before in [None, *itertools.product(range(num_letters), repeat=block)]:
        steps = [] if before is None else program(compose([maps[a] for a in before], num_registers))
        steps += [NO_STEP] * (block - len(steps))
        block_before: tuple[int | str, ...] = (START,) * block if before is None else before
        for length in range(1, block + 1):
            still_to_do = apply_steps(steps[length:], num_registers)
            needed: list[Feature] = [AnyOf(tuple(positions[length - 1 :: block]))]
            needed += [letter(length + block - 1 - place, a) for place, a in enumerate(block_before)]
            for beginning in itertools.product(range(num_letters), repeat=length):
                current = [letter(length - 1 - place, a) for place, a in enumerate(beginning)]
                function = compose([still_to_do, *(maps[a] for a in beginning)], num_registers)
                reads = [
                    (("read", number, function[register]), 1.0)
                    for number, register in enumerate(registers.read)
                ]
                recall.when([*needed, *current], [*write_step(steps[length - 1]), *reads])


def forms(registers: Registers) -> dict[int, str]:
    """The forms that a language has, by number of layers."""
    by_num_layers = {}
    if _direct_steps(registers) is not None:
        by_num_layers[1] = "direct"
    if table_size(registers) <= MAX_TABLE:
        by_num_layers[4] = "table"
    block, num_doublings = scan_block(registers.num_registers)
    by_num_layers[4 + num_doublings + max(0, block - 1).bit_length()] = "scan"
    return by_num_layers


def table_size(registers: Registers) -> int:
    """Entries of the table form; `TOO_LARGE` where its blocks would be too long to count."""
    block = _table_block(registers.num_registers)
    if block is None:
        return TOO_LARGE
    num_letters = len(registers.maps)
    num_blocks: int = num_letters**block + 1
    num_beginnings: int = sum(num_letters**length for length in range(1, block + 1))
    return num_blocks * num_beginnings


def _direct_steps(registers: Registers) -> list[Step] | None:
    """The step of each letter; None where a letter needs more than one."""
    programs = [program(tuple(row)) for row in registers.maps.tolist()]
    if any(len(steps) > 1 for steps in programs):
        return None
    return [steps[0] if steps else NO_STEP for steps in programs]


def _table_block(num_registers: int) -> int | None:
    """The shortest block that has room for a program; None where two layers cannot count it."""
    return next((block for block in BASE_BLOCKS if block >= num_registers - 1), None)


BUILDERS = {"direct": _direct_form, "table": _table_form, "scan": scan_form}
"""From features, registers, embedding and the tokens of letters and document start to a `Draft`."""
