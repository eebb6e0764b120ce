"""Who kills processes of Ray while they score."""

import os
import random
import signal
from pathlib import Path

from evalkit.runner.reporter import Silent


class Killer(Silent):
    """Kills a process that scores, when it is told of progress for the so manieth time."""

    def __init__(self, at: int = 1, seed: str = "") -> None:
        """Kill at the ``at``-th telling, 0 for never; ``seed`` decides which process of several."""
        self.lines: list[str] = []
        self.num_told = self.num_killed = 0
        self._at, self._dice = at, random.Random(seed)

    def message(self, text: str) -> None:
        self.lines.append(text)

    def advance(self, progress: object) -> None:
        self.num_told += 1
        if self.num_told == self._at:
            self.kill()
            self.num_killed += 1

    def kill(self) -> None:
        os.kill(self._dice.choice(processes_of_ray()), signal.SIGKILL)


def processes_of_ray() -> list[int]:
    """Those that score, by what Ray lets them call themselves."""
    names = {path.parent.name: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")}
    return sorted(int(pid) for pid, name in names.items() if name.startswith(b"ray::stream"))
