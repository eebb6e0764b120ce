"""Files that are either whole or absent, folders with one writer, digests not computed twice."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_cache_path

from evalkit.locks import HAS_HANDLE_LOCKS, folder_lock, lock_handle

TEMPORARY_SUFFIX = ".evalkit.tmp"
"""How the names of unfinished files and folders end: no result, and nothing to be committed."""

_MAX_LINKS = 40  # as Linux has it
_MAX_DIGITS = 18
_NAME_START = 40  # characters of a file's name in that of its temporary file
_MAX_SLUG = 200
"""Bytes. Names may have 255, and some of ours are longer by an ending or by what marks a temporary file."""
_TICK_NS = 2_000_000_000
"""The coarsest clock of a file system in use: FAT's."""


@contextlib.contextmanager
def atomic_write(path: Path, *, survives_crash: bool = True) -> Iterator[Path]:
    """A temporary path; what is written there takes the place of ``path`` at once, or not at all.

    The data reach the disk before the name does, so that a crash at any moment leaves either the old
    state or the new one. Costs one fsync of the file and one of the folder, which are left out where
    ``survives_crash`` is False: for what is worth nothing after the system has crashed, and whose readers
    take broken content for none. Where ``path`` is a link, the
    file that it leads to is replaced and the link stays. Only files are replaced: what is written for a
    pipe, a terminal or another device is copied into it when it is whole.

    The temporary file lies beside ``path`` and is locked while it is in use; `sweep` removes those of
    writers that were killed, and so does the first writing of a process in that folder.

    Raises:
        OSError: ``path`` is a folder or a disk, or cannot be written.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
            temporary = Path(folder, "content")
            temporary.touch()
            yield temporary
            _copy_into(temporary, path)
        return
    target = Path(os.path.realpath(path))
    number = _refusal(target)
    if number is not None:
        raise OSError(number, os.strerror(number), str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep_first_time(target.parent)
    # mkstemp's 0600 would hide results from the user's group.
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    with _locked_temporary(target) as temporary, naming(target):
        yield temporary
        if survives_crash:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    if survives_crash:
        _sync_names(target.parent)


def _sync_names(folder: Path) -> None:
    """Let the names in a folder reach the disk, where the system opens folders."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error say which file it is about: what fails in writing to an open file names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def _refusal(target: Path) -> int | None:
    """Why nothing is written to what a path leads to, as an error's number; None where something is."""
    if target.is_symlink():  # links in a circle lead nowhere
        return errno.ELOOP
    if target.is_dir():
        return errno.EISDIR
    return errno.EINVAL if target.is_block_device() else None


def fits_memory(num_bytes: int) -> bool:
    """Whether this machine's memory is as large; True where the system, as Windows, has no way to ask."""
    if not hasattr(os, "sysconf"):
        return True
    return num_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def is_stream(path: Path) -> bool:
    """Whether what is written to a path goes somewhere: to a pipe, a terminal, another device, stdout."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing is there, or nothing can be said of it: writing will tell
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _descriptor(path: Path) -> int | None:
    """The open file of this process that ``/dev/stdout``, ``/dev/fd/3`` or a link to them names."""
    folders = {"/dev/fd", f"/proc/{os.getpid()}/fd"}
    for _ in range(_MAX_LINKS):
        if path.name.isdecimal() and os.path.realpath(path.parent) in folders:
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _copy_into(content: Path, stream: Path) -> None:
    number = _descriptor(stream)
    # A duplicate goes on where the descriptor stands: opened anew, a file that the shell appends to would
    # lose what it holds.
    handle = os.open(stream, os.O_WRONLY | getattr(os, "O_NOCTTY", 0)) if number is None else os.dup(number)
    with content.open("rb") as source, os.fdopen(handle, "wb") as sink:
        shutil.copyfileobj(source, sink)


@contextlib.contextmanager
def _locked_temporary(target: Path) -> Iterator[Path]:
    while True:
        # Not the whole name: one that just fits would be too long with something behind it.
        prefix = f".{target.name[:_NAME_START]}."
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=TEMPORARY_SUFFIX)
        temporary = Path(name)
        if not HAS_HANDLE_LOCKS:  # nothing is swept there, and an open file cannot be renamed
            os.close(handle)
            try:
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)
            return
        try:
            _lock(handle)
            if temporary.exists():
                yield temporary
                return
            # Somebody swept it before it was locked.
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def create(target: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all; readable for everybody.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """
    with _locked_temporary(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o644)
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # file systems without hard links: who is killed in between leaves an empty file
            with target.open("x", encoding="utf-8") as file:
                file.write(text)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, removed at the end; `sweep` removes those of processes that were killed.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=".part.", suffix=TEMPORARY_SUFFIX))
        if not HAS_HANDLE_LOCKS:
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # swept before it was locked
            continue
        try:
            _lock(handle)
            if folder.exists():
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _lock(handle: int) -> None:
    with contextlib.suppress(OSError):  # some file systems have no locks, and there nothing is swept
        lock_handle(handle)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder: temporary files and folders that nobody has locked."""
    if not HAS_HANDLE_LOCKS:  # whose they are cannot be told
        return
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(TEMPORARY_SUFFIX)]
    for name in names:
        path = folder / name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # its writer has finished meanwhile, or it is none of ours
            continue
        try:
            lock_handle(handle, wait=False)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        except OSError:  # locked: in use; or not ours to remove, and then it only takes space
            continue
        finally:
            os.close(handle)


_sweep_first_time = functools.cache(sweep)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The only one to change a folder, which is made; the lock goes with the process, whatever ends it.

    What killed writers left there is removed.
    """
    with folder_lock(folder):
        sweep(folder)
        yield


def strict_json(value: object) -> str:
    """JSON with sorted keys and without NaN or infinity.

    Raises:
        ValueError: the value holds a number that JSON does not have.
    """
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def plain_file_text(path: Path) -> str:
    """The text of a file that somebody else may have put there.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which might never end.
        UnicodeDecodeError: it is not UTF-8.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a plain file", str(path))
    return path.read_text(encoding="utf-8")


def parse_json(text: str | bytes) -> Any:
    """A value out of JSON that somebody else may have written.

    Raises:
        ValueError: it is no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML file that somebody else may have written.

    Raises:
        ValueError: it is no TOML, or nested too deeply to be read.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def whole_number(text: str) -> int | None:
    """The number that digits write; None of any other text, and of more digits than 64 bits hold.

    >>> whole_number("40"), whole_number("-1"), whole_number("9" * 5000)
    (40, None, None)
    """
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else None


@functools.cache
def slug(name: str) -> str:
    """A file name for ``name``: every run of other characters becomes one dash.

    Of a longer name than file systems have, the beginning stays, and a digest of the whole.
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.") or "unnamed"
    if len(plain) <= _MAX_SLUG:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{plain[: _MAX_SLUG - len(digest) - 1]}-{digest}"


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


def is_settled(stamp: FileStamp) -> bool:
    """Whether a file is so old that another write to it would leave another stamp."""
    return time.time_ns() - stamp.ctime_ns > _TICK_NS


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
    was_settled = is_settled(stamp)
    with real.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if was_settled and file_stamp(real) == stamp:
        # Else it is hashed again next time.
        with contextlib.suppress(OSError), atomic_write(memory, survives_crash=False) as temporary:
            temporary.write_text(f"{remembered}\n{digest}")
    return digest


def cache_dir() -> Path:
    """Where evalkit keeps what it can compute again: ``$EVALKIT_CACHE``, else the system's place for it.

    That is ``$XDG_CACHE_HOME/evalkit``, or ``~/.cache/evalkit``, on Linux, ``~/Library/Caches/evalkit`` on
    macOS. A user without a home folder has one among the temporary files, for as long as the process lasts.
    """
    if configured := os.environ.get("EVALKIT_CACHE"):
        return Path(configured)
    try:
        folder = user_cache_path("evalkit", appauthor=False)
    except RuntimeError:  # there is no home; older releases of platformdirs leave the ~ where it is
        folder = Path("~")
    return folder if folder.is_absolute() else Path(_passing_cache().name)


@functools.cache
def _passing_cache() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="evalkit-")
