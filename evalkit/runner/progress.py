"""How a run tells of itself on the command line: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from evalkit.runner.reporter import CellProgress, ItemProgress, Reporter
from evalkit.terminal import console_for, printable, show

LINE_INTERVAL_S = 10.0
"""Without a terminal, a line at most this often."""


def reporter_for(stream: TextIO) -> Reporter:
    """The reporter that fits the stream: a terminal, or a file, a pipe or a log."""
    return BarReporter(console_for(stream)) if stream.isatty() else LineReporter(stream)


def describe(progress: CellProgress, num_parts: int) -> str:
    """How far a cell is, as one short text: parts done, time left; of documents speed and bits per byte too.

    The tokens per second are those of the windows, of which a model with a context limit reads some again.

    Args:
        progress: of a corpus or of a task.
        num_parts: documents of the corpus, or items of the task.
    """
    if isinstance(progress, ItemProgress):
        words = [f"{progress.num_items}/{num_parts} items"]
    else:
        words = [f"{progress.num_documents}/{num_parts} documents"]
        if progress.elapsed_s > 0 and progress.num_bytes:
            words.append(f"{progress.num_bytes / progress.elapsed_s / 1e6:.3f} MB/s")
            words.append(f"{progress.total_bits / progress.num_bytes:.3f} bits/byte")
        if progress.tokens_per_s is not None:
            words.append(f"{progress.tokens_per_s:,.0f} tokens/s")
        if progress.padding is not None:
            words.append(f"{progress.padding:.1%} padding")
    if 0 < progress.done < 1:
        words.append(f"{duration(progress.elapsed_s * (1 - progress.done) / progress.done)} left")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """A time span as people write it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class LineReporter:
    """Plain lines, few enough for a log."""

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to ``stream``; ``clock`` tells seconds."""
        self._stream, self._clock = stream, clock
        self._label, self._num_parts, self._last_line_s = "", 0, 0.0
        self._progress: CellProgress | None = None

    def message(self, text: str) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        show(text, file=self._stream)

    def plan(self, lines: Sequence[str]) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        for line in lines:
            self.message(line)

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._label, self._num_parts = f"{model} on {subject}", num_parts
        self._last_line_s = self._clock()
        self._progress = None

    def advance(self, progress: CellProgress) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._progress = progress
        if progress.done < 1 and self._clock() - self._last_line_s >= LINE_INTERVAL_S:
            self._last_line_s = self._clock()
            self.message(f"{self._label}: {describe(progress, self._num_parts)}")

    def finish(self) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        if self._progress is not None and self._progress.done >= 1:
            self.message(f"{self._label}: {describe(self._progress, self._num_parts)}")
        self._progress = None

    def lane(self) -> Reporter:
        """See `evalkit.runner.reporter.Reporter`."""
        return LineReporter(self._stream, self._clock)


class BarReporter:
    """A progress bar per cell."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console``."""
        self._console = console
        self._bars: Progress | None = None
        self._bar = TaskID(0)
        self._num_parts = 0

    def message(self, text: str) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._console.print(printable(text), markup=False, highlight=False, emoji=False, soft_wrap=True)

    def plan(self, lines: Sequence[str]) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        for line in lines:
            self.message(line)

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._num_parts = num_parts
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=self._console,
        )
        self._bar = self._bars.add_task(printable(f"{model} on {subject}"), total=1.0, state="")
        self._bars.start()

    def advance(self, progress: CellProgress) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        if self._bars:
            state = describe(progress, self._num_parts)
            self._bars.update(self._bar, completed=progress.done, state=state)

    def finish(self) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        if self._bars:
            self._bars.stop()
            self._bars = None

    def lane(self) -> Reporter:
        """See `evalkit.runner.reporter.Reporter`: lines, as bars side by side would redraw each other."""
        return _Lines(self)


class _Lines(LineReporter):
    """Plain lines on another reporter's stream."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def message(self, text: str) -> None:
        self._reporter.message(text)

    def lane(self) -> Reporter:
        return _Lines(self._reporter)
