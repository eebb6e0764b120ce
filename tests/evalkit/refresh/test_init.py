"""A new leaderboard's files say what is meant, whatever its folder is called, and replace nothing."""

import shlex
import sys
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.refresh.config import read_config
from evalkit.refresh.init import FILES, init
from tests.support.toys import run_cli

CONTACT = "board@uni-x.edu"


def test_the_files_are_read_as_they_are_meant(tmp_path: Path) -> None:
    folder = tmp_path / '50 %n of "my" $board, it\'s'
    outcome = run_cli("leaderboard", "init", folder, "--contact", CONTACT)
    assert outcome.exit_code == 0 and outcome.stdout.splitlines()[:4] == [
        str(folder / name) for name in FILES
    ]
    config = read_config(folder / "leaderboard.toml")
    assert config.contact == CONTACT and config.sources[0].source == "wikipedia"
    service = (folder / "leaderboard.service").read_text()
    assert f"\nWorkingDirectory={str(folder).replace('%', '%%')}\n" in service
    assert service.endswith(f'\nExecStart="{sys.executable}" -m evalkit leaderboard refresh\n')
    # What cron hands to the shell: \\% is %; and the shell's words of it.
    line = (folder / "leaderboard.cron").read_text().splitlines()[-1]
    schedule, command = line.split(maxsplit=5)[:5], line.split(maxsplit=5)[5]
    assert schedule == ["23", "4", "4,19", "*", "*"] and "%" not in command.replace(r"\%", "")
    words = shlex.split(command.replace(r"\%", "%"))
    assert words == ["cd", str(folder), "&&", sys.executable, "-m", "evalkit", "leaderboard", "refresh"]


def test_in_a_checkout_results_are_committed(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    init(tmp_path / "board", CONTACT)
    for name in ("leaderboard.service", "leaderboard.cron"):
        assert (tmp_path / "board" / name).read_text().rstrip().endswith(" refresh --commit")


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UsageError, match=f"{name} is there already"):
        init(tmp_path, CONTACT)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("folder", "contact", "message"),
    [
        ("board", "you@example.org", "is a placeholder"),
        ("board", "nobody", "neither an e-mail address"),
        ("a\nExecStart=evil", CONTACT, "cannot stand in a line"),
        ("a\\", CONTACT, "cannot stand in a line"),
        ("a ", CONTACT, "cannot stand in a line"),
    ],
)
def test_what_reaches_nobody_or_breaks_a_line_is_refused(
    tmp_path: Path, folder: str, contact: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        init(tmp_path / folder, contact)
    assert not list(tmp_path.iterdir())


def test_who_cannot_be_asked_is_told_of_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_CONTACT", "")
    outcome = run_cli("leaderboard", "init", tmp_path / "board")
    assert outcome.exit_code == 2 and "say whom operators" in outcome.stderr
    assert not (tmp_path / "board").exists()
