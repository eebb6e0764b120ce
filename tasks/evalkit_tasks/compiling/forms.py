"""The four forms of a compiled language, by how a letter's rewriting of registers becomes single steps.

* ``direct``, 1 layer: every letter is a single step (parity, swaps of five things, flip-flops);
* ``table``, 4 layers: letters come in blocks of B; what a block does to n registers takes at most n - 1 <= B
  steps, which are carried out during the next block. Layers 1 and 2 count positions, 3 recalls the last 2B
  letters and looks up, in a feed-forward table of all that they can be, the step and the register that
  says whether the string so far is accepted; 4 carries it out. The table grows as letters^(2B).
* ``scan``, 6 layers and more, polynomial in n: see `evalkit_tasks.compiling.scan`;
* ``one-hot``, 8 layers and more, polynomial in the number of states, where the registers of the others can
  be exponentially many: see `evalkit_tasks.compiling.one_hot`.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

from evalkit.errors import UsageError
from evalkit_tasks.compiling.layers import BASE_BLOCKS, START, memory_heads, parity_layer, position_layer
from evalkit_tasks.compiling.one_hot import STEPS_PER_STATE, one_hot_form
from evalkit_tasks.compiling.registers import (
    MAX_REGISTERS,
    MAX_STATES,
    NO_STEP,
    Readout,
    Registers,
    StateRegisters,
    Step,
    apply_steps,
    program,
    registers_of,
    state_registers,
)
from evalkit_tasks.compiling.scan import num_scan_layers, scan_form
from evalkit_tasks.compiling.steps import (
    EXECUTE,
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
from evalkit_tasks.formal.automaton import Automaton

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
    layer = LayerDraft(EXECUTE)
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
    recall = LayerDraft("which step of the block before is due, looked up, and which register to read")
    for ago in range(1, period):
        features.add((f"{ago} ago", name) for name in letters)
        recall.heads += memory_heads(
            head_size,
            [letters],
            f"{ago} ago",
            f"the letter {ago} before",
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
    execute = LayerDraft(EXECUTE)
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


class Form(NamedTuple):
    """A form that a language has."""

    name: str
    """``direct``, ``table``, ``scan`` or ``one-hot``."""
    num_layers: int
    num_registers: int
    readout: Readout
    registers: Registers | StateRegisters
    build: Callable[[Features, Embedding, list[int]], Draft]
    """From features, embedding and the tokens of letters and document start."""


def forms(automaton: Automaton) -> dict[int, Form]:
    """The forms that a language has, by number of layers; of two of as many, that with fewer registers.

    Raises:
        UsageError: it has none.
    """
    candidates = []
    registers, states = registers_of(automaton), state_registers(automaton)
    if registers is not None:
        candidates += _register_forms(registers)
    if states is not None:
        num_layers = num_scan_layers(STEPS_PER_STATE * states.num_registers)

        def build(features: Features, embedding: Embedding, tokens: list[int]) -> Draft:
            return one_hot_form(features, states, embedding, tokens)

        candidates.append(Form("one-hot", num_layers, states.num_registers, states.readout, states, build))
    if not candidates:
        raise UsageError(
            f"{automaton.name}: it has more than {MAX_STATES} states, and its reverse automaton more than "
            f"{MAX_REGISTERS}; each state of the one or of the other takes a register"
        )
    candidates.sort(key=lambda form: -form.num_registers)
    return {form.num_layers: form for form in candidates}


def _register_forms(registers: Registers) -> list[Form]:
    num_layers_of = {"scan": num_scan_layers(registers.num_registers)}
    if _direct_steps(registers) is not None:
        num_layers_of["direct"] = 1
    if table_size(registers) <= MAX_TABLE:
        num_layers_of["table"] = 4

    def builder(name: str) -> Callable[[Features, Embedding, list[int]], Draft]:
        return lambda features, embedding, tokens: _BUILDERS[name](features, registers, embedding, tokens)

    return [
        Form(name, num_layers, registers.num_registers, registers.readout, registers, builder(name))
        for name, num_layers in num_layers_of.items()
    ]


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


_BUILDERS = {"direct": _direct_form, "table": _table_form, "scan": scan_form}
