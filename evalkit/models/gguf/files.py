"""Which GGUF file a target means: a path, a file of a folder, of a repository, or of an installed package."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from evalkit.errors import ModelError
from evalkit.extras import pip_install
from evalkit.models.catalog import CatalogEntry
from evalkit.models.gguf.header import Header
from evalkit.models.gguf.parts import check_all_there, first_parts, names_of_parts, read_parts
from evalkit.models.model_files import ModelFile, combined_sha256, local_file, stated_file

_PACKAGE = re.compile(r"[A-Za-z_][\w-]*")


class GgufFile(NamedTuple):
    """A model's file on this machine, or its parts."""

    paths: tuple[Path, ...]
    """In the order of the parts."""
    model_files: tuple[ModelFile, ...]
    """Their names inside the repository, and their digests."""
    revision: str | None
    """Commit of a hub repository; None: the file is local."""

    @property
    def path(self) -> Path:
        """The file, or its first part."""
        return self.paths[0]

    @property
    def digest(self) -> str:
        """The file's SHA-256; of several parts one digest of their names and contents."""
        return self.model_files[0].digest if len(self.paths) == 1 else combined_sha256(self.model_files)

    def header(self) -> Header:
        """The header of the whole.

        Raises:
            ModelError: see `evalkit.models.gguf.parts.read_parts`.
        """
        return read_parts(self.paths)


def locate_file(entry: CatalogEntry) -> GgufFile:
    """The file that an entry means, with all of its parts; those of the hub are downloaded for their headers.

    Raises:
        ModelError: there is none, there are several to choose from, or the hub cannot be reached.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(
            f"{entry.name}: the package gguf, which reads such files, is not installed: {pip_install('gguf')}"
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
    parts = names_of_parts(path.name)
    names = [part for part in parts if (path.parent / part).is_file()]
    check_all_there(parts, names, str(path.parent), entry.name)
    paths = tuple(path.parent / part for part in parts)
    return GgufFile(paths, tuple(local_file(part) for part in paths), None)


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
    """The only file, or the first part of the only model that is in parts."""
    if not names:
        raise ModelError(f"{name}: {place} has no *.gguf; give the file itself")
    models = first_parts(names)
    if len(models) > 1:
        more = ", …" if len(models) > 9 else ""
        raise ModelError(
            f"{name}: {place} has several files; add one after a colon: {', '.join(models[:9])}{more}"
        )
    check_all_there(models, names, place, name)
    return models[0]


def _hub_file(entry: CatalogEntry) -> GgufFile:
    from evalkit.models import hub

    snapshot = hub.hub_files(entry.target, entry.revision)
    names = sorted(name for name in snapshot.files if name.endswith(".gguf"))
    if entry.file and entry.file not in names:
        raise ModelError(
            f"{entry.name}: {entry.target} has no file {entry.file}; it has {', '.join(names[:9])}"
        )
    chosen = entry.file or _chosen(names, entry.name, entry.target)
    parts = names_of_parts(chosen)
    check_all_there(parts, names, entry.target, entry.name)
    folder = hub.download(entry.target, snapshot.commit, parts)
    files = tuple(stated_file(part, snapshot.files[part], folder) for part in parts)
    return GgufFile(tuple(folder / part for part in parts), files, snapshot.commit)
