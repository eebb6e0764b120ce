import itertools
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import UsageError
from evalkit_tasks.formal.languages import get_language
from evalkit_tasks.training.spec import TrainSpec, check_spec, held_out_batch
from evalkit_tasks.training.tasks.catalog import get_task, task_names
from evalkit_tasks.training.tasks.other import COPY_LETTERS, NEGATIVE_CONTROLS
from evalkit_tasks.training.tasks.strings import (
    held_out_strings,
    is_held_out,
    make_batch,
    training_strings,
    usable_length,
)
from evalkit_tasks.training.testing import majority

COMMITTED_S3 = {
    path.stem[:8] for path in (Path(__file__).parents[4] / "results/cells/probes/s3/lstm").glob("*.json")
}


def chance(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", [*task_names(), "random:3", "z7", "regex:(0|1)*11"])
def test_no_test_string_is_trained_on_and_labels_are_in_range(name):
    task = get_task(name)
    for length in (9, 20):
        trained_length = usable_length(task, length, 1, 40, "training")
        trained = training_strings(task, trained_length, 300, chance(1))
        tested = held_out_strings(task, usable_length(task, length, 1, 40, "held out"), 100, chance(2))
        assert trained.shape == (300, trained_length)
        assert not is_held_out(trained).any()
        assert is_held_out(tested).all()
        assert len(np.unique(tested, axis=0)) == len(tested) > 0 or task.draw_kind
        for strings in (trained, tested):
            assert 0 <= strings.min() <= strings.max() < task.num_letters
            labels = task.label(strings)
            assert labels.shape == strings.shape
            assert -1 <= labels.min() <= labels.max() < task.num_labels
            assert (labels >= 0).any(1).all()


def test_the_hash_splits_evenly_and_tells_lengths_and_letters_apart():
    strings = np.array(list(itertools.product(range(2), repeat=14)))
    assert is_held_out(strings).mean() == pytest.approx(1 / 8, abs=0.01)
    # The split of a string says nothing about the split of its neighbours.
    flipped = strings ^ np.eye(14, dtype=np.int64)[3]
    both = is_held_out(strings) & is_held_out(flipped)
    assert both.mean() == pytest.approx(1 / 64, abs=0.005)


def test_short_strings_are_tested_exhaustively():
    task = get_task("parity")
    everything = np.array(list(itertools.product(range(2), repeat=6)))
    tested = held_out_strings(task, 6, 256, chance())
    assert {tuple(s) for s in tested} == {tuple(s) for s in everything[is_held_out(everything)]}


RECOGNITION = [f"tomita-{number}" for number in range(1, 8)] + ["even-pairs", "dyck-2-3", "repeat01", "mod-7"]


@pytest.mark.parametrize("name", [*RECOGNITION, "random:5:12:4", "regex:a*b*c*"])
def test_half_the_strings_of_a_recognition_task_are_members_at_every_length(name):
    task, language = get_task(name), get_language(name)
    spec = TrainSpec(name, "lstm", train_length=32, num_items=64)
    for wanted in (8, 31, 32, 64, 127):
        batch = held_out_batch(task, spec, wanted, wanted)
        [length] = set(batch.num_letters.tolist())
        strings = batch.tokens[:, 1 : length + 1]
        assert language.accepts(strings)[:, -1].mean() == 0.5
        assert (length <= 32) == (wanted <= 32)
        assert wanted <= 32 or abs(length - wanted) <= 1
        labels = task.label(strings)
        assert majority(labels[:, -1:], batch.num_letters).last_position == 0.5
        trained = training_strings(task, usable_length(task, wanted, 1, 32, "training"), 100, chance())
        assert language.accepts(trained)[:, -1].mean() == 0.5


def test_non_members_have_the_counts_of_members_or_differ_in_a_letter():
    # Of (01)*: who only counts the letters is wrong about a quarter of the non-members at least.
    task = get_task("repeat01")
    others = task.draw_kind(32, 400, chance(), False)
    has_as_many = others.sum(1) == 16
    assert 0.25 <= has_as_many.mean() < 0.5
    member = np.tile([0, 1], 16)
    num_wrong = (others != member).sum(1)
    assert (num_wrong == 1).sum() == 100 and (num_wrong[has_as_many] == 2).sum() >= 100
    assert 0.4 < (num_wrong > 4).mean() <= 0.5


def test_a_language_without_two_kinds_of_strings_is_refused():
    for name in ("regex:(0|1)*", "regex:ab|ba"):
        with pytest.raises(UsageError, match="there are both members and other strings"):
            check_spec(TrainSpec(name, "lstm", train_length=16))


def test_only_recognition_tasks_have_new_keys():
    # Golden: the keys of the committed cells, whose strings have not changed, begin like this.
    assert TrainSpec("s3", "lstm", num_steps=600).key()[:8] in COMMITTED_S3
    assert TrainSpec("tomita-1", "lstm").key() != TrainSpec("tomita-2", "lstm").key()


def test_majority_by_counting():
    strings = training_strings(get_task("majority"), 15, 40, chance())
    for letters, labels in zip(strings.tolist(), get_task("majority").label(strings).tolist(), strict=True):
        for end in range(1, 16):
            assert labels[end - 1] == (letters[:end].count(1) > letters[:end].count(0))


def test_anbn_by_looking():
    strings = training_strings(get_task("anbn"), 12, 300, chance())
    labels = get_task("anbn").label(strings)
    for letters, row in zip(strings.tolist(), labels.tolist(), strict=True):
        for end in range(1, 13):
            text = "".join("ab"[letter] for letter in letters[:end])
            num_a = len(text) - len(text.lstrip("a"))
            tail = text[num_a:]
            alive = set(tail) <= {"b"} and len(tail) <= num_a
            assert row[end - 1] == (1 if alive and len(tail) == num_a else 0 if alive else 2)
    assert (labels[:, -1] == 1).mean() > 0.1


def test_copy_asks_for_the_next_letter():
    task = get_task("copy")
    (letters,) = task.draw(9, 1, chance())
    assert letters[4] == COPY_LETTERS
    assert letters[:4].tolist() == letters[5:].tolist()
    assert task.label(letters[None])[0].tolist() == [-1] * 4 + letters[:4].tolist() + [-1]


def test_a_batch_begins_with_the_start_token_and_pads_on_the_right():
    task = get_task("parity")
    short, long = np.array([[1, 0]]), np.array([[1, 1, 1], [0, 0, 0]])
    batch = make_batch(task, [short, long], last_only=False)
    assert batch.tokens.tolist() == [[2, 1, 0, 2], [2, 1, 1, 1], [2, 0, 0, 0]]
    assert batch.labels.tolist() == [[-1, 1, 1, -1], [-1, 1, 0, 1], [-1, 0, 0, 0]]
    assert batch.num_letters.tolist() == [2, 3, 3]


def test_the_last_label_is_asked_for_by_a_token():
    task = get_task("parity")
    batch = make_batch(task, [np.array([[1, 0]]), np.array([[1, 1, 1]])], last_only=True)
    assert batch.tokens.tolist() == [[2, 1, 0, 3, 2], [2, 1, 1, 1, 3]]
    assert batch.labels.tolist() == [[-1, -1, -1, 1, -1], [-1, -1, -1, -1, 1]]


def test_the_same_chance_gives_the_same_strings():
    for name in ("s3", "dyck-2-3", "mqar"):
        task = get_task(name)
        first, again = (training_strings(task, 24, 20, chance(7)) for _ in range(2))
        assert (first == again).all()
        assert (first != training_strings(task, 24, 20, chance(8))).any()


@pytest.mark.parametrize("name", ["s3", "s4", "s5", "s5-swaps", "s5-4swaps", "s3xz3"])
def test_parities_are_those_of_the_determinants(name):
    elements = get_language(name).group.elements
    signs = [round(np.linalg.det(np.eye(len(p))[p])) for p in elements]
    assert [(-1) ** parity for parity in get_task(name).parities.tolist()] == signs
    assert signs.count(1) == signs.count(-1)


@pytest.mark.parametrize("name", ["a4", "a5", "z3", "z5", "a4xz5", "cycle-navigation", "parity", "mqar"])
def test_where_there_is_one_parity_or_no_permutation_there_are_none(name):
    assert get_task(name).parities is None


def test_every_negative_control_is_a_task():
    assert set(NEGATIVE_CONTROLS) < set(task_names())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("partiy", "unknown task 'partiy'. Did you mean parity"),
        ("mqarr", "unknown task 'mqarr'. Did you mean mqar?"),
        ("regex:(0|1", "(0|1"),
        ("s9", "more than 1000 elements"),
        ("mod-1001", "mod-1001: the modulus must lie between 1 and 1000"),
        ("z0", "there is no group 'z0'; its numbers start at 1"),
        ("d0", "there is no group 'd0'; its numbers start at 1"),
        ("dyck-9-99", "there are 1 to 4 kinds of brackets"),
        ("S5", "unknown task 'S5'. Did you mean"),
    ],
)
def test_an_unknown_task_is_a_line(name, message):
    with pytest.raises(UsageError) as caught:
        get_task(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
