"""The ``one-hot`` form: a register for each state, so n of them for n states, where the reverse can need 2^n.

One register holds 1, that of the state the automaton is in. Where a letter sends two states to one, the
content of a register has to be added to another: x := x + y, y := 0. No single step of the recurrence does
that: a step writes along the key that it reads with, so x could not gain y without losing some of itself. Two
steps do, on registers that are two equal coordinates each:

* key (1, -1, -1, -1) / 2 on (x1, x2, y1, y2), rate 1 on x1 and y2: x1 becomes (x1 + x2 + y1 + y2) / 2, which
  is x + y, and y2 becomes 0;
* the same key on (x2, x1, y1, y2), rate 1 on x2 and y1: x2 becomes x + y, and y1 becomes 0.

All is a power of two, and exact. So a map of n states takes 2n tokens, in which every register of one bank
is added to the register of the other bank that it goes to; the layers below are those of the ``scan`` form,
with the letters' maps composed in the order in which they are read. The read-out needs no step to be done:
each register of the bank that is left counts as what it will become.
"""

import itertools

from evalkit_tasks.compiling.layers import START
from evalkit_tasks.compiling.registers import StateRegisters
from evalkit_tasks.compiling.scan import Composition, composed_maps, scan_block
from evalkit_tasks.compiling.steps import EXECUTE, Draft, Embedding, judge
from evalkit_tasks.compiling.weights import (
    SATURATED,
    AnyOf,
    Feature,
    Features,
    HeadDraft,
    LayerDraft,
    Weighted,
)

STEPS_PER_STATE = 2

_NO_STEP: Weighted = ((("target", None), 1.0), (("source", None), 1.0))


def one_hot_form(
    features: Features, registers: StateRegisters, embedding: Embedding, tokens: list[int]
) -> Draft:
    """The layers of the form; what each token writes is added to ``embedding``.

    Args:
        features: gets those of the form.
        registers: of the language.
        embedding: by token.
        tokens: of the letters, in order, and of the document start.
    """
    size = registers.num_registers
    block, num_doublings = scan_block(STEPS_PER_STATE * size)
    composition = composed_maps(
        features, registers.maps, embedding, tokens, block, num_doublings, is_last_letter_first=False
    )
    for role in ("target", "source"):
        features.add((role, step, place) for step in range(STEPS_PER_STATE) for place in range(2 * size))
        features.add([(role, None)])
    bit_numbers = range(registers.bits.shape[1])
    features.add(("read", bit, place) for bit in bit_numbers for place in range(2 * size))
    recall = composition.layers[-1]
    _moving_units(recall, composition, size, block)
    _reading_units(recall, composition, registers, block)
    recall.num_written_by_units = 2 + 2 * size * len(bit_numbers)
    bits = features.add(("bit", bit) for bit in bit_numbers)
    heads = [_bit_head(registers, bit) for bit in bit_numbers]
    execute = LayerDraft(EXECUTE)
    judge(features, execute, registers.readout, heads, bits)
    return Draft([*composition.layers, execute], bits, size, composition.head_size, block)


def _moving_units(recall: LayerDraft, composition: Composition, size: int, block: int) -> None:
    """Hidden units that say what is added to what: two tokens for each register of the bank that is left.

    In even blocks the first bank is left for the second, in odd blocks the other way round.
    """
    for place, position in enumerate(composition.positions):
        bank, (register, step) = place // block * size, divmod(place % block, STEPS_PER_STATE)
        if register >= size:
            recall.when([position], _NO_STEP)
            continue
        source = (("source", step, bank + register), 1.0)
        for y in range(size):
            target = (("target", step, size - bank + y), 1.0)
            recall.when([position, ("recalled", composition.columns[register][y])], [source, target])
    recall.when([composition.start], _NO_STEP)


def _reading_units(
    recall: LayerDraft, composition: Composition, registers: StateRegisters, block: int
) -> None:
    """Hidden units that say what a 1 in each register would mean: the bits of the label it comes to.

    In the bank that is left: by the map of the block before and then this block's letters so far; in the
    other bank by these alone.
    """
    size = registers.num_registers
    columns, positions = composition.columns, composition.positions

    def meaning(place: int, state: int) -> list[tuple[Feature, float]]:
        return [
            (("read", bit, place), float(sign)) for bit, sign in enumerate(registers.bits[state].tolist())
        ]

    for bank, half in ((0, AnyOf(tuple(positions[:block]))), (size, AnyOf(tuple(positions[block:])))):
        for x, y in itertools.product(range(size), repeat=2):
            recall.when([half, columns[x][y]], meaning(size - bank + x, y))
            for z in range(size):
                needed = [half, ("recalled", columns[x][y]), columns[y][z]]
                recall.when(needed, meaning(bank + x, z))
    at_start = [meaning(place, place % size) for place in range(2 * size)]
    recall.when([composition.start], itertools.chain(*at_start))


def _bit_head(registers: StateRegisters, bit: int) -> HeadDraft:
    """The head that moves the 1 and reads what it means, for one bit of the label."""
    size = registers.num_registers
    head = HeadDraft(f"the 1, in 2 banks of {size} registers, two columns each; reads bit {bit} of its label")
    head.value, head.output = [(0, START, 1.0)], [(0, ("bit", bit))]
    for place in range(2 * size):
        for twin in range(2):
            coordinate = 2 * place + twin
            for step in range(STEPS_PER_STATE):
                target, source = ("target", step, place), ("source", step, place)
                head.key += [(coordinate, target, 1.0 if twin == step else -1.0), (coordinate, source, -1.0)]
                rewritten = target if twin == step else source
                head.rates.append((coordinate, rewritten, 2 * SATURATED))
            head.receptance.append((coordinate, ("read", bit, place), 0.5))
    head.key += [(2 * registers.start + twin, START, 1.0) for twin in range(2)]
    return head
