"""Flat tables, a row per cell or per document and cell, as CSV or Parquet."""

from collections.abc import Sequence
from pathlib import Path

from evalkit.analysis.cutoff import Reading
from evalkit.analysis.document_dates import exposures_of_rows, reading_of_cell
from evalkit.cells.schema import CorpusCell
from evalkit.exports.writing import writing
from evalkit.fields import to_json
from evalkit.models.catalog import load_catalog
from evalkit.spreadsheets import spreadsheet_rows

Row = dict[str, str | int | float | bool | None]


def cell_rows(cells: Sequence[CorpusCell]) -> list[Row]:
    """A flat row per cell: model, corpus, policy, totals, metrics, what dates say, and the cell's digest."""
    catalog = load_catalog()
    return [_cell_row(cell, reading_of_cell(cell, catalog)) for cell in cells]


def _cell_row(cell: CorpusCell, reading: Reading) -> Row:
    model, corpus = cell.model, cell.corpus
    return {
        "model": model.name,
        "corpus": corpus.name,
        "policy": cell.policy.name,
        **_numbers(cell.metrics),
        **_numbers(cell.totals),
        "num_lossy": cell.documents.num_lossy,
        "num_literal": cell.documents.num_literal,
        "seconds": cell.seconds,
        "created": cell.created,
        "corpus_sha256": corpus.sha256,
        "corpus_date_from": corpus.date_from,
        "corpus_date_to": corpus.date_to,
        "exposure": str(reading.exposure),
        "num_documents_possibly_read": reading.num_possible,
        "num_documents_of_unknown_exposure": reading.num_unknown,
        "context_limit": cell.policy.context_limit,
        **prefix_columns(cell),
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


def prefix_columns(cell: CorpusCell) -> Row:
    """What was read before each document: rule, ids and their text; and the ids before every chunk.

    Ids have commas between them, as in the rule ``token:0,7``, and are the empty text where nothing was read;
    what a cell does not say is None.
    """
    policy = cell.policy
    return {
        "prefix_rule": policy.prefix_rule,
        "prefix_ids": _ids_text(policy.prefix_ids),
        "prefix_text": policy.prefix_text,
        "chunk_prefix_ids": _ids_text(policy.chunk_prefix_ids),
    }


def _ids_text(ids: Sequence[int] | None) -> str | None:
    return None if ids is None else ",".join(map(str, ids))


def _numbers(part: object) -> Row:
    """The fields of a part of a cell that holds numbers alone, by name."""
    return {
        name: value
        for name, value in sorted(to_json(part).items())
        if value is None or isinstance(value, int | float)
    }


def document_rows(cells: Sequence[CorpusCell]) -> list[Row]:
    """A row per document of each cell."""
    catalog = load_catalog()
    rows: list[Row] = []
    for cell in cells:
        documents = cell.rows()
        exposures = exposures_of_rows(cell, documents, catalog)
        for row, (day, exposure) in zip(documents, exposures, strict=True):
            rows.append(
                {
                    "model": cell.model.name,
                    "corpus": cell.corpus.name,
                    "policy": cell.policy.name,
                    **prefix_columns(cell),
                    **row._asdict(),
                    "published_at": day,
                    "exposure": str(exposure),
                    "bits_per_byte": None if row.total_bits is None else row.total_bits / row.num_bytes,
                    "cell_sha256": cell.sha256,
                }
            )
    return rows


def write_csv(cells: Sequence[CorpusCell], output: Path, *, documents: bool = False) -> str:
    """Write a table as CSV, with empty fields for what is not known; returns what was written, in words.

    No text in it is a formula to a spreadsheet (`evalkit.spreadsheets`).

    Args:
        cells: at least one.
        output: the file.
        documents: a row per document instead of per cell.

    Raises:
        UsageError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv

    rows, words = _rows(cells, documents)
    table = pa.Table.from_pylist(spreadsheet_rows(rows))
    # CSV knows no type null: columns in which nothing is known are empty text.
    fields = [
        field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema
    ]
    with writing(output) as temporary:
        pyarrow.csv.write_csv(table.cast(pa.schema(fields)), temporary)
    return words


def write_parquet(cells: Sequence[CorpusCell], output: Path, *, documents: bool = False) -> str:
    """Write a table as Parquet; arguments, returned words and errors are those of `write_csv`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, words = _rows(cells, documents)
    with writing(output) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
    return words


def _rows(cells: Sequence[CorpusCell], documents: bool) -> tuple[list[Row], str]:
    rows = document_rows(cells) if documents else cell_rows(cells)
    return rows, f"{len(rows):,} rows of {len(cells)} cells"
