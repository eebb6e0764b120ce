"""Records of Every Eval Ever, a shared schema and datastore of evaluation results (arXiv 2606.14516).

A file per model in one configuration, with a result per corpus, where its datastore has it:
``data/evalkit/<developer>/<model>/<uuid>.json``. The layout is that of schema `SCHEMA_VERSION`
(``eval.schema.json`` of the package ``every-eval-ever``). Its records of single samples hold their texts,
which cells do not; what each document cost is in the export of documents.
"""

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.analysis.configurations import configurations_of, unique
from evalkit.analysis.cutoff import Reading
from evalkit.analysis.document_dates import reading_of_cell
from evalkit.cells.schema import CellModel, CorpusCell
from evalkit.errors import UsageError
from evalkit.exports.selection import corpus_ids, distinct, model_folders
from evalkit.exports.tables import prefix_columns
from evalkit.exports.writing import write_files
from evalkit.files import slug, strict_json
from evalkit.models.catalog import load_catalog

SCHEMA_VERSION = "0.3.0"
"""Of Every Eval Ever."""
RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")
"""Of who ran the evaluation to who made the model."""

_COLLECTION = "evalkit"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)

Entries = dict[str, object]


def write_every_eval_ever(
    cells: Sequence[CorpusCell], output: Path, *, organization: str = "unknown", relationship: str = "other"
) -> str:
    """Write the records; returns what was written, in words.

    Args:
        cells: at least one of a language model.
        output: the folder; what is in it is to be copied into the datastore.
        organization: see `every_eval_ever_records`.
        relationship: see `every_eval_ever_records`.

    Raises:
        UsageError: a file cannot be written, and as by `every_eval_ever_records`.
    """
    records = every_eval_ever_records(cells, organization=organization, relationship=relationship)
    write_files({path: strict_json(record) for path, record in records.items()}, output)
    num_compressors = sum(cell.is_of_a_compressor for cell in cells)
    left_out = f"; {num_compressors} of compressors, which are no models, left out" if num_compressors else ""
    return f"{len(records)} files of {len(cells) - num_compressors} cells{left_out}"


def every_eval_ever_records(
    cells: Sequence[CorpusCell], *, organization: str = "unknown", relationship: str = "other"
) -> dict[str, Entries]:
    """Records by their paths in the datastore. The same cells give the same records and paths.

    Args:
        cells: of language models; compressors are left out.
        organization: who ran the evaluation.
        relationship: one of `RELATIONSHIPS`.

    Raises:
        UsageError: there is no such relationship, or there is no language model.
    """
    if relationship not in RELATIONSHIPS:
        raise UsageError(f"--relationship must be {', '.join(RELATIONSHIPS)}, not {relationship!r}")
    models = distinct([cell for cell in cells if not cell.is_of_a_compressor])
    if not models:
        raise UsageError("only compressors were scored: Every Eval Ever holds results of language models")
    source = {
        "source_name": "evalkit",
        "source_type": "evaluation_run",
        "source_organization_name": organization,
        "evaluator_relationship": relationship,
    }
    folders = model_folders(models)
    _, configuration_of = configurations_of(models)
    groups: dict[int, list[CorpusCell]] = {}
    for cell in models:
        groups.setdefault(configuration_of[cell.path], []).append(cell)
    taken: set[str] = set()
    records: dict[str, Entries] = {}
    for members in groups.values():
        newest = max(members, key=lambda cell: cell.created)
        model_id = _model_id(newest.model, folders[newest.model.name])
        moment = _unix_time(newest.created)
        developer, _, name = model_id.partition("/")
        folder = f"data/{_COLLECTION}/{developer}/{name.replace('/', '_')}"
        records[f"{folder}/{_uuid(members)}.json"] = {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": unique(f"{_COLLECTION}/{model_id}/{moment}", taken),
            "evaluation_timestamp": newest.created,
            "retrieved_timestamp": moment,
            "source_metadata": source,
            "eval_library": _library(newest),
            "model_info": _model_info(newest.model, model_id),
            "evaluation_results": _results(members),
        }
    return records


def _model_id(model: CellModel, folder: str) -> str:
    """The repository on the hub, with the file in it where one was named; else ``local/<name>``.

    An adapter makes another model of the one that it is applied to, and so is part of the id.
    """
    if model.revision is None or model.target is None or not _HUB_ID.fullmatch(model.target):
        return f"local/{folder}"
    adapter = model.details.get("adapter")
    applied = f"+{slug(str(adapter))}" if adapter else ""
    return f"{model.target}{applied}" + (f"/{slug(model.file)}" if model.file else "")


def _unix_time(moment: str) -> str:
    time = dt.datetime.fromisoformat(moment)
    return str(int((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()))


def _uuid(cells: Sequence[CorpusCell]) -> str:
    """Of the form that the datastore has (version 4), and the same for the same cells."""
    digest = hashlib.sha256("\n".join(sorted(cell.sha256 for cell in cells)).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _texts(facts: Mapping[str, object]) -> dict[str, str]:
    """Facts as the schema has them, which knows texts alone; without those that are not known."""
    return {name: str(value) for name, value in facts.items() if value is not None}


def _library(newest: CorpusCell) -> Entries:
    environment = newest.environment
    git = environment.git
    return {
        "name": "evalkit",
        "version": environment.evalkit,
        "additional_details": _texts(
            {
                "git_commit": git.commit if git else None,
                "scorer_version": newest.scorer_version,
                **{f"{name}_version": version for name, version in sorted(environment.packages.items())},
            }
        ),
    }


def _model_info(model: CellModel, model_id: str) -> Entries:
    """The catalog lists published models: of others a cell does not say whether their weights are open."""
    return {
        "name": model.name,
        "id": model_id,
        "additional_details": {
            "deployment_type": "self_deployed",
            "model_availability": "open_weights" if model.name in load_catalog() else "unknown",
            **_texts(
                {
                    "loader": model.loader,
                    "target": model.target,
                    "file": model.file,
                    "adapter": model.details.get("adapter"),
                    "revision": model.revision,
                    "weights_sha256": model.weights_sha256,
                    "tokenizer_sha256": model.tokenizer_sha256,
                    "dtype": model.dtype,
                    "num_parameters": model.num_parameters,
                    "released": model.released,
                    "knowledge_cutoff": model.knowledge_cutoff,
                    "license": model.license,
                }
            ),
        },
    }


def _results(cells: Sequence[CorpusCell]) -> list[Entries]:
    catalog, names = load_catalog(), corpus_ids(cells)
    return [
        {
            "evaluation_result_id": cell.sha256,
            "evaluation_name": names[cell.path],
            "evaluation_timestamp": cell.created,
            "source_data": _source_data(cell),
            "metric_config": _metric(cell),
            "score_details": _score(cell, reading_of_cell(cell, catalog)),
        }
        for cell in cells
    ]


def _source_data(cell: CorpusCell) -> Entries:
    corpus = cell.corpus
    return {
        "dataset_name": corpus.name,
        "source_type": "other",
        "additional_details": _texts(
            {
                "sha256": corpus.sha256,
                "date_from": corpus.date_from,
                "date_to": corpus.date_to,
                "num_documents": corpus.num_documents,
                "num_bytes": corpus.num_bytes,
                "licenses": ", ".join(sorted(corpus.licenses)),
            }
        ),
    }


def _metric(cell: CorpusCell) -> Entries:
    return {
        "evaluation_description": "bits that the model needs for the documents, over their UTF-8 bytes",
        "metric_id": "bits_per_byte",
        "metric_name": "bits per byte",
        "metric_kind": "bits_per_byte",
        "metric_unit": "bits per byte",
        "metric_parameters": {
            "policy": cell.policy.name,
            "context_limit": cell.policy.context_limit,
            **prefix_columns(cell),
        },
        "lower_is_better": True,
        "score_type": "continuous",
        "min_score": 0,
        "max_score": "Infinity",
    }


def _score(cell: CorpusCell, reading: Reading) -> Entries:
    totals, bounds = cell.totals, cell.metrics.interval
    details = _texts(
        {
            "total_bits": totals.total_bits,
            "num_bytes": totals.num_bytes,
            "num_tokens": totals.num_tokens,
            "num_documents": totals.num_documents,
            "num_documents_not_representable": cell.documents.num_lossy,
            "num_clusters": cell.metrics.num_clusters,
            "exposure": reading.exposure,
            "exposure_note": reading.text,
        }
    )
    if bounds is None:
        return {"score": cell.bits_per_byte, "details": details}
    interval = {
        "lower": bounds.low,
        "upper": bounds.high,
        "confidence_level": cell.metrics.confidence,
        "method": "bootstrap over clusters of documents",
    }
    uncertainty = {"confidence_interval": interval, "num_samples": totals.num_documents}
    return {"score": cell.bits_per_byte, "details": details, "uncertainty": uncertainty}
