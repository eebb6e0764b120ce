"""Whole cells of every kind, as their files have them, without a model; and the files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.cells.files import content_sha256
from evalkit.files import strict_json

PACKAGES = {"numpy": "2.3.5", "pyarrow": "22.0.0"}
ENVIRONMENT = {
    "evalkit": "0.1.0",
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "python": "3.11.2",
    "platform": "Linux x86_64",
    "cpu": "a processor",
    "num_cpus": 2,
    "packages": PACKAGES,
}
TORCH = {
    "device": "cpu",
    "gpu": None,
    "cuda": None,
    "num_threads": 1,
    "cpu_capability": "AVX2",
    "cpu_float32_gemm": "MKL",
    "wkv7_cpu": "ready",
}
IDS = ["first", "0123456789abcdef", "third"]
DIGESTS = ["ab" * 32, "cd" * 32, "ef" * 32]
LINES = "".join(f"{document} {digest}\n" for document, digest in zip(IDS, DIGESTS, strict=True))
MODEL = {
    "name": "rwkv7-toy",
    "loader": "rwkv7",
    "revision": "ab" * 20,
    "weights_sha256": "12" * 32,
    "tokenizer_sha256": "rwkv_vocab_v20230424",
    "dtype": "float32",
    "num_parameters": 1_234_567,
    "released": "2026-02",
    "license": "Apache-2.0",
    "target": "owner/repository",
    "vocabulary": 65_536,
    "is_quantized": False,
    "scale": 0.5,
    "adapter": None,
}


def corpus_content() -> dict[str, Any]:
    """A cell of a corpus."""
    return {
        "schema_version": 2,
        "kind": "corpus",
        "status": "success",
        "created": "2026-11-20T12:34:56+00:00",
        "seconds": 2.5,
        "model": dict(MODEL),
        "corpus": {
            "name": "toy-2026-10",
            "sha256": hashlib.sha256(LINES.encode()).hexdigest(),
            "date_from": "2026-10-01",
            "date_to": None,
            "num_documents": 3,
            "num_bytes": 600,
            "limit": None,
            "licenses": {"CC0-1.0": 2, "unknown": 1},
        },
        "policy": {"name": "document", "context_limit": 4096, "prefix_rule": "eos", "prefix_ids": [0, 7]},
        "totals": {"num_documents": 2, "num_bytes": 500, "num_tokens": 125, "total_bits": 512.125},
        "metrics": {
            "bits_per_byte": 512.125 / 500,
            "bits_per_byte_low": 0.9,
            "bits_per_byte_high": 1.2,
            "confidence": 0.95,
            "num_clusters": 2,
            "compression_rate_percent": 12.5 * 512.125 / 500,
            "tokens_per_s": 50.0,
            "bytes_per_s": 200.0,
        },
        "documents": {
            "parquet": "cell.parquet",
            "parquet_sha256": "",
            "num_lossy": 1,
            "lossy": [{"id": IDS[1], "reason": "no token for '文'"}],
            "token_bits": True,
        },
        "environment": {**ENVIRONMENT, **TORCH},
        "scorer_version": 1,
    }


def summary_row(bucket: str, accuracy: float, low: float, high: float) -> dict[str, Any]:
    """A line of a task's summary."""
    return {
        "bucket": bucket,
        "num_items": 64,
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "chance": 1 / 6,
        "baseline": "last mention",
        "baseline_accuracy": 0.3125,
        "further": {"per byte": 0.25, "pairs": 12, "PMI": None},
    }


def task_content(model: str = "rwkv7-toy", task: str = "s3") -> dict[str, Any]:
    """A cell of a task."""
    return {
        "schema_version": 2,
        "kind": "task",
        "status": "success",
        "created": "2026-11-20T12:34:56+00:00",
        "seconds": 2.5,
        "model": {**MODEL, "name": model, "context_limit": None, "prefix_rule": "eos", "prefix_ids": [0]},
        "task": {"name": task, "method": "likelihood, 4 shots", "sha256": "56" * 32, "num_items": 128},
        "summary": [summary_row("1–2", 0.984375, 0.917, 0.997), summary_row("3–4", 0.25, 0.16, 0.368)],
        "details": {"date": "2026-11-01", "layers": [{"layer": 0, "accuracies": [0.5, None]}], "seed": 0},
        "documents": {"parquet": "cell.parquet", "parquet_sha256": ""},
        "environment": {**ENVIRONMENT, **TORCH},
        "tasks_version": 1,
    }


def probe_test(shortest: int, longest: int, sequence_accuracy: float) -> dict[str, Any]:
    """The metrics of a trained probe's test, of which the accuracy has three decimals at most."""
    return {
        "shortest": shortest,
        "longest": longest,
        "majority_label_accuracy": 0.5,
        "num_items": 1000,
        "token_accuracy": (1 + sequence_accuracy) / 2,
        "token_accuracy_low": 0.4,
        "token_accuracy_high": 1.0,
        "sequence_accuracy": sequence_accuracy,
        "sequence_accuracy_low": 0.9 * sequence_accuracy,
        "sequence_accuracy_high": min(1.0, 1.1 * sequence_accuracy),
        "last_position_accuracy": sequence_accuracy,
        "last_position_accuracy_low": 0.9 * sequence_accuracy,
        "last_position_accuracy_high": min(1.0, 1.1 * sequence_accuracy),
        "scaled_token_accuracy": 0.5,
        "scaled_last_position_accuracy": 0.25,
        "first_error_median": None,
        "first_error_5_percent": 17,
        "parity_accuracy": None,
        "parity_accuracy_low": None,
        "parity_accuracy_high": None,
    }


def probe_content(
    task: str = "parity",
    model: str = "rwkv7",
    *,
    num_layers: int = 1,
    seed: int = 0,
    accuracies: Mapping[int, float] = {32: 1.0, 512: 0.25},
    num_losses: int = 3,
) -> dict[str, Any]:
    """A cell of a trained probe: a test of each length, with its sequence accuracy."""
    return {
        "schema_version": 2,
        "kind": "trained-probe",
        "status": "success",
        "created": "2026-11-20T12:34:56+00:00",
        "spec": {
            "task": task,
            "model": model,
            "num_layers": num_layers,
            "seed": seed,
            "negative_eigenvalues": "off",
            "labels": "every",
            "train_length": 32,
            "min_train_length": 8,
            "num_steps": 25 * num_losses,
            "budget_s": None,
            "batch_size": 64,
            "learning_rate": 0.003,
            "warmup_steps": 50,
            "weight_decay": 0.01,
            "width": 64,
            "head_size": 16,
            "test_multiples": [1, 16],
            "test_range": [40, 256],
            "num_items": 1000,
        },
        "model": {"name": model, "num_parameters": 1234},
        "task": {"name": task, "num_letters": 2, "num_labels": 2, "is_negative_control": False},
        "tests": {str(length): probe_test(length, length, value) for length, value in accuracies.items()},
        "l90": {"test": "512", "length": 37},
        "training": {
            "num_steps": 25 * num_losses,
            "stopped_by": "steps",
            "last_loss_nats": 0.0078125,
            "steps_to_loss_0.02": 50,
            "history": [[25 * (number + 1), 0.5 / (number + 1)] for number in range(num_losses)],
            "training_cpu_s": 12.5,
            "testing_cpu_s": 1.25,
        },
        "items": {"parquet_sha256": ""},
        "environment": {**ENVIRONMENT, **TORCH},
        "trainer_version": 2,
    }


def corpus_table() -> pa.Table:
    """The rows of `corpus_content`."""
    return pa.table(
        {
            "id": pa.array(IDS, pa.string()),
            "sha256": pa.array(DIGESTS, pa.string()),
            "title": pa.array(["a title", None, None], pa.string()),
            "cluster": pa.array(["a", "b", "c"], pa.string()),
            "num_bytes": pa.array([300, 100, 200], pa.int64()),
            "num_tokens": pa.array([75, None, 50], pa.int64()),
            "total_bits": pa.array([300.125, None, 212.0], pa.float64()),
            "lossy": pa.array([None, "no token for '文'", None], pa.string()),
            "published_at": pa.array(["2026-10-01", None, "2026-10-03T04:05:06Z"], pa.string()),
            "token_bits": pa.array(
                [[4.125, *[4.0] * 74], None, [None, *[4.0] * 48, 20.0]], pa.list_(pa.float32())
            ),
            "token_ends": pa.array(
                [[4 * (n + 1) for n in range(75)], None, [4 * (n + 1) for n in range(50)]],
                pa.list_(pa.int64()),
            ),
        }
    )


def _probe_table(content: Mapping[str, Any]) -> pa.Table:
    """The rows of `probe_test`: strings with four questions each, all of them right or the first two."""
    parts = []
    for name, test in content["tests"].items():
        num_items = test["num_items"]
        is_whole = [number < round(test["sequence_accuracy"] * num_items) for number in range(num_items)]
        columns = {
            "test": pa.array([name] * num_items, pa.string()),
            "num_letters": pa.array([test["longest"]] * num_items, pa.int64()),
            "num_scored": pa.array([4] * num_items, pa.int64()),
            "num_correct": pa.array([4 if whole else 2 for whole in is_whole], pa.int64()),
            "first_error": pa.array([None if whole else 3 for whole in is_whole], pa.int64()),
            "last_correct": pa.array(is_whole, pa.bool_()),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def table_of(content: Mapping[str, Any]) -> pa.Table:
    """Rows that fit what a cell says."""
    if "tests" in content:
        return _probe_table(content)
    if "task" in content:
        return pa.table({"prediction": ["a"] * content["task"]["num_items"]})
    return corpus_table()


def write_cell_files(path: Path, content: Mapping[str, Any], table: pa.Table | None = None) -> dict[str, Any]:
    """Both files of a cell, the digests filled in; returns what the JSON says.

    Args:
        path: the JSON file.
        content: what it says.
        table: the rows; None: some that fit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table_of(content) if table is None else table, path.with_suffix(".parquet"))
    rows = path.with_suffix(".parquet").read_bytes()
    content = dict(content)
    part = "items" if "items" in content else "documents"
    if isinstance(content.get(part), dict):
        content[part] = {**content[part], "parquet_sha256": hashlib.sha256(rows).hexdigest()}
    content["sha256"] = content_sha256(content)
    path.write_text(strict_json(content), encoding="utf-8")
    return content
