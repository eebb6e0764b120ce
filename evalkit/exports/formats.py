"""Results in the formats of others: tables, lm-evaluation-harness's JSON, the Hub's ``.eval_results``.

All are views of the cells under a folder. Cells of ``--limit`` runs and damaged ones are left out, and told.

* `cell_rows`, `document_rows`: flat tables, a row per cell or per document and cell, for CSV and Parquet.
* `lm_eval_results`: one results object per model and policy in the layout of lm-evaluation-harness 0.4.13
  (``lm_eval/result_schema.py``); its ``make_table`` and whatever else reads such files reads these.
* `eval_results`: entries of the Hub's benchmark leaderboards (https://huggingface.co/docs/hub/eval-results).
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit.analysis.results import entrants_of, json_files, unique
from evalkit.cells.corpus_cell import Cell, read_cell
from evalkit.errors import EvalkitError, UsageError
from evalkit.files import atomic_write, slug, strict_json

FORMATS = ("csv", "parquet", "lm-eval", "eval-results")
LM_EVAL_VERSION = "0.4.13"
"""Of lm-evaluation-harness, whose layout `lm_eval_results` follows."""

_Z_95 = 1.959963984540054  # the normal quantile at 0.975: an interval's half width over a standard error
_TASK_VERSION = 1
_MODEL_FACTS = (
    "loader",
    "revision",
    "weights_sha256",
    "tokenizer_sha256",
    "dtype",
    "num_parameters",
    "released",
    "knowledge_cutoff",
    "license",
)

Warn = Callable[[str], None]


def read_cells(results: Path, *, warn: Warn = lambda _: None) -> list[Cell]:
    """Every whole cell of a corpus under a folder, in the order of their paths.

    Args:
        results: what ``evalkit run --output`` wrote.
        warn: told of every cell that is left out: damaged, or of a ``--limit`` run; and how many are of
            probes and tasks.

    Raises:
        UsageError: there is no such folder, or no whole cell in it.
    """
    if not results.is_dir():
        raise UsageError(f"{results}: no such folder; give the folder that `evalkit run --output` wrote")
    cells = []
    num_others = 0
    for path in json_files(results):
        if not _is_of_a_corpus(path):
            num_others += 1
            continue
        try:
            cell = read_cell(path)
        except EvalkitError as error:
            warn(f"left out: {error}")
            continue
        if (limit := cell.content["corpus"]["limit"]) is not None:
            warn(f"left out: {path} holds only the first {limit} documents of {cell.corpus} (--limit)")
            continue
        cells.append(cell)
    if not cells:
        raise UsageError(f"{results} holds no whole cell of a corpus; score without --limit")
    if num_others:
        warn(f"left out: {num_others} files that are not of corpora (probes, tasks and the like)")
    return cells


def _is_of_a_corpus(path: Path) -> bool:
    """Whether a file looks like a corpus's cell, whole or not; probes and tasks do not."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return True  # `read_cell` will say what is wrong with it
    return isinstance(content, dict) and "policy" in content and "corpus" in content


def cell_rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A flat row per cell: model, corpus, policy, totals, metrics, and where the cell lies."""
    rows = []
    for cell in cells:
        content = cell.content
        model, corpus, policy = content["model"], content["corpus"], content["policy"]
        rows.append(
            {
                "model": cell.model,
                "corpus": cell.corpus,
                "policy": policy["name"],
                **{name: content["metrics"][name] for name in sorted(content["metrics"])},
                **{name: content["totals"][name] for name in sorted(content["totals"])},
                "num_lossy": content["documents"]["num_lossy"],
                "seconds": content["seconds"],
                "created": content["created"],
                "corpus_sha256": corpus["sha256"],
                "corpus_date_from": corpus["date_from"],
                "corpus_date_to": corpus["date_to"],
                "context_limit": policy["context_limit"],
                "prefix_rule": policy["prefix_rule"],
                **{f"model_{name}": model.get(name) for name in _MODEL_FACTS},
                "scorer_version": content["scorer_version"],
                "evalkit_version": content["environment"].get("evalkit"),
                "cell_sha256": content["sha256"],
            }
        )
    return rows


def document_rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row per document of each cell."""
    return [
        {
            "model": cell.model,
            "corpus": cell.corpus,
            "policy": cell.content["policy"]["name"],
            **row,
            "bits_per_byte": None if row["total_bits"] is None else row["total_bits"] / row["num_bytes"],
            "cell_sha256": cell.content["sha256"],
        }
        for cell in cells
        for row in cell.rows()
    ]


def lm_eval_results(cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """Results objects by file name ``<model>/results_<time>.json``, one per model in one configuration.

    ``bits_per_byte`` and ``byte_perplexity`` are those of lm-evaluation-harness's metrics of these names;
    the standard error is the interval's half width over 1.96.
    """
    cells = _distinct(cells)
    folders = _folders(cells)
    _, entrant_of = entrants_of(cells)
    groups: dict[int, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(entrant_of[cell.path], []).append(cell)
    found: dict[str, dict[str, Any]] = {}
    for members in groups.values():
        newest = max(members, key=lambda cell: str(cell.content["created"]))
        model, policy = newest.content["model"], newest.content["policy"]
        name = folders[newest.model]
        stamp = str(newest.content["created"]).replace(":", "-")
        path = f"{name}/results_{policy['name']}_{stamp}.json"
        number = 1
        while path in found:
            number += 1
            path = f"{name}/results_{policy['name']}_{stamp}-{number}.json"
        tasks = {_task(cell, members): cell for cell in members}
        found[path] = {
            "results": {task: _metrics(task, cell) for task, cell in tasks.items()},
            "group_subtasks": {task: [] for task in tasks},
            "configs": {
                task: {
                    "task": task,
                    "dataset_name": cell.corpus,
                    "output_type": "loglikelihood_rolling",
                    "evalkit_policy": policy["name"],
                    "evalkit_corpus_sha256": cell.content["corpus"]["sha256"],
                }
                for task, cell in tasks.items()
            },
            "versions": dict.fromkeys(tasks, _TASK_VERSION),
            "n-shot": dict.fromkeys(tasks, 0),
            "higher_is_better": {task: {"bits_per_byte": False, "byte_perplexity": False} for task in tasks},
            "n-samples": {
                task: {
                    "original": cell.content["corpus"]["num_documents"],
                    "effective": cell.content["totals"]["num_documents"],
                }
                for task, cell in tasks.items()
            },
            "config": {
                "model": model["loader"],
                "model_args": {"pretrained": newest.model, "policy": policy["name"]},
                "model_num_parameters": model.get("num_parameters"),
                "model_dtype": model["dtype"],
                "model_revision": model["revision"],
                "model_sha": model["weights_sha256"],
                "limit": None,
            },
            "git_hash": (newest.content["environment"].get("git") or {}).get("commit"),
            "task_hashes": {task: cell.content["corpus"]["sha256"] for task, cell in tasks.items()},
            "model_source": model["loader"],
            "model_name": newest.model,
            "model_name_sanitized": name,
            "max_length": policy["context_limit"],
            "transformers_version": newest.content["environment"].get("packages", {}).get("transformers"),
            "total_evaluation_time_seconds": str(math.fsum(cell.content["seconds"] for cell in members)),
            "evalkit": {
                "version": newest.content["environment"].get("evalkit"),
                "cells": {task: cell.content["sha256"] for task, cell in tasks.items()},
            },
        }
    return found


def _distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Without those that only lack the tokens' bits of another: these formats have no place for the bits."""
    _, entrant_of = entrants_of(cells)
    chosen: dict[tuple[Any, ...], Cell] = {}
    for cell in sorted(cells, key=lambda cell: cell.content["documents"]["token_bits"]):
        chosen[entrant_of[cell.path], cell.corpus, cell.content["corpus"]["sha256"]] = cell
    return [cell for cell in cells if any(cell is one for one in chosen.values())]


def _folders(cells: Sequence[Cell]) -> dict[str, str]:
    """A folder for each model's name; names that are the same as far as folders go get numbers."""
    taken: set[str] = set()
    return {name: unique(slug(name), taken) for name in sorted({cell.model for cell in cells})}


def _task(cell: Cell, among: Sequence[Cell]) -> str:
    """The corpus's name; with its digest where another corpus has the same."""
    twins = {other.content["corpus"]["sha256"] for other in among if other.corpus == cell.corpus}
    return cell.corpus if len(twins) == 1 else f"{cell.corpus}@{cell.content['corpus']['sha256'][:8]}"


def _metrics(task: str, cell: Cell) -> dict[str, Any]:
    metrics = cell.content["metrics"]
    low, high = metrics["bits_per_byte_low"], metrics["bits_per_byte_high"]
    error = "N/A" if low is None or high is None else (high - low) / 2 / _Z_95
    perplexity = 2.0**cell.bits_per_byte
    return {
        "name": task,
        "alias": task,
        "sample_len": cell.content["totals"]["num_documents"],
        "bits_per_byte,none": cell.bits_per_byte,
        "bits_per_byte_stderr,none": error,
        "byte_perplexity,none": perplexity,
        # d(2^x) = 2^x ln 2 dx
        "byte_perplexity_stderr,none": error if isinstance(error, str) else perplexity * math.log(2) * error,
    }


def eval_results(
    cells: Sequence[Cell], dataset: str, *, revision: str | None = None, source_url: str | None = None
) -> dict[str, str]:
    """The Hub's evaluation results as YAML, by path ``<model>/.eval_results/<corpus>.yaml``.

    Copy a model's folder into its repository on the Hub; the leaderboard of the benchmark dataset reads it.

    Args:
        cells: of language models; compressors have no repository and are left out.
        dataset: the benchmark dataset's id on the Hub, ``OWNER/NAME``; a corpus is a task of it.
        revision: the dataset's commit, 40 hex digits.
        source_url: where the numbers can be looked at.

    Raises:
        UsageError: ``dataset`` is no id, or there is no language model.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    from evalkit.corpora.publish import check_repo

    check_repo(dataset)
    models = _distinct([cell for cell in cells if cell.content["totals"]["num_tokens"] is not None])
    if not models:
        raise UsageError("only compressors were scored: the Hub's evaluation results are those of models")
    folders = _folders(models)
    entrants, entrant_of = entrants_of(models)
    groups: dict[str, list[EvalResultEntry]] = {}
    for cell in models:
        metrics, policy = cell.content["metrics"], cell.content["policy"]
        low, high = metrics["bits_per_byte_low"], metrics["bits_per_byte_high"]
        interval = "" if low is None else f", 95 % interval {low:.4f} to {high:.4f}"
        # What tells configurations of one model apart, where there are several.
        configuration = entrants[entrant_of[cell.path]].label.removeprefix(cell.model).replace(" · ", "; ")
        notes = (
            f"bits per byte, lower is better{interval}; policy {policy['name']}, prefix "
            f"{policy['prefix_rule']}, {cell.content['model']['dtype']}; corpus sha256 "
            f"{cell.content['corpus']['sha256'][:16]}, {cell.content['totals']['num_documents']} documents"
            f"{configuration}"
        )
        entry = EvalResultEntry(
            dataset_id=dataset,
            task_id=cell.corpus,
            value=round(cell.bits_per_byte, 6),
            dataset_revision=revision,
            date=str(cell.content["created"]),
            source_url=source_url,
            source_name="evalkit" if source_url else None,
            notes=notes,
        )
        path = f"{folders[cell.model]}/.eval_results/{slug(cell.corpus)}.yaml"
        groups.setdefault(path, []).append(entry)
    return {
        path: yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
        for path, entries in groups.items()
    }


def write_table(rows: Sequence[dict[str, Any]], path: Path, *, kind: str) -> None:
    """Rows as CSV (empty fields for what is not known) or Parquet, whole or not at all.

    Args:
        rows: with the same keys; at least one.
        path: of the file.
        kind: ``csv`` or ``parquet``.

    Raises:
        UsageError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows))
    with _writing(path) as temporary:
        if kind == "csv":
            pyarrow.csv.write_csv(_without_nulls(table), temporary)
        else:
            pq.write_table(table, temporary, compression="zstd")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[Path]:
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another --output") from error


def _without_nulls(table: Any) -> Any:
    """Columns in which nothing is known, as text: CSV knows no type null."""
    import pyarrow as pa

    fields = [
        field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def write_files(files: dict[str, str], folder: Path) -> None:
    """Files by relative path, each whole or not at all.

    Raises:
        UsageError: one cannot be written.
    """
    for path, text in files.items():
        with _writing(folder / path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def json_texts(objects: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Objects as strict JSON."""
    return {path: strict_json(content) for path, content in objects.items()}
