"""A published corpus read again: from a folder or the Hub, checked against what its ``corpus.json`` says.

`evalkit.corpora.publish` says what such a folder holds.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.corpora.document import (
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    Corpus,
    Document,
    Manifest,
    counts,
    document_problems,
    is_the_stored_text,
    make_corpus,
)
from evalkit.corpora.names import PARTIAL_ENDING
from evalkit.corpora.parquet import check_rows
from evalkit.corpora.readers import HUB_PREFIX, parse_hub_id
from evalkit.corpora.tables import (
    CONDITIONAL_FIELDS,
    FIELD_NAMES,
    document_columns,
    document_of,
    with_current_names,
)
from evalkit.errors import CorpusError, UsageError, first_line
from evalkit.files import parse_json
from evalkit.hub_errors import HubRepository, bars_on_terminals_only, hub_errors

if TYPE_CHECKING:
    import pyarrow as pa

CORPUS_FILE = "corpus.json"
PARQUET_NAME = "test-00000-of-00001.parquet"
WITHHELD_FIELDS = ("text", "title", *CONDITIONAL_FIELDS)
DATASET_FILES = ("README.md", CORPUS_FILE, f"data/{PARQUET_NAME}", f"manifest/{PARQUET_NAME}")


class PublishedDataset(NamedTuple):
    """A corpus as far as its dataset has it: all but the texts that may not be republished."""

    manifest: Manifest
    """Without the digest of the records."""
    documents: dict[int, Document]
    """By position: those whose text is there."""
    withheld: dict[int, Document]
    """By position: the others; their `Document.text` is empty, everything else is the true document's."""


def fetch_dataset(path_or_hub_id: str) -> Path:
    """The folder of a published corpus: as it is, or downloaded from ``hub:OWNER/NAME[/CORPUS]@REVISION``.

    With a corpus's name, that one of a repository of several (`evalkit.corpora.collection`).

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

    bars_on_terminals_only()
    hub = parse_hub_id(path_or_hub_id)
    repository = HubRepository(hub.repo, "dataset", hub.revision)
    inside = f"{hub.config}/" if hub.config else ""
    patterns = [f"{inside}{name}" for name in DATASET_FILES]
    with hub_errors(CorpusError, repository, ": connect once, or give the path of a copy"):
        snapshot = snapshot_download(
            hub.repo, repo_type="dataset", revision=hub.revision, allow_patterns=patterns
        )
    return Path(snapshot, inside)


def read_dataset(folder: Path) -> PublishedDataset:
    """What a prepared or downloaded dataset folder says of its corpus.

    Raises:
        CorpusError: it is not such a folder, or is damaged or incomplete.
    """
    manifest = read_corpus_file(folder)
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


def dataset_corpus(
    dataset: PublishedDataset, documents: Mapping[int, Document], missing: Mapping[str, int], origin: str
) -> Corpus:
    """The corpus that a dataset is of if nothing is missing, else one of its own, ``NAME-partial``.

    Args:
        dataset: what was published.
        documents: with their texts, by position.
        missing: how many are not among them, by reason.
        origin: where the dataset came from, for the provenance.

    Raises:
        CorpusError: nothing is missing and the digest is still not the published one, or there are no
            documents.
    """
    original = dataset.manifest
    corpus = make_corpus(
        f"{original.name}{PARTIAL_ENDING}" if missing else original.name,
        [documents[position] for position in sorted(documents)],
        description=original.description,
        date_from=original.date_from,
        date_to=original.date_to,
        provenance={**original.provenance, "rebuilt_from": origin},
        num_dropped={**original.num_dropped, **missing},
    )
    if not missing and corpus.sha256 != original.sha256:
        raise CorpusError(
            f"corpus {original.name}: every text is right but its digest is {corpus.sha256[:16]}, not "
            f"{original.sha256[:16]}: the dataset's corpus.json does not belong to its tables"
        )
    return corpus


def _read_table(path: Path, *, with_text: bool) -> dict[int, Document]:
    """The documents of a table by their position; none where there is no such file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return {}
    try:
        check_rows(path)
        schema = table_schema(with_text=with_text, column_names=pq.read_schema(path).names)
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


def read_corpus_file(folder: Path) -> Manifest:
    """What the ``corpus.json`` of a dataset's folder says.

    Raises:
        CorpusError: it cannot be read, or is none.
    """
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


def table_schema(*, with_text: bool, column_names: Collection[str]) -> "pa.Schema":
    """The schema of a table that has these columns."""
    import pyarrow as pa

    names = [name for name in FIELD_NAMES if with_text or name not in WITHHELD_FIELDS]
    position = pa.field("position", pa.int64(), nullable=False)
    return pa.schema([position, *document_columns(names, column_names)])
