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
_MAX_BYTES = 16 << 20


def was_checked(memory: str, sha256: str) -> bool:
    """Whether what has this digest has passed the checks.

    Args:
        memory: `CHECKED_CELLS` or `CHECKED_CORPORA`.
        sha256: the digest.
    """
    return sha256 in _digests(cache_dir(), memory)


def remember_checked(memory: str, sha256: str) -> None:
    """Remember that what has this digest has passed the checks; arguments are those of `was_checked`."""
    folder = cache_dir()
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
def _digests(folder: Path, memory: str) -> set[str]:
    path = folder / memory
    try:
        if path.stat().st_size > _MAX_BYTES:
            path.unlink()
        return set(path.read_text(encoding="ascii", errors="replace").splitlines())
    except OSError:  # there is none yet
        return set()
