"""Which files the site has, and what goes into each."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE
from evalkit.analysis.rankings import Leaderboard
from evalkit.analysis.results import ScoredCorpus
from evalkit.cells.schema import content_of
from evalkit.corpora.licenses import may_republish
from evalkit.displayed import counted
from evalkit.files import strict_json
from evalkit.models.catalog import CatalogEntry
from evalkit.report import explorer_data
from evalkit.report.corpus_page import corpus_page
from evalkit.report.explorer_pages import write_explorer
from evalkit.report.front_page import FrontPage, cell_links, front_page
from evalkit.report.leaderboard_data import leaderboard_data
from evalkit.report.losses_page import write_losses
from evalkit.report.model_page import model_page
from evalkit.report.pages import Pages, cell_file
from evalkit.report.preview import CARD_FILE, MAX_ROWS, CardRow, card
from evalkit.report.probes import probe_groups
from evalkit.report.published_page import all_tables
from evalkit.report.quantisation import quantisation_table
from evalkit.report.shown import rank_text
from evalkit.report.sources import Background
from evalkit.report.sums_data import sums_data
from evalkit.report.training_page import Training, write_training
from evalkit.report.writer import Writer, shown_deep, shown_fields
from evalkit.scoring.policy import POLICIES
from evalkit.stats import CONFIDENCE, MIN_CLUSTERS, NUM_RESAMPLES, SEED

MAX_SOURCES_COMPUTED = 2
"""Of so many sources a reader can choose nothing that the board does not hold: each of them, or all."""


def write(
    writer: Writer,
    board: Leaderboard,
    backgrounds: Sequence[Background],
    catalog: Mapping[str, CatalogEntry],
    *,
    num_documents: int,
    training: Training,
    warn: Callable[[str], None],
) -> int:
    """Write everything; returns how many corpora the explorer has.

    Args:
        writer: of the site.
        board: all numbers.
        backgrounds: per corpus, what is known of it beyond its cells.
        catalog: see `evalkit.models.catalog.load_catalog`.
        num_documents: how many documents of a corpus the explorer can open at most.
        training: what the page of training runs shows.
        warn: told of what is left out.
    """
    pages = Pages(board, backgrounds, catalog, writer.audits)
    losses = write_losses(writer, pages)
    explored = write_explorer(writer, pages, num_documents, losses)
    front = _write_board(writer, pages, losses, warn)
    for name, key in pages.model_keys.items():
        writer.page(f"models/{key}.html", "model.html", **model_page(pages, name, losses)._asdict())
    for index in range(len(board.results.corpora)):
        _write_corpus(writer, pages, index, is_explored=index in explored, has_losses=index in losses)
    # The best two to begin with; of results with one model, that one.
    chosen = [row.head.index for row in front.rows][:2] or [0]
    near_only = board.is_near_only
    choice = {"rows": pages.rows(), "chosen": chosen, "is_near_only": near_only}
    writer.page("compare.html", "compare.html", ["compare.js"], **choice)
    _write_probes(writer, board, warn)
    write_training(writer, pages, training)
    if writer.audits:
        writer.page("audits.html", "audits.html", audits=writer.audits)
    writer.page("published.html", "published.html", tables=all_tables(pages))
    writer.page(
        "method.html",
        "method.html",
        policies=POLICIES,
        used_policies=board.results.policies,
        confidence=CONFIDENCE,
        num_resamples=NUM_RESAMPLES,
        min_clusters=MIN_CLUSTERS,
        seed=SEED,
        aggregates=AGGREGATES,
        headline=HEADLINE,
        is_near_only=near_only,
    )
    return len(explored)


def _write_board(
    writer: Writer, pages: Pages, losses: Mapping[int, Collection[int]], warn: Callable[[str], None]
) -> FrontPage:
    """The leaderboard, its numbers, and its picture."""
    board = pages.board
    front = front_page(pages)
    scripts = ["aggregates.js", "leaderboard.js"]
    quantised = quantisation_table(pages)
    writer.page("index.html", "leaderboard.html", scripts, **front._asdict(), quantised=quantised)
    writer.bytes(CARD_FILE, _card(pages, front, writer.title, warn))
    data = leaderboard_data(board, pages.rows(), pages.columns(), pages.sources)
    writer.data(
        "data/leaderboard.js", shown_fields({**data, "cells": cell_links(pages), "losses": _by_text(losses)})
    )
    if len(pages.sources) > MAX_SOURCES_COMPUTED:
        for corpus, sums in zip(board.results.corpora, board.sums, strict=True):
            writer.data(f"data/sums/{corpus.key}.js", sums_data(sums, sorted(corpus.cells)))
    return front


_MARKS_ON_CARD = {"†": "† may have read it in training", "?": "? not known"}
"""In few words; pages say them in full."""


def _card(pages: Pages, front: FrontPage, title: str, warn: Callable[[str], None]) -> bytes:
    """The picture of the board as it opens."""
    month = f" of {front.month}" if front.month else ""
    corpora = "1 corpus" if len(front.columns) == 1 else f"{len(front.columns)} corpora"
    rows = []
    if (opening := pages.opening) is not None:
        levels = opening.view.levels[HEADLINE]
        rows = [
            CardRow(
                rank_text(opening.ranks[index]) + pages.mark(index, opening.view.corpora),
                pages.row(index).label,
                levels[index],
            )
            for index in opening.order[:MAX_ROWS]
        ]
    marks = "".join(row.rank for row in rows)
    meanings = [words for mark, words in _MARKS_ON_CARD.items() if mark in marks]
    return card(
        title,
        f"bits per byte on dated text{month}, lower is better",
        rows,
        "; ".join([f"{counted(front.num_models, 'model')}, {corpora}, policy {front.policy}", *meanings]),
        warn=warn,
    )


def _write_probes(writer: Writer, board: Leaderboard, warn: Callable[[str], None]) -> None:
    """The page of tasks and trained probes, and their cells."""
    files, groups = probe_groups(board.results.probes, board.results.folder, warn)
    for path, text in files.items():
        writer.text(path, text)
    has_seeds = any(len(row.links) > 1 for group in groups for row in group.rows)
    writer.page("probes.html", "probes.html", groups=groups, has_seeds=has_seeds)


def _by_text(models_of: Mapping[int, Collection[int]]) -> dict[str, list[int]]:
    """What is kept by corpus, as JSON can hold it."""
    return {str(corpus): sorted(models) for corpus, models in models_of.items()}


def _write_corpus(writer: Writer, pages: Pages, index: int, *, is_explored: bool, has_losses: bool) -> None:
    """A corpus's page, its cells, and its documents' bits, by which the comparison page ranks them."""
    corpus = pages.results.corpora[index]
    page = corpus_page(pages, index)
    writer.page(
        f"corpora/{corpus.key}.html",
        "corpus.html",
        explored=is_explored,
        has_losses=has_losses,
        **page._asdict(),
    )
    for configuration, cell in corpus.all_cells.items():
        path = cell_file(cell, corpus, pages.results.configurations[configuration].key)
        writer.text(path, strict_json(content_of(cell)))
    documents = pages.backgrounds[index].documents
    labels = [
        label if document is None else explorer_data.label_of(document)
        for label, document in zip(_labels(corpus), documents or [None] * len(corpus.ids), strict=True)
    ]
    writer.data(
        f"data/documents/{corpus.key}.js",
        {
            "labels": shown_deep(labels),
            "num_bytes": corpus.num_bytes.tolist(),
            "bits": {
                str(configuration): [
                    None if math.isnan(bits) else round(bits, 4)
                    for bits in corpus.bits[:, configuration].tolist()
                ]
                for configuration in corpus.all_cells
            },
        },
    )


def _labels(corpus: ScoredCorpus) -> list[str]:
    """Titles where every license in the corpus allows them, for the cells do not say whose is whose."""
    are_free = all(may_republish(license) for license in corpus.facts.licenses)
    return [
        (title if are_free else None) or document_id
        for title, document_id in zip(corpus.titles, corpus.ids, strict=True)
    ]
