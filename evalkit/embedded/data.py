"""What the embedded models are trained on: files of prose, and Python sources of installed packages.

The packages are those of `packages.toml`, permissively licensed and pinned by constraints.txt, so that an
environment installed with it has the same bytes. Neither the standard library, which is what evalkit
scores by default, nor packages that contain copies of it are among them; a file that shares lines with
the standard library all the same is left out.

Of each set the last 5 % of the documents are held out and never trained on.
"""

import ast
import dataclasses
import datetime as dt
import hashlib
import importlib.metadata
import importlib.resources
import json
import sysconfig
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.corpora.importers import dates_of_file_name
from evalkit.embedded.vocabulary import document_ids
from evalkit.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HELD_OUT_FRACTION = 0.05
MIN_FILE_BYTES, MAX_FILE_BYTES = 1000, 60_000
MAX_PACKAGE_BYTES = 200_000
"""Of every package so much at most, so that no house style dominates."""
_LONG_LINE = 40
MAX_SHARED_LINES = 0.1
"""A file is left out if more of its lines of 40 or more characters occur in the standard library."""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Documents of one origin; `facts` is what the model card says of them."""

    name: str
    documents: tuple[str, ...]
    license: str
    date: str
    """Last day on which a document can have been written, ``YYYY-MM-DD``."""
    facts: dict[str, object]

    @property
    def num_trained(self) -> int:
        """How many of the documents, from the first, are trained on."""
        return len(self.documents) - int(np.ceil(HELD_OUT_FRACTION * len(self.documents)))

    @property
    def trained(self) -> tuple[str, ...]:
        """The documents to train on."""
        return self.documents[: self.num_trained]

    @property
    def held_out(self) -> tuple[str, ...]:
        """The documents that are never trained on."""
        return self.documents[self.num_trained :]

    def describe(self) -> dict[str, object]:
        """Name, licence, date, counts and digests."""
        return {
            "name": self.name,
            "license": self.license,
            "date": self.date,
            "num_documents": len(self.documents),
            "num_held_out": len(self.held_out),
            "num_bytes": sum(len(text.encode()) for text in self.documents),
            "sha256": digest(self.documents),
            **self.facts,
        }


def digest(documents: Sequence[str]) -> str:
    """SHA-256 over the documents in order, each before a zero byte."""
    total = hashlib.sha256()
    for text in documents:
        total.update(text.encode("utf-8") + b"\0")
    return total.hexdigest()


def prose(path: Path, license: str) -> DataSet:
    """A JSON list of texts in a file named like Uncheatable Eval's, ``wikipedia_english_…to….json``.

    Raises:
        UsageError: no such file, or its name holds no dates.
        CorpusError: it is no JSON list of texts.
    """
    if not path.is_file():
        raise UsageError(f"--data {path}: there is no such file")
    _, last_day = dates_of_file_name(path.name)
    if last_day is None:
        raise UsageError(f"--data {path}: its name must end in its dates, as in ..._20240601to20240615.json")
    content = path.read_bytes()
    try:
        texts = json.loads(content)
    except ValueError as error:
        raise CorpusError(f"{path}: not JSON: {error}") from error
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        raise CorpusError(f"{path}: must be a JSON list of texts")
    return DataSet(
        name=path.stem,
        documents=tuple(texts),
        license=license,
        date=last_day,
        facts={"file_sha256": hashlib.sha256(content).hexdigest()},
    )


def code(packages: dict[str, dict[str, str]] | None = None) -> DataSet:
    """Python sources of installed packages, in an order drawn from their digests.

    Args:
        packages: version and licence by name of the distribution; by default those of `packages.toml`.

    Raises:
        CorpusError: a package is not installed in the version that is asked for.
    """
    listed = packages or _packages()
    library_lines = _stdlib_lines()
    dropped: Counter[str] = Counter()
    seen: set[str] = set()
    chosen: list[tuple[str, str]] = []
    counts: dict[str, dict[str, object]] = {}
    for name, pin in listed.items():
        files = _files(name, pin["version"])
        num_files = num_bytes = 0
        for key, text in sorted(_candidates(files, dropped)):
            if key in seen:
                dropped["a copy of another file"] += 1
            elif num_bytes + len(text.encode()) > MAX_PACKAGE_BYTES:
                dropped["beyond the package's share"] += 1
            elif _share_of_lines(text, library_lines) > MAX_SHARED_LINES:
                dropped["shares lines with the standard library"] += 1
            else:
                chosen.append((key, text))
                num_files += 1
                num_bytes += len(text.encode())
            seen.add(key)
        counts[name] = {**pin, "num_files": num_files, "num_bytes": num_bytes}
    return DataSet(
        name="python-packages",
        documents=tuple(text for _, text in sorted(chosen)),
        license="permissive, by package",
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        facts={"packages": counts, "num_dropped": dict(dropped)},
    )


def token_stream(
    sets: Sequence[DataSet], seed: int, num_passes: int, tokenizer: "Tokenizer"
) -> NDArray[np.int16]:
    """All documents to train on as ids, one after the other; every pass in an order of its own.

    Args:
        sets: whose held-out documents are left out.
        seed: draws the orders.
        num_passes: how often each document is read.
        tokenizer: see `evalkit.embedded.vocabulary`.
    """
    documents = document_ids(tokenizer, [text for data in sets for text in data.trained])
    rng = np.random.default_rng(seed)
    orders = np.concatenate([rng.permutation(len(documents)) for _ in range(num_passes)])
    return np.concatenate([documents[index] for index in orders])


def _packages() -> dict[str, dict[str, str]]:
    text = importlib.resources.files("evalkit.embedded").joinpath("packages.toml").read_text("utf-8")
    packages: dict[str, dict[str, str]] = tomllib.loads(text)["packages"]
    return packages


def _files(name: str, version: str) -> list[importlib.metadata.PackagePath]:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise CorpusError(f"package {name} is not installed: pip install -c constraints.txt {name}") from None
    if distribution.version.partition("+")[0] != version:  # +cpu and the like: the same sources
        raise CorpusError(f"package {name} is {distribution.version}, packages.toml wants {version}")
    return [file for file in distribution.files or () if file.suffix == ".py"]


def _candidates(
    files: Sequence[importlib.metadata.PackagePath], dropped: Counter[str]
) -> list[tuple[str, str]]:
    """Digest and text of the files that are worth reading."""
    candidates = []
    for file in files:
        path = Path(str(file.locate()))
        if not path.is_file():
            dropped["listed but not there"] += 1
            continue
        content = path.read_bytes()
        if {"test", "tests", "_vendor", "vendored", "externals"} & set(file.parts):
            dropped["tests and vendored copies"] += 1
        elif not MIN_FILE_BYTES <= len(content) <= MAX_FILE_BYTES:
            dropped[f"not of {MIN_FILE_BYTES} to {MAX_FILE_BYTES} bytes"] += 1
        else:
            try:
                text = content.decode("utf-8")
                ast.parse(text)
            except (UnicodeDecodeError, SyntaxError):
                dropped["not UTF-8 Python"] += 1
                continue
            candidates.append((hashlib.sha256(content).hexdigest(), text))
    return candidates


def _long_lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if len(line) >= _LONG_LINE]


def _share_of_lines(text: str, library_lines: set[str]) -> float:
    """Which share of a text's long lines is among those of the standard library."""
    lines = _long_lines(text)
    return sum(line in library_lines for line in lines) / len(lines) if lines else 0.0


def _stdlib_lines() -> set[str]:
    lines: set[str] = set()
    root = Path(sysconfig.get_path("stdlib"))
    for path in root.rglob("*.py"):
        if "site-packages" not in path.parts and "test" not in path.parts:
            lines.update(_long_lines(path.read_text(encoding="utf-8", errors="replace")))
    return lines
