"""How a run tells of itself on the command line: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from evalkit.runner.corpora import PlannedCell, Reporter
from evalkit.scoring.documents import Progress as Done

LINE_INTERVAL_S = 10.0
"""Without a terminal, a line at most this often."""


def reporter_for(stream: TextIO, counted: str = "documents") -> Reporter:
    """The reporter that fits the stream: a terminal, or a file, a pipe or a log.

    Args:
        stream: where it writes.
        counted: what a cell has many of: ``documents`` of a corpus, ``items`` of a task.
    """
    if stream.isatty():
        return BarReporter(Console(file=stream), counted=counted)
    return LineReporter(stream, counted=counted)


def describe(done: Done, num_documents: int, counted: str = "documents") -> str:
    """Documents (or what else is counted), speed, running bits per byte and time left, as one short text."""
    parts = [f"{done.num_documents}/{num_documents} {counted}"]
    if done.elapsed_s > 0 and done.num_bytes:
        parts.append(f"{done.num_bytes / done.elapsed_s / 1e6:.3f} MB/s")
        parts.append(f"{done.total_bits / done.num_bytes:.3f} bits/byte")
    if 0 < done.done < 1:
        parts.append(f"{duration(done.elapsed_s * (1 - done.done) / done.done)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time span as people write it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plan_lines(planned: Sequence[PlannedCell]) -> list[str]:
    """What a run will do, a line per cell."""
    num_done = sum(cell.cell is not None for cell in planned)
    lines = [f"{num_done} of {len(planned)} cells done, {len(planned) - num_done} to score"]
    for cell in planned:
        if cell.cell is None:
            corpus = cell.task.corpus
            lines.append(
                f"  {cell.task.identity.name} on {corpus.name}: {len(corpus.documents)} documents, "
                f"{corpus.num_bytes:,} bytes, policy {cell.task.policy}"
            )
    return lines


class LineReporter:
    """Plain lines, few enough for a log."""

    def __init__(
        self,
        stream: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
        *,
        counted: str = "documents",
    ) -> None:
        """Write to ``stream``; ``clock`` tells seconds; ``counted`` as for `reporter_for`."""
        self._stream, self._clock, self._counted = stream, clock, counted
        self._label, self._num_documents, self._last_line_s = "", 0, 0.0
        self._done: Done | None = None

    def message(self, text: str) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        print(text, file=self._stream, flush=True)

    def plan(self, planned: Sequence[PlannedCell]) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        for line in plan_lines(planned):
            self.message(line)

    def start(self, model: str, corpus: str, num_documents: int) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        self._label, self._num_documents = f"{model} on {corpus}", num_documents
        self._last_line_s = self._clock()
        self._done = None

    def advance(self, progress: Done) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        self._done = progress
        if progress.done < 1 and self._clock() - self._last_line_s >= LINE_INTERVAL_S:
            self._last_line_s = self._clock()
            self.message(f"{self._label}: {describe(progress, self._num_documents, self._counted)}")

    def finish(self) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        if self._done is not None and self._done.done >= 1:
            self.message(f"{self._label}: {describe(self._done, self._num_documents, self._counted)}")
        self._done = None


class BarReporter:
    """A progress bar per cell."""

    def __init__(self, console: Console, *, counted: str = "documents") -> None:
        """Draw on ``console``; ``counted`` as for `reporter_for`."""
        self._console, self._counted = console, counted
        self._bars: Progress | None = None
        self._task = TaskID(0)
        self._num_documents = 0

    def message(self, text: str) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def plan(self, planned: Sequence[PlannedCell]) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        for line in plan_lines(planned):
            self.message(line)

    def start(self, model: str, corpus: str, num_documents: int) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        self._num_documents = num_documents
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=self._console,
        )
        self._task = self._bars.add_task(f"{model} on {corpus}", total=1.0, state="")
        self._bars.start()

    def advance(self, progress: Done) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        if self._bars:
            state = describe(progress, self._num_documents, self._counted)
            self._bars.update(self._task, completed=progress.done, state=state)

    def finish(self) -> None:
        """See `evalkit.runner.corpora.Reporter`."""
        if self._bars:
            self._bars.stop()
            self._bars = None
