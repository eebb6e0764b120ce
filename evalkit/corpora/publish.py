"""A corpus as a dataset for the Hugging Face Hub: text where its license allows, else how to get it again.

The folder that `prepare_dataset` writes is the dataset repository:

    README.md                                card with YAML metadata: configs, licenses, languages, size
    corpus.json                              the corpus's manifest, with its digest and provenance
    data/test-00000-of-00001.parquet         documents whose license lets anybody publish them
    manifest/test-00000-of-00001.parquet     all others, without their text and title

Both tables have the fields of `evalkit.corpora.store.Document` and ``position``, the document's place in the
corpus. ``evalkit corpora rebuild`` makes the whole corpus of it again: it fetches what is not here from
where it was published and accepts it only with the SHA-256 that stands here.

The same corpus gives the same bytes.
"""

import dataclasses
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.corpora.dataset_card import dataset_card
from evalkit.corpora.document import (
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    UNKNOWN,
    Corpus,
    Document,
    Manifest,
    counts,
    document_problems,
    is_the_stored_text,
    records_sha256,
)
from evalkit.corpora.incomplete import incomplete_text
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.parquet import check_rows
from evalkit.corpora.readers import HUB_PREFIX, parse_hub_id
from evalkit.corpora.tables import (
    CONDITIONAL_FIELDS,
    FIELD_NAMES,
    columns_of,
    document_columns,
    document_of,
    document_row,
    with_current_names,
)
from evalkit.errors import CorpusError, UsageError, first_line
from evalkit.files import atomic_write, locked, parse_json, strict_json
from evalkit.hub_errors import HubRepository, hub_errors

if TYPE_CHECKING:
    import pyarrow as pa

CORPUS_FILE = "corpus.json"
PARQUET_NAME = "test-00000-of-00001.parquet"
WITHHELD_FIELDS = ("text", "title", *CONDITIONAL_FIELDS)
_FILES = ["README.md", CORPUS_FILE, f"data/{PARQUET_NAME}", f"manifest/{PARQUET_NAME}"]


class PreparedDataset(NamedTuple):
    """A dataset's folder, and how many documents it has with and without their text."""

    folder: Path
    num_published: int
    """Documents with their text."""
    num_withheld: int
    """Documents without."""


class PublishedDataset(NamedTuple):
    """A corpus as far as its dataset has it: all but the texts that may not be republished."""

    manifest: Manifest
    """Without the digest of the records."""
    documents: dict[int, Document]
    """By position: those whose text is there."""
    withheld: dict[int, Document]
    """By position: the others; their `Document.text` is empty, everything else is the true document's."""


def check_repo(repo: str) -> None:
    """Refuse a name that no dataset on the Hub can have.

    Raises:
        UsageError: it is not ``OWNER/NAME``.
    """
    valid = all(re.fullmatch(r"\w[\w.-]*\w|\w", part, re.ASCII) for part in repo.split("/"))
    if repo.count("/") != 1 or len(repo) > 96 or "--" in repo or ".." in repo:
        valid = False
    if not valid:
        raise UsageError(f"--repo {repo!r} is not the name of a dataset on the Hub; write OWNER/NAME")


def prepare_dataset(corpus: Corpus, repo: str, folder: Path) -> PreparedDataset:
    """Write the dataset repository of a corpus into a folder.

    Args:
        corpus: what to publish.
        repo: ``OWNER/NAME`` under which it will be found; the card says how to load it.
        folder: new, empty, or written for the same corpus before.

    Raises:
        UsageError: ``repo`` is malformed.
        CorpusError: the corpus is incomplete, the folder holds something else or cannot be written, or a
            document can neither be published nor fetched again because it has no URL.
    """
    check_repo(repo)
    if corpus.manifest.incomplete:
        raise CorpusError(
            f"corpus {corpus.name} is incomplete ({incomplete_text(corpus.manifest)}); complete it by the "
            "command that made it, then publish it"
        )
    published = [may_republish(document.license) for document in corpus.documents]
    _refuse_lost(corpus, published)
    _check_folder(folder, corpus)
    tables = {
        config: [
            {"position": position, **document_row(document)}
            for position, document in enumerate(corpus.documents)
            if published[position] is has_text
        ]
        for config, has_text in (("data", True), ("manifest", False))
    }
    columns = columns_of(corpus.documents)
    schemas = {config: _schema(with_text=config == "data", column_names=columns) for config in tables}
    card = dataset_card(corpus, repo, published, PARQUET_NAME)
    try:
        with locked(folder):
            for config, rows in tables.items():
                path = folder / config / PARQUET_NAME
                if rows:
                    with atomic_write(path) as temporary:
                        temporary.write_bytes(_parquet(rows, schemas[config]))
                else:
                    path.unlink(missing_ok=True)
            with atomic_write(folder / CORPUS_FILE) as temporary:
                temporary.write_text(_corpus_json(corpus, published), encoding="utf-8")
            with atomic_write(folder / "README.md") as temporary:
                temporary.write_text(card, encoding="utf-8")
    except OSError as error:
        raise CorpusError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}; make room there or "
            "give another --output"
        ) from error
    return PreparedDataset(folder, sum(published), len(published) - sum(published))


def push_dataset(folder: Path, repo: str, *, private: bool = False) -> str:
    """Upload a prepared folder in one commit, making the repository where there is none.

    A repository that holds another corpus is left as it is: numbers that were measured on a published
    corpus must stay true.

    Returns:
        The commit, 40 hex digits, by which the dataset is to be pinned.

    Raises:
        CorpusError: the repository holds something else, access is refused, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    local = parse_json((folder / CORPUS_FILE).read_bytes())
    api = HfApi()
    later = f": the folder {folder} is complete: try again later"
    with hub_errors(CorpusError, HubRepository(repo, "dataset"), later):
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        try:
            remote = parse_json(Path(hf_hub_download(repo, CORPUS_FILE, repo_type="dataset")).read_bytes())
        except RemoteEntryNotFoundError:
            remote = None
        if remote is not None and remote.get("sha256") != local["sha256"]:
            raise CorpusError(
                f"{repo} holds the corpus {remote.get('name')} ({str(remote.get('sha256'))[:16]}, not "
                f"{local['sha256'][:16]}), and what is published is never replaced; choose another --repo"
            )
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type="dataset",
            commit_message=f"evalkit corpus {local['name']} {local['sha256'][:16]}",
            allow_patterns=_FILES,
        )
    return str(commit.oid)


def fetch_dataset(path_or_hub_id: str) -> Path:
    """The folder of a published corpus: as it is, or downloaded from ``hub:OWNER/NAME@REVISION``.

    Raises:
        UsageError: there is no such folder, or a hub dataset is not pinned to a commit.
        CorpusError: the Hub does not have it, refuses it, or cannot be reached.
    """
    if not path_or_hub_id.startswith(HUB_PREFIX):
        folder = Path(path_or_hub_id)
        if not folder.is_dir():
            raise UsageError(
                f"{path_or_hub_id}: no such folder; a dataset is written hub:OWNER/NAME@REVISION"
            )
        return folder
    from huggingface_hub import snapshot_download

    hub = parse_hub_id(path_or_hub_id)
    repository = HubRepository(hub.repo, "dataset", hub.revision)
    with hub_errors(CorpusError, repository, ": connect once, or give the path of a copy"):
        return Path(
            snapshot_download(hub.repo, repo_type="dataset", revision=hub.revision, allow_patterns=_FILES)
        )


def read_dataset(folder: Path) -> PublishedDataset:
    """What a prepared or downloaded dataset folder says of its corpus.

    Raises:
        CorpusError: it is not such a folder, or is damaged or incomplete.
    """
    manifest = _manifest(folder)
    documents = _read_table(folder / "data" / PARQUET_NAME, with_text=True)
    withheld = _read_table(folder / "manifest" / PARQUET_NAME, with_text=False)
    positions = sorted([*documents, *withheld])
    if len(positions) != manifest.num_documents or positions != list(range(len(positions))):
        raise CorpusError(
            f"{folder}: it has {len(positions)} documents, not the {manifest.num_documents} that "
            f"{CORPUS_FILE} says; fetch it again"
        )
    everything = documents | withheld
    _check_columns(folder, manifest, [everything[position] for position in positions])
    for document in documents.values():
        if not is_the_stored_text(document):
            raise CorpusError(
                f"{folder}: the text of document {document.id} is not the one that was published, or its "
                "num_bytes or sha256 is another's; fetch it again"
            )
    # The records' digest was that of the tables, which lack titles that the corpus has.
    return PublishedDataset(dataclasses.replace(manifest, records_sha256=None), documents, withheld)


def _check_columns(folder: Path, manifest: Manifest, documents: Sequence[Document]) -> None:
    """That every column of the tables is as documents have it, and what the manifest says of all together."""
    if problems := document_problems(documents):
        raise CorpusError(f"{folder}: {problems[0]}; fetch it again")
    for key, value in counts(tuple(documents))._asdict().items():
        stated = getattr(manifest, key)
        if stated != value and not (key == "records_sha256" and stated is None):
            raise CorpusError(
                f"{folder}: {CORPUS_FILE} does not belong to its tables: {key} is {stated!r}, the tables "
                f"give {value!r}; fetch it again"
            )


def _read_table(path: Path, *, with_text: bool) -> dict[int, Document]:
    """The documents of a table by their position; none where there is no such file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return {}
    try:
        check_rows(path)
        schema = _schema(with_text=with_text, column_names=pq.read_schema(path).names)
        table = pq.read_table(path, schema=schema)  # a missing column would be one of nulls
        rows = with_current_names(table).to_pylist()  # which finds texts that are not UTF-8
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"{path}: it is damaged: {first_line(error)}") from error
    missing = [field.name for field in schema if not field.nullable and table[field.name].null_count]
    if missing:
        raise CorpusError(f"{path}: it is damaged: it has no {' and no '.join(missing)}; fetch it again")
    documents: dict[int, Document] = {}
    for row in rows:
        position = row.pop("position")
        if position in documents:
            raise CorpusError(f"{path}: it is damaged: two documents at position {position}")
        documents[position] = document_of({"text": "", "title": None, **row})
    return documents


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = Manifest(**parse_json((folder / CORPUS_FILE).read_bytes()))
        if manifest.schema_version not in READABLE_VERSIONS:
            raise ValueError(f"schema version {manifest.schema_version!r}, not {SCHEMA_VERSION}")
        manifest = dataclasses.replace(manifest, schema_version=SCHEMA_VERSION)
        texts = [manifest.name, manifest.description, manifest.sha256, *manifest.provenance.values()]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("what should be a text is none")
        if not all(isinstance(n, int) for n in (manifest.num_documents, *manifest.num_dropped.values())):
            raise ValueError("what should be a number is none")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"{folder}: no dataset of an evalkit corpus: {CORPUS_FILE} cannot be read ({first_line(error)})"
        ) from error
    return manifest


def _refuse_lost(corpus: Corpus, published: Sequence[bool]) -> None:
    """Refuse documents that nobody could get again."""
    lost = [
        document
        for document, has_text in zip(corpus.documents, published, strict=True)
        if not has_text and not (document.url and document.context is None and document.choices is None)
    ]
    if lost:
        raise CorpusError(
            f"corpus {corpus.name}: {len(lost)} documents (the first is {lost[0].id}) may not be published "
            f"(license {lost[0].license or UNKNOWN}) and have no URL to fetch them from again, or a context "
            "that no URL gives; make a corpus without them, or import them with the license that you hold"
        )


def _check_folder(folder: Path, corpus: Corpus) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    try:
        if not folder.exists():
            return
        stored_sha256 = parse_json((folder / CORPUS_FILE).read_bytes())["sha256"]
    except (OSError, ValueError, TypeError, KeyError):
        stored_sha256 = None
    if stored_sha256 != corpus.sha256:
        raise CorpusError(f"{folder}: it holds something else than corpus {corpus.name}; give a new --output")


def _corpus_json(corpus: Corpus, published: Sequence[bool]) -> str:
    # When and in which file it was stored here is of this machine and no part of the corpus. The records'
    # digest is of what the tables hold, for what they withhold cannot be checked by who reads them.
    shown = [
        document if has_text else dataclasses.replace(document, title=None)
        for document, has_text in zip(corpus.documents, published, strict=True)
    ]
    manifest = dataclasses.replace(
        corpus.manifest,
        created=None,
        parquet_file=None,
        parquet_sha256=None,
        records_sha256=records_sha256(shown),
    )
    fields = dataclasses.asdict(manifest)
    del fields["incomplete"]  # only whole ones are published
    return strict_json(fields)


def _schema(*, with_text: bool, column_names: Collection[str]) -> "pa.Schema":
    """The schema of a table that has these columns."""
    import pyarrow as pa

    names = [name for name in FIELD_NAMES if with_text or name not in WITHHELD_FIELDS]
    position = pa.field("position", pa.int64(), nullable=False)
    return pa.schema([position, *document_columns(names, column_names)])


def _parquet(rows: Sequence[Mapping[str, object]], schema: "pa.Schema") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [{name: row[name] for name in schema.names} for row in rows]
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(columns, schema=schema),
        sink,
        compression="zstd",
        compression_level=9,
        row_group_size=1000,
    )
    return sink.getvalue()
