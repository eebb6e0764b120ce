"""The named automata against their definitions, written here in another way, on every short string."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import UsageError
from evalkit_tasks.formal import groups
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.languages import get_language, language_names, random_automaton

_LONGEST = 12


def _tomita_3(text: str) -> bool:
    runs = [(letter, len(list(run))) for letter, run in itertools.groupby(text)]
    odd_ones = [i for i, (letter, size) in enumerate(runs) if letter == "1" and size % 2]
    odd_zeros = [i for i, (letter, size) in enumerate(runs) if letter == "0" and size % 2]
    return not (odd_ones and odd_zeros and odd_ones[0] < odd_zeros[-1])


# Tomita 1982 as restated by Weiss, Goldberg, Yahav, "Extracting Automata from Recurrent Neural Networks"
# (arXiv 1711.09576), table 1; parity, even pairs: Deletang et al. (arXiv 2207.02098), appendix.
_DEFINITIONS: dict[str, Callable[[str], bool]] = {
    "parity": lambda w: w.count("1") % 2 == 1,
    "even-pairs": lambda w: sum(x != y for x, y in itertools.pairwise(w)) % 2 == 0,
    "tomita-1": lambda w: "0" not in w,
    "tomita-2": lambda w: w == "10" * (len(w) // 2),
    "tomita-3": _tomita_3,
    "tomita-4": lambda w: "000" not in w,
    "tomita-5": lambda w: w.count("0") % 2 == w.count("1") % 2 == 0,
    "tomita-6": lambda w: (w.count("0") - w.count("1")) % 3 == 0,
    "tomita-7": lambda w: sum(x != y for x, y in itertools.pairwise("0" + w)) <= 3,
    "mod-7": lambda w: w.count("1") % 7 == 0,
    "repeat01": lambda w: w == "01" * (len(w) // 2),
}


@pytest.mark.parametrize("name", _DEFINITIONS)
def test_named_language_is_its_definition_on_all_strings(name: str) -> None:
    automaton = get_language(name)
    assert automaton.alphabet == ("0", "1")
    assert (automaton.start in automaton.accepting) == _DEFINITIONS[name]("")
    longest = np.array(list(itertools.product(range(2), repeat=_LONGEST)))
    accepted = automaton.accepts(longest)
    for letters, prefixes in zip(longest.tolist(), accepted.tolist(), strict=True):
        text = "".join(map(str, letters))
        assert prefixes[-1] == _DEFINITIONS[name](text), text
    for length in range(1, _LONGEST):  # the shorter strings are the prefixes of the longest
        stride = 2 ** (_LONGEST - length)
        texts = ["".join(map(str, row[:length])) for row in longest[::stride].tolist()]
        assert accepted[::stride, length - 1].tolist() == [_DEFINITIONS[name](text) for text in texts]


def test_flip_flop_remembers_the_last_bit_written() -> None:
    automaton = get_language("flip-flop")
    for word in itertools.product("01-", repeat=6):
        written = re.sub("-", "", "".join(word))
        assert automaton.accepts(automaton.encode("".join(word)))[-1] == written.endswith("1")


def test_dyck_accepts_what_collapses_and_is_not_too_deep() -> None:
    automaton = get_language("dyck-2-3")

    def balanced(text: str, depth: int) -> bool:
        shorter = text
        for _ in range(depth):  # takes away the innermost pairs, one level at a time
            shorter = re.sub(r"\((\x00*)\)|\[(\x00*)\]", lambda pair: "\0" * len(pair[0]), shorter)
        return set(shorter) <= {"\0"}

    for length in range(1, 7):
        for word in itertools.product("()[]", repeat=length):
            text = "".join(word)
            assert automaton.accepts(automaton.encode(text))[-1] == balanced(text, 3), text
    assert not automaton.accepts(automaton.encode("(((())))"))[-1]
    assert automaton.accepts(automaton.encode("([()])"))[-1]


def test_modular_arithmetic_is_python_s() -> None:
    automaton = get_language("modular-arithmetic")
    generator = np.random.default_rng(0)
    for _ in range(300):
        text = "".join(
            f"{digit}{operator}"
            for digit, operator in zip(
                generator.integers(5, size=9), generator.choice(list("+-*"), 9), strict=True
            )
        )
        letters = automaton.encode(text)
        values = automaton.label(letters)
        for t in range(0, len(letters), 2):
            assert values[t] == eval(text[: t + 1]) % 5
        assert (values[1::2] == 5).all()
        assert automaton.accepts(letters).tolist() == [True, False] * 9
    assert automaton.label(automaton.encode("1++1"))[-1] == 5
    assert automaton.label(automaton.encode("12+"))[-1] == 5


def test_cycle_navigation_counts_steps() -> None:
    automaton = get_language("cycle-navigation")
    letters = np.random.default_rng(1).integers(3, size=(20, 50))
    steps = np.array([0, 1, -1])[letters].cumsum(1) % 5
    assert (automaton.label(letters) == steps).all()


@pytest.mark.parametrize(
    ("name", "order", "degree", "num_classes"),
    # Orders and numbers of conjugacy classes: Conway et al., ATLAS of Finite Groups; products multiply.
    [
        ("s3", 6, 3, 3),
        ("a4", 12, 4, 4),
        ("s4", 24, 4, 5),
        ("a5", 60, 5, 5),
        ("s5", 120, 5, 7),
        ("z60", 60, 12, 60),
        ("a4xz5", 60, 9, 20),
        ("z5", 5, 5, 5),
    ],
)
def test_groups_have_their_order_and_conjugacy_classes(
    name: str, order: int, degree: int, num_classes: int
) -> None:
    group = groups.parse_group(name)
    assert group is not None and (group.order, group.degree) == (order, degree)
    products = group.products
    assert sorted(products[0]) == list(range(order)) and (products[:, 0] == np.arange(order)).all()
    triples = np.random.default_rng(2).integers(order, size=(3, 500))
    first_two_first = products[products[triples[0], triples[1]], triples[2]]
    assert (first_two_first == products[triples[0], products[triples[1], triples[2]]]).all()
    inverse = (products == 0).argmax(1)
    elements = np.arange(order)
    conjugates = products[products[inverse[:, None], elements], elements[:, None]]  # g^-1 x g
    assert len({frozenset(conjugates[:, x].tolist()) for x in elements}) == num_classes


def test_word_problem_multiplies_from_left_to_right() -> None:
    automaton = get_language("s5")
    assert automaton.group is not None and automaton.num_labels == 120
    letters = np.random.default_rng(3).integers(120, size=40)
    places = np.arange(5)
    for letter, state in zip(letters, automaton.label(letters), strict=True):
        places = automaton.group.elements[letter][places]
        assert (automaton.group.elements[state] == places).all()


def test_s5_swaps_letters_are_the_identity_and_ten_transpositions() -> None:
    automaton = get_language("s5-swaps")
    assert automaton.num_letters == 11 and automaton.alphabet[0] == "01234"
    moved = [sum(int(c) != i for i, c in enumerate(name)) for name in automaton.alphabet]
    assert moved == [0] + [2] * 10


def test_s5_four_swaps_spells_every_element() -> None:
    automaton = get_language("s5-4swaps")
    assert automaton.codewords is not None and automaton.codewords.shape == (120, 4)
    assert automaton.run(automaton.codewords)[:, -1].tolist() == list(range(120))


def test_random_automata_are_minimal_and_repeatable() -> None:
    for seed in range(5):
        automaton = random_automaton(seed, 8, 3)
        assert automaton.num_states == automaton.minimal().num_states == 8
        again = get_language(f"random:{seed}:8:3")
        assert (automaton.transitions == again.transitions).all()
        assert automaton.accepting == again.accepting
    assert (random_automaton(0).transitions != random_automaton(1).transitions).any()


def test_only_tables_that_lead_to_every_state_are_minimised(monkeypatch: pytest.MonkeyPatch) -> None:
    minimised: list[int] = []
    minimal = Automaton.minimal

    def counted(automaton: Automaton) -> Automaton:
        minimised.append(automaton.num_states)
        return minimal(automaton)

    monkeypatch.setattr(Automaton, "minimal", counted)
    # With 40 states and two letters that is one table in some hundred; with 64, in tens of thousands.
    assert random_automaton(1, 40).num_states == 40 and len(minimised) < 10


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("parrity", r"unknown language 'parrity'. Did you mean parity"),
        ("tomita-8", "unknown language 'tomita-8'"),
        ("(0|1", "is not a regular expression"),
        ("a&b", "no string matches"),
        ("", "names no letter"),
        ("s9", "more than 1000 elements"),
        ("mod-0", "modulus must lie"),
        ("random:x", "write random:SEED"),
        (f"random:{'9' * 5000}", "write random:SEED"),
        (f"mod-{'9' * 5000}", "unknown language"),
        (f"generators:(1 {'9' * 5000})", "moves a point above"),
        ("random:1:900", "states must be 2 to 64"),
        ("regex:a b", "is not a regular expression"),
        ("s0xz2", "there is no group 's0xz2'"),
        ("d2", "a polygon has 3 sides at least"),
        ("d501", "more than 1000 elements"),
        ("q8xq8xq8xq8", "more than 1000 elements"),
        ("generators:", "write generators as cycles"),
        ("generators:(1 2", "write generators as cycles"),
        ("generators:(1 2),,(1 3)", "write generators as cycles"),
        ("generators:(1 2),", "write generators as cycles"),
        ("generators:(\u0661 \u0662)", "write generators as cycles"),
        ("generators:( )", "write generators as cycles"),
        ("S5", "unknown language 'S5'. Did you mean s5? Names have small letters."),
        (
            "lexers/ends.att",
            "'lexers/ends.att': an automaton's file is file:lexers/ends.att, the expression regex:",
        ),
        ("my lexer.JSON", "an automaton's file is file:my lexer.JSON"),
        ("D4", "unknown language 'D4'. Did you mean d4?"),
        ("Parity", "unknown language 'Parity'. Did you mean parity"),
        ("flip-flop:0", "unknown language 'flip-flop:0'. Did you mean flip-flop"),
        ("A4xZ5", "unknown language 'A4xZ5'. Did you mean a4xz5"),
        ("generators:(0 1)", "write generators as cycles"),
        ("generators:(1 2 1)", "name a point twice"),
        ("generators:(1 2),(2 1)", "two generators are alike"),
        ("generators:(1 99)", "a point above 64"),
        ("generators:(1 2 3 4 5 6 7),(1 2)", "more than 1000 elements"),
        ("dyck-5-2", "1 to 4 kinds of brackets"),
        ("dyck-2-0", "a depth of 1 or more"),
        ("dyck-4-9", "has more than 4096 states"),
        ("regex:(ab){3000}{3000}", "is too large: its automaton has over 4096 states"),
        ("regex:a{99999999999999999999}", "is too large: its automaton has over 4096 states"),
        ("regex:((a{100}){100}){100}", "is too large: its automaton has over 4096 states"),
        # The minimal automaton remembers the last 26 letters: 2^26 states.
        ("regex:(a|b)*a(a|b){25}", "is too large: its automaton has over 4096 states"),
    ],
)
def test_what_names_nothing_is_one_clear_line(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as error:
        get_language(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "order", "num_involutions", "is_abelian"),
    [("d4", 8, 5, False), ("q8", 8, 1, False), ("psl27", 168, 21, False), ("d5xz2", 20, 11, False)],
)
def test_groups_by_generators(name: str, order: int, num_involutions: int, is_abelian: bool) -> None:
    # The orders and numbers of involutions are those of the textbooks (q8 has one, PSL(2,7) has 21).
    group = groups.parse_group(name)
    assert (
        group is not None and group.order == order and group.elements[0].tolist() == list(range(group.degree))
    )
    assert len(np.unique(group.elements, axis=0)) == order
    products = group.products
    assert (products[np.arange(order), np.arange(order)] == 0).sum() - 1 == num_involutions
    assert (products == products.T).all() == is_abelian
    # Composed by hand, from left to right.
    for i, j in np.random.default_rng(0).integers(order, size=(50, 2)).tolist():
        by_hand = [int(group.elements[j][point]) for point in group.elements[i]]
        assert group.elements[products[i, j]].tolist() == by_hand


def test_a_group_by_generators_written_as_cycles() -> None:
    language = get_language("generators:(1 2 3)(4 5), (1 2)")
    assert language.num_letters == 2 and language.num_states == 12  # S3 x Z2
    # The first has order 6, the second 2.
    assert language.accepts([0] * 6).tolist() == [False] * 5 + [True]
    assert language.accepts([1, 1]).tolist() == [False, True]


def test_brackets_of_other_kinds_and_depths() -> None:
    language = get_language("dyck-1-2")
    assert [bool(language.accepts(language.encode(word))[-1]) for word in ("()", "(())", "((()))", ")(")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_expressions_up_to_the_bounds_are_taken() -> None:
    assert get_language("regex:(a|b)*a(a|b){10}").num_states == 2**11
    assert get_language("regex:((a{20}){20}){10}").num_states == 4000 + 2


def test_a_name_wins_over_a_word_unless_the_word_is_asked_for() -> None:
    group, word = get_language("d5"), get_language("regex:d5")
    assert group.group is not None and group.num_states == 10
    assert word.group is None and word.alphabet == ("5", "d") and word.name == "regex:d5"
    assert word.accepts(word.encode("d5")).tolist() == [False, True]
    assert get_language("regex:parity").alphabet == tuple("aiprty")


def test_every_name_is_listed_and_found() -> None:
    for name in language_names():
        assert get_language(name).name == name


def test_a_file_that_is_there_is_no_expression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert get_language("lexer.txt").alphabet  # a letter, whatever it is, and letters
    Path("lexer.txt").touch()
    with pytest.raises(UsageError, match=r"an automaton's file is file:lexer\.txt"):
        get_language("lexer.txt")
