"""What the target of a model's spec means: a path on this machine, a hub repository, several by a pattern."""

import errno
import glob
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import ModelError
from evalkit.near_paths import near_paths

GGUF_LOADERS = ("gguf", "llamacpp")
_WEIGHT_SUFFIXES = (".pth", ".safetensors", ".gguf")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_REPO_FILE = re.compile(rf"({_REPO.pattern})/(.+\.pth)")
_REPO_REVISION = re.compile(rf"{_REPO.pattern}(?:@.+)?")
_PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_OF_A_RUN = re.compile(
    r"(?:[a-z_-]*(?:step|checkpoint|ckpt|epoch|iter|iteration)s?[_-]?\d+|\d+|latest|last|best|final)"
    r"(?:\.(?:pth|safetensors|gguf))?",
    re.IGNORECASE,
)
"""Names that training runs give to what they save: every run has its own of them."""
_SUFFIXES_OF = {
    "hf": (),
    "rwkv7": (".pth", ".safetensors"),
    **dict.fromkeys(GGUF_LOADERS, (".gguf",)),
}
"""Files that a pattern for a loader may match; folders it always may."""


def find_path(target: str, folder: Path) -> Path | None:
    """The absolute path that a target means, or None where it does not look like a path."""
    marked = target.startswith(("/", "./", "../", "~/")) or target in (".", "..", "~")
    path = folder / _expanded(target) if marked else folder / target
    if marked or is_there(path):
        return path.absolute()
    # owner/name/file.pth may be a file of a hub repository: only `locate` can tell.
    return path.absolute() if path.suffix in _WEIGHT_SUFFIXES else None


def _expanded(target: str) -> Path:
    """``~`` as the home folder; that of a user whom this machine lacks (`Path.expanduser` raises) stays."""
    return Path(os.path.expanduser(target))  # noqa: PTH111


def is_there(path: Path) -> bool:
    """Whether something is at a path: nothing where its name is too long for any file.

    What cannot be looked at for another reason is there: reading it will say what is wrong.
    """
    try:
        return path.exists()
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG


def is_repository(target: str) -> bool:
    """Whether a target has the form of a hub repository's name, ``owner/name``."""
    return bool(_REPO.fullmatch(target))


def locate(loader: str, target: str, folder: Path) -> tuple[str, str | None] | None:
    """A target as an absolute path or a repository, and the file inside the latter."""
    if loader == "hub":
        return (target, None) if is_repository(target) else None
    repo_file = _REPO_FILE.fullmatch(target) if loader == "rwkv7" else None
    path = find_path(target, folder)
    if loader in GGUF_LOADERS and not (path and is_there(path)):
        place, colon, file_name = target.rpartition(":")
        inner = find_path(place, folder) if colon else None
        if inner and is_there(inner):
            return str(inner / file_name), None
        if _REPO.fullmatch(place) and file_name:
            return place, file_name
        if _PACKAGE.fullmatch(target):
            return target, None
    if repo_file and not (path and is_there(path)):
        return repo_file[1], repo_file[2]
    if path is not None:
        return str(path), None
    return (target, None) if _REPO.fullmatch(target) else None


def missing_folder(target: str) -> str | None:
    """What to say of a repository's name that may have been meant as a folder here; None: nothing.

    Args:
        target: ``owner/name``; it may have been a folder if there is a folder ``owner``.
    """
    path = Path(target)
    if path.is_absolute() or len(path.parts) != 2 or is_there(path):
        return None
    if not is_there(path.parent) or not path.parent.is_dir():
        return None
    near = near_paths(target)
    guess = f" (did you mean {' or '.join(near)}?)" if near else ""
    return f"there is no folder {target} here{guess}"


def split_adapter(target: str, folder: Path) -> tuple[str, str | None]:
    """A target as a model's and an adapter's, ``MODEL+ADAPTER``; None where there is no adapter.

    What exists by the whole name is a path with a plus in it. Of several pluses the first counts that has
    something known on either side, else the first.
    """
    if "+" not in target or is_there(folder / _expanded(target)):
        return target, None
    parts = target.split("+")
    splits = [("+".join(parts[:i]), "+".join(parts[i:])) for i in range(1, len(parts))]
    known_splits = (split for split in splits if all(_is_place(part, folder) for part in split))
    return next(known_splits, splits[0])


def _is_place(target: str, folder: Path) -> bool:
    return is_there(folder / _expanded(target)) or bool(_REPO_REVISION.fullmatch(target))


def expand_spec(spec: str) -> list[str]:
    """The models that a spec with ``*``, ``?`` or ``[…]`` in its target means, as a shell would.

    In natural order: ``step-900`` before ``step-1000``. Any other spec stands for itself.

    Args:
        spec: ``hf:``, ``rwkv7:`` or ``gguf:`` with a pattern of paths; of ``hf:MODEL+ADAPTER`` either may
            be one.

    Raises:
        ModelError: nothing here matches.
    """
    loader, _, target = spec.partition(":")
    if loader not in _SUFFIXES_OF or not glob.has_magic(target) or is_there(_expanded(target)):
        return [spec]
    matches = [[path] for path in _matching(target, loader)]
    if not matches and loader == "hf" and "+" in target:
        parts = [_matching(part, loader) if glob.has_magic(part) else [part] for part in target.split("+")]
        matches = [list(names) for names in itertools.product(*parts)]
    if not matches:
        kinds = " or ".join(["folder", *(f"*{suffix}" for suffix in _SUFFIXES_OF[loader])])
        raise ModelError(f"{spec}: no {kinds} here matches {target}")
    return [f"{loader}:{'+'.join(names)}" for names in matches]


def _matching(pattern: str, loader: str) -> list[str]:
    paths = glob.glob(str(_expanded(pattern)))  # noqa: PTH207  of an absolute pattern, too
    models = [path for path in paths if Path(path).is_dir() or path.endswith(_SUFFIXES_OF[loader] or ("/",))]
    return sorted(models, key=_natural_order)


def _natural_order(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def short_names(paths: Sequence[Path | None]) -> list[str | None]:
    """What to call models that were given as paths: results should not tell of folders.

    The last part of the path; with the one before where training runs call it so (``run-a/step-1000``), and
    with as many as tell it from the others.

    Args:
        paths: absolute; None for a model that was not given as a path.
    """
    lengths = [2 if path and _OF_A_RUN.fullmatch(path.name) else 1 for path in paths]
    while True:
        names = [
            None if path is None else "/".join(path.parts[-n:])
            for path, n in zip(paths, lengths, strict=True)
        ]
        longer = [
            n + (path is not None and n < len(path.parts) and _is_taken(i, names, paths))
            for i, (path, n) in enumerate(zip(paths, lengths, strict=True))
        ]
        if longer == lengths:
            return names
        lengths = longer


def _is_taken(index: int, names: Sequence[str | None], paths: Sequence[Path | None]) -> bool:
    """Whether another path has a name."""
    return any(name == names[index] and paths[i] != paths[index] for i, name in enumerate(names))
