from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup, TyperOption

from evalkit.cli.main import _BUILT_IN, app
from evalkit.cli.parsing import comma_list, complete_corpora, complete_models, joined
from evalkit.cli.plugins import add_commands
from tests.support.toys import run_cli

LISTS = {
    "evalkit run": {
        "--models",
        "--corpora",
        "--context-gain",
        "--tasks",
        "--lengths",
        "--shots",
        "--ignore-tensors",
        "--prefix",
    },
    "evalkit audit": {"--prefix"},
    "evalkit bench profile": {"--models", "--threads"},
    "evalkit bench score": {"--models", "--corpora"},
    "evalkit compress": {"--prefix"},
    "evalkit explore": {"--models", "--prefix"},
    "evalkit curve": {"--corpora", "--runs"},
    "evalkit snr": {"--corpora", "--runs"},
    "evalkit plan": {"--models", "--corpora"},
    "evalkit leaderboard backfill": {"--model"},
    "evalkit losses": {"--corpora", "--models", "--axes"},
    "evalkit compare": {"--ignore-tensors", "--prefix"},
    "evalkit cutoff": {"--corpora", "--panel"},
    "evalkit leaks": {"--corpora", "--panel", "--older"},
    "evalkit plot": {"--models", "--corpora", "--tasks", "--anchors", "--panel"},
    "evalkit report": {"--corpora"},
    "evalkit corpora audit": {"--against"},
    "evalkit crawl arxiv": {"--categories"},
    "evalkit crawl github": {"--languages"},
    "evalkit crawl stackexchange": {"--sites"},
    "evalkit crawl law": {"--jurisdictions"},
    "evalkit crawl wikipedia": {"--languages"},
    "evalkit probe bench": {"--model"},
    "evalkit probe train": {"--task", "--model", "--layers", "--learning-rate", "--negative-eigenvalues"},
}


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command below this one, those of other packages too, by what is typed to run it."""
    yield name, command
    if isinstance(command, TyperGroup):
        context = command.make_context(name, [], resilient_parsing=True)
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            assert inner is not None
            yield from _commands(inner, f"{name} {inner_name}")


def test_every_option_that_is_a_list_by_commas_may_be_given_several_times() -> None:
    add_commands(app, _BUILT_IN)
    lists: dict[str, set[str]] = {}
    for name, command in _commands(typer.main.get_command(app), "evalkit"):
        for option in command.params:
            if isinstance(option, TyperOption) and "by commas" in (option.help or ""):
                assert option.multiple, f"{name} {option.opts}: the last of several would be all there is"
                lists.setdefault(name, set()).add(option.opts[0])
    assert lists == LISTS


def test_lists_add_up() -> None:
    assert joined(None) is None
    assert comma_list(joined(["xz, zstd,", "brotli"])) == ["xz", "zstd", "brotli"]
    assert comma_list(joined([""])) == comma_list(None) == []


@pytest.mark.parametrize("models", [["xz", "zstd"], ["xz,zstd"]])
@pytest.mark.parametrize("split", [False, True])
def test_a_run_scores_what_every_list_names(tmp_path: Path, models: list[str], split: bool) -> None:
    texts = [tmp_path / f"text-{number}.txt" for number in range(2)]
    for path in texts:
        path.write_text(f"the text {path.name} " * 10)
    words = ["run", "--output", str(tmp_path / "runs"), "--json"]
    for name in models:
        words += ["--models", name]
    names = [str(path) for path in texts]
    for name in names if split else [",".join(names)]:
        words += ["--corpora", name]
    outcome = run_cli(*words)
    assert outcome.exit_code == 0, outcome.stderr
    assert len(list((tmp_path / "runs").glob("*/*/*.json"))) == 4


def test_a_shell_completes_the_last_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert complete_models("rwkv7-na") == ["rwkv7-nano"]
    assert complete_models("xz,ppm") == ["xz,ppmd"]
    assert complete_corpora("python-stdlib,python") == ["python-stdlib,python-stdlib"]
    assert "uncheatable-2026-07" in complete_corpora("unch")
    monkeypatch.chdir(tmp_path)
    Path("evalkit.toml").write_text("[models.")  # the command says what is wrong with it
    assert complete_models("x") == []
