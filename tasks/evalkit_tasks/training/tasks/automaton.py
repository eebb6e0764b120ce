"""Tasks of the trained probes that an automaton solves, and how their strings are drawn.

Strings of recognition tasks are half members of the language, a quarter uniform non-members, a quarter
members with a few letters replaced, after FLaRe (arXiv 2411.07107) but with all edits keeping the length;
word problems and the like have uniform letters, for their labels are uniform then.
"""

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.sampling import members, uniform_strings
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

_MAX_ROUNDS = 200
_UNIFORM = ("parity", "flip-flop", "cycle-navigation")


def automaton_task(name: str, automaton: Automaton) -> ProbeTask:
    """The task to say the automaton's label after each letter.

    Args:
        name: of the task; ``modular-arithmetic`` has strings of its own kind, and some have uniform letters.
        automaton: it may have codewords, whose ends alone are asked about.
    """
    if name == "modular-arithmetic":
        return _arithmetic_task(name, automaton)
    if automaton.codewords is not None:
        return _codeword_task(name, automaton)
    is_uniform = automaton.group is not None or name in _UNIFORM

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        sample = uniform_strings if is_uniform else _recognition_strings
        return sample(automaton, length, num_strings, generator)

    return ProbeTask(
        name, automaton.num_letters, automaton.num_labels, draw, automaton.label, _parities(automaton)
    )


def _arithmetic_task(name: str, automaton: Automaton) -> ProbeTask:
    """Digits and operators in turn; after each digit the value so far is asked for."""
    num_digits = sum(letter.isdecimal() for letter in automaton.alphabet)

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        strings = generator.integers(num_digits, size=(num_strings, length))
        operators = generator.integers(num_digits, automaton.num_letters, size=(num_strings, length // 2))
        strings[:, 1::2] = operators
        return strings

    def label(strings: Strings) -> Strings:
        labels = automaton.label(strings)  # `num_digits` where a prefix is no expression
        return np.where(labels < num_digits, labels, NOT_SCORED)

    return ProbeTask(name, automaton.num_letters, num_digits, draw, label)


def _codeword_task(name: str, automaton: Automaton) -> ProbeTask:
    assert automaton.codewords is not None
    size = automaton.codewords.shape[1]

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        return uniform_strings(automaton, -(-length // size) * size, num_strings, generator)[:, :length]

    def label(strings: Strings) -> Strings:
        at_end = np.arange(1, strings.shape[1] + 1) % size == 0
        return np.where(at_end, automaton.label(strings), NOT_SCORED)

    return ProbeTask(name, automaton.num_letters, automaton.num_labels, draw, label, _parities(automaton))


def _parities(automaton: Automaton) -> NDArray[np.int64] | None:
    """Of a word problem's labels; None where all are even, or the labels are no permutations."""
    if automaton.group is None or not automaton.group.parities.any():
        return None
    return automaton.group.parities


def _recognition_strings(
    automaton: Automaton, length: int, num_strings: int, generator: np.random.Generator
) -> Strings:
    """Half members, a quarter members edited until they are none, a quarter uniform non-members, shuffled.

    Where one of the two kinds has no string of this length, all are of the other.
    """
    num_members, num_edited = num_strings - num_strings // 2, num_strings // 4
    try:
        inside = members(automaton, length, num_members + num_edited, generator)
    except UsageError:  # no member has this length
        return members(automaton, length, num_strings, generator, accepted=False)
    try:
        outside = members(automaton, length, num_strings // 2, generator, accepted=False)
    except UsageError:  # every string of this length is a member
        return members(automaton, length, num_strings, generator)
    edited = inside[num_members:].copy()
    for _ in range(_MAX_ROUNDS):
        _replace_letters(automaton, edited, generator)
        is_out = ~automaton.accepts(edited)[:, -1]
        # In front, so that uniform non-members are dropped for them at the end.
        outside = np.concatenate((edited[is_out], outside))
        # As many as are still members begin anew, from unedited ones.
        edited = inside[num_members:][: len(edited)][~is_out].copy()
        if not len(edited):
            break
    return generator.permutation(np.concatenate((inside[:num_members], outside[: num_strings // 2])))


def _replace_letters(automaton: Automaton, strings: Strings, generator: np.random.Generator) -> None:
    """Replace letters in place: one in half the strings, two in a quarter, and so on."""
    num_edits = generator.geometric(0.5, size=len(strings))
    for edit in range(min(strings.shape[1], int(num_edits.max(initial=0)))):
        rows = np.flatnonzero(num_edits > edit)
        places = generator.integers(strings.shape[1], size=len(rows))
        strings[rows, places] = generator.integers(automaton.num_letters, size=len(rows))
