"""How a run tells of itself on the command line: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from evalkit.runner.reporter import CellProgress, ItemProgress, Reporter, Silent
from evalkit.terminal import console_for, printable, show

LINE_INTERVAL_S = 10.0
"""Without a terminal, a line at most this often."""


def reporter_for(stream: TextIO, *, is_quiet: bool = False, is_verbose: bool = False) -> Reporter:
    """The reporter that fits the stream: a terminal, or a file, a pipe or a log.

    Args:
        stream: where to.
        is_quiet: tell only what is wrong.
        is_verbose: a line for every step of progress, on terminals too.
    """
    if is_quiet:
        return QuietReporter(stream)
    if is_verbose:
        return LineReporter(stream, interval_s=0)
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
            kilobytes_per_s = progress.num_bytes / progress.elapsed_s / 1e3
            words.append(f"{kilobytes_per_s:,.{1 if kilobytes_per_s < 10 else 0}f} kB/s")
            words.append(f"{progress.total_bits / progress.num_bytes:.3f} bits/byte")
        if progress.tokens_per_s is not None:
            words.append(f"{progress.tokens_per_s:,.0f} computed tokens/s")
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

    def __init__(
        self,
        stream: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
        *,
        interval_s: float = LINE_INTERVAL_S,
    ) -> None:
        """Write to ``stream``, a line at most every ``interval_s``; ``clock`` tells seconds."""
        self._stream, self._clock, self._interval_s = stream, clock, interval_s
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
        if progress.done < 1 and self._clock() - self._last_line_s >= self._interval_s:
            self._last_line_s = self._clock()
            self.message(f"{self._label}: {describe(progress, self._num_parts)}")

    def finish(self) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        if self._progress is not None and self._progress.done >= 1:
            self.message(f"{self._label}: {describe(self._progress, self._num_parts)}")
        self._progress = None

    def lane(self) -> Reporter:
        """See `evalkit.runner.reporter.Reporter`."""
        return LineReporter(self._stream, self._clock, interval_s=self._interval_s)


class QuietReporter(Silent):
    """What is wrong, and nothing else."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        """Write to ``stream``."""
        self._stream = stream

    def message(self, text: str) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        show(text, file=self._stream)


class BarReporter:
    """One progress bar over all cells, and above it a line for each that is finished."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console``."""
        self._console = console
        self._bars: Progress | None = None
        self._bar = TaskID(0)
        self._num_parts = self._num_cells = self._num_ended = 0
        self._label = ""
        self._progress: CellProgress | None = None

    def message(self, text: str) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._console.print(printable(text), markup=False, highlight=False, emoji=False, soft_wrap=True)

    def plan(self, lines: Sequence[str]) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._num_cells += len(lines[1:])
        for line in lines:
            self.message(line)

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        self._num_parts, self._label, self._progress = num_parts, f"{model} on {subject}", None
        self._num_cells = max(self._num_cells, self._num_ended + 1)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=self._console,
            transient=True,
        )
        place = f"cell {self._num_ended + 1}/{self._num_cells}: {self._label}"
        self._bar = self._bars.add_task(
            printable(place), total=float(self._num_cells), completed=self._num_ended, state=""
        )
        self._bars.start()

    def advance(self, progress: CellProgress) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        if self._bars:
            self._progress = progress
            state = describe(progress, self._num_parts)
            self._bars.update(self._bar, completed=self._num_ended + progress.done, state=state)

    def finish(self) -> None:
        """See `evalkit.runner.reporter.Reporter`."""
        if self._bars:
            self._bars.stop()
            self._bars = None
            self._num_ended += 1
            if self._progress is not None and self._progress.done >= 1:
                self.message(f"{self._label}: {describe(self._progress, self._num_parts)}")

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
