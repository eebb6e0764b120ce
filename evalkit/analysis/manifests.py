"""The manifests of scored corpora, where they are at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.cells.schema import CellCorpus
from evalkit.corpora.document import Corpus, Manifest
from evalkit.corpora.folder import MANIFEST_FILE
from evalkit.corpora.store import list_corpora, load_corpus, read_manifest
from evalkit.errors import EvalkitError


class Manifests(NamedTuple):
    """Manifests of the very documents that were scored."""

    stored: tuple[Manifest | None, ...]
    """Of each corpus, that in the store."""
    beside: tuple[Manifest | None, ...]
    """Of each corpus that is not in the store: ``<results>/<corpus>/manifest.json``, leaderboards' own."""
    problems: tuple[str, ...]
    """Manifests that cannot be read, and why."""

    def manifest(self, number: int) -> Manifest | None:
        """That of a corpus; None where there is none."""
        return self.stored[number] or self.beside[number]


def find_manifests(corpora: Sequence[CellCorpus], results: Path) -> Manifests:
    """The manifests of corpora.

    Args:
        corpora: what the cells say of each; a manifest of that name and of other documents is none of it.
        results: the folder of the cells.
    """
    problems: list[str] = []

    def read(scored: CellCorpus, store: Path | None) -> Manifest | None:
        try:
            manifest = read_manifest(scored.name, store)
            if manifest.sha256 != scored.sha256 and scored.limit is not None:
                part = as_scored(load_corpus(scored.name, store=store), scored)
                return None if part is None else part.manifest
        except EvalkitError as error:
            problems.append(str(error))
            return None
        return manifest if manifest.sha256 == scored.sha256 else None

    names = set(list_corpora())
    stored = [read(scored, None) if scored.name in names else None for scored in corpora]
    beside = [
        read(scored, results)
        if manifest is None and scored.limit is None and (results / scored.name / MANIFEST_FILE).is_file()
        else None
        for scored, manifest in zip(corpora, stored, strict=True)
    ]
    return Manifests(tuple(stored), tuple(beside), tuple(problems))


def as_scored(corpus: Corpus, scored: CellCorpus) -> Corpus | None:
    """The documents that were scored, all or with ``--limit`` the first; None: the corpus has others."""
    if corpus.sha256 != scored.sha256 and scored.limit is not None:
        corpus = corpus.limited(scored.limit)
    return corpus if corpus.sha256 == scored.sha256 else None
