"""The loop of every run: each model is loaded once, what is missing is scored, what fails is named."""

import dataclasses
import gc
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from evalkit.errors import EvalkitError, ScoringError, disk_error, one_line
from evalkit.models.allocator import return_freed_memory
from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import Model, TokenModel
from evalkit.runner.options import RunOptions, check_writable
from evalkit.runner.reporter import CellProgress

CellT = TypeVar("CellT", covariant=True)
Advance = Callable[[CellProgress], None]


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
    cell: CellT | None
    """The finished cell."""
    score: Callable[[Model, Advance], CellT]
    """Scores a model, tells how far it is, and writes the cell's files."""
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


@dataclasses.dataclass(frozen=True)
class LoopResult(Generic[CellT]):
    """What there is after a run."""

    cells: tuple[CellT, ...]
    """In the order of the plan, without those that failed or were only planned."""
    failures: tuple[Failure, ...]
    num_scored: int
    """Cells that this run computed; the others were finished before."""


def planned_cell(
    located: LocatedModel,
    subject: str,
    num_parts: int,
    size: str,
    find: Callable[[], CellT | None],
    score: Callable[[Model, Advance], CellT],
) -> PlannedCell[CellT]:
    """A cell of the plan; one whose files cannot be read is one that will fail, and the others go on.

    Args:
        located: the model.
        subject: see `PlannedCell`, as the next ones.
        num_parts: likewise.
        size: likewise.
        find: looks for the finished cell; not called where the model is known not to load.
        score: see `PlannedCell`.
    """
    if located.problem is not None:
        return PlannedCell(located, subject, num_parts, f"will fail: {located.problem}", None, score)
    try:
        return PlannedCell(located, subject, num_parts, size, find(), score)
    except ScoringError as error:
        return PlannedCell(located, subject, num_parts, f"will fail: {error}", None, score, error)


def plan_lines(planned: Sequence[PlannedCell[CellT]]) -> list[str]:
    """What a run will do: the counts, then a line per cell that is to be scored."""
    missing = [cell for cell in planned if cell.cell is None]
    num_done = len(planned) - len(missing)
    return [
        f"{num_done} of {len(planned)} cells done, {len(missing)} to score",
        *(f"  {cell.model} on {cell.subject}: {cell.size}" for cell in missing),
    ]


def score_missing(planned: Sequence[PlannedCell[CellT]], options: RunOptions) -> LoopResult[CellT]:
    """Score the cells of a plan that are not finished; a dry run only tells of the plan.

    The models are taken in the order in which the plan names them first, each with all of its cells. A cell
    that fails does not stop the others.

    Raises:
        UsageError: something is to be scored, and the output folder cannot be written.
        DiskError: it cannot be written anymore: no cell after this would be kept either.
    """
    missing = [cell for cell in planned if cell.cell is None]
    if missing and not options.dry_run:
        check_writable(options.folder)
    options.reporter.plan(plan_lines(planned))
    outcomes: dict[int, CellT | Failure] = {}
    if not options.dry_run:
        by_model: dict[int, list[PlannedCell[CellT]]] = {}
        for cell in missing:
            if cell.problem is None:
                by_model.setdefault(id(cell.located), []).append(cell)
            else:
                outcomes[id(cell)] = _failure(cell, cell.problem, options)
        for cells in by_model.values():
            outcomes.update(zip(map(id, cells), _score_model(cells, options), strict=True))
    failures = tuple(outcome for outcome in outcomes.values() if isinstance(outcome, Failure))
    finished = (outcomes.get(id(cell)) if cell.cell is None else cell.cell for cell in planned)
    return LoopResult(
        tuple(cell for cell in finished if cell is not None and not isinstance(cell, Failure)),
        failures,
        len(outcomes) - len(failures),
    )


def _score_model(cells: Sequence[PlannedCell[CellT]], options: RunOptions) -> list[CellT | Failure]:
    """What came of each of a model's cells."""
    located = cells[0].located
    # Whatever a model does, it is named as failed and the other cells go on: also what is no Exception, as
    # the panics of libraries in Rust or a model's own `sys.exit`.
    try:
        model = located.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return [_failure(cell, error, options) for cell in cells]
    outcomes: list[CellT | Failure] = []
    for cell in cells:
        outcomes.append(_score_cell(model, cell, options))
    frees_memory = located.instance is None and isinstance(model, TokenModel)
    del model
    if frees_memory:
        gc.collect()  # the next model needs it
        return_freed_memory()
    return outcomes


def _score_cell(model: Model, planned: PlannedCell[CellT], options: RunOptions) -> CellT | Failure:
    options.reporter.start(planned.model, planned.subject, planned.num_parts)
    try:
        return planned.score(model, options.reporter.advance)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        full = disk_error(error, options.folder)
        if full is not None:
            raise full from error
        return _failure(planned, error, options)
    finally:
        options.reporter.finish()


def _failure(planned: PlannedCell[CellT], error: BaseException, options: RunOptions) -> Failure:
    if options.debug:
        raise error
    reason = one_line(str(error))
    if not isinstance(error, EvalkitError):
        reason = f"{type(error).__name__}: {reason} (run with --debug to see where)"
    options.reporter.message(f"FAILED {planned.model} on {planned.subject}: {reason}")
    return Failure(planned.model, planned.subject, reason)
