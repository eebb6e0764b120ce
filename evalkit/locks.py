"""Locks that go with their process, whatever ends it, and so never block what comes after a crash."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

HAS_HANDLE_LOCKS = fcntl is not None
"""Whether open files and folders can be locked without a file beside them."""

LOCK_NAME = ".evalkit.lock"
"""Of a lock's file, where folders cannot be locked."""


def lock_handle(handle: int, *, wait: bool = True) -> None:
    """Lock what a handle stands for, until the handle is closed.

    Args:
        handle: of an open file or folder.
        wait: for whoever has locked it.

    Raises:
        BlockingIOError: somebody has locked it, and ``wait`` is False.
        OSError: the file system has no locks, or the system none of this kind.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextlib.contextmanager
def path_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Lock a file or a folder that is there.

    Where a folder itself cannot be locked (Windows), a file in it or beside the file is, and stays there.

    Args:
        path: of the file or folder.
        wait: for whoever has locked it.

    Raises:
        BlockingIOError: somebody has locked it, and ``wait`` is False.
        FileNotFoundError: it is not there, or whoever had locked it has removed it.
        OSError: the file system has no locks.
    """
    if HAS_HANDLE_LOCKS:
        handle = os.open(path, os.O_RDONLY)
        try:
            lock_handle(handle, wait=wait)
            if not os.path.samestat(os.fstat(handle), path.stat()):  # another was put in its place meanwhile
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            yield
        finally:
            os.close(handle)
        return
    from filelock import FileLock, Timeout

    lock = FileLock(path / LOCK_NAME if path.is_dir() else f"{path}{LOCK_NAME}")
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path)) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Make a folder unless it is there, and lock it; who has it may remove it.

    Args:
        folder: whatever it holds.

    Raises:
        OSError: it cannot be made, or the file system has no locks.
    """
    with contextlib.ExitStack() as lock:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # removed by who had it before us
                lock.enter_context(path_lock(folder))
                break
        yield
