"""Regular expressions as automata, within bounds, and compared with a reader that knows no automata.

Not by automata-lib (9.2), which minimises afterwards: it reads ``x{0}`` as ``x?``, takes the digits of
``a{2}`` for letters, and writes repetitions out, multiplies automata and determines subsets without a bound.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evalkit.errors import UsageError
from evalkit_tasks.formal.derivatives import StateTable, TooLargeError, state_table
from evalkit_tasks.formal.expressions import Expression, ExpressionError, matcher, parse, written_letters

MAX_LENGTH = 10_000
"""Characters of a regular expression."""

MAX_STATES = 4096
"""Of a regular expression's automaton, which can have 2^n states for an expression of n letters."""

_NUM_COMPARED = 64
"""So many of the shortest words are compared; two letters have 63 words of up to 5."""
_LONGEST_QUOTED = 80


class ParsedPattern(NamedTuple):
    """What a regular expression stands for."""

    table: StateTable
    letters: tuple[str, ...]
    """The alphabet, in order."""


def parse_pattern(pattern: str, alphabet: Sequence[str] | None = None) -> ParsedPattern:
    """An automaton of a regular expression.

    Args:
        pattern: see `evalkit_tasks.formal.automaton.Automaton.from_regex`.
        alphabet: single characters; by default those that the pattern writes, sorted.

    Raises:
        UsageError: it is no regular expression, uses letters outside the alphabet, no string matches it, or
            its automaton is too large.
    """
    quoted = _quoted(pattern)
    if len(pattern) > MAX_LENGTH:
        raise UsageError(f"{quoted} is too long: over {MAX_LENGTH:,} characters")
    try:
        tree = parse(pattern)
    except ExpressionError as error:
        raise UsageError(f"{quoted} is not a regular expression: {error}") from error
    letters = _letters(quoted, tree, alphabet)
    try:
        table = state_table(tree, letters, MAX_STATES)
    except TooLargeError as error:
        raise UsageError(f"{quoted} is too large: its automaton has {error}") from error
    if not table.accepting:
        raise UsageError(f"no string matches {quoted}: its language over {', '.join(letters)} is empty")
    _compare(quoted, tree, table, letters)
    return ParsedPattern(table, letters)


def _quoted(pattern: str) -> str:
    """A pattern as messages have it."""
    return repr(pattern) if len(pattern) <= _LONGEST_QUOTED else f"{pattern[:_LONGEST_QUOTED]!r}…"


def _letters(quoted: str, tree: Expression, alphabet: Sequence[str] | None) -> tuple[str, ...]:
    """The alphabet, in order.

    Raises:
        UsageError: it is none, or the expression needs another.
    """
    written = written_letters(tree)
    letters = tuple(sorted(written) if alphabet is None else alphabet)
    if wrong := [letter for letter in letters if len(letter) != 1]:
        raise UsageError(f"{wrong[0]!r} cannot be a letter of a regular expression")
    if outside := sorted(written.difference(letters)):
        raise UsageError(
            f"{quoted} is not a regular expression over {sorted(letters)}: it reads {outside[0]!r}"
        )
    if not letters:
        raise UsageError(f"{quoted} names no letter; write one, or give the alphabet")
    return letters


def _compare(quoted: str, tree: Expression, table: StateTable, letters: Sequence[str]) -> None:
    """Let a second reader, which knows no automata, say of the shortest words whether they match.

    Raises:
        UsageError: the two do not agree.
    """
    matches = matcher(tree, frozenset(letters))
    for word in _shortest_words(len(letters)):
        text = "".join(letters[letter] for letter in word)
        state = 0
        for letter in word:
            state = table.rows[state][letter]
        if matches(text) != (state in table.accepting):
            raise UsageError(
                f"{quoted}: the automaton and the expression disagree about {text!r}; "
                "this is a fault of evalkit, please report it"
            )


def _shortest_words(num_letters: int) -> Iterator[tuple[int, ...]]:
    by_length = (itertools.product(range(num_letters), repeat=length) for length in itertools.count())
    return itertools.islice(itertools.chain.from_iterable(by_length), _NUM_COMPARED)
