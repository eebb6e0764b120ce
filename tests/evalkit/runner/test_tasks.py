"""`evalkit run --tasks`: names, options, tables, and other packages' tasks."""

import dataclasses
import datetime as dt
import json
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.models.protocol import TokenModel
from evalkit.runner.corpora import DEFAULT_MODELS
from evalkit.runner.options import RunOptions
from evalkit.runner.tasks import run_tasks
from evalkit.tasks import (
    DEFAULT_TASK_MODELS,
    SummaryRow,
    TaskOptions,
    TaskOutcome,
    default_date,
    make_tasks,
)
from tests.support.toys import BigramModel, Outcome, run_cli, write_plugin


class Counting:
    """A suite: how often a model is right that there are n sheep."""

    members = {"sheep": "counting sheep", "goats": "counting goats", "wolves": "nobody counts them"}  # noqa: RUF012

    def make(self, names: list[str], options: TaskOptions) -> list["CountingTask"]:
        return [CountingTask(name, options) for name in names]


class CountingTask:
    method = "counting"
    num_items = 3

    def __init__(self, name: str, options: TaskOptions) -> None:
        self.name, self.sha256 = name, f"{name} {options}"
        self.options = options

    def score(self, model: TokenModel, advance) -> TaskOutcome:
        if self.name == "wolves":
            raise RuntimeError("the wolf\nis here")
        advance(3)
        summary = [
            SummaryRow(
                "3", 3, 2 / 3, 0.2, 0.9, 0.25, "always one", 1 / 3, {"odd": None, "PMI": 0.5, "layer": 7}
            ),
            SummaryRow("all", 3, 2 / 3, 0.2, 0.9, 0.25),
        ]
        return TaskOutcome([{"id": "a", "nats": [1.5, 2.5]}], summary, {"date": self.options.date})


suite = Counting()
GROUP = "[evalkit.tasks]\ncounting = tests.evalkit.runner.test_tasks:suite\n"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with the suite, and the toys as loader ``toy``."""
    folder = write_plugin(tmp_path / "plugin", commands=f"\n{GROUP}")
    monkeypatch.syspath_prepend(folder)
    return folder


def ask(*arguments: str) -> Outcome:
    return run_cli("run", "--models", "toy:one", *arguments)


def complaints(done: Outcome) -> list[str]:
    """What the command said, apart from what it says of installed packages' commands."""
    return [line for line in done.stderr.splitlines() if "is not available: evalkit" not in line]


def test_the_table_says_what_was_found(plugin: Path) -> None:
    done = ask("--tasks", "sheep", "--date", "2026-11-01")
    assert done.exit_code == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "accuracy in % (95 % interval)"
    assert lines[1] == "task model method operations n accuracy chance best heuristic gain PMI layer odd"
    assert lines[2] == "sheep toy:one counting 3 3 66.7 (20–90) 25.0 33.3 always one +33.3 50.0 7 –"
    assert lines[3] == "all 3 66.7 (20–90) 25.0 – +41.7 (-5 to +65) – – –"
    assert lines[4] == "items made for 2026-11-01; another --date or --seed makes others"
    assert lines[-1].startswith("not audited: toy:one; `evalkit audit MODEL`")
    assert "0 of 1 cells done, 1 to score" in done.stderr
    again = ask("--tasks", "sheep", "--date", "2026-11-01")
    assert "1 of 1 cells done, 0 to score" in again.stderr
    assert again.stdout == done.stdout


def test_a_suite_is_all_its_tasks_and_a_failing_one_stops_no_other(plugin: Path) -> None:
    done = ask("--tasks", "counting", "--json")
    assert done.exit_code == 1
    printed = json.loads(done.stdout)["tasks"]
    assert [cell["task"]["name"] for cell in printed["cells"]] == ["sheep", "goats"]
    assert printed["num_scored"] == 2
    [failure] = printed["failures"]
    assert failure["subject"] == "wolves (counting)"
    assert failure["reason"].startswith("RuntimeError: the wolf is here")
    assert "FAILED toy:one on wolves (counting)" in done.stderr
    assert len(list(Path().glob("runs/tasks/*/toy-one/*.json"))) == 2


def test_an_unknown_task_is_one_line_before_anything_is_loaded(plugin: Path, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "loaded"))
    for name, near in (("shep", "sheep"), ("count", "counting")):
        done = ask("--tasks", f"goats,{name}")
        assert done.exit_code == 2
        [line] = complaints(done)
        assert line.startswith(f"evalkit: unknown task '{name}'. Did you mean {near}")
        assert "sheep, goats, wolves" in line
    assert not (tmp_path / "loaded").exists() and not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tasks", ""), "nothing to do: name at least one task"),
        (("--tasks", "sheep", "--date", "2026-13-01"), "--date '2026-13-01' is no day"),
        (("--tasks", "sheep", "--date", "20261101"), "--date '20261101' is no day"),
        (("--tasks", "sheep", "--lengths", "0,-1"), "--lengths '0,-1' is no list of numbers from 0 on"),
        (("--tasks", "sheep", "--shots", "few"), "--shots 'few' is no list of numbers from 0 on"),
        (("--tasks", "sheep", "--shots", "1," + "9" * 5000), "9' is no list of numbers from 0 on"),
        (("--tasks", "sheep", "--limit", "0"), "--limit 0 leaves no item"),
        (("--tasks", "sheep", "--seed", "-1"), "--seed -1 must be 0 or more"),
        (("--tasks", "sheep", "--max-context", "3"), "--max-context 3 is too small"),
        (("--tasks", "sheep", "--corpora", "nope"), "unknown corpus 'nope'"),
        (("--tasks", "sheep", "--token-bits"), "give --corpora too"),
        (("--tasks", "sheep", "--policy", "uncheatable"), "give --corpora too"),
        (("--shots", "3"), "need --tasks"),
        (("--tasks", "sheep", "--models", "xz"), "xz is a compressor, it cannot be asked"),
        (("--tasks", "sheep", "--models", ""), "name at least one model to ask"),
    ],
)
def test_bad_requests_are_one_line(plugin: Path, arguments: tuple[str, ...], message: str) -> None:
    models = () if "--models" in arguments else ("--models", "toy:one")  # those given twice add up
    done = run_cli("run", *models, *arguments)
    assert done.exit_code == 2
    [line] = complaints(done)
    assert line.startswith("evalkit: ") and message in line
    assert not Path("runs").exists()


def test_options_reach_the_suite(plugin: Path) -> None:
    options = TaskOptions("2026-10-31", 4, (2, 8), (0,), 5, True)
    [task] = make_tasks(["goats"], options)
    assert [of.name for of in make_tasks(["go?t*", "goats"], options)] == ["goats"]
    assert task.options is options
    options_of_command = ("--date", "2026-10-31", "--seed", "4", "--lengths", "8, 2,2", "--shots", "0")
    done = ask("--tasks", "goats", *options_of_command, "--limit", "5", "--hidden-state-probe", "--json")
    assert json.loads(done.stdout)["tasks"]["cells"][0]["task"]["sha256"] == task.sha256
    done = ask("--tasks", "goats", "--json")
    defaults = TaskOptions(default_date())
    assert json.loads(done.stdout)["tasks"]["cells"][0]["task"]["sha256"] == f"goats {defaults}"
    assert dt.date.fromisoformat(default_date()).day == 1


def test_a_dry_run_plans_and_asks_nothing(plugin: Path) -> None:
    done = ask("--tasks", "counting", "--dry-run")
    assert done.exit_code == 0
    assert "0 of 3 cells done, 3 to score" in done.stdout
    assert "  toy:one on goats (counting): 3 items" in done.stdout
    assert not Path("runs").exists()


def test_without_models_the_embedded_language_models_are_asked(plugin: Path) -> None:
    assert set(DEFAULT_TASK_MODELS) <= set(DEFAULT_MODELS)
    done = run_cli("run", "--tasks", "sheep", "--dry-run")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(DEFAULT_TASK_MODELS)


def test_corpora_and_tasks_can_be_had_together(plugin: Path) -> None:
    Path("texts.json").write_text('["a text to score"]')
    done = ask("--tasks", "sheep", "--corpora", "texts.json", "--json")
    printed = json.loads(done.stdout)
    assert printed["cells"][0]["corpus"]["name"] == "texts"
    assert printed["tasks"]["cells"][0]["task"]["name"] == "sheep"


def test_two_packages_may_not_bring_the_same_name(plugin: Path, tmp_path, monkeypatch) -> None:
    second = write_plugin(tmp_path / "other", commands="\n[evalkit.tasks]\ncounting = elsewhere:suite\n")
    (second / "toy_plugin-1.0.dist-info").rename(second / "other_plugin-1.0.dist-info")
    metadata = second / "other_plugin-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("toy-plugin", "other-plugin"))
    monkeypatch.syspath_prepend(second)
    with pytest.raises(UsageError, match=r"two packages bring 'counting' of evalkit\.tasks"):
        make_tasks(["sheep"], TaskOptions(default_date()))


def test_a_broken_suite_is_named(tmp_path, monkeypatch) -> None:
    for value, reason in (("elsewhere:suite", "ModuleNotFoundError"), ("json:dumps", "has not the members")):
        folder = write_plugin(tmp_path / value.split(":")[0], commands=f"\n[evalkit.tasks]\nbad = {value}\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            with pytest.raises(UsageError, match=rf"tasks 'bad' \({value}\) cannot be used: .*{reason}"):
                make_tasks(["bad"], TaskOptions(default_date()))


def test_what_a_model_may_have_read_is_said(tmp_path: Path) -> None:
    from evalkit.runner.tasks_table import notes

    tasks = suite.make(["sheep"], TaskOptions("2026-11-01"))
    models = [
        BigramModel("old", details={"knowledge_cutoff": "2026-10"}),
        BigramModel("new", details={"knowledge_cutoff": "2026-11"}),
        BigramModel("silent"),
    ]
    result = run_tasks(models, tasks, options=RunOptions(output=tmp_path))
    warnings = [line for line in notes(result) if "items of 2026-11-01 in training" in line]
    assert warnings == [
        "† new (2026-11) may have read items of 2026-11-01 in training; give a later --date",
        "? silent: not known whether it has read items of 2026-11-01 in training: nobody says when its "
        "training data end",
    ]


def test_answers_of_another_generation_of_the_library_may_be_accepted(tmp_path: Path) -> None:
    tasks = Counting().make(["sheep"], TaskOptions("2026-11-01"))
    options = RunOptions(output=tmp_path)
    first, second = BigramModel(numerics="library 1"), BigramModel(numerics="library 2")
    assert run_tasks([first], tasks, options=options).num_scored == 1
    accepted = run_tasks([second], tasks, options=dataclasses.replace(options, accept_versions=True))
    assert (accepted.num_scored, accepted.cells[0].model.numerics) == (0, "library 1")
    assert run_tasks([second], tasks, options=options).num_scored == 1
    reseeded = BigramModel(seed=1, numerics="library 1")
    options = dataclasses.replace(options, accept_versions=True)
    assert run_tasks([reseeded], tasks, options=options).num_scored == 1
