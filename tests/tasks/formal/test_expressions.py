"""Expressions against Python's own: what an automaton accepts, what the tree matches, what is refused."""

import itertools
import re

import numpy as np
import pytest

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.expressions import matcher, parse

_LENGTH = 6
_LONGEST = np.array(list(itertools.product(range(2), repeat=_LENGTH)))
_WORDS = [
    "".join(word) for length in range(1, _LENGTH + 1) for word in itertools.product("01", repeat=length)
]
_LETTERS = ("0", "1", ".", "[01]", "[^0]", "()")
_REPEATS = ("*", "+", "?", "{0}", "{0,0}", "{1}", "{2}", "{0,2}", "{1,3}", "{2,}", "{,2}", "{0,}")


def _random_pattern(generator: np.random.Generator, depth: int) -> str:
    """With empty parts, repetitions of repetitions and by any numbers, zero among them."""
    kind = generator.integers(4) if depth else 0
    if kind == 0:
        return _LETTERS[generator.choice(len(_LETTERS), p=[0.35, 0.35, 0.1, 0.05, 0.1, 0.05])]
    first = _random_pattern(generator, depth - 1)
    if kind == 1:
        return f"({first}){_REPEATS[generator.integers(len(_REPEATS))]}"
    second = _random_pattern(generator, depth - 1)
    return f"({first}|{second})" if kind == 2 else first + second


def _accepted(automaton: Automaton) -> dict[str, bool]:
    """Whether each of the words is accepted."""
    labels = automaton.accepts(_LONGEST)
    return {
        "".join(map(str, word[: length + 1])): bool(label)
        for word, prefixes in zip(_LONGEST.tolist(), labels.tolist(), strict=True)
        for length, label in enumerate(prefixes)
    } | {"": automaton.start in automaton.accepting}


def test_two_thousand_random_expressions_are_what_python_matches() -> None:
    generator = np.random.default_rng(20261130)
    num_accepted = 0
    for _ in range(2000):
        pattern = _random_pattern(generator, 4)
        python = re.compile(pattern.replace("(", "(?:"))
        expected = {word: python.fullmatch(word) is not None for word in ["", *_WORDS]}
        assert _accepted(Automaton.from_regex(pattern, "01")) == expected, pattern
        num_accepted += sum(expected.values())
    assert 20_000 < num_accepted < 200_000  # of 254,000: the comparison says something


@pytest.mark.parametrize(
    ("pattern", "members"),
    [
        ("(ab){0}", [""]),
        ("a{0}b", ["b"]),
        ("(a|b){2}&.a", ["aa", "ba"]),
        ("ab^b", ["abb", "bab"]),
        ("(a*&a{2,3})b", ["aab", "aaab"]),
        ("a|b&b", ["b"]),  # from left to right
        ("(a?^b?){0,1}", ["", "a", "b", "ab", "ba"]),
        (r"\*[ab]?", ["*", "*a", "*b"]),
        ("x{2}{2}", ["xxxx"]),
    ],
)
def test_members_written_by_hand(pattern: str, members: list[str]) -> None:
    automaton = Automaton.from_regex(pattern)
    letters = frozenset(automaton.alphabet)
    words = ["".join(word) for n in range(6) for word in itertools.product(automaton.alphabet, repeat=n)]
    expected = [word for word in words if word in members]
    assert [word for word in words if matcher(parse(pattern), letters)(word)] == expected
    states = [automaton.run(automaton.encode(word))[-1] if word else automaton.start for word in words]
    assert [
        word for word, state in zip(words, states, strict=True) if state in automaton.accepting
    ] == expected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a)", "closes no bracket"),
        ("(a", "is not closed"),
        ("*a", "before * for it to repeat"),
        ("a||b", "() is the empty string"),
        ("a{}", "{} is no repetition"),
        ("a{-1}", "{-1} is no repetition"),
        ("a{3,2}", "at least 3 times and at most 2"),
        ("[z-a]", "a range that falls"),
        ("[]", "names no letter"),
        ("[a", "'[' is no letter"),
        ("a b", "' ' is no letter"),
        ("(" * 9000, "nested more than 60 deep"),
        ("a" + "*" * 9000, "nested more than 60 deep"),
        ("a|b&" * 2000 + "a", "nested more than 60 deep"),
        ("a" * 20_000, "over 10,000 characters"),
        ("(a{200})^(b{200})", "over 4096 states"),
    ],
)
def test_what_is_no_expression_is_one_line(pattern: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as error:
        Automaton.from_regex(pattern)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_long_rows_are_no_deep_trees() -> None:
    assert Automaton.from_regex("|".join("ab" * 2000)).num_states == 3
    assert Automaton.from_regex("a" * 4000).num_states == 4002
