"""The plan of a run: which cells are finished, which are to be scored, and what comes of them."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from evalkit.errors import ScoringError
from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import Model
from evalkit.runner.claims import remove_stale_claim
from evalkit.runner.options import RunOptions

CellT = TypeVar("CellT", covariant=True)


@dataclasses.dataclass(frozen=True)
class PlannedCell(Generic[CellT]):
    """A cell of the plan: finished already, or to be scored."""

    located: LocatedModel
    subject: str
    """What the model is scored on: a corpus, or a task and how it is asked."""
    num_parts: int
    """Documents of the corpus, or items of the task."""
    size: str
    """How much there is to do, in words."""
    path: Path
    """The finished cell's JSON file."""
    cell: CellT | None
    """The finished cell."""
    find: Callable[[RunOptions], CellT | None]
    """Looks for the finished cell again: another run or process may have scored it."""
    score: Callable[[Model, RunOptions], CellT]
    """Scores a model, tells the options' reporter how far it is, and writes the cell's files."""
    work: float = 1.0
    """How much there is to do beside other cells, in whatever unit."""
    problem: ScoringError | None = None
    """Why it is not scored: what lies in its place can be neither read nor moved aside."""

    @property
    def model(self) -> str:
        """The model's name."""
        return self.located.identity.name


@dataclasses.dataclass(frozen=True)
class Failure:
    """A cell that could not be scored."""

    model: str
    subject: str
    """The corpus, or the task and how it was asked."""
    reason: str


class Busy:
    """What came of a cell that another run is at work on."""


def planned_cell(
    located: LocatedModel,
    subject: str,
    num_parts: int,
    size: str,
    path: Path,
    find: Callable[[RunOptions], CellT | None],
    score: Callable[[Model, RunOptions], CellT],
    options: RunOptions,
    work: float = 1.0,
) -> PlannedCell[CellT]:
    """A cell of the plan; one whose files cannot be read is one that will fail, and the others go on.

    Args:
        located: the model.
        subject: see `PlannedCell`, as the next ones.
        num_parts: likewise.
        size: likewise.
        path: likewise.
        find: looks for the finished cell; not called where the model is known not to load.
        score: see `PlannedCell`.
        options: of the run.
        work: see `PlannedCell`.
    """
    problem: ScoringError | None = None
    cell = None
    if located.problem is not None:
        size = f"will fail: {located.problem}"
    else:
        try:
            if options.remote is not None:
                options.remote.fetch(path)
                if not options.dry_run:
                    options.remote.store_rest(path)
            cell = find(options)
            if cell is not None and not options.dry_run:
                with contextlib.suppress(OSError):  # it only takes space, and the folder may be read-only
                    remove_stale_claim(path)
        except ScoringError as error:
            size, problem = f"will fail: {error}", error
    return PlannedCell(located, subject, num_parts, size, path, cell, find, score, work, problem)


def plan_lines(planned: Sequence[PlannedCell[CellT]]) -> list[str]:
    """What a run will do: the counts, then a line per cell that is to be scored."""
    missing = [cell for cell in planned if cell.cell is None]
    num_done = len(planned) - len(missing)
    return [
        f"{num_done} of {len(planned)} cells done, {len(missing)} to score",
        *(f"  {cell.model} on {cell.subject}: {cell.size}" for cell in missing),
    ]
