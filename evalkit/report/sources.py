"""The corpora behind the cells, where they are at hand: manifests, and the texts for the explorer."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.analysis.results import ScoredCorpus
from evalkit.corpora.store import UNKNOWN, Corpus, Manifest, list_corpora, load_corpus, read_manifest
from evalkit.errors import EvalkitError


class Background(NamedTuple):
    """What is known of a corpus beyond its cells."""

    manifest: Manifest | None
    corpus: Corpus | None
    """With its texts; None where they are not at hand or not needed."""

    @property
    def source(self) -> str:
        """Where the documents come from, as one label."""
        if self.manifest is None:
            return UNKNOWN
        names = sorted(self.manifest.sources)
        return names[0] if len(names) == 1 else "several"

    @property
    def languages(self) -> dict[str, int]:
        """Documents by language, most frequent first; empty without texts."""
        if self.corpus is None:
            return {}
        counted = Counter(document.language or UNKNOWN for document in self.corpus.documents)
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def find_backgrounds(
    scored: Sequence[ScoredCorpus],
    results: Path,
    given: Sequence[str],
    *,
    warn: Callable[[str], None],
) -> list[Background]:
    """The manifest and the texts of each scored corpus.

    Looked for, by digest: among the corpora given, in the corpus store, among the built-in ones; a manifest
    also as ``<results>/<corpus>/manifest.json``.

    Args:
        scored: the corpora of the cells.
        results: the folder of the cells.
        given: names or paths, as for ``evalkit run --corpora``.
        warn: told which corpora are not at hand although somebody kept their tokens' bits.

    Raises:
        UsageError: a given name or path is nothing.
        CorpusError: a given corpus cannot be read.
    """
    loaded = [load_corpus(name) for name in given]
    by_digest = {corpus.sha256: corpus for corpus in loaded}
    stored = set(list_corpora())
    found = []
    for one in scored:
        corpus = by_digest.get(one.sha256)
        manifest = corpus.manifest if corpus else None
        if manifest is None and one.name in stored:
            manifest = _manifest(one, None, warn)
        if manifest is not None and corpus is None and _has_token_bits(one):
            corpus = load_corpus(one.name)
        if manifest is None and (results / one.name / "manifest.json").is_file():
            manifest = _manifest(one, results, warn)
        if corpus is None and _has_token_bits(one):
            warn(
                f"{one.label}: its texts are not at hand, so it is not in the explorer; "
                "name the corpus or its file with --corpora"
            )
        found.append(Background(manifest, corpus))
    for corpus in loaded:
        if corpus.sha256 not in {one.sha256 for one in scored}:
            warn(f"--corpora {corpus.name}: no cell is of this text (sha256 {corpus.sha256[:12]})")
    return found


def _manifest(one: ScoredCorpus, store: Path | None, warn: Callable[[str], None]) -> Manifest | None:
    """The manifest of that name, if it is of these very documents."""
    try:
        manifest = read_manifest(one.name, store)
    except EvalkitError as error:
        warn(str(error))
        return None
    return manifest if manifest.sha256 == one.sha256 else None


def _has_token_bits(one: ScoredCorpus) -> bool:
    return any(cell.documents.token_bits for cell in one.cells.values())
