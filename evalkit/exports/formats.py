"""Results in the formats of others: tables, lm-evaluation-harness's JSON, the Hub's ``.eval_results``.

All are views of the cells under a folder. Cells of ``--limit`` runs and damaged ones are left out, and told.

* `cell_rows`, `document_rows`: flat tables, a row per cell or per document and cell, for CSV and Parquet.
* `lm_eval_results`: one results object per model and policy in the layout of lm-evaluation-harness 0.4.13
  (``lm_eval/result_schema.py``); its ``make_table`` and whatever else reads such files reads these.
* `eval_results`: entries of the Hub's benchmark leaderboards (https://huggingface.co/docs/hub/eval-results).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.analysis.results import configurations_of, json_files, unique
from evalkit.cells.fields import to_json
from evalkit.cells.reading import read_cell
from evalkit.cells.schema import CorpusCell
from evalkit.errors import EvalkitError, UsageError
from evalkit.files import atomic_write, slug, strict_json

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("csv", "parquet", "lm-eval", "eval-results")
LM_EVAL_VERSION = "0.4.13"
"""Of lm-evaluation-harness, whose layout `lm_eval_results` follows."""

_Z_95 = 1.959963984540054  # the normal quantile at 0.975: an interval's half width over a standard error
_TASK_VERSION = 1
Warn = Callable[[str], None]


def read_cells(results: Path, *, warn: Warn = lambda _: None) -> list[CorpusCell]:
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
    num_not_of_corpora = 0
    for path in json_files(results):
        try:
            cell = read_cell(path)
        except EvalkitError as error:
            warn(f"left out: {error}")
            continue
        if not isinstance(cell, CorpusCell):
            num_not_of_corpora += 1
            continue
        if (limit := cell.corpus.limit) is not None:
            warn(f"left out: {path} holds only the first {limit} documents of {cell.corpus.name} (--limit)")
            continue
        cells.append(cell)
    if not cells:
        raise UsageError(f"{results} holds no whole cell of a corpus; score without --limit")
    if num_not_of_corpora:
        warn(f"left out: {num_not_of_corpora} cells that are not of corpora (probes and tasks)")
    return cells


def cell_rows(cells: Sequence[CorpusCell]) -> list[dict[str, object]]:
    """A flat row per cell: model, corpus, policy, totals, metrics, and where the cell lies."""
    rows = []
    for cell in cells:
        model = cell.model
        rows.append(
            {
                "model": model.name,
                "corpus": cell.corpus.name,
                "policy": cell.policy.name,
                **dict(sorted(to_json(cell.metrics).items())),
                **dict(sorted(to_json(cell.totals).items())),
                "num_lossy": cell.documents.num_lossy,
                "seconds": cell.seconds,
                "created": cell.created,
                "corpus_sha256": cell.corpus.sha256,
                "corpus_date_from": cell.corpus.date_from,
                "corpus_date_to": cell.corpus.date_to,
                "context_limit": cell.policy.context_limit,
                "prefix_rule": cell.policy.prefix_rule,
                "model_loader": model.loader,
                "model_revision": model.revision,
                "model_weights_sha256": model.weights_sha256,
                "model_tokenizer_sha256": model.tokenizer_sha256,
                "model_dtype": model.dtype,
                "model_num_parameters": model.num_parameters,
                "model_released": model.released,
                "model_knowledge_cutoff": model.knowledge_cutoff,
                "model_license": model.license,
                "scorer_version": cell.scorer_version,
                "evalkit_version": cell.environment.evalkit,
                "cell_sha256": cell.sha256,
            }
        )
    return rows


def document_rows(cells: Sequence[CorpusCell]) -> list[dict[str, object]]:
    """A row per document of each cell."""
    return [
        {
            "model": cell.model.name,
            "corpus": cell.corpus.name,
            "policy": cell.policy.name,
            **row._asdict(),
            "bits_per_byte": None if row.total_bits is None else row.total_bits / row.num_bytes,
            "cell_sha256": cell.sha256,
        }
        for cell in cells
        for row in cell.rows()
    ]


def lm_eval_results(cells: Sequence[CorpusCell]) -> dict[str, dict[str, object]]:
    """Results objects by file name ``<model>/results_<time>.json``, one per model in one configuration.

    ``bits_per_byte`` and ``byte_perplexity`` are those of lm-evaluation-harness's metrics of these names;
    the standard error is the interval's half width over 1.96.
    """
    cells = _distinct(cells)
    folders = _folders(cells)
    _, configuration_of = configurations_of(cells)
    groups: dict[int, list[CorpusCell]] = {}
    for cell in cells:
        groups.setdefault(configuration_of[cell.path], []).append(cell)
    objects: dict[str, dict[str, object]] = {}
    for members in groups.values():
        newest = max(members, key=lambda cell: cell.created)
        folder = folders[newest.model.name]
        stem = f"{folder}/results_{newest.policy.name}_{newest.created.replace(':', '-')}"
        path, number = f"{stem}.json", 1
        while path in objects:
            number += 1
            path = f"{stem}-{number}.json"
        objects[path] = {
            **_task_entries({_task(cell, members): cell for cell in members}),
            **_model_entries(newest, folder),
            "total_evaluation_time_seconds": str(math.fsum(cell.seconds for cell in members)),
        }
    return objects


def _task_entries(tasks: Mapping[str, CorpusCell]) -> dict[str, object]:
    """What a results object says of its tasks, which are corpora."""
    return {
        "results": {task: _metrics(task, cell) for task, cell in tasks.items()},
        "group_subtasks": {task: [] for task in tasks},
        "configs": {
            task: {
                "task": task,
                "dataset_name": cell.corpus.name,
                "output_type": "loglikelihood_rolling",
                "evalkit_policy": cell.policy.name,
                "evalkit_corpus_sha256": cell.corpus.sha256,
            }
            for task, cell in tasks.items()
        },
        "versions": dict.fromkeys(tasks, _TASK_VERSION),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {task: {"bits_per_byte": False, "byte_perplexity": False} for task in tasks},
        "n-samples": {
            task: {"original": cell.corpus.num_documents, "effective": cell.totals.num_documents}
            for task, cell in tasks.items()
        },
        "task_hashes": {task: cell.corpus.sha256 for task, cell in tasks.items()},
        "evalkit": {
            "version": max(tasks.values(), key=lambda cell: cell.created).environment.evalkit,
            "cells": {task: cell.sha256 for task, cell in tasks.items()},
        },
    }


def _model_entries(newest: CorpusCell, folder: str) -> dict[str, object]:
    """What a results object says of its model, after the model's newest cell."""
    model, policy, environment = newest.model, newest.policy, newest.environment
    return {
        "config": {
            "model": model.loader,
            "model_args": {"pretrained": model.name, "policy": policy.name},
            "model_num_parameters": model.num_parameters,
            "model_dtype": model.dtype,
            "model_revision": model.revision,
            "model_sha": model.weights_sha256,
            "limit": None,
        },
        "git_hash": environment.git.commit if environment.git else None,
        "model_source": model.loader,
        "model_name": model.name,
        "model_name_sanitized": folder,
        "max_length": policy.context_limit,
        "transformers_version": environment.packages.get("transformers"),
    }


def _distinct(cells: Sequence[CorpusCell]) -> list[CorpusCell]:
    """Without those that only lack the tokens' bits of another: these formats have no place for the bits."""
    _, configuration_of = configurations_of(cells)
    chosen: dict[tuple[int, str, str], CorpusCell] = {}
    for cell in sorted(cells, key=lambda cell: cell.documents.token_bits):
        chosen[configuration_of[cell.path], cell.corpus.name, cell.corpus.sha256] = cell
    return [cell for cell in cells if any(cell is candidate for candidate in chosen.values())]


def _folders(cells: Sequence[CorpusCell]) -> dict[str, str]:
    """A folder for each model's name; names that are the same as far as folders go get numbers."""
    taken: set[str] = set()
    return {name: unique(slug(name), taken) for name in sorted({cell.model.name for cell in cells})}


def _task(cell: CorpusCell, among: Sequence[CorpusCell]) -> str:
    """The corpus's name; with its digest where another corpus has the same."""
    corpus = cell.corpus
    digests = {member.corpus.sha256 for member in among if member.corpus.name == corpus.name}
    return corpus.name if len(digests) == 1 else f"{corpus.name}@{corpus.sha256[:8]}"


def _metrics(task: str, cell: CorpusCell) -> dict[str, object]:
    interval = cell.metrics.interval
    error = "N/A" if interval is None else (interval.high - interval.low) / 2 / _Z_95
    perplexity = 2.0**cell.bits_per_byte
    return {
        "name": task,
        "alias": task,
        "sample_len": cell.totals.num_documents,
        "bits_per_byte,none": cell.bits_per_byte,
        "bits_per_byte_stderr,none": error,
        "byte_perplexity,none": perplexity,
        # d(2^x) = 2^x ln 2 dx
        "byte_perplexity_stderr,none": error if isinstance(error, str) else perplexity * math.log(2) * error,
    }


def eval_results(
    cells: Sequence[CorpusCell], dataset: str, *, revision: str | None = None, source_url: str | None = None
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
    models = _distinct([cell for cell in cells if not cell.is_of_a_compressor])
    if not models:
        raise UsageError("only compressors were scored: the Hub's evaluation results are those of models")
    folders = _folders(models)
    configurations, configuration_of = configurations_of(models)
    groups: dict[str, list[EvalResultEntry]] = {}
    for cell in models:
        bounds = cell.metrics.interval
        interval = "" if bounds is None else f", 95 % interval {bounds.low:.4f} to {bounds.high:.4f}"
        # What tells configurations of one model apart, where there are several.
        configuration = (
            configurations[configuration_of[cell.path]]
            .label.removeprefix(cell.model.name)
            .replace(" · ", "; ")
        )
        notes = (
            f"bits per byte, lower is better{interval}; policy {cell.policy.name}, prefix "
            f"{cell.policy.prefix_rule}, {cell.model.dtype}; corpus sha256 "
            f"{cell.corpus.sha256[:16]}, {cell.totals.num_documents} documents"
            f"{configuration}"
        )
        entry = EvalResultEntry(
            dataset_id=dataset,
            task_id=cell.corpus.name,
            value=round(cell.bits_per_byte, 6),
            dataset_revision=revision,
            date=cell.created,
            source_url=source_url,
            source_name="evalkit" if source_url else None,
            notes=notes,
        )
        path = f"{folders[cell.model.name]}/.eval_results/{slug(cell.corpus.name)}.yaml"
        groups.setdefault(path, []).append(entry)
    return {
        path: yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
        for path, entries in groups.items()
    }


def write_table(rows: Sequence[Mapping[str, object]], path: Path, *, kind: str) -> None:
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

    table = pa.Table.from_pylist([dict(row) for row in rows])
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


def _without_nulls(table: "pa.Table") -> "pa.Table":
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


def json_texts(objects: dict[str, dict[str, object]]) -> dict[str, str]:
    """Objects as strict JSON."""
    return {path: strict_json(content) for path, content in objects.items()}
