"""Time for crawlers, and the pace at which hosts are asked."""

import contextlib
import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from evalkit.files import parse_json, slug
from evalkit.locks import path_lock

MAX_HOLD_S = 3600.0
"""The longest that a server is waited for; who asks for more is not asked again in this crawl."""


class Clock(Protocol):
    """Time as a crawl sees it, so that a test's can pass at once."""

    def now(self) -> dt.datetime:
        """Calendar time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class SystemClock:
    """The machine's time."""

    def now(self) -> dt.datetime:
        """Calendar time, aware, in UTC."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        time.sleep(seconds)


class Pacer:
    """Lets one request at a time through per queue, and none too early.

    That holds over all processes of one user on a machine, and over restarts: each queue has a file that is
    locked while a request is under way, and tells when the last one was. It is written before a request
    too, so that one that was killed in flight counts.
    """

    def __init__(self, folder: Path, clock: Clock, on_wait: Callable[[str, float], None]) -> None:
        """Keep the files in ``folder``; tell ``on_wait`` which queue is waiting for how many seconds."""
        self._folder, self._clock, self._on_wait = folder, clock, on_wait
        self._process = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._ended_at: dict[str, float] = {}
        self._hold_until: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def turn(self, queue: str, delay_s: float) -> Iterator[None]:
        """A context for one request, entered when the queue is free and its delay is over.

        Args:
            queue: what is paced together.
            delay_s: least time since the end of the queue's last request, of any process.
        """
        with self._lock:
            turn = self._turns.setdefault(queue, threading.Lock())
        path = self._folder / f"{slug(queue)}.json"
        with turn, path.open("a+", encoding="utf-8") as file, path_lock(path):
            self._read_other_process(queue, file)
            now = self._clock.monotonic()
            wait_s = max(self._ended_at[queue] + delay_s, self._hold_until[queue]) - now
            if wait_s > 0:
                self._on_wait(queue, wait_s)
                self._clock.sleep(wait_s)
            self._write(queue, file)
            try:
                yield
            finally:
                self._write(queue, file)

    def hold(self, queue: str, seconds: float) -> None:
        """Let no request of a queue through for so many seconds (an hour at most); called within a turn."""
        self._hold_until[queue] = self._clock.monotonic() + min(seconds, MAX_HOLD_S)

    def _read_other_process(self, queue: str, file: IO[str]) -> None:
        """Take over the end of the queue's last request, where that was another process's.

        Of this process's own requests its monotonic clock knows better than the file. Processes share no
        monotonic clock, and calendar time may have been set back: then the request counts as just made.
        """
        file.seek(0)
        try:
            state = parse_json(file.read())
            if state["process"] == self._process:
                return
            ended_at = dt.datetime.fromisoformat(state["ended_at"])
            since_end_s = (self._clock.now() - ended_at).total_seconds()
            hold_s = min(float(state["hold_s"]), MAX_HOLD_S)
        except (ValueError, KeyError, TypeError):  # a new file, or one that a kill cut off
            since_end_s, hold_s = (0.0 if file.tell() else float("inf")), 0.0
        self._ended_at[queue] = self._clock.monotonic() - max(since_end_s, 0.0)
        self._hold_until[queue] = self._ended_at[queue] + hold_s

    def _write(self, queue: str, file: IO[str]) -> None:
        self._ended_at[queue] = now = self._clock.monotonic()
        state = {
            "process": self._process,
            "ended_at": self._clock.now().isoformat(),
            "hold_s": max(self._hold_until[queue] - now, 0.0),
        }
        file.seek(0)
        file.truncate()
        file.write(json.dumps(state))
        file.flush()
