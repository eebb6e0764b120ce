"""Starts commands that something happens to, and says how they ended."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.injection import Fault

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
"""Nothing takes this long on any machine: what does has hung."""


class Ending(NamedTuple):
    """How a command ended."""

    code: int | None
    """Exit code, or minus the signal that ended it; None: it hung."""
    said: str
    """Both of its streams."""
    num_operations: int
    """Operations on files, and of these those that change something; 0 where something happened to it."""
    num_changes: int


class Victims:
    """A process that forks commands; see `running`."""

    def __init__(self, process: "subprocess.Popen[str]", logs: Path) -> None:
        self._process, self._logs = process, logs
        self._numbers = itertools.count()

    def run(self, words: Sequence[str], folder: Path, fault: Fault | None = None) -> Ending:
        """A command in a folder, to its end."""
        [ending] = self.run_at_once([words], folder, fault)
        return ending

    def run_at_once(
        self, commands: Sequence[Sequence[str]], folder: Path, fault: Fault | None = None
    ) -> list[Ending]:
        """Several commands at the same time in the same folder."""
        started = []
        kind, at = fault or Fault()
        for words in commands:
            log = str(self._logs / str(next(self._numbers)))
            order = {"words": list(words), "folder": str(folder), "log": log, "kind": kind, "at": at}
            started.append((self._ask({"start": order}), Path(log)))
        return [self._end(pid, log) for pid, log in started]

    def _end(self, pid: int, log: Path) -> Ending:
        code, said = self._ask({"wait": {"pid": pid, "log": str(log), "patience_s": PATIENCE_S}})
        notes = {"num_operations": 0, "num_changes": 0}
        with contextlib.suppress(FileNotFoundError):
            notes = json.loads(log.read_text())
        return Ending(code, said, notes["num_operations"], notes["num_changes"])

    def _ask(self, request: object) -> Any:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def running(environment: Mapping[str, str]) -> Iterator[Victims]:
    """The process, with these variables in its environment."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", **environment}
    path = [environment.get("PYTHONPATH", ""), str(ROOT)]
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        variables.pop(name, None)
    with (
        tempfile.TemporaryDirectory(prefix="evalkit-faults-") as logs,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=variables,
            text=True,
            cwd=logs,
        ) as process,
    ):
        yield Victims(process, Path(logs))
        assert process.stdin
        process.stdin.close()
