"""Documents of scored corpora that repeat documents of older ones."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from evalkit.analysis.results import Results
from evalkit.analysis.texts import texts_at_hand
from evalkit.corpora.duplicates import find_repeated
from evalkit.corpora.store import Corpus
from evalkit.errors import UsageError


class Repetition(NamedTuple):
    """A document that repeats one of an older corpus."""

    corpus: int
    """Index in `Results.corpora`."""
    place: int
    older_corpus: str
    older_id: str
    similarity: float
    """Estimated Jaccard similarity of their shingles; 1: the same text."""


class Repetitions(NamedTuple):
    """Documents that repeat older ones, of the corpora whose texts are at hand."""

    num_documents: int
    """That were compared."""
    repetitions: tuple[Repetition, ...]
    notes: tuple[str, ...]
    """Which texts are not at hand."""


def find_repetitions(results: Results, corpora: Sequence[int], older: Sequence[Corpus]) -> Repetitions:
    """The documents of scored corpora that are near-duplicates of one of older corpora.

    Args:
        results: the cells.
        corpora: indices of the corpora; their texts are looked for in the store.
        older: what they are compared with.

    Raises:
        UsageError: an older corpus is one of the corpora.
        CorpusError: a stored corpus cannot be read.
    """
    for number, corpus in itertools.product(corpora, older):
        scored = results.corpora[number]
        if corpus.sha256 == scored.sha256:
            raise UsageError(f"--older {corpus.name}: it is {scored.label} itself, all of which repeats it")
    notes = []
    documents: list[tuple[int, int]] = []
    texts: list[str] = []
    for number in corpora:
        scored = results.corpora[number]
        texts_of_corpus = texts_at_hand(results, number)
        if texts_of_corpus is None:
            notes.append(
                f"{scored.label}: its texts are not in the store, so nothing is known of repetitions"
            )
            continue
        for place, document in enumerate(texts_of_corpus.documents):
            documents.append((number, place))
            texts.append(document.text)
    older_documents = [(corpus.name, document) for corpus in older for document in corpus.documents]
    # Once for all corpora, for the older texts may be many.
    matches = find_repeated(texts, (document.text for _, document in older_documents))
    repetitions = []
    for (number, place), match in zip(documents, matches, strict=True):
        if match is not None and match.original is not None:
            name, original = older_documents[match.original]
            repetitions.append(Repetition(number, place, name, original.id, match.similarity))
    return Repetitions(len(documents), tuple(repetitions), tuple(notes))
