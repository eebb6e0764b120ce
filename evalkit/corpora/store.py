"""Corpora: dated, hashed, immutable sets of documents, and the folder that stores them.

A stored corpus is a folder ``<store>/<name>/`` with ``manifest.json`` and one Parquet file, whose
columns are the fields of `Document` and whose name carries the start of its own digest. The manifest
is written last: a folder without one is no corpus. The same documents give the same Parquet bytes with
the same pyarrow. ``datasets.load_dataset("parquet", data_files=...)`` reads it.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.corpora.document import (
    SCHEMA_VERSION,
    UNKNOWN,
    Corpus,
    Document,
    Manifest,
    check_plain_name,
    counts,
    make_corpus,
    make_document,
    repository_of_url,
    utc_date,
)
from evalkit.errors import CorpusError, UsageError, unknown_name, first_line
from evalkit.files import atomic_write, locked, slug, strict_json
from evalkit.corpora.readers import FILE_SUFFIXES, HUB_PREFIX, parse_hub_id

__all__ = [
    "BUILTIN_NAMES",
    "HUB_PREFIX",
    "UNKNOWN",
    "Corpus",
    "Document",
    "Manifest",
    "check_corpus_name",
    "check_new_name",
    "import_corpus",
    "list_corpora",
    "load_corpus",
    "make_corpus",
    "make_document",
    "read_manifest",
    "repository_of_url",
    "save_corpus",
    "store_folder",
    "utc_date",
    "verify_corpus",
]

BUILTIN_NAMES = ("python-stdlib",)

_NAMES_HINT = (
    "'evalkit corpora list' shows the stored corpora; a path to a file or folder, "
    "or hub:OWNER/NAME@REVISION, is accepted too."
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

    Raises:
        UsageError: the name is a built-in corpus's.
        CorpusError: the name is taken by a corpus with other documents, which is left as it is; or the
            folder cannot be written.
    """
    check_new_name(corpus.name)
    folder = store_folder(store) / corpus.name
    try:
        _save(corpus, folder)
    except OSError as error:
        raise CorpusError(
            f"corpus {corpus.name}: {error.filename or folder} cannot be written: {error.strerror or error}; "
            "make room there or give another store"
        ) from error
    return folder


def _save(corpus: Corpus, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with locked(folder):
        if (folder / "manifest.json").exists():
            _refuse_difference(folder, corpus)
            return
        rows = [_fields(document) for document in corpus.documents]
        table = pa.Table.from_pylist(rows, schema=_parquet_schema())
        sink = pa.BufferOutputStream()
        pq.write_table(
            table,
            sink,
            compression="zstd",
            compression_level=9,
            use_dictionary=["source", "license", "language", "cluster", "extractor"],
            row_group_size=1000,
        )
        content = sink.getvalue()
        parquet_sha256 = hashlib.sha256(content).hexdigest()
        parquet_file = f"documents-{parquet_sha256[:16]}.parquet"
        manifest = dataclasses.replace(
            corpus.manifest,
            created=utc_date(dt.datetime.now(dt.UTC)),
            parquet_file=parquet_file,
            parquet_sha256=parquet_sha256,
        )
        with atomic_write(folder / parquet_file) as temporary:
            temporary.write_bytes(content)
        fields = _fields(manifest)
        with atomic_write(folder / "manifest.json") as temporary:
            temporary.write_text(
                strict_json({**fields, "manifest_sha256": _digest(fields)}), encoding="utf-8"
            )


def import_corpus(
    path_or_hub_id: str | os.PathLike[str],
    name: str,
    *,
    source: str | None = None,
    license: str | None = None,
    language: str | None = None,
    date_from: str | None = None,
    date_to: str | None = None,
    revision: str | None = None,
    split: str | None = None,
    text_column: str | None = None,
    store: Path | None = None,
) -> Corpus:
    """Read documents as `evalkit.corpora.importers.read_documents` does and store them under a name.

    Every document needs a source, a license and a date, or lie between ``date_from`` and ``date_to``.

    Raises:
        UsageError: an option is missing or malformed, or the name cannot be used.
        CorpusError: the input cannot be read, or the name holds something else already.
    """
    from evalkit.corpora import importers

    check_new_name(name)
    imported = importers.read_documents(
        path_or_hub_id,
        source=source,
        license=license,
        language=language,
        date_from=date_from,
        date_to=date_to,
        revision=revision,
        split=split,
        text_column=text_column,
    )
    documents = imported.documents
    missing = {
        "--source": sum(document.source == UNKNOWN for document in documents),
        "--license": sum(document.license is None for document in documents),
        "--date-from and --date-to": sum(document.published_at is None for document in documents),
    }
    if date_from:
        del missing["--date-from and --date-to"]
    lacking = [
        f"{option} (for {count} of {len(documents)} documents)" for option, count in missing.items() if count
    ]
    if lacking:
        raise UsageError(f"{os.fspath(path_or_hub_id)}: the data do not say it: give {', '.join(lacking)}")
    corpus = make_corpus(
        name,
        documents,
        description=f"imported from {imported.provenance['input']}",
        date_from=date_from,
        date_to=date_to,
        provenance=imported.provenance,
        num_dropped=imported.num_dropped,
    )
    save_corpus(corpus, store)
    return corpus


def list_corpora(store: Path | None = None) -> list[str]:
    """Names of the built-in corpora and of those in the store, each sorted."""
    stored = sorted(path.parent.name for path in store_folder(store).glob("*/manifest.json"))
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
    manifest, problems = _read_manifest(folder)
    if manifest is None or problems:
        raise CorpusError(f"corpus {name}: {problems[0]}")
    return manifest


def check_corpus_name(name_or_path: str, store: Path | None = None) -> None:
    """Refuse what `load_corpus` would refuse by its name alone, before slow work starts.

    Raises:
        UsageError: no built-in corpus, stored corpus, file or folder has this name, or a hub
            dataset is not pinned to a revision.
    """
    if name_or_path.startswith(HUB_PREFIX):
        parse_hub_id(name_or_path)
    elif not (
        name_or_path in BUILTIN_NAMES or _is_stored(name_or_path, store) or Path(name_or_path).exists()
    ):
        if "/" in name_or_path or Path(name_or_path).suffix.lower() in FILE_SUFFIXES:
            raise UsageError(f"corpus {name_or_path}: no such file or folder")
        raise unknown_name("corpus", name_or_path, list_corpora(store), _NAMES_HINT)


def load_corpus(name_or_path: str | os.PathLike[str], *, store: Path | None = None) -> Corpus:
    """A corpus by name, or made on the spot from a file, a folder or a hub dataset.

    Args:
        name_or_path: in this order: ``hub:OWNER/NAME[/CONFIG]@REVISION``, a built-in name
            (``python-stdlib``), a name in the store, a path of anything that
            `evalkit.corpora.importers.read_documents` reads. A file that is named like Uncheatable Eval's
            (``..._20240601to20240615.json``) takes its dates from its name; others may be undated.
        store: see `store_folder`.

    Raises:
        UsageError: nothing has this name.
        CorpusError: it cannot be read, is empty, or is not what its manifest says.
    """
    from evalkit.corpora import importers

    name = os.fspath(name_or_path)
    check_corpus_name(name, store)
    if name in BUILTIN_NAMES:
        from evalkit.corpora.stdlib import python_stdlib

        return python_stdlib()
    if not name.startswith(HUB_PREFIX):
        if _is_stored(name, store):
            return _load_stored(store_folder(store) / name)
        path = Path(name)
        if (path / "manifest.json").is_file() and any(path.glob("documents-*.parquet")):
            return _load_stored(path)
    imported = importers.read_documents(name)
    dated = all(document.published_at for document in imported.documents)
    date_from, date_to = (None, None) if dated else importers.dates_of_file_name(name)
    return make_corpus(
        importers.name_of_input(name),
        imported.documents,
        description=f"read from {imported.provenance['input']}",
        date_from=date_from,
        date_to=date_to,
        provenance=imported.provenance,
        num_dropped=imported.num_dropped,
    )


def verify_corpus(name: str, store: Path | None = None) -> list[str]:
    """Everything that is wrong with a stored corpus, one line each; empty if nothing is.

    Raises:
        UsageError: no such corpus.
    """
    if name in BUILTIN_NAMES:
        load_corpus(name)
        return []
    folder = _stored_folder(name, store)
    corpus, problems = _read_stored(folder)
    named = corpus.manifest.parquet_file if corpus else None
    if corpus and corpus.name != folder.name:
        problems.append(f"manifest.json: it names the corpus {corpus.name!r}, its folder is {folder.name!r}")
    problems += [
        f"{path.name}: the manifest does not name this file"
        for path in sorted(folder.glob("*.parquet"))
        if named and path.name != named
    ]
    return problems


def _fields(value: Document | Manifest) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(strict_json(fields).encode("utf-8")).hexdigest()


def _parquet_schema() -> Any:
    import pyarrow as pa

    def required(name: str) -> Any:
        return pa.field(name, pa.string(), nullable=False)

    def optional(name: str) -> Any:
        return pa.field(name, pa.string())

    return pa.schema(
        [
            required("id"),
            required("text"),
            required("source"),
            optional("url"),
            optional("published_at"),
            optional("fetched_at"),
            optional("title"),
            optional("license"),
            optional("language"),
            optional("cluster"),
            pa.field("n_bytes", pa.int64(), nullable=False),
            required("sha256"),
            optional("extractor"),
            optional("source_version"),
        ]
    )


def _refuse_difference(folder: Path, corpus: Corpus) -> None:
    stored = _load_stored(folder)
    if stored.sha256 != corpus.sha256:
        raise CorpusError(
            f"corpus {corpus.name}: {folder} holds other documents under this name "
            f"({stored.sha256[:16]}, not {corpus.sha256[:16]}) and is never overwritten; choose another name"
        )
    for old, new in zip(stored.documents, corpus.documents, strict=True):
        # A second crawl of the same text differs in when it was fetched, and in nothing that matters.
        if dataclasses.replace(old, fetched_at=None) != dataclasses.replace(new, fetched_at=None):
            changed = [key for key, value in _fields(new).items() if getattr(old, key) != value]
            raise CorpusError(
                f"corpus {corpus.name}: {folder} holds the same texts with another {' and '.join(changed)} "
                f"(document {new.id}) and is never overwritten; choose another name"
            )
    dates = (corpus.date_from, corpus.date_to)
    if (stored.date_from, stored.date_to) != dates:
        raise CorpusError(
            f"corpus {corpus.name}: {folder} holds the same texts dated {stored.date_from} to "
            f"{stored.date_to}, not {dates[0]} to {dates[1]}, and is never overwritten; choose another name"
        )


def _is_stored(name: str, store: Path | None) -> bool:
    return name == slug(name) and (store_folder(store) / name / "manifest.json").is_file()


def _stored_folder(name: str, store: Path | None) -> Path:
    if not _is_stored(name, store):
        raise unknown_name("corpus", name, list_corpora(store), "'evalkit corpora list' shows the corpora.")
    return store_folder(store) / name


def _load_stored(folder: Path) -> Corpus:
    corpus, problems = _read_stored(folder)
    if corpus is None or problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CorpusError(f"corpus {folder}: {problems[0]}{more}; import it again under another name")
    return corpus


def _read_manifest(folder: Path) -> tuple[Manifest | None, list[str]]:
    """The manifest and what is wrong with it; None where it cannot be made out at all."""
    try:
        fields = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        return None, [f"manifest.json: it cannot be read: {error}"]
    if not isinstance(fields, dict) or fields.get("schema_version") != SCHEMA_VERSION:
        found = fields.get("schema_version") if isinstance(fields, dict) else None
        return None, [f"manifest.json: schema version {found!r}, this evalkit reads {SCHEMA_VERSION}"]
    stated = fields.pop("manifest_sha256", None)
    try:
        manifest = Manifest(**fields)
        changed = stated != _digest(fields)
    except (TypeError, ValueError):
        return None, ["manifest.json: it was changed after it was written: its fields are not a manifest's"]
    return manifest, ["manifest.json: it was changed after it was written"] if changed else []


def _read_stored(folder: Path) -> tuple[Corpus | None, list[str]]:
    """A stored corpus and everything that is wrong with it; None where there are no documents to show."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest, problems = _read_manifest(folder)
    if manifest is None:
        return None, problems
    file_name = Path(str(manifest.parquet_file)).name
    try:
        content = (folder / file_name).read_bytes()
    except OSError as error:
        return None, [*problems, f"{file_name}: it cannot be read: {error.strerror}"]
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.parquet_sha256:
        problems.append(f"{file_name}: its SHA-256 is {found}, the manifest says {manifest.parquet_sha256}")
    try:
        table = pq.read_table(pa.BufferReader(content))
        if not table.schema.equals(_parquet_schema()):
            return None, [*problems, f"{file_name}: its columns are not those of a corpus"]
        documents = tuple(Document(**row) for row in table.to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        return None, [*problems, f"{file_name}: it is damaged: {first_line(error)}"]
    for document in documents:
        data = document.data
        if document.n_bytes != len(data) or document.sha256 != hashlib.sha256(data).hexdigest():
            problems.append(f"{file_name}: document {document.id}: its text is not the one that was stored")
    for key, value in counts(documents).items():
        stated = getattr(manifest, key)
        if stated != value:
            problems.append(f"manifest.json: {key} is {stated!r}, the documents give {value!r}")
    return Corpus(documents, manifest), problems
