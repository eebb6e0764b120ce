"""Tasks to tell the members of a language from all other strings of their length.

Half the strings of every length are members, so that a constant answer is right half the time. Members are
uniform. Of the others half are uniform, a quarter are members with one letter replaced, and a quarter are
members with two letters exchanged, which leaves every count of letters as members have it: after the
adversarial sets of MLRegTest (arXiv 2304.07687), which lie at edit distance 1. Where no such neighbour of a
member is outside of the language, uniform strings stand in for it.
"""

import functools

import numpy as np

from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.sampling import count_members, members
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

_MAX_ROUNDS = 20


def recognition_task(name: str, automaton: Automaton) -> ProbeTask:
    """The task to say after each letter whether the string so far is a member."""

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        num_members = num_strings - num_strings // 2
        kinds = [draw_kind(length, num_members, generator, True)]
        kinds.append(draw_kind(length, num_strings // 2, generator, False))
        return generator.permutation(np.concatenate(kinds))

    def draw_kind(length: int, num_strings: int, generator: np.random.Generator, is_member: bool) -> Strings:
        sample = members if is_member else _non_members
        return sample(automaton, length, num_strings, generator)

    @functools.cache
    def has_both_kinds(length: int) -> bool:
        num_members = count_members(automaton, length)[length][automaton.start]
        return bool(0 < num_members < automaton.num_letters**length)

    return ProbeTask(
        name,
        automaton.num_letters,
        automaton.num_labels,
        draw,
        automaton.label,
        draw_kind=draw_kind,
        has_both_kinds=has_both_kinds,
        letter_names=automaton.alphabet,
    )


def _non_members(
    automaton: Automaton, length: int, num_strings: int, generator: np.random.Generator
) -> Strings:
    """Strings that are not in the language, mixed as the module says."""
    num_each = num_strings // 4
    near_misses = [
        _near_misses(automaton, length, num_each, generator, exchange) for exchange in (False, True)
    ]
    num_uniform = num_strings - sum(map(len, near_misses))
    uniform = members(automaton, length, num_uniform, generator, accepted=False)
    return generator.permutation(np.concatenate([*near_misses, uniform]))


def _near_misses(
    automaton: Automaton, length: int, num_strings: int, generator: np.random.Generator, exchange: bool
) -> Strings:
    """Up to so many members that one replacement, or one exchange, of letters takes out of the language."""
    near = np.empty((0, length), np.int64)
    if not num_strings or not count_members(automaton, length)[length][automaton.start]:
        return near
    for _ in range(_MAX_ROUNDS):
        candidates = members(automaton, length, num_strings, generator)
        rows = np.arange(num_strings)
        places = generator.integers(length, size=(2, num_strings))
        if exchange:
            candidates[rows, places[0]], candidates[rows, places[1]] = (
                candidates[rows, places[1]],
                candidates[rows, places[0]],
            )
        else:
            # One of the other letters: by how far it is ahead, around the alphabet.
            ahead = generator.integers(1, max(2, automaton.num_letters), size=num_strings)
            replaced = candidates[rows, places[0]] + ahead
            candidates[rows, places[0]] = replaced % automaton.num_letters
        outside = ~automaton.accepts(candidates)[:, -1]
        near = np.concatenate((near, candidates[outside]))[:num_strings]
        if len(near) == num_strings:
            break
    return near
