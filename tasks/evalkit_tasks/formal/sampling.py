"""Strings of an automaton: uniform among its members or non-members of a length, and pairs one edit apart.

Everything is drawn from a numpy Generator and nothing else, so that a seed gives the same strings again.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton

_MAX_TRIES = 1000


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
        before, after = counts[length - t], counts[length - t - 1]
        # A quotient of integers of any size is correctly rounded; a quotient of floats could be 0 / 0.
        shares = np.zeros(automaton.transitions.shape)
        for state in set(states.tolist()):
            row = automaton.transitions[state].tolist()
            shares[state] = [after[target] / before[state] for target in row]
        bounds = shares.cumsum(1)
        draws = generator.random(num_strings) * bounds[states, -1]
        strings[:, t] = (draws[:, None] >= bounds[states]).sum(1)
        states = automaton.transitions[states, strings[:, t]]
    return strings


def count_members(automaton: Automaton, length: int, *, accepted: bool = True) -> list[list[int]]:
    """How many strings lead from each state to acceptance (or rejection), exactly.

    Returns:
        ``[length + 1][num_states]``: entry ``[n][q]`` counts the strings of length n.
    """
    now = [int((state in automaton.accepting) == accepted) for state in range(automaton.num_states)]
    counts = [now]
    rows = automaton.transitions.tolist()
    for _ in range(length):
        now = [sum(now[target] for target in row) for row in rows]
        counts.append(now)
    return counts


def balanced_strings(
    automaton: Automaton, length: int, num_strings: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Half members, half non-members, shuffled; all of one kind where the other has no string.

    Raises:
        UsageError: the length is negative.
    """
    if length < 0:
        raise UsageError(f"{automaton.name}: a length must not be negative: {length}")
    start = automaton.start
    possible = [
        accepted
        for accepted in (True, False)
        if count_members(automaton, length, accepted=accepted)[length][start]
    ]
    shares = [num_strings - num_strings // 2, num_strings // 2] if len(possible) == 2 else [num_strings]
    drawn = [
        members(automaton, length, share, generator, accepted=accepted)
        for accepted, share in zip(possible, shares, strict=True)
    ]
    return generator.permutation(np.concatenate(drawn))


def adversarial_pairs(
    automaton: Automaton, length: int, num_pairs: int, generator: np.random.Generator
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """A member and a non-member at edit distance 1, after MLRegTest (arXiv 2304.07687).

    The member is uniform among those of its length; the edit (a letter replaced, inserted or deleted) is
    drawn until it leaves the language, and with the member where that takes too long.

    Returns:
        Pairs of a member, ``[length]``, and a non-member of length - 1 to length + 1.

    Raises:
        UsageError: there is no member of this length, or none has a neighbour outside the language.
    """
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    num_tries = 0
    while len(pairs) < num_pairs:
        for member in members(automaton, length, num_pairs - len(pairs), generator):
            num_tries += 1
            edited = _random_edit(member, automaton.num_letters, generator)
            if not is_member(automaton, edited):
                pairs.append((member, edited))
                num_tries = 0
            elif num_tries > _MAX_TRIES:
                raise UsageError(
                    f"{automaton.name}: no edit of a member of length {length} leaves the language"
                )
    return pairs


def is_member(automaton: Automaton, letters: NDArray[np.int64]) -> bool:
    """Whether a string, possibly empty, is in the language."""
    state = int(automaton.run(letters)[-1]) if len(letters) else automaton.start
    return state in automaton.accepting


def render(automaton: Automaton, letters: Sequence[int] | NDArray[np.int64]) -> str:
    """A string as text: letters of one character side by side, longer ones with spaces between."""
    separator = "" if all(len(letter) == 1 for letter in automaton.alphabet) else " "
    return separator.join(automaton.alphabet[letter] for letter in letters)


def _random_edit(
    letters: NDArray[np.int64], num_letters: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    kinds = ["insert", *(["delete"] if len(letters) else []), *(["replace"] if num_letters > 1 else [])]
    kind = generator.choice(kinds if len(letters) else ["insert"])
    if kind == "insert":
        place = int(generator.integers(len(letters) + 1))
        return np.insert(letters, place, generator.integers(num_letters))
    place = int(generator.integers(len(letters)))
    if kind == "delete":
        return np.delete(letters, place)
    other = (letters[place] + 1 + generator.integers(num_letters - 1)) % num_letters
    return np.concatenate((letters[:place], [other], letters[place + 1 :]))


def live_walks(
    automaton: Automaton, length: int, num_strings: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Strings of any length whose every prefix can still become a member: each letter uniform among those.

    Unlike `members` it needs no counting, so that the length may be anything.

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
