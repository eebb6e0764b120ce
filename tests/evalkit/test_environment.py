"""What a result says of where it was measured."""

import os
import subprocess
from pathlib import Path

import pytest

from evalkit import environment as module


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, and a folder for a `git` that is found before any other."""
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    (tmp_path / "checkout" / "evalkit").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path / "checkout" / "evalkit"


def put_git(checkout: Path, script: str) -> None:
    git = checkout.parents[1] / "bin" / "git"
    git.write_text(f"#!/bin/sh\n{script}\n")
    git.chmod(0o755)


def test_a_git_that_never_answers_costs_no_run(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_git(checkout, "exec tail -f /dev/null")
    monkeypatch.setattr(module, "_GIT_S", 0.2)
    assert module._git_state(checkout) == {"commit": "unknown: git gave no answer in 0.2 s", "dirty": True}


def test_commit_and_changes_are_told(checkout: Path) -> None:
    put_git(checkout, 'case "$*" in *rev-parse*) echo 0123abc;; *) echo " M file.py";; esac')
    assert module._git_state(checkout) == {"commit": "0123abc", "dirty": True}


def test_a_git_that_refuses_tells_nothing(checkout: Path) -> None:
    put_git(checkout, "exit 128")
    assert module._git_state(checkout) is None


def test_the_checkout_is_only_read(tmp_path: Path) -> None:
    """A `git status` that writes what it saw into the index leaves a lock where it is killed."""
    (tmp_path / "evalkit").mkdir()
    source = tmp_path / "evalkit" / "file.py"
    source.write_text("pass\n")
    author = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    os.utime(source, (1, 1))  # the same content with another time: git would note that
    index = tmp_path / ".git" / "index"
    before = index.read_bytes()
    assert (module._git_state(tmp_path / "evalkit") or {})["dirty"] is False
    assert index.read_bytes() == before
    subprocess.run(["git", "status"], cwd=tmp_path, check=True, capture_output=True)
    assert index.read_bytes() != before


def test_sources_are_what_computes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package_of_sources"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/loop.c", "notes.md"):
        (package / name).write_text("one")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_COMPUTING_PACKAGES", (package.name,))
    digest = module.sources_sha256.__wrapped__
    before = digest()
    (package / "notes.md").write_text("two")
    assert digest() == before
    (package / "inner" / "loop.c").write_text("two")
    changed = digest()
    (package / "inner" / "loop.c").rename(package / "loop.c")
    assert len({before, changed, digest()}) == 3
