"""How the registers, layers and weights of compiled automata grow with their states, over random automata."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

from evalkit.errors import UsageError
from evalkit_tasks.compiling.compile import MAX_PARAMETERS, draft_automaton
from evalkit_tasks.compiling.registers import MAX_REGISTERS
from evalkit_tasks.formal.languages import random_automaton


class Growth(NamedTuple):
    """Of minimal automata with one number of states."""

    num_states: int
    num_reverse_states: tuple[float, ...]
    """Of each automaton, the registers that reading letters backwards takes; infinity where they are more
    than `evalkit_tasks.formal.automaton.MAX_REVERSE_STATES`, and nobody counts them."""
    num_layers: tuple[int, ...]
    """Of each that compiles, in the form that is chosen for it."""
    num_parameters: tuple[int, ...]
    """The same."""

    @property
    def median_reverse(self) -> float:
        """Of the reverse automata; infinity where it is not known."""
        return median(self.num_reverse_states)

    @property
    def share_of_few_registers(self) -> float:
        """How many of the reverse automata have a head's room for registers."""
        return float(np.mean(np.array(self.num_reverse_states) <= MAX_REGISTERS))

    def log10_table(self, num_letters: int) -> float:
        """Entries of a table of two blocks for the median reverse automaton, as a power of 10."""
        return 2 * self.median_reverse * math.log10(num_letters)


def measure(num_states: int, num_letters: int, num_automata: int) -> Growth:
    """Draft the weights of random minimal automata: ``random:SEED:STATES:LETTERS`` for seeds from 0."""
    num_reverse: list[float] = []
    num_layers, num_parameters = [], []
    for seed in range(num_automata):
        automaton = random_automaton(seed, num_states, num_letters)
        try:
            num_reverse.append(automaton.reverse().num_states)
        except UsageError:
            num_reverse.append(math.inf)
        try:
            drafted = draft_automaton(automaton)
        except UsageError:
            continue
        if drafted.num_parameters <= MAX_PARAMETERS:
            num_layers.append(drafted.form.num_layers)
            num_parameters.append(drafted.num_parameters)
    return Growth(num_states, tuple(num_reverse), tuple(num_layers), tuple(num_parameters))


def growth_factor(rows: Sequence[Growth]) -> float | None:
    """By how much the median reverse automaton grows with a state more: least squares of its logarithm.

    None where fewer than two medians are known; those that are not are left out.
    """
    medians = {row.num_states: row.median_reverse for row in rows if row.median_reverse < math.inf}
    if len(medians) < 2:
        return None
    return float(np.exp(np.polyfit(list(medians), np.log(list(medians.values())), 1)[0]))
