"""The corpora behind the cells, where they are at hand: manifests, and the texts for the explorer."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.analysis.manifests import as_scored
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.analysis.texts import SomeTexts, some_texts_at_hand, texts_at_hand
from evalkit.corpora.audit import AUDIT_FILE, Audit, read_audit
from evalkit.corpora.document import UNKNOWN, Corpus, Document, Manifest
from evalkit.corpora.incomplete import reasons_text
from evalkit.corpora.store import store_folder
from evalkit.errors import CorpusError


class Background(NamedTuple):
    """What is known of a corpus beyond its cells."""

    manifest: Manifest | None
    corpus: Corpus | None
    """With its texts; None where they are not all at hand or not needed."""
    audit: Audit | None = None
    """Of these very texts; None where nobody kept one."""
    part: SomeTexts | None = None
    """Where some of the texts are not at hand: the others."""

    @property
    def documents(self) -> Sequence[Document | None]:
        """In the order of the cells, None where the text is not at hand; empty where none is."""
        if self.corpus is not None:
            return self.corpus.documents
        return self.part.documents if self.part is not None else ()

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
        part = some_texts_at_hand(results, number, corpora) if corpus is None and has_token_bits else None
        if part is not None:
            num_missing = part.documents.count(None)
            warn(
                f"{scored.label}: the explorer lacks {num_missing:,} of {len(scored.ids):,} documents, whose "
                f"texts are not at hand: {reasons_text(part.reasons)}"
            )
        elif corpus is None and has_token_bits:
            warn(
                f"{scored.label}: its texts are not at hand, so it is not in the explorer; "
                "name the corpus or its file with --corpora"
            )
        backgrounds.append(Background(manifest, corpus, _audit(scored, results.folder, warn), part))
    parts = {background.part.sha256 for background in backgrounds if background.part}
    for corpus in corpora:
        is_scored = any(as_scored(corpus, scored.facts) is not None for scored in results.corpora)
        if not is_scored and corpus.sha256 not in parts:
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
