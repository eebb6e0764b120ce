"""Nondeterministic automata: what files and expressions are before they are made deterministic."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

from evalkit_tasks.formal.derivatives import StateTable, TooLargeError

_MAX_WORK = 20_000_000
"""States of the nondeterministic automaton looked at; some seconds."""


class NFA(NamedTuple):
    """An automaton with any number of ways to read a string; it accepts where one of them ends well."""

    alphabet: tuple[str, ...]
    """The letters' names; a letter is its index."""
    num_states: int
    edges: tuple[tuple[int, int | None, int], ...]
    """From a state by a letter to a state; None: without a letter."""
    starts: frozenset[int]
    accepting: frozenset[int]

    @property
    def is_deterministic(self) -> bool:
        """Whether no string can be read in two ways; some may be readable in none."""
        heads = [(state, letter) for state, letter, _ in set(self.edges)]
        return len(self.starts) == 1 and len(set(heads)) == len(heads) and not self.has_empty_moves

    @property
    def has_empty_moves(self) -> bool:
        """Whether a state can change without a letter."""
        return any(letter is None for _, letter, _ in self.edges)

    @property
    def num_missing(self) -> int:
        """Pairs of a state and a letter that lead nowhere."""
        heads = {(state, letter) for state, letter, _ in self.edges if letter is not None}
        return self.num_states * len(self.alphabet) - len(heads)

    @property
    def num_unreachable(self) -> int:
        """States that no string leads to."""
        successors: list[set[int]] = [set() for _ in range(self.num_states)]
        for state, _, after in self.edges:
            successors[state].add(after)
        return self.num_states - len(_closure(self.starts, successors))

    def closed(self, states: Iterable[int]) -> frozenset[int]:
        """Some states and all that can be reached from them without a letter."""
        return _closure(states, _empty_moves(self))

    def after(self, states: frozenset[int], letter: int) -> frozenset[int]:
        """Where a letter can lead from any of some states, moves without a letter included."""
        return self.closed(to for state, read, to in self.edges if read == letter and state in states)


@functools.lru_cache(maxsize=4)
def _empty_moves(nfa: NFA) -> list[set[int]]:
    moves: list[set[int]] = [set() for _ in range(nfa.num_states)]
    for state, letter, after in nfa.edges:
        if letter is None:
            moves[state].add(after)
    return moves


def _closure(states: Iterable[int], successors: list[set[int]]) -> frozenset[int]:
    reached = set(states)
    for state in (queue := list(reached)):  # grows on the way
        fresh = successors[state] - reached
        reached |= fresh
        queue += fresh
    return frozenset(reached)


def subset_table(nfa: NFA, max_states: int) -> StateTable:
    """The deterministic automaton whose states are sets of states (Rabin and Scott 1959); it is complete.

    Args:
        nfa: the automaton.
        max_states: how many sets there may be.

    Raises:
        TooLargeError: there are more, or they are too large to be told quickly.
    """
    # targets[state][letter]: where it leads, as the bits of a number, moves without a letter included.
    closures = [_bits(nfa.closed([state])) for state in range(nfa.num_states)]
    targets = [[0] * len(nfa.alphabet) for _ in range(nfa.num_states)]
    for state, letter, after in nfa.edges:
        if letter is not None:
            targets[state][letter] |= closures[after]
    first = 0
    for state in nfa.starts:
        first |= closures[state]
    number_of = {first: 0}
    rows = []
    work = 0
    for subset in (subsets := [first]):  # grows on the way
        members = [state for state in range(nfa.num_states) if subset >> state & 1]
        work += nfa.num_states + len(members) * len(nfa.alphabet)
        row = []
        for letter in range(len(nfa.alphabet)):
            after = 0
            for state in members:
                after |= targets[state][letter]
            if after not in number_of:
                if len(subsets) == max_states or work > _MAX_WORK:
                    raise TooLargeError(f"over {len(subsets)} states")
                number_of[after] = len(subsets)
                subsets.append(after)
            row.append(number_of[after])
        rows.append(row)
    accepting = _bits(nfa.accepting)
    return StateTable(rows, [number for number, subset in enumerate(subsets) if subset & accepting])


def _bits(states: Iterable[int]) -> int:
    return sum(1 << state for state in states)
