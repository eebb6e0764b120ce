"""The suites asked of models that know, that follow a heuristic, that know nothing, and that die."""

import dataclasses
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evalkit.cells.files import content_sha256
from evalkit.errors import ScoringError, UsageError
from evalkit.files import strict_json
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Silent
from evalkit.runner.tasks import TaskRunResult, run_tasks
from evalkit.tasks import TaskOptions
from evalkit_tasks.asking.heuristics import best_heuristic, chance, heuristic_accuracies
from evalkit_tasks.asking.hidden_state_task import HiddenStateTask
from evalkit_tasks.asking.items import Item, Story
from evalkit_tasks.asking.likelihood_task import LikelihoodTask
from evalkit_tasks.asking.suites import regular_languages, state_tracking
from tests.support.planted import COPY, LAST, NEAREST, RIGHT, PlantedModel
from tests.support.rwkv7_files import random_tensors
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import snapshot

OPTIONS = TaskOptions("2026-11-01", lengths=(0, 1, 2, 5, 32), shots=(0, 3), num_items=10)
SUITES = (state_tracking, regular_languages)
NAMES = [name for suite in SUITES for name in suite.members]


def tasks_of(name: str, options: TaskOptions = OPTIONS) -> list[Any]:
    [suite] = [suite for suite in SUITES if name in suite.members]
    return suite.make([name], options)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_knows_is_always_right(name: str) -> None:
    for task in tasks_of(name):
        outcome = task.score(PlantedModel(RIGHT), lambda _: None)
        copying = ["0"] if name in state_tracking.members else []
        assert [row.bucket for row in outcome.summary] == [*copying, "1–2", "5", "32", "all"]
        for row in outcome.summary:
            assert row.accuracy == row.further["per byte"] == row.further["likelihood"] == 1
            assert row.high == pytest.approx(1)
            assert row.further["gain"] == pytest.approx(1 - row.baseline_accuracy)
            commutes = name in ("parity-toggles", "clock-walk")
            assert row.further["both orders"] in ((None,) if commutes else (1, None))
            assert commutes or (row.further["both, chance"] or 0.25) <= 0.25
            assert row.low < 1
        orders = outcome.details["orders"]
        assert orders["num_both_right"] == orders["num_pairs"] == orders["num_other_answer"]
        assert commutes == (orders["num_pairs"] == 0)
        assert orders["num_answered_otherwise"] == orders["num_other_answer"]
        assert outcome.details["half_length"] == 32
        assert len(outcome.rows) == task.num_items


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name in state_tracking.members for way in (COPY, LAST)]
    + [(name, way) for name in regular_languages.members for way in (LAST, NEAREST)],
)
def test_a_model_that_follows_a_heuristic_is_right_as_often_as_it(name: str, way: str) -> None:
    for task in tasks_of(name):
        outcome = task.score(PlantedModel(way), lambda _: None)
        expected = outcome.details["heuristics"][way]
        row = outcome.summary[-1]
        assert row.accuracy == row.further["per byte"] == row.further["likelihood"] == expected < 1
        for row in outcome.rows:
            assert row["answer by PMI"] == row[f"answer by {way}"]


def test_a_constant_answer_is_right_as_often_as_a_guess() -> None:
    for name in NAMES:
        items = tasks_of(name, dataclasses.replace(OPTIONS, num_items=60, lengths=(2, 5)))[0].items
        for length in (2, 5):
            singles = [item for item in items if item.twin_of is None and item.length == length]
            num_answers = len(singles[0].story.answers)
            counts = np.bincount([item.story.label for item in singles], minlength=num_answers)
            # Boxes have as many answers as there are different contents: two to four.
            assert (counts == 60 // num_answers).all() or (name == "boxes" and counts.max() <= 30)


@pytest.mark.parametrize("name", ["parity-toggles", "boxes", "shell-game-3", "python-swaps"])
def test_the_constant_answer_is_as_good_as_a_guess_on_items_that_it_was_not_chosen_by(name: str) -> None:
    # Right answers go through all places in turn: halves by turns would have different ones.
    options = dataclasses.replace(OPTIONS, num_items=60, lengths=(1, 4))
    items = [item for item in tasks_of(name, options)[0].items if item.twin_of is None]
    bare = [dataclasses.replace(item, story=dataclasses.replace(item.story, guesses={})) for item in items]
    for length in (1, 4):
        of_length = [item for item in bare if item.length == length]
        assert best_heuristic(of_length).accuracy == pytest.approx(chance(of_length), abs=0.04)


def test_the_best_heuristic_is_chosen_by_other_items_than_it_is_judged_on() -> None:
    # Of fifty heuristics that guess, the best on all items looks better than a guess.
    dice = random.Random(5)
    guesses = [{f"guess {number}": dice.randrange(2) for number in range(50)} for _ in range(200)]
    items = [
        Item(str(i), 1, None, Story("", "", (" no", " yes"), i % 4 // 2, guess, (0,), (0,)))
        for i, guess in enumerate(guesses)
    ]
    assert max(heuristic_accuracies(items).values()) > 0.56
    assert abs(best_heuristic(items).accuracy - 0.5) < 0.06
    knowing = [
        dataclasses.replace(item, story=dataclasses.replace(item.story, guesses={"sees": item.story.label}))
        for item in items
    ]
    assert best_heuristic(knowing) == ("sees", (True,) * len(items))


def test_questions_that_are_too_long_are_left_out_for_that_model_and_counted() -> None:
    [task] = tasks_of("clock-walk", TaskOptions("2026-11-01", lengths=(1, 32), shots=(0,), num_items=5))
    model = PlantedModel(RIGHT)
    model.context_limit = 400
    outcome = task.score(model, lambda _: None)
    assert [row.bucket for row in outcome.summary] == ["1", "all"]
    assert len(outcome.rows) == 5 and outcome.details["num_too_long"] == 5
    assert outcome.details["note"].startswith("5 of 10 questions are too long for")
    model.context_limit = 20
    with pytest.raises(ScoringError, match="every question is too long for the model's context of 20"):
        task.score(model, lambda _: None)


def random_models(folder: Path) -> list[str]:
    tokenizer = as_fast(byte_level_tokenizer())
    llama = random_model("llama", len(tokenizer), max_position_embeddings=4096)
    save_checkpoint(folder / "llama", llama, tokenizer)
    torch.save(random_tensors(vocab_size=257, num_channels=64, head_size=32), folder / "goose.pth")
    return [f"hf:{folder / 'llama'}", f"rwkv7:{folder / 'goose.pth'}"]


def test_models_that_know_nothing_are_near_chance_and_reported_so(tmp_path: Path) -> None:
    options = TaskOptions("2026-11-01", lengths=(1, 3), shots=(0,), num_items=24)
    tasks = state_tracking.make(["flip-flop", "python-swaps"], options)
    result = run_tasks(random_models(tmp_path), tasks, options=RunOptions(output=tmp_path / "runs"))
    assert not result.failures and len(result.cells) == 4
    for cell in result.cells:
        row = cell.summary[-1]
        deviation = math.sqrt(row.chance * (1 - row.chance) / row.num_items)
        assert row.num_items == 48
        assert abs(row.accuracy - row.chance) < 4 * deviation
        assert row.low < row.accuracy < row.high
        details = cell.details
        assert details["num_tokens_read"] * 2 < details["num_tokens_unshared"]
        assert cell.model.prefix_ids in ((0,), (256,))
        for item_row in cell.rows():
            assert item_row["answer by likelihood"] == int(np.argmin(item_row["nats"]))
            corrected = np.array(item_row["nats"]) - np.array(item_row["cue_nats"])
            assert item_row["answer by PMI"] == int(np.argmin(corrected))
            assert item_row["answers"][item_row["label"]] and item_row["question"]


class Killed(PlantedModel):
    """Is interrupted when it is asked for the n-th time."""

    def __init__(self, calls_left: int) -> None:
        super().__init__(RIGHT)
        self.calls_left = calls_left

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        if not self.calls_left:
            raise KeyboardInterrupt
        self.calls_left -= 1
        return super().nats(sequences, contexts=contexts)


class Messages(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)

    def plan(self, lines: Sequence[str]) -> None:
        self.texts += lines


def run_planted(model: PlantedModel, output: Path) -> tuple[TaskRunResult, list[str]]:
    messages = Messages()
    tasks = state_tracking.make(["clock-walk", "flip-flop"], OPTIONS)
    return run_tasks([model], tasks, options=RunOptions(output=output, reporter=messages)), messages.texts


def test_what_is_done_when_a_run_dies_is_not_done_again(tmp_path: Path) -> None:
    # A cell takes two calls, one for its questions and one for its cues.
    with pytest.raises(KeyboardInterrupt):
        run_planted(Killed(5), tmp_path)
    begun = snapshot(tmp_path)
    assert sum(name.endswith(".json") for name in begun) == 2
    assert not any(".tmp" in name for name in begun)
    resumed, messages = run_planted(Killed(4), tmp_path)
    assert messages[0] == "2 of 4 cells done, 2 to score"
    assert resumed.num_scored == 2 and len(resumed.cells) == 4
    after = snapshot(tmp_path)
    assert {name: after[name] for name in begun if name.endswith("json")} == {
        name: begun[name] for name in begun if name.endswith("json")
    }
    again, messages = run_planted(Killed(0), tmp_path)
    assert messages == ["4 of 4 cells done, 0 to score"]
    assert again.num_scored == 0
    assert again.cells == resumed.cells


def test_a_damaged_cell_is_moved_aside_and_asked_again(tmp_path: Path) -> None:
    first, _ = run_planted(PlantedModel(RIGHT), tmp_path)
    path = first.cells[0].path
    assert path.parts[-4:-1] == ("tasks", "clock-walk", "planted-right")
    path.write_text(path.read_text().replace('"accuracy": 1.0', '"accuracy": 0.5', 1))
    again, messages = run_planted(PlantedModel(RIGHT), tmp_path)
    assert again.num_scored == 1
    assert "was changed after it was written; it was moved to" in messages[0]
    assert path.with_name(f"{path.name}.damaged").is_file()
    assert again.cells[0].summary == first.cells[0].summary
    assert json.loads(path.read_text())["kind"] == "task"


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("model.weights_sha256", "ab" * 32, "is no cell: its weights is 'abab"),
        ("task.sha256", "cd" * 32, "is no cell: its task is ['clock-walk', "),
        ("kind", "corpus", "is no cell: "),
    ],
)
def test_answers_of_another_model_or_to_another_task_are_not_believed(
    tmp_path: Path, place: str, value: str, says: str
) -> None:
    first, _ = run_planted(PlantedModel(RIGHT), tmp_path)
    path = first.cells[0].path
    content = json.loads(path.read_text())
    *parents, name = place.split(".")
    part = content
    for parent in parents:
        part = part[parent]
    part[name] = value
    content["sha256"] = content_sha256(content)
    path.write_text(strict_json(content))
    again, messages = run_planted(PlantedModel(RIGHT), tmp_path)
    assert again.num_scored == 1
    assert says in messages[0] and messages[0].endswith(f"moved to {path.name}.damaged and is asked again")
    assert again.cells[0].summary == first.cells[0].summary


def test_a_cell_is_another_for_another_date_seed_and_number_of_shots() -> None:
    digests = {
        task.sha256
        for options in (
            OPTIONS,
            TaskOptions("2026-11-02", lengths=OPTIONS.lengths, num_items=10),
            TaskOptions("2026-11-01", seed=1, lengths=OPTIONS.lengths, num_items=10),
            TaskOptions("2026-11-01", lengths=(1, 2, 5), num_items=10),
        )
        for task in tasks_of("boxes", options)
    }
    assert len(digests) == 8
    assert {task.sha256 for task in tasks_of("boxes")} <= digests


def test_options_that_make_no_sense_are_refused() -> None:
    for options, message in (
        (TaskOptions("2026-11-01", lengths=(1, 257)), "--lengths 257 is too long a story; 256 at most"),
        (TaskOptions("2026-11-01", shots=(0, 9)), "--shots 9 are too many; 8 at most"),
        (TaskOptions("2026-11-01", lengths=(0, 3), num_items=3, hidden_state_probe=True), "needs 4 items"),
    ):
        with pytest.raises(UsageError, match=message):
            state_tracking.make(["boxes"], options)


def test_without_operations_the_first_state_is_asked_for() -> None:
    options = TaskOptions("2026-11-01", lengths=(0, 1), shots=(0,), num_items=8, hidden_state_probe=True)
    for name in state_tracking.members:
        task, probe = tasks_of(name, options)
        of_none = [item for item in task.items if item.length == 0]
        assert len(of_none) == 8 and all(item.twin_of is None for item in of_none)
        assert all(item.story.label == item.story.guesses[COPY] for item in of_none)
        row = task.score(PlantedModel(COPY), lambda _: None).summary[0]
        assert (row.bucket, row.num_items, row.accuracy) == ("0", 8, 1)
        assert all(item.length == 1 for item in probe.items) and probe.num_items == 8


def test_a_word_has_a_letter_and_shorter_questions_are_said_to_be_left_out() -> None:
    options = TaskOptions("2026-11-01", lengths=(0, 1), shots=(0,), num_items=4)
    [task] = tasks_of("in-context-language", options)
    [alike] = tasks_of("in-context-language", dataclasses.replace(options, lengths=(1,)))
    assert {item.length for item in task.items} == {1} and task.sha256 == alike.sha256
    details = task.score(PlantedModel(RIGHT), lambda _: None).details
    assert details["note"] == "the shortest questions of in-context-language have length 1"
    with pytest.raises(UsageError, match="the shortest questions of in-context-language have length 1"):
        tasks_of("in-context-language", dataclasses.replace(options, lengths=(0,)))


def test_the_longest_stories_and_most_examples_can_be_made() -> None:
    options = TaskOptions("2026-11-01", lengths=(256,), shots=(8,), num_items=1)
    for name in NAMES:
        [task] = tasks_of(name, options)
        assert isinstance(task, LikelihoodTask)
        assert task.items[0].length == 256 and len(task.shots) == 8


class Transparent(PlantedModel):
    """Shows hidden states that hold, in their second layer, the answer to the story so far."""

    def hidden_states(self, ids: Sequence[int], positions: Sequence[int]) -> NDArray[np.float32]:
        text = bytes(ids[1:]).decode()
        rng = np.random.default_rng(len(text))
        states = rng.standard_normal((2, len(positions), 16)).astype(np.float32)
        start = int(text.split("pointer is at ")[1][0])
        steps = {"one forward": 1, "two forward": 2, "one back": -1, "two back": -2, "nowhere": 0}
        for row, position in enumerate(positions):
            story_so_far = bytes(ids[1 : position + 1]).decode()
            assert story_so_far.endswith(".")
            moves = [part.removesuffix(".") for part in story_so_far.split("It moves ")[1:]]
            states[1, row, (start + sum(steps[move.strip(". ")] for move in moves)) % 5] += 20
        return states


def test_a_state_that_hidden_states_hold_is_found() -> None:
    options = TaskOptions("2026-11-01", lengths=(2, 9), shots=(0,), num_items=20, hidden_state_probe=True)
    _, task = tasks_of("clock-walk", options)
    assert isinstance(task, HiddenStateTask)
    outcome = task.score(Transparent(COPY), lambda _: None)
    assert outcome.details["layer"] == 1
    assert outcome.details["num_train"] == outcome.details["num_test"] == 10 * 2 + 10 * 9
    assert [row.bucket for row in outcome.summary] == ["1–2", "3–4", "5–8", "9", "all"]
    for row in outcome.summary:
        assert row.accuracy == 1
        assert row.chance < 0.4
        # Shows no network to shuffle; with two operations the first state is often still the state.
        assert row.baseline in ("most frequent state", "copy initial state")
        assert row.further["gain"] == pytest.approx(1 - row.baseline_accuracy)
        assert 0 < row.further["gain from"] < row.further["gain"] < row.further["gain to"]
    assert outcome.details["shuffled_accuracy"] is None
    noise = outcome.details["layers"][0]
    assert noise["accuracy"] < 0.5
    trained = {item.id for item in task.items[::2]}
    assert {row["id"] for row in outcome.rows} == {item.id for item in task.items[1::2]}
    assert not trained & {row["id"] for row in outcome.rows}


def test_a_story_too_long_for_a_probe_is_found_before_any_is_read() -> None:
    options = TaskOptions("2026-11-01", lengths=(2, 9), shots=(0,), num_items=20, hidden_state_probe=True)
    _, task = tasks_of("clock-walk", options)
    model = Transparent(COPY)
    model.context_limit = 1 + len(task.items[0].story.text)
    read: list[int] = []
    with pytest.raises(ScoringError, match=r"clock-walk/2026-11-01/0/9/\d+ has \d+ tokens.*shorter stories"):
        task.score(model, read.append)
    assert not read


def test_the_number_of_positions_is_bounded() -> None:
    options = TaskOptions("2026-11-01", lengths=(256,), shots=(0,), num_items=10, hidden_state_probe=True)
    _, task = tasks_of("parity-toggles", options)
    operations = task._operations()
    assert [sum(map(len, operations[parity::2])) for parity in (0, 1)] == [1000, 1000]
    assert all(of_item == sorted(set(of_item)) for of_item in operations)


def test_real_models_show_their_hidden_states(tmp_path: Path) -> None:
    options = TaskOptions("2026-11-01", lengths=(3,), shots=(0,), num_items=12, hidden_state_probe=True)
    tasks = state_tracking.make(["parity-toggles"], options)
    result = run_tasks(
        [*random_models(tmp_path), PlantedModel(RIGHT)], tasks, options=RunOptions(output=tmp_path / "runs")
    )
    probed = [cell for cell in result.cells if cell.task.method == "hidden-state probe"]
    assert [len(cell.details["layers"]) for cell in probed] == [3, 3]
    for cell in probed:
        row = cell.summary[-1]
        rows = cell.rows()
        shuffled = np.mean([row["predicted by shuffled weights"] == row["state"] for row in rows])
        assert cell.details["shuffled_accuracy"] == pytest.approx(shuffled)
        assert row.baseline_accuracy >= max(shuffled, cell.details["majority_accuracy"])
        assert row.further["gain"] == pytest.approx(row.accuracy - row.baseline_accuracy)
    [failure] = result.failures
    assert failure.subject == "parity-toggles (hidden-state probe)"
    assert "PlantedModel does not show its hidden states" in failure.reason
