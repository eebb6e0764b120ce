"""Who is told how a run goes, and of what."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from evalkit.scoring.documents import Progress


class ItemProgress(NamedTuple):
    """How far a task's cell is: items are answered, so that there are neither bytes nor bits."""

    num_items: int
    """Items finished."""
    done: float
    """Share of the items that are finished, 0 to 1."""
    elapsed_s: float


CellProgress = Progress | ItemProgress


class Reporter(Protocol):
    """Who is told how a run goes; see `evalkit.runner.progress` for those of the command line."""

    def message(self, text: str) -> None:
        """Take something worth a line, e.g. what is wrong with a cell."""
        ...

    def plan(self, lines: Sequence[str]) -> None:
        """Take what will be done, a line per cell below a line of counts; once, before anything is done."""
        ...

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """A cell is begun: ``num_parts`` documents of the corpus ``subject``, or items of that task."""
        ...

    def advance(self, progress: CellProgress) -> None:
        """The cell that was begun last has come this far."""
        ...

    def finish(self) -> None:
        """The cell that was begun last has ended, whether it is finished, failed or was interrupted."""
        ...

    def lane(self) -> "Reporter":
        """A reporter for cells, one after the other, while other cells are scored beside them."""
        ...


class Silent:
    """A reporter for programs: says nothing."""

    def message(self, text: str) -> None:
        """See `Reporter`."""

    def plan(self, lines: Sequence[str]) -> None:
        """See `Reporter`."""

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `Reporter`."""

    def advance(self, progress: CellProgress) -> None:
        """See `Reporter`."""

    def finish(self) -> None:
        """See `Reporter`."""

    def lane(self) -> Reporter:
        """See `Reporter`."""
        return self


class Beating:
    """Passes everything on to another reporter, and calls a function whenever a cell begins or advances."""

    def __init__(self, reporter: Reporter, beat: Callable[[], None]) -> None:
        """Take the reporter that is told, and the function."""
        self._reporter, self._beat = reporter, beat

    def message(self, text: str) -> None:
        """See `Reporter`."""
        self._reporter.message(text)

    def plan(self, lines: Sequence[str]) -> None:
        """See `Reporter`."""
        self._reporter.plan(lines)

    def start(self, model: str, subject: str, num_parts: int) -> None:
        """See `Reporter`."""
        self._beat()
        self._reporter.start(model, subject, num_parts)

    def advance(self, progress: CellProgress) -> None:
        """See `Reporter`."""
        self._beat()
        self._reporter.advance(progress)

    def finish(self) -> None:
        """See `Reporter`."""
        self._reporter.finish()

    def lane(self) -> Reporter:
        """See `Reporter`."""
        return Beating(self._reporter.lane(), self._beat)
