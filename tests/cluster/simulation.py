"""Many models on many corpora on many GPUs that fail: how long that takes beside what it must take.

``python -m tests.cluster.simulation`` (``make makespan``). The scheduling is that of runs
(`evalkit.runner.pool`, `evalkit.runner.loop`); the GPUs and their clock are made up, their speed is that of
`evalkit.runner.throughput`.
"""

import heapq
import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import LoadOptions
from evalkit.runner.loop import Schedule
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import Failure, PlannedCell
from evalkit.runner.pool import Message, Settled, Told, score_with
from evalkit.runner.throughput import find_device, throughput
from tests.support.toys import identity

BYTES_PER_TOKEN = 4
CHECKPOINT_S = 60.0
SHAPES = ((200, 40, 64), (8, 40, 64))


class Made(NamedTuple):
    """What came of a simulation."""

    makespan_s: float
    bound_s: float
    """No schedule takes less: the work over the GPUs, or the longest cell."""
    num_cells: int
    num_finished: int
    num_finished_twice: int
    num_lost: int
    """Processes that ended before their work."""
    num_runs: int
    """Commands: the last of them had nothing left to do."""


class Gpus:
    """GPUs that take the time that they would, and fail; see `evalkit.runner.pool.Engine`."""

    def __init__(
        self,
        num_gpus: int,
        work_s: dict[int, float],
        loading_s: dict[int, float],
        dice: random.Random,
        mean_life_s: float,
    ) -> None:
        self.num_gpus, self.remaining_s, self.loading_s = num_gpus, dict(work_s), loading_s
        self.dice, self.mean_life_s = dice, mean_life_s
        self.now_s = 0.0
        self.num_finished: dict[int, int] = {}
        self.num_lost = 0
        self._events: list[tuple[float, int, int, Message | None, int | None]] = []
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._said: dict[int, Message | None] = {}

    def num_slots(self) -> int:
        return self.num_gpus

    def start(self, cells: Sequence[PlannedCell[Any]], slot: int) -> int:
        number = next(self._numbers)
        time_s = self.now_s + self.loading_s[id(cells[0].located)]
        end_s = self.now_s + self.dice.expovariate(1 / self.mean_life_s)
        for place, cell in enumerate(cells):
            if time_s > end_s:
                break
            self._tell(time_s, number, Told("start", (cell.model, cell.subject, 1)))
            finished_s = time_s + self.remaining_s[id(cell)]
            if finished_s > end_s:
                self.remaining_s[id(cell)] -= CHECKPOINT_S * math.floor((end_s - time_s) / CHECKPOINT_S)
                break
            self._tell(finished_s, number, Settled(place, None, False, True), id(cell))
            time_s = finished_s
        else:
            self._tell(time_s, number, None)
            return number
        self.num_lost += 1
        self._tell(end_s, number, None)
        return number

    def _tell(self, time_s: float, number: int, message: Message | None, finished: int | None = None) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), number, message, finished))

    def wait(self) -> Sequence[int]:
        self.now_s, _, number, self._said[number], finished = heapq.heappop(self._events)
        if finished is not None:
            self.num_finished[finished] = self.num_finished.get(finished, 0) + 1
        return [number]

    def receive(self, number: int) -> Message | None:
        return self._said.pop(number)

    def bury(self, number: int) -> str:
        return "was lost"

    def stop(self) -> None:
        """All have ended."""


class WholeModels(Schedule[Any]):
    """Each model whole in one process, in the order of the plan: what sharing out is compared with."""

    def share_out(self, num_processes: int) -> None:
        """Nothing is."""


def simulate(
    num_models: int,
    num_corpora: int,
    num_gpus: int,
    mean_life_h: float,
    seed: int = 0,
    scheduling: type[Schedule[Any]] = Schedule,
) -> Made:
    """Score models of 0.1 to 30 billion parameters on corpora of 1 to 50 MB on H100s."""
    dice = random.Random(seed)
    device = find_device("h100")
    sizes = [10 ** dice.uniform(8, 10.5) for _ in range(num_models)]
    num_bytes = [10 ** dice.uniform(6, 7.7) for _ in range(num_corpora)]
    work_s: dict[int, float] = {}
    loading_s: dict[int, float] = {}
    cells: list[PlannedCell[Any]] = []
    gpus = Gpus(num_gpus, work_s, loading_s, dice, 3600 * mean_life_h)
    for number, num_parameters in enumerate(sizes):
        located = LocatedModel(identity(f"model-{number}"), None, LoadOptions())
        loading_s[id(located)] = 20 + num_parameters * 2 / 2e9
        for corpus, size in enumerate(num_bytes):
            seconds = size / BYTES_PER_TOKEN / throughput(device, num_parameters).tokens_per_s

            def find(_: RunOptions, place: int = len(cells)) -> str | None:
                return "finished" if gpus.num_finished.get(id(cells[place])) else None

            def score(*_: object) -> str:
                raise AssertionError("nothing is computed here")

            path = Path("/nowhere") / str(number) / f"{corpus}.json"
            cells.append(PlannedCell(located, f"corpus-{corpus}", 1, "", path, None, find, score, seconds))
            gpus.remaining_s[id(cells[-1])] = work_s[id(cells[-1])] = seconds
    left, num_runs = cells, 0
    while left:
        schedule, options = scheduling(left, RunOptions()), RunOptions()
        score_with(gpus, schedule, options)
        outcomes = schedule.result().outcomes
        left = [cell for cell in left if isinstance(outcomes[id(cell)], Failure)]
        num_runs += 1
    return Made(
        gpus.now_s,
        max(sum(work_s.values()) / num_gpus, *work_s.values()),
        len(cells),
        len(gpus.num_finished),
        sum(count > 1 for count in gpus.num_finished.values()),
        gpus.num_lost,
        num_runs,
    )


def main() -> None:
    print("| models × corpora × GPUs | a GPU process lives | processes lost | makespan | bound | ratio |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for mean_life_h in (1e9, 24.0, 2.0):
            made = simulate(*shape, mean_life_h)
            assert (made.num_finished, made.num_finished_twice) == (made.num_cells, 0)
            row = [
                " × ".join(map(str, shape)),
                "for ever" if mean_life_h > 1e6 else f"{mean_life_h:g} h on average",
                str(made.num_lost),
                f"{made.makespan_s / 3600:.2f} h",
                f"{made.bound_s / 3600:.2f} h",
                f"{made.makespan_s / made.bound_s:.2f}",
            ]
            print(f"| {' | '.join(row)} |")
    for shape in SHAPES:
        made = simulate(*shape, 1e9, scheduling=WholeModels)
        print(f"{' × '.join(map(str, shape))}, each model whole: {made.makespan_s / 3600:.2f} h")


if __name__ == "__main__":
    main()
