"""Samplers are uniform, and say what they draw."""

import itertools

import numpy as np
import pytest

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.languages import get_language
from evalkit_tasks.formal.sampling import (
    count_members,
    live_walks,
    members,
    some_members,
    uniform_strings,
)


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("name", ["tomita-3", "tomita-4", "tomita-7", "dyck-2-3", "random:7:5:3"])
def test_members_are_uniform_by_chi_squared(name: str, accepted: bool) -> None:
    automaton = get_language(name)
    length = 6
    words = np.array(list(itertools.product(range(automaton.num_letters), repeat=length)))
    kind = [tuple(word) for word in words[automaton.accepts(words)[:, -1] == accepted].tolist()]
    num_strings = 40 * len(kind)
    drawn = members(automaton, length, num_strings, np.random.default_rng(0), accepted=accepted)
    counts = dict.fromkeys(kind, 0)
    for word in drawn.tolist():
        counts[tuple(word)] += 1  # a string of the other kind is a KeyError
    expected = num_strings / len(kind)
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    # Wilson and Hilferty: the cube root of chi-squared by its freedom is nearly normal.
    freedom = len(kind) - 1
    z = ((statistic / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) / np.sqrt(2 / (9 * freedom))
    assert abs(z) < 3.5


def test_counts_are_exact_far_beyond_floats() -> None:
    parity = get_language("parity")
    assert count_members(parity, 3000)[3000][parity.start] == 2**2999
    # 1* beside everything else: the two counts differ by a factor of 2^3000.
    ones = Automaton.from_regex("1*", "01")
    assert members(ones, 3000, 2, np.random.default_rng(0)).all()
    non_members = members(ones, 3000, 20, np.random.default_rng(0), accepted=False)
    assert 0.45 < non_members.mean() < 0.55


def test_a_generator_s_seed_gives_the_same_strings() -> None:
    automaton = get_language("tomita-5")
    first, again, of_another_seed = (
        members(automaton, 20, 5, np.random.default_rng(seed)).tolist() for seed in (3, 3, 4)
    )
    assert first == again != of_another_seed


def test_uniform_codewords() -> None:
    automaton = get_language("s5-4swaps")
    drawn = uniform_strings(automaton, 400, 60, np.random.default_rng(3))
    products = automaton.run(drawn.reshape(-1, 4))[:, -1]
    assert np.bincount(products, minlength=120).min() > 20  # 50 expected of each
    with pytest.raises(UsageError, match="multiple of 4"):
        uniform_strings(automaton, 6, 1, np.random.default_rng(3))


def test_live_walks_never_enter_a_sink() -> None:
    dyck = get_language("dyck-2-3")
    states = dyck.run(live_walks(dyck, 500, 4, np.random.default_rng(4)))
    assert (states != dyck.num_states - 1).all()
    finite = Automaton.from_regex("ab")
    assert live_walks(finite, 4, 1, np.random.default_rng(4))[0, :2].tolist() == [0, 1]


def test_some_members_are_different_members() -> None:
    drawn = some_members(get_language("tomita-1"), 50, 20, np.random.default_rng(5))
    assert len({len(word) for word in drawn}) == len(drawn) and all(word.all() for word in drawn)


def test_what_does_not_exist_is_one_clear_line() -> None:
    generator = np.random.default_rng(6)
    with pytest.raises(UsageError, match="no string of length 3 is accepted"):
        members(get_language("repeat01"), 3, 1, generator)
    everything = Automaton.from_regex("(0|1)*")
    with pytest.raises(UsageError, match="no string of length 3 is rejected"):
        members(everything, 3, 1, generator, accepted=False)


def test_what_was_drawn_before_changes_no_draw() -> None:
    drawn = []
    for warm_up in ((), (40, 3), (12,)):
        language = get_language("tomita-4")  # a new one, of which nothing has been counted
        for length in warm_up:
            members(language, length, 5, np.random.default_rng(1))
        drawn.append(members(language, 12, 200, np.random.default_rng(2)))
    assert (drawn[0] == drawn[1]).all() and (drawn[0] == drawn[2]).all()
    assert len(np.unique(drawn[0], axis=0)) > 150
