"""Strings of an automaton: uniform among its members or non-members of a length, or walks of any length.

Everything is drawn from a numpy Generator and nothing else, so that a seed gives the same strings again.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton


def uniform_strings(
    automaton: Automaton, length: int, num_strings: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """``[num_strings, length]``: independent uniform letters, or codewords where the automaton has them.

    Raises:
        UsageError: the length is not a multiple of the codewords' length.
    """
    if automaton.codewords is None:
        return generator.integers(automaton.num_letters, size=(num_strings, length))
    num_codewords, codeword_length = automaton.codewords.shape
    if length % codeword_length:
        raise UsageError(f"{automaton.name}: a length must be a multiple of {codeword_length}, not {length}")
    chosen = generator.integers(num_codewords, size=(num_strings, length // codeword_length))
    return automaton.codewords[chosen].reshape(num_strings, length)


def members(
    automaton: Automaton,
    length: int,
    num_strings: int,
    generator: np.random.Generator,
    *,
    accepted: bool = True,
) -> NDArray[np.int64]:
    """Strings drawn uniformly, with replacement, from all of one length that the automaton accepts.

    Each letter is drawn with the share of the strings that go on from it: uniform generation by counting, as
    of Hickey and Cohen, "Uniform random generation of strings in a context-free language" (1983).

    Args:
        automaton: the language.
        length: of every string.
        num_strings: how many.
        generator: the source of chance.
        accepted: False draws from the strings that it rejects.

    Returns:
        ``[num_strings, length]``.

    Raises:
        UsageError: there is no such string.
    """
    counts = count_members(automaton, length, accepted=accepted)
    if not counts[length][automaton.start]:
        kind = "accepted" if accepted else "rejected"
        raise UsageError(f"{automaton.name}: no string of length {length} is {kind}")
    strings = np.empty((num_strings, length), np.int64)
    states = np.full(num_strings, automaton.start)
    for t in range(length):
        # The letter is the number of cumulative shares that the draw has passed. The last of them is 1 but
        # for rounding, so the draw is scaled to it and never passes them all.
        bounds = _cumulative_shares(automaton, length - t, accepted)[states]
        draws = generator.random(num_strings) * bounds[:, -1]
        strings[:, t] = (draws[:, None] >= bounds).sum(1)
        states = automaton.transitions[states, strings[:, t]]
    return strings


@functools.lru_cache(maxsize=4096)
def _cumulative_shares(automaton: Automaton, num_letters: int, accepted: bool) -> NDArray[np.float64]:
    """Which share of an automaton's strings of a length begins with a letter up to each.

    Returns:
        ``[num_states, alphabet]``, read-only; of states from which there is none, zeros.
    """
    counts = count_members(automaton, num_letters, accepted=accepted)
    before, after = counts[-1], counts[-2]
    shares = np.zeros(automaton.transitions.shape)
    for state, row in enumerate(automaton.transitions.tolist()):
        if before[state]:
            # A quotient of integers of any size is correctly rounded; a quotient of floats could be 0 / 0.
            shares[state] = [after[target] / before[state] for target in row]
    shares.cumsum(1, out=shares)
    shares.flags.writeable = False
    return shares


def count_members(automaton: Automaton, length: int, *, accepted: bool = True) -> list[list[int]]:
    """How many strings lead from each state to acceptance (or rejection), exactly.

    Returns:
        ``[length + 1][num_states]``: entry ``[n][q]`` counts the strings of length n.
    """
    counts = _counts(automaton, accepted)
    rows = automaton.transitions.tolist()
    for _ in range(length + 1 - len(counts)):
        shorter = counts[-1]
        counts.append([sum(shorter[target] for target in row) for row in rows])
    return counts[: length + 1]


@functools.lru_cache(maxsize=16)
def _counts(automaton: Automaton, accepted: bool) -> list[list[int]]:
    """What `count_members` has counted so far; a training asks for the same lengths again and again."""
    # Python's integers, which have no largest: a count reaches num_letters^length.
    return [[int((state in automaton.accepting) == accepted) for state in range(automaton.num_states)]]


def live_walks(
    automaton: Automaton, length: int, num_strings: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Strings of any length whose every prefix can still become a member.

    Each letter is uniform among those that lead to no sink. Unlike `members` this needs no counting, whose
    integers have as many digits as the string has letters.

    Returns:
        ``[num_strings, length]``.

    Raises:
        UsageError: the language is empty.
    """
    live = np.isin(np.arange(automaton.num_states), list(automaton.accepting))
    while (grown := live | live[automaton.transitions].any(1)).sum() > live.sum():
        live = grown
    if not live[automaton.start]:
        raise UsageError(f"{automaton.name}: no string is accepted")
    # Where nothing goes on (a finite language), any letter will do.
    allowed = live[automaton.transitions]
    allowed[~allowed.any(1)] = True
    # bounds[q, a]: how many of the letters up to a are allowed in state q; the letter that takes it above the
    # draw is the allowed one of that number.
    bounds = allowed.cumsum(1)
    strings = np.empty((num_strings, length), np.int64)
    states = np.full(num_strings, automaton.start)
    for t in range(length):
        draws = generator.integers(bounds[states, -1])
        strings[:, t] = (bounds[states] <= draws[:, None]).sum(1)
        states = automaton.transitions[states, strings[:, t]]
    return strings


def some_members(
    automaton: Automaton, num_strings: int, max_length: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Different members of various lengths, each uniform among those of its length.

    Returns:
        At most ``num_strings``, of 1 to ``max_length`` letters; fewer where some are drawn twice.

    Raises:
        UsageError: no string of such a length is accepted.
    """
    counts = count_members(automaton, max_length)
    lengths = [length for length in range(1, max_length + 1) if counts[length][automaton.start]]
    if not lengths:
        raise UsageError(f"{automaton.name}: no string of 1 to {max_length} letters is accepted")
    chosen = generator.choice(lengths, num_strings)
    drawn = (members(automaton, int(length), 1, generator)[0] for length in chosen)
    return list({letters.tobytes(): letters for letters in drawn}.values())
