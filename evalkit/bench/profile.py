"""`evalkit bench profile`: where each second of a whole ``evalkit run`` goes, from its start to its table."""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.bench.profile_child import PARTS
from evalkit.bench.shapes import SHAPE_NAMES, write_shape
from evalkit.corpora.store import load_corpus
from evalkit.errors import ScoringError, one_line
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions

_IMPORTS = "import torch, transformers"


@dataclasses.dataclass(frozen=True)
class ProfileRow:
    """A run of one model on one corpus, in a process of its own."""

    model: str
    corpus: str
    num_documents: int | None
    """The first of the corpus; None: all."""
    num_threads: int
    wall_s: Mapping[str, float]
    """By part, see `evalkit.bench.profile_child.PARTS`."""
    cpu_s: Mapping[str, float]
    """Of the processor, all threads together, likewise; without child processes."""


def profile_run(spec: str, corpus: str, num_documents: int | None, num_threads: int) -> ProfileRow:
    """Run a model on a corpus in float32 on the CPU, and tell what took how long.

    Args:
        spec: as `evalkit run` takes it, or one of `evalkit.bench.shapes.SHAPE_NAMES`.
        corpus: likewise.
        num_documents: the first so many; None: all.
        num_threads: torch's.

    Raises:
        ScoringError: the run failed; the message is its own.
    """
    with tempfile.TemporaryDirectory(prefix="evalkit-bench-") as name:
        folder = Path(name)
        path_spec = spec
        if spec in SHAPE_NAMES:
            texts = [document.text for document in load_corpus(corpus).documents[:num_documents]]
            path_spec = write_shape(spec, folder / spec, texts)
        [located] = locate_models([path_spec], LoadOptions(device="cpu"))
        words = ["run", "--models", path_spec, "--corpora", corpus, "--device", "cpu", "--dtype", "float32"]
        words += ["--output", str(folder / "runs"), "--workers", "1"]  # other processes are not seen
        if num_documents is not None:
            words += ["--limit", str(num_documents)]
        result = folder / "times.json"
        command = [sys.executable, "-m", "evalkit.bench.profile_child", str(result), str(time.time())]
        command += [str(num_threads), located.identity.loader, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not result.is_file():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            reason = one_line(lines[-1]).removeprefix("evalkit: ")
            raise ScoringError(f"{spec}: the run that was to be timed failed: {reason}")
        times = json.loads(result.read_text(encoding="utf-8"))
    return ProfileRow(spec, corpus, num_documents, num_threads, times["wall_s"], times["cpu_s"])


def imports_cpu_s() -> float:
    """What Python takes of the processor to import torch and transformers, and nothing else."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imports_line(cpu_s: float) -> str:
    """What a run may be held against, as a line of text."""
    return f'{cpu_s:.2f} CPU seconds: python -c "{_IMPORTS}"'


def profile_table(rows: Sequence[ProfileRow]) -> list[str]:
    """The rows as lines of a Markdown table: a column for each run, processor seconds by part."""
    heads = [f"{row.model}, {row.num_threads} thr." for row in rows]
    lines = ["| CPU seconds | " + " | ".join(heads) + " |", "|---" * (len(rows) + 1) + "|"]
    for part in PARTS:
        lines.append(f"| {part} | " + " | ".join(f"{row.cpu_s.get(part, 0.0):.2f}" for row in rows) + " |")
    lines.append("| **all** | " + " | ".join(f"{sum(row.cpu_s.values()):.2f}" for row in rows) + " |")
    lines.append("| wall clock | " + " | ".join(f"{sum(row.wall_s.values()):.2f}" for row in rows) + " |")
    return lines
