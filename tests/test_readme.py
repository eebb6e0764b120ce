"""README speaks the truth: its programs run, its commands and files exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["use", "add a model"])
def test_the_programs_run(program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", f"{program}\nassert not result.failures\n"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/python-stdlib/*/*.json"))


def test_the_commands_are_there() -> None:
    named = set(re.findall(r"^evalkit (\w+)", README, re.MULTILINE)) | set(
        re.findall(r"`evalkit (\w+)", README)
    )
    assert {"run", "compare", "corpora", "models", "bench"} <= named
    for command in sorted(named):
        helped = subprocess.run(
            [sys.executable, "-m", "evalkit", command, "--help"], capture_output=True, text=True
        )
        assert helped.returncode == 0, f"evalkit {command}: {helped.stderr}"


def test_the_options_are_there() -> None:
    groups = (
        *(["run"], ["compare"], ["corpora", "import"], ["corpora", "publish"], ["corpora", "rebuild"]),
        *(["crawl", "arxiv"], ["crawl", "news"], ["crawl", "wikipedia"], ["report"], ["plot"], ["export"]),
        ["bench"],
        *(["probe", name] for name in ("train", "compile", "table")),
    )
    programs = [["evalkit", *group] for group in groups] + [
        ["evalkit.embedded.train"],
        ["evalkit.embedded.card"],
    ]
    shown = "".join(
        subprocess.run(
            [sys.executable, "-m", *program, "--help"],
            capture_output=True,
            text=True,
            env={"COLUMNS": "200", "PATH": "", "NO_COLOR": "1"},
        ).stdout
        for program in programs
    )
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)):
        assert option in shown, option


def test_the_files_are_there() -> None:
    for name in re.findall(r"`?((?:evalkit|tests|kernels)/[\w/]+\.py)`?|(CONTRIBUTING\.md)", README):
        assert (ROOT / (name[0] or name[1])).is_file()
