"""When a training ends, and which learning rate is chosen."""

import math

import pytest

from evalkit_tasks.training.layer_search import next_layers
from evalkit_tasks.training.members import Look, Member, choose, decay_steps, drop_beaten


def trained(
    accuracies: dict[int, float], num_steps: int, patience: int | None = None
) -> tuple[Member, list[float]]:
    """A member that was looked at every 25 steps, its loss falling with its mistakes; and its rates."""
    member, factors = Member(0, 1e-3), []
    while not member.is_over:
        factors.append(member.factor(num_steps, 10, until=True))
        member.count(1.0, is_last=False)
        if member.num_steps % 25 == 0:
            accuracy = max(
                (value for step, value in accuracies.items() if step <= member.num_steps), default=0.0
            )
            member.note(Look(member.num_steps, accuracy, 2 - accuracy), 0.9, patience)
        member.proceed(num_steps)
    return member, factors


@pytest.mark.parametrize(
    ("accuracies", "patience", "ending", "decay_from", "num_steps"),
    [
        ({200: 0.95}, None, "accuracy", 200, 240),
        ({200: 0.89}, None, "steps", 500, 600),
        ({50: 0.5, 100: 0.8}, 100, "patience", 200, 240),
        ({50: 0.5, 100: 0.8, 175: 0.85}, 100, "patience", 275, 330),
        ({0: 1.0}, None, "accuracy", 25, 50),
        ({575: 1.0}, None, "accuracy", 500, 600),  # in the decay that the limit began
    ],
)
def test_a_training_ends_with_its_decay(
    accuracies: dict[int, float], patience: int | None, ending: str, decay_from: int, num_steps: int
) -> None:
    member, factors = trained(accuracies, 600, patience)
    assert (member.ending, member.decay, member.num_steps) == (ending, (decay_from, num_steps), num_steps)
    assert factors[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert set(factors[9:decay_from]) == {1.0}
    length = num_steps - decay_from
    assert factors[decay_from:] == pytest.approx([1 - 0.9 * step / length for step in range(length)])


@pytest.mark.parametrize("num_steps", [1, 7, 25, 26, 149, 150, 151, 10_000])
def test_the_decay_that_the_limit_begins_is_over_with_it(num_steps: int) -> None:
    member, _ = trained({}, num_steps)
    assert member.num_steps == num_steps and member.decay is not None
    first, last = member.decay
    assert last == num_steps
    assert last - first == pytest.approx(decay_steps(first), abs=1) or first <= 1


def test_the_first_to_reach_the_accuracy_is_chosen_and_ends_the_others() -> None:
    _, _, third = members = [Member(0, rate) for rate in (1e-3, 3e-3, 1e-2)]
    for member, accuracy in zip(members, (0.5, 0.92, 0.95), strict=True):
        member.num_steps = 25
        member.note(Look(25, accuracy, 1 - accuracy), 0.9, None)
    drop_beaten(members, 1000)
    assert [member.is_over for member in members] == [True, True, False]
    for member in members:
        member.proceed(1000)
    assert [member.is_over for member in members] == [True, True, False]
    assert choose(members) is third
    third.ending = "diverged"
    assert choose(members) is None


def test_after_a_quarter_of_the_steps_the_best_learning_rate_goes_on_alone() -> None:
    members = [Member(0, rate) for rate in (1e-3, 3e-3, 1e-2)]
    for step in (225, 250):
        assert not any(member.is_over for member in members)
        for member, loss in zip(members, (0.5, 0.3, 0.4), strict=True):
            member.num_steps = step
            member.note(Look(step, 0.0, loss), 0.9, None)
        drop_beaten(members, 1000)
    assert [member.is_over for member in members] == [True, False, True]
    assert choose(members) is members[1]


def test_where_none_reaches_it_the_best_of_those_that_did_not_diverge_is_chosen() -> None:
    members = [
        Member(0, 1e-3, looks=[Look(50, 0.4, 0.3)], ending="steps"),
        Member(0, 3e-3, looks=[Look(50, 0.4, 0.2)], ending="patience"),
        Member(0, 1e-2, looks=[Look(25, 0.8, 0.1)], ending="diverged"),
    ]
    assert choose(members) is members[1]
    lone = Member(0, 1e-3, ending="budget")  # without validation there is nothing to look at
    assert choose([lone]) is lone


def test_every_fewest_number_of_layers_is_found_without_training_much_deeper_ones() -> None:
    for highest in (1, 2, 3, 5, 8):
        for fewest in (*range(1, highest + 1), math.inf):
            tried: dict[int, bool] = {}
            while (layers := next_layers(tried, highest)) is not None:
                assert layers not in tried and layers <= min(highest, 2 * fewest)
                tried[layers] = layers >= fewest
            assert min((n for n, does in tried.items() if does), default=math.inf) == fewest
