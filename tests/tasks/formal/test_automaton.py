"""Automata against pyformlang, a library that shares no code with automata-lib."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.groups import symmetric

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pyformlang.regular_expression import Regex

_LENGTH = 7
_WORDS = np.array(list(itertools.product(range(2), repeat=_LENGTH)))
_MOST_STATES = 6
_TELLING_WORDS = np.array(list(itertools.product(range(2), repeat=2 * _MOST_STATES - 2)))
"""Two automata of n and m states that differ do so on a string of at most n + m - 2 letters (Moore 1956)."""


def _random_pattern(generator: np.random.Generator, depth: int = 4) -> tuple[str, str]:
    """A regular expression in automata-lib's notation and in pyformlang's."""
    kind = generator.integers(5) if depth else 0
    if kind == 0:
        letter = "01"[generator.integers(2)]
        return letter, letter
    ours, theirs = _random_pattern(generator, depth - 1)
    if kind == 1:
        return f"({ours})*", f"({theirs})*"
    if kind == 2:
        return f"(({ours})|())", f"(({theirs})|epsilon)"
    ours_2, theirs_2 = _random_pattern(generator, depth - 1)
    if kind == 3:
        return f"(({ours})|({ours_2}))", f"(({theirs})|({theirs_2}))"
    return f"({ours})({ours_2})", f"({theirs}) ({theirs_2})"


def test_labels_are_pyformlang_s_for_200_random_expressions() -> None:
    generator = np.random.default_rng(0)
    num_accepted = 0
    for _ in range(200):
        ours, theirs = _random_pattern(generator)
        automaton = Automaton.from_regex(ours, "01")
        reference = Regex(theirs).to_epsilon_nfa().to_deterministic()
        assert (automaton.start in automaton.accepting) == reference.accepts([])
        labels = automaton.accepts(_WORDS)
        for word, prefixes in zip(_WORDS[::3].tolist(), labels[::3].tolist(), strict=True):
            text = "".join(map(str, word))
            for length, label in enumerate(prefixes, start=1):
                assert label == reference.accepts(text[:length]), (ours, text[:length])
        num_accepted += int(labels[:, -1].sum())
    assert 2000 < num_accepted < 24000  # neither all nor nothing: the comparison says something


def test_minimal_size_is_pyformlang_s() -> None:
    generator = np.random.default_rng(1)
    for _ in range(40):
        ours, theirs = _random_pattern(generator)
        reference = Regex(theirs).to_epsilon_nfa().to_deterministic().minimize()
        automaton = Automaton.from_regex(ours, "01").minimal()
        # pyformlang leaves out the state from which nothing is accepted.
        live = [
            state
            for state in range(automaton.num_states)
            if state in automaton.accepting or (automaton.transitions[state] != state).any()
        ]
        assert len(live) == len(reference.states), ours


@st.composite
def _automata(draw: st.DrawFn) -> Automaton:
    num_states = draw(st.integers(1, _MOST_STATES))
    states = st.integers(0, num_states - 1)
    table = draw(st.lists(st.tuples(states, states), min_size=num_states, max_size=num_states))
    return Automaton.from_table("any", "01", table, start=draw(states), accepting=draw(st.frozensets(states)))


def _accept_the_same(first: Automaton, second: Automaton) -> bool:
    assert first.num_states <= _MOST_STATES and second.num_states <= _MOST_STATES
    starts_alike = (first.start in first.accepting) == (second.start in second.accepting)
    return starts_alike and bool((first.accepts(_TELLING_WORDS) == second.accepts(_TELLING_WORDS)).all())


@settings(max_examples=60, deadline=None)
@given(_automata())
def test_reverse_accepts_the_reversed_strings(automaton: Automaton) -> None:
    backwards = automaton.reverse()
    assert (automaton.accepts(_WORDS)[:, -1] == backwards.accepts(_WORDS[:, ::-1])[:, -1]).all()
    assert backwards.num_states == backwards.minimal().num_states
    assert _accept_the_same(backwards.reverse(), automaton)


@settings(max_examples=60, deadline=None)
@given(_automata())
def test_minimal_and_complement(automaton: Automaton) -> None:
    minimal = automaton.minimal()
    assert minimal.num_states <= automaton.num_states
    assert _accept_the_same(minimal, automaton)
    assert (automaton.complement().accepts(_WORDS) != automaton.accepts(_WORDS)).all()


def test_run_gives_the_state_after_every_prefix_in_any_shape() -> None:
    automaton = Automaton.from_table("abc", "abc", [[0, 1, 2], [2, 0, 1], [1, 1, 0]], start=2, accepting=[1])
    letters = np.random.default_rng(2).integers(3, size=(2, 3, 9))
    states = automaton.run(letters)
    for index in np.ndindex(2, 3):
        state = 2
        for letter, after in zip(letters[index], states[index], strict=True):
            state = automaton.transitions[state, letter]
            assert state == after
        assert (automaton.run(letters[index]) == states[index]).all()
    assert automaton.run(np.zeros((4, 0), int)).shape == (4, 0)
    with pytest.raises(ValueError, match="has letters 0 to 2; these are 0 to 3"):
        automaton.run([0, 3])
    with pytest.raises(ValueError, match="read-only"):
        automaton.transitions[0, 0] = 1


def test_letters_keep_their_places_whatever_they_are_called() -> None:
    # The digits name each other's places: the library must not take the one for the other.
    automaton = Automaton.from_regex("1*0", "10")
    assert automaton.accepts([0, 0, 1]).tolist() == [False, False, True]
    assert automaton.minimal().accepts([0, 0, 1]).tolist() == [False, False, True]
    assert automaton.reverse().accepts([1, 0, 0]).tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("pattern", "alphabet"),
    [("a{2}", "a"), ("[0-3]+", "0123"), ("(0|1)*1.", "01"), ("[^a]b", "ab"), ("a-b", "-ab"), ("2{2}", "2")],
)
def test_letters_are_what_the_pattern_reads(pattern: str, alphabet: str) -> None:
    assert "".join(Automaton.from_regex(pattern).alphabet) == alphabet


def test_regular_expression_over_a_wider_alphabet() -> None:
    automaton = Automaton.from_regex("a*", "abc")
    assert automaton.alphabet == ("a", "b", "c")
    assert automaton.accepts(automaton.encode("aab")).tolist() == [True, True, False]


def test_group_letters_may_be_chosen() -> None:
    s3 = symmetric(3)
    automaton = Automaton.from_group(s3, [s3.index((1, 0, 2)), s3.index((0, 2, 1))])
    assert automaton.alphabet == ("102", "021") and automaton.num_labels == 6
    assert automaton.label([0, 0]).tolist()[-1] == 0
    assert automaton.label([0, 1] * 3)[-1] == 0  # the product of two transpositions has order 3
    assert automaton.label([0, 1])[-1] != automaton.label([1, 0])[-1]


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        ([[0]], {}, "a column for each of the 2 letters"),
        ([[0, 2], [0, 1]], {}, "there is no state 2"),
        ([[0, 1], [0, 1]], {"accepting": [5]}, "there is no state 5"),
        ([[0, 1], [0, 1]], {"labels": [0]}, "labels must be"),
    ],
)
def test_wrong_table_is_one_clear_line(table: list[list[int]], options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Automaton.from_table("t", "01", table, **options)


@pytest.mark.parametrize(
    ("pattern", "alphabet", "words"),
    [
        ("0|2", "01", "is not a regular expression over"),
        ("0&1", "01", "no string matches"),
        ("0", ["0", "12"], "cannot be a letter"),
    ],
)
def test_wrong_expression_is_one_clear_line(pattern: str, alphabet: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        Automaton.from_regex(pattern, alphabet)
    assert "\n" not in str(error.value)


def test_reverse_is_bounded() -> None:
    # The eighth letter from the end: 9 states, and 2^8 for the reverse of its reverse.
    automaton = Automaton.from_regex("(0|1){7}1(0|1)*")
    assert automaton.num_states == 10
    assert automaton.reverse().num_states == 2**8
    with pytest.raises(UsageError, match="over 100 states"):
        automaton.reverse(100)
