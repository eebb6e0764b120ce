"""Which files the site has, and what goes into each."""

import math
from collections.abc import Sequence

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE
from evalkit.analysis.rankings import Leaderboard
from evalkit.analysis.results import ScoredCorpus
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.store import Document
from evalkit.models.catalog import CatalogEntry
from evalkit.report import explorer, explorer_data
from evalkit.report.leaderboard_data import leaderboard_data
from evalkit.report.pages import Pages, cell_file, difference, estimate
from evalkit.report.probes import probe_groups
from evalkit.report.sources import Background
from evalkit.report.text import decimals
from evalkit.report.writer import Writer, shown_deep
from evalkit.scoring.policy import POLICIES
from evalkit.stats import CONFIDENCE, MIN_CLUSTERS, NUM_RESAMPLES, SEED


def write(
    writer: Writer,
    board: Leaderboard,
    backgrounds: Sequence[Background],
    catalog: dict[str, CatalogEntry],
    *,
    num_documents: int,
) -> int:
    """Write everything; returns how many corpora the explorer has."""
    results = board.results
    pages = Pages(board, backgrounds, catalog)
    explored = _write_explorer(writer, pages, num_documents)
    front = pages.leaderboard()
    writer.page("index.html", "leaderboard.html", ["leaderboard.js"], **front)
    _write_leaderboard_data(writer, pages)
    for name, key in pages.model_keys.items():
        writer.page(f"models/{key}.html", "model.html", **pages.model(name))
    for index, corpus in enumerate(results.corpora):
        writer.page(
            f"corpora/{corpus.key}.html",
            "corpus.html",
            explored=index in explored,
            **pages.corpus_page(index),
        )
        _write_documents(writer, pages, index)
        for configuration, cell in corpus.cells.items():
            writer.bytes(
                cell_file(cell, corpus, results.configurations[configuration].key), cell.path.read_bytes()
            )
    rows = [pages.configuration(index) for index in range(len(results.configurations))]
    # The best two to begin with; of results with one model, that one.
    chosen = [row["index"] for row in front["rows"]][:2] or [0]
    writer.page("compare.html", "compare.html", ["compare.js"], rows=rows, chosen=chosen)
    files, groups = probe_groups(results.probes, results.folder)
    for path, original in files.items():
        writer.bytes(path, original.read_bytes())
    writer.page("probes.html", "probes.html", groups=groups)
    writer.page(
        "method.html",
        "method.html",
        policies=POLICIES,
        used_policies=results.policies,
        confidence=CONFIDENCE,
        num_resamples=NUM_RESAMPLES,
        min_clusters=MIN_CLUSTERS,
        seed=SEED,
        aggregates=AGGREGATES,
        headline=HEADLINE,
    )
    return len(explored)


def _write_leaderboard_data(writer: Writer, pages: Pages) -> None:
    rows = [pages.configuration(index) for index in range(len(pages.results.configurations))]
    columns = [pages.corpus(index) for index in range(len(pages.results.corpora))]
    data = leaderboard_data(pages.board, rows, columns)
    writer.data("data/leaderboard.js", shown_deep({**data, "cells": pages.leaderboard_cells()}))


def _write_documents(writer: Writer, pages: Pages, index: int) -> None:
    """Bits of every document under every configuration: the comparison page ranks them."""
    corpus = pages.results.corpora[index]
    texts = pages.backgrounds[index].corpus
    labels = [explorer_data.label_of(document) for document in texts.documents] if texts else _labels(corpus)
    writer.data(
        f"data/documents/{corpus.key}.js",
        {
            "labels": shown_deep(labels),
            "num_bytes": corpus.num_bytes.tolist(),
            "bits": {
                str(configuration): [
                    None if bits != bits else round(bits, 4)
                    for bits in corpus.bits[:, configuration].tolist()
                ]
                for configuration in corpus.cells
            },
        },
    )


def _labels(corpus: ScoredCorpus) -> list[str]:
    """Titles where every licence in the corpus allows them, for the cells do not say whose is whose."""
    free = all(may_republish(license) for license in corpus.facts.licenses)
    return [(title if free else None) or own for title, own in zip(corpus.titles, corpus.ids, strict=True)]


def _write_explorer(writer: Writer, pages: Pages, num_documents: int) -> dict[int, explorer.Exploration]:
    explorations: dict[int, explorer.Exploration] = {}
    results = pages.results
    for index, background in enumerate(pages.backgrounds):
        if background.corpus is None or not num_documents:
            continue
        explored = explorer.explore(results, index, background.corpus, num_documents=num_documents)
        if explored is None:
            continue
        explorations[index], reader = explored
        _write_exploration(writer, pages, explorations[index], reader)
    writer.page(
        "explorer.html",
        "explorer.html",
        corpora=[
            {
                **pages.corpus(index),
                "labels": [
                    results.configurations[configuration].label
                    for configuration in exploration.configurations
                ],
                "num_opened": len(exploration.opened),
            }
            for index, exploration in explorations.items()
        ],
    )
    writer.page("explorer/document.html", "document.html", ["document.js"])
    return explorations


def _write_exploration(
    writer: Writer, pages: Pages, exploration: explorer.Exploration, reader: explorer.TokenReader
) -> None:
    results = pages.results
    corpus = results.corpora[exploration.corpus]
    texts = pages.backgrounds[exploration.corpus].corpus
    assert texts is not None
    keys = {index: results.configurations[index].key for index in exploration.configurations}
    models = [
        {
            "key": keys[index],
            "label": results.configurations[index].label,
            "policy": results.configurations[index].policy,
        }
        for index in exploration.configurations
    ]
    data = explorer_data.exploration_data(exploration, keys.__getitem__, texts.documents)
    writer.data(f"data/explorer/{corpus.key}.js", shown_deep({**data, "entrants": models}))
    for index in exploration.opened:
        _write_document(writer, exploration, reader, corpus, index, texts.documents[index], models)
    first, second = exploration.pairs[0] if exploration.pairs else (exploration.configurations[0], None)
    writer.page(
        f"explorer/{corpus.key}.html",
        "exploration.html",
        ["exploration.js"],
        corpus=pages.corpus(exploration.corpus),
        exploration=exploration,
        models=models,
        first=first,
        second=second,
        labels={index: results.configurations[index].label for index in exploration.configurations},
        keys=keys,
        slices=_slice_rows(exploration, first, second),
        passages=_passage_lists(exploration, first, second),
        documents=[
            (index, texts.documents[index], explorer_data.label_of(texts.documents[index]))
            for index in exploration.opened
        ],
        bits=corpus.bits,
        num_documents=len(corpus.ids),
        passage_labels=[
            explorer_data.label_of(texts.documents[passage.document]) for passage in exploration.passages
        ],
    )


def _write_document(
    writer: Writer,
    exploration: explorer.Exploration,
    reader: explorer.TokenReader,
    corpus: ScoredCorpus,
    index: int,
    document: Document,
    models: Sequence[dict[str, str | None]],
) -> None:
    """What the document's page loads: its facts, and its tokens under each model that can represent it."""
    path = f"data/explorer/{corpus.key}/{index}"
    fields = explorer_data.document_data(document)
    text = fields.pop("text")
    bits = {
        configuration: float(corpus.bits[index, configuration])
        for configuration in exploration.configurations
        if not math.isnan(corpus.bits[index, configuration])
    }
    readers = {
        configuration: model
        for configuration, model in zip(exploration.configurations, models, strict=True)
        if configuration in bits
    }
    writer.data(
        f"{path}.js",
        {
            **shown_deep(fields),
            "text": text,  # as it is: the script shows characters that act by their codes
            "corpus": corpus.label,
            "entrants": shown_deep(list(readers.values())),
            "bits": {model["key"]: bits[configuration] for configuration, model in readers.items()},
        },
    )
    for configuration, model in readers.items():
        tokens = reader.tokens(configuration, index)
        data = explorer_data.token_data if text is not None else explorer_data.coarse_data
        writer.data(f"{path}.{model['key']}.js", data(tokens))


def _slice_rows(exploration: explorer.Exploration, first: int, second: int | None) -> list[dict[str, object]]:
    totals: dict[str, int] = {}
    for part in exploration.slices:
        totals[part.way] = totals.get(part.way, 0) + part.num_bytes
    rows: list[dict[str, object]] = []
    for part in exploration.slices:
        levels = [part.levels[index] for index in (first, second) if index is not None]
        gap = part.pairs.get((first, second)) if second is not None else None
        rows.append(
            {
                "way": part.way,
                "name": part.name,
                "num_bytes": part.num_bytes,
                "share": f"{100 * part.num_bytes / totals[part.way]:.1f}",
                "levels": [estimate(level, decimals([level.half_width])) for level in levels],
                "gap": None if gap is None else difference(gap),
            }
        )
    return rows


def _passage_lists(
    exploration: explorer.Exploration, first: int, second: int | None
) -> list[tuple[str, list[int]]]:
    """The two lists of passages that the page shows without its script."""
    lists = exploration.lists
    if second is None:
        return [("costliest", lists.costliest[first]), ("cheapest", lists.cheapest[first])]
    return [("won", lists.won[first, second]), ("lost", lists.lost[first, second])]
