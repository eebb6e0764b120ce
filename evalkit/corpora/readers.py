"""Rows out of files, folders and hub datasets, each with its place for messages.

A row is what a format gives for one document: its columns, with the text among them, not yet judged. To read
another format, add a function that yields `Rows` and call it from `read_rows`; which columns mean what, and
what is refused, `evalkit.corpora.importers` decides for all formats alike.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.corpora.file_kinds import (
    COMPRESSED_SUFFIXES,
    FileContent,
    check_fits_memory,
    check_is_text,
    read_content,
    readable_name,
    without_compression,
)
from evalkit.corpora.folder_files import MAX_NAMED_FILES, check_saved_dataset, folder_files
from evalkit.corpora.parquet import bounded_batches
from evalkit.errors import CorpusError, UsageError, did_you_mean, first_line
from evalkit.extras import check_extra
from evalkit.files import file_sha256
from evalkit.hub_errors import HubRepository, hub_message
from evalkit.near_paths import near_paths

if TYPE_CHECKING:
    import datasets

HUB_PREFIX = "hub:"
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
CSV_DELIMITERS = {".csv": ",", ".tsv": "\t"}
FILE_SUFFIXES = (*JSON_SUFFIXES, *CSV_DELIMITERS, ".parquet", ".txt", ".md", *COMPRESSED_SUFFIXES)
"""Endings by which a mistyped path is told from a mistyped name; files with others are read too."""

_BATCH_ROWS = 1000
_COMMIT = re.compile("[0-9a-f]{40}")

Rows = Iterable[tuple[str, Mapping[str, object]]]
"""Where a document stands in its input, e.g. ``news.jsonl: line 3``, and its columns."""


class HubDataset(NamedTuple):
    """A dataset on the Hugging Face Hub at one commit."""

    repo: str
    config: str | None
    revision: str


def parse_hub_id(hub_id: str, revision: str | None = None) -> HubDataset:
    """Parse ``hub:OWNER/NAME[/CONFIG][@REVISION]``.

    Raises:
        UsageError: it has another form, or neither it nor ``revision`` is a full commit hash.
    """
    target, _, pinned = hub_id.removeprefix(HUB_PREFIX).partition("@")
    parts = target.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"{hub_id}: a hub dataset is written hub:OWNER/NAME@REVISION")
    if pinned and revision and pinned != revision:
        raise UsageError(f"{hub_id}: --revision {revision} is another revision; give one of the two")
    commit = pinned or revision or ""
    if not _COMMIT.fullmatch(commit):
        raise UsageError(
            f"{hub_id}: a dataset on the Hub can change, so its commit must be given: write "
            f"hub:{target}@COMMIT with the 40 hex digits shown at "
            f"https://huggingface.co/datasets/{parts[0]}/{parts[1]}/commits/main"
        )
    return HubDataset(f"{parts[0]}/{parts[1]}", parts[2] if len(parts) == 3 else None, commit)


def type_name(value: object) -> str:
    """What JSON calls the type of a value."""
    names: dict[type, str] = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)


def read_rows(
    name: str,
    columns: Collection[str],
    num_dropped: Counter[str],
    provenance: dict[str, str],
    *,
    revision: str | None,
    split: str | None,
    column_option: str | None,
) -> Rows:
    """Rows of any input that `evalkit.corpora.importers.read_documents` names, in its order, read as they go.

    Args:
        name: a path or ``hub:OWNER/NAME[/CONFIG][@REVISION]``.
        columns: those that matter in a table; the others are not even decoded.
        num_dropped: here is counted what is left out before it is a row.
        provenance: here goes what pins the input.
        revision: commit of a hub dataset.
        split: of a dataset.
        column_option: the option, if any, that names a column: an input without columns will not do then.

    Raises:
        UsageError: an option is missing or does not apply to this input.
        CorpusError: the input cannot be read.
    """
    if name.startswith(HUB_PREFIX):
        hub = parse_hub_id(name, revision)
        provenance["input"] = HUB_PREFIX + "/".join(filter(None, [hub.repo, hub.config]))
        provenance["revision"] = hub.revision
        return _hub_rows(name, hub, split, columns, provenance)
    if revision:
        raise UsageError(f"{name}: --revision is for a dataset on the Hub: write hub:OWNER/NAME")
    path = Path(name)
    provenance["input"] = readable_name(path.resolve().name)
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        return _saved_dataset_rows(path, split, columns, provenance)
    if split:
        raise UsageError(f"{name}: --split is for a dataset; this is a plain file or folder")
    try:
        if path.is_dir():
            return _folder_rows(name, path, columns, num_dropped, column_option)
        if path.exists() and not path.is_file():  # its content could not be read twice
            raise CorpusError(f"{name}: it is a pipe or a device; write its content to a file and give that")
        check_fits_memory(path)
        provenance["input_sha256"] = file_sha256(path)
        return _file_rows(name, path, columns, column_option)
    except OSError as error:
        near = did_you_mean(near_paths(name))
        problem = f"{error.strerror or error}{near and f'.{near}'}"
        raise CorpusError(f"{name}: it cannot be read: {problem}") from error


def _folder_rows(
    name: str, folder: Path, columns: Collection[str], num_dropped: Counter[str], column_option: str | None
) -> Rows:
    """Rows of a folder's Parquet files if it has any, else a row for each of its files.

    Files that cannot be read as text are left out, counted and named.
    """
    files = folder_files(folder, num_dropped)
    parquet = [file for file in files if _ending(file) == ".parquet"]
    if parquet:
        if len(files) > len(parquet):
            num_dropped["not a Parquet file"] += len(files) - len(parquet)
        return (row for file in parquet for row in _parquet_rows(file, columns))
    if files and all(_ending(file) in (*JSON_SUFFIXES, *CSV_DELIMITERS) for file in files):
        raise UsageError(f"{name}: a folder of JSON or CSV files; give them one at a time")
    _refuse_column_option(name, column_option)
    return _text_rows(folder, files, num_dropped)


def _text_rows(folder: Path, files: Iterable[Path], num_dropped: Counter[str]) -> Rows:
    num_unreadable = 0
    for file in files:
        title = file.relative_to(folder)
        # A .json file may be one document, such as a program's settings; a table never is.
        if _ending(file) in (".jsonl", ".ndjson", *CSV_DELIMITERS):
            num_dropped["table in a folder of texts"] += 1
            continue
        try:
            row = _text_row(file, title)
        except CorpusError as error:
            num_unreadable += 1
            reason = str(error).removeprefix(f"{file}: ")
            is_named = num_unreadable <= MAX_NAMED_FILES
            name = readable_name(title.as_posix())
            num_dropped[f"unreadable: {name}: {reason}" if is_named else "unreadable, not named"] += 1
            continue
        yield row


def _file_rows(name: str, path: Path, columns: Collection[str], column_option: str | None) -> Rows:
    if path.suffix.lower() == ".parquet":  # its parts are compressed already, and it may be large
        return _parquet_rows(path, columns)
    content = read_content(path)
    if content.ending == ".parquet":
        return _parquet_rows(path, columns, content.data)
    if content.ending in JSON_SUFFIXES:
        return _json_rows(path, content)
    if content.ending in CSV_DELIMITERS:
        check_is_text(str(path), content)
        return _csv_rows(path, content)
    _refuse_column_option(name, column_option)
    return [_text_row(path, Path(path.name), content)]


def _ending(path: Path) -> str:
    return Path(without_compression(path.name)).suffix.lower()


def _refuse_column_option(name: str, column_option: str | None) -> None:
    if column_option:
        raise UsageError(f"{name}: {column_option} is for files with columns; this is plain text")


def _text_row(
    path: Path, title: Path, content: FileContent | None = None
) -> tuple[str, Mapping[str, object]]:
    """The row of a file that is one document.

    Args:
        path: the file.
        title: its path as the document's title has it.
        content: what is in it, if that is read already.
    """
    try:
        content = content or read_content(path)
    except OSError as error:
        raise CorpusError(f"{path}: it cannot be read: {error.strerror}") from error
    check_is_text(str(path), content)
    text = _decoded(str(path), content.data)
    return str(path), {"text": text, "title": readable_name(without_compression(title.as_posix()))}


def _decoded(place: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{place}: not UTF-8 at byte {error.start} ({error.reason}); convert it or leave it out"
        ) from None


def _csv_rows(path: Path, content: FileContent) -> Rows:
    """Rows of a table whose first line names its columns, quoted as RFC 4180 has it."""
    text = _decoded(str(path), content.data.removeprefix(b"\xef\xbb\xbf"))
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # a text is often longer than 128 KiB
    table = csv.reader(io.StringIO(text, newline=""), delimiter=CSV_DELIMITERS[content.ending], strict=True)
    names: list[str] | None = None
    try:
        for values in table:
            place = f"{path}: line {table.line_num}"
            if not values:
                continue
            if names is None:
                names = values
                if len(set(names)) < len(names):
                    raise CorpusError(f"{place}: two columns of one name among {', '.join(names)}")
            elif len(values) != len(names):
                raise CorpusError(f"{place}: {len(values)} fields under {len(names)} columns; quote the text")
            else:
                yield place, dict(zip(names, values, strict=True))
    except csv.Error as error:
        raise CorpusError(
            f"{path}: line {table.line_num}: not valid {content.ending[1:].upper()}: {error}"
        ) from None


def _json_rows(path: Path, content: FileContent) -> Rows:
    """Rows of a JSON list, or of JSON lines where the first thing in the file is not a list."""
    data = content.data.removeprefix(b"\xef\xbb\xbf")  # marks the file's encoding; no part of a text in it
    if content.ending == ".json" and data.lstrip()[:1] not in (b"{", b""):
        rows = _parsed(str(path), _decoded(str(path), data))
        if not isinstance(rows, list):
            raise CorpusError(f"{path}: {type_name(rows)}, not a list of texts or objects")
        for number, row in enumerate(rows, start=1):
            yield _json_row(f"{path}: item {number}", row)
        return
    for number, line in enumerate(data.split(b"\n"), start=1):
        place = f"{path}: line {number}"
        if line.strip():
            yield _json_row(place, _parsed(place, _decoded(place, line)))


def _parsed(place: str, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = "" if error.lineno == 1 else f"line {error.lineno}, "
        raise CorpusError(f"{place}: not valid JSON: {error.msg} ({line}column {error.colno})") from None
    except (RecursionError, ValueError) as error:  # too deep; an integer of thousands of digits
        raise CorpusError(f"{place}: not usable JSON: {error}") from None


def _json_row(place: str, row: object) -> tuple[str, Mapping[str, object]]:
    if row is None or isinstance(row, str):
        return place, {"text": row}
    if isinstance(row, dict):
        return place, row
    raise CorpusError(f"{place}: {type_name(row)}, neither a text nor an object")


def _parquet_rows(path: Path, columns: Collection[str], data: bytes | None = None) -> Rows:
    """Rows of a Parquet file, of which ``data`` is the content where the file itself is compressed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = path if data is None else data
    try:
        names = pq.read_schema(path if data is None else pa.BufferReader(data)).names
        tables = (batch.to_pylist() for batch in bounded_batches(source, columns))
        yield from _numbered(str(path), names, tables)
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:  # two of odd times
        raise CorpusError(f"{path}: not a readable Parquet file: {first_line(error)}") from error


def _saved_dataset_rows(
    path: Path, split: str | None, columns: Collection[str], provenance: dict[str, str]
) -> Rows:
    check_extra("datasets")
    import datasets
    import pyarrow as pa

    try:
        check_saved_dataset(path)
        dataset = datasets.load_from_disk(str(path))
        yield from _dataset_rows(str(path), dataset, split, columns, provenance)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path}: not a readable datasets folder: {first_line(error)}") from error


def _hub_rows(
    name: str, hub: HubDataset, split: str | None, columns: Collection[str], provenance: dict[str, str]
) -> Rows:
    check_extra("datasets")
    import datasets
    import pyarrow as pa
    from httpx2 import TransportError

    failures = (datasets.exceptions.DatasetsError, pa.ArrowException, OSError, ValueError, TransportError)
    try:
        dataset = datasets.load_dataset(hub.repo, hub.config, revision=hub.revision, split=split)
        _check_commit(name, dataset, hub.revision)
        yield from _dataset_rows(name, dataset, split, columns, provenance)
    except failures as error:
        repository = HubRepository(hub.repo, "dataset", hub.revision)
        # `datasets` makes errors of its own of the hub client's.
        message = hub_message(
            error.__cause__ or error, repository, ": connect once, or give the path of a copy"
        )
        raise CorpusError(f"{name}: the Hub did not give it: {message or first_line(error)}") from error


def _check_commit(name: str, dataset: "datasets.Dataset | datasets.DatasetDict", revision: str) -> None:
    """Refuse another commit: where the hub is out of reach, `datasets` takes the last one that it has."""
    parts = dataset.values() if isinstance(dataset, dict) else [dataset]
    # The cache has a folder per commit.
    folders = {Path(file["filename"]).parent.name for part in parts for file in part.cache_files}
    for folder in sorted(folders - {revision}):
        if _COMMIT.fullmatch(folder):
            raise CorpusError(
                f"{name}: the Hub is out of reach, and what this machine has of it is commit {folder}: "
                "connect once, or give that commit"
            )


def _dataset_rows(
    name: str,
    dataset: "datasets.Dataset | datasets.DatasetDict",
    split: str | None,
    columns: Collection[str],
    provenance: dict[str, str],
) -> Rows:
    """Rows of a dataset, or of the split of that name, or the only one, of several."""
    if isinstance(dataset, dict):
        splits = list(dataset)
        if split not in splits and (split or len(splits) != 1):
            raise UsageError(f"{name}: give --split as one of {', '.join(splits)}")
        split = split or splits[0]
        dataset = dataset[split]
    provenance["split"] = str(dataset.split or split)
    read_names = [column for column in dataset.column_names if column in columns]
    tables = dataset.select_columns(read_names).with_format("arrow").iter(batch_size=_BATCH_ROWS)
    yield from _numbered(name, dataset.column_names, (table.to_pylist() for table in tables))


def _numbered(
    name: str, columns: Iterable[str], batches: Iterable[list[dict[str, object]]]
) -> Iterator[tuple[str, dict[str, object]]]:
    everything = dict.fromkeys(columns)  # a message names the columns that were not decoded too
    number = 0
    for batch in batches:
        for row in batch:
            number += 1
            yield f"{name}: row {number}", everything | row
