"""Which files the site has, and what goes into each."""

from collections.abc import Sequence
from typing import Any

from evalkit.analysis import rankings as leaderboard
from evalkit.analysis.rankings import Leaderboard
from evalkit.analysis.results import ScoredCorpus
from evalkit.corpora.licenses import may_republish
from evalkit.models.catalog import CatalogEntry
from evalkit.report import explorer
from evalkit.report.pages import AGGREGATE_NAMES, Pages, cell_file, difference, estimate
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
    store = board.store
    pages = Pages(board, backgrounds, catalog)
    explored = _write_explorer(writer, pages, num_documents)
    front = pages.leaderboard()
    writer.page("index.html", "leaderboard.html", ["leaderboard.js"], **front)
    _write_leaderboard_data(writer, pages)
    for name, key in pages.model_keys.items():
        writer.page(f"models/{key}.html", "model.html", **pages.model(name))
    for index, corpus in enumerate(store.corpora):
        writer.page(
            f"corpora/{corpus.key}.html",
            "corpus.html",
            explored=index in explored,
            **pages.corpus_page(index),
        )
        _write_documents(writer, pages, index)
        for entrant, cell in corpus.cells.items():
            writer.bytes(cell_file(cell, corpus, store.entrants[entrant].key), cell.path.read_bytes())
    rows = [pages.entrant(index) for index in range(len(store.entrants))]
    # The best two to begin with; of a store with one model, that one.
    chosen = [row["index"] for row in front["rows"]][:2] or [0]
    writer.page("compare.html", "compare.html", ["compare.js"], rows=rows, chosen=chosen)
    files, groups = probe_groups(store.probes)
    for path, original in files.items():
        writer.text(path, original)
    writer.page("probes.html", "probes.html", groups=groups)
    writer.page(
        "method.html",
        "method.html",
        policies=POLICIES,
        used_policies=store.policies,
        confidence=CONFIDENCE,
        num_resamples=NUM_RESAMPLES,
        min_clusters=MIN_CLUSTERS,
        seed=SEED,
        aggregates=AGGREGATE_NAMES,
    )
    return len(explored)


def _write_leaderboard_data(writer: Writer, pages: Pages) -> None:
    rows = [pages.entrant(index) for index in range(len(pages.store.entrants))]
    columns = [pages.corpus(index) for index in range(len(pages.store.corpora))]
    data = leaderboard.to_json(pages.board, shown_deep(rows), shown_deep(columns))
    data["choices"] = shown_deep(data["choices"])
    data["cells"] = shown_deep(pages.leaderboard_cells())
    writer.data("data/leaderboard.js", data)


def _write_documents(writer: Writer, pages: Pages, index: int) -> None:
    """Bits of every document under every entrant: the comparison page ranks them."""
    corpus = pages.store.corpora[index]
    texts = pages.backgrounds[index].corpus
    labels = [explorer.label_of(document) for document in texts.documents] if texts else _labels(corpus)
    writer.data(
        f"data/documents/{corpus.key}.js",
        {
            "labels": shown_deep(labels),
            "num_bytes": corpus.num_bytes.tolist(),
            "bits": {
                str(entrant): [
                    None if bits != bits else round(bits, 4) for bits in corpus.bits[:, entrant].tolist()
                ]
                for entrant in corpus.cells
            },
        },
    )


def _labels(corpus: ScoredCorpus) -> list[str]:
    """Titles where every licence in the corpus allows them, for the cells do not say whose is whose."""
    free = all(may_republish(license) for license in corpus.facts["licenses"])
    return [(title if free else None) or own for title, own in zip(corpus.titles, corpus.ids, strict=True)]


def _write_explorer(writer: Writer, pages: Pages, num_documents: int) -> dict[int, Any]:
    found: dict[int, explorer.Exploration] = {}
    store = pages.store
    for index, background in enumerate(pages.backgrounds):
        if background.corpus is None or not num_documents:
            continue
        explored = explorer.explore(store, index, background.corpus, num_documents=num_documents)
        if explored is None:
            continue
        found[index], reader = explored
        _write_exploration(writer, pages, found[index], reader)
    writer.page(
        "explorer.html",
        "explorer.html",
        corpora=[
            {
                **pages.corpus(index),
                "entrants": [store.entrants[e].label for e in one.entrants],
                "num_opened": len(one.opened),
            }
            for index, one in found.items()
        ],
    )
    writer.page("explorer/document.html", "document.html", ["document.js"])
    return found


def _write_exploration(
    writer: Writer, pages: Pages, found: explorer.Exploration, reader: explorer.TokenReader
) -> None:
    store = pages.store
    corpus = store.corpora[found.corpus]
    texts = pages.backgrounds[found.corpus].corpus
    assert texts is not None
    folder = f"data/explorer/{corpus.key}"
    names = {entrant: store.entrants[entrant].key for entrant in found.entrants}
    data = explorer.exploration_data(found, names.__getitem__, texts.documents)
    models = [
        {"key": names[e], "label": store.entrants[e].label, "policy": store.entrants[e].policy}
        for e in found.entrants
    ]
    writer.data(f"{folder}.js", shown_deep({**data, "entrants": models}))
    for index in found.opened:
        document = texts.documents[index]
        fields = explorer.document_data(document)
        text = fields.pop("text")
        readable = [e for e in found.entrants if not _is_missing(corpus.bits[index, e])]
        writer.data(
            f"{folder}/{index}.js",
            {
                **shown_deep(fields),
                "text": text,
                "corpus": corpus.label,
                "entrants": shown_deep(
                    [model for e, model in zip(found.entrants, models, strict=True) if e in readable]
                ),
                "bits": {names[e]: float(corpus.bits[index, e]) for e in readable},
            },
        )
        for entrant in readable:
            tokens = reader.tokens(entrant, index)
            shown = text is not None
            paid = explorer.token_data(tokens) if shown else explorer.coarse_data(tokens, document.n_bytes)
            writer.data(f"{folder}/{index}.{names[entrant]}.js", paid)
    first, second = found.pairs[0] if found.pairs else (found.entrants[0], None)
    writer.page(
        f"explorer/{corpus.key}.html",
        "exploration.html",
        ["exploration.js"],
        corpus=pages.corpus(found.corpus),
        found=found,
        models=models,
        first=first,
        second=second,
        labels={e: store.entrants[e].label for e in found.entrants},
        keys=names,
        slices=_slice_rows(found, first, second),
        passages=_passage_lists(found, first, second),
        documents=[
            (index, texts.documents[index], explorer.label_of(texts.documents[index]))
            for index in found.opened
        ],
        bits=corpus.bits,
        num_documents=len(corpus.ids),
        passage_label=[explorer.label_of(texts.documents[one.document]) for one in found.passages],
    )


def _is_missing(bits: float) -> bool:
    return bool(bits != bits)


def _slice_rows(found: explorer.Exploration, first: int, second: int | None) -> list[dict[str, Any]]:
    rows = []
    totals: dict[str, int] = {}
    for one in found.slices:
        totals[one.way] = totals.get(one.way, 0) + one.num_bytes
    for one in found.slices:
        shown = [one.levels[e] for e in (first, second) if e is not None]
        gap = one.pairs.get((first, second)) if second is not None else None
        rows.append(
            {
                "way": one.way,
                "name": one.name,
                "num_bytes": one.num_bytes,
                "share": f"{100 * one.num_bytes / totals[one.way]:.1f}",
                "levels": [estimate(level, decimals([level.half_width])) for level in shown],
                "gap": None if gap is None else difference(gap),
            }
        )
    return rows


def _passage_lists(
    found: explorer.Exploration, first: int, second: int | None
) -> list[tuple[str, list[int]]]:
    """The two lists of passages that the page shows without its script."""
    if second is None:
        return [("costliest", found.costliest[first]), ("cheapest", found.cheapest[first])]
    return [("won", found.won[first, second]), ("lost", found.lost[first, second])]
