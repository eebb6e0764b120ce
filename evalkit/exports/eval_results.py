"""Entries of the Hub's benchmark leaderboards (https://huggingface.co/docs/hub/eval-results)."""

from collections.abc import Sequence
from pathlib import Path

from evalkit.analysis.configurations import configurations_of
from evalkit.analysis.cutoff import Reading
from evalkit.analysis.document_dates import reading_of_cell
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from evalkit.exports.selection import distinct, model_folders
from evalkit.exports.writing import write_files
from evalkit.files import slug
from evalkit.models.catalog import load_catalog


def write_eval_results(
    cells: Sequence[CorpusCell],
    output: Path,
    *,
    dataset: str,
    revision: str | None = None,
    source_url: str | None = None,
) -> str:
    """Write the entries; returns what was written, in words.

    Args:
        cells: at least one of a language model.
        output: the folder; a model's folder in it is to be copied into its repository on the Hub.
        dataset: see `eval_results`.
        revision: see `eval_results`.
        source_url: see `eval_results`.

    Raises:
        UsageError: a file cannot be written, and as by `eval_results`.
    """
    files = eval_results(cells, dataset, revision=revision, source_url=source_url)
    write_files(files, output)
    return f"{len(files)} files of {len(cells)} cells"


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
    models = distinct([cell for cell in cells if not cell.is_of_a_compressor])
    if not models:
        raise UsageError("only compressors were scored: the Hub's evaluation results are those of models")
    folders = model_folders(models)
    configurations, configuration_of = configurations_of(models)
    catalog = load_catalog()
    groups: dict[str, list[EvalResultEntry]] = {}
    for cell in models:
        label = configurations[configuration_of[cell.path]].label
        entry = EvalResultEntry(
            dataset_id=dataset,
            task_id=cell.corpus.name,
            value=round(cell.bits_per_byte, 6),
            dataset_revision=revision,
            date=cell.created,
            source_url=source_url,
            source_name="evalkit" if source_url else None,
            notes=_notes(cell, label, reading_of_cell(cell, catalog)),
        )
        path = f"{folders[cell.model.name]}/.eval_results/{slug(cell.corpus.name)}.yaml"
        groups.setdefault(path, []).append(entry)
    return {
        path: yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
        for path, entries in groups.items()
    }


def _notes(cell: CorpusCell, label: str, reading: Reading) -> str:
    """What stands beside a number: how it came about, and what dates say."""
    bounds = cell.metrics.interval
    interval = "" if bounds is None else f", 95 % interval {bounds.low:.4f} to {bounds.high:.4f}"
    # What tells configurations of one model apart, where there are several.
    configuration = label.removeprefix(cell.model.name).replace(" · ", "; ")
    return (
        f"bits per byte, lower is better{interval}; policy {cell.policy.name}, prefix "
        f"{cell.policy.prefix}, {cell.model.dtype}; corpus sha256 {cell.corpus.sha256[:16]}, "
        f"{cell.totals.num_documents} documents{configuration}; "
        f"{reading.text}"
    )
