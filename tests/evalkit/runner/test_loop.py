"""The loop of every run: what is loaded when, and what is in memory meanwhile."""

from pathlib import Path

import pytest

from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.tasks import run_tasks
from evalkit.tasks import TaskOptions
from tests.evalkit.runner.test_tasks import Counting
from tests.support.toys import TEXTS, corpus_of, write_plugin

CORPORA = [corpus_of(TEXTS), corpus_of([*TEXTS[:4], "BREAK"], "second")]
MODELS = ["toy:abc", "toy:broken-error", "toy:abcd"]

LOADER = """
import weakref
from tests.support import toys

identify = toys.identify
in_memory = weakref.WeakSet()


def load(entry, options):
    assert not in_memory, f"{len(in_memory)} models are in memory when {entry.target} is loaded"
    model = toys.load(entry, options)
    model.itself = model  # only the collector of circles finds that nobody needs it, as with torch's modules
    in_memory.add(model)
    return model
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Names of the models in the order in which they are loaded, by a loader that suffers one at a time."""
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin", source=LOADER))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def test_each_model_is_loaded_once_for_all_corpora_and_alone(log: Path, tmp_path: Path) -> None:
    options = RunOptions(output=tmp_path / "runs")
    result = run(MODELS, CORPORA, options=options)
    assert [(failure.model, failure.subject) for failure in result.failures] == [
        ("toy:broken-error", "second")
    ]
    assert "left the building" in result.failures[0].reason
    assert [(cell.model.name, cell.corpus.name) for cell in result.cells] == [
        ("toy:abc", "corpus"),
        ("toy:abc", "second"),
        ("toy:broken-error", "corpus"),
        ("toy:abcd", "corpus"),
        ("toy:abcd", "second"),
    ]
    assert log.read_text().split() == ["abc", "broken-error", "abcd"]
    assert run(MODELS, CORPORA, options=options).num_scored == 0
    assert log.read_text().split()[3:] == ["broken-error"]  # the others have nothing to do


def test_each_model_is_loaded_once_for_all_tasks(log: Path, tmp_path: Path) -> None:
    tasks = Counting().make(["sheep", "wolves", "goats"], TaskOptions("2026-11-01"))
    options = RunOptions(output=tmp_path / "runs")
    result = run_tasks([MODELS[0], MODELS[2]], tasks, options=options)
    assert [(failure.model, failure.subject) for failure in result.failures] == [
        ("toy:abc", "wolves (counting)"),
        ("toy:abcd", "wolves (counting)"),
    ]
    # The cells come in the order of the tasks, whatever the order in which they were scored.
    assert [(cell.task.name, cell.model.name) for cell in result.cells] == [
        ("sheep", "toy:abc"),
        ("sheep", "toy:abcd"),
        ("goats", "toy:abc"),
        ("goats", "toy:abcd"),
    ]
    assert log.read_text().split() == ["abc", "abcd"]


def test_options_of_the_command_are_those_of_the_library() -> None:
    from evalkit.cli.parsing import DEFAULT_OUTPUT

    assert RunOptions().folder == DEFAULT_OUTPUT
