"""The manifests of scored corpora, where they are at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.corpora.document import Manifest
from evalkit.corpora.folder import MANIFEST_FILE
from evalkit.corpora.store import list_corpora, read_manifest
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


def find_manifests(corpora: Sequence[tuple[str, str]], results: Path) -> Manifests:
    """The manifests of corpora.

    Args:
        corpora: name and digest of each; a manifest of that name and of other documents is none of it.
        results: the folder of the cells.
    """
    problems: list[str] = []

    def read(name: str, sha256: str, store: Path | None) -> Manifest | None:
        try:
            manifest = read_manifest(name, store)
        except EvalkitError as error:
            problems.append(str(error))
            return None
        return manifest if manifest.sha256 == sha256 else None

    names = set(list_corpora())
    stored = [read(name, sha256, None) if name in names else None for name, sha256 in corpora]
    beside = [
        read(name, sha256, results)
        if manifest is None and (results / name / MANIFEST_FILE).is_file()
        else None
        for (name, sha256), manifest in zip(corpora, stored, strict=True)
    ]
    return Manifests(tuple(stored), tuple(beside), tuple(problems))
