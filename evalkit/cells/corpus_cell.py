"""Cells: what one model scored on one corpus under one policy, on disk and whole or absent.

``<output>/<corpus>/<model>/<key>.json`` holds the totals and where they come from;
``<key>.parquet`` a row per document. The key is a digest of everything that determines the numbers, so
that a change of anything makes a new cell and nothing is overwritten (`evalkit.cells.files`).

Schema 1 of the Parquet: ``id, sha256, title, cluster, num_bytes, num_tokens, total_bits, lossy``, and
with ``--token-bits`` the lists ``token_bits`` (float32, null where unpaid) and ``token_ends`` (byte offsets).
"""

import datetime as dt
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.cells import files as cell_files
from evalkit.cells.files import SCHEMA_VERSION
from evalkit.corpora.store import Corpus
from evalkit.errors import ScoringError
from evalkit.files import slug
from evalkit.models.protocol import ModelIdentity
from evalkit.scoring.documents import SCORER_VERSION, DocumentScore
from evalkit.stats import CONFIDENCE, ratio_interval

COMPRESSION_RATE_PERCENT_PER_BPB = 12.5
"""One bit per byte is an eighth of the text: the number that Uncheatable Eval prints."""


class Task(NamedTuple):
    """A cell to be: everything that its key is made of, known before a model is loaded."""

    identity: ModelIdentity
    corpus: Corpus
    """Already limited."""
    policy: str
    limit: int | None
    """None where no document was left out."""
    token_bits: bool = False

    def key(self, *, token_bits: bool | None = None) -> str:
        """Digest of what determines the numbers: 24 hexadecimal digits."""
        identity = self.identity
        parts = {
            "loader": identity.loader,
            "revision": identity.revision,
            "weights": identity.weights_sha256,
            "dtype": identity.dtype,
            "tokenizer": identity.tokenizer_sha256,
            "prefix": identity.prefix,
            "context_limit": identity.context_limit,
            "policy": self.policy,
            "corpus": self.corpus.sha256,
            "limit": self.limit,
            "token_bits": self.token_bits if token_bits is None else token_bits,
            "scorer": SCORER_VERSION,
            "schema": SCHEMA_VERSION,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    def folder(self, output: Path) -> Path:
        """Where the cell's files lie."""
        return output / slug(self.corpus.name) / slug(self.identity.name)


class Cell(NamedTuple):
    """A finished cell."""

    path: Path
    """Its JSON file."""
    content: dict[str, Any]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.content["model"]["name"])

    @property
    def corpus(self) -> str:
        """The corpus's name."""
        return str(self.content["corpus"]["name"])

    @property
    def bits_per_byte(self) -> float:
        """The metric."""
        return float(self.content["metrics"]["bits_per_byte"])

    def rows(self) -> list[dict[str, Any]]:
        """A row per document, without the tokens.

        Raises:
            ScoringError: the files are not what was written.
        """
        import pyarrow.parquet as pq

        cell_files.read_content(self.path, remedy="delete it and run again")
        columns = ["id", "sha256", "title", "cluster", "num_bytes", "num_tokens", "total_bits", "lossy"]
        rows: list[dict[str, Any]] = pq.read_table(
            self.path.with_suffix(".parquet"), columns=columns
        ).to_pylist()
        return rows


def find_cell(task: Task, output: Path, *, warn: Callable[[str], None], dry_run: bool = False) -> Cell | None:
    """The finished cell of a task, or None; a cell with token bits serves one without.

    Damaged files are moved aside, except in a dry run, and ``warn`` is told (`cell_files.is_whole`).
    """
    for token_bits in sorted({task.token_bits, True}):
        path = task.folder(output) / f"{task.key(token_bits=token_bits)}.json"
        if cell_files.is_whole(path, warn=warn, again="scored again", dry_run=dry_run):
            return _named(read_cell(path), task)
    return None


def _named(cell: Cell, task: Task) -> Cell:
    """A cell under the name asked for: ``a/b`` and ``a-b`` share a folder, and a model may be both."""
    if cell.model == task.identity.name:
        return cell
    return Cell(cell.path, cell.content | {"model": cell.content["model"] | {"name": task.identity.name}})


def read_cell(path: Path) -> Cell:
    """A cell from its JSON file.

    Raises:
        ScoringError: the file is no whole cell of this schema.
    """
    again = "run the same models on the same corpus to score it again"
    content = cell_files.read_content(path, remedy=again)
    if "corpus" not in content:
        raise ScoringError(f"{path} is a cell of a probe; give one of a corpus")
    return Cell(path, content)


def write_cell(
    task: Task,
    scores: Sequence[DocumentScore],
    output: Path,
    *,
    seconds: float,
    prefix: Sequence[int] | None,
    environment: dict[str, Any],
) -> Cell:
    """Write a cell's two files, the JSON last, and return it.

    Where another run has finished the same cell meanwhile, that one stays and is returned.

    Args:
        task: what was scored.
        scores: a score per document, in the corpus's order.
        output: the folder of all results.
        seconds: time that the scoring took, without loading.
        prefix: the ids that were read before each document; None for a codec.
        environment: see `evalkit.environment.environment`.

    Raises:
        ScoringError: no document could be scored.
    """
    scored = [score for score in scores if score.total_bits is not None]
    if not scored:
        reason = scores[0].lossy if scores else "the corpus is empty"
        raise ScoringError(f"no document of {task.corpus.name} could be scored: {reason}")
    path = task.folder(output) / f"{task.key()}.json"
    content = cell_files.write(
        path,
        lambda parquet: _write_rows(parquet, scores, task.token_bits),
        lambda parquet_sha256: _content(
            task,
            scores,
            seconds=seconds,
            prefix=prefix,
            environment=environment,
            parquet_sha256=parquet_sha256,
        ),
    )
    return _named(Cell(path, content), task)


def _content(
    task: Task,
    scores: Sequence[DocumentScore],
    *,
    seconds: float,
    prefix: Sequence[int] | None,
    environment: dict[str, Any],
    parquet_sha256: str,
) -> dict[str, Any]:
    """What a cell's JSON says, but for the digest of all of it."""
    scored = [score for score in scores if score.total_bits is not None]
    bits = [score.total_bits or 0.0 for score in scored]
    num_bytes = [score.document.num_bytes for score in scored]
    bits_per_byte = math.fsum(bits) / sum(num_bytes)
    interval = ratio_interval(bits, num_bytes, [cluster_of(score) for score in scored])
    tokens = [score.num_tokens for score in scored if score.num_tokens is not None]
    corpus, identity = task.corpus, task.identity
    return {
        "schema_version": SCHEMA_VERSION,
        "status": "success",
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "model": {
            "name": identity.name,
            "loader": identity.loader,
            "revision": identity.revision,
            "weights_sha256": identity.weights_sha256,
            "tokenizer_sha256": identity.tokenizer_sha256,
            "dtype": identity.dtype,
            **identity.details,
        },
        "corpus": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "date_from": corpus.date_from,
            "date_to": corpus.date_to,
            "num_documents": len(corpus.documents),
            "num_bytes": corpus.num_bytes,
            "limit": task.limit,
            "licenses": dict(corpus.manifest.licenses),
        },
        "policy": {
            "name": task.policy,
            "context_limit": identity.context_limit,
            "prefix_rule": identity.prefix,
            "prefix_ids": None if prefix is None else [int(token) for token in prefix],
        },
        "totals": {
            "num_documents": len(scored),
            "num_bytes": sum(num_bytes),
            "num_tokens": sum(tokens) if tokens else None,
            "total_bits": math.fsum(bits),
        },
        "metrics": {
            "bits_per_byte": bits_per_byte,
            "bits_per_byte_low": interval.low if interval else None,
            "bits_per_byte_high": interval.high if interval else None,
            "confidence": CONFIDENCE,
            "num_clusters": len({cluster_of(score) for score in scored}),
            "compression_rate_percent": COMPRESSION_RATE_PERCENT_PER_BPB * bits_per_byte,
            "tokens_per_s": sum(tokens) / seconds if tokens else None,
            "bytes_per_s": sum(num_bytes) / seconds,
        },
        "documents": {
            "parquet": f"{task.key()}.parquet",
            "parquet_sha256": parquet_sha256,
            "num_lossy": len(scores) - len(scored),
            "lossy": [
                {"id": score.document.id, "reason": score.lossy}
                for score in scores
                if score.lossy is not None
            ],
            "token_bits": task.token_bits,
        },
        "environment": environment,
        "scorer_version": SCORER_VERSION,
    }


def cluster_of(score: DocumentScore) -> str:
    """What a document is resampled with: its cluster, or itself."""
    return score.document.cluster or score.document.id


def _write_rows(path: Path, scores: Sequence[DocumentScore], token_bits: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "id": pa.array([score.document.id for score in scores], pa.string()),
        "sha256": pa.array([score.document.sha256 for score in scores], pa.string()),
        "title": pa.array([score.document.title for score in scores], pa.string()),
        "cluster": pa.array([cluster_of(score) for score in scores], pa.string()),
        "num_bytes": pa.array([score.document.num_bytes for score in scores], pa.int64()),
        "num_tokens": pa.array([score.num_tokens for score in scores], pa.int64()),
        "total_bits": pa.array([score.total_bits for score in scores], pa.float64()),
        "lossy": pa.array([score.lossy for score in scores], pa.string()),
    }
    if token_bits:
        columns["token_bits"] = pa.array(
            [_nulls_for_nans(score.token_bits) for score in scores], pa.list_(pa.float32())
        )
        columns["token_ends"] = pa.array(
            [None if score.token_ends is None else score.token_ends for score in scores], pa.list_(pa.int64())
        )
    pq.write_table(pa.table(columns), path, compression="zstd")


def _nulls_for_nans(bits: NDArray[np.float32] | None) -> list[float | None] | None:
    import pyarrow as pa

    if bits is None:
        return None
    nullable: list[float | None] = pa.array(bits, pa.float32(), mask=np.isnan(bits)).to_pylist()
    return nullable
