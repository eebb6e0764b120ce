"""Runs that are killed at random moments, also inside a cell: nothing is lost, and nothing done twice.

``python -m tests.cluster.kills`` (``make kills``) prints the table of docs/cluster.md. Each try forks a run
of two models on two corpora, in processes of their own, and kills -9 a process that scores, or the run
itself, before a random one of its batches; what is finished of a cell is written after every batch. The same
run is given again until all is finished.

``--ray N`` kills -9 so many times a process of Ray, of two that score two models on these corpora, when it is
told of progress for a random time; there the run itself goes on until all is finished. After ``--minutes``
no other try begins: the table says how many there were.
"""

import argparse
import contextlib
import faulthandler
import math
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.cells.partial import PARTIAL_SUFFIX
from evalkit.files import TEMPORARY_SUFFIX
from evalkit.models.catalog import DUEL_MODELS
from evalkit.runner.claims import CLAIM_SUFFIX
from evalkit.runner.corpora import run
from evalkit.runner.journal import RUN_SUFFIX
from evalkit.runner.options import RunOptions
from tests.support.ray_killers import Killer
from tests.support.toys import BigramModel, corpus_of, numbers

CORPORA = [
    corpus_of([f"text {number}: " + "abc " * (3 * number % 17) for number in range(24)]),
    corpus_of([f"another {number} " + "de " * (5 * number % 23) for number in range(12)], "other"),
]
NAMES = ("first", "second")
_LEFT_OVER = (PARTIAL_SUFFIX, TEMPORARY_SUFFIX, CLAIM_SUFFIX, RUN_SUFFIX)


class Killed(BigramModel):
    """Kills before one of its batches, counted over all processes; the process that scores, or the run."""

    tokens_per_batch = 96

    def __init__(self, name: str, counter: Any, at: int, victim: str) -> None:
        super().__init__(name)
        self.counter, self.at, self.victim = counter, at, victim

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        with self.counter.get_lock():
            self.counter.value += 1
            number = self.counter.value
        if number == self.at:
            faulthandler.disable()
            if self.victim == "run":
                os.kill(os.getppid(), signal.SIGKILL)
                while True:
                    signal.pause()  # until the system says that the parent is gone
            os.kill(os.getpid(), signal.SIGKILL)
        return super().nats(sequences, contexts=contexts)


class Row(NamedTuple):
    """What came of the tries on one victim."""

    victim: str
    num_tries: int
    num_struck: int
    num_wrong: int
    """Cells that differ from those of a run that was not disturbed, or are not there."""
    num_left_over: int
    """Files that are none of a cell's, when all is finished."""
    most_again: int | None
    """Batches of a try beyond those of a run that was not disturbed; None: they were not counted."""

    @property
    def line(self) -> str:
        """Of the table."""
        return f"| {' | '.join('–' if value is None else str(value) for value in self)} |"


def attempt(folder: Path, at: int, victim: str, processes: int) -> tuple[int, bool]:
    """Run until all is finished; the number of batches, and whether something was killed."""
    counter = multiprocessing.Value("i", 0)
    models = [Killed(name, counter, at, victim) for name in NAMES]
    options = RunOptions(output=folder, processes=processes, checkpoint_s=0)
    for _ in range(4):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            code = 1
            with contextlib.suppress(BaseException):
                code = 1 if run(models, CORPORA, options=options).failures else 0
            os._exit(code)
        os.close(writing)
        os.read(reading, 1)  # all of its processes have ended
        os.close(reading)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            break
    return counter.value, 0 < at <= counter.value


def tries(victim: str, num_tries: int, seed: int = 0) -> Row:
    """Kill so many times, each time in a folder of its own."""
    dice = random.Random(f"{seed} {victim}")
    with tempfile.TemporaryDirectory(prefix="evalkit-kills-") as name:
        num_whole, _ = attempt(Path(name, "whole"), 0, victim, 2)
        expected = numbers(Path(name, "whole"))
        num_struck = num_wrong = num_left_over = most_again = 0
        for number in range(num_tries):
            folder = Path(name, str(number))
            num_batches, is_struck = attempt(folder, dice.randint(1, num_whole), victim, dice.choice([1, 2]))
            cells = numbers(folder)
            num_struck += is_struck
            num_wrong += sum(cells.get(path) != cell for path, cell in expected.items())
            num_wrong += len(cells.keys() - expected)
            num_left_over += sum(path.name.endswith(_LEFT_OVER) for path in folder.rglob(".*"))
            most_again = max(most_again, num_batches - num_whole)
    return Row(victim, num_tries, num_struck, num_wrong, num_left_over, most_again)


def ray_tries(most_tries: int, minutes: float, seed: int = 0) -> Row:
    """Kill a process of Ray so many times, each time in a folder of its own, on one cluster.

    After so many minutes no other try begins.
    """
    from ray.cluster_utils import Cluster

    end_s = time.monotonic() + 60 * minutes
    dice = random.Random(f"{seed} Ray")
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=2, include_dashboard=False)
        with tempfile.TemporaryDirectory(prefix="evalkit-kills-") as name:

            def score(folder: Path, killer: Killer) -> dict[str, object]:
                options = RunOptions(
                    output=folder,
                    engine="ray",
                    address=cluster.address,
                    processes=2,
                    reporter=killer,
                    checkpoint_s=0,
                )
                assert run(DUEL_MODELS, CORPORA, options=options).failures == ()
                return numbers(folder)

            undisturbed = Killer(at=0)
            expected = score(Path(name, "whole"), undisturbed)
            num_tries = num_struck = num_wrong = num_left_over = 0
            while num_tries < most_tries and time.monotonic() < end_s:
                folder = Path(name, str(num_tries))
                killer = Killer(at=dice.randint(1, undisturbed.num_told), seed=str(num_tries))
                num_tries += 1
                cells = score(folder, killer)
                num_struck += killer.num_killed
                num_wrong += sum(cells.get(path) != expected.get(path) for path in cells.keys() | expected)
                num_left_over += sum(path.name.endswith(_LEFT_OVER) for path in folder.rglob(".*"))
    finally:
        cluster.shutdown()
    return Row("process of Ray", num_tries, num_struck, num_wrong, num_left_over, None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.kills", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--ray", type=int, metavar="N", help="kill processes of Ray instead, N times")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="of Ray's: begin no try after so many"
    )
    arguments = parser.parse_args()
    print("| killed | tries | felt | cells lost or other | files left over | batches done again, at most |")
    print("|---|---|---|---|---|---|")
    rows = (
        [ray_tries(arguments.ray, arguments.minutes)]
        if arguments.ray
        else [tries("process", 50), tries("run", 50)]
    )
    for row in rows:
        print(row.line)
    raise SystemExit(any(row.num_wrong or row.num_left_over for row in rows))


if __name__ == "__main__":
    main()
