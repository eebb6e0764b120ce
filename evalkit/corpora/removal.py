"""Taking corpora out of the store: all of those named or none, and nothing that is not a corpus's."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.corpora.audit import AUDIT_FILE
from evalkit.corpora.folder import DROPS_FILE, MANIFEST_FILE, SCORED_FILE
from evalkit.corpora.store import BUILTIN_NAMES, list_corpora, read_manifest, store_folder
from evalkit.errors import CorpusError, UsageError, unknown_name
from evalkit.files import TEMPORARY_SUFFIX, slug, temporary_folder
from evalkit.locks import LOCK_NAME, path_lock
from evalkit.patterns import matching_names

_PATTERNS = (
    MANIFEST_FILE,
    "documents-*.parquet",
    SCORED_FILE,
    DROPS_FILE,
    AUDIT_FILE,
    LOCK_NAME,
    f"*{TEMPORARY_SUFFIX}",
)
"""Names of files in a corpus's folder."""


class RemovableCorpus(NamedTuple):
    """A stored corpus that may be removed, and what would miss it."""

    name: str
    folder: Path
    num_documents: int | None
    """None where its manifest cannot be read."""
    num_bytes_on_disk: int
    num_cells: int
    """Result cells that name it; their numbers stay, and their texts cannot be shown any more."""


def removable(
    names: Iterable[str], cells_folders: Sequence[Path], *, store: Path | None = None
) -> list[RemovableCorpus]:
    """What is to be removed, each corpus once; nothing is changed.

    Args:
        names: of corpora in the store, or patterns of them.
        cells_folders: folders of result cells, in which those that name a corpus are counted.
        store: see `evalkit.corpora.store.store_folder`.

    Raises:
        UsageError: a name is a built-in corpus's, or no corpus's of the store.
        CorpusError: a corpus's folder is a link, or holds something else than a corpus.
    """
    stored_names = [name for name in list_corpora(store) if name not in BUILTIN_NAMES]
    names = dict.fromkeys(matching_names(names, stored_names))
    return [_removable(name, cells_folders, store) for name in names]


def _removable(name: str, cells_folders: Sequence[Path], store: Path | None) -> RemovableCorpus:
    if name in BUILTIN_NAMES:
        raise UsageError(f"corpus {name} is built in; there is nothing to remove")
    folder = store_folder(store) / name
    if name != slug(name) or not (folder / MANIFEST_FILE).is_file():
        stored_names = [stored for stored in list_corpora(store) if stored not in BUILTIN_NAMES]
        raise unknown_name(
            "corpus", name, stored_names, f"Only corpora in {store_folder(store)} are removed."
        )
    if folder.is_symlink():
        raise CorpusError(
            f"corpus {name}: {folder} is a link to {folder.readlink()}; remove the link by hand"
        )
    paths = sorted(folder.iterdir())
    foreign = [path.name for path in paths if not _is_of_a_corpus(path)]
    if foreign:
        raise CorpusError(
            f"corpus {name}: {folder} also holds {', '.join(foreign[:3])}, which no corpus has; "
            "move that away, or remove the folder by hand"
        )
    try:
        num_documents = read_manifest(name, store).num_documents
    except CorpusError:  # a broken one is what one wants to be rid of
        num_documents = None
    num_cells = sum(len(list(cells.glob(f"{name}/*/*.json"))) for cells in cells_folders)
    return RemovableCorpus(name, folder, num_documents, sum(path.stat().st_size for path in paths), num_cells)


def _is_of_a_corpus(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and any(map(path.match, _PATTERNS))


def remove(corpora: Iterable[RemovableCorpus]) -> None:
    """Remove corpora from the store for good; who is killed meanwhile leaves each whole or gone.

    Raises:
        CorpusError: a folder cannot be removed.
    """
    for corpus in corpora:
        try:
            with path_lock(corpus.folder), temporary_folder(corpus.folder.parent) as passing:
                corpus.folder.rename(passing / corpus.name)
                shutil.rmtree(passing / corpus.name)
        except OSError as error:
            raise CorpusError(
                f"corpus {corpus.name}: {error.filename or corpus.folder} cannot be removed: {error.strerror}"
            ) from error
