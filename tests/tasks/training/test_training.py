import dataclasses
import hashlib
import io
import itertools
import math

import numpy as np
import pytest
import torch

from evalkit.errors import ScoringError, UsageError
from evalkit_tasks.metrics import summary
from evalkit_tasks.training import members, training
from evalkit_tasks.training import spec as train_spec
from evalkit_tasks.training.spec import TrainSpec, check_spec, held_out_batch, validation_batch
from evalkit_tasks.training.tasks.catalog import get_task
from evalkit_tasks.training.tasks.strings import training_strings
from evalkit_tasks.training.training import run_spec, run_specs, steps_to_loss

TINY = TrainSpec(
    "parity",
    "rwkv7",
    num_steps=12,
    train_length=8,
    batch_size=4,
    width=16,
    num_items=16,
    test_multiples=(1, 2),
)


def same(a, b):
    return (
        a.history == b.history
        and a.tests.keys() == b.tests.keys()
        and all(
            (x == y).all()
            for test in a.tests
            for x, y in zip(a.tests[test].items, b.tests[test].items, strict=True)
        )
    )


class Stopped(Exception):
    pass


def train_until(last_step, specs, checkpoint):
    """Train, with a checkpoint after each step, and break off after one of them."""

    def stop(step, loss):
        if step == last_step:
            raise Stopped

    with pytest.raises(Stopped):
        run_specs(specs, checkpoint, checkpoint_every_s=0, on_step=stop)


@pytest.mark.parametrize("model", ["rwkv7", "lstm", "slstm", "mamba2"])
def test_a_resumed_training_ends_with_the_same_bits(model, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "HISTORY_STEPS", 5)  # a checkpoint then falls between two entries
    spec = dataclasses.replace(TINY, model=model)
    whole = run_spec(spec)
    checkpoint = tmp_path / "checkpoint.pt"
    train_until(7, [spec], checkpoint)
    steps = []
    resumed = run_spec(spec, checkpoint, on_step=lambda step, loss: steps.append(step))
    assert steps == [8, 9, 10, 11, 12]
    assert same(whole, resumed)
    assert [step for step, _ in whole.history] == [5, 10, 12]


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state["stack"]["means"].popitem(),
        lambda state: state["stack"]["squares"].update({"head.bias": torch.zeros(2, 2)}),
        lambda state: state.update(rows=[1]),
        lambda state: state["members"][0].update(learning_rate=1.0),
        lambda state: state.update(cpu_s=[]),
    ],
)
def test_a_checkpoint_that_does_not_fit_together_is_refused_in_a_line(damage, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    spec = dataclasses.replace(TINY, model="lstm")
    train_until(1, [spec], checkpoint)
    data = checkpoint.read_bytes().partition(b"\n")[2]
    state = torch.load(io.BytesIO(data), weights_only=True)
    damage(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    checkpoint.write_bytes(digest + b"\n" + buffer.getvalue())
    with pytest.raises(UsageError, match=r"is no checkpoint \((Value|Key|Index)Error\); delete it"):
        run_spec(spec, checkpoint)


UNTIL = dataclasses.replace(
    TINY,
    model="retnet",
    train_length=9,
    min_train_length=6,
    num_steps=50,
    stop_accuracy=0.9,
    learning_rates=(1e-3, 1e-2),
)


def test_seeds_trained_together_and_stopped_in_between_end_with_the_same_bits(tmp_path):
    specs = [dataclasses.replace(UNTIL, seed=seed) for seed in (0, 1)]
    whole = run_specs(specs)
    checkpoint = tmp_path / "checkpoint.pt"
    train_until(31, specs, checkpoint)
    steps = []
    resumed = run_specs(specs, checkpoint, on_step=lambda step, loss: steps.append(step))
    assert steps == list(range(32, 51))
    again = run_specs(specs, checkpoint, on_step=lambda step, loss: steps.append(step))
    assert len(steps) == 19  # a checkpoint of the end is left
    for before, after, last in zip(whole, resumed, again, strict=True):
        assert same(before, after) and same(before, last)
        assert before.looks == after.looks == last.looks and before.tried == after.tried == last.tried
        assert [rate for rate, *_ in before.tried] == [1e-3, 1e-2]


def test_a_seed_trained_beside_others_has_the_history_that_it_has_alone():
    """To 1e-5 of the loss over 50 steps."""
    together = run_specs([dataclasses.replace(UNTIL, seed=seed) for seed in (0, 1, 2)])
    for seed, result in enumerate(together):
        alone = run_spec(dataclasses.replace(UNTIL, seed=seed))
        assert [step for step, _ in result.history] == [25, 50]
        assert np.allclose(result.history, alone.history, rtol=1e-5, atol=0)
        assert np.allclose(result.looks, alone.looks, rtol=1e-5, atol=0)
        assert (result.learning_rate, result.stopped_by) == (alone.learning_rate, alone.stopped_by)


def test_a_learning_rate_that_diverges_is_not_chosen_and_all_that_do_are_an_error():
    result = run_spec(dataclasses.replace(UNTIL, model="lstm", learning_rates=(1e38, 1e-3), num_steps=30))
    assert result.learning_rate == 1e-3
    assert [ending for _, ending, *_ in result.tried] == ["diverged", "steps"]
    with pytest.raises(ScoringError, match="diverged at step"):
        run_spec(dataclasses.replace(UNTIL, model="lstm", learning_rates=(1e38, 2e38), num_steps=30))


def test_strings_to_validate_with_are_neither_trained_on_nor_tested_with():
    task = get_task("s3")
    spec = dataclasses.replace(UNTIL, task="s3", num_items=256)
    batches = {
        "validation": validation_batch(task, spec).tokens,
        "test": held_out_batch(task, spec, 9, 9).tokens,
        "training": training_strings(task, 9, 2000, np.random.default_rng(0), "fitting"),
    }
    strings = {name: {tuple(row[-9:]) for row in rows.tolist()} for name, rows in batches.items()}
    assert len(strings["validation"]) == 128 and len(strings["training"]) > 1900
    assert not any(a & b for a, b in itertools.combinations(strings.values(), 2))


def test_an_accuracy_to_reach_makes_another_cell_and_older_keys_stay():
    assert dataclasses.replace(TINY, learning_rates=None).key() == TINY.key()
    keys = {
        dataclasses.replace(UNTIL, **change).key()
        for change in ({}, {"stop_accuracy": 0.8}, {"patience": 9}, {"learning_rates": (1e-3,)})
    }
    assert len(keys | {TINY.key()}) == 5


def test_the_seed_is_the_result_and_other_seeds_give_others():
    first, again = run_spec(TINY), run_spec(TINY)
    assert same(first, again)
    assert run_spec(dataclasses.replace(TINY, seed=1)).history != first.history


def test_a_foreign_checkpoint_is_refused_in_a_line(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    run_spec(TINY, checkpoint, checkpoint_every_s=0)
    with pytest.raises(UsageError, match="checkpoint of another cell; delete it"):
        run_spec(dataclasses.replace(TINY, seed=1), checkpoint)
    checkpoint.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UsageError, match="is no checkpoint"):
        run_spec(TINY, checkpoint)
    checkpoint.write_bytes(b"")
    with pytest.raises(UsageError, match="is no checkpoint"):
        run_spec(TINY, checkpoint)


def test_a_training_that_diverges_says_so_in_a_line():
    with pytest.raises(ScoringError, match=r"diverged at step \d+, .*; give a lower --learning-rate"):
        run_spec(dataclasses.replace(TINY, model="lstm", learning_rate=1e38))


def test_the_parity_of_permutations_is_measured_where_there_are_two():
    spec = dataclasses.replace(TINY, model="lstm", num_items=64)
    for task, has_parity in (("s3", True), ("s5-4tokens", True), ("z3", False), ("parity", False)):
        result = run_spec(dataclasses.replace(spec, task=task, min_train_length=4))
        for scores in result.tests.values():
            parity, items = scores.parity_accuracy, scores.items
            assert (parity is not None) == has_parity
            assert not has_parity or items.num_correct.sum() / items.num_scored.sum() < parity < 1


def test_a_shortcut_to_the_parity_is_seen(monkeypatch):
    # Labels that tell the parity and leave the rest to chance: a network can learn nothing else of S3.
    task = get_task("s3")
    chance = np.random.default_rng(0)
    of_parity = np.array([np.flatnonzero(task.parities == parity) for parity in (0, 1)])

    def label(strings):
        return of_parity[task.parities[task.label(strings)], chance.integers(3, size=strings.shape)]

    monkeypatch.setattr(train_spec, "get_task", lambda name: task._replace(label=label))
    spec = TrainSpec("s3", "lstm", num_steps=300, train_length=12, width=32, num_items=128, batch_size=32)
    result = run_spec(dataclasses.replace(spec, test_multiples=(1,)))
    assert result.tests["12"].parity_accuracy > 0.95
    assert summary(result.tests["12"].items, 6)["token_accuracy"] == pytest.approx(1 / 3, abs=0.05)


def test_lstm_learns_parity_and_keeps_it_at_16_times_the_length():
    spec = TrainSpec("parity", "lstm", num_steps=150, train_length=24, width=32, num_items=64, batch_size=48)
    result = run_spec(spec)
    assert summary(result.tests["384"].items, 2)["sequence_accuracy"] == 1
    assert steps_to_loss(result.history) is not None
    assert result.history[0][1] == pytest.approx(np.log(2), abs=0.02)  # in the beginning it guesses


def test_rwkv7_flips_with_full_removal_and_cannot_without():
    spec = TrainSpec(
        "parity", "rwkv7", num_steps=150, learning_rate=4e-3, num_items=64, test_multiples=(1, 2)
    )
    flips = run_spec(dataclasses.replace(spec, negative_eigenvalues="full"))
    assert summary(flips.tests["64"].items, 2)["sequence_accuracy"] > 0.9
    fails = run_spec(spec)
    assert summary(fails.tests["64"].items, 2)["sequence_accuracy"] < 0.1
    assert summary(fails.tests["64"].items, 2)["token_accuracy"] < 0.75


def test_a_negative_control_is_not_solved_at_other_lengths():
    spec = TrainSpec("copy", "lstm", num_steps=150, train_length=17, width=32, num_items=64, batch_size=32)
    result = run_spec(spec)
    assert summary(result.tests["272"].items, 4)["token_accuracy"] < 0.4  # chance is 0.25


def test_shuffled_labels_cannot_be_learnt(monkeypatch):
    # The whole path with a task whose labels are chance: anything above 1/2 would be a leak.
    labels = np.random.default_rng(0)
    task = get_task("parity")._replace(label=lambda strings: labels.integers(2, size=strings.shape))
    monkeypatch.setattr(train_spec, "get_task", lambda name: task)
    spec = TrainSpec("parity", "lstm", num_steps=100, train_length=16, width=32, num_items=128, batch_size=32)
    metrics = summary(run_spec(spec).tests["32"].items, 2)
    assert metrics["token_accuracy"] == pytest.approx(0.5, abs=0.03)


def test_test_strings_are_those_of_the_task_whatever_the_model_and_seed():
    task = get_task("s3")
    specs = [TrainSpec("s3", "lstm"), TrainSpec("s3", "rwkv7", seed=2, num_layers=3)]
    first, second = (held_out_batch(task, spec, 40, 60) for spec in specs)
    assert (first.tokens == second.tokens).all()
    assert 40 <= first.num_letters.min() < first.num_letters.max() <= 60


def test_a_budget_ends_a_training_and_says_so(monkeypatch):
    # The clock is looked at before and after each step: a quarter of a second goes by between two looks.
    clock_s = itertools.count(step=0.25)
    monkeypatch.setattr(training.time, "process_time", lambda: next(clock_s))
    steps = []
    spec = dataclasses.replace(TINY, num_steps=100_000, budget_s=1.1)
    result = run_spec(spec, on_step=lambda step, loss: steps.append(step))
    assert result.stopped_by == "budget"
    assert steps == [1, 2, 3, 4, 5]
    assert (result.training_cpu_s, result.testing_cpu_s) == (1.25, 0.25)
    assert result.tests.keys() == {"8", "16"}


def test_the_last_label_alone_can_be_asked_for():
    result = run_spec(dataclasses.replace(TINY, labels="last", test_range=(8, 20)))
    assert result.tests.keys() == {"8", "16", "8-20"}
    assert all((scores.items.num_scored == 1).all() for scores in result.tests.values())


def test_the_key_is_of_what_determines_the_numbers():
    assert TINY.key() == dataclasses.replace(TINY, learning_rate=4e-3, min_train_length=2).key()
    changes = {"seed": 1, "num_steps": 13, "negative_eigenvalues": "full", "labels": "last", "num_layers": 2}
    keys = {dataclasses.replace(TINY, **{name: value}).key() for name, value in changes.items()}
    assert len(keys | {TINY.key()}) == len(changes) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "partiy"}, "unknown task 'partiy'. Did you mean parity"),
        ({"model": "rwkv8"}, "unknown model 'rwkv8'. Did you mean rwkv7"),
        ({"model": "gru", "negative_eigenvalues": "full"}, "gru has no variant"),
        ({"width": 24}, "a multiple of the head size"),
        ({"num_layers": 0}, "at least 1 layer"),
        ({"labels": "first"}, "--labels first is unknown; it is every or last"),
        ({"num_steps": 0}, "--steps must be more than 0"),
        ({"budget_s": -1.0}, "--budget-s must be more than 0"),
        ({"min_train_length": 9}, "--min-train-length 9 must lie between 1 and 8"),
        ({"min_train_length": 0}, "--min-train-length 0 must lie between 1 and 8"),
        ({"test_range": (20, 10)}, "--test-range 20-10 must rise"),
        ({"budget_s": math.inf}, "--budget-s must be more than 0 and finite, not inf"),
        ({"budget_s": math.nan}, "--budget-s must be more than 0 and finite, not nan"),
        ({"learning_rate": -1e-3}, "--learning-rate must be more than 0 and finite, not -0.001"),
        ({"weight_decay": -0.1}, "--weight-decay must be 0 or more and finite, not -0.1"),
        ({"model": "transformer-rope", "head_size": 1}, "transformer-rope cannot have heads of 1"),
        ({"head_size": 1}, "rwkv7 cannot have heads of 1"),
        ({"task": "s5-4swaps"}, "nothing can be asked of a string of 2 letters; give a greater --min-train"),
        ({"task": "copy", "min_train_length": 1}, "nothing can be asked of a string of 1 letters"),
        ({"task": "s5-4swaps", "min_train_length": 4, "test_range": (1, 9)}, "1 letters; test longer ones"),
        # Of each length there is one string, a member or not.
        ({"task": "regex:(aa)*"}, "of no length from 1 to 8 there are both members and other strings"),
        ({"stop_accuracy": 1.5}, "--stop-accuracy must be more than 0 and at most 1, not 1.5"),
        ({"patience": 5}, "--patience asks for validation strings; give --stop-accuracy too"),
        ({"learning_rates": (1e-3, 1e-2)}, "several values of --learning-rate asks for validation strings"),
        ({"stop_accuracy": 0.9, "patience": 0}, "--patience must be at least 1 step"),
        ({"stop_accuracy": 0.9, "budget_s": 1.0}, "--budget-s and --stop-accuracy both say when"),
        ({"stop_accuracy": 0.9, "learning_rates": (1e-3, math.nan)}, "--learning-rate must be more than 0"),
        ({"stop_accuracy": 0.9, "train_length": 2}, "no training string of length 1"),
        (
            {"task": "mqar"},
            "mqar: it has no strings of 1 to 8 letters to train on; give a greater --train-length",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(change, message):
    with pytest.raises(UsageError) as caught:
        check_spec(dataclasses.replace(TINY, **change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
