"""The files that a model is made of, and whether they are still what they were."""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from evalkit.files import FileStamp, file_sha256, file_stamp

_NUM_HEX_SHA256 = 64


class ModelFile(NamedTuple):
    """A file that loading a model reads."""

    name: str
    """Path inside the repository or folder."""
    digest: str
    """SHA-256 of the content; of a small file of a hub repository, git's blob id, which the hub states."""
    path: Path | None = None
    """Where the file is; None: not downloaded yet."""
    stamp: FileStamp | None = None
    """Taken before the digest."""


def local_file(path: Path, name: str | None = None) -> ModelFile:
    """A file on this machine, as it is now.

    Args:
        path: the file.
        name: what to call it; None: its own name.

    Raises:
        OSError: it cannot be read.
    """
    stamp = file_stamp(path)
    return ModelFile(name or path.name, file_sha256(path), path, stamp)


def stated_file(name: str, digest: str, folder: Path | None) -> ModelFile:
    """A file whose digest the hub states, which may be in the local cache by now.

    Args:
        name: path inside the repository.
        digest: as `evalkit.models.hub.HubSnapshot.files` has it.
        folder: the cache's folder of the commit; None: there is none.
    """
    path = folder / name if folder else None
    if path is None or not path.is_file():
        return ModelFile(name, digest)
    return ModelFile(name, digest, path, file_stamp(path))


def has_stated_content(file: ModelFile) -> bool:
    """Whether what is on disk has the digest; true of a file that is not there.

    Raises:
        OSError: it cannot be read.
    """
    if file.path is None:
        return True
    if len(file.digest) == _NUM_HEX_SHA256:
        return file_sha256(file.path) == file.digest
    return _git_blob_id(file.path) == file.digest


def combined_sha256(files: Iterable[ModelFile]) -> str:
    """One digest of several files' names and contents."""
    lines = "".join(f"{file.name} {file.digest}\n" for file in sorted(files, key=lambda file: file.name))
    return hashlib.sha256(lines.encode()).hexdigest()


def _git_blob_id(path: Path) -> str:
    content = path.read_bytes()
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def read_ahead(files: Iterable[ModelFile]) -> None:
    """Let the system read files into its cache while something else is computed; returns at once.

    What cannot be opened is passed over: whoever loads it says what is wrong.
    """
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for file in files:
        if file.path is None:
            continue
        with contextlib.suppress(OSError):
            handle = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)
