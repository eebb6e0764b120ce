"""The folder of one stored corpus: ``manifest.json`` and one Parquet file.

The table's columns are the fields of `Document`, its file's name carries the start of its own digest, and the
manifest carries a digest of itself. The manifest is written last: a folder without one is no corpus. The same
documents give the same Parquet bytes with the same pyarrow.

What is stored stays as it is. A corpus that says of itself that it is incomplete is replaced by a later one
of its name, until it is scored: from then on cells name it.
"""

import dataclasses
import datetime as dt
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

from evalkit.corpora.document import (
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    Corpus,
    Document,
    Manifest,
    counts,
    document_problems,
    is_the_stored_text,
)
from evalkit.corpora.lazy_documents import LazyDocuments
from evalkit.corpora.parquet import read_table
from evalkit.corpora.tables import (
    CONDITIONAL_FIELDS,
    columns_of,
    document_columns,
    document_row,
    documents_of,
    with_current_names,
)
from evalkit.dates import utc_date
from evalkit.errors import CorpusError, first_line
from evalkit.files import atomic_write, locked, parse_json, strict_json
from evalkit.remembered import CHECKED_CORPORA, remember_checked, was_checked

MANIFEST_FILE = "manifest.json"
DROPS_FILE = "dropped.jsonl"
"""Beside a crawled corpus: a line for every document that is not in it, and why."""
SCORED_FILE = "scored"
"""Stands in the folder of an incomplete corpus that cells name."""


def write_folder(corpus: Corpus, folder: Path) -> None:
    """Store a corpus for good; does nothing where it is stored already.

    Raises:
        CorpusError: the folder holds a corpus with other documents, which is left as it is.
        OSError: the folder cannot be written.
    """
    with locked(folder):
        if (folder / MANIFEST_FILE).exists() and not is_replaceable(folder):
            _refuse_difference(folder, corpus)
            return
        content = _parquet(corpus)
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
        fields = {field.name: getattr(manifest, field.name) for field in dataclasses.fields(manifest)}
        if not manifest.incomplete:  # as it always was
            del fields["incomplete"]
        with atomic_write(folder / MANIFEST_FILE) as temporary:
            temporary.write_text(
                strict_json({**fields, "manifest_sha256": _digest(fields)}), encoding="utf-8"
            )
        for leftover in folder.glob("documents-*.parquet"):  # of what was replaced, or of a killed writer
            if leftover.name != parquet_file:
                leftover.unlink()


def is_replaceable(folder: Path) -> bool:
    """Whether a folder holds a corpus that says it is incomplete, and that no cell names."""
    manifest, problems = read_manifest_file(folder)
    if manifest is None or problems:
        return False
    return bool(manifest.incomplete) and not (folder / SCORED_FILE).exists()


def mark_scored(folder: Path) -> None:
    """Keep the incomplete corpus of a folder from being replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / SCORED_FILE).touch()


def load_folder(folder: Path) -> Corpus:
    """The corpus that a folder stores.

    Raises:
        CorpusError: it cannot be read, or is not what its manifest says.
    """
    corpus, problems = read_folder(folder)
    if corpus is None or problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CorpusError(f"corpus {folder}: {problems[0]}{more}; import it again under another name")
    return corpus


def read_manifest_file(folder: Path) -> tuple[Manifest | None, list[str]]:
    """A folder's manifest and what is wrong with it; None where it cannot be made out at all."""
    try:
        fields = parse_json((folder / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError) as error:
        return None, [f"{MANIFEST_FILE}: it cannot be read: {error}"]
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if version not in READABLE_VERSIONS:
        return None, [f"{MANIFEST_FILE}: schema version {version!r}, this evalkit reads {SCHEMA_VERSION}"]
    stated_digest = fields.pop("manifest_sha256", None)
    try:
        manifest = Manifest(**fields | {"schema_version": SCHEMA_VERSION})
        changed = stated_digest != _digest(fields)
    except (TypeError, ValueError):
        return None, [
            f"{MANIFEST_FILE}: it was changed after it was written: its fields are not a manifest's"
        ]
    return manifest, [f"{MANIFEST_FILE}: it was changed after it was written"] if changed else []


def read_folder(folder: Path) -> tuple[Corpus | None, list[str]]:
    """A stored corpus and everything that is wrong with it; None where there are no documents to show."""
    manifest, problems = read_manifest_file(folder)
    if manifest is None:
        return None, problems
    file_name = Path(str(manifest.parquet_file)).name
    try:
        content = (folder / file_name).read_bytes()
    except OSError as error:
        return None, [*problems, f"{file_name}: it cannot be read: {error.strerror}"]
    except ValueError as error:  # no file can have such a name
        return None, [*problems, f"{MANIFEST_FILE}: parquet_file is {file_name!r}: {error}"]
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.parquet_sha256:
        problems.append(f"{file_name}: its SHA-256 is {digest}, the manifest says {manifest.parquet_sha256}")
    # Of all that the checks look at: the manifest, and the file by its digest.
    checked = hashlib.sha256(f"{digest} {manifest}".encode(errors="backslashreplace")).hexdigest()
    is_as_stored = not problems and manifest.records_sha256 is not None
    if is_as_stored and was_checked(CHECKED_CORPORA, checked):
        load = functools.partial(_load_again, folder.absolute() / file_name, digest)
        has_conditions = not _column_names(content).isdisjoint(CONDITIONAL_FIELDS)
        lazy = LazyDocuments(manifest.num_documents, manifest.num_bytes, load, has_conditions=has_conditions)
        return Corpus(lazy, manifest), []
    try:
        documents = _documents(content, is_safe=False)
    except CorpusError as error:
        return None, [*problems, f"{file_name}: {error}"]
    corpus, more_problems = _checked(Corpus(documents, manifest), file_name)
    if is_as_stored and not more_problems:
        remember_checked(CHECKED_CORPORA, checked)
    return corpus, problems + more_problems


def _checked(corpus: Corpus, file_name: str) -> tuple[Corpus, list[str]]:
    """A stored corpus, and what of its documents is not what was stored or what its manifest says."""
    documents, manifest = corpus.documents, corpus.manifest
    problems = [
        f"{file_name}: document {document.id}: its text is not the one that was stored"
        for document in documents
        if not is_the_stored_text(document)
    ]
    problems += [f"{file_name}: {problem}" for problem in document_problems(documents)]
    counted = counts(documents)
    if manifest.records_sha256 is None:
        manifest = dataclasses.replace(manifest, records_sha256=counted.records_sha256)
    for key, value in counted._asdict().items():
        stated = getattr(manifest, key)
        if stated != value:
            problems.append(f"{MANIFEST_FILE}: {key} is {stated!r}, the documents give {value!r}")
    return Corpus(documents, manifest), problems


def _parquet(corpus: Corpus) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [document_row(document) for document in corpus.documents]
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist(rows, schema=pa.schema(document_columns(columns_of(corpus.documents)))),
        sink,
        compression="zstd",
        compression_level=9,
        use_dictionary=["source", "license", "language", "cluster", "extractor"],
        row_group_size=1000,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _column_names(content: bytes) -> set[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return set(pq.read_schema(pa.BufferReader(content)).names)


def _load_again(path: Path, sha256: str) -> tuple[Document, ...]:
    """The documents of a stored file that has passed all checks.

    Raises:
        CorpusError: it is not there anymore, or not what it was.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"corpus {path.parent}: {path.name} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CorpusError(f"corpus {path.parent}: {path.name} was changed while it was in use; run again")
    return _documents(content, is_safe=True)


def _documents(content: bytes, *, is_safe: bool) -> tuple[Document, ...]:
    """The documents of a Parquet file.

    Args:
        content: of the file.
        is_safe: whether it was read before, and did not fill the memory.

    Raises:
        CorpusError: it is damaged, or its columns are not those of a corpus.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False) if is_safe else None
        table = with_current_names(read_table(content) if rows is None else rows)
        if not table.schema.equals(pa.schema(document_columns(column_names=table.column_names))):
            raise CorpusError("its columns are not those of a corpus")
        return tuple(documents_of(table))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"it is damaged: {first_line(error)}") from error


def _digest(fields: Mapping[str, object]) -> str:
    return hashlib.sha256(strict_json(fields).encode("utf-8")).hexdigest()


def _refuse_difference(folder: Path, corpus: Corpus) -> None:
    stored = load_folder(folder)
    if stored.sha256 != corpus.sha256:
        raise CorpusError(
            f"corpus {corpus.name}: {folder} holds other documents under this name "
            f"({stored.sha256[:16]}, not {corpus.sha256[:16]}) and is never overwritten; choose another name"
        )
    for old, new in zip(stored.documents, corpus.documents, strict=True):
        # A second crawl of the same text differs in when it was fetched, and in nothing that matters.
        if dataclasses.replace(old, fetched_at=None) != dataclasses.replace(new, fetched_at=None):
            changed = [key for key, value in document_row(new).items() if getattr(old, key) != value]
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
