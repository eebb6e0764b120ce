"""The house rules that a machine can check: arrows, sizes, names, types and pins."""

import ast
import itertools
import re
import statistics
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from evalkit.extras import DISTRIBUTION

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

# From the ground up: what is on a floor imports only from lower floors, never from its neighbours.
FLOORS = {
    "evalkit": (
        {"locks"},
        {"dates", "errors", "fields", "files", "garbage", "lazy", "spreadsheets", "stats", "version"},
        {
            "contact",
            "displayed",
            "extras",
            "fonts",
            "hub_errors",
            "isolation",
            "near_paths",
            "patterns",
            "plugins",
            "remembered",
            "terminal",
        },
        {"corpora", "models"},
        {"environment", "requests", "scoring", "tasks"},
        {"coding"},
        {"bench", "cells"},
        {"audit"},
        {"analysis"},
        {"runner"},
        {"embedded", "exports", "live", "report", "plots"},
        {"explore", "refresh"},
        {"api", "cli"},
        {"__main__"},
    ),
    "evalkit_crawlers": (
        {"host_names", "source"},
        {"http", "text"},
        {"options"},
        {"crawling"},
        {"command", "corpora_commands"},
        {"sources"},
        {"cli"},
    ),
    "evalkit_tasks": (
        {"formal", "metrics"},
        {"asking", "compiling", "training"},
        {"notes", "plots"},
        {"compile_cli", "describe_cli", "train_cli"},
        {"table_cli"},
        {"cli"},
    ),
}
LONG_MODULES = {"evalkit_kernels.wkv7_cpu", "evalkit_kernels.wkv7_triton_kernels"}
# Names that say nothing of what they hold.
VAGUE = {
    "one", "other", "others", "found", "known", "where", "asked", "told", "given", "wanted", "own", "rest",
    "here", "there", "mine", "what", "made", "kept", "left",
}  # fmt: skip
# What writes a cell's file, and what reads the benchmarks'; everything else has a cell's fields by name.
READ_BY_KEY = {"evalkit.cells.files", "evalkit.analysis.speeds"}


def modules_of(package: str) -> dict[str, Path]:
    """Dotted names of a package's modules; a folder's ``__init__`` goes by the folder's name."""
    folder = FOLDERS[package]
    paths = sorted(folder.rglob("*.py"))
    assert paths
    names = (path.relative_to(folder.parent).with_suffix("").parts for path in paths)
    return {".".join(parts).removesuffix(".__init__"): path for parts, path in zip(names, paths, strict=True)}


MODULES = {name: path for package in FOLDERS for name, path in modules_of(package).items()}
NODES = {name: list(ast.walk(ast.parse(path.read_text(encoding="utf-8")))) for name, path in MODULES.items()}
OUTSIDE_KERNELS = [name for name in MODULES if name.split(".")[0] != "evalkit_kernels"]
NUM_LINES = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}


# What Python has on POSIX alone, and evalkit.locks guards.
POSIX = {
    "fcntl", "grp", "pty", "pwd", "resource", "termios", "os.fork", "os.geteuid", "os.getuid", "os.killpg",
    "os.mkfifo", "os.O_CLOEXEC", "os.O_DIRECTORY", "os.O_NOCTTY", "os.O_NOFOLLOW", "os.O_NONBLOCK",
    "os.posix_fadvise", "os.register_at_fork", "os.sched_getaffinity", "os.setsid", "os.statvfs",
    "os.sysconf", "os.uname", "select.epoll", "select.poll", "signal.pthread_sigmask", "signal.setitimer",
    "signal.SIGALRM", "signal.SIGHUP", "signal.SIGKILL", "signal.SIGPROF", "signal.SIGUSR1", "socket.AF_UNIX",
    "time.tzset",
}  # fmt: skip


def package_of(module: str) -> str:
    return module.split(".")[0]


def folder_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imports(module: str) -> Iterator[str]:
    """What a module imports, at its top or inside of functions: modules, and names in modules."""
    for node in NODES[module]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{module} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in MAY_IMPORT:
            yield ast.unparse(node)  # evalkit.load_corpus, after `import evalkit`


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_between_packages_point_down(package: str) -> None:
    for module in modules_of(package):
        packages = {package_of(name) for name in imports(module)} & MAY_IMPORT.keys() - {package}
        assert packages <= MAY_IMPORT[package], f"{module} imports {packages - MAY_IMPORT[package]}"


@pytest.mark.parametrize("package", FLOORS)
def test_arrows_between_folders_point_down(package: str) -> None:
    """So there is no circle. A package's front door names everything, so nothing inside goes through it."""
    floor = {f"{package}.{name}": level for level, names in enumerate(FLOORS[package]) for name in names}
    modules = modules_of(package).keys() - {package}
    assert {folder_of(module) for module in modules} <= floor.keys()
    for module in modules:
        folder = folder_of(module)
        targets = {folder_of(name) for name in imports(module) if package_of(name) == package}
        targets -= {folder, package}
        assert targets <= floor.keys(), f"{module} goes through the front door"
        upward = {target for target in targets if floor[target] >= floor[folder]}
        assert not upward, f"{module} imports {upward}"


def test_modules_are_small() -> None:
    long = {name: num_lines for name, num_lines in NUM_LINES.items() if num_lines > 400}
    assert long.keys() <= LONG_MODULES, long
    assert max(NUM_LINES.values()) <= 450
    assert statistics.median(NUM_LINES.values()) <= 200


def test_functions_fit_a_screen() -> None:
    """Outside of the operators, whose kernels are as long as the mathematics that they hold."""
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for module in OUTSIDE_KERNELS
        for node in NODES[module]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 60
    }
    assert not long


def bindings(module: str) -> Iterator[str]:
    """Names of variables, arguments, loop variables, imports and exceptions."""
    for node in NODES[module]:
        match node:
            case (
                ast.arg(arg=str(name)) | ast.Name(id=str(name), ctx=ast.Store()) | ast.alias(asname=str(name))
            ):
                yield name
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                yield name


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What of a module runs when it is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def test_every_module_can_be_imported_on_windows() -> None:
    for module in MODULES.keys() - {"evalkit.locks"}:
        for node in at_import(NODES[module][0]):
            names = [alias.name for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)]
            names += [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
            assert not POSIX & set(names), f"{module} needs {names} when it is imported"


def prints(node: ast.AST) -> bool:
    """Whether a node is a call that writes to a terminal by itself."""
    match node:
        case ast.Call(func=ast.Name(id="print" | "Console")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="typer" | "click"), attr="echo" | "secho")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="stdout" | "stderr"), attr="write")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="traceback"), attr="print_exc")):
            return True
    return False


def test_what_is_printed_goes_through_the_terminals_module() -> None:
    """``evalkit.terminal.show`` and its like: there foreign titles and messages are shown, not obeyed."""
    printing = {name for name in MODULES if any(map(prints, NODES[name]))}
    assert printing == {"evalkit.terminal"}


def counts(count: Callable[[str], int]) -> Counter[str]:
    return +Counter({module: count(module) for module in OUTSIDE_KERNELS})


def test_names_say_what_they_hold() -> None:
    vague = counts(lambda module: sum(name in VAGUE for name in bindings(module)))
    assert not vague


def test_names_in_the_sites_scripts_say_what_they_hold() -> None:
    scripts = sorted((ROOT / "evalkit" / "report" / "static").glob("*.js"))
    assert scripts
    words = "|".join(VAGUE | {"entrant", "entrants"})
    declared = re.compile(
        rf"(?:const|let|function) (?:{words})\b|[(\[{{,] ?(?:{words})(?=[^\"`:]*\) (?:=>|{{))"
    )
    code = {path.name: re.sub(r"//.*", "", path.read_text(encoding="utf-8")) for path in scripts}
    vague = {name: declared.findall(text) for name, text in code.items()}
    assert not any(vague.values()), vague


@pytest.mark.parametrize("package", FLOORS)
def test_types_are_told(package: str) -> None:
    """``Any`` is for what others wrote: two in a thousand lines."""
    untyped = counts(lambda module: sum(getattr(node, "id", None) == "Any" for node in NODES[module]))
    modules = modules_of(package)
    num_lines = sum(NUM_LINES[module] for module in modules)
    assert sum(untyped[module] for module in modules) <= num_lines / 500, untyped.most_common(9)


def is_content_by_key(node: ast.AST) -> bool:
    """``content["key"]`` and ``cell.content["key"]``."""
    match node:
        case ast.Subscript(
            value=ast.Name(id="content") | ast.Attribute(attr="content"), slice=ast.Constant(value=str())
        ):
            return True
    return False


def test_cells_are_typed() -> None:
    by_key = counts(lambda module: sum(map(is_content_by_key, NODES[module])))
    assert by_key.keys() <= READ_BY_KEY, by_key


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in pins if "==" in line}
    requirements = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {canonicalize_name(Requirement(requirement).name) for requirement in requirements}
    assert names - {DISTRIBUTION} <= pinned
