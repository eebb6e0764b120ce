"""The same bits under a corpus of the same texts of which something else is said now.

Clusters, dates, licenses and titles determine no bit, and are in no key. They determine intervals, what may
have been read in training, and what may be shown: a cell that says other things of its documents than the
corpus does is made anew of the bits that it has, beside the old one, as ``<key>-<digest>.json``. Nothing is
scored and nothing is overwritten; what reads results takes the newest of a key.
"""

import dataclasses
import datetime as dt
import functools
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cells import files as cell_files
from evalkit.cells.columns import STORY_COLUMNS, DocumentColumns, parquet_settings, read_columns, read_rows
from evalkit.cells.policy_schema import ContextCut
from evalkit.cells.reading import cell_of, check_kind, checked_cell_of
from evalkit.cells.schema import (
    COMPRESSION_RATE_PERCENT_PER_BPB,
    CellCorpus,
    CellMetrics,
    CellTotals,
    CorpusCell,
    content_of,
)
from evalkit.corpora.context_gain import CUT_BYTES, CUT_OF, CUT_OF_SHA256, WHOLE
from evalkit.corpora.store import UNKNOWN, Corpus, Document
from evalkit.stats import CONFIDENCE, ratio_interval

if TYPE_CHECKING:
    import pyarrow as pa

_RENEWED = re.compile(r"[0-9a-f]{24}-[0-9a-f]{8}")
_NUM_BYTES = re.compile(r"[0-9]{1,15}")


def cluster_of(document: Document) -> str:
    """What a document is resampled with: its cluster, or itself."""
    return document.cluster or document.id


def corpus_facts(corpus: Corpus, limit: int | None) -> CellCorpus:
    """What a cell says of its corpus.

    Args:
        corpus: already limited.
        limit: None where no document was left out.
    """
    return CellCorpus(
        name=corpus.name,
        sha256=corpus.sha256,
        records_sha256=corpus.manifest.records_sha256,
        date_from=corpus.date_from,
        date_to=corpus.date_to,
        num_documents=len(corpus.documents),
        num_bytes=corpus.num_bytes,
        limit=limit,
        licenses=dict(corpus.manifest.licenses),
        sources=dict(corpus.manifest.sources),
        languages=dict(Counter(document.language or UNKNOWN for document in corpus.documents)),
        num_with_context=sum(document.context is not None for document in corpus.documents) or None,
        cut=_cut(corpus),
    )


def _cut(corpus: Corpus) -> ContextCut | None:
    """How a corpus was cut; None for others, whose makers may mean something else by one of these names."""
    said = corpus.manifest.provenance
    if not said.keys() >= {CUT_OF, CUT_OF_SHA256, CUT_BYTES}:
        return None
    if said[CUT_BYTES] != WHOLE and not _NUM_BYTES.fullmatch(said[CUT_BYTES]):
        return None
    num_bytes = None if said[CUT_BYTES] == WHOLE else int(said[CUT_BYTES])
    return ContextCut(of=said[CUT_OF], of_sha256=said[CUT_OF_SHA256], num_bytes=num_bytes)


def said_columns(documents: Sequence[Document]) -> dict[str, list[str | None]]:
    """What the rows of a cell repeat of what is said of its documents, by column.

    Stories and languages stand there where there are stories: they are compared by language.
    """
    columns: dict[str, list[str | None]] = {
        "title": [document.title for document in documents],
        "cluster": [cluster_of(document) for document in documents],
        "published_at": [document.published_at for document in documents],
    }
    if any(document.story_id for document in documents):
        columns |= {name: [getattr(document, name) for document in documents] for name in STORY_COLUMNS}
    return columns


def metrics_of(
    totals: CellTotals,
    bits: Sequence[float],
    num_bytes: Sequence[int],
    clusters: Sequence[str],
    seconds: float,
) -> CellMetrics:
    """What follows from what the documents of a cell cost.

    Args:
        totals: their sums.
        bits: of each document that was scored.
        num_bytes: likewise.
        clusters: likewise.
        seconds: time that the scoring took.
    """
    interval = ratio_interval(bits, num_bytes, clusters)
    bits_per_byte = totals.total_bits / totals.num_bytes
    return CellMetrics(
        bits_per_byte=bits_per_byte,
        bits_per_byte_low=interval.low if interval else None,
        bits_per_byte_high=interval.high if interval else None,
        confidence=CONFIDENCE,
        num_clusters=len(set(clusters)),
        compression_rate_percent=COMPRESSION_RATE_PERCENT_PER_BPB * bits_per_byte,
        tokens_per_s=None if totals.num_tokens is None else totals.num_tokens / seconds,
        bytes_per_s=totals.num_bytes / seconds,
    )


def renewed_files(path: Path, names: Iterable[str]) -> list[Path]:
    """The cells that were made anew of the bits of one.

    Args:
        path: the JSON file that was scored, there or not.
        names: of the files in its folder.
    """
    beginning = f"{path.stem}-"
    paths = [
        path.with_name(name)
        for name in sorted(name for name in names if name.startswith(beginning))
        if name.endswith(".json")
    ]
    return [renewed for renewed in paths if _RENEWED.fullmatch(renewed.stem)]


def newest_of_each(cells: Iterable[CorpusCell]) -> list[CorpusCell]:
    """The cells without those that were made anew since, in their order."""
    newest: dict[tuple[Path, str], CorpusCell] = {}
    cells = list(cells)
    for cell in cells:
        key = _place(cell.path)
        newest[key] = max(newest.get(key, cell), cell, key=_age)
    return [cell for cell in cells if newest[_place(cell.path)] is cell]


def _place(path: Path) -> tuple[Path, str]:
    is_renewed = _RENEWED.fullmatch(path.stem)
    return path.parent, path.stem.partition("-")[0] if is_renewed else path.stem


def current_cell(
    cells: Sequence[CorpusCell],
    corpus: Corpus,
    path: Path,
    *,
    warn: Callable[[str], None],
    dry_run: bool = False,
) -> CorpusCell:
    """The newest cell; where it says other things of its documents than the corpus, one made anew, and kept.

    Args:
        cells: of the same bits, at least one.
        corpus: of the same texts.
        path: the JSON file of the cell that was scored.
        warn: gets a line where a cell is made.
        dry_run: keep nothing.

    Raises:
        FieldError: a cell's rows are not what it says.
        OSError: they cannot be read, or the new ones cannot be written.
    """
    newest = max(cells, key=_age)
    if is_current(newest, corpus):
        return newest
    renewed = renewed_cell(newest, corpus)
    if dry_run:
        return renewed
    warn(
        f"{newest.model.name} on {corpus.name}: the same texts with other clusters, dates, licenses or "
        "titles; intervals and notes are made anew of the same bits"
    )
    return _write(renewed, corpus, path)


def _age(cell: CorpusCell) -> tuple[str, str]:
    return cell.created, cell.path.stem


def is_current(cell: CorpusCell, corpus: Corpus) -> bool:
    """Whether a cell says of its corpus and its documents what the corpus says.

    Raises:
        FieldError: a cell's rows are not what it says.
        OSError: they cannot be read.
    """
    if cell.corpus.records_sha256 is not None:
        return says_the_same(cell.corpus, (), (), None, corpus)
    columns = read_columns(cell)
    return says_the_same(cell.corpus, columns.titles, columns.clusters, columns.published_at, corpus)


def says_the_same(
    facts: CellCorpus,
    titles: Sequence[str | None],
    clusters: Sequence[str],
    published_at: Sequence[str | None] | None,
    corpus: Corpus,
) -> bool:
    """Whether what cells say of a corpus and its documents is what the corpus says.

    Of cells that are older than the digest of the records, all that they say is compared.

    Args:
        facts: of the corpus.
        titles: of the documents.
        clusters: likewise.
        published_at: likewise; None where the cells do not say it.
        corpus: of the same texts.
    """
    if (facts.date_from, facts.date_to) != (corpus.date_from, corpus.date_to):
        return False
    if facts.records_sha256 is not None:
        return facts.records_sha256 == corpus.manifest.records_sha256
    documents = corpus.documents
    return (
        not any(document.story_id for document in documents)  # cells that state them state the digest
        and facts.licenses == corpus.manifest.licenses
        and list(titles) == [document.title for document in documents]
        and list(clusters) == [cluster_of(document) for document in documents]
        and (published_at is None or list(published_at) == [document.published_at for document in documents])
    )


def renewed_cell(cell: CorpusCell, corpus: Corpus, columns: DocumentColumns | None = None) -> CorpusCell:
    """A cell as it would be if its corpus had said this when it was scored; nothing is written.

    Args:
        cell: the cell.
        corpus: of the same texts.
        columns: the cell's rows, if they were read.

    Raises:
        FieldError: a cell's rows are not what it says.
        OSError: they cannot be read.
    """
    columns = read_columns(cell) if columns is None else columns
    scored = [place for place, bits in enumerate(columns.total_bits.tolist()) if not math.isnan(bits)]
    metrics = metrics_of(
        cell.totals,
        [float(columns.total_bits[place]) for place in scored],
        [int(columns.num_bytes[place]) for place in scored],
        [cluster_of(corpus.documents[place]) for place in scored],
        cell.seconds,
    )
    renewed = dataclasses.replace(cell, corpus=corpus_facts(corpus, cell.corpus.limit), metrics=metrics)
    return dataclasses.replace(renewed, sha256=cell_files.content_sha256(content_of(renewed)))


def _later(created: str) -> str:
    """Now, or a second after a moment that a clock which has been set back thinks is to come."""
    moment = dt.datetime.fromisoformat(created)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    later = max(dt.datetime.now(dt.UTC), moment + dt.timedelta(seconds=1))
    return later.astimezone(dt.UTC).isoformat(timespec="seconds")


def _write(cell: CorpusCell, corpus: Corpus, path: Path) -> CorpusCell:
    """Keep a cell that was made anew; its path is still that of the cell whose bits it has."""
    created = _later(cell.created)
    named = f"{corpus.manifest.records_sha256} {created}"
    target = path.with_stem(f"{path.stem}-{hashlib.sha256(named.encode()).hexdigest()[:8]}")
    rows = _rows(read_rows(cell.path.with_suffix(".parquet")), corpus)

    def write_rows(parquet: Path) -> None:
        import pyarrow.parquet as pq

        pq.write_table(rows, parquet, **parquet_settings(rows.column_names))

    def content(parquet_sha256: str) -> dict[str, object]:
        documents = dataclasses.replace(
            cell.documents, parquet=target.with_suffix(".parquet").name, parquet_sha256=parquet_sha256
        )
        version = cell_files.SCHEMA_VERSION
        return content_of(
            dataclasses.replace(cell, schema_version=version, created=created, documents=documents)
        )

    parse = functools.partial(checked_cell_of, CorpusCell, target)
    return check_kind(CorpusCell, cell_of(target, cell_files.write(target, write_rows, content, parse)))


def _rows(table: "pa.Table", corpus: Corpus) -> "pa.Table":
    """The rows with what the corpus says of its documents."""
    import pyarrow as pa

    columns = said_columns(corpus.documents)
    table = table.drop_columns([name for name in STORY_COLUMNS if name in table.column_names])
    for name, values in columns.items():
        array = pa.array(values, pa.string())
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, array)
        else:
            table = table.append_column(name, array)
    return table
