import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit_tasks.metrics import (
    ItemScores,
    accuracy_entries,
    length_at_share,
    parity_accuracy,
    scaled_accuracy,
    score_items,
    summary,
    wilson_interval,
)


def scores(predictions, labels, num_letters=None):
    labels = np.array(labels)
    lengths = np.full(len(labels), labels.shape[1]) if num_letters is None else np.array(num_letters)
    return score_items(np.array(predictions), labels, lengths)


def test_items_by_hand():
    item_scores = scores(
        [[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]],
        [[1, 1, 1, 1], [0, 1, 0, 1], [-1, -1, 0, -1], [1, -1, 0, 1]],
    )
    assert item_scores.num_scored.tolist() == [4, 4, 1, 3]
    assert item_scores.num_correct.tolist() == [4, 2, 1, 2]
    assert item_scores.first_error.tolist() == [0, 3, 0, 1]
    assert item_scores.last_correct.tolist() == [True, False, True, True]


def test_summary_by_hand():
    item_scores = scores(
        [[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]],
        [[1, 1, 1, 1], [0, 1, 0, 1], [-1, -1, 0, -1], [1, -1, 0, 1]],
    )
    metrics = summary(item_scores, num_labels=2)
    assert metrics["token_accuracy"] == 9 / 12
    assert metrics["sequence_accuracy"] == 2 / 4
    assert metrics["last_position_accuracy"] == 3 / 4
    assert metrics["scaled_token_accuracy"] == 0.5
    assert metrics["scaled_last_position_accuracy"] == 0.5
    # Errors after 1 and 3 letters, and two strings without: the median is the second of four.
    assert metrics["first_error_median"] == 3
    assert metrics["first_error_5_percent"] == 1
    assert metrics["num_items"] == 4


def test_parity_by_hand():
    # Of six permutations the first three are even. At -1 nothing is asked.
    parities = np.array([0, 0, 0, 1, 1, 1])
    labels = np.array([[0, 3, 5, -1], [4, 1, -1, 2]])
    predictions = np.array([[0, 4, 5, 3], [1, 2, 0, 3]])
    # right: 0, 5; right in parity alone: 3 -> 4, 1 -> 2; wrong in parity: 4 -> 1, 2 -> 3.
    assert parity_accuracy(predictions, labels, parities) == 4 / 6
    assert summary(scores(predictions, labels), 6)["token_accuracy"] == 2 / 6


def test_an_accuracy_s_interval_is_over_items():
    entries = accuracy_entries("parity_accuracy", 81 / 263, 263)
    assert list(entries) == ["parity_accuracy", "parity_accuracy_low", "parity_accuracy_high"]
    # Newcombe (1998), as below.
    assert list(entries.values()) == [
        81 / 263,
        pytest.approx(0.2553, abs=5e-5),
        pytest.approx(0.3662, abs=5e-5),
    ]
    assert set(accuracy_entries("parity_accuracy", None, 263).values()) == {None}


def test_a_flawless_network_has_no_first_error():
    item_scores = scores([[1, 0]] * 3, [[1, 0]] * 3)
    metrics = summary(item_scores, 2)
    assert metrics["sequence_accuracy"] == 1
    assert metrics["first_error_median"] is None
    assert length_at_share(item_scores, 0.9) is None


def test_a_short_string_without_an_error_does_not_err_where_it_ends():
    # Two of three strings have no error, and both end before the third's: no length has half of them wrong.
    item_scores = scores(
        [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 1]],
        [[1, 0, -1, -1], [1, 0, -1, -1], [1, 0, 1, 0]],
        num_letters=[2, 2, 4],
    )
    metrics = summary(item_scores, 2)
    assert metrics["first_error_median"] is None
    assert metrics["first_error_5_percent"] == 4


def test_an_answer_after_the_string_counts_as_its_last_letter():
    item_scores = scores([[9, 9, 9, 1]], [[-1, -1, -1, 0]], num_letters=[3])
    assert item_scores.first_error.tolist() == [3]
    assert item_scores.num_letters.tolist() == [3]


def test_an_item_without_a_question_is_refused():
    with pytest.raises(ValueError, match="no position"):
        scores([[1, 1]], [[-1, -1]])


@pytest.mark.parametrize(
    ("num_successes", "num_trials", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_as_published(num_successes, num_trials, low, high):
    interval = wilson_interval(num_successes, num_trials)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_proportion_and_stays_within_bounds(case):
    low, high = wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] <= high <= 1 or case[0] in (0, case[1])
    assert 0 <= low < high <= 1


def test_scaled_accuracy_by_hand():
    assert scaled_accuracy(0.2, 5) == pytest.approx(0)
    assert scaled_accuracy(1, 5) == 1
    assert scaled_accuracy(0.6, 5) == pytest.approx(0.5)


def items(first_errors, length=100):
    errors = np.array(first_errors)
    full = np.full(len(errors), length)
    return ItemScores(full, full, full - (errors > 0), errors, errors == 0)


def test_length_at_share_by_hand():
    # Ten strings: at 0.9 one may err. The second error is at letter 40: by then 8 of 10 are clean.
    assert length_at_share(items([7, 40, 60, 0, 0, 0, 0, 0, 0, 0]), 0.9) == 40
    assert length_at_share(items([7, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0.9) is None
    assert length_at_share(items([7, 7, 0]), 0.9) == 7


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_length_at_share_is_where_the_share_of_clean_prefixes_falls(errors):
    length_reached = length_at_share(items(errors, 30), 0.9)
    clean = [sum(e == 0 or e > length for e in errors) / len(errors) for length in range(1, 31)]
    expected = next((length for length, share in enumerate(clean, 1) if share < 0.9 - 1e-9), None)
    assert length_reached == expected
