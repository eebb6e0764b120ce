"""A language as registers that letters rewrite: the form in which linear recurrences can carry automata.

A head's state holds register contents as columns. A letter a replaces them by ``new[x] = old[maps[a][x]]``:
a product on the right with a matrix that has a single one per column. After a word ``a_1 ... a_T`` register
x holds what register ``maps[a_1](maps[a_2](... maps[a_T](x)))`` held at first: the letters are read from
the last to the first, so the registers of a recogniser are the states of the *reversed* automaton
(Brzozowski, "Canonical regular expressions and minimal state graphs for definite events", 1962).

Equivalently, a register is a yes-or-no question about a state; it becomes the question "what will the
answer be after an a", and at first the registers hold the answers for the start state.

`StateRegisters` go the other way: they read letters in order and are as many as the states, but take two
steps to move one state's content; see `evalkit_tasks.compiling.one_hot`.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.groups import Group

MAX_REGISTERS = 32
"""Both banks of them, two coordinates each, have to fit a head of 128."""

MAX_STATES = 24
"""With a register each, moved one after another in two steps each, of which a head of 128 counts 48."""


class Readout(NamedTuple):
    """What the bits that are read out after each letter say."""

    patterns: NDArray[np.int64]
    """``[num_labels, num_bits_read]``: the bits under each label, -1 or 1."""
    accepting_labels: frozenset[int]


MAX_WORDS = 12
"""Of a register's meaning: the shortest strings that lead to the states it is about."""


@dataclasses.dataclass(frozen=True, eq=False)
class Registers:
    """What the registers hold, how letters rewrite them, and what they say about the label."""

    maps: NDArray[np.int64]
    """``[num_letters, num_registers]``."""
    contents: NDArray[np.int64]
    """``[num_registers, num_bits]``, the bits at first, -1 or 1."""
    read: tuple[int, ...]
    """The registers that are read out after each letter."""
    readout: Readout
    """Of ``len(read) * num_bits`` bits."""
    meanings: tuple[str, ...]
    """What each register holds, in words."""

    @property
    def num_registers(self) -> int:
        """How many registers there are."""
        return len(self.contents)


@dataclasses.dataclass(frozen=True, eq=False)
class StateRegisters:
    """A register for each state: 1 in that of the state that the automaton is in, 0 in all others.

    A letter moves the 1: what two states go to is one sum of theirs. Read out are the bits of the label of
    the state that holds it.
    """

    maps: NDArray[np.int64]
    """``[num_letters, num_registers]``: the state after each."""
    start: int
    bits: NDArray[np.int64]
    """``[num_registers, num_bits]``: those of each state's label, -1 or 1."""
    readout: Readout
    meanings: tuple[str, ...]
    """What each register holds, in words."""

    @property
    def num_registers(self) -> int:
        """How many registers there are."""
        return len(self.bits)


class Step(NamedTuple):
    """One elementary rewriting: ``copy`` gives ``target`` what ``source`` holds, ``swap`` exchanges them."""

    operation: str
    """``copy``, ``swap`` or ``none``."""
    target: int = 0
    source: int = 0


NO_STEP = Step("none")


def registers_of(automaton: Automaton) -> Registers | None:
    """The registers of an automaton, or None where there would be more than `MAX_REGISTERS`.

    A word problem has a register for each point that its group moves; any other automaton one for each
    question about states that can come up.
    """
    if automaton.group is not None and np.array_equal(automaton.labels, np.arange(automaton.group.order)):
        registers: Registers | None = _points(automaton, automaton.group)
    else:
        registers = _questions(automaton)
    return None if registers is None or registers.num_registers > MAX_REGISTERS else registers


def state_registers(automaton: Automaton) -> StateRegisters | None:
    """A register for each state of the smallest machine, or None where there are more than `MAX_STATES`."""
    machine = automaton.reduced()
    if machine.num_states > MAX_STATES:
        return None
    return StateRegisters(
        machine.transitions.T.copy(),
        machine.start,
        _bits(machine.labels, _num_bits(automaton.num_labels)),
        _readout(automaton),
        tuple(f"1 in the state after {word}, else 0" for word in machine.shortest_words().values()),
    )


def program(function: tuple[int, ...]) -> list[Step]:
    """Steps that make registers ``s`` into ``s[function[x]]`` in place; at most one fewer than registers.

    Registers whose content nobody needs any more are overwritten first; what remains are cycles, and a
    cycle of length L is L - 1 swaps. Every function has a cycle, if only a fixed point, which saves a step.
    """
    pending = {x for x, y in enumerate(function) if x != y}
    steps = []
    while unread := sorted(x for x in pending if all(function[y] != x for y in pending if y != x)):
        steps.append(Step("copy", unread[0], function[unread[0]]))
        pending.remove(unread[0])
    while pending:
        x = min(pending)
        while function[x] in pending:
            pending.remove(x)
            if function[x] in pending:
                steps.append(Step("swap", x, function[x]))
            x = function[x]
        pending.discard(x)
    return steps


def apply_steps(steps: list[Step], num_registers: int) -> tuple[int, ...]:
    """The function that steps amount to: register x gets what register ``result[x]`` held."""
    held = list(range(num_registers))
    for operation, target, source in steps:
        if operation == "copy":
            held[target] = held[source]
        elif operation == "swap":
            held[target], held[source] = held[source], held[target]
    return tuple(held)


def _points(automaton: Automaton, group: Group) -> Registers:
    """The letters' inverses move the points; where the points come from determines the product."""
    inverses = group.elements.argsort(1)  # inverses[g][x]: the point that g sends to x
    letters = automaton.transitions[automaton.start]
    contents = _bits(np.arange(group.degree), _num_bits(group.degree))
    # Read are as few points as tell all elements apart: each that tells more of them than those before it.
    read: list[int] = []
    num_told_apart = 1
    for point in range(group.degree):
        num_distinct = len(np.unique(inverses[:, [*read, point]], axis=0))
        if num_distinct > num_told_apart:
            read.append(point)
            num_told_apart = num_distinct
    patterns = contents[inverses[:, read]].reshape(group.order, -1)
    readout = Readout(patterns, frozenset(automaton.accepting))
    meanings = tuple(f"what came to point {point}, from {point} at first" for point in range(group.degree))
    return Registers(inverses[letters], contents, tuple(read), readout, meanings)


def _questions(automaton: Automaton) -> Registers | None:
    """The bits of the label, and whatever they turn into when letters are read before them."""
    reachable = automaton.reachable_states()
    table = np.searchsorted(reachable, automaton.transitions[reachable])
    start = int(np.searchsorted(reachable, automaton.start))
    labels = automaton.labels[reachable]
    # A question is its answers, -1 or 1, in every state: [num_states].
    questions: list[NDArray[np.int64]] = []
    number_of: dict[bytes, int] = {}

    def register(answers: NDArray[np.int64]) -> int:
        key = answers.tobytes()
        if key not in number_of:
            number_of[key] = len(questions)
            questions.append(answers)
        return number_of[key]

    label_bits = _bits(labels, _num_bits(automaton.num_labels))
    read = tuple(register(answers) for answers in np.ascontiguousarray(label_bits.T))
    maps = []
    for answers in questions:  # grows on the way
        if len(questions) > MAX_REGISTERS:
            return None
        maps.append([register(answers[table[:, letter]]) for letter in range(automaton.num_letters)])
    contents = np.array([[answers[start]] for answers in questions])
    words = automaton.shortest_words()
    meanings = []
    for answers in questions:
        yes = [words[int(state)] for state in reachable[answers > 0]]
        yes = yes[:MAX_WORDS] + ["…"] * (len(yes) > MAX_WORDS)
        meanings.append(f"1 in the state after {' or '.join(yes)}, else -1" if yes else "-1 in every state")
    return Registers(np.array(maps).T.copy(), contents, read, _readout(automaton), tuple(meanings))


def _readout(automaton: Automaton) -> Readout:
    """The bits of each label's number.

    Raises:
        UsageError: a label does not tell whether the string is accepted.
    """
    reachable = automaton.reachable_states()
    is_accepting = automaton.is_accepting(reachable)
    labels = automaton.labels[reachable]
    accepting, rejecting = set(labels[is_accepting].tolist()), set(labels[~is_accepting].tolist())
    if accepting & rejecting:
        raise UsageError(f"{automaton.name}: a label stands for accepting and for rejecting states")
    patterns = _bits(np.arange(automaton.num_labels), _num_bits(automaton.num_labels))
    return Readout(patterns, frozenset(accepting))


def _num_bits(num_values: int) -> int:
    return max(1, (num_values - 1).bit_length())


def _bits(numbers: NDArray[np.int64], num_bits: int) -> NDArray[np.int64]:
    """``[len(numbers), num_bits]``, lowest bit first, -1 or 1."""
    return 2 * (numbers[:, None] >> np.arange(num_bits) & 1) - 1
