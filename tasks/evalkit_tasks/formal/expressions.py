r"""Regular expressions as trees: what is written, without an automaton.

Letters, ``*``, ``+``, ``?``, ``{m,n}``, ``|``, ``&`` (intersection), ``^``
(shuffle), ``.``, ``[...]``, ``[^...]``, ``\d``, ``\s``, ``\w`` and their complements, ``\x`` for an operator
as a letter, ``()`` for the empty string. ``|``, ``&`` and ``^`` bind alike, from left to right; spaces are
no letters unless they are escaped.

`matcher` reads a tree directly, so that what any library makes of an expression can be compared with it.
"""

import functools
import itertools
import re
import string
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_DEPTH = 60
"""Brackets within brackets, repetitions of repetitions, changes between ``|``, ``&`` and ``^``."""
_INFIX = {"|": "union", "&": "both", "^": "shuffle"}
_SHORTHANDS = {
    "d": frozenset(string.digits),
    "s": frozenset(" \t\n\r\f\v"),
    "w": frozenset(string.ascii_letters + string.digits + "_"),
}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "f": "\f", "a": "\a", "b": "\b"}
_TOKEN = re.compile(r"\[\^?(?:\\.|[^\]\\])*\]|\{[^{}]*\}|\\.|.", re.DOTALL)
_BOUNDS = re.compile(r"\{(?:(\d+)|(\d*),(\d*))\}")


class Expression(NamedTuple):
    """A node of the tree."""

    kind: str
    """``letter``, ``concat``, ``union``, ``both``, ``shuffle`` or ``repeat``."""
    parts: "tuple[Expression, ...]" = ()
    letters: frozenset[str] = frozenset()
    """Of a ``letter``: any one of these, or of a negated one any of the alphabet but these."""
    is_negated: bool = False
    fewest: int = 0
    """Times that a ``repeat`` repeats its part, at least."""
    most: int | None = None
    """At most; None for no bound."""
    depth: int = 1


EMPTY = Expression("concat")
"""The empty string."""


class ExpressionError(ValueError):
    """A text is no regular expression."""


def parse(pattern: str) -> Expression:
    """The tree of a regular expression.

    Raises:
        ExpressionError: it is none; the message says why.
    """
    tokens = _TOKEN.findall(pattern)
    if not tokens:
        return EMPTY
    tree, end = _parse_infix(tokens, 0, 0)
    if end < len(tokens):
        raise ExpressionError("a ) closes no bracket")
    return tree


def written_letters(tree: Expression) -> frozenset[str]:
    """Every letter that an expression writes, in classes too."""
    return tree.letters.union(*map(written_letters, tree.parts))


def matcher(tree: Expression, alphabet: frozenset[str]) -> Callable[[str], bool]:
    """What tells of a string over an alphabet whether it matches: slow, for short strings, and plain."""

    @functools.cache
    def matches(node: Expression, word: str) -> bool:
        if node.kind == "letter":
            return len(word) == 1 and (word in node.letters) != node.is_negated and word in alphabet
        if node.kind == "union":
            return any(matches(part, word) for part in node.parts)
        if node.kind == "both":
            return all(matches(part, word) for part in node.parts)
        if node.kind == "shuffle":
            return any(
                matches(node.parts[0], first) and matches(node.parts[1], second)
                for first, second in _deals(word)
            )
        if node.kind == "concat":
            ends = {0}
            for part in node.parts:
                ends = {j for i in ends for j in range(i, len(word) + 1) if matches(part, word[i:j])}
            return len(word) in ends
        return any(
            (node.fewest <= count or matches(node.parts[0], "")) and (node.most is None or count <= node.most)
            for count in _counts(node.parts[0], word)
        )

    def _counts(part: Expression, word: str) -> set[int]:
        """Of how many non-empty strings of a part a word can consist."""
        counts: list[set[int]] = [{0}] + [set() for _ in word]
        for i, j in itertools.combinations(range(len(word) + 1), 2):
            if counts[i] and matches(part, word[i:j]):
                counts[j] |= {count + 1 for count in counts[i]}
        return counts[-1]

    return lambda word: matches(tree, word)


def _deals(word: str) -> Iterator[tuple[str, str]]:
    """Every way to deal the letters of a word into two, in order."""
    for is_first in itertools.product((True, False), repeat=len(word)):
        yield (
            "".join(itertools.compress(word, is_first)),
            "".join(letter for letter, is_in_first in zip(word, is_first, strict=True) if not is_in_first),
        )


def _node(kind: str, parts: tuple[Expression, ...]) -> Expression:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_DEPTH:
        raise ExpressionError(f"it is nested more than {MAX_DEPTH} deep")
    return Expression(kind, parts, depth=depth)


def _parse_infix(tokens: list[str], start: int, depth: int) -> tuple[Expression, int]:
    """What stands from a token to the end of its bracket, and where that is."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"it is nested more than {MAX_DEPTH} deep")
    tree, end = _parse_concat(tokens, start, depth)
    is_open = False  # whether the tree is a row that goes on, and not one from within brackets
    while end < len(tokens) and tokens[end] in _INFIX:
        right, after = _parse_concat(tokens, end + 1, depth)
        kind = _INFIX[tokens[end]]
        parts = (*tree.parts, right) if tree.kind == kind and is_open else (tree, right)
        tree, end, is_open = _node(kind, parts), after, kind != "shuffle"
    return tree, end


def _parse_concat(tokens: list[str], start: int, depth: int) -> tuple[Expression, int]:
    parts: list[Expression] = []
    end = start
    while end < len(tokens) and tokens[end] not in (*_INFIX, ")"):
        token = tokens[end]
        if token in "*+?" or token[0] == "{":
            if not parts:
                raise ExpressionError(f"nothing stands before {token} for it to repeat")
            fewest, most = _times(token)
            parts[-1] = _node("repeat", (parts[-1],))._replace(fewest=fewest, most=most)
        elif token == "(":
            is_empty = tokens[end + 1 : end + 2] == [")"]
            inside, end = (EMPTY, end + 1) if is_empty else _parse_infix(tokens, end + 1, depth + 1)
            if end == len(tokens):
                raise ExpressionError("a ( is not closed")
            parts.append(inside)
        else:
            parts.append(_letter(token))
        end += 1
    if not parts:
        raise ExpressionError("nothing stands where an expression should; () is the empty string")
    return parts[0] if len(parts) == 1 else _node("concat", tuple(parts)), end


def _times(token: str) -> tuple[int, int | None]:
    """The bounds of a repetition."""
    if token in "*+?":
        return int(token == "+"), 1 if token == "?" else None
    bounds = _BOUNDS.fullmatch(token.replace(" ", ""))
    if bounds is None:
        raise ExpressionError(f"{token} is no repetition; write {{2}}, {{2,3}}, {{2,}} or {{,3}}")
    exact, fewest, most = (text and int(text[:10]) for text in bounds.groups())
    if exact is not None and exact != "":
        return int(exact), int(exact)
    least, upper = int(fewest or 0), None if most in (None, "") else int(most)
    if upper is not None and upper < least:
        raise ExpressionError(f"{token} repeats at least {least} times and at most {upper}")
    return least, upper


def _letter(token: str) -> Expression:
    if token == ".":
        return Expression("letter", is_negated=True)
    if token[0] == "[" and len(token) > 1:
        is_negated = token[1] == "^"
        content = token[1 + is_negated : -1]
        if not content:
            raise ExpressionError(f"{token} names no letter")
        return Expression("letter", letters=_class_letters(content), is_negated=is_negated)
    if token[0] == "\\" and len(token) == 2:
        shorthand = _SHORTHANDS.get(token[1].lower())
        if shorthand is not None:
            return Expression("letter", letters=shorthand, is_negated=token[1].isupper())
        return Expression("letter", letters=frozenset(_ESCAPES.get(token[1], token[1])))
    if token.isspace() or token in "[]{}\\":
        raise ExpressionError(f"{token!r} is no letter; \\{token} would be")
    return Expression("letter", letters=frozenset(token))


def _class_letters(content: str) -> frozenset[str]:
    """The letters of what stands between [ and ]."""
    items: list[str | frozenset[str]] = []
    for item in re.findall(r"\\.|.", content, re.DOTALL):
        if item[0] == "\\" and len(item) == 2:
            items.append(_SHORTHANDS.get(item[1], _ESCAPES.get(item[1], item[1])))
        else:
            items.append(item)
    letters: set[str] = set()
    i = 0
    while i < len(items):
        first, last = items[i], items[i + 2] if items[i + 1 : i + 2] == ["-"] and i + 2 < len(items) else None
        if isinstance(first, str) and isinstance(last, str):
            if first > last:
                raise ExpressionError(f"[{content}] holds a range that falls, {first}-{last}")
            letters.update(map(chr, range(ord(first), ord(last) + 1)))
            i += 3
        else:
            letters.update(first)
            i += 1
    return frozenset(letters)
