"""The corpora behind the cells, where they are at hand: manifests, and the texts for the explorer."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.corpora.document import UNKNOWN, Corpus, Manifest
from evalkit.corpora.folder import MANIFEST_FILE
from evalkit.corpora.store import list_corpora, load_corpus, read_manifest
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
        return dict(sorted(counted.items(), key=lambda name_count: (-name_count[1], name_count[0])))


def find_backgrounds(
    results: Results, corpora: Sequence[str | Corpus], *, warn: Callable[[str], None]
) -> list[Background]:
    """The manifest and the texts of each scored corpus.

    Looked for, by digest: among the corpora named, in the corpus store, among the built-in ones; a manifest
    also as ``<results>/<corpus>/manifest.json``.

    Args:
        results: the cells.
        corpora: corpora, or names or paths of them as for ``evalkit run --corpora``.
        warn: told which corpora are not at hand although somebody kept their tokens' bits.

    Raises:
        UsageError: a name or path is nothing.
        CorpusError: a corpus that is named cannot be read.
    """
    loaded = [corpus if isinstance(corpus, Corpus) else load_corpus(corpus) for corpus in corpora]
    by_digest = {corpus.sha256: corpus for corpus in loaded}
    stored = set(list_corpora())
    backgrounds = []
    for scored in results.corpora:
        corpus = by_digest.get(scored.sha256)
        manifest = corpus.manifest if corpus else None
        if manifest is None and scored.name in stored:
            manifest = _manifest(scored, None, warn)
        if manifest is not None and corpus is None and _has_token_bits(scored):
            corpus = load_corpus(scored.name)
        if manifest is None and (results.folder / scored.name / MANIFEST_FILE).is_file():
            manifest = _manifest(scored, results.folder, warn)
        if corpus is None and _has_token_bits(scored):
            warn(
                f"{scored.label}: its texts are not at hand, so it is not in the explorer; "
                "name the corpus or its file with --corpora"
            )
        backgrounds.append(Background(manifest, corpus))
    for corpus in loaded:
        if corpus.sha256 not in {scored.sha256 for scored in results.corpora}:
            warn(f"--corpora {corpus.name}: no cell is of this text (sha256 {corpus.sha256[:12]})")
    return backgrounds


def _manifest(scored: ScoredCorpus, store: Path | None, warn: Callable[[str], None]) -> Manifest | None:
    """The manifest of that name, if it is of these very documents."""
    try:
        manifest = read_manifest(scored.name, store)
    except EvalkitError as error:
        warn(str(error))
        return None
    return manifest if manifest.sha256 == scored.sha256 else None


def _has_token_bits(scored: ScoredCorpus) -> bool:
    return any(cell.documents.token_bits for cell in scored.cells.values())
