"""Which GGUF file a target means: a path, a file of a folder, of a repository, or of an installed package."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import ModelError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.model_files import ModelFile, local_file, stated_file

_PACKAGE = re.compile(r"[A-Za-z_][\w-]*")


class GgufFile(NamedTuple):
    """A file on this machine."""

    path: Path
    model_file: ModelFile
    """Its name inside the repository, and its digest."""
    revision: str | None
    """Commit of a hub repository; None: the file is local."""


def locate_file(entry: CatalogEntry) -> GgufFile:
    """The file that an entry means; one of the hub's is downloaded, for its header is in it.

    Raises:
        ModelError: there is none, there are several to choose from, or the hub cannot be reached.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(
            f"{entry.name}: the package gguf, which reads such files, is not installed; pip install gguf"
        )
    path = entry.local_path
    if path is None and _PACKAGE.fullmatch(entry.target):
        path = _file_of_package(entry.target, entry.name)
    if path is None:
        return _hub_file(entry)
    if entry.file:
        path = path / entry.file
    if path.is_dir():
        names = sorted(file.name for file in path.glob("*.gguf"))
        path = path / _chosen(names, entry.name, str(path))
    if not path.is_file():
        problem = "is a pipe or a device, not a file" if path.exists() else "is not there"
        raise ModelError(f"{entry.name}: {path} {problem}")
    return GgufFile(path, local_file(path), None)


def _file_of_package(package: str, name: str) -> Path:
    """The GGUF file in an installed package, which is not imported."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise ModelError(
            f"{name}: no file or folder here and no installed package is called {package}; give a file, or "
            "install the package that brings it"
        ) from None
    paths = sorted(Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    chosen = _chosen([path.name for path in paths], name, f"the package {package}")
    return next(path for path in paths if path.name == chosen)


def _chosen(names: list[str], name: str, place: str) -> str:
    if not names:
        raise ModelError(f"{name}: {place} has no *.gguf; give the file itself")
    if len(names) > 1:
        more = ", …" if len(names) > 9 else ""
        raise ModelError(
            f"{name}: {place} has several files; add one after a colon: {', '.join(names[:9])}{more}"
        )
    return names[0]


def _hub_file(entry: CatalogEntry) -> GgufFile:
    from evalkit.models import hub

    snapshot = hub.hub_files(entry.target, entry.revision)
    names = sorted(name for name in snapshot.files if name.endswith(".gguf"))
    if entry.file and entry.file not in names:
        raise ModelError(
            f"{entry.name}: {entry.target} has no file {entry.file}; it has {', '.join(names[:9])}"
        )
    chosen = entry.file or _chosen(names, entry.name, entry.target)
    folder = hub.download(entry.target, snapshot.commit, [chosen])
    return GgufFile(folder / chosen, stated_file(chosen, snapshot.files[chosen], folder), snapshot.commit)
