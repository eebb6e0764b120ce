import json
import re

import pytest
from typer.testing import CliRunner

from evalkit.errors import UsageError
from evalkit_tasks.cli import app
from evalkit_tasks.training.tasks.catalog import get_task, task_names
from evalkit_tasks.training.tasks.descriptions import describe, descriptions, page
from tests.support.toys import ROOT


def test_the_page_of_the_documentation_is_what_the_commands_say():
    assert (ROOT / "docs" / "probe-tasks.md").read_text(encoding="utf-8") == page(), (
        "python -m evalkit_tasks.training.tasks.descriptions docs/probe-tasks.md"
    )


def test_every_task_of_a_fixed_name_is_described_by_name():
    described = [name for description in descriptions().tasks for name in description.names]
    assert set(task_names()) <= set(described)
    assert len(set(described)) == len(described)
    for description in descriptions().tasks:
        assert description.examples and all(map(get_task, description.examples))
        assert {describe(name) for name in description.examples} == {description}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("a4xz7", "GROUP"),
        ("generators:(1 2 3),(1 2)", "GROUP"),
        ("s3-2tokens", "GROUP-Ntokens"),
        ("s5-4tokens-special-both", "GROUP-Ntokens-special-both"),
        ("word-problem:z60", "word-problem:GROUP"),
        ("mqar:8:64", "mqar:KV:VOCABULARY"),
        ("code-trace:s5-swaps:8", "code-trace:GROUP:SPACING"),
        ("code-trace-srs:a5:2", "code-trace-srs:GROUP:SPACING"),
        ("random:1:4", "regex:PATTERN"),
        ("(ab)*", "regex:PATTERN"),
        ("dyck-1-2", "dyck-KINDS-DEPTH"),
    ],
)
def test_a_chosen_name_is_of_its_family(name, family):
    assert family in describe(name).names


def test_an_unknown_task_has_no_description():
    with pytest.raises(UsageError, match=r"unknown task 'partiy'\. Did you mean parity"):
        describe("partiy")


def test_show_says_the_source_the_differences_and_a_string():
    shown = CliRunner().invoke(app, ["show", "flip-flop"]).stdout
    assert "https://arxiv.org/abs/2306.00946" in shown
    for difference in describe("flip-flop").differences:
        assert difference in " ".join(shown.split())
    letters, labels = (line.split() for line in shown.splitlines()[-2:])
    asked = [place for place, label in enumerate(labels) if label != "-"]
    assert [letters[place + 1] for place in asked] == [labels[place] for place in asked]
    assert re.fullmatch("w[01]([wir][01])*r[01]", "".join(letters))
    record = json.loads(CliRunner().invoke(app, ["show", "flip-flop", "--json"]).stdout)
    assert (record["num_letters"], record["num_labels"]) == (5, 2) and record["example"] == letters
