"""The loop of every run: each model is loaded once, what is missing is scored, what fails is named.

Other runs may be at work on the same folder: what they have claimed comes last, or is taken when finished.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from evalkit.errors import ScoringError
from evalkit.lazy import LazySequence, same
from evalkit.models.loading import LocatedModel, import_loaders
from evalkit.models.model_files import read_ahead
from evalkit.runner.claims import is_claimed
from evalkit.runner.one_model import failure_of, finished, score_model
from evalkit.runner.options import RunOptions, check_writable
from evalkit.runner.parts import CutCells
from evalkit.runner.plan import Busy, Failure, PartScored, PlannedCell, plan_lines
from evalkit.runner.reporter import Beating

if TYPE_CHECKING:
    from evalkit.runner.pool import Engine
    from evalkit.runner.remote import RemoteFolder

CellT = TypeVar("CellT", covariant=True)

WAIT_S = 2.0
"""Between two looks at what another run is at work on."""
_PIECES_PER_PROCESS = 8
"""No piece of a model is smaller than what a process does in all over this, but for what is left of it."""


class Scored(NamedTuple, Generic[CellT]):
    """What came of the cells of a run."""

    outcomes: dict[int, CellT | Failure]
    """By `id` of the planned cell."""
    num_scored: int
    """Cells that this run computed."""


@dataclasses.dataclass(frozen=True)
class LoopResult(Generic[CellT]):
    """What there is after a run."""

    cells: Sequence[CellT]
    """In the order of the plan, without those that failed or were only planned; those that were finished
    before are read when somebody looks at them."""
    first_cells: Sequence[tuple[LocatedModel, Callable[[], CellT]]]
    """The models that have one of these, and what gives the first that each has."""
    failures: tuple[Failure, ...]
    num_scored: int
    """Cells that this run computed; the others were finished before."""


class Schedule(Generic[CellT]):
    """Cells without an outcome, model by model."""

    def __init__(self, cells: Sequence[PlannedCell[CellT]], options: RunOptions) -> None:
        """Take the missing cells of a plan."""
        self._options, self._remote = options, options.remote
        by_model: dict[int, list[PlannedCell[CellT]]] = {}
        for cell in cells:
            by_model.setdefault(id(cell.located), []).append(cell)
        self._groups: list[list[PlannedCell[CellT]]] = list(by_model.values())
        self._outcomes: dict[int, CellT | Failure] = {}
        self._num_scored = 0
        self._has_told_of_waiting = False
        self._num_processes, self._least_work = 1, 0.0
        self._cut: CutCells[CellT] = CutCells()

    def share_out(self, num_processes: int) -> None:
        """Give out the largest models first, and no process more than an equal share of what is left.

        The pieces become smaller towards the end, so that all processes end at about the same time, but not
        so small that models are loaded for ever (guided self-scheduling, Polychronopoulos and Kuck 1987). A
        cell that is more than an equal share of all is cut into parts, where it is large enough.
        """
        share = sum(map(_work, self._groups)) / num_processes
        if self._remote is None or self._options.engine != "ray" or self._remote.documents.are_kept:
            claim = self._remote.claim if self._remote is not None else lambda _: True
            self._groups = [self._cut.cut(group, share, claim) for group in self._groups]
        for group in self._groups:
            group.sort(key=lambda cell: cell.work, reverse=True)
        self._groups.sort(key=_work, reverse=True)
        self._num_processes = num_processes
        self._least_work = sum(map(_work, self._groups)) / (_PIECES_PER_PROCESS * num_processes)

    def next(self, *, wait: bool = True) -> list[PlannedCell[CellT]]:
        """A model's cells that nobody is at work on; none where all have an outcome, or without waiting."""
        while self._groups:
            place, num_claimed = self._least_claimed()
            if num_claimed < len(self._groups[place]):
                if cells := self._claimed(self._take_share(place)):
                    for following in self._groups[place : place + 1]:
                        read_ahead(following[0].located.identity.files)
                    return cells
                continue
            if not wait:
                return []
            self._take_finished()
            if self._groups:
                self._wait()
        return []

    def _take_share(self, place: int) -> list[PlannedCell[CellT]]:
        """What one process gets of a model; what is left of it comes next."""
        most = max(sum(map(_work, self._groups)) / self._num_processes, self._least_work)
        group = self._groups.pop(place)
        if self._num_processes == 1 or _work(group) <= most * (
            1 + 1e-9
        ):  # rounding must not cut an equal share
            return group
        num_taken = 1
        while num_taken < len(group) and _work(group[: num_taken + 1]) <= most:
            num_taken += 1
        if num_taken < len(group):
            self._groups.insert(0, group[num_taken:])
        return group[:num_taken]

    def _least_claimed(self) -> tuple[int, int]:
        """The first of the models of which others have the fewest cells, and how many."""
        least = (0, len(self._groups[0]) + 1)
        for place, group in enumerate(self._groups):
            # A model that another run has loaded comes after those that would be loaded once.
            num_claimed = sum(map(self._is_claimed, group))
            if num_claimed == 0:
                return place, 0
            if num_claimed < least[1]:
                least = (place, num_claimed)
        return least

    def settle(
        self,
        cell: PlannedCell[CellT],
        outcome: CellT | Failure | Busy | PartScored,
        *,
        is_scored: bool = False,
    ) -> None:
        """Take what came of a cell; one that another run is at work on comes again."""
        if isinstance(outcome, PartScored) or cell.whole is not None:
            self._settle_part(cell, outcome)
            return
        if isinstance(outcome, Busy):
            self.put_back([cell])
            return
        if self._remote is not None:
            if is_scored:
                outcome = self._stored(self._remote, cell, outcome)
            self._remote.release(cell.path, warn=self._options.reporter.message)
        self._outcomes[id(cell)] = outcome
        self._num_scored += is_scored
        tell_outcome(cell, outcome, self._options, is_scored=is_scored)

    def _settle_part(self, cell: PlannedCell[CellT], outcome: object) -> None:
        """Take what came of a part; with the last one the cell has an outcome, or comes again as a whole."""
        assert cell.whole is not None
        assert isinstance(outcome, PartScored | Failure)
        of_whole = self._cut.settle(cell, outcome)
        if isinstance(of_whole, Failure):
            self.settle(cell.whole, of_whole)
        elif of_whole is not None:
            written = finished(cell.whole, self._options)
            if written is None:  # the machines differed, or its last documents were finished at one time
                self.put_back([cell.whole])
            else:
                self.settle(cell.whole, written, is_scored=not isinstance(written, Failure))

    def put_back(self, cells: Sequence[PlannedCell[CellT]]) -> None:
        """Take back a model's cells that have no outcome."""
        cells = [cell for cell in cells if not self._cut.is_over(cell)]
        if not cells:
            return
        for group in self._groups:
            if group[0].located is cells[0].located:
                group.extend(cells)
                return
        self._groups.append(list(cells))

    def result(self) -> Scored[CellT]:
        """What came of the cells."""
        return Scored(self._outcomes, self._num_scored)

    def beat(self) -> None:
        """Say that the cells that were given out are being worked on; to be called now and then."""
        self._cut.beat()
        if self._remote is not None:
            self._remote.beat(warn=self._options.reporter.message)

    def let_go(self) -> None:
        """Let others have what was claimed for its parts; all processes have ended."""
        self._cut.let_go_of_all()

    def _is_claimed(self, cell: PlannedCell[CellT]) -> bool:
        if self._cut.holds(cell):
            return False
        return is_claimed(cell.path) or (self._remote is not None and self._remote.is_refused(cell.path))

    def _claimed(self, cells: list[PlannedCell[CellT]]) -> list[PlannedCell[CellT]]:
        """Those of a model's cells that no run on another machine has; the rest comes again."""
        if self._remote is None:
            return cells
        ours = [cell for cell in cells if self._remote.claim(cell.path)]
        self.put_back([cell for cell in cells if cell not in ours])
        return ours

    def _stored(
        self, remote: "RemoteFolder", cell: PlannedCell[CellT], outcome: CellT | Failure
    ) -> CellT | Failure:
        try:
            remote.store(cell.path)
        except ScoringError as error:
            return failure_of(cell, error, self._options)
        return outcome

    def _take_finished(self) -> None:
        for group in self._groups:
            for cell in list(group):
                if (
                    cell.whole is None
                    and (self._remote or cell.path.exists())
                    and (outcome := finished(cell, self._options)) is not None
                ):
                    self.settle(cell, outcome)
                    group.remove(cell)
        self._groups = [group for group in self._groups if group]

    def _wait(self) -> None:
        if not self._has_told_of_waiting:
            num_cells = sum(map(len, self._groups))
            self._options.reporter.message(f"another run is at work on the last {num_cells} cells; waiting")
            self._has_told_of_waiting = True
        time.sleep(WAIT_S)


def _work(cells: Sequence[PlannedCell[CellT]]) -> float:
    return sum(cell.work for cell in cells)


def score_missing(planned: Sequence[PlannedCell[CellT]], options: RunOptions) -> LoopResult[CellT]:
    """Score the cells of a plan that are not finished; a dry run only tells of the plan.

    The models are taken in the order in which the plan names them first, each with all of its cells; those
    of which another run has claimed cells come last, and what it finishes is taken. A cell that fails does
    not stop the others.

    Raises:
        UsageError: something is to be scored, and the output folder cannot be written.
        DiskError: it cannot be written anymore: no cell after this would be kept either.
    """
    missing = [cell for cell in planned if cell.finished is None]
    if missing and not options.dry_run:
        check_writable(options.folder)
    if options.journal is not None:
        options.journal.begin(len(planned), len(planned) - len(missing))
    options.reporter.plan(plan_lines(planned))
    outcomes: dict[int, CellT | Failure] = {}
    num_scored = 0
    if not options.dry_run:
        for cell in missing:
            if cell.problem is not None:
                outcomes[id(cell)] = failure_of(cell, cell.problem, options)
                tell_outcome(cell, outcomes[id(cell)], options, is_scored=False)
        try:
            scored = score_cells([cell for cell in missing if cell.problem is None], options)
        finally:
            if options.remote is not None:
                options.remote.release_all(warn=options.reporter.message)
        outcomes |= scored.outcomes
        num_scored = scored.num_scored
    failures = tuple(outcome for outcome in outcomes.values() if isinstance(outcome, Failure))
    readers = [(cell, cell.finished or _reader(outcomes.get(id(cell)))) for cell in planned]
    cells = [(cell.located, give) for cell, give in readers if give is not None]
    first_cells = {id(located): (located, give) for located, give in reversed(cells)}
    return LoopResult(
        LazySequence(give for _, give in cells), tuple(first_cells.values())[::-1], failures, num_scored
    )


def _reader(outcome: CellT | Failure | None) -> Callable[[], CellT] | None:
    return None if outcome is None or isinstance(outcome, Failure) else functools.partial(same, outcome)


def tell_outcome(
    cell: PlannedCell[CellT], outcome: CellT | Failure, options: RunOptions, *, is_scored: bool
) -> None:
    """Write down what came of a cell, where somebody keeps that."""
    if options.journal is not None:
        problem = outcome.reason if isinstance(outcome, Failure) else None
        options.journal.settle(cell.model, cell.subject, is_scored=is_scored, problem=problem)


def score_cells(cells: Sequence[PlannedCell[CellT]], options: RunOptions) -> Scored[CellT]:
    """Score cells, each model's in one go, in this process or in processes of their own.

    Raises:
        DiskError: the output folder cannot be written anymore.
    """
    schedule = Schedule(cells, options)
    if cells and (engine := _engine(cells, options)) is not None:
        from evalkit.runner.pool import score_with

        score_with(engine, schedule, options)
        return schedule.result()
    if options.remote is not None:
        options = dataclasses.replace(options, reporter=Beating(options.reporter, schedule.beat))
    while group := schedule.next():
        for cell, (outcome, is_scored) in zip(group, score_model(group, options), strict=True):
            schedule.settle(cell, outcome, is_scored=is_scored)
    return schedule.result()


def _engine(cells: Sequence[PlannedCell[CellT]], options: RunOptions) -> "Engine | None":
    """Where the processes are that score; None: all happens in this one."""
    if options.engine == "ray":
        from evalkit.runner.ray_engine import RayEngine

        return RayEngine(cells, options)
    if options.processes == 0 or options.debug:
        return None
    from evalkit.runner.processes import Forks, can_fork

    if not can_fork():
        return None
    import_loaders(cell.located for cell in cells)
    return Forks(options)
