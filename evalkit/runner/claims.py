"""Which run works on a cell: a file beside it, so that two runs on one folder do not do a cell twice.

``.<key>.evalkit.claim`` comes into being whole and once, by a hard link, which network file systems keep
their word on; it says who works, and is touched while the work goes on. It is stale when its process is gone,
where that can be known, or when it was not touched for minutes by the clock of the file system. Nothing
depends on it but time: a cell that two runs do nevertheless is written once (`evalkit.cells.files.write`).
"""

import contextlib
import functools
import json
import os
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from evalkit.files import TEMPORARY_SUFFIX, create

CLAIM_SUFFIX = ".evalkit.claim"
"""How the names of these files end."""
HEARTBEAT_S = 30.0
"""How often a claim is touched."""
STALE_S = 300.0
"""A claim that was not touched for so long is nobody's."""
_CAN_ASK_OF_PROCESSES = sys.platform != "win32"
"""There the signal 0, by which others ask for a process, is Ctrl-C for all of its console."""


def claim_path(cell: Path) -> Path:
    """The claim of a cell.

    Args:
        cell: its JSON file, which need not be there.
    """
    return cell.with_name(f".{cell.stem}{CLAIM_SUFFIX}")


def is_claimed(cell: Path) -> bool:
    """Whether another run is at work on a cell.

    Args:
        cell: its JSON file.

    Raises:
        OSError: its folder cannot be read.
    """
    path = claim_path(cell)
    text = _text(path)
    return text is not None and not _is_stale(path, text)


def remove_stale_claim(cell: Path) -> None:
    """Remove the claim of a run that was killed after it had written a cell, and before it let go of it.

    Raises:
        OSError: it cannot be read or removed.
    """
    path = claim_path(cell)
    text = _text(path)
    if text is not None and _is_stale(path, text):
        _set_aside(path, text)


@contextlib.contextmanager
def claimed(cell: Path, *, heartbeat_s: float = HEARTBEAT_S) -> Iterator[bool]:
    """Claim a cell while the block runs.

    Args:
        cell: its JSON file.
        heartbeat_s: how often the claim is touched.

    Yields:
        Whether it is claimed now; False: another run is at work on it.

    Raises:
        OSError: its folder cannot be written.
    """
    path = claim_path(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**process_of(os.getpid()), "token": uuid.uuid4().hex})
    if not _create(path, text):
        yield False
        return
    is_over = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, text, is_over, heartbeat_s), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        is_over.set()
        heart.join()
        if _text(path) == text:
            path.unlink(missing_ok=True)


class HeldClaim(NamedTuple):
    """A claim of this process without a thread that touches it: `touch` is to be called."""

    path: Path
    text: str

    def touch(self) -> None:
        """Say that the work goes on, where the claim stands still."""
        with contextlib.suppress(OSError):  # as in `_beat`
            if _text(self.path) == self.text:
                os.utime(self.path)

    def release(self) -> None:
        """Let go of the cell."""
        with contextlib.suppress(OSError):  # it becomes stale
            if _text(self.path) == self.text:
                self.path.unlink(missing_ok=True)


def hold(cell: Path) -> HeldClaim | None:
    """Claim a cell until it is released; None: another run is at work on it.

    Args:
        cell: its JSON file.

    Raises:
        OSError: its folder cannot be written.
    """
    path = claim_path(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**process_of(os.getpid()), "token": uuid.uuid4().hex})
    return HeldClaim(path, text) if _create(path, text) else None


def _create(path: Path, text: str) -> bool:
    """Make a claim, in place of one that is stale; False where another run has it."""
    while True:
        try:
            create(path, text)
        except FileExistsError:
            standing = _text(path)
            if standing is None:  # released meanwhile
                continue
            if not _is_stale(path, standing):
                return False
            _set_aside(path, standing)
        else:
            return True


def _set_aside(path: Path, stale: str) -> None:
    """Remove a stale claim, and put back the one that another run has made in its place meanwhile."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    with contextlib.suppress(FileNotFoundError):  # another run was faster
        path.rename(aside)
        if aside.read_text(encoding="utf-8") != stale:
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _beat(path: Path, text: str, is_over: threading.Event, heartbeat_s: float) -> None:
    while not is_over.wait(heartbeat_s):
        with contextlib.suppress(OSError):  # a network's break; what is stale by then may be taken over
            if _text(path) != text:
                return
            os.utime(path)


def _text(path: Path) -> str | None:
    """What a claim says; None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _is_stale(path: Path, text: str) -> bool:
    try:
        claim = json.loads(text)
        process = {name: claim[name] for name in ("host", "pid", "started")}
    except (
        ValueError,
        KeyError,
        TypeError,
    ):  # its run was killed where there are no hard links
        return age_s(path) > STALE_S
    is_alive = runs_here(process)
    return age_s(path) > STALE_S if is_alive is None else not is_alive


def runs_here(process: Mapping[str, object]) -> bool | None:
    """Whether a process of this machine is there still; None for another machine's, and on Windows.

    Args:
        process: what `process_of` gave.
    """
    if not _CAN_ASK_OF_PROCESSES or process["host"] != _host():
        return None
    return process == process_of(process["pid"])


def age_s(path: Path) -> float:
    """Seconds since a file was touched, by the clock of its file system: other machines' clocks go wrong.

    Raises:
        OSError: its folder cannot be written.
    """
    with tempfile.TemporaryFile(dir=path.parent) as probe:
        now_s = os.fstat(probe.fileno()).st_mtime
        try:
            return now_s - path.stat().st_mtime
        except FileNotFoundError:
            return 0.0


@functools.cache
def _host() -> str:
    """This machine since its start, and this space of process ids: a container may have its own."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # systems without /proc have neither
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def process_of(pid: object) -> dict[str, object]:
    """What a file says of a process of this machine.

    ``started`` tells it from a later one of the same id; None: it is gone, or nobody can tell.
    """
    if not isinstance(pid, int) or not _CAN_ASK_OF_PROCESSES:
        return {"host": _host(), "pid": pid, "started": None}
    try:
        # The name of the program, in parentheses, may have blanks in it.
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = started.rpartition(")")[2].split()
        return {"host": _host(), "pid": pid, "started": None if state in "ZX" else fields[18]}
    except OSError:
        with contextlib.suppress(OSError):
            if not Path("/proc/self").exists():
                os.kill(pid, 0)
                return {"host": _host(), "pid": pid, "started": "?"}
        return {"host": _host(), "pid": pid, "started": None}
