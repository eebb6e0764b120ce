"""Results under what their corpora say now: a license that was corrected, clusters that were told apart."""

import dataclasses
from collections.abc import Callable, Sequence

from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.analysis.scored_rows import RowSpool
from evalkit.analysis.texts import texts_at_hand
from evalkit.cells.columns import DocumentColumns
from evalkit.cells.renewal import cluster_of, corpus_facts, renewed_cell, said_columns, says_the_same
from evalkit.corpora.document import Corpus
from evalkit.errors import EvalkitError


def with_current_records(
    results: Results, corpora: Sequence[Corpus], *, warn: Callable[[str], None]
) -> Results:
    """The same bits with the clusters, dates, licenses and titles of the corpora at hand, and new intervals.

    Args:
        results: the cells.
        corpora: corpora at hand; others are looked for in the store, by name and digest of their texts.
        warn: told of each corpus that says something else than its cells, or cannot be read.
    """
    current, spool = [], RowSpool()
    for number, scored in enumerate(results.corpora):
        corpus = texts_at_hand(results, number, corpora, load=False) or _stored(results, number, warn)
        if corpus is None or _is_current(scored, corpus):
            current.append(scored)
            continue
        warn(
            f"{scored.label}: its documents have other clusters, dates, licenses or titles now than its "
            "cells say; intervals and notes are made anew of the same bits"
        )
        current.append(_renewed(scored, corpus, spool))
    if all(new is old for new, old in zip(current, results.corpora, strict=True)):
        return results
    renewed = dataclasses.replace(results, corpora=tuple(current))
    vars(renewed)["manifests"] = results.manifests  # of the same corpora: files are read once
    return renewed


def _stored(results: Results, number: int, warn: Callable[[str], None]) -> Corpus | None:
    """The stored corpus, if its manifest does not say that it is as the cells have it."""
    manifest, scored = results.manifests.stored[number], results.corpora[number]
    if manifest is None or manifest.records_sha256 is None:
        return None
    dates = (manifest.date_from, manifest.date_to) == (scored.facts.date_from, scored.facts.date_to)
    if dates and manifest.records_sha256 == scored.facts.records_sha256:
        return None
    try:
        return texts_at_hand(results, number)
    except EvalkitError as error:
        warn(str(error))
        return None


def _is_current(scored: ScoredCorpus, corpus: Corpus) -> bool:
    days = scored.published_at if any(scored.published_at) else None
    return says_the_same(scored.facts, scored.titles, scored.clusters, days, corpus)


def _renewed(scored: ScoredCorpus, corpus: Corpus, spool: RowSpool) -> ScoredCorpus:
    cells = {}
    for configuration, cell in scored.cells.items():
        columns = DocumentColumns(
            ids=list(scored.ids),
            digests=list(scored.digests),
            titles=list(scored.titles),
            clusters=list(scored.clusters),
            published_at=list(scored.published_at),
            story_ids=list(scored.story_ids) or None,
            languages=list(scored.languages) or None,
            num_bytes=scored.num_bytes,
            total_bits=scored.bits[:, configuration],
        )
        cells[configuration] = renewed_cell(cell, corpus, columns)
    documents, said = corpus.documents, said_columns(corpus.documents)
    renewed = dataclasses.replace(scored, facts=corpus_facts(corpus, scored.facts.limit), cells=cells)
    return renewed.with_rows(
        spool,
        titles=tuple(document.title for document in documents),
        clusters=tuple(cluster_of(document) for document in documents),
        published_at=tuple(document.published_at for document in documents),
        story_ids=tuple(said.get("story_id", ())),
        languages=tuple(said.get("language", ())),
    )
