"""When the documents of cells were published, and so what dates say of cells: `cutoff` has the rule.

A cell's rows hold their documents' days; those of cells that are older than this column do not, and then the
corpus says them, where it is in the store or handed over. Documents are found in it by their digests.
"""

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.analysis.cutoff import (
    Cutoff,
    DatedDocuments,
    Exposure,
    Reading,
    cutoff_of,
    earliest_day,
    exposures_of,
    reading_of,
    reading_of_a_compressor,
)
from evalkit.cells.schema import CellCorpus, CellModel, CorpusCell, DocumentRow
from evalkit.corpora.document import Corpus
from evalkit.corpora.store import list_corpora, load_corpus, read_manifest, store_folder
from evalkit.errors import EvalkitError
from evalkit.models.catalog import CatalogEntry

if TYPE_CHECKING:
    from evalkit.analysis.results import Results

Catalog = Mapping[str, CatalogEntry]
"""See `evalkit.models.catalog.load_catalog`."""


def cutoff_of_model(model: CellModel, catalog: Catalog) -> Cutoff | None:
    """A model's cutoff, else its release; what its cell does not say, the catalog may say of its name."""
    entry = catalog.get(model.name)
    if entry is None:
        return cutoff_of(model.knowledge_cutoff, model.released)
    return cutoff_of(model.knowledge_cutoff or entry.knowledge_cutoff, model.released or entry.released)


def reading_of_model(
    model: CellModel, documents: DatedDocuments, catalog: Catalog, is_compressor: bool
) -> Reading:
    """What dates say of a model and a corpus."""
    if is_compressor:
        return reading_of_a_compressor(len(documents.published_at))
    return reading_of(documents, cutoff_of_model(model, catalog))


def readings(
    results: "Results", number: int, catalog: Catalog, texts: Corpus | None = None
) -> dict[int, Reading]:
    """What dates say of a corpus and each model that was scored on it, by configuration.

    Args:
        results: the cells.
        number: index of the corpus.
        catalog: see `evalkit.models.catalog.load_catalog`.
        texts: the corpus, if it is at hand and need not be looked for.
    """
    corpus = results.corpora[number]
    documents = dated_documents(corpus.facts, corpus.digests, corpus.published_at, texts)
    read = dict.fromkeys(corpus.cells, documents)
    for index, part in corpus.part_cells.items():
        days = tuple(documents.published_at[place] for place in part.places)
        read[index] = documents._replace(published_at=days)
    return {
        index: reading_of_model(cell.model, read[index], catalog, cell.is_of_a_compressor)
        for index, cell in corpus.all_cells.items()
    }


class Dates(NamedTuple):
    """What decides which corpora are newer than every one of some models; see `cutoff.is_newer_than`."""

    earliest: tuple[dt.date | None, ...]
    """`earliest_day` of each corpus."""
    cutoffs: tuple[Cutoff | None, ...]
    """Of each configuration; None of a compressor, and where it is not known."""


def dates_of(results: "Results", catalog: Catalog, texts: Sequence[Corpus | None] | None = None) -> Dates:
    """The dates of corpora and models.

    Args:
        results: the cells.
        catalog: see `evalkit.models.catalog.load_catalog`.
        texts: each corpus that is at hand and need not be looked for; None: none.
    """
    at_hand = texts or [None] * len(results.corpora)
    return Dates(
        tuple(
            earliest_day(dated_documents(corpus.facts, corpus.digests, corpus.published_at, text))
            for corpus, text in zip(results.corpora, at_hand, strict=True)
        ),
        tuple(
            None if row.policy is None else cutoff_of_model(row.facts, catalog)
            for row in results.configurations
        ),
    )


def reading_of_cell(cell: CorpusCell, catalog: Catalog, rows: Sequence[DocumentRow] | None = None) -> Reading:
    """What dates say of a cell's model and corpus.

    Args:
        cell: the cell.
        catalog: see `evalkit.models.catalog.load_catalog`.
        rows: the cell's rows, if they were read.

    Raises:
        ScoringError: the cell's rows are missing or damaged.
    """
    documents = documents_of_rows(cell, cell.rows() if rows is None else rows)
    return reading_of_model(cell.model, documents, catalog, cell.is_of_a_compressor)


def exposures_of_rows(
    cell: CorpusCell, rows: Sequence[DocumentRow], catalog: Catalog
) -> list[tuple[str | None, Exposure]]:
    """The day of each of a cell's documents, and what dates say of it and the model."""
    documents = documents_of_rows(cell, rows)
    if cell.is_of_a_compressor:
        exposures = [Exposure.IMPOSSIBLE] * len(rows)
    else:
        exposures = exposures_of(documents, cutoff_of_model(cell.model, catalog))
    return list(zip(documents.published_at, exposures, strict=True))


def documents_of_corpus(corpus: Corpus) -> DatedDocuments:
    """The days of a corpus at hand."""
    days = tuple(document.published_at for document in corpus.documents)
    return DatedDocuments(days, corpus.date_from, corpus.date_to)


def documents_of_rows(cell: CorpusCell, rows: Sequence[DocumentRow]) -> DatedDocuments:
    """The days of a cell's documents."""
    digests, days = [row.sha256 for row in rows], [row.published_at for row in rows]
    return dated_documents(cell.corpus, digests, days)


def dated_documents(
    facts: CellCorpus,
    digests: Sequence[str],
    published_at: Sequence[str | None],
    texts: Corpus | None = None,
) -> DatedDocuments:
    """The days of documents, from the cells or else from their corpus.

    Args:
        facts: what cells say of the corpus.
        digests: of each document.
        published_at: of each document, as far as the cells say it.
        texts: the corpus, if it is at hand and need not be looked for.
    """
    days = tuple(published_at)
    if not any(days):
        day_of = _stored_days(facts.name) if texts is None else _days_by_digest(texts)
        days = tuple(day_of.get(digest) for digest in digests)
    return DatedDocuments(days, facts.date_from, facts.date_to)


def _days_by_digest(corpus: Corpus) -> Mapping[str, str | None]:
    return {document.sha256: document.published_at for document in corpus.documents}


def _stored_days(name: str) -> Mapping[str, str | None]:
    """Days by digest of the stored corpus of a name; none if there is no such corpus, or it is damaged."""
    if name not in list_corpora():
        return {}
    try:
        return _days_of_stored(name, store_folder().absolute(), read_manifest(name).sha256)
    except EvalkitError:  # whoever needs its texts says so
        return {}


@functools.lru_cache(maxsize=256)
def _days_of_stored(name: str, store: Path, sha256: str) -> Mapping[str, str | None]:
    """The days of a stored corpus, read once; ``sha256`` is that of its manifest."""
    corpus = load_corpus(name, store=store)
    assert corpus.sha256 == sha256
    return _days_by_digest(corpus)
