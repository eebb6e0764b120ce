"""The corpora behind the cells, where they are at hand: manifests, and the texts for the explorer."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.analysis.texts import texts_at_hand
from evalkit.corpora.audit import AUDIT_FILE, Audit, read_audit
from evalkit.corpora.document import UNKNOWN, Corpus, Manifest
from evalkit.corpora.store import store_folder
from evalkit.errors import CorpusError


class Background(NamedTuple):
    """What is known of a corpus beyond its cells."""

    manifest: Manifest | None
    corpus: Corpus | None
    """With its texts; None where they are not at hand or not needed."""
    audit: Audit | None = None
    """Of these very texts; None where nobody kept one."""

    @property
    def languages(self) -> dict[str, int]:
        """Documents by language, most frequent first; empty without texts."""
        if self.corpus is None:
            return {}
        counted = Counter(document.language or UNKNOWN for document in self.corpus.documents)
        return dict(sorted(counted.items(), key=lambda name_count: (-name_count[1], name_count[0])))


def find_backgrounds(
    results: Results, corpora: Sequence[Corpus], *, warn: Callable[[str], None]
) -> list[Background]:
    """The manifest and the texts of each scored corpus.

    Looked for, by digest: among the corpora named, in the corpus store, among the built-in ones; a manifest
    also as ``<results>/<corpus>/manifest.json``; an audit in the store and there.

    Args:
        results: the cells.
        corpora: those that were named.
        warn: told which corpora are not at hand although somebody kept their tokens' bits.

    Raises:
        CorpusError: a stored corpus cannot be read.
    """
    backgrounds = []
    for problem in results.manifests.problems:
        warn(problem)
    for number, scored in enumerate(results.corpora):
        has_token_bits = any(cell.documents.token_bits for cell in scored.cells.values())
        corpus = texts_at_hand(results, number, corpora, load=has_token_bits)
        manifest = corpus.manifest if corpus else results.manifests.manifest(number)
        if corpus is None and has_token_bits:
            warn(
                f"{scored.label}: its texts are not at hand, so it is not in the explorer; "
                "name the corpus or its file with --corpora"
            )
        backgrounds.append(Background(manifest, corpus, _audit(scored, results.folder, warn)))
    for corpus in corpora:
        if corpus.sha256 not in {scored.sha256 for scored in results.corpora}:
            warn(f"--corpora {corpus.name}: no cell is of this text (sha256 {corpus.sha256[:12]})")
    return backgrounds


def _audit(scored: ScoredCorpus, results: Path, warn: Callable[[str], None]) -> Audit | None:
    """The audit of the texts that were scored, beside the stored corpus or in ``<results>/<corpus>/``."""
    for folder in (store_folder() / scored.name, results / scored.name):
        if not (folder / AUDIT_FILE).is_file():
            continue
        try:
            audit = read_audit(folder / AUDIT_FILE)
        except CorpusError as error:
            warn(str(error))
            continue
        if audit.corpus_sha256 == scored.sha256:
            return audit
    return None
