"""The texts of scored corpora, where they are at hand."""

from collections.abc import Sequence

from evalkit.analysis.results import Results
from evalkit.corpora.document import Corpus
from evalkit.corpora.store import load_corpus


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
    loaded = next((corpus for corpus in corpora if corpus.sha256 == scored.sha256), None)
    if loaded is None and load and results.manifests.stored[number]:
        return load_corpus(scored.name)
    return loaded
