"""Which cells' rows were checked before, by digest: thousands of finished cells are planned in seconds.

A cell's JSON bears a digest of itself and of its rows, both of which are computed anew whenever it is read.
What `evalkit.cells.checking` finds depends on nothing else, and need not be found twice.
"""

import contextlib
import functools
import os
from pathlib import Path

from evalkit.files import cache_dir

CHECKS_VERSION = 1
"""Raised by any change of what is checked: what was checked by other rules is checked again."""
_MAX_BYTES = 16 << 20


def was_checked(sha256: str) -> bool:
    """Whether the cell with this digest has passed the checks."""
    return sha256 in _digests(_memory())


def remember_checked(sha256: str) -> None:
    """Remember that the cell with this digest has passed the checks."""
    path = _memory()
    if sha256 in _digests(path):
        return
    _digests(path).add(sha256)
    with contextlib.suppress(OSError):  # else it is checked again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line at once, behind those that other processes write.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, f"{sha256}\n".encode())
        finally:
            os.close(handle)


def _memory() -> Path:
    return cache_dir() / f"checked-cells-{CHECKS_VERSION}"


@functools.cache
def _digests(path: Path) -> set[str]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            path.unlink()
        return set(path.read_text(encoding="ascii", errors="replace").splitlines())
    except OSError:  # there is none yet
        return set()
