"""README and the pages of the documentation: their code, the commands and options that they name."""

import functools
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.toys import ROOT, run_cli

README = ROOT / "README.md"
GUIDES = ROOT / "docs" / "guides"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
_BLOCK = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(evalkit [^`\n]+)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    """What stands behind the fence; empty for none."""
    title: str
    """The file that it is; empty for none."""
    code: str


class Command(NamedTuple):
    """A command of evalkit that a page names."""

    page: str
    words: tuple[str, ...]
    """Without the program's name."""


def blocks(page: Path) -> list[Block]:
    return [Block(*match) for match in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    """A page without its programs and files."""
    return _BLOCK.sub(
        lambda match: "" if match[1] in ("python", "toml", "text") else match[0],
        page.read_text(encoding="utf-8"),
    )


def commands(page: Path) -> list[Command]:
    """The lines of shells, and what stands in a line of prose, that begin with ``evalkit``."""
    lines = [
        line
        for block in blocks(page)
        if block.language in ("", "sh")
        for line in block.code.splitlines()
        if line.startswith("evalkit ")
    ]
    lines += _INLINE.findall(prose(page))
    return [Command(page.name, tuple(shlex.split(line, comments=True)[1:])) for line in lines]


def options(page: Path) -> set[str]:
    """The options that a page names, of whatever program but Slurm's, which has them in comments."""
    return set(_OPTION.findall(re.sub(r"^#SBATCH .*", "", prose(page), flags=re.MULTILINE)))


def install(guide: Path, folder: Path) -> None:
    """Write a guide's files into a folder, which then looks to Python like an installed distribution."""
    files = [block for block in blocks(guide) if block.title]
    for block in files:
        (folder / block.title).write_text(block.code, encoding="utf-8")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in project["entry-points"].items()
        )
    )


@functools.cache
def program() -> Any:
    """The command line, with the commands of the packages that are installed at the first call."""
    from typer.main import get_command

    from evalkit.cli import main as cli

    assert run_cli("--version").exit_code == 0  # it adds the commands of other packages when it starts
    return get_command(cli.app)


class Resolved(NamedTuple):
    """A command that exists."""

    path: tuple[str, ...]
    """``("crawl", "arxiv")``."""
    options: frozenset[str]


def resolve(words: tuple[str, ...]) -> Resolved:
    """The command that words lead to, as far as they are names of commands, and its options.

    Raises:
        LookupError: a group has no command of that name.
    """
    import click

    command = program()
    path: list[str] = []
    for word in words:
        if not hasattr(command, "list_commands") or word.startswith("-") or word.isupper() or word == "…":
            break
        subcommand = command.get_command(click.Context(command), word)
        if subcommand is None:
            raise LookupError(f"evalkit {' '.join(path)} has no command {word}")
        command = subcommand
        path.append(word)
    option_names = {
        name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
    }
    if path == ["lm-eval"]:
        option_names |= _options_of_the_harness()
    return Resolved(tuple(path), frozenset(option_names | {"-h", "--help"}))


@functools.cache
def _options_of_the_harness() -> set[str]:
    """Of ``lm-eval run``, which ``evalkit lm-eval`` hands its arguments to."""
    from lm_eval._cli.harness import HarnessCLI

    return set(HarnessCLI()._subparsers.choices["run"]._option_string_actions)


def all_commands() -> list[tuple[str, ...]]:
    """The path of every command that is no group."""
    import click

    leaves: list[tuple[str, ...]] = []
    groups: list[tuple[tuple[str, ...], Any]] = [((), program())]
    while groups:
        path, group = groups.pop()
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            if hasattr(command, "list_commands"):
                groups.append(((*path, name), command))
            else:
                leaves.append((*path, name))
    return leaves
