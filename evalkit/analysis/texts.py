"""The texts of scored corpora, where they are at hand."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.manifests import as_scored
from evalkit.analysis.part_cells import places_in
from evalkit.analysis.results import Results
from evalkit.corpora.document import Corpus, Document
from evalkit.corpora.names import PARTIAL_ENDING
from evalkit.corpora.store import list_corpora, load_corpus


class SomeTexts(NamedTuple):
    """The documents that were scored, with the texts of some."""

    documents: tuple[Document | None, ...]
    """In the order of the cells; None: its text is not at hand."""
    reasons: Mapping[str, int]
    """Why the others are not at hand, with how many."""
    sha256: str
    """Digest of the corpus of those that are at hand."""


def texts_at_hand(
    results: Results, number: int, corpora: Sequence[Corpus] = (), *, load: bool = True
) -> Corpus | None:
    """The very documents that were scored, with their texts; None where they are not at hand.

    Looked for by digest: among the corpora given, in the corpus store, among the built-in ones.

    Args:
        results: the cells.
        number: index of the corpus.
        corpora: those that are loaded.
        load: whether others may be loaded.

    Raises:
        CorpusError: a stored corpus cannot be read.
    """
    scored = results.corpora[number]
    candidates = (as_scored(corpus, scored.facts) for corpus in corpora)
    loaded = next((corpus for corpus in candidates if corpus is not None), None)
    if loaded is None and load and results.manifests.stored[number]:
        return as_scored(load_corpus(scored.name), scored.facts)
    return loaded


def some_texts_at_hand(results: Results, number: int, corpora: Sequence[Corpus] = ()) -> SomeTexts | None:
    """Those documents of a corpus whose texts are at hand, where not all are; None where none is.

    Looked for as the corpus ``NAME-partial``, which `evalkit leaderboard fetch` and `evalkit corpora rebuild`
    make: among the corpora given and in the corpus store.

    Args:
        results: the cells.
        number: index of the corpus.
        corpora: those that are loaded.

    Raises:
        CorpusError: the stored corpus cannot be read.
    """
    scored = results.corpora[number]
    name = f"{scored.name}{PARTIAL_ENDING}"
    part = next((corpus for corpus in corpora if corpus.name == name), None)
    if part is None and name in list_corpora():
        part = load_corpus(name)
    if part is None:
        return None
    whole = list(zip(scored.ids, scored.digests, strict=True))
    places = places_in(whole, [(document.id, document.sha256) for document in part.documents])
    if places is None:
        return None
    documents: list[Document | None] = [None] * len(whole)
    for place, document in zip(places.tolist(), part.documents, strict=True):
        documents[place] = document
    manifest = results.manifests.manifest(number)
    dropped_before = manifest.num_dropped if manifest else {}
    reasons = {
        reason: count
        for reason, count in part.manifest.num_dropped.items()
        if dropped_before.get(reason) != count
    }
    return SomeTexts(tuple(documents), reasons, part.sha256)
