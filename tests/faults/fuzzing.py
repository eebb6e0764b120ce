"""Both fuzzers over a reader: hypothesis, and atheris, which looks for bytes that reach code not yet reached.

Started with the name of a reader, limits and a folder, this is the coverage-guided one.
"""

import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.faults.guard import Reader, finding
from tests.faults.victims import ROOT

NUM_BYTES = 64
"""Of decisions."""
_SEEDS = 32


class Fuzzed(NamedTuple):
    """What came of a fuzzer's work."""

    num_tries: int
    findings: tuple[str, ...]
    """What was wrong, and the bytes by which."""


def with_hypothesis(reader: Reader, folder: Path, num_examples: int, *, seed: int = 20261130) -> Fuzzed:
    """So many files.

    Args:
        reader: of the files.
        folder: an empty one, to lay them into.
        num_examples: how many.
        seed: of the choice; the same seed gives the same files.
    """
    import hypothesis
    from hypothesis import strategies as st

    problems: dict[str, str] = {}
    num_tries = 0

    @hypothesis.settings(
        max_examples=num_examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(st.binary(min_size=24, max_size=NUM_BYTES))
    def look(data: bytes) -> None:
        nonlocal num_tries
        num_tries += 1
        problem = finding(reader, data, folder)
        if problem is not None:
            problems.setdefault(problem, data.hex())

    look()
    return Fuzzed(num_tries, tuple(f"{problem} by {data}" for problem, data in problems.items()))


def with_coverage(reader: Reader, *, seconds: int = 0, num_tries: int = -1) -> Fuzzed:
    """As many files as in so many seconds, in a process of its own: a crash or a hang is a finding too.

    Args:
        reader: of the files.
        seconds: after which no further file is tried; 0 for no such limit.
        num_tries: after which none is; the same files on every machine, however fast. -1 for no such limit.
    """
    with tempfile.TemporaryDirectory(prefix="evalkit-fuzz-") as name:
        notes = Path(name, "findings")
        limits = (str(seconds), str(num_tries))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.faults.fuzzing", reader.name, *limits, name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        lines = notes.read_text().splitlines() if notes.exists() else []
        counts = [int(count) for count in re.findall(r"^(?:#|Done )(\d+)", done.stderr, re.MULTILINE)]
        if done.returncode:
            last = Path(name, "last")
            data = last.read_bytes().hex() if last.exists() else ""
            lines.append(f"ends with {done.returncode}: {done.stderr[-300:]!r} by {data}")
    return Fuzzed(max(counts, default=0), tuple(lines))


def _main(name: str, seconds: str, num_tries: str, folder: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["evalkit", "evalkit_crawlers"], enable_loader_override=False):
        from tests.faults.readers import READER

        reader = READER[name]
        inputs = Path(folder, "in")
        inputs.mkdir()
        for file, content in reader.files().items():
            path = inputs / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        reader.read(inputs)  # imports what it needs, where that is instrumented
    work = Path(folder, "work")
    work.mkdir()
    corpus = Path(folder, "corpus")
    corpus.mkdir()
    dice = random.Random(name)
    for number in range(_SEEDS):
        (corpus / str(number)).write_bytes(dice.randbytes(NUM_BYTES))
    problems: set[str] = set()

    def look(data: bytes) -> None:
        Path(folder, "last").write_bytes(data)
        problem = finding(reader, data, work)
        if problem is not None and problem not in problems:
            problems.add(problem)
            with Path(folder, "findings").open("a") as notes:
                notes.write(f"{problem!r} by {data.hex()}\n")

    limits = [f"-max_total_time={seconds}", f"-runs={num_tries}", "-seed=20261130"]
    options = [*limits, f"-max_len={NUM_BYTES}", "-len_control=0", "-rss_limit_mb=6000"]
    atheris.Setup([sys.argv[0], *options, "-timeout=120", f"-artifact_prefix={folder}/", str(corpus)], look)
    atheris.Fuzz()


if __name__ == "__main__":
    _main(*sys.argv[1:])
