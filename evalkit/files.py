"""Files that are either whole or absent, folders with one writer, digests not computed twice."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TICK_NS = 2_000_000_000
"""The coarsest clock of a file system in use: FAT's."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; what is written there takes its place at once, or not at all.

    The data reach the disk before the name does, so that a crash at any moment leaves either the old
    state or the new one. Costs one fsync of the file and one of the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp's 0600 would hide results from the user's group
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The only one to change a folder; the lock goes with the process, whatever ends it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def strict_json(value: object) -> str:
    """JSON with sorted keys and without NaN or infinity.

    Raises:
        ValueError: the value holds a number that JSON does not have.
    """
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def slug(name: str) -> str:
    """A file name for ``name``: every run of other characters becomes one dash."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.") or "unnamed"


class FileStamp(NamedTuple):
    """What the file system says of a file's content without reading it; a write changes it."""

    num_bytes: int
    mtime_ns: int
    ctime_ns: int
    """Time of the last change of content or name, which no program can set."""
    inode: int


def file_stamp(path: Path) -> FileStamp:
    """The stamp of a file, or of the file that a link leads to.

    Raises:
        OSError: there is none.
    """
    status = path.stat()
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, remembered by path and stamp.

    A 6 GB checkpoint takes seconds to hash and every run needs its digest before anything is loaded. What was
    written within the last two seconds is hashed again each time: a second write within one tick of the file
    system's clock would leave the stamp as it is. Names say nothing of the content, not even those of the
    hub's cache, which are meant to be digests: a disk's error leaves them as they are.
    """
    real = path.resolve()
    stamp = file_stamp(real)
    memory = cache_dir() / "sha256" / hashlib.sha256(os.fsencode(real)).hexdigest()
    remembered = " ".join(map(str, stamp))
    with contextlib.suppress(OSError, ValueError):
        known_stamp, digest = memory.read_text().split("\n")
        if known_stamp == remembered:
            return digest
    is_settled = time.time_ns() - stamp.ctime_ns > _TICK_NS
    with real.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if is_settled and file_stamp(real) == stamp:
        with contextlib.suppress(OSError), atomic_write(memory) as temporary:  # else hashed again next time
            temporary.write_text(f"{remembered}\n{digest}")
    return digest


def cache_dir() -> Path:
    """Where evalkit keeps what it can compute again: ``$EVALKIT_CACHE`` or ``~/.cache/evalkit``."""
    return Path(os.environ.get("EVALKIT_CACHE") or Path.home() / ".cache" / "evalkit")
