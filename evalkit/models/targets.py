"""What the target of a model's spec means: a path on this machine, a hub repository, several by a pattern."""

import errno
import fnmatch
import glob
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import ModelError
from evalkit.models.checkpoints import checkpoint_facts, revision_order, training_order
from evalkit.near_paths import near_paths

GGUF_LOADERS = ("gguf", "llamacpp")
_WEIGHT_SUFFIXES = (".pth", ".safetensors", ".gguf")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_REVISIONS = re.compile(rf"({_REPO.pattern})@([^+]+)")
_REPO_FILE = re.compile(rf"({_REPO.pattern})/(.+\.pth)")
_REPO_REVISION = re.compile(rf"{_REPO.pattern}(?:@.+)?")
_PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_OF_A_RUN = re.compile(
    r"(?:[a-z_-]*(?:step|checkpoint|ckpt|epoch|iter|iteration)s?[_-]?\d+|\d+|latest|last|best|final"
    r"|rwkv-(?:\d+|init|final))"
    r"(?:\.(?:pth|safetensors|gguf))?",
    re.IGNORECASE,
)
"""Names that training runs give to what they save: every run has its own of them."""
_REVISION_LOADERS = ("hf", "rwkv7", "hub")
_CHECKPOINT_FILES = {"hf": "config.json", "rwkv7": "*.safetensors"}
"""What the folder of a checkpoint has in it, by loader."""
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
    # A folder here of the repository's name is meant rather than the hub, as it is without a file's name.
    if repo_file and not (path and is_there(path)) and not is_there(folder / repo_file[1]):
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
    """The models that a spec means: those of a pattern, or the checkpoints of a folder; in order of training.

    A target may have ``*``, ``?`` or ``[…]`` in it, as in a shell; of a repository in its revision
    (``owner/name@step*``), for branches and tags. A folder that is no model and holds checkpoints of a run
    stands for these. ``step-900`` comes before ``step-1000``. Any other spec stands for itself.

    Args:
        spec: ``hf:``, ``rwkv7:``, ``gguf:`` or ``hub:``; of ``hf:MODEL+ADAPTER`` either may be a pattern.

    Raises:
        ModelError: nothing here or at the hub matches, or the hub cannot be reached.
    """
    loader, _, target = spec.partition(":")
    if pattern := _revisions_of(loader, target):
        return [f"{loader}:{pattern[1]}@{revision}" for revision in _matching_revisions(spec, pattern)]
    if loader not in _SUFFIXES_OF:
        return [spec]
    if not glob.has_magic(target) or is_there(_expanded(target)):
        return [f"{loader}:{path}" for path in _checkpoints_in(target, loader)] or [spec]
    matches = [[path] for path in _matching(target, loader)]
    if not matches and loader == "hf" and "+" in target:
        parts = [_matching(part, loader) if glob.has_magic(part) else [part] for part in target.split("+")]
        matches = [list(names) for names in itertools.product(*parts)]
    if not matches:
        kinds = " or ".join(["folder", *(f"*{suffix}" for suffix in _SUFFIXES_OF[loader])])
        raise ModelError(f"{spec}: no {kinds} here matches {target}")
    return [f"{loader}:{'+'.join(names)}" for names in matches]


def means_several(spec: str) -> bool:
    """Whether a spec stands for whatever matches it, or lies in a folder, and so for more as time goes on."""
    loader, _, target = spec.partition(":")
    if _revisions_of(loader, target) is not None:
        return True
    return loader in _SUFFIXES_OF and (glob.has_magic(target) or _is_folder_of_checkpoints(target, loader))


class Revision(NamedTuple):
    """A branch, tag or commit of a repository on the hub."""

    repo: str
    name: str


def revision_of(spec: str) -> Revision | None:
    """The revision on the hub that a spec names; None: it names something else."""
    loader, _, target = spec.partition(":")
    if loader not in _REVISION_LOADERS or is_there(_expanded(target)):
        return None
    match = _REVISIONS.fullmatch(target)
    return Revision(match[1], match[2]) if match else None


def local_places(spec: str) -> list[Path]:
    """The files and folders here that a spec without patterns names: a model's, then its adapter's."""
    loader, _, target = spec.partition(":")
    parts = split_adapter(target, Path.cwd()) if loader == "hf" else (target, None)
    places = [_expanded(part) for part in parts if part] if loader in _SUFFIXES_OF else []
    return [place for place in places if is_there(place)]


def _is_folder_of_checkpoints(target: str, loader: str) -> bool:
    """Whether a target is a folder that is no model: one in which a run will save its checkpoints."""
    folder = _expanded(target)
    is_folder = loader in _CHECKPOINT_FILES and is_there(folder) and folder.is_dir()
    return is_folder and not _is_model(folder, loader)


def _is_model(folder: Path, loader: str) -> bool:
    """Whether a folder is a model itself, and does not only hold some."""
    if loader == "hf":
        return (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()
    weights = [path for path in folder.glob("*") if path.suffix in _SUFFIXES_OF[loader]]
    return len(weights) == 1 or any(path.suffix == ".safetensors" for path in weights)


def _checkpoints_in(target: str, loader: str) -> list[str]:
    """The checkpoints in a folder that is no model itself; none where no step is known."""
    if not _is_folder_of_checkpoints(target, loader):
        return []
    paths = [
        path
        for path in _expanded(target).iterdir()
        if (path.is_dir() and any(path.glob(_CHECKPOINT_FILES[loader])))
        or (loader == "rwkv7" and path.suffix == ".pth")
    ]
    if not any(checkpoint_facts(path, "", None) for path in paths):
        return []
    return sorted(map(str, paths), key=training_order)


def _matching(pattern: str, loader: str) -> list[str]:
    paths = glob.glob(str(_expanded(pattern)))  # noqa: PTH207  of an absolute pattern, too
    models = [path for path in paths if Path(path).is_dir() or path.endswith(_SUFFIXES_OF[loader] or ("/",))]
    return sorted(models, key=training_order)


def _revisions_of(loader: str, target: str) -> re.Match[str] | None:
    """The repository and the pattern of a spec of revisions; None for any other."""
    if loader not in _REVISION_LOADERS or not glob.has_magic(target) or is_there(_expanded(target)):
        return None
    return _REVISIONS.fullmatch(target)


def _matching_revisions(spec: str, pattern: re.Match[str]) -> list[str]:
    from evalkit.models.hub import revisions

    commits = revisions(pattern[1])
    names = [name for name in commits if fnmatch.fnmatchcase(name, pattern[2])]
    if not names:
        several = ", ".join(sorted(commits, key=revision_order)[:8]) or "none"
        raise ModelError(f"{spec}: no branch or tag of {pattern[1]} matches {pattern[2]}; it has {several}")
    return sorted(names, key=revision_order)


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
