"""Results objects of lm-evaluation-harness: one JSON file per model in one configuration.

The layout is that of version `LM_EVAL_VERSION` (``lm_eval/result_schema.py``); its ``make_table`` and
whatever else reads such files reads these. A corpus is a task; ``bits_per_byte`` and ``byte_perplexity`` are
the metrics of these names.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.analysis.configurations import configurations_of
from evalkit.analysis.cutoff import Reading
from evalkit.analysis.document_dates import reading_of_cell
from evalkit.cells.schema import CorpusCell
from evalkit.exports.selection import corpus_ids, distinct, model_folders
from evalkit.exports.tables import prefix_columns
from evalkit.exports.writing import write_files
from evalkit.files import strict_json
from evalkit.models.catalog import load_catalog

LM_EVAL_VERSION = "0.4.13"
"""Of lm-evaluation-harness, whose layout `lm_eval_results` follows."""

_Z_95 = 1.959963984540054  # the normal quantile at 0.975: an interval's half width over a standard error
_TASK_VERSION = 1

Entries = dict[str, object]


def write_lm_eval(cells: Sequence[CorpusCell], output: Path) -> str:
    """Write the results objects; returns what was written, in words.

    Args:
        cells: at least one.
        output: the folder.

    Raises:
        UsageError: a file cannot be written.
    """
    objects = lm_eval_results(cells)
    write_files({path: strict_json(content) for path, content in objects.items()}, output)
    return f"{len(objects)} files of {len(cells)} cells"


def lm_eval_results(cells: Sequence[CorpusCell]) -> dict[str, Entries]:
    """Results objects by file name ``<model>/results_<policy>_<time>.json``.

    The standard error is the interval's half width over 1.96.
    """
    cells = distinct(cells)
    folders = model_folders(cells)
    _, configuration_of = configurations_of(cells)
    groups: dict[int, list[CorpusCell]] = {}
    for cell in cells:
        groups.setdefault(configuration_of[cell.path], []).append(cell)
    objects: dict[str, Entries] = {}
    for members in groups.values():
        newest = max(members, key=lambda cell: cell.created)
        names = corpus_ids(members)
        folder = folders[newest.model.name]
        stem = f"{folder}/results_{newest.policy.name}_{newest.created.replace(':', '-')}"
        path, number = f"{stem}.json", 1
        while path in objects:
            number += 1
            path = f"{stem}-{number}.json"
        objects[path] = {
            **_task_entries({names[cell.path]: cell for cell in members}),
            **_model_entries(newest, folder),
            "total_evaluation_time_seconds": str(math.fsum(cell.seconds for cell in members)),
        }
    return objects


def _task_entries(tasks: Mapping[str, CorpusCell]) -> Entries:
    """What a results object says of its tasks, which are corpora."""
    catalog = load_catalog()
    readings = {task: reading_of_cell(cell, catalog) for task, cell in tasks.items()}
    return {
        "results": {task: _metrics(task, cell) for task, cell in tasks.items()},
        "group_subtasks": {task: [] for task in tasks},
        "configs": {task: _config(task, cell, readings[task]) for task, cell in tasks.items()},
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


def _config(task: str, cell: CorpusCell, reading: Reading) -> Entries:
    return {
        "task": task,
        "dataset_name": cell.corpus.name,
        "output_type": "loglikelihood_rolling",
        "evalkit_policy": cell.policy.name,
        **{f"evalkit_{name}": value for name, value in prefix_columns(cell).items()},
        "evalkit_corpus_sha256": cell.corpus.sha256,
        "evalkit_exposure": str(reading.exposure),
        "evalkit_exposure_note": reading.text,
    }


def _model_entries(newest: CorpusCell, folder: str) -> Entries:
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


def _metrics(task: str, cell: CorpusCell) -> Entries:
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
