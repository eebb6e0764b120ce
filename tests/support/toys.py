"""Models and corpora whose numbers can be worked out by hand, a plug-in made of them, the command line."""

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from evalkit.cli import main as cli
from evalkit.corpora.store import Corpus, make_corpus, make_document
from evalkit.errors import LossyTextError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.protocol import Encoding, LoadOptions, ModelIdentity

ROOT = Path(__file__).parents[2]
OLDER_CELLS = ROOT / "tests" / "data" / "older-cells"
"""Cells of schema 1 that were published once, of earlier embedded models and of compressors."""

TEXTS = [
    "The stake is paid in bits.\n",
    "Straße hat acht davon, nicht sieben.\n",
    "def add(first, second):\n    return first + second\n" * 3,
    "文字を数える。\n",
    "In the beginning there was the byte, and the byte was with the file.\n" * 2,
    "0123456789 0123456789\n",
    "A bet on what comes next; " * 5,
]
BLOCK = "BLOCK"
"""A text with this in it makes `SlowCodec` wait, see there."""

PATIENCE_S = 900
"""Nothing takes this long on any machine: what does has hung, and the test ends."""


def identity(name: str, **fields: Any) -> ModelIdentity:
    return ModelIdentity(
        **{
            "name": name,
            "loader": "toy",
            "revision": None,
            "weights_sha256": name,
            "tokenizer_sha256": "bytes",
            "prefix": "token:256",
            "dtype": "float32",
            "context_limit": None,
        }
        | fields
    )


class BigramModel:
    """Bytes are tokens, and what one costs depends on the one before it."""

    vocab_size = 257
    prefix: tuple[int, ...] = (256,)
    policy_prefixes: Mapping[str, tuple[int, ...]] = {"uncheatable": ()}
    tokens_per_batch = 200

    def __init__(
        self, name: str = "bigram", seed: int = 0, *, lossy: str | None = None, **fields: Any
    ) -> None:
        """``lossy``: texts with this in them cannot be represented."""
        self.identity = identity(name, **({"weights_sha256": f"bigram {seed}"} | fields))
        self.context_limit = self.identity.context_limit
        self.lossy = lossy
        logits = 2 * np.random.default_rng(seed).standard_normal((257, 257))
        self.table = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits
        """``[before, token]``: nats."""
        self.num_calls = 0

    def encode(self, text: str) -> Encoding:
        if self.lossy and self.lossy in text:
            raise LossyTextError(f"the toy cannot write {self.lossy!r}")
        data = np.frombuffer(text.encode(), np.uint8)
        return Encoding(data.astype(np.int64), np.arange(1, len(data) + 1))

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        self.num_calls += 1
        contexts = contexts or [self.prefix] * len(sequences)
        costs = []
        for context, targets in zip(contexts, sequences, strict=True):
            before = [*context[-1:], *targets[:-1]]
            costs.append(self.table[before, list(targets)].astype(np.float32))
        return costs

    def bits(self, text: str) -> float:
        """What a text costs under the document policy, written another way."""
        data = text.encode()
        nats = self.table[256, data[0]] + sum(self.table[a, b] for a, b in itertools.pairwise(data))
        return float(nats / np.log(2))


class DistributionBigram(BigramModel):
    """A bigram model that shows its distributions, in uneven pieces, and how many rows it was asked for."""

    def __init__(self, name: str = "bigram", seed: int = 0, **fields: Any) -> None:
        super().__init__(name, seed, **fields)
        self.num_rows: list[int] = []

    def head_inputs(self, context: Sequence[int], targets: Sequence[int]) -> Iterator[torch.Tensor]:
        before = torch.tensor([*context[-1:], *targets[:-1]])
        yield from torch.split(before[:, None], 13)

    def logits(self, head_inputs: torch.Tensor) -> torch.Tensor:
        self.num_rows.append(len(head_inputs))
        return torch.from_numpy(-self.table[head_inputs[:, 0].numpy()]).float()


class SlowCodec:
    """A codec that stops in the middle of a corpus, for as long as a test wants it to.

    ``$TOY_PIPES`` holds two file descriptors: into the first it writes a byte when it stops, and it goes on
    when the other end of the second is closed.
    """

    def __init__(self, name: str) -> None:
        self.identity = identity(name, loader="codec", dtype="none", prefix="none")

    def code_length_bytes(self, data: bytes) -> int:
        if BLOCK.encode() in data and os.environ.get("TOY_PIPES"):
            stopped, resumed = map(int, os.environ["TOY_PIPES"].split(","))
            os.write(stopped, b".")
            os.read(resumed, 1)
        return len(set(data)) + len(data) // 3


class Panic(BaseException):
    """As PyO3's PanicException, which a library in Rust raises where its own assumptions fail."""


FAULTS: dict[str, BaseException] = {
    "panic": Panic("called `Option::unwrap()` on a `None` value"),
    "recursion": RecursionError("maximum recursion depth exceeded"),
    "type": TypeError("'NoneType' object is not subscriptable"),
    "division": ZeroDivisionError("division by zero"),
    "exit": SystemExit(3),
    "memory": MemoryError(),
}
"""What a model's files and its code can make libraries raise."""


class BrokenModel(BigramModel):
    """Costs and encodings that no model may give; right again where a text has no ``BREAK`` in it."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"broken-{fault}")
        self.fault = fault

    def encode(self, text: str) -> Encoding:
        encoding = super().encode(text)
        if "BREAK" in text and self.fault == "coverage":
            return Encoding(encoding.ids[:-2], encoding.ends[:-2])
        return encoding

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        costs = super().nats(sequences, contexts=contexts)
        breaks = [i for i, ids in enumerate(sequences) if b"BREAK" in bytes(ids)]
        if not breaks or self.fault == "coverage":
            return costs
        if self.fault == "nan":
            costs[breaks[0]][-1] = np.nan
        elif self.fault == "infinite":
            costs[breaks[0]][0] = np.inf
        elif self.fault == "shape":
            costs[breaks[0]] = costs[breaks[0]][:-1]
        elif self.fault == "rows":
            return costs[:-1]
        elif self.fault == "error":
            raise RuntimeError("the device\n  has left\nthe building")
        elif self.fault in FAULTS:
            raise FAULTS[self.fault]
        return costs


# The plug-in: `write_plugin` makes a distribution that registers these two.


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    if entry.target == "cannot-identify":
        raise KeyError("no such\nthing")
    if entry.target.startswith("identify-raises-"):
        raise FAULTS[entry.target.removeprefix("identify-raises-")]
    return _make(entry.target).identity


def load(entry: CatalogEntry, options: LoadOptions) -> Any:
    if os.environ.get("TOY_LOG"):
        with Path(os.environ["TOY_LOG"]).open("a") as log:
            log.write(f"{entry.target}\n")
    if entry.target == "cannot-load":
        raise OSError("the disk\nis gone")
    if entry.target.startswith("load-raises-"):
        raise FAULTS[entry.target.removeprefix("load-raises-")]
    return _make(entry.target)


def _make(target: str) -> Any:
    name = f"toy:{target}"
    if target.startswith("codec"):
        return SlowCodec(name)
    if target.startswith("broken-"):
        broken = BrokenModel(target.removeprefix("broken-"))
        broken.identity = identity(name)
        return broken
    if target == "lossy":
        return BigramModel(name, lossy="文")
    if target == "dated":
        return BigramModel(name, details={"knowledge_cutoff": "2024-08"})
    return BigramModel(name, seed=len(target))


def write_plugin(folder: Path, *, loaders: str = "", commands: str = "", source: str = "") -> Path:
    """A folder that looks to Python like an installed distribution ``toy-plugin``."""
    info = folder / "toy_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[evalkit.loaders]\n{loaders or 'toy = toy_plugin'}\n\n[evalkit.commands]\n{commands}\n"
    )
    (folder / "toy_plugin.py").write_text(source or "from tests.support.toys import identify, load\n")
    return folder


def plugin_environment(folder: Path, **variables: str | Path) -> dict[str, str]:
    """Environment of a subprocess that sees the plug-in."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, **{name: str(value) for name, value in variables.items()}}


def write_texts(path: Path, texts: Sequence[str]) -> Path:
    path.write_text(json.dumps(list(texts)), encoding="utf-8")
    return path


def corpus_of(
    texts: Sequence[str],
    name: str = "corpus",
    *,
    date: str | None = None,
    clusters: Sequence[str] | None = None,
) -> Corpus:
    documents = [
        make_document(
            text,
            source="test",
            published_at=date,
            title=f"text {number}",
            cluster=clusters[number] if clusters else None,
        )
        for number, text in enumerate(texts)
    ]
    return make_corpus(name, documents)


_COMMANDS: dict[int, tuple[Any, Any]] = {}
"""What Typer makes of a command that is registered, with what was registered, which stays alive so."""
_make_command = typer.main.get_command_from_info


def _command_made_once(command_info: Any, **options: Any) -> Any:
    """`typer.main.get_command_from_info`, which takes a third of a short command's time."""
    if id(command_info) not in _COMMANDS:
        _COMMANDS[id(command_info)] = (command_info, _make_command(command_info=command_info, **options))
    return _COMMANDS[id(command_info)][1]


class Outcome(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


def run_cli(*arguments: str | Path) -> Outcome:
    """The program ``evalkit`` in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    argv = ["evalkit", *map(str, arguments)]
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(typer.main, "get_command_from_info", _command_made_once),
    ):
        try:
            cli.main(forks=False)
        except SystemExit as end:
            code = int(end.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def command_line(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "evalkit", *map(str, arguments)]


def run_process(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
    """The program ``evalkit`` in a process of its own."""
    done = subprocess.run(
        command_line(*arguments),
        capture_output=True,
        text=True,
        env=env,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below: time of change and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted([folder, *folder.rglob("*")])
    }


def cell_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*/*.json"))


def numbers(folder: Path) -> dict[str, Any]:
    """What the cells below a folder say, apart from when, how fast and in which state of the checkout."""
    import pyarrow.parquet as pq

    by_name = {}
    for path in cell_files(folder):
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("created", "seconds", "environment", "sha256"):
            del content[name]
        for name in ("bytes_per_s", "tokens_per_s"):
            del content["metrics"][name]
        rows = pq.read_table(path.with_suffix(".parquet")).to_pylist()
        by_name[str(path.relative_to(folder))] = (content, rows)
    return by_name
