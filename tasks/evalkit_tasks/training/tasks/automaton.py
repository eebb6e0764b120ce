"""Tasks of the trained probes that an automaton solves, and how their strings are drawn.

Word problems and the like have uniform letters, for their labels are uniform then; other languages have
members and non-members half and half (`evalkit_tasks.training.tasks.recognition`).
"""

import numpy as np
from numpy.typing import NDArray

from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.sampling import uniform_strings
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.recognition import recognition_task
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

_UNIFORM = ("parity", "cycle-navigation")


def automaton_task(name: str, automaton: Automaton) -> ProbeTask:
    """The task to say the automaton's label after each letter.

    Args:
        name: of the task; some have uniform letters.
        automaton: it may have codewords, whose ends alone are asked about.
    """
    if automaton.codewords is not None:
        return _codeword_task(name, automaton)
    if automaton.group is None and name not in _UNIFORM:
        return recognition_task(name, automaton)

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        return uniform_strings(automaton, length, num_strings, generator)

    return ProbeTask(
        name, automaton.num_letters, automaton.num_labels, draw, automaton.label, parities(automaton)
    )._replace(letter_names=automaton.alphabet)


def _codeword_task(name: str, automaton: Automaton) -> ProbeTask:
    assert automaton.codewords is not None
    size = automaton.codewords.shape[1]

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        return uniform_strings(automaton, -(-length // size) * size, num_strings, generator)[:, :length]

    def label(strings: Strings) -> Strings:
        at_end = np.arange(1, strings.shape[1] + 1) % size == 0
        return np.where(at_end, automaton.label(strings), NOT_SCORED)

    return ProbeTask(name, automaton.num_letters, automaton.num_labels, draw, label, parities(automaton))


def parities(automaton: Automaton) -> NDArray[np.int64] | None:
    """Of a word problem's labels; None where all are even, or the labels are no permutations."""
    if automaton.group is None or not automaton.group.parities.any():
        return None
    return automaton.group.parities
