"""How the registers, layers and weights of compiled automata grow with their states, over random automata."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalkit.errors import UsageError
from evalkit_tasks.compiling.compile import MAX_PARAMETERS, draft_automaton
from evalkit_tasks.compiling.registers import MAX_REGISTERS
from evalkit_tasks.formal.languages import random_automaton


class Growth(NamedTuple):
    """Of minimal automata with one number of states."""

    num_states: int
    num_reverse_states: tuple[int, ...]
    """Of each automaton, the registers that reading letters backwards takes; 4096 where there are more."""
    num_layers: tuple[int, ...]
    """Of each that compiles, in the form that is chosen for it."""
    num_parameters: tuple[int, ...]
    """The same."""

    @property
    def share_of_few_registers(self) -> float:
        """How many of the reverse automata have a head's room for registers."""
        return float(np.mean(np.array(self.num_reverse_states) <= MAX_REGISTERS))

    def log10_table(self, num_letters: int) -> float:
        """Entries of a table of two blocks for the median reverse automaton, as a power of 10."""
        return 2 * float(np.median(self.num_reverse_states)) * math.log10(num_letters)


def measure(num_states: int, num_letters: int, num_automata: int) -> Growth:
    """Draft the weights of random minimal automata: ``random:SEED:STATES:LETTERS`` for seeds from 0."""
    num_reverse, num_layers, num_parameters = [], [], []
    for seed in range(num_automata):
        automaton = random_automaton(seed, num_states, num_letters)
        try:
            num_reverse.append(automaton.reverse().num_states)
        except UsageError:
            num_reverse.append(4096)
        try:
            drafted = draft_automaton(automaton)
        except UsageError:
            continue
        if drafted.num_parameters <= MAX_PARAMETERS:
            num_layers.append(drafted.form.num_layers)
            num_parameters.append(drafted.num_parameters)
    return Growth(num_states, tuple(num_reverse), tuple(num_layers), tuple(num_parameters))


def growth_factor(rows: Sequence[Growth]) -> float:
    """By how much the median reverse automaton grows with a state more: least squares of its logarithm."""
    states = [row.num_states for row in rows]
    medians = [np.log(np.median(row.num_reverse_states)) for row in rows]
    return float(np.exp(np.polyfit(states, medians, 1)[0]))
