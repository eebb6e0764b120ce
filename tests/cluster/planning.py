"""A store of 100,000 documents and 10,000 cells: ``python -m tests.cluster.planning``, or ``make planning``.

Told are seconds of CPU of commands that only look: `run --dry-run` before and after the cells are finished,
`status`, and for `report` the memory, beside those of a command that does nothing. The cells are of one
model's numbers under a hundred names; nothing is scored but those.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from evalkit.cells.corpus_cell import CellSpec, write_cell
from evalkit.cells.files import write_content
from evalkit.cells.provenance import cell_environment, cell_model
from evalkit.corpora.store import Corpus, load_corpora, make_corpus, make_document, save_corpus
from evalkit.fields import to_json
from evalkit.models.loading import LocatedModel, locate_models
from evalkit.models.prefixes import Prefix
from evalkit.models.protocol import LoadOptions
from evalkit.scoring.documents import DocumentScore
from evalkit.terminal import show
from tests.support.rwkv7_files import random_tensors

NUM_MODELS, NUM_CORPORA, NUM_DOCUMENTS = 100, 100, 1000


class Cost(NamedTuple):
    """What a command took."""

    cpu_s: float
    peak_megabytes: int
    output: str


def write_models(folder: Path, num_models: int) -> None:
    """Checkpoints that differ."""
    tensors = random_tensors(vocab_size=257, num_channels=64, num_layers=1)
    for number in range(num_models):
        tensors["head.weight"] = tensors["head.weight"] + 1.0
        path = folder / f"model-{number:03}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors, path)


def write_corpora(num_corpora: int, num_documents: int) -> None:
    """Corpora of made-up documents, in the store."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(chr(97 + letter) for letter in rng.integers(0, 26, 6)) for _ in range(500)])
    for number in range(num_corpora):
        documents = [
            make_document(
                f"{number} {place} " + " ".join(rng.choice(words, 30)),
                source="made up",
                license="CC0-1.0",
                title=f"document {place}",
                published_at=f"2026-10-{1 + place % 28:02}",
                cluster=f"site {place % 90}",
            )
            for place in range(num_documents)
        ]
        save_corpus(make_corpus(f"source{number:03}-2026-10", documents))


def write_cells(output: Path, located_models: Sequence[LocatedModel], corpora: Sequence[Corpus]) -> None:
    """The cell of every pair: of one model really written, of the others with its rows."""
    environment = cell_environment("cpu")
    rng = np.random.default_rng(1)
    for corpus in corpora:
        scores = [
            DocumentScore(document, document.num_bytes // 4, float(document.num_bytes * rng.uniform(1, 3)))
            for document in corpus.documents
        ]
        prefix = Prefix(located_models[0].identity.prefix, (0,))
        first, *others = [CellSpec(located.identity, corpus, "document", None) for located in located_models]
        cell = write_cell(first, scores, output, seconds=2.0, prefix=prefix, environment=environment)
        content = json.loads(cell.path.read_text(encoding="utf-8"))
        for spec in others:
            path = spec.path(output)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(cell.path.with_suffix(".parquet"), path.with_suffix(".parquet"))
            documents = content["documents"] | {"parquet": path.with_suffix(".parquet").name}
            write_content(
                path, content | {"model": to_json(cell_model(spec.identity)), "documents": documents}
            )


def cost_of(arguments: Sequence[str | Path]) -> Cost:
    """Run evalkit in a process of its own, from compiled modules as Python keeps them.

    Where ``PYTHONDONTWRITEBYTECODE`` is set each command compiles all that it imports.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom evalkit.cli.main import main\n"
        "try:\n    main()\nfinally:\n    status = Path('/proc/self/status').read_text()\n"
        "    print(int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        show(done.stderr[-2000:])
    return Cost(cpu_s, int(done.stderr.split()[-1]), done.stdout)


def tell(name: str, cost: Cost) -> None:
    """Print a line of what a command took, and the first of what it said."""
    show(f"{name}: {cost.cpu_s:.2f} s of CPU, {cost.peak_megabytes} MB; {cost.output.partition(chr(10))[0]}")


def main() -> None:
    """Parse the arguments, and measure it all."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.planning", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--models", type=int, default=NUM_MODELS)
    parser.add_argument("--corpora", type=int, default=NUM_CORPORA)
    parser.add_argument("--documents", type=int, default=NUM_DOCUMENTS, help="of a corpus")
    parser.add_argument("--report", action="store_true", help="also build the site, without plots")
    parser.add_argument(
        "--folder", type=Path, help="(default: a temporary one; what is there is not made again)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(arguments.folder or Path(temporary), arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the store in a folder, as far as it is not there, and tell what looking at it takes."""
    os.environ |= {"EVALKIT_CACHE": f"{folder}/cache", "EVALKIT_CORPORA": f"{folder}/corpora"}
    models, output = f"rwkv7:{folder}/models/model-*.pth", folder / "runs"
    if not folder.joinpath("models").exists():
        write_models(folder / "models", arguments.models)
        write_corpora(arguments.corpora, arguments.documents)
    names = [f"source{number:03}-2026-10" for number in range(arguments.corpora)]
    plan: list[str | Path] = [
        "run",
        "--models",
        models,
        "--corpora",
        ",".join(names),
        "--dry-run",
        "--output",
    ]
    cost_of([*plan, folder / "nothing"])  # remembers what the models' files are
    tell("help", cost_of(["--help"]))
    tell("nothing", cost_of(["run", "--models", "xz", "--corpora", names[0], "--dry-run"]))
    tell("run, nothing finished", cost_of([*plan, folder / "nothing"]))
    if not output.exists():
        write_cells(output, locate_models([models], LoadOptions()), load_corpora(names))
    tell("run, all finished, the first time", cost_of([*plan, output]))
    tell("run, all finished", cost_of([*plan, output]))
    tell("status", cost_of(["status", output]))
    if arguments.report:
        tell("report", cost_of(["report", output, "--no-plots", "--output", folder / "site"]))


if __name__ == "__main__":
    main()
