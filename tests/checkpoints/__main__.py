"""262 tiny checkpoints on 15 corpora: ``python -m tests.checkpoints``, or ``make checkpoints``.

Two recipes of two seeds, whose checkpoints are one random RWKV-7 network with its head turned down as a
training goes on; the second recipe is turned down a little less: the planted effect. The run is interrupted
on the way and goes on. Told are the seconds of planning, the memory of the process along the run, and what
`evalkit curve` and `evalkit snr` find.
"""

import argparse
import json
import os
import resource
import signal
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from evalkit.terminal import show
from tests.support.rwkv7_files import random_tensors

NUM_CHECKPOINTS, NUM_CORPORA, NUM_DOCUMENTS, NUM_WORDS = 262, 15, 8, 100
RECIPES, SEEDS = ("a", "b"), (0, 1)
EFFECT = 1.05
"""By how much the head of the second recipe's checkpoints is turned up."""


def write_checkpoints(folder: Path, num_checkpoints: int) -> None:
    """The checkpoints of all runs."""
    tensors = random_tensors(vocab_size=257, num_channels=64, num_layers=1)
    head = tensors["head.weight"].clone()
    rng = np.random.default_rng(0)
    runs = [(recipe, seed) for recipe in RECIPES for seed in SEEDS]
    for place in range(num_checkpoints):
        recipe, seed = runs[place % len(runs)]
        step = 100 * (1 + place // len(runs))
        scale = (0.2 + 4.0 * step**-0.3) * (EFFECT if recipe == "b" else 1.0)
        scale *= 1 + 0.002 * seed + 0.001 * rng.standard_normal()
        tensors["head.weight"] = head * scale
        path = folder / f"mix-{recipe}-seed{seed}" / f"rwkv-{step}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors, path)


def write_corpora(folder: Path, num_corpora: int) -> list[Path]:
    """Corpora of short texts of random words."""
    rng = np.random.default_rng(1)
    letters = list(string.ascii_lowercase)
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, NUM_WORDS)]
    paths = []
    for number in range(num_corpora):
        texts = [f"{number} {place} " + " ".join(rng.choice(words, 12)) for place in range(NUM_DOCUMENTS)]
        path = folder / f"corpus{number}.json"
        path.write_text(json.dumps(texts))
        paths.append(path)
    return paths


def evalkit(*words: str | Path) -> list[str]:
    """A command line of evalkit."""
    return [sys.executable, "-m", "evalkit", *map(str, words)]


def resident_kilobytes(pid: int) -> int:
    """Memory of a process now; 0 of one that has just ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")), 0))


def children_cpu_s() -> float:
    """CPU time of all processes that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(name: str, command: list[str]) -> str:
    """Run a command; what it printed."""
    before_s, started_s = children_cpu_s(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu_s = children_cpu_s() - before_s
    show(f"{name}: exit code {done.returncode}, {time.monotonic() - started_s:.1f} s, {cpu_s:.1f} s of CPU")
    if done.returncode:
        show(done.stderr[-2000:])
    return done.stdout


def score(command: list[str], output: Path, num_cells: int, *, stop_at: int | None) -> None:
    """Run until all is scored, or interrupt when so many cells are there; tells of the memory on the way."""
    before_s, num_before = children_cpu_s(), sum(1 for _ in output.glob("*/*/*.json"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told, seen = 0, {}
    while process.poll() is None:
        time.sleep(1.0)
        num_written = sum(1 for _ in output.glob("*/*/*.json"))
        if num_written >= told + num_cells // 10:
            told = num_written
            if megabytes := resident_kilobytes(process.pid) // 1024:
                seen[num_written] = megabytes
        if stop_at is not None and num_written >= stop_at:
            process.send_signal(signal.SIGINT)
            process.wait()
    num_scored, cpu_s = sum(1 for _ in output.glob("*/*/*.json")) - num_before, children_cpu_s() - before_s
    show(
        f"run: exit code {process.returncode}, {num_scored} cells, {cpu_s:.1f} s of CPU, MB by cells: {seen}"
    )


def main() -> None:
    """Parse the arguments, and run it all."""
    parser = argparse.ArgumentParser(prog="python -m tests.checkpoints", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--checkpoints", type=int, default=NUM_CHECKPOINTS)
    parser.add_argument("--corpora", type=int, default=NUM_CORPORA)
    parser.add_argument("--processes", default="1", help="of the run (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="(default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        os.environ["EVALKIT_CACHE"] = str(folder / "cache")
        write_checkpoints(folder / "ckpts", arguments.checkpoints)
        corpora = write_corpora(folder, arguments.corpora)
        runs = folder / "runs"
        request = ["--models", f"rwkv7:{folder}/ckpts/*/rwkv-*.pth", "--corpora", ",".join(map(str, corpora))]
        num_cells = arguments.checkpoints * arguments.corpora
        command = evalkit("run", *request, "--output", runs, "--processes", arguments.processes)
        timed("planning, nothing scored", [*command, "--dry-run"])
        timed("planning again", [*command, "--dry-run"])
        score(command, runs, num_cells, stop_at=num_cells // 3)
        score(command, runs, num_cells, stop_at=None)
        timed("planning, all scored", [*command, "--dry-run"])
        timed("curve", evalkit("curve", runs, "-o", folder / "curve.svg"))
        for line in timed("snr", evalkit("snr", runs)).splitlines():
            show(line)


if __name__ == "__main__":
    main()
