"""The house rules that a machine can check."""

import ast
import itertools
import statistics
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "evalkit_kernels": set(),
    "evalkit": {"evalkit_kernels"},
    "evalkit_crawlers": {"evalkit"},
    "evalkit_tasks": {"evalkit", "evalkit_kernels"},
}
FOLDERS = {
    "evalkit_kernels": ROOT / "kernels" / "evalkit_kernels",
    "evalkit": ROOT / "evalkit",
    "evalkit_crawlers": ROOT / "crawlers" / "evalkit_crawlers",
    "evalkit_tasks": ROOT / "tasks" / "evalkit_tasks",
}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_point_down(package: str) -> None:
    modules = sorted(FOLDERS[package].rglob("*.py"))
    assert modules
    for module in modules:
        others = imported(module) & set(MAY_IMPORT) - {package}
        assert others <= MAY_IMPORT[package], f"{module} imports {others - MAY_IMPORT[package]}"


def test_modules_are_small() -> None:
    lengths = {
        module: len(module.read_text(encoding="utf-8").splitlines())
        for folder in FOLDERS.values()
        for module in folder.rglob("*.py")
    }
    assert max(lengths.values()) <= 600, max(lengths, key=lengths.__getitem__)
    assert statistics.median(lengths.values()) <= 200


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in pins if "==" in line}
    wanted = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {canonicalize_name(Requirement(requirement).name) for requirement in wanted}
    assert names - {"evalkit"} <= pinned
