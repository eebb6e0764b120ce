"""What was checked before, by digest: thousands of finished cells and stored texts are planned in seconds.

A cell's JSON bears a digest of itself and of its rows, a corpus's manifest of itself and its documents; they
are computed anew whenever these are read. What else is found of them depends on nothing else, and need not be
found twice.
"""

import contextlib
import functools
import os
from pathlib import Path

from evalkit.files import cache_dir

CHECKED_CELLS = "checked-cells-1"
"""Memory of the cells that have passed `evalkit.cells.checking`. The number is raised by any change of what
is checked: what was checked by other rules is checked again."""
CHECKED_CORPORA = "checked-corpora-1"
"""The same of stored corpora and `evalkit.corpora.folder`."""
KNOWN_CELLS = "known-cells-1"
"""The same of finished cells beside what is said of their corpora, and `evalkit.cells.known`."""
_MAX_BYTES = 16 << 20


def was_checked(memory: str, sha256: str) -> bool:
    """Whether what has this digest has passed the checks.

    Args:
        memory: `CHECKED_CELLS`, `CHECKED_CORPORA` or `KNOWN_CELLS`.
        sha256: the digest.
    """
    return sha256 in _digests(_folder(os.environ.get("EVALKIT_CACHE")), memory)


def remember_checked(memory: str, sha256: str) -> None:
    """Remember that what has this digest has passed the checks; arguments are those of `was_checked`."""
    folder = _folder(os.environ.get("EVALKIT_CACHE"))
    if sha256 in _digests(folder, memory):
        return
    _digests(folder, memory).add(sha256)
    with contextlib.suppress(OSError):  # else it is checked again next time
        folder.mkdir(parents=True, exist_ok=True)
        # A line at once, behind those that other processes write.
        handle = os.open(folder / memory, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, f"{sha256}\n".encode())
        finally:
            os.close(handle)


@functools.cache
def _folder(_configured: str | None) -> Path:
    """`cache_dir`, asked once and not for each of thousands of cells."""
    return cache_dir()


@functools.cache
def _digests(folder: Path, memory: str) -> set[str]:
    path = folder / memory
    try:
        if path.stat().st_size > _MAX_BYTES:
            path.unlink()
        return set(path.read_text(encoding="ascii", errors="replace").splitlines())
    except OSError:  # there is none yet
        return set()
