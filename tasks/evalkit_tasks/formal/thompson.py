"""From a regular expression to a nondeterministic automaton, part by part.

K. Thompson, "Regular expression search algorithm" (1968); what two expressions both match, and their shuffle,
are products of their automata. It shares nothing with `evalkit_tasks.formal.derivatives`, so each checks the
other.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from evalkit_tasks.formal.derivatives import TooLargeError
from evalkit_tasks.formal.expressions import Expression
from evalkit_tasks.formal.nfa import NFA

MAX_EDGES = 200_000

_Edge = tuple[int, int | None, int]


class _Part(NamedTuple):
    """An automaton that starts in state 0 and accepts in state 1; nothing leads to 0 or away from 1."""

    num_states: int
    edges: list[_Edge]


def expression_nfa(tree: Expression, letters: Sequence[str]) -> NFA:
    """The automaton of an expression.

    Args:
        tree: the expression.
        letters: the alphabet, in order.

    Raises:
        TooLargeError: it has more than `MAX_EDGES` transitions.
    """
    part = _part(tree, letters)
    return NFA(tuple(letters), part.num_states, tuple(part.edges), frozenset([0]), frozenset([1]))


def _part(tree: Expression, letters: Sequence[str]) -> _Part:
    if tree.kind == "letter":
        read = [
            number for number, letter in enumerate(letters) if (letter in tree.letters) != tree.is_negated
        ]
        return _Part(2, [(0, letter, 1) for letter in read])
    parts = [_part(part, letters) for part in tree.parts]
    if tree.kind == "concat":
        return _row(parts)
    if tree.kind == "union":
        return _alternatives(parts)
    if tree.kind in ("both", "shuffle"):
        product = parts[0]
        for part in parts[1:]:
            product = _product(product, part, is_shuffle=tree.kind == "shuffle")
        return product
    [part] = parts
    times = [part] * tree.fewest
    if tree.most is None:
        return _row([*times, _star(part)])
    return _row([*times, *[_alternatives([part, _row([])])] * (tree.most - tree.fewest)])


def _row(parts: Sequence[_Part]) -> _Part:
    """One after another; none is the empty string."""
    edges: list[_Edge] = []
    num_states, end = 2, 0
    for part in parts:
        edges += [(end, None, num_states), *_moved(part, num_states)]
        end = num_states + 1
        num_states += part.num_states
        _bound(edges)
    return _Part(num_states, [*edges, (end, None, 1)])


def _alternatives(parts: Sequence[_Part]) -> _Part:
    edges: list[_Edge] = []
    num_states = 2
    for part in parts:
        edges += [(0, None, num_states), (num_states + 1, None, 1), *_moved(part, num_states)]
        num_states += part.num_states
        _bound(edges)
    return _Part(num_states, edges)


def _star(part: _Part) -> _Part:
    edges: list[_Edge] = [(0, None, 2), (2, None, 3), (4, None, 2), (2, None, 1)]
    return _Part(3 + part.num_states, [*edges, *_moved(part, 3)])


def _product(first: _Part, second: _Part, *, is_shuffle: bool) -> _Part:
    """Pairs of states: letters move both, or of a shuffle either; moves without a letter are one's own."""
    edges: list[_Edge] = []
    for (a, read, b), state in itertools.product(first.edges, range(second.num_states)):
        if read is None or is_shuffle:
            edges.append((a * second.num_states + state, read, b * second.num_states + state))
        _bound(edges)
    for (a, read, b), state in itertools.product(second.edges, range(first.num_states)):
        if read is None or is_shuffle:
            edges.append((state * second.num_states + a, read, state * second.num_states + b))
        _bound(edges)
    if not is_shuffle:
        for (a, read, b), (c, read_too, d) in itertools.product(first.edges, second.edges):
            if read is not None and read == read_too:
                edges.append((a * second.num_states + c, read, b * second.num_states + d))
        _bound(edges)
    # The pairs of starts and of ends get the numbers 0 and 1.
    num_states = first.num_states * second.num_states
    last = second.num_states + 1
    swap = {last: 1, 1: last}
    return _Part(num_states, [(swap.get(a, a), read, swap.get(b, b)) for a, read, b in edges])


def _moved(part: _Part, offset: int) -> list[_Edge]:
    return [(state + offset, letter, after + offset) for state, letter, after in part.edges]


def _bound(edges: Sequence[_Edge]) -> None:
    """Refuse what grows too large.

    Raises:
        TooLargeError: it has.
    """
    if len(edges) > MAX_EDGES:
        raise TooLargeError(f"over {MAX_EDGES:,} transitions")
