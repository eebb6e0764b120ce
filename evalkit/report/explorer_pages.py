"""The explorer's pages: what there is to explore, a page per corpus, and the data of documents."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.results import ScoredCorpus
from evalkit.analysis.texts import SomeTexts
from evalkit.corpora.document import Document
from evalkit.corpora.incomplete import reasons_text
from evalkit.report.explorer import Exploration, TokenReader, explore
from evalkit.report.explorer_data import (
    coarse_data,
    document_data,
    exploration_data,
    label_of,
    token_data,
)
from evalkit.report.pages import ColumnHead, Pages
from evalkit.report.writer import Writer, shown_deep, shown_fields

MAX_LABELS = 8
MAX_IDS = 200


class ExploredCorpus(NamedTuple):
    """A corpus that can be explored, in the list of them."""

    head: ColumnHead
    labels: list[str]
    """Of its models: the first `MAX_LABELS`."""
    num_models: int
    num_opened: int


class LeftOutTexts(NamedTuple):
    """The documents of a corpus that its page cannot show."""

    num_documents: int
    reasons: str
    ids: list[str]
    """The first `MAX_IDS`."""


class ExploredModel(NamedTuple):
    """A model that can be chosen."""

    key: str
    label: str
    policy: str | None


def write_explorer(
    writer: Writer, pages: Pages, num_documents: int, with_losses: Collection[int]
) -> set[int]:
    """Write all pages; returns the indices of the corpora that can be explored.

    Args:
        writer: of the site.
        pages: likewise.
        num_documents: of a corpus, how many can be opened at most.
        with_losses: the corpora with a page of losses by kind.
    """
    explored: list[ExploredCorpus] = []
    for index, background in enumerate(pages.backgrounds):
        documents = {
            place: document for place, document in enumerate(background.documents) if document is not None
        }
        if not documents or not num_documents:
            continue
        exploration = explore(pages.results, index, documents, num_documents=num_documents)
        if exploration is None:
            continue
        models = _models(pages, exploration[0])
        _write_exploration(writer, pages, *exploration, documents, models, has_losses=index in with_losses)
        labels = [model.label for model in models.values()]
        num_opened = len(exploration[0].opened)
        explored.append(ExploredCorpus(pages.column(index), labels[:MAX_LABELS], len(labels), num_opened))
    shown = {corpus.head.index for corpus in explored}
    explored.sort(
        key=lambda corpus: pages.results.corpora[corpus.head.index].facts.date_to or "", reverse=True
    )
    pruned = [
        pages.column(index)
        for index, corpus in enumerate(pages.results.corpora)
        if index not in shown and any(cell.documents.token_bits_removed for cell in corpus.cells.values())
    ]
    writer.page("explorer.html", "explorer.html", corpora=explored, pruned=pruned)
    writer.page("explorer/document.html", "document.html", ["tokens.js", "document.js"])
    return shown


def _models(pages: Pages, exploration: Exploration) -> dict[int, ExploredModel]:
    """The models of an exploration, by configuration."""
    rows = {index: pages.results.configurations[index] for index in exploration.configurations}
    return {index: ExploredModel(row.key, row.label, row.policy) for index, row in rows.items()}


def _write_exploration(
    writer: Writer,
    pages: Pages,
    exploration: Exploration,
    reader: TokenReader,
    documents: Mapping[int, Document],
    models: dict[int, ExploredModel],
    *,
    has_losses: bool,
) -> None:
    """A corpus's page, its data, and the data of its documents that can be opened."""
    corpus = pages.results.corpora[exploration.corpus]
    data = exploration_data(exploration, lambda index: models[index].key, documents)
    configurations = [model._asdict() for model in models.values()]
    writer.data(f"data/explorer/{corpus.key}.js", shown_deep({**data, "configurations": configurations}))
    for index in exploration.opened:
        _write_document(writer, reader, corpus, index, documents[index], models)
    first, second = exploration.pairs[0] if exploration.pairs else (exploration.configurations[0], None)
    writer.page(
        f"explorer/{corpus.key}.html",
        "exploration.html",
        ["exploration.js"],
        corpus=pages.column(exploration.corpus),
        exploration=exploration,
        models=models,
        first=first,
        second=second,
        has_losses=has_losses,
        passages=_passage_lists(exploration, first, second),
        documents=[(index, documents[index], label_of(documents[index])) for index in exploration.opened],
        bits=corpus.bits,
        num_documents=len(corpus.ids),
        left_out=_left_out(corpus, pages.backgrounds[exploration.corpus].part),
        passage_labels=[label_of(documents[passage.document]) for passage in exploration.passages],
    )


def _left_out(corpus: ScoredCorpus, part: SomeTexts | None) -> LeftOutTexts | None:
    """What a corpus's page says of the documents whose texts are not at hand; None: all are."""
    if part is None:
        return None
    absent = zip(corpus.ids, part.documents, strict=True)
    ids = [document_id for document_id, document in absent if document is None]
    return LeftOutTexts(len(ids), reasons_text(part.reasons), ids[:MAX_IDS])


def _write_document(
    writer: Writer,
    reader: TokenReader,
    corpus: ScoredCorpus,
    index: int,
    document: Document,
    models: dict[int, ExploredModel],
) -> None:
    """What the document's page loads: its facts, and its tokens under each model that can represent it."""
    path = f"data/explorer/{corpus.key}/{index}"
    fields = document_data(document)
    text = fields.pop("text")
    bits = {number: float(corpus.bits[index, number]) for number in models}
    readers = {number: model for number, model in models.items() if not math.isnan(bits[number])}
    writer.data(
        f"{path}.js",
        {
            **shown_fields(fields),
            "text": text,  # as it is: the script shows characters that act by their codes
            "corpus": corpus.label,
            "configurations": shown_deep([model._asdict() for model in readers.values()]),
            "bits": {model.key: bits[number] for number, model in readers.items()},
        },
    )
    for number, model in readers.items():
        tokens = reader.tokens(number, index)
        writer.data(f"{path}.{model.key}.js", token_data(tokens) if text is not None else coarse_data(tokens))


def _passage_lists(
    exploration: Exploration, first: int, second: int | None
) -> list[tuple[str, Sequence[int]]]:
    """The two lists of passages that the page shows without its script."""
    lists = exploration.lists
    if second is None:
        return [("costliest", lists.costliest[first]), ("cheapest", lists.cheapest[first])]
    return [("won", lists.won[first, second]), ("lost", lists.lost[first, second])]
