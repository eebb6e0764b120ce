"""The plan of a run: which cells are finished, which are to be scored, and what comes of them."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from evalkit.errors import ScoringError
from evalkit.lazy import same
from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import Model
from evalkit.runner.claims import remove_stale_claim
from evalkit.runner.options import RunOptions
from evalkit.runner.shards import Work, places_of_shard
from evalkit.scoring.parts import Part

CellT = TypeVar("CellT", covariant=True)
T = TypeVar("T")

_FEW_PARAMETERS = 1_000_000
"""Of what has none, or does not say: a compressor, a model on a server."""


class PartScored:
    """What came of a part of a cell: its documents lie beside it."""


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
    finished: Callable[[], CellT] | None
    """Gives the finished cell; None: it is to be scored."""
    find: Callable[[RunOptions], CellT | None]
    """Looks for the finished cell again: another run or process may have scored it."""
    score: Callable[[Model, RunOptions], CellT | PartScored]
    """Scores a model, tells the options' reporter how far it is, and writes the cell's files; of a
    part see `score_part`."""
    work: float = 1.0
    """How much there is to do beside other cells, in whatever unit."""
    problem: ScoringError | None = None
    """Why it is not scored: what lies in its place can be neither read nor moved aside."""
    score_part: Callable[[Part, Model, RunOptions], PartScored] | None = None
    """Scores a part of it, which is kept beside the cell, and writes the cell where nothing lacks then; None:
    it has no parts."""
    num_most_parts: int = 1
    """Into so many parts it may be cut."""
    part: Part | None = None
    """Which part of a cell this is; None: the whole."""
    whole: "PlannedCell[CellT] | None" = None
    """The cell that this is a part of."""

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


def work_of(located: LocatedModel, size: int) -> float:
    """How much there is to do in a cell beside other cells, as far as sizes tell.

    Args:
        located: the model.
        size: bytes of the corpus, or items of the task.
    """
    num_parameters = _num_parameters(located)
    return float(size * max(1, _FEW_PARAMETERS if num_parameters is None else num_parameters))


def _num_parameters(located: LocatedModel) -> int | None:
    """None: it is not known; or no cell can say it, and the model fails its cells."""
    num_parameters = located.identity.details.get("num_parameters")
    return num_parameters if isinstance(num_parameters, int) else None


def places_of_run(cells: Sequence[tuple[LocatedModel, float]], options: RunOptions) -> Sequence[int]:
    """Which cells of a plan are this run's, by place: those of its shard, or all.

    Args:
        cells: the model of each and its work, see `work_of`.
        options: of the run; told of models whose size is not known here, as shards are cut by sizes.
    """
    if options.shard is None:
        return range(len(cells))
    located_models = {id(located): located for located, _ in cells}.values()
    for located in located_models:
        if located.problem is not None and _num_parameters(located) is None:
            options.reporter.message(
                f"{located.identity.name}: its size is not known here ({located.problem}), and --shard cuts "
                "plans by size: machines that know it have other parts; run this again once it can be read"
            )
    return places_of_shard([Work(id(located), work) for located, work in cells], options.shard)


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
    is_known: Callable[[], bool] | None = None,
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
        is_known: a quick look, whether `find` would find it; it is asked when somebody wants the cell.
    """
    problem: ScoringError | None = None
    finished: Callable[[], CellT] | None = None
    if located.problem is not None:
        size = f"will fail: {located.problem}"
    else:
        try:
            if options.remote is not None:
                options.remote.fetch(path)
                if not options.dry_run:
                    options.remote.store_rest(path)
            if is_known is not None and is_known():
                finished = functools.partial(_read_again, find, options, path)
            elif (cell := find(options)) is not None:
                finished = functools.partial(same, cell)
            if finished is not None and not options.dry_run:
                with contextlib.suppress(OSError):  # it only takes space, and the folder may be read-only
                    remove_stale_claim(path)
                if options.remote is not None:
                    options.remote.documents.remove(path, only_first=True, warn=options.reporter.message)
        except ScoringError as error:
            size, problem = f"will fail: {error}", error
    return PlannedCell(located, subject, num_parts, size, path, finished, find, score, work, problem)


def _read_again(find: Callable[[RunOptions], T | None], options: RunOptions, path: Path) -> T:
    cell = find(options)
    if cell is None:
        raise ScoringError(f"{path} was there when the run began, and is not there now; run again")
    return cell


def plan_lines(planned: Sequence[PlannedCell[CellT]]) -> list[str]:
    """What a run will do: the counts, then a line per cell that is to be scored."""
    missing = [cell for cell in planned if cell.finished is None]
    num_done = len(planned) - len(missing)
    return [
        f"{num_done} of {len(planned)} cells done, {len(missing)} to score",
        *(f"  {cell.model} on {cell.subject}: {cell.size}" for cell in missing),
    ]
