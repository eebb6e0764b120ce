"""What theory says of a language before anything is measured.

The class of a regular language is that of its syntactic monoid, the maps that strings induce on the states
of the minimal automaton:

* aperiodic (no group in it): star-free; identity-reset cascades recognise it (Krohn and Rhodes 1965), and
  masked transformers of fixed depth do (Yang et al., arXiv 2310.13897);
* groups, all solvable: in ACC0. A linear recurrence without negative eigenvalues recognises it at no depth
  in finite precision (Grazzi et al., arXiv 2411.12537, theorem 1, for parity);
* letters that exchange two things or none: one layer of RWKV-7 with c = 2, whose state matrix is multiplied
  by such an exchange at each letter (arXiv 2503.14456, theorem 2); 4 for every language (theorem 3);
* a group that is not solvable: complete for NC1 (Barrington 1989); a transformer of fixed depth tracks it at
  no length beyond what its depth allows, unless TC0 = NC1.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import MAX_REVERSE_STATES, Automaton

MAX_MONOID = 5000
"""Elements of a syntactic monoid, which can have n^n for n states."""
_SMALLEST_NOT_SOLVABLE = 60
"""Elements of the smallest group that is not solvable, A5."""
_Map = tuple[int, ...]
"""Where each state goes."""


@dataclasses.dataclass(frozen=True)
class Theory:
    """The algebra of a language; None where an answer would need more than the bounds of this module."""

    num_minimal_states: int
    num_reverse_states: int | None
    """States of the smallest automaton of the reversed strings; None: over `MAX_REVERSE_STATES`."""
    monoid_size: int | None
    """Size of the syntactic monoid; None: over `MAX_MONOID`."""
    is_group: bool
    """Whether every letter permutes the states: the syntactic monoid is a group."""
    is_aperiodic: bool | None
    is_solvable: bool | None
    """Whether every group in the monoid is solvable; true of aperiodic languages."""
    has_only_swaps: bool
    """Whether each letter leaves all or exchanges two: of the states, or of a word problem's points."""

    @property
    def language_class(self) -> str:
        """``aperiodic``, ``solvable``, ``non-solvable``, or ``unknown`` where the monoid is too large."""
        if self.is_aperiodic is None:
            return "unknown"
        if self.is_aperiodic:
            return "aperiodic"
        return "solvable" if self.is_solvable else "non-solvable"

    def summary(self) -> str:
        """Class, sizes of the automata and size of the monoid, in a line."""
        reverse = f"over {MAX_REVERSE_STATES}" if self.num_reverse_states is None else self.num_reverse_states
        monoid = f"over {MAX_MONOID}" if self.monoid_size is None else self.monoid_size
        kind = f"{self.language_class} group" if self.is_group else self.language_class
        return (
            f"{kind}; states: {self.num_minimal_states} (minimal), {reverse} (reverse automaton); "
            f"syntactic monoid: {monoid}"
        )

    def min_layers(self) -> dict[str, str]:
        """Layers that suffice for every length, by family: a number, ``constant``, ``growing``, ``none``.

        ``none``: no number of layers suffices in finite precision; ``growing``: more for longer strings.
        """
        if self.is_aperiodic is None:
            positive = transformer = "unknown"
        elif self.is_aperiodic:
            positive = transformer = "constant"
        else:
            positive, transformer = "none", "growing"
        return {
            "rwkv7 c = 1": positive,
            "rwkv7 c = 2": "1" if self.has_only_swaps else "4",
            "transformer": transformer,
            "rnn": "1",
        }


def analyse(automaton: Automaton) -> Theory:
    """The theory of the automaton's labels: of the language where they say what is accepted."""
    try:
        num_reverse = automaton.reverse().num_states
    except UsageError:
        num_reverse = None
    is_word_problem = _is_word_problem(automaton)
    minimal = automaton if is_word_problem else automaton.reduced()
    letters = [tuple(column) for column in minimal.transitions.T.tolist()]
    is_group = is_word_problem or all(len(set(letter)) == minimal.num_states for letter in letters)
    points = _permutations_of_points(automaton)
    monoid_size = is_aperiodic = is_solvable = None
    if is_word_problem:  # the states are the group's elements, which a word's map sends to their products
        monoid_size = minimal.num_states
        is_aperiodic = monoid_size == 1
        is_solvable = monoid_size < _SMALLEST_NOT_SOLVABLE or _is_solvable(points)
    elif (monoid := transition_monoid(minimal)) is not None:
        groups = _subgroups(monoid)
        monoid_size = len(monoid)
        is_aperiodic = all(len(group) == 1 for group in groups)
        is_solvable = is_aperiodic or all(
            len(group) < _SMALLEST_NOT_SOLVABLE or _is_solvable(group) for group in groups
        )
    return Theory(
        minimal.num_states,
        num_reverse,
        monoid_size,
        is_group,
        is_aperiodic,
        is_solvable,
        has_only_swaps=is_group and any(map(_are_swaps, (letters, points))),
    )


def _is_word_problem(automaton: Automaton) -> bool:
    """Whether the states are the elements of the group that the letters generate, and all told apart."""
    return automaton.group is not None and len(automaton.reachable_states()) == automaton.num_states == len(
        np.unique(automaton.labels)
    )


def _permutations_of_points(automaton: Automaton) -> list[_Map]:
    """What each letter of a word problem does to the points; the points are fewer than the states."""
    if automaton.group is None:
        return []
    elements = automaton.transitions[automaton.start]
    return [tuple(permutation) for permutation in automaton.group.elements[elements].tolist()]


def _are_swaps(letters: list[_Map]) -> bool:
    return bool(letters) and all(sum(i != to for i, to in enumerate(letter)) <= 2 for letter in letters)


def transition_monoid(automaton: Automaton, max_size: int = MAX_MONOID) -> NDArray[np.int64] | None:
    """All maps of states that strings induce, the empty string's included.

    Returns:
        ``[size, num_states]``, or None where there are more than ``max_size``.
    """
    identity = tuple(range(automaton.num_states))
    columns = [np.array(column) for column in automaton.transitions.T.tolist()]
    seen = {identity}
    elements = [identity]
    for element in elements:  # grows on the way
        images = np.array(element)
        for column in columns:
            after = tuple(column[images].tolist())
            if after not in seen:
                if len(seen) == max_size:
                    return None
                seen.add(after)
                elements.append(after)
    return np.array(elements, np.int64)


def _subgroups(monoid: NDArray[np.int64]) -> list[list[_Map]]:
    """The maximal groups in a monoid of maps, as permutations of the points that their identity fixes.

    An element x lies in a group exactly if x e = x for the idempotent e among its powers; the group's
    elements permute the image of e, and differ there.
    """
    groups: dict[_Map, list[_Map]] = {}
    for element in monoid:
        power = element
        while not np.array_equal(power[power], power):
            power = element[power]
        if np.array_equal(element[power], element):
            image = np.unique(power)
            places = np.searchsorted(image, element[image])
            groups.setdefault(tuple(power.tolist()), []).append(tuple(places.tolist()))
    return list(groups.values())


def _is_solvable(generators: list[_Map]) -> bool:
    """Whether the group that permutations generate is solvable."""
    from sympy.combinatorics import Permutation, PermutationGroup

    return bool(PermutationGroup([Permutation(list(element)) for element in set(generators)]).is_solvable)
