"""From a regular expression to a deterministic automaton by its derivatives.

The derivative of a language by a letter is what may follow that letter (J. A. Brzozowski, "Derivatives of
regular expressions", 1964). An expression has finitely many, up to the order, grouping and repetition of
what is united or intersected, and they are the states of an automaton. Intersections, shuffles and
repetitions by number have derivatives as short as their own, so nothing has to be written out, and a language
that is too large is noticed as soon as it is.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evalkit_tasks.formal.expressions import Expression

_NOTHING, _EMPTY = 0, 1


class TooLargeError(ValueError):
    """There are more states, or more and longer expressions, than were allowed."""


class StateTable(NamedTuple):
    """A deterministic automaton, complete, that starts in state 0; it need not be minimal."""

    rows: list[list[int]]
    """``[num_states][num_letters]``."""
    accepting: list[int]


def state_table(tree: Expression, letters: Sequence[str], max_states: int) -> StateTable:
    """The automaton of an expression's derivatives.

    Args:
        tree: the expression.
        letters: the alphabet, in order.
        max_states: how many there may be.

    Raises:
        TooLargeError: there are more.
    """
    expressions = _Expressions(letters, 64 * max_states)
    states = [expressions.of_tree(tree)]
    number_of = {states[0]: 0}
    rows = []
    for state in states:  # grows on the way
        row = []
        for letter in range(len(letters)):
            after = expressions.derivative(state, letter)
            if after not in number_of:
                if len(states) == max_states:
                    raise TooLargeError(f"over {max_states} states")
                number_of[after] = len(states)
                states.append(after)
            row.append(number_of[after])
        rows.append(row)
    return StateTable(rows, [number_of[state] for state in states if expressions.is_nullable[state]])


class _Node(NamedTuple):
    kind: str
    """As of an `Expression`, or ``empty``; a ``concat`` is a head that is none, and a tail."""
    parts: tuple[int, ...]
    """The numbers of its parts; of a ``letter`` those of the letters."""
    fewest: int = 0
    most: int | None = None


class _Expressions:
    """Expressions by number: those that are written alike, up to order and grouping, are one."""

    def __init__(self, letters: Sequence[str], max_nodes: int) -> None:
        self._letters = letters
        self._max_nodes = max_nodes
        self._nodes: list[_Node] = []
        self._number_of: dict[_Node, int] = {}
        self._derivatives: dict[tuple[int, int], int] = {}
        self.is_nullable: list[bool] = []
        """Whether each matches the empty string."""
        self._number(_Node("union", ()), is_nullable=False)
        self._number(_Node("empty", ()), is_nullable=True)

    def of_tree(self, tree: Expression) -> int:
        """The number of an expression."""
        if tree.kind == "letter":
            letters = tuple(
                number
                for number, letter in enumerate(self._letters)
                if (letter in tree.letters) != tree.is_negated
            )
            return self._number(_Node("letter", letters), is_nullable=False) if letters else _NOTHING
        parts = [self.of_tree(part) for part in tree.parts]
        if tree.kind == "concat":
            return self._concat(parts)
        if tree.kind == "repeat":
            return self._repeat(parts[0], tree.fewest, tree.most)
        if tree.kind == "shuffle":
            return self._shuffle(*parts)
        return self._join(tree.kind, parts)

    def derivative(self, number: int, letter: int) -> int:
        """What may follow a letter."""
        key = (number, letter)
        if key not in self._derivatives:
            self._derivatives[key] = self._derive(number, letter)
        return self._derivatives[key]

    def _derive(self, number: int, letter: int) -> int:
        kind, parts, fewest, most = self._nodes[number]
        if kind in ("union", "both"):
            return self._join(kind, [self.derivative(part, letter) for part in parts])
        if kind == "letter":
            return _EMPTY if letter in parts else _NOTHING
        if kind == "shuffle":
            first, second = parts
            after_first = self._shuffle(self.derivative(first, letter), second)
            return self._join("union", [after_first, self._shuffle(first, self.derivative(second, letter))])
        if kind == "repeat":
            # Also where the body may be empty: what fewer repetitions match, more of them do then, too.
            fewer = self._repeat(parts[0], max(0, fewest - 1), None if most is None else most - 1)
            return self._concat([self.derivative(parts[0], letter), fewer])
        if kind == "concat":
            return self._derive_concat(parts, letter)
        return _NOTHING  # of the empty string

    def _derive_concat(self, parts: tuple[int, ...], letter: int) -> int:
        """Through all heads that may be empty, by a loop: a row may be longer than the stack is deep."""
        head, tail = parts
        united = [self._concat([self.derivative(head, letter), tail])]
        while self.is_nullable[head]:
            if self._nodes[tail].kind != "concat":
                united.append(self.derivative(tail, letter))
                break
            head, tail = self._nodes[tail].parts
            united.append(self._concat([self.derivative(head, letter), tail]))
        return self._join("union", united)

    def _number(self, node: _Node, *, is_nullable: bool) -> int:
        number = self._number_of.setdefault(node, len(self._nodes))
        if number == len(self._nodes):
            if number == self._max_nodes:
                raise TooLargeError(f"over {self._max_nodes} expressions")
            self._nodes.append(node)
            self.is_nullable.append(is_nullable)
        return number

    def _join(self, kind: str, parts: Iterable[int]) -> int:
        """A union or an intersection, of what is in unions (intersections): no order, nothing twice."""
        joined: set[int] = set()
        for part in parts:
            node = self._nodes[part]
            joined.update(node.parts if node.kind == kind else [part])
        if kind == "both" and _NOTHING in joined:
            return _NOTHING
        if len(joined) == 1:
            return joined.pop()
        is_nullable = (any if kind == "union" else all)(self.is_nullable[part] for part in joined)
        return self._number(_Node(kind, tuple(sorted(joined))), is_nullable=is_nullable)

    def _concat(self, parts: Sequence[int]) -> int:
        """One after another; the last part's own pairs are shared."""
        tail = parts[-1] if parts else _EMPTY
        for part in reversed(parts[:-1]):
            heads = []
            while self._nodes[part].kind == "concat":
                head, part = self._nodes[part].parts
                heads.append(head)
            for head in reversed([*heads, part]):
                tail = self._pair(head, tail)
        return tail

    def _pair(self, head: int, tail: int) -> int:
        if _NOTHING in (head, tail):
            return _NOTHING
        if _EMPTY in (head, tail):
            return max(head, tail)
        is_nullable = self.is_nullable[head] and self.is_nullable[tail]
        return self._number(_Node("concat", (head, tail)), is_nullable=is_nullable)

    def _shuffle(self, first: int, second: int) -> int:
        if _NOTHING in (first, second):
            return _NOTHING
        if _EMPTY in (first, second):
            return max(first, second)
        is_nullable = self.is_nullable[first] and self.is_nullable[second]
        return self._number(_Node("shuffle", tuple(sorted((first, second)))), is_nullable=is_nullable)

    def _repeat(self, body: int, fewest: int, most: int | None) -> int:
        if most == 0 or body == _EMPTY or (body == _NOTHING and not fewest):
            return _EMPTY
        if body == _NOTHING or (fewest, most) == (1, 1):
            return body
        is_nullable = not fewest or self.is_nullable[body]
        return self._number(_Node("repeat", (body,), fewest, most), is_nullable=is_nullable)
