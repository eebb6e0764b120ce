"""The layers of a compiled network, one function each.

What they rest on, with a removal strength c = 2, no decay and key directions of length 1:

* ``k = e_0``, learning rate 1: the state's column 0 changes sign at every token (a bit that toggles);
* ``k = e_x - e_y``, rate 1 on both: the columns x and y change places (a reflection);
* the same with rate 1 on x alone: column x becomes column y (a copy);
* ``k = e_x``, rate 1/2: column x is erased, and ``v k^T`` writes it anew (a memory with addresses).

Registers that have to last are two equal coordinates each: ``k = (1, 1, -1, -1)`` has length 2, so that all
that is ever multiplied is a power of two and the registers stay exact for any number of tokens.
"""

import itertools
from collections.abc import Sequence

from evalkit_tasks.compiling.registers import Readout, Registers
from evalkit_tasks.compiling.weights import (
    ONE,
    SATURATED,
    Feature,
    Features,
    HeadDraft,
    LayerDraft,
)

START = "start"
"""The feature that is 1 at the document start and nowhere else."""
LETTER = "letter"
"""The feature that is 1 at letters."""
FOREIGN = "foreign"
"""The feature that is 1 at all other tokens."""

BASE_BLOCKS = (1, 2, 3, 4, 6, 12)
"""Block lengths that two counter layers can count."""


def parity_layer(features: Features) -> LayerDraft:
    """Layer 1: even and odd positions, the document start being neither."""
    layer = LayerDraft("whether an even number of letters was read")
    [parity] = features.add(["parity"])
    head = HeadDraft(
        "a column that changes sign at every token",
        key=[(0, ONE, 1.0)],
        receptance=[(0, ONE, 1.0)],
        value=[(0, START, 1.0)],
    )
    head.rates = [(0, ONE, 2 * SATURATED), (0, START, -2 * SATURATED)]
    head.output = [(0, parity)]
    layer.heads.append(head)
    layer.num_written_by_heads = 1
    even, odd = features.add([("phase", 0), ("phase", 1)])
    first = features.add([("phase", START)])[0]
    layer.units = [
        ([(ONE, 0.5), (parity, 0.5), (START, -1.0)], [(even, 1.0)]),
        ([(ONE, 0.5), (parity, -0.5)], [(odd, 1.0)]),
        ([(START, 1.0)], [(first, 1.0)]),
    ]
    layer.num_written_by_units = 1
    return layer


def position_layer(features: Features, block: int) -> LayerDraft:
    """Layer 2: the position t = 1, 2, ... as (t - 1) modulo 2 * ``block``, for a block of `BASE_BLOCKS`.

    Two reflections that take turns rotate their plane. In the lattice A2 by a third of a turn, which counts
    modulo 6; in B2 by a quarter, modulo 8; together modulo 24.
    """
    layer = LayerDraft(f"the place of the letter in two blocks of {block}")
    thirds, quarters = block % 3 == 0, block % 2 == 0
    even, odd = ("phase", 0), ("phase", 1)
    period = 2 * (3 if thirds else 1) * (4 if quarters else 1)
    # What the marks and turns say at each time, simulated: the unit of a position needs all of it.
    signature: list[list[tuple[Feature, float]]] = [[((odd, even)[t % 2 == 0], 1.0)] for t in range(period)]
    if thirds:
        marks = features.add(("mark", place) for place in range(3))
        mark = 0
        for t in range(1, period + 1):
            x, y = (0, 1) if t % 2 else (1, 2)
            mark = {x: y, y: x}.get(mark, mark)
            signature[t % period].append((marks[mark], 1.0))
        for place in range(3):
            head = HeadDraft("a mark that two swaps in turn take round three registers")
            head.value, head.output = [(0, START, 1.0)], [(0, marks[place])]
            for twin in range(2):
                head.key += [(twin, START, 1.0), (twin, odd, 1.0)]
                head.key += [(2 + twin, odd, -1.0), (2 + twin, even, 1.0), (4 + twin, even, -1.0)]
                head.receptance.append((2 * place + twin, ONE, 0.5))
            head.rates = [(axis, name, 2 * SATURATED) for axis in range(6) for name in (even, odd)]
            layer.heads.append(head)
        layer.num_written_by_heads += 1
    if quarters:
        turns = features.add(("turn", axis) for axis in range(2))
        turn = [1, 0]
        for t in range(1, period + 1):
            turn = [-turn[0], turn[1]] if t % 2 else [turn[1], turn[0]]
            signature[t % period] += [(turns[axis], float(turn[axis])) for axis in range(2) if turn[axis]]
        for axis in range(2):
            head = HeadDraft("a direction that two reflections in turn take round a square")
            head.value, head.output = [(0, START, 1.0)], [(0, turns[axis])]
            head.key = [(0, START, 1.0), (0, odd, 1.0), (0, even, 1.0), (1, even, -1.0)]
            head.receptance = [(axis, ONE, 1.0)]
            head.rates = [(side, name, 2 * SATURATED) for side in range(2) for name in (even, odd)]
            layer.heads.append(head)
        layer.num_written_by_heads += 1
    positions = features.add(("position", 0, place) for place in [*range(2 * block), START])
    for t, inputs in enumerate(signature):
        place = (t - 1) % period % (2 * block)
        layer.units.append(([*inputs, (ONE, 1.0 - len(inputs))], [(positions[place], 1.0)]))
    layer.units.append(([(("phase", START), 1.0)], [(positions[-1], 1.0)]))
    layer.num_written_by_units = 1
    return layer


def doubling_layer(features: Features, level: int, period: int) -> LayerDraft:
    """Another counter layer: the position modulo ``period`` becomes the position modulo twice that."""
    layer = LayerDraft(f"the place of the letter in {2 * period}")
    [half] = features.add([("half", level)])
    first, start = ("position", level, 0), ("position", level, START)
    head = HeadDraft(
        f"a column that changes sign every {period} letters",
        receptance=[(0, ONE, 1.0)],
        value=[(0, start, 1.0)],
        output=[(0, half)],
    )
    head.key = [(0, start, 1.0), (0, first, 1.0)]
    head.rates = [(0, first, 2 * SATURATED)]
    layer.heads.append(head)
    layer.num_written_by_heads = 1
    positions = features.add(("position", level + 1, place) for place in [*range(2 * period), START])
    for place in range(period):
        now = ("position", level, place)
        for half_number, sign in enumerate((-0.5, 0.5)):  # the bit is 1 at the start and toggles at once
            inputs: list[tuple[Feature, float]] = [(now, 1.0), (half, sign), (ONE, -0.5)]
            layer.units.append((inputs, [(positions[place + half_number * period], 1.0)]))
    layer.units.append(([(start, 1.0)], [(positions[-1], 1.0)]))
    layer.num_written_by_units = 1
    return layer


def memory_heads(
    head_size: int,
    groups: Sequence[Sequence[Feature]],
    name: str,
    purpose: str,
    *,
    write: dict[Feature, int],
    read: dict[Feature, int],
    start: Feature,
) -> list[HeadDraft]:
    """Heads that keep groups of features under addresses and read one address back.

    Args:
        head_size: N.
        groups: in each, one feature is 1.
        name: what is read back goes to the features ``(name, feature)``.
        purpose: what is kept, in words.
        write: the address to which each position sends what it sees. It has to name all of them, if only
            with an address that nobody reads: a key of 0 would be rounding noise, normalised to length 1.
        read: the address that is read under each of these features.
        start: writes to all addresses, and reads its own.
    """
    num_addresses = 1 + max(write.values())
    per_head = head_size // 2 // len(groups[0])
    heads = []
    for first in range(0, len(groups), per_head):
        group_slice = groups[first : first + per_head]
        head = HeadDraft(f"{purpose}, kept under {num_addresses} addresses", num_active=len(group_slice))
        head.key = [(address, feature, 1.0) for feature, address in write.items()]
        head.key += [(address, start, 1.0) for address in range(num_addresses)]
        head.receptance = [(address, feature, 1.0) for feature, address in read.items()]
        head.receptance.append((0, start, 1.0))
        head.erases(range(num_addresses))
        for place, feature in enumerate(itertools.chain(*group_slice)):
            head.value.append((place, feature, 1.0))
            head.output.append((place, (name, feature)))
        heads.append(head)
    return heads


def register_heads(
    features: Features,
    registers: Registers,
    *,
    num_banks: int,
    targets: Sequence[Feature],
    sources: Sequence[Feature],
    exchanged: Sequence[Feature],
    read: Sequence[dict[Feature, int]],
) -> tuple[list[HeadDraft], list[list[Feature]]]:
    """Heads that carry out one step per token on the registers and read them out, one head per bit.

    Args:
        features: gets a feature for every bit that is read.
        registers: the first bank's contents at first.
        num_banks: how many sets of registers there are.
        targets: by register of all banks: it is rewritten.
        sources: by register: the target gets its content.
        exchanged: by register: it gets the target's content; may be empty where steps are copies.
        read: for each register of `Registers.read`, the place that is read under each feature.

    Returns:
        The heads, and the features of the bits, by what is read and then by bit.
    """
    num_places = num_banks * registers.num_registers
    heads, bits = [], []
    for number, places in enumerate(read):
        bits.append(features.add(("bit", number, bit) for bit in range(registers.contents.shape[1])))
        for bit, name in enumerate(bits[-1]):
            banks = f"{num_banks} banks of " if num_banks > 1 else ""
            head = HeadDraft(f"bit {bit} of {banks}{registers.num_registers} registers, two columns each")
            head.value, head.output = [(0, START, 1.0)], [(0, name)]
            if len(read) > 1:
                head.purpose += f"; reads register {registers.read[number]} as it will be"
            for twin in range(2):
                head.key += [(2 * place + twin, targets[place], 1.0) for place in range(num_places)]
                head.key += [(2 * place + twin, sources[place], -1.0) for place in range(num_places)]
                for place, content in enumerate(registers.contents[:, bit].tolist()):
                    head.key.append((2 * place + twin, START, float(content)))
                head.receptance += [(2 * place + twin, name, 0.5) for name, place in places.items()]
                for group in (targets, exchanged):
                    head.rates += [(2 * i + twin, name, 2 * SATURATED) for i, name in enumerate(group)]
            heads.append(head)
    return heads, bits


def letters_only_head(features: Features) -> tuple[HeadDraft, Feature]:
    """A head that remembers whether every token so far was a letter: 1, or -1 from the first other on.

    Letters go to an address that nobody reads; see `memory_heads`.
    """
    [clean] = features.add(["clean"])
    head = HeadDraft("whether every token was a letter", receptance=[(0, ONE, 1.0)], output=[(0, clean)])
    head.key = [(0, START, 1.0), (0, FOREIGN, 1.0), (1, LETTER, 1.0)]
    head.value = [(0, START, 1.0), (0, FOREIGN, -1.0)]
    head.erases([0, 1])
    return head, clean


def verdict_units(
    features: Features, layer: LayerDraft, readout: Readout, bits: Sequence[Feature], clean: Feature
) -> None:
    """Hidden units that see from the bits whether the string so far is accepted."""
    accepted, rejected = features.add(["accepted", "rejected"])
    layer.units.append(([(ONE, 1.0)], [(rejected, 1.0)]))
    for label in sorted(readout.accepting_labels):
        signs = [*readout.patterns[label].tolist(), 1]
        inputs: list[tuple[Feature, float]] = [
            (name, sign / 2) for name, sign in zip([*bits, clean], signs, strict=True)
        ]
        inputs.append((ONE, 1 - len(signs) / 2))
        layer.units.append((inputs, [(accepted, 1.0), (rejected, -1.0)]))
    layer.num_written_by_units += 1
