"""Result folders to build sites of: small ones that were really scored, and a large synthetic one."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import evalkit
from evalkit.corpora.store import Corpus, make_corpus, make_document
from evalkit.errors import LossyTextError
from evalkit.files import strict_json
from evalkit.stats import percentile_interval, resampled_ratios
from tests.support.cells import ENVIRONMENT

HOSTILE_NAME = "\"><script>alert(1)</script>' & \u202eevil"
HOSTILE_TEXT = (
    "<script>window.pwned = 1</script></style></script><img src=x onerror='window.pwned = 2'>\n"
    "{{ 7 * 7 }} {% raw %} ${window.pwned = 3} --> ]]> \u2028 \u2029 &lt;b&gt;\n"
    "right to left \u202e override \u2066 isolate \u200f mark, nul \x00 bell \x07 escape \x1b[31m\n"
    "\ufeff e\u0301 \U0001f469\u200d\U0001f4bb "
    "\u05e9\u05dc\u05d5\u05dd \u0633\u0644\u0627\u0645 \u6587\u5b57\n"
)


class Counted:
    """Pieces of so many bytes as tokens, each paid for by how often its bytes were counted."""

    vocab_size = 256
    prefix = ()
    context_limit = None
    policy_prefixes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    tokens_per_batch = 1 << 16

    def __init__(self, name: str, text: str, piece: int, *, refuses: str = "\uffff", **details: Any) -> None:
        """Tokens of ``piece`` bytes; texts that hold ``refuses`` cannot be represented."""
        self.piece, self.refuses = piece, refuses
        counts = np.ones(256)
        np.add.at(counts, list(text.encode()), 1)
        self.costs = -np.log(counts / counts.sum())
        self.identity = evalkit.ModelIdentity(
            name=name,
            loader="python",
            revision=None,
            weights_sha256=hashlib.sha256(f"{name}{text}{piece}".encode()).hexdigest(),
            tokenizer_sha256=f"pieces of {piece}",
            prefix="none",
            dtype="float32",
            context_limit=None,
            details=details,
        )

    def encode(self, text: str) -> evalkit.Encoding:
        if self.refuses in text:
            raise LossyTextError(f"{self.refuses!r} has no token")
        data = text.encode()
        ends = np.unique([*range(self.piece, len(data), self.piece), len(data)])
        starts = np.concatenate(([0], ends[:-1]))
        # An id that says what the piece costs: the sum of its bytes' costs, in hundredths of a nat.
        costs = np.cumsum(np.concatenate(([0.0], self.costs[list(data)])))
        return evalkit.Encoding(np.round(100 * (costs[ends] - costs[starts])).astype(np.int64), ends)

    def nats(self, sequences: Any, *, contexts: Any = None) -> list[Any]:
        return [np.asarray(ids, dtype=np.float32) / 100 for ids in sequences]


def _documents(seed: int, count: int, **fields: Any) -> list[Any]:
    rng = np.random.default_rng(seed)
    words = ["the", "of", "bits", "and", "bytes", "model", "text", "12", "2026", "über", "code,", "naïve"]
    words += ["https://example.org/a?b=c", "文字", "σ\n"]
    return [
        make_document(
            f"{number}: " + " ".join(rng.choice(words, size=int(rng.integers(20, 150)))),
            title=f"Document {number}",
            cluster=f"site {number % 7}",
            **fields,
        )
        for number in range(count)
    ]


def small_corpora() -> list[Corpus]:
    """A free one, one that may not be shown, and a hostile one."""
    free = _documents(
        1,
        14,
        source="wiki",
        license="CC-BY-SA-4.0",
        language="en",
        published_at="2026-10-03",
        url="https://e.org/a",
    )
    free.append(
        make_document(
            "def add(a, b):\n    return a + b\n" * 9,
            source="wiki",
            license="MIT",
            title="src/add.py",
            language="en",
            published_at="2026-10-05",
        )
    )
    closed = _documents(2, 11, source="news", license="proprietary", language="de", published_at="2026-11-02")
    hostile = _documents(3, 6, source=HOSTILE_NAME, license="CC0-1.0", published_at="2026-11-04")
    for number, url in enumerate(
        ["javascript:alert(1)", "https://example.org/'\"><script>alert(2)</script>"]
    ):
        hostile.append(
            make_document(
                f"{number} {HOSTILE_TEXT}" * 3,
                source=HOSTILE_NAME,
                license="CC0-1.0",
                title=HOSTILE_NAME + str(number),
                url=url,
                language="<i>xx</i>",
                published_at="2026-11-04",
            )
        )
    return [
        make_corpus(
            "free-2026-10", free, description="Pages <b>bold</b>", num_dropped={"too short": 3, "empty": 2}
        ),
        make_corpus("closed-2026-11", closed, description="News", provenance={"program": "a crawler 1.0"}),
        make_corpus("hostile", hostile, description=HOSTILE_NAME, num_dropped={HOSTILE_NAME: 1}),
    ]


def small_models() -> list[Any]:
    """Two compressors and three models, of which one cannot represent everything and one is hostile."""
    return [
        "xz",
        "zstd",
        Counted(
            "bytes", "the of and text 12\n" * 9, 1, num_parameters=256, license="MIT", released="2026-09"
        ),
        Counted(
            "pairs", "bits and bytes of text", 2, num_parameters=2_000_000_000, knowledge_cutoff="2026-10-03"
        ),
        Counted("lossy", "the of and bits text 12\n" * 9, 3, refuses="naïve 文字", license="Apache-2.0"),
        Counted(HOSTILE_NAME, "model text", 5, num_parameters=7, license="<script>alert(3)</script>"),
    ]


def score_small_store(folder: Path) -> list[Corpus]:
    """Really scored cells: two policies, one limited run; returns the corpora."""
    corpora = small_corpora()
    models = small_models()
    done = evalkit.run(
        models=models, corpora=corpora, options=evalkit.RunOptions(output=folder), token_bits=True
    )
    assert not done.failures
    evalkit.run(
        models=models[2:4],
        corpora=corpora[:1],
        options=evalkit.RunOptions(output=folder),
        token_bits=True,
        policy="uncheatable",
    )
    evalkit.run(models=["xz"], corpora=corpora[:1], options=evalkit.RunOptions(output=folder), limit=4)
    return corpora


def write_synthetic_store(
    folder: Path,
    *,
    num_models: int,
    num_corpora: int,
    num_documents: int,
    names: Sequence[str] | None = None,
) -> None:
    """Cells in the schema of real ones, without a model: too many to be scored in a test.

    Models are called ``model-00`` and so on, or by ``names``.
    """
    rng = np.random.default_rng(7)
    for corpus in range(num_corpora):
        num_bytes = rng.integers(500, 6000, num_documents)
        hardness = rng.lognormal(0, 0.2, num_documents)
        skill = 0.6 + 0.02 * np.arange(num_models) + 0.01 * rng.standard_normal(num_models)
        noise = rng.lognormal(0, 0.05, (num_documents, num_models))
        bits = num_bytes[:, None] * hardness[:, None] * skill * noise
        clusters = [f"site {number % 90}" for number in range(num_documents)]
        samples = resampled_ratios(bits, num_bytes, clusters)
        assert samples is not None
        for model in range(num_models):
            interval = percentile_interval(samples[:, model], len(set(clusters)))
            assert interval
            _write_cell(
                folder,
                corpus,
                model,
                num_bytes=num_bytes,
                bits=bits[:, model],
                clusters=clusters,
                interval=interval,
                name=None if names is None else names[model],
            )


def _write_cell(
    folder: Path,
    corpus: int,
    model: int,
    *,
    num_bytes: Any,
    bits: Any,
    clusters: Sequence[str],
    interval: tuple[float, float],
    name: str | None = None,
) -> None:
    digests = [hashlib.sha256(f"{corpus} {number}".encode()).hexdigest() for number in range(len(bits))]
    ids = [digest[:16] for digest in digests]
    folder_name, month = f"model-{model:02}", f"{2026 + corpus // 60}-{1 + corpus // 5 % 12:02}"
    corpus_name = f"source{corpus % 5}-{month}"
    lines = "".join(f"{document_id} {digest}\n" for document_id, digest in zip(ids, digests, strict=True))
    key = hashlib.sha256(f"{model} {corpus}".encode()).hexdigest()[:24]
    name = name or folder_name
    path = folder / corpus_name / folder_name / f"{key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(ids)
    table = pa.table(
        {
            "id": ids,
            "sha256": digests,
            "title": [f"document {number}" for number in range(count)],
            "cluster": list(clusters),
            "num_bytes": pa.array(num_bytes, pa.int64()),
            "num_tokens": pa.array(num_bytes // 4, pa.int64()),
            "total_bits": pa.array(bits, pa.float64()),
            "lossy": pa.array([None] * count, pa.string()),
        }
    )
    pq.write_table(table, path.with_suffix(".parquet"), compression="zstd")
    total_bits, total_bytes = float(bits.sum()), int(num_bytes.sum())
    content: dict[str, Any] = {
        "schema_version": 2,
        "kind": "corpus",
        "status": "success",
        "created": "2026-11-20T00:00:00+00:00",
        "seconds": 2.0,
        "model": {
            "name": name,
            "loader": "hf",
            "revision": "0" * 40,
            "weights_sha256": hashlib.sha256(name.encode()).hexdigest(),
            "tokenizer_sha256": "words",
            "dtype": "bfloat16",
            "num_parameters": 10**8 * (1 + model) ** 2 // 4,
            "license": ["MIT", "Apache-2.0", "Llama"][model % 3],
            "released": "2025-12",
        },
        "corpus": {
            "name": corpus_name,
            "sha256": hashlib.sha256(lines.encode()).hexdigest(),
            "date_from": f"{month}-01",
            "date_to": f"{month}-15",
            "num_documents": count,
            "num_bytes": total_bytes,
            "limit": None,
            "licenses": {"CC-BY-4.0": count},
            "records_sha256": hashlib.sha256(f"{clusters}".encode()).hexdigest(),
            "sources": {f"source{corpus % 5}": count},
            "languages": {"en": count},
        },
        "policy": {"name": "document", "context_limit": 4096, "prefix_rule": "bos", "prefix_ids": [1]},
        "totals": {
            "num_documents": count,
            "num_bytes": total_bytes,
            "num_tokens": int((num_bytes // 4).sum()),
            "total_bits": total_bits,
        },
        "metrics": {
            "bits_per_byte": total_bits / total_bytes,
            "bits_per_byte_low": interval[0],
            "bits_per_byte_high": interval[1],
            "confidence": 0.95,
            "num_clusters": len(set(clusters)),
            "compression_rate_percent": 12.5 * total_bits / total_bytes,
            "tokens_per_s": float((num_bytes // 4).sum()) / 2,
            "bytes_per_s": total_bytes / 2,
        },
        "documents": {
            "parquet": f"{key}.parquet",
            "parquet_sha256": hashlib.sha256(path.with_suffix(".parquet").read_bytes()).hexdigest(),
            "num_lossy": 0,
            "num_literal": 0,
            "lossy": [],
            "token_bits": False,
        },
        "environment": {**ENVIRONMENT, "git": None},
        "scorer_version": 1,
    }
    content["sha256"] = hashlib.sha256(strict_json(content).encode()).hexdigest()
    path.write_text(strict_json(content), encoding="utf-8")
