"""Refreshes never overlap, run to their end whatever fails, and tell the operator's program of it."""

import json
import sys
from pathlib import Path

import pytest

from evalkit.errors import CrawlError
from evalkit.locks import path_lock
from evalkit.refresh.config import PublicationWindow, last_window, read_config
from evalkit.refresh.unattended import StepFailure, notify, run_steps
from tests.support.leaderboard import CONFIG
from tests.support.toys import run_cli


def write_config(folder: Path, notify_with: list[str]) -> Path:
    path = folder / "leaderboard.toml"
    path.write_text(f"notify = {json.dumps(notify_with)}\n{CONFIG}")
    return path


def window_of(path: Path) -> PublicationWindow:
    from datetime import date

    return last_window(read_config(path), date(2026, 10, 20))


def test_a_second_refresh_does_nothing_and_the_operator_is_told(tmp_path: Path) -> None:
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    path = write_config(tmp_path, [sys.executable, "-c", code, str(tmp_path / "told; $(rm) %.json")])
    (tmp_path / "results" / "corpora").mkdir(parents=True)
    refresh = ("leaderboard", "refresh", "--config", path, "--date", "2026-10-20")
    with path_lock(tmp_path / "results" / "corpora"):
        outcome = run_cli(*refresh, "--output", tmp_path / "site")
    assert outcome.exit_code == 1 and outcome.stdout == "" and len(outcome.stderr.splitlines()) == 1
    assert "another refresh of" in outcome.stderr and not (tmp_path / "site").exists()
    told = json.loads((tmp_path / "told; $(rm) %.json").read_text())
    assert (told["title"], told["since"], told["until"]) == ("a small board", "2026-10-01", "2026-10-15")
    assert [failure["step"] for failure in told["failures"]] == ["lock"]
    assert run_cli(*refresh, "--push").exit_code == 2


def test_results_that_cannot_be_locked_are_told(tmp_path: Path) -> None:
    path = write_config(tmp_path, [])
    (tmp_path / "results").write_text("a file")
    outcome = run_cli("leaderboard", "refresh", "--config", path, "--date", "2026-10-20")
    assert outcome.exit_code == 1 and "so that nothing keeps refreshes apart" in outcome.stderr


def test_every_step_is_run_whatever_fails() -> None:
    ran = []

    def fail(error: Exception) -> None:
        ran.append(type(error).__name__)
        raise error

    lines: list[str] = []
    failures = run_steps(
        {
            "crawl": lambda: fail(CrawlError("down")),
            "score": lambda: fail(KeyError("a\nb")),
            "site": lambda: ran.append("site"),
        },
        complain=lines.append,
    )
    assert ran == ["CrawlError", "KeyError", "site"]
    assert failures == [("crawl", "down"), ("score", r"unexpected KeyError: 'a\nb'")]
    assert lines == [failure.message for failure in failures]
    with pytest.raises(KeyboardInterrupt):
        run_steps({"crawl": lambda: (_ for _ in ()).throw(KeyboardInterrupt)}, complain=lines.append)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/nowhere/at-all"], "cannot be run: No such file"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit code 3"),
        (["/bin/sh\0"], "cannot be run: embedded null byte"),
    ],
)
def test_a_notification_that_fails_is_told(tmp_path: Path, command: list[str], message: str) -> None:
    path = write_config(tmp_path, command)
    lines: list[str] = []
    config = read_config(path)
    notify(config, window_of(path), [StepFailure("crawl", "down")], complain=lines.append)
    assert len(lines) == 1 and message in lines[0]
