"""Request sets for others: a task of lm-evaluation-harness, and plain JSONL."""

import json
from collections.abc import Mapping
from pathlib import Path

from evalkit.corpora.document import Corpus, Document
from evalkit.errors import UsageError
from evalkit.files import atomic_write

FORMATS: Mapping[str, str] = {
    "lm-eval": "a folder with a task of lm-evaluation-harness: NAME.yaml and NAME.jsonl",
    "jsonl": "a file with a row per document, which `evalkit corpora import` and --corpora read",
}
"""What is written in each format."""


def export_requests(corpus: Corpus, format: str, output: Path) -> list[Path]:
    """Write a request set in one of `FORMATS`; the files that were written.

    Raises:
        UsageError: for lm-evaluation-harness some documents have choices and others none.
        OSError: the files cannot be written.
    """
    if format == "jsonl":
        _write_rows(output, corpus)
        return [output]
    has_choices = {document.choices is not None for document in corpus.documents}
    if len(has_choices) > 1:
        raise UsageError(
            f"corpus {corpus.name}: some documents have choices and others none, which is no one task of "
            "lm-evaluation-harness; make a request set of each"
        )
    output.mkdir(parents=True, exist_ok=True)
    rows, task = output / f"{corpus.name}.jsonl", output / f"{corpus.name}.yaml"
    _write_rows(rows, corpus)
    with atomic_write(task) as temporary:
        temporary.write_text(_task(corpus, rows, has_choices=has_choices == {True}), encoding="utf-8")
    return [task, rows]


def _write_rows(path: Path, corpus: Corpus) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for document in corpus.documents:
            file.write(json.dumps(_row(document), ensure_ascii=False) + "\n")


def _row(document: Document) -> dict[str, object]:
    row: dict[str, object] = {"context": document.context or "", "continuation": document.text}
    if document.choices is not None:
        row |= {"choices": list(document.choices), "gold": document.choices.index(document.text)}
    stated = ("cluster", "source", "license", "language", "published_at", "url", "title")
    return row | {name: getattr(document, name) for name in stated if getattr(document, name) is not None}


def _task(corpus: Corpus, rows: Path, *, has_choices: bool) -> str:
    import yaml

    if has_choices:
        metrics = ["acc", "acc_norm", "acc_bytes", "acc_mutual_info"]
        of_type: dict[str, object] = {
            "output_type": "multiple_choice",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "gold",
        }
    else:
        metrics = ["perplexity", "acc"]
        of_type = {"output_type": "loglikelihood", "doc_to_target": "{{continuation}}"}
    task = {
        "task": corpus.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows.resolve())}},
        "test_split": "test",
        "doc_to_text": "{{context}}",
        "target_delimiter": "",
        "num_fewshot": 0,
        "metadata": {"version": 1, "corpus_sha256": corpus.sha256},
        **of_type,
        "metric_list": [{"metric": metric} for metric in metrics],
    }
    text: str = yaml.safe_dump(task, sort_keys=False, allow_unicode=True)
    return text
