"""Corpora that lack what a server did not give, and may give another day: `Manifest.incomplete`.

Such a corpus is replaced by a later one of its name, until it is scored: from then on cells name it.
"""

from collections.abc import Mapping
from pathlib import Path

from evalkit.corpora.document import Corpus, Manifest
from evalkit.corpora.folder import MANIFEST_FILE, is_replaceable, mark_scored, read_manifest_file
from evalkit.corpora.store import store_folder
from evalkit.errors import CorpusError

MAX_REASONS = 6
"""Shown in one line: a crawl of many hosts has one for each."""


def incomplete_text(manifest: Manifest) -> str:
    """What a corpus lacks: ``290 pages.example: HTTP 403``; empty for a whole one."""
    return reasons_text(manifest.incomplete)


def reasons_text(counts: Mapping[str, int]) -> str:
    """Reasons with their counts in one line, the commonest first; beyond `MAX_REASONS` how many more."""
    commonest_first = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    texts = [f"{count:,} {reason}" for reason, count in commonest_first[:MAX_REASONS]]
    num_more = sum(count for _, count in commonest_first[MAX_REASONS:])
    return "; ".join([*texts, *([f"{num_more:,} more"] if num_more else [])])


def lacks(name: str, store: Path | None = None) -> str | None:
    """What a stored corpus lacks: `incomplete_text`; None where none of this name can be read."""
    manifest, _ = read_manifest_file(store_folder(store) / name)
    return None if manifest is None else incomplete_text(manifest)


def is_replaceable_corpus(name: str, store: Path | None = None) -> bool:
    """Whether the store has an incomplete corpus of a name that was never scored."""
    return is_replaceable(store_folder(store) / name)


def mark_corpus_scored(corpus: Corpus, store: Path | None = None) -> None:
    """Keep a stored corpus that is incomplete from being replaced, now that cells name it.

    Raises:
        CorpusError: its folder cannot be written.
    """
    folder = store_folder(store) / corpus.name
    if not corpus.manifest.incomplete or not (folder / MANIFEST_FILE).is_file():
        return
    try:
        mark_scored(folder)
    except OSError as error:
        raise CorpusError(
            f"corpus {corpus.name}: it is incomplete, and {folder} cannot be written ({error.strerror}) to "
            "say that it is scored and must stay"
        ) from error
