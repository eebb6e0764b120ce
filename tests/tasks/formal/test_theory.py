"""The theory of the named languages against what is known of them."""

import pytest

from evalkit_tasks.formal.languages import get_language
from evalkit_tasks.formal.theory import analyse


@pytest.mark.parametrize(
    ("name", "language_class", "is_group", "monoid_size"),
    [
        # Star-free or not: McNaughton and Papert 1971 (parity, (00)* not; (01)*, no 000 star-free).
        ("parity", "solvable", True, 2),
        ("mod-7", "solvable", True, 7),
        ("regex:(00)*", "solvable", True, 2),
        ("tomita-1", "aperiodic", False, 2),
        ("tomita-2", "aperiodic", False, 6),  # the Brandt monoid B_2 with an identity
        ("repeat01", "aperiodic", False, 6),
        ("tomita-3", "solvable", False, None),
        ("tomita-4", "aperiodic", False, None),
        ("tomita-5", "solvable", True, 4),
        ("tomita-6", "solvable", True, 3),
        ("tomita-7", "aperiodic", False, None),
        ("flip-flop", "aperiodic", False, 3),  # the flip-flop monoid U_2
        ("dyck-2-3", "aperiodic", False, None),
        ("cycle-navigation", "solvable", True, 5),
        ("z60", "solvable", True, 60),
        ("s4", "solvable", True, 24),
        ("a4xz5", "solvable", True, 60),
        ("a5", "non-solvable", True, 60),
        ("s5", "non-solvable", True, 120),
        ("s5-swaps", "non-solvable", True, 120),
        ("generators:(1 2 3 4 5 6),(1 2)", "non-solvable", True, 720),
        ("generators:(1 2)(3 4)", "solvable", True, 2),
    ],
)
def test_class_of_a_language(name: str, language_class: str, is_group: bool, monoid_size: int | None) -> None:
    theory = analyse(get_language(name))
    assert (theory.language_class, theory.is_group) == (language_class, is_group)
    if monoid_size is not None:
        assert theory.monoid_size == monoid_size


def test_a_group_inside_a_monoid_that_is_no_group_is_found() -> None:
    # A5's letters beside one that forgets everything.
    import numpy as np

    from evalkit_tasks.formal.automaton import Automaton

    a5 = get_language("a5")
    table = np.column_stack((a5.transitions, np.zeros(60, int)))
    theory = analyse(Automaton.from_table("reset", [*a5.alphabet, "reset"], table, accepting=[0]))
    assert not theory.is_group and theory.language_class == "non-solvable"
    assert theory.monoid_size == 60 + 60  # the group and the constant maps


def test_labels_count_not_only_acceptance() -> None:
    arithmetic = analyse(get_language("modular-arithmetic"))
    # Sum and term may be told apart only by their sum, unless a product goes on.
    assert arithmetic.num_minimal_states > 25
    assert arithmetic.language_class in ("solvable", "unknown")


def test_what_is_too_large_is_said_to_be() -> None:
    theory = analyse(get_language("random:1:12"))
    assert theory.monoid_size is None and theory.language_class == "unknown"
    assert "over 5000" in theory.summary()
    layers = theory.min_layers()
    assert layers["rwkv7 c = 1"] == "unknown" and layers["rnn"] == "1"


def test_layers_by_class() -> None:
    def layers(name: str) -> list[str]:
        return list(analyse(get_language(name)).min_layers().values())

    assert layers("s3") == layers("a5") == ["none", "4", "growing", "1"]
    assert layers("parity") == layers("s5-swaps") == ["none", "1", "growing", "1"]  # exchanges of two
    assert layers("tomita-4") == ["constant", "4", "constant", "1"]
