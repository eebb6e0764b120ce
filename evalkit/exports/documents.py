"""What every document cost, a row each, as JSON Lines or Parquet: for who joins it with data of their own.

The first four columns are those that Marin asks of a scorer (marin-community/marin, issue 8975): ``doc_id``,
``corpus_id``, ``loss`` and ``bits_per_byte``, null where a document has none. Those behind them tell cells
apart, and give what the two means are made of.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.cells.schema import CorpusCell, DocumentRow
from evalkit.exports.selection import corpus_ids, distinct
from evalkit.exports.tables import Row, prefix_columns
from evalkit.exports.writing import writing
from evalkit.scoring.documents import BITS_PER_NAT
from evalkit.scoring.policy import num_paid_tokens


def write_documents(cells: Sequence[CorpusCell], output: Path) -> str:
    """Write the rows of all cells, one cell after the other; returns what was written, in words.

    Args:
        cells: at least one.
        output: the file: Parquet if its name ends so, else JSON Lines.

    Raises:
        ScoringError: a cell's files are not what was written.
        UsageError: the file cannot be written, or a cell is of a policy that is not known.
    """
    chosen = distinct(cells)
    names = corpus_ids(chosen)
    parts = ([*document_losses(cell, names[cell.path])] for cell in chosen)
    with writing(output) as temporary:
        write = _write_parquet if output.suffix == ".parquet" else _write_jsonl
        num_rows = write(parts, temporary)
    return f"{num_rows:,} rows of {len(chosen)} cells"


def document_losses(cell: CorpusCell, corpus: str) -> Iterator[Row]:
    """A row per document of a cell, in its order.

    ``loss`` is the mean over the tokens that were paid for, in nats; ``bits_per_byte`` is the same sum in
    bits over all of the document's UTF-8 bytes. Both are None where the document could not be represented or
    none of its tokens was paid for; ``loss`` also for a compressor, which has no tokens.

    Args:
        cell: of a corpus.
        corpus: what the rows call it.

    Raises:
        ScoringError: the cell's files are not what was written.
        UsageError: its policy is not known.
    """
    for row in cell.rows():
        num_paid = _num_paid_tokens(cell, row)
        bits = None if num_paid == 0 else row.total_bits
        yield {
            "doc_id": row.id,
            "corpus_id": corpus,
            "loss": None if bits is None or num_paid is None else bits / BITS_PER_NAT / num_paid,
            "bits_per_byte": None if bits is None else bits / row.num_bytes,
            "model": cell.model.name,
            "policy": cell.policy.name,
            **prefix_columns(cell),
            "total_bits": bits,
            "num_bytes": row.num_bytes,
            "num_paid_tokens": num_paid,
            "lossy": row.lossy,
            "doc_sha256": row.sha256,
            "cell_sha256": cell.sha256,
        }


def _num_paid_tokens(cell: CorpusCell, row: DocumentRow) -> int | None:
    """None where there are no tokens: of a compressor, and where a document could not be represented."""
    if row.num_tokens is None:
        return None
    policy = cell.policy
    return num_paid_tokens(
        policy.name,
        row.num_tokens,
        prefix=policy.prefix_ids or (),
        context_limit=policy.context_limit,
        chunk_prefix=policy.chunk_prefix_ids or (),
    )


def _write_jsonl(parts: Iterator[list[Row]], path: Path) -> int:
    """An object per line, in ASCII: a line separator of Unicode in an id ends no line. Returns how many."""
    num_rows = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for rows in parts:
            file.writelines(f"{json.dumps(row, allow_nan=False)}\n" for row in rows)
            num_rows += len(rows)
    return num_rows


def _write_parquet(parts: Iterator[list[Row]], path: Path) -> int:
    """A row group per cell, with types that do not depend on what is null. Returns how many rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, count, number = pa.string(), pa.int64(), pa.float64()
    schema = pa.schema(
        {
            **{"doc_id": text, "corpus_id": text, "loss": number, "bits_per_byte": number},
            **{"model": text, "policy": text},
            **{"prefix_rule": text, "prefix_ids": text, "prefix_text": text, "chunk_prefix_ids": text},
            **{"total_bits": number, "num_bytes": count, "num_paid_tokens": count},
            **{"lossy": text, "doc_sha256": text, "cell_sha256": text},
        }
    )
    num_rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in parts:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            num_rows += len(rows)
    return num_rows
