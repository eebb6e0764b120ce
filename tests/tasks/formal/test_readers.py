"""The second readers say what the automata say, and are not made of them."""

import itertools

import numpy as np
import pytest

from evalkit_tasks.formal.expressions import parse
from evalkit_tasks.formal.languages import by_prime_powers, get_language, language_names
from evalkit_tasks.formal.readers import reader_of
from evalkit_tasks.formal.sampling import live_walks, uniform_strings
from evalkit_tasks.formal.thompson import expression_nfa

_MORE = [
    "d4", "q8", "psl27", "z2xs3", "a4xz5", "generators:(1 2 3 4 5 6 7 8 9 10 11)", "mod-12",
    "dyck-3-2", "random:5:9:3", "regex:mod", "regex:d5", "(a|b)*a(a|b){5}", "(0?1){2,4}&(0|1)*11", "ab*^c",
]  # fmt: skip


def _both(name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Acceptance and labels of prefixes by the automaton and by the reader: all short strings, some long."""
    automaton = by_prime_powers(get_language(name))
    reader = reader_of(name, automaton)
    length = 1
    while length < 11 and automaton.num_letters ** (length + 1) <= 3000:
        length += 1
    short = np.array(list(itertools.product(range(automaton.num_letters), repeat=length)))
    generator = np.random.default_rng(0)
    spans = [draw(automaton, 60, 8, generator) for draw in (uniform_strings, live_walks)]
    automaton_said, reader_said = [], []
    for strings in (short, *spans):
        first = np.full((len(strings), 1), automaton.start)
        states = np.concatenate((first, automaton.run(strings)), 1)
        automaton_said += [automaton.is_accepting(states), automaton.labels[states]]
        read = reader.run(strings)
        reader_said += [reader.accepted(read), reader.labels(read)]
    return automaton_said, reader_said


@pytest.mark.parametrize("name", [*language_names(), *_MORE])
def test_the_automaton_and_the_reader_agree(name: str) -> None:
    automaton_said, reader_said = _both(name)
    for ours, theirs in zip(automaton_said, reader_said, strict=True):
        assert (ours == theirs).all()
    assert 0 < np.mean(reader_said[0]) < 1 or name == "regex:mod"


def test_an_expression_is_followed_part_by_part() -> None:
    # (ab|a)(b?) has two ways to read "ab"; the product of both and the shuffle are what they should be.
    words = ["".join(word) for length in range(4) for word in itertools.product("ab", repeat=length)]
    for pattern, members in (
        ("(ab|a)(b?)", ["a", "ab", "abb"]),
        ("a{2,3}&(aa)*", ["aa"]),
        ("ab^a", ["aab", "aba"]),
        ("(a|b){0}", [""]),
    ):
        nfa = expression_nfa(parse(pattern), "ab")
        accepted = []
        for word in words:
            states = nfa.closed(nfa.starts)
            for letter in word:
                states = nfa.after(states, "ab".index(letter))
            if states & nfa.accepting:
                accepted.append(word)
        assert accepted == members
