"""What a reader may do with any file: give what is in it, or an error that names it. Nothing else."""

import contextlib
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from evalkit.errors import EvalkitError
from tests.faults.damage import Choices, Files

PATIENCE_S = 60
"""Nothing of the size of a test's files takes this long on any machine."""
MOST_MEMORY_KIB = 1 << 20
"""By how much a process may grow while it reads a file of a few kilobytes."""
_RUNS = ("os.system", "subprocess.", "os.exec", "os.posix_spawn", "os.spawn", "pty.", "socket.connect")
_CHANGES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Reader(NamedTuple):
    """Something of evalkit's that reads files of others."""

    name: str
    files: Callable[[], Files]
    """Good files."""
    damage: Callable[[dict[str, bytes], Choices], dict[str, bytes]]
    read: Callable[[Path], object]
    """Reads them from the folder in which they lie."""


class Hang(BaseException):
    """No end in sight; no error that a reader could take for its own."""


def finding(reader: Reader, data: bytes, folder: Path) -> str | None:
    """Let a reader read files that were damaged as ``data`` decides; what it did wrong, or None.

    Args:
        reader: who reads.
        data: see `tests.faults.damage`.
        folder: an empty folder, which is emptied again.
    """
    if reader.name not in _WARM:
        _write(reader.files(), folder)
        reader.read(folder)  # imports, and asks git and the compiler for their versions
        _empty(folder)
        _WARM.add(reader.name)
    files = reader.damage(dict(reader.files()), Choices(data))
    return finding_of(reader, files, folder)


def finding_of(reader: Reader, files: Files, folder: Path) -> str | None:
    """What a reader did wrong with these files, or None."""
    _write(files, folder)
    before = _listing(folder)
    size_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = None
    with watched() as acts:
        try:
            with _deadline():
                reader.read(folder)
        except EvalkitError as error:
            problem = _wrong_with(str(error), files)
        except Hang:
            problem = f"no end after {PATIENCE_S} s"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of Rust's is no Exception
            place = traceback.extract_tb(error.__traceback__)
            ours = [
                frame for frame in place if "evalkit" in frame.filename and "/tests/" not in frame.filename
            ]
            frame = (ours or place)[-1]
            problem = (
                f"{type(error).__name__}: {str(error)[:200]} ({Path(frame.filename).name}:{frame.lineno})"
            )
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size_kib
    if problem is None and acts:
        problem = f"does what no reader may: {acts[0]}"
    if problem is None and grown_kib > MOST_MEMORY_KIB:
        problem = f"takes {grown_kib >> 10} MiB"
    if problem is None and _listing(folder) != before:
        problem = "changes the files that it reads"
    _empty(folder)
    return problem


def _write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _wrong_with(message: str, files: Files) -> str | None:
    names = {part for name in files for part in Path(name).parts}
    if not any(name in message for name in names):
        return f"names no file: {message[:300]!r}"
    if len(message.splitlines()) != 1:
        return f"is not one line of text: {message[:300]!r}"
    return None


def _listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file())


_WARM: set[str] = set()
"""Readers that have read good files."""
_ACTS: list[str] = []
_IS_WATCHED = False
_HOOKS: list[object] = []


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """What is done meanwhile that no reader may do: programs, connections, writing where it is not to."""
    global _IS_WATCHED
    if not _HOOKS:  # it cannot be taken away again
        sys.addaudithook(_hook)
        _HOOKS.append(_hook)
    _ACTS.clear()
    _IS_WATCHED = True
    try:
        yield _ACTS
    finally:
        _IS_WATCHED = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _IS_WATCHED:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
    if event == "subprocess.Popen" and "from evalkit.isolation import serve; " in str(arguments[1]):
        return  # the child in which what cannot be bounded is tried
    if event.startswith(_RUNS):
        _ACTS.append(f"{event} {arguments[:2]!r}"[:300])
    elif writes or event.startswith(_CHANGES):
        path = _place(event, arguments)
        allowed = (tempfile.gettempdir(), "/dev/", "/proc/", _cache())
        is_ours = path.startswith(allowed) and not path.startswith(f"{Path.cwd()}/")
        if path and "__pycache__" not in path and not is_ours:
            _ACTS.append(f"{event} {path}")


def _place(event: str, arguments: tuple[Any, ...]) -> str:
    """The absolute path that is written or changed; empty for an open file."""
    if not isinstance(arguments[0], str | bytes | os.PathLike):
        return ""
    path = os.fsdecode(arguments[0])
    has_folder = event in ("os.remove", "os.rmdir") and arguments[-1] >= 0
    folder = Path(f"/proc/self/fd/{arguments[-1]}").readlink() if has_folder else Path.cwd()
    return str(folder / path)


def _cache() -> str:
    from evalkit.files import cache_dir

    return str(cache_dir())


@contextlib.contextmanager
def _deadline() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
