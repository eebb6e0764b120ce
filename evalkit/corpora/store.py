"""Corpora by name: the store, a folder in which every corpus has one of its own, and the built-in corpora.

A stored corpus is a folder ``<store>/<name>/``; see `evalkit.corpora.folder` for what is in it.
``datasets.load_dataset("parquet", data_files=...)`` reads its table as well.
"""

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from evalkit.corpora.document import (
    UNKNOWN,
    Corpus,
    Document,
    Manifest,
    check_plain_name,
    make_corpus,
    make_document,
)
from evalkit.corpora.folder import MANIFEST_FILE, load_folder, read_folder, read_manifest_file, write_folder
from evalkit.corpora.names import expand_name, not_a_path
from evalkit.corpora.readers import HUB_PREFIX, parse_hub_id
from evalkit.corpora.repositories import repository_of_url
from evalkit.errors import CorpusError, UsageError, unknown_name
from evalkit.files import slug

if TYPE_CHECKING:
    from evalkit.corpora.importers import ReadOptions
    from evalkit.corpora.sets import SetSelection

__all__ = [
    "BUILTIN_NAMES",
    "HUB_PREFIX",
    "UNKNOWN",
    "Corpus",
    "Document",
    "Manifest",
    "check_corpus_name",
    "check_new_name",
    "import_corpora",
    "import_corpus",
    "list_corpora",
    "load_corpora",
    "load_corpus",
    "make_corpus",
    "make_document",
    "read_manifest",
    "repository_of_url",
    "save_corpus",
    "store_folder",
    "verify_corpus",
]

BUILTIN_NAMES = ("python-stdlib",)

_NAMES_HINT = (
    "'evalkit corpora list' shows the stored corpora; a path to a file or folder, "
    "hub:OWNER/NAME@REVISION, or a set such as uncheatable-2026-07 is accepted too."
)


def store_folder(store: Path | None = None) -> Path:
    """Where corpora are stored: the argument, else ``$EVALKIT_CORPORA``, else ``corpora/`` here."""
    return store or Path(os.environ.get("EVALKIT_CORPORA") or "corpora")


def check_new_name(name: str) -> None:
    """Refuse a name under which nothing can be stored.

    Raises:
        UsageError: the name cannot be a folder's name, or is that of a built-in corpus.
    """
    check_plain_name(name)
    if name in BUILTIN_NAMES:
        raise UsageError(f"corpus name {name!r} is taken by a built-in corpus; choose another name")


def save_corpus(corpus: Corpus, store: Path | None = None) -> Path:
    """Store a corpus for good and return its folder; does nothing where it is stored already.

    Only a corpus that is incomplete and was never scored is replaced; see `evalkit.corpora.incomplete`.

    Raises:
        UsageError: the name is a built-in corpus's.
        CorpusError: the name is taken by a corpus with other documents, which is left as it is; or the
            folder cannot be written.
    """
    check_new_name(corpus.name)
    folder = store_folder(store) / corpus.name
    try:
        write_folder(corpus, folder)
    except OSError as error:
        raise CorpusError(
            f"corpus {corpus.name}: {error.filename or folder} cannot be written: {error.strerror or error}; "
            "make room there or give another store"
        ) from error
    return folder


def import_corpus(
    path_or_hub_id: str | os.PathLike[str],
    name: str,
    *,
    store: Path | None = None,
    **options: "Unpack[ReadOptions]",
) -> Corpus:
    """Read documents as `evalkit.corpora.importers.read_documents` does and store them under a name.

    Every document needs a source, a license and a date, or lie between ``date_from`` and ``date_to``.

    Args:
        path_or_hub_id: as of `read_documents`.
        name: of the corpus.
        store: see `store_folder`.
        options: see `ReadOptions`.

    Raises:
        UsageError: an option is missing or malformed, or the name cannot be used.
        CorpusError: the input cannot be read, or the name holds something else already.
    """
    from evalkit.corpora import importers

    check_new_name(name)
    place = os.fspath(path_or_hub_id)
    imported = importers.read_documents(place, **options)
    date_from, date_to = options.get("date_from"), options.get("date_to")
    _check_is_described(place, imported.documents, is_dated=date_from is not None)
    corpus = imported.corpus(name, "imported from", date_from, date_to)
    save_corpus(corpus, store)
    return corpus


def import_corpora(
    path_or_hub_id: str | os.PathLike[str],
    name: str,
    split_by: str,
    *,
    store: Path | None = None,
    **options: "Unpack[ReadOptions]",
) -> tuple[Corpus, ...]:
    """Read documents of several kinds and store each kind as a corpus ``NAME-VALUE``.

    Each is dated by its own documents, unless the options give a window.

    Args:
        path_or_hub_id: a table, as `import_corpus` reads it.
        name: what the corpora's names begin with.
        split_by: the column whose values tell the kinds apart, for example ``category``.
        store: see `store_folder`.
        options: see `ReadOptions`.

    Returns:
        The corpora in the order of their first rows.

    Raises:
        UsageError: an option is missing or malformed, or a name cannot be used.
        CorpusError: the input cannot be read, or a name holds something else already.
    """
    from evalkit.corpora import importers
    from evalkit.corpora.sets import split_names

    check_new_name(name)
    place = os.fspath(path_or_hub_id)
    date_from, date_to = options.get("date_from"), options.get("date_to")
    parts = importers.read_documents_by(place, split_by, **options)
    documents = [document for part in parts.values() for document in part.documents]
    _check_is_described(place, documents, is_dated=date_from is not None)
    names = split_names(name, parts)
    corpora = [
        imported.corpus(names[value], "imported from", date_from, date_to)
        for value, imported in parts.items()
    ]
    for corpus in corpora:
        check_new_name(corpus.name)
    for corpus in corpora:
        save_corpus(corpus, store)
    return tuple(corpora)


def _check_is_described(place: str, documents: Sequence[Document], *, is_dated: bool) -> None:
    """Refuse documents of which something is not known that an option could say.

    Args:
        place: their input, for the message.
        documents: each needs a source, a license, and a date.
        is_dated: whether a window dates all of them.

    Raises:
        UsageError: something is missing.
    """
    missing = {
        "--source": sum(document.source == UNKNOWN for document in documents),
        "--license": sum(document.license is None for document in documents),
        "--date-from and --date-to": sum(document.published_at is None for document in documents),
    }
    if is_dated:
        del missing["--date-from and --date-to"]
    lacking = [
        f"{option} (for {count} of {len(documents)} documents)" for option, count in missing.items() if count
    ]
    if lacking:
        raise UsageError(f"{place}: the data do not say it: give {', '.join(lacking)}")


def list_corpora(store: Path | None = None) -> list[str]:
    """Names of the built-in corpora and of those in the store, each sorted."""
    stored = sorted(path.parent.name for path in store_folder(store).glob(f"*/{MANIFEST_FILE}"))
    return [*BUILTIN_NAMES, *(name for name in stored if name not in BUILTIN_NAMES)]


def read_manifest(name: str, store: Path | None = None) -> Manifest:
    """The manifest of a built-in or stored corpus, without reading a stored one's documents.

    Raises:
        UsageError: no such corpus.
        CorpusError: the manifest cannot be read or was changed after it was written.
    """
    if name in BUILTIN_NAMES:
        return load_corpus(name).manifest
    folder = _stored_folder(name, store)
    manifest, problems = read_manifest_file(folder)
    if manifest is None or problems:
        raise CorpusError(f"corpus {name}: {problems[0]}")
    return manifest


def check_corpus_name(name_or_path: str, store: Path | None = None) -> None:
    """Refuse what `load_corpora` would refuse by its name alone, before slow work starts.

    Raises:
        UsageError: no built-in corpus, stored corpus, set, file or folder has this name, nothing matches a
            pattern, or a hub dataset is not pinned to a revision.
    """
    if name_or_path.startswith(HUB_PREFIX):
        parse_hub_id(name_or_path)
        return
    for name in _names_meant(name_or_path, store):
        is_stored = name in BUILTIN_NAMES or _is_stored(name, store)
        if is_stored or _set_selection(name, store) or Path(name).exists():
            continue
        from evalkit.corpora.sets import SET_PREFIX, UNCHEATABLE_SETS

        if (error := not_a_path(name)) is not None:
            raise error
        is_like_a_set = name.startswith(SET_PREFIX)
        names = [*list_corpora(store), *(UNCHEATABLE_SETS if is_like_a_set else ())]
        raise unknown_name("corpus", name, names, _NAMES_HINT)


def load_corpus(name_or_path: str | os.PathLike[str], *, store: Path | None = None) -> Corpus:
    """A corpus by name, or made on the spot from a file, a folder or a hub dataset.

    Args:
        name_or_path: in this order: ``hub:OWNER/NAME[/CONFIG]@REVISION``, a built-in name
            (``python-stdlib``), a name in the store, a corpus of a set (``uncheatable-2026-07/arxiv_cs``, see
            `evalkit.corpora.sets`), a path of anything that `evalkit.corpora.importers.read_documents`
            reads, also with ``~``. A file that is named like Uncheatable Eval's
            (``..._20240601to20240615.json``) takes its dates from its name; others may be undated.
        store: see `store_folder`.

    Raises:
        UsageError: nothing has this name, or several corpora do.
        CorpusError: it cannot be read, is empty, or is not what its manifest says.
    """
    from evalkit.corpora import importers

    name = os.fspath(name_or_path)
    check_corpus_name(name, store)
    if len(names := _names_meant(name, store)) > 1:
        raise UsageError(f"corpus {name}: it is {len(names)} corpora, give one: {', '.join(names)}")
    [name] = names
    if name in BUILTIN_NAMES:
        from evalkit.corpora.stdlib import python_stdlib

        return python_stdlib()
    if not name.startswith(HUB_PREFIX):
        if _is_stored(name, store):
            return load_folder(store_folder(store) / name)
        if _set_selection(name, store):
            corpora = load_corpora([name], store=store)
            if len(corpora) > 1:
                listed = ", ".join(corpus.name for corpus in corpora)
                raise UsageError(f"corpus {name}: it is {len(corpora)} corpora, give one: {listed}")
            return corpora[0]
        path = Path(name)
        if (path / MANIFEST_FILE).is_file() and any(path.glob("documents-*.parquet")):
            return load_folder(path)
    imported = importers.read_documents(name)
    dated = all(document.published_at for document in imported.documents)
    date_from, date_to = (None, None) if dated else importers.dates_of_file_name(name)
    if date_to and date_to > dt.datetime.now(dt.UTC).date().isoformat():
        raise CorpusError(
            f"{name}: its name says that it is of {date_to}, which lies in the future; rename it"
        )
    return imported.corpus(importers.name_of_input(name), "read from", date_from, date_to)


def load_corpora(
    corpora: Iterable[str | os.PathLike[str] | Corpus], *, store: Path | None = None
) -> list[Corpus]:
    """The corpora of several names: `load_corpus` of each, and all that a name asks for of a set.

    Args:
        corpora: names as `load_corpus` takes them, also of sets (``uncheatable-2026-07``) and patterns of
            their categories (``uncheatable-2026-07/github_*``), and patterns of stored corpora's names or of
            paths, whose matches come once; a `Corpus` stands for itself. A set is read once, and of its
            corpora none comes twice.
        store: see `store_folder`.

    Raises:
        UsageError: nothing has a name, or a set no such category.
        CorpusError: one cannot be read.
    """
    from evalkit.corpora.sets import read_set

    loaded: list[Corpus] = []
    sets: dict[tuple[str, str | None], dict[str, Corpus]] = {}
    for named in _expanded(corpora, store):
        selection = None if isinstance(named, Corpus) else _set_selection(named, store)
        if selection is None:
            loaded.append(named if isinstance(named, Corpus) else load_corpus(named, store=store))
            continue
        key = selection.set_name, selection.commit
        if key not in sets:
            sets[key] = read_set(selection)
        chosen = [sets[key][category] for category in selection.matching(sets[key])]
        loaded += [corpus for corpus in chosen if not any(corpus is earlier for earlier in loaded)]
    return loaded


def _expanded(corpora: Iterable[str | os.PathLike[str] | Corpus], store: Path | None) -> list[str | Corpus]:
    """Corpora, with what a pattern matches in its place, where nothing else names that."""
    wishes = [wish if isinstance(wish, Corpus) else os.fspath(wish) for wish in corpora]
    named = {wish for wish in wishes if isinstance(wish, str)}
    expanded: list[str | Corpus] = []
    for wish in wishes:
        if isinstance(wish, Corpus):
            expanded.append(wish)
            continue
        names = _names_meant(wish, store)
        expanded += [name for name in names if name == wish or name not in named]
        named.update(names)
    return expanded


def _names_meant(name: str, store: Path | None) -> list[str]:
    return expand_name(name, lambda: list_corpora(store))


def verify_corpus(name: str, store: Path | None = None) -> list[str]:
    """Everything that is wrong with a stored corpus, one line each; empty if nothing is.

    Raises:
        UsageError: no such corpus.
    """
    if name in BUILTIN_NAMES:
        load_corpus(name)
        return []
    folder = _stored_folder(name, store)
    corpus, problems = read_folder(folder)
    named = corpus.manifest.parquet_file if corpus else None
    if corpus and corpus.name != folder.name:
        problems.append(
            f"{MANIFEST_FILE}: it names the corpus {corpus.name!r}, its folder is {folder.name!r}"
        )
    problems += [
        f"{path.name}: the manifest does not name this file"
        for path in sorted(folder.glob("*.parquet"))
        if named and path.name != named
    ]
    return problems


def _is_stored(name: str, store: Path | None) -> bool:
    return name == slug(name) and (store_folder(store) / name / MANIFEST_FILE).is_file()


def _set_selection(name: str, store: Path | None) -> "SetSelection | None":
    """What a name asks for of a set; None where it is no set's, or a corpus in the store has it."""
    from evalkit.corpora.sets import parse_set_name

    return None if _is_stored(name, store) else parse_set_name(name)


def _stored_folder(name: str, store: Path | None) -> Path:
    if not _is_stored(name, store):
        raise unknown_name("corpus", name, list_corpora(store), "'evalkit corpora list' shows the corpora.")
    return store_folder(store) / name
