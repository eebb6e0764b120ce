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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.corpora.dataset_card import dataset_card
from evalkit.corpora.document import UNKNOWN, Corpus, records_sha256
from evalkit.corpora.incomplete import incomplete_text
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.published import CORPUS_FILE, DATASET_FILES, PARQUET_NAME, table_schema
from evalkit.corpora.tables import columns_of, document_row
from evalkit.errors import CorpusError, UsageError
from evalkit.files import atomic_write, locked, parse_json, strict_json
from evalkit.hub_errors import HubRepository, hub_errors

if TYPE_CHECKING:
    import pyarrow as pa


class PreparedDataset(NamedTuple):
    """A dataset's folder, and how many documents it has with and without their text."""

    folder: Path
    num_published: int
    """Documents with their text."""
    num_withheld: int
    """Documents without."""


def check_repo(repo: str, origin: str = "--repo") -> None:
    """Refuse a name that no dataset on the Hub can have.

    Args:
        repo: the name.
        origin: where it was said, for the message.

    Raises:
        UsageError: it is not ``OWNER/NAME``.
    """
    valid = all(re.fullmatch(r"\w[\w.-]*\w|\w", part, re.ASCII) for part in repo.split("/"))
    if repo.count("/") != 1 or len(repo) > 96 or "--" in repo or ".." in repo:
        valid = False
    if not valid:
        raise UsageError(f"{origin} {repo!r} is not the name of a dataset on the Hub; write OWNER/NAME")


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
    schemas = {config: table_schema(with_text=config == "data", column_names=columns) for config in tables}
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
            allow_patterns=list(DATASET_FILES),
        )
    return str(commit.oid)


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
