"""What works without torch, any extra and POSIX, and what the rest says of itself."""

import itertools
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from evalkit.errors import ModelError
from evalkit.extras import DISTRIBUTION, EXTRAS, check_extra, clash, pip_install
from evalkit.models.loading import load_model
from tests.support.toys import PATIENCE_S, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
POSIX = ["fcntl", "grp", "pwd", "resource", "termios"]
ABSENT = [*POSIX, "torch", "triton", "transformers", *itertools.chain(*EXTRAS.values())]
COMMIT = "0123456789" * 4

WITHOUT = f"""
import os, shlex, signal, sys

for name in ("SIGHUP", "SIGKILL", "SIGPROF"):
    delattr(signal, name)
for name in ("fork", "getuid", "O_NOFOLLOW", "O_NOCTTY", "O_NONBLOCK"):
    delattr(os, name)
for name in {POSIX}:
    sys.modules.pop(name, None)

class Installed:
    "A finder that does not see what is absent."
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {ABSENT} else self.finder.find_spec(name, path, target)
    def find_distributions(self, context):
        find = getattr(self.finder, "find_distributions", None)
        return iter(()) if find is None or context.name in {ABSENT} else find(context)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Installed(finder) for finder in sys.meta_path]
from evalkit.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["evalkit", *shlex.split(line)]
    print("$", line, flush=True)
    try:
        main.main(forks=False)
    except SystemExit as end:
        print("exit", end.code, flush=True)
"""


def without_extras(lines: list[str], folder: Path) -> dict[str, str]:
    """What commands print and end with in a process that has neither torch nor an extra."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input="\n".join(lines),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )
    printed = done.stdout.split("$ ")[1:]
    assert len(printed) == len(lines), done.stdout
    return {text.partition("\n")[0]: text.partition("\n")[2] for text in printed}


def test_texts_compressors_and_reports_need_neither_torch_nor_an_extra(tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text('["The stake is paid in bits."]')
    outcomes = {
        "env": "torch:             not installed",
        "run --models xz,zstd --corpora texts.json": "zstd",
        "table runs": "zstd",
        "corpora list": "python-stdlib",
        "report runs --output site --no-plots": "corpora: 1",
    }
    refusals = {
        "run --models rwkv7-nano --corpora texts.json": ("torch", None),
        f"run --models xz --corpora hub:a/b@{COMMIT}": ("datasets", "datasets"),
        "run --tasks state-tracking --models xz": ("torch", None),
        "probe list": ("automata", "probes"),
        "crawl news --since 2026-01-01 --until 2026-01-02": ("charset_normalizer", "crawl"),
        "crawl wikipedia --since 2026-01-01 --until 2026-01-02": ("charset_normalizer", "crawl"),
        "crawl law --since 2026-01-01 --until 2026-01-02": ("charset_normalizer", "crawl"),
        f"corpora rebuild hub:a/b@{COMMIT}": ("charset_normalizer", "crawl"),
        "lm-eval run": ("lm_eval", "lm-eval"),
    }
    printed = without_extras([*outcomes, *refusals], tmp_path)
    for line, text in outcomes.items():
        assert text in printed[line] and "exit 0" in printed[line], printed[line]
    for line, (module, extra) in refusals.items():
        advice = f"the package {module} is not installed: {pip_install(extra)}\nexit"
        assert advice in printed[line] and "exit 0" not in printed[line], printed[line]


def test_extras_bring_the_modules_that_they_are_known_by() -> None:
    distributions = packages_distributions()
    for extra, modules in EXTRAS.items():
        lines = PROJECT["optional-dependencies"][extra]
        brought = {canonicalize_name(Requirement(line).name) for line in lines}
        for module in modules:
            assert {canonicalize_name(name) for name in distributions[module]} & brought, module
        check_extra(extra)


def test_a_gguf_file_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ModelError, match=r"not installed: pip install 'evalkit-bpb\[gguf\]'"):
        load_model(f"gguf:{tmp_path / 'model.gguf'}")


def test_all_is_every_extra_of_a_user() -> None:
    [everything] = PROJECT["optional-dependencies"]["all"]
    assert Requirement(everything).extras == EXTRAS.keys()
    assert PROJECT["name"] == DISTRIBUTION


def test_the_program_of_the_index_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clash() is None
    info = tmp_path / "evalkit-0.2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evalkit\nVersion: 0.2.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    line = clash()
    assert line is not None
    assert line.startswith("the package evalkit 0.2.1, another program, is installed too")
    assert f"pip install --force-reinstall --no-deps {DISTRIBUTION}" in line
