"""README and the pages of docs/ speak the truth: what they name exists, what they show runs."""

import dataclasses
import os
import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import evalkit
from evalkit.analysis.aggregates import AGGREGATES
from evalkit.exports.formats import FORMATS
from evalkit.models.catalog import BUILTIN_LOADERS
from evalkit.models.codecs import CODECS
from evalkit.plots import find_plots
from evalkit.refresh.config import LeaderboardConfig
from evalkit.scoring.policy import POLICIES
from evalkit.stats import MIN_CLUSTERS, NUM_RESAMPLES
from tests.support.pages import (
    GUIDES,
    PAGES,
    README,
    all_commands,
    blocks,
    commands,
    install,
    options,
    program,
    prose,
    resolve,
)
from tests.support.toys import PATIENCE_S, ROOT, run_cli

EVERYWHERE = [README, *PAGES]


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The commands of other packages, and those that the guides add."""
    with pytest.MonkeyPatch.context() as patch:
        for guide in GUIDES.glob("*.md"):
            folder = tmp_path_factory.mktemp(guide.stem)
            install(guide, folder)
            patch.syspath_prepend(folder)
        program.cache_clear()
        yield
        program.cache_clear()


def test_readme_is_for_a_newcomer() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.encode()) <= 8_000
    # What has not run comes before what runs.
    assert text.index("## Where this stands") < text.index("```")


@pytest.mark.parametrize("page", EVERYWHERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    for command in commands(page):
        resolved = resolve(command.words)
        asked = {word.split("=")[0] for word in command.words if re.match(r"--?[a-z]", word)}
        assert asked <= resolved.options, f"{page.name}: evalkit {' '.join(command.words)}"


def test_every_command_is_told_of_and_every_option_named_exists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {resolve(command.words).path for page in EVERYWHERE for command in commands(page)}
    paths = all_commands()
    assert len(paths) >= 25
    assert set(paths) <= named
    for path in (*paths, ("bench",)):
        assert run_cli(*path, "--help").exit_code == 0, path
    existing = set().union(*(resolve(path).options for path in (*paths, ("bench",))))
    existing |= {"--version", "--debug", "--install-completion", "--no-deps"}  # the last is pip's
    for module in ("evalkit.embedded.train", "evalkit.embedded.card"):
        monkeypatch.setattr(sys, "argv", [module, "--help"])
        with (
            warnings.catch_warnings(action="ignore"),
            pytest.raises(SystemExit),
        ):
            runpy.run_module(module, run_name="__main__")
    existing |= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    for page in EVERYWHERE:
        assert options(page) <= existing, page


def test_pages_tell_of_everything_that_a_table_of_the_code_holds() -> None:
    tables = {
        "method.md": [*POLICIES, *AGGREGATES],
        "models.md": [*CODECS, *BUILTIN_LOADERS],
        "site.md": find_plots().plots.keys() - {"lengths"},  # the guide's
        "cells.md": FORMATS,
        "leaderboard.md": [field.name for field in dataclasses.fields(LeaderboardConfig)],
    }
    # Fields that the file has under another name, in a table of its own.
    in_the_file = {"models": "always", "gpu_models": "gpu", "limits": "gates"}
    for page, names in tables.items():
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for name in names:
            name = in_the_file.get(name, name)
            assert re.search(rf"[`\[ ]{name}\b", text), f"{page} does not tell of {name}"
    method = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    assert f"{NUM_RESAMPLES:,} times" in method and MIN_CLUSTERS == 5 and "needs five clusters" in method


def test_files_links_and_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in (*EVERYWHERE, ROOT / "CONTRIBUTING.md"):
        text = prose(page)
        for link in re.findall(r"\]\((?!https?://)([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
        folders = "evalkit|crawlers|tasks|kernels|tests|results|docs"
        for name in re.findall(rf"`((?:{folders})/[\w/.-]+)`", text):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
        for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


PROGRAMS = [
    (page.name, number, block.code)
    for page in EVERYWHERE
    for number, block in enumerate(blocks(page))
    if block.language == "python" and not block.title
]


@pytest.mark.parametrize(("page", "number", "code"), PROGRAMS, ids=[f"{row[0]}-{row[1]}" for row in PROGRAMS])
def test_the_programs_run(page: str, number: int, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    variables: dict[str, object] = {}
    exec(compile(code, page, "exec"), variables)
    result = variables.get("result")
    assert result is None or not result.failures  # type: ignore[attr-defined]
    assert capsys.readouterr().out


@pytest.fixture
def documentation(tmp_path: Path) -> Path:
    """The documentation, built without a warning: here, or by `make docs` just before."""
    if "EVALKIT_BUILT_DOCS" in os.environ:
        return Path(os.environ["EVALKIT_BUILT_DOCS"])
    command = [sys.executable, "-m", "properdocs", "build", "--strict"]
    done = subprocess.run(
        [*command, "-f", str(ROOT / "mkdocs.yml"), "-d", str(tmp_path)],
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_the_documentation_builds_without_a_warning_and_loads_nothing_from_elsewhere(
    documentation: Path,
) -> None:
    built = {str(path.relative_to(documentation)) for path in documentation.rglob("*.html")}
    assert {str(page.relative_to(ROOT / "docs").with_suffix(".html")) for page in PAGES} <= built
    for path in documentation.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?([^\" >]+)", page)
        loaded += re.findall(r"<link[^>]*\shref=\"?([^\" >]+)", page)
        assert loaded and not [address for address in loaded if re.match(r"(?:https?:)?//", address)], path
    interface = "".join(path.read_text(encoding="utf-8") for path in (documentation / "api").glob("*.html"))
    for name in set(evalkit.__all__) - {"__version__"}:
        value = getattr(evalkit, name)
        if isinstance(value, ModuleType):
            assert f'id="{value.__name__}"' in interface, name
            continue
        assert f'id="{value.__module__}.{value.__qualname__}"' in interface, name
