"""Whole cells of every kind, as their files have them, without a model; and the files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
            "sha256": "34" * 32,
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
            "lossy": [{"id": "0123456789abcdef", "reason": "no token for '文'"}],
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
    """The metrics of a trained probe's test."""
    return {
        "shortest": shortest,
        "longest": longest,
        "majority_label_accuracy": 0.5,
        "num_items": 256,
        "token_accuracy": 0.75,
        "token_accuracy_low": 0.7,
        "token_accuracy_high": 0.8,
        "sequence_accuracy": sequence_accuracy,
        "sequence_accuracy_low": 0.9 * sequence_accuracy,
        "sequence_accuracy_high": min(1.0, 1.1 * sequence_accuracy),
        "last_position_accuracy": 0.625,
        "last_position_accuracy_low": 0.5,
        "last_position_accuracy_high": 0.75,
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
            "num_items": 256,
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


def write_cell_files(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Both files of a cell, the digests filled in; returns what the JSON says."""
    rows = b"rows that nobody reads"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".parquet").write_bytes(rows)
    content = dict(content)
    part = "items" if "items" in content else "documents"
    if isinstance(content.get(part), dict):
        content[part] = {**content[part], "parquet_sha256": hashlib.sha256(rows).hexdigest()}
    content["sha256"] = content_sha256(content)
    path.write_text(strict_json(content), encoding="utf-8")
    return content
