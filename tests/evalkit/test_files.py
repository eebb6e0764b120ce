"""Files that are whole or absent: what may be replaced, where a write goes, what killed writers leave."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import locks
from evalkit.errors import UsageError
from evalkit.exports.writing import writing
from evalkit.files import (
    TEMPORARY_SUFFIX,
    atomic_write,
    fits_memory,
    is_stream,
    locked,
    sweep,
    temporary_folder,
)
from evalkit.locks import lock_handle, path_lock

PATIENCE_S = 60


def write(path: Path, content: bytes = b"new") -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """As root a rename would put a file in the place of ``/dev/full``."""
    device = Path("/dev/full")
    before = device.stat()
    with pytest.raises(OSError, match="No space left on device") as raised:
        write(device)
    assert raised.value.errno == errno.ENOSPC
    link = tmp_path / "to the device"
    link.symlink_to(device)
    message = f"cannot write {link}: No space left on device; give another --output"
    with pytest.raises(UsageError, match=message), writing(link) as temporary:
        temporary.write_bytes(b"new")
    after = device.stat()
    assert stat.S_ISCHR(after.st_mode) and (after.st_rdev, after.st_ino) == (before.st_rdev, before.st_ino)
    write(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert names(tmp_path) == ["to the device"]


def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = os.urandom(300_000)  # more than a pipe holds
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write(pipe, content)
    reader.join(PATIENCE_S)
    assert received == [content]
    assert pipe.is_fifo() and names(tmp_path) == ["pipe"]


def test_nothing_goes_to_a_pipe_where_writing_fails(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ZeroDivisionError), atomic_write(pipe) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError  # nobody reads: had the pipe been opened, this would wait for ever
    assert pipe.is_fifo()


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_standard_output_goes_on_where_it_stands(tmp_path: Path, mode: str) -> None:
    """``>`` and ``>>`` of a shell: what was there stays, and what is printed later comes behind."""
    program = (
        "import pathlib, sys; from evalkit.files import atomic_write, is_stream\n"
        "path = pathlib.Path(sys.argv[1]); assert is_stream(path); print('first', flush=True)\n"
        "with atomic_write(path) as temporary: temporary.write_text('second\\n')\n"
        "print('third', flush=True)\n"
    )
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    for number, path in enumerate(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(link)]):
        target = tmp_path / f"{number}.txt"
        target.write_text("zeroth\n")
        with target.open(mode) as file:
            subprocess.run([sys.executable, "-c", program, path], stdout=file, check=True)
        assert target.read_text() == ("zeroth\n" if mode == "ab" else "") + "first\nsecond\nthird\n"


def test_a_link_leads_to_what_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "file").write_bytes(b"old")
    for number, target in enumerate(["elsewhere/file", str(folder / "file"), "elsewhere/not there yet"]):
        link = tmp_path / f"link {number}"
        link.symlink_to(target)
        write(link, b"new %d" % number)
        assert link.readlink() == Path(target) and not (tmp_path / target).is_symlink()
        assert (tmp_path / target).read_bytes() == b"new %d" % number
    chain = tmp_path / "chain"
    chain.symlink_to("link 0")
    write(chain, b"through two")
    assert (folder / "file").read_bytes() == b"through two" and chain.is_symlink()
    assert names(folder) == ["file", "not there yet"]


def test_what_cannot_be_replaced_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        write(tmp_path / "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "folder")
    assert names(tmp_path) == ["a", "b", "folder"] and not names(tmp_path / "folder")


def test_names_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127, "文" * 85):
        write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"new"
    with pytest.raises(OSError, match="File name too long"):
        write(tmp_path / ("x" * 256))
    assert len(names(tmp_path)) == 3


def test_who_may_read_a_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o600)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- what killed writers leave


def _die(path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def _die_in_a_folder(parent: Path) -> None:
    with temporary_folder(parent) as folder:
        (folder / "page.html").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def killed(target: object, path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=target, args=(path,))  # type: ignore[arg-type]
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL


def test_leftovers_of_killed_writers_are_swept_and_those_of_others_stay(tmp_path: Path) -> None:
    foreign = [".swp.tmp", "note.tmp", ".file.json.ab12cd34.tmp", "site"]
    for name in foreign:
        (tmp_path / name).write_text("of another program")
    killed(_die, tmp_path / "file.json")
    killed(_die_in_a_folder, tmp_path)
    assert len(names(tmp_path)) == len(foreign) + 2
    with atomic_write(tmp_path / "file.json") as running, temporary_folder(tmp_path) as folder:
        (folder / "page.html").touch()
        sweep(tmp_path)
        with locked(tmp_path):
            pass
        assert sorted(names(tmp_path)) == sorted([*foreign, running.name, folder.name])
        assert all(name.endswith(TEMPORARY_SUFFIX) for name in (running.name, folder.name))
        running.write_bytes(b"whole")
    assert names(tmp_path) == sorted([*foreign, "file.json"])
    assert (tmp_path / "file.json").read_bytes() == b"whole"


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_folder_that_was_removed_by_who_had_it_is_made_and_locked(
    is_replaced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if its holder had removed it while we waited: our lock is on the folder that is there."""
    folder, handles = tmp_path / "checkpoint", []

    def lock_late(handle: int, *, wait: bool = True) -> None:
        handles.append(handle)
        if len(handles) == 1:
            folder.rmdir()
            if is_replaced:
                (tmp_path / "other").mkdir()
                (tmp_path / "other").rename(folder)
        lock_handle(handle, wait=wait)

    monkeypatch.setattr(locks, "lock_handle", lock_late)
    with locked(folder):
        assert len(handles) == 2
        (folder / "half").touch()
        with pytest.raises(BlockingIOError), path_lock(folder, wait=False):
            pass
    with path_lock(folder, wait=False):
        pass


def test_the_next_process_that_writes_in_a_folder_sweeps_it(tmp_path: Path) -> None:
    for _ in range(3):
        killed(_die, tmp_path / "file.json")
    assert len(names(tmp_path)) == 1  # each swept the one before it
    process = multiprocessing.get_context("fork").Process(target=write, args=(tmp_path / "plot.svg",))
    process.start()
    process.join(PATIENCE_S)
    assert names(tmp_path) == ["plot.svg"]


def test_a_link_among_the_leftovers_leads_nowhere(tmp_path: Path) -> None:
    """Whoever else may write in the folder cannot have anything outside of it removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("stays")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, target in (("a", outside), ("b", outside / "file"), ("c", Path("/dev/full"))):
        (folder / f".{name}{TEMPORARY_SUFFIX}").symlink_to(target)
    os.mkfifo(folder / f".pipe{TEMPORARY_SUFFIX}")  # opened without waiting for a writer
    sweep(folder)
    assert (outside / "file").read_text() == "stays"


def test_a_writer_whose_file_was_swept_before_it_was_locked_takes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, num_locks = fcntl.flock, 0

    def slow_flock(handle: int, operation: int) -> None:
        nonlocal num_locks
        num_locks += 1
        if num_locks == 1:  # between making the file and locking it, another process sweeps
            monkeypatch.setattr(fcntl, "flock", flock)
            sweep(tmp_path)
            assert not names(tmp_path)
            monkeypatch.setattr(fcntl, "flock", slow_flock)
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", slow_flock)
    write(tmp_path / "file")
    assert num_locks == 2 and names(tmp_path) == ["file"]


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["write", "die", "sweep", "link", "fail"]), max_size=8))
def test_after_any_sequence_a_file_is_whole_and_nothing_else_is_there(steps: list[str]) -> None:
    with temporary_folder(Path.cwd()) as parent, umask(0o077):
        folder = parent / "results"
        folder.mkdir()
        path, content = folder / "file", None
        for number, step in enumerate(steps):
            if step == "die":
                (folder / f".file.{number:08}{TEMPORARY_SUFFIX}").write_bytes(b"half")
            elif step == "fail":
                with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
                    temporary.write_bytes(b"half")
                    raise ZeroDivisionError
            elif step == "sweep":
                sweep(folder)
            elif step == "link" and not path.is_symlink():
                if content is not None:
                    path.rename(parent / "target")
                path.symlink_to(parent / "target")
            elif step == "write":
                content = b"%d" % number
                write(path, content)
            assert (path.read_bytes() if path.exists() else None) == content
        with locked(folder):
            assert set(names(folder)) <= {"file"}


def test_what_is_a_stream(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nothing")
    assert is_stream(tmp_path / "pipe") and is_stream(Path("/dev/null")) and is_stream(Path("/dev/stdin"))
    assert not any(is_stream(tmp_path / name) for name in ("file", "dangling", "nothing", "."))


def test_what_fits_memory_where_the_system_says_how_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits_memory(1) and not fits_memory(1 << 60)
    monkeypatch.delattr(os, "sysconf")
    assert fits_memory(1 << 60)
