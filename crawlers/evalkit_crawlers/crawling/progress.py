"""How a crawl tells of itself: every queue's speed, why it waits, how long it will take."""

import contextlib
import dataclasses
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TextIO

from rich.live import Live
from rich.text import Text

from evalkit.runner.progress import duration
from evalkit.terminal import console_for, printable, show
from evalkit_crawlers.http.pacing import Clock

LINE_INTERVAL_S = 60.0
"""Without a terminal, the state is told at most this often: a crawl takes hours."""

_MAX_QUEUES_SHOWN = 12


class Workload(NamedTuple):
    """What is to be fetched from a queue."""

    num_pages: int
    delay_s: float
    """Between two requests."""

    @property
    def least_s(self) -> float:
        """Seconds that politeness alone takes."""
        return self.num_pages * self.delay_s


@dataclasses.dataclass(slots=True)
class _Queue:
    num_pages: int
    delay_s: float
    started_s: float
    num_done: int = 0
    num_answers: int = 0
    waited_s: float = 0.0
    wakes_at_s: float = 0.0

    def remaining_s(self, now_s: float) -> float:
        """Seconds until the last page at the pace so far, and not faster than politeness allows."""
        pace_s = (now_s - self.started_s) / self.num_answers if self.num_answers else 0.0
        return (self.num_pages - self.num_done) * max(pace_s, self.delay_s)


class CrawlProgress:
    """Counts, from several threads, and tells; a `evalkit_crawlers.http.watching.Watcher`.

    On a terminal the counts stand still at its foot, elsewhere they come as lines now and then.

    Args:
        stream: where lines go; it may be a terminal.
        clock: time.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream, self._clock = stream, clock
        self._console = console_for(stream) if stream.isatty() else None
        self._lock = threading.RLock()
        self._queues: dict[str, _Queue] = {}
        self._num_listings, self._num_candidates, self._num_documents = 0, 0, 0
        self._dropped: Counter[str] = Counter()
        self._last_lines_s = clock.monotonic()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the counts at a terminal's foot until the block ends; does nothing elsewhere."""
        if self._console is None:
            yield
            return
        with Live(
            console=self._console,
            refresh_per_second=2,
            transient=True,
            get_renderable=lambda: Text("\n".join(map(printable, self.lines()))),
        ):
            yield

    def message(self, text: str) -> None:
        """Print a line that the user should read."""
        with self._lock:
            if self._console is not None:
                self._console.print(text, soft_wrap=True)
            else:
                show(text, file=self._stream)

    def waits(self, queue: str, seconds: float) -> None:
        """Count the time that a queue is idle out of politeness, from now on so many seconds."""
        with self._lock:
            if queue in self._queues:
                self._queues[queue].waited_s += seconds
                self._queues[queue].wakes_at_s = self._clock.monotonic() + seconds

    def answered(self, queue: str, num_bytes: int) -> None:  # noqa: ARG002 - part of the protocol
        """Count an answer: a page's of a queue whose pages are expected, else a listing's."""
        with self._lock:
            if queue in self._queues:
                self._queues[queue].num_answers += 1
            else:
                self._num_listings += 1
        self._tell()

    def candidate_listed(self) -> None:
        """Count a document that a listing names."""
        self._num_candidates += 1

    def expect(self, workloads: Mapping[str, Workload]) -> None:
        """Say what will be fetched from every queue, and begin to measure how fast it goes."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._queues = {
                queue: _Queue(workload.num_pages, workload.delay_s, now_s)
                for queue, workload in workloads.items()
            }
        for line in estimate_lines(workloads):
            self.message(line)

    def page_done(self, queue: str) -> None:
        """Count a page of a queue that was fetched or refused."""
        with self._lock:
            self._queues[queue].num_done += 1

    def document_made(self) -> None:
        """Count a page that became a document."""
        self._num_documents += 1
        self._tell()

    def document_dropped(self, reason: str) -> None:
        """Count a document that will not be in a corpus."""
        with self._lock:
            self._dropped[reason] += 1

    def lines(self) -> list[str]:
        """The state of the crawl: a line for every queue, the slowest first, then one for the documents."""
        now_s = self._clock.monotonic()
        with self._lock:
            if not self._queues:
                return [f"listings: {self._num_listings} answers, {self._num_candidates:,} documents named"]
            slowest_first = sorted(self._queues.items(), key=lambda entry: -entry[1].remaining_s(now_s))
            lines = [_queue_line(name, queue, now_s) for name, queue in slowest_first[:_MAX_QUEUES_SHOWN]]
            if len(slowest_first) > _MAX_QUEUES_SHOWN:
                lines.append(f"and {len(slowest_first) - _MAX_QUEUES_SHOWN} more hosts")
            reasons = drops_text(self._dropped)
            lines.append(f"{self._num_documents} documents; dropped: {reasons or 'none'}")
            return lines

    def _tell(self) -> None:
        if self._console is not None:
            return
        with self._lock:
            if self._clock.monotonic() - self._last_lines_s >= LINE_INTERVAL_S:
                self._last_lines_s = self._clock.monotonic()
                for line in self.lines():
                    show(line, file=self._stream)


def estimate_lines(workloads: Mapping[str, Workload]) -> list[str]:
    """How long the fetching will take at least, a line for each queue that takes a minute or more.

    Args:
        workloads: by queue.
    """
    slowest_first = sorted(workloads.items(), key=lambda entry: -entry[1].least_s)
    slow = [(queue, workload) for queue, workload in slowest_first if workload.least_s >= 60]
    lines = [
        f"{queue}: {workload.num_pages:,} pages at {workload.delay_s:g} s: about {duration(workload.least_s)}"
        for queue, workload in slow[:_MAX_QUEUES_SHOWN]
    ]
    num_pages = sum(workload.num_pages for workload in workloads.values())
    if num_pages:
        whole_s = max(workload.least_s for workload in workloads.values())
        hosts = f"{len(workloads)} hosts in parallel" if len(workloads) > 1 else "one host"
        lines.append(
            f"{num_pages:,} pages to fetch from {hosts}, about {duration(whole_s)}; "
            "it may be interrupted at any time and goes on where it was"
        )
    return lines


def drops_text(dropped: Mapping[str, int]) -> str:
    """Reasons (or licenses) with their counts, the commonest first: ``12 HTTP 404, 3 near-duplicate``."""
    commonest_first = sorted(dropped.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count:,} {reason}" for reason, count in commonest_first)


def _queue_line(name: str, queue: _Queue, now_s: float) -> str:
    elapsed_s = now_s - queue.started_s
    parts = [f"{name}: {queue.num_done:,}/{queue.num_pages:,} pages"]
    if queue.num_answers and elapsed_s > 0:
        parts.append(f"{queue.num_answers / elapsed_s:.3g} pages/s")
        parts.append(f"{min(queue.waited_s / elapsed_s, 1.0):.0%} of the time waiting out of politeness")
    if queue.wakes_at_s > now_s:
        parts.append(f"next request in {duration(queue.wakes_at_s - now_s)}")
    if remaining_s := queue.remaining_s(now_s):
        parts.append(f"{duration(remaining_s)} left")
    return ", ".join(parts)
