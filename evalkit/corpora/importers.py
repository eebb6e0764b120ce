"""Documents out of other people's files: JSON, JSONL, CSV, text, Parquet, `datasets` folders, hub datasets.

Texts are kept exactly as they are: nothing is stripped, normalized, translated or cut, and a byte
order mark in a text file stays part of its text. What cannot be kept exactly is refused with the file
and the place. Rows without a text (null), empty texts and exact repetitions of an earlier text are left out
and counted.

To bring texts of your own, write JSONL or Parquet with a row per document: ``text``, and of `Document`'s
other fields those that you have (``published_at``, ``source``, ``license``, ``url``, ``title``, ``language``,
``cluster``); what every document shares can be given once instead (``--source``, ``--license``,
``--date-from`` and ``--date-to``). A program makes documents with `evalkit.corpora.store.make_document`, a
corpus of them with `make_corpus`, and gives it to `evalkit.run` or `save_corpus`. A new file format is a
reader's business: see `evalkit.corpora.readers`. Which columns are a text and its context is decided in
`evalkit.corpora.conditional`.

Uncheatable Eval's formats are read as published: until 2025 a JSON list of strings in a file named
``<source>_YYYYMMDDtoYYYYMMDD.json``, since then JSONL or Parquet with ``content``, ``category``,
``url`` and ``date``.
"""

import datetime as dt
import os
import re
from collections import Counter
from collections.abc import Container, Mapping
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

from evalkit.corpora.conditional import CONDITIONAL_COLUMNS, NamedColumns, RowText, row_text
from evalkit.corpora.document import UNKNOWN, Corpus, Document, make_corpus, make_document
from evalkit.corpora.file_kinds import without_compression
from evalkit.corpora.licenses import checked_license
from evalkit.corpora.readers import HUB_PREFIX, parse_hub_id, read_rows, type_name
from evalkit.corpora.tables import FIELD_NAMES, OLD_NAMES, OLDEST_FIELD_NAMES
from evalkit.dates import parse_day, utc_date
from evalkit.errors import CorpusError, UsageError
from evalkit.files import slug
from evalkit.version import __version__

_UNSTATED_LICENSES = (UNKNOWN, "noassertion")
"""The latter is SPDX's way to state none."""
_COLUMNS = (
    *FIELD_NAMES,
    *("content", "category", "date"),  # Uncheatable Eval's names
    *CONDITIONAL_COLUMNS,
)


MAX_SPLIT_VALUES = 1000
"""More values than this of a column are no categories: each would be a corpus of its own."""


class ReadOptions(TypedDict, total=False):
    """What `read_documents` and its like are told beside the input; each may be left out."""

    source: str | None
    """For documents that do not state theirs; before a ``category`` column."""
    license: str | None
    """For documents that do not state theirs: an SPDX expression, or a name or address of one."""
    language: str | None
    """For documents that do not state theirs."""
    date_from: str | None
    """First day; with ``date_to``, documents dated outside are left out and counted."""
    date_to: str | None
    """Last day, included; it must have come."""
    revision: str | None
    """Commit of a hub dataset whose id has none."""
    split: str | None
    """Which split of a dataset; may be left out where there is only one."""
    text_column: str | None
    """Column or key that holds the text; by default ``text``, else ``content``, else ``continuation`` or
    ``completion``."""
    context_column: str | None
    """Column or key of what stands before the text and is not paid for; by default ``context`` beside
    ``continuation``, ``prompt`` beside ``completion``."""


class ImportedDocuments(NamedTuple):
    """What `read_documents` found."""

    documents: list[Document]
    num_dropped: dict[str, int]
    """Documents and files that were left out, by reason."""
    provenance: dict[str, str]
    """``program``, ``input``, and what pins the input: its SHA-256 or its revision."""

    def corpus(
        self, name: str, verb: str, date_from: str | None = None, date_to: str | None = None
    ) -> Corpus:
        """A corpus of the documents, described as ``verb`` and the input; see `make_corpus`."""
        return make_corpus(
            name,
            self.documents,
            description=f"{verb} {self.provenance['input']}",
            date_from=date_from,
            date_to=date_to,
            provenance=self.provenance,
            num_dropped=self.num_dropped,
        )


def name_of_input(path_or_hub_id: str | os.PathLike[str]) -> str:
    """The name of a corpus that is read on the spot: the file's without its ending, or the dataset's."""
    name = os.fspath(path_or_hub_id)
    if name.startswith(HUB_PREFIX):
        hub = parse_hub_id(name)
        return slug("-".join(filter(None, [hub.repo.partition("/")[2], hub.config])))
    path = Path(name).resolve()
    return slug(path.name if path.is_dir() else Path(without_compression(path.name)).stem)


def dates_of_file_name(path: str | os.PathLike[str]) -> tuple[str | None, str | None]:
    """First and last day that Uncheatable Eval's file names state; None twice for other names."""
    match = re.search(r"_(\d{8})to(\d{8})\.jsonl?$", without_compression(os.fspath(path)), re.IGNORECASE)
    if not match:
        return None, None
    try:
        return utc_date(match[1]), utc_date(match[2])
    except ValueError:
        return None, None


def read_documents(
    path_or_hub_id: str | os.PathLike[str], **options: Unpack[ReadOptions]
) -> ImportedDocuments:
    """Read every document of a file, a folder or a hub dataset, in its order.

    Read are: a ``.json`` list of strings or objects; JSONL; a ``.csv`` or ``.tsv`` table with a line of
    names; a Parquet file, or a folder that holds some; a folder written by ``datasets.save_to_disk``;
    ``hub:OWNER/NAME[/CONFIG]@REVISION``; any other folder as one document per file (sorted by path, which
    becomes the title; hidden files and links to folders are left out and counted, and so is, with its name,
    what is no text); any other text file as one document. Files that gzip, zstd, bzip2 or xz compressed are
    read as what they hold.

    Args:
        path_or_hub_id: what to read.
        options: see `ReadOptions`.

    Raises:
        UsageError: an option is missing, malformed, or does not apply to this input.
        CorpusError: the input cannot be read exactly, a row's license is no SPDX expression, or nothing is
            left of it.
    """
    name = os.fspath(path_or_hub_id)
    parts, provenance = _read(name, None, options)
    return _imported(name, parts.get("") or _Part({}, Counter()), provenance)


def read_documents_by(
    path_or_hub_id: str | os.PathLike[str], column: str, **options: Unpack[ReadOptions]
) -> dict[str, ImportedDocuments]:
    """Read a table that mixes documents of several kinds, apart by the values of one of its columns.

    Args:
        path_or_hub_id: what to read, as `read_documents` does; it must have columns.
        column: whose values tell the kinds apart, for example ``category``: texts, whole numbers or truth
            values, at most `MAX_SPLIT_VALUES` different ones.
        options: see `ReadOptions`.

    Returns:
        The documents of each value, in the order of their first rows. A text is a repetition only of one with
        the same value; ``provenance`` says the column (``split_by``) and the value.

    Raises:
        UsageError: an option is wrong, the input has no columns, or the column has too many values.
        CorpusError: the input cannot be read, a row has no value, or no document of a value is left.
    """
    name = os.fspath(path_or_hub_id)
    parts, provenance = _read(name, column, options)
    if not parts:
        raise CorpusError(f"{name}: no documents in it")
    return {
        value: _imported(
            f"{name}: {column} {value!r}", part, provenance | {"split_by": column, "value": value}
        )
        for value, part in parts.items()
    }


class _Part(NamedTuple):
    """The documents of one value of the column by which an input is split, while it is read."""

    documents: dict[str, Document]
    """By SHA-256."""
    num_dropped: Counter[str]


def _imported(place: str, part: _Part, provenance: dict[str, str]) -> ImportedDocuments:
    if not part.documents:
        reasons = ", ".join(f"{count} {reason}" for reason, count in part.num_dropped.items())
        raise CorpusError(f"{place}: no documents in it" + (f" (left out: {reasons})" if reasons else ""))
    return ImportedDocuments(list(part.documents.values()), dict(part.num_dropped), provenance)


def _read(name: str, split_by: str | None, options: ReadOptions) -> tuple[dict[str, _Part], dict[str, str]]:
    """The documents by the values of a column, all under "" where there is none, and where they come from."""
    if unknown_names := options.keys() - ReadOptions.__annotations__.keys():
        raise TypeError(f"no such options of reading: {', '.join(sorted(unknown_names))}")
    window = _window(options.get("date_from"), options.get("date_to"))
    license = options.get("license")
    named = NamedColumns(options.get("text_column"), options.get("context_column"))
    defaults = {
        "source": options.get("source"),
        "license": None if license is None else checked_license(license),
        "language": options.get("language"),
    }
    dropped_by_reader: Counter[str] = Counter()
    provenance = {"program": f"evalkit {__version__}"}
    rows = read_rows(
        name,
        {*_COLUMNS, *filter(None, [*named, split_by])},
        dropped_by_reader,
        provenance,
        revision=options.get("revision"),
        split=options.get("split"),
        column_option=_column_option(named, split_by),
    )
    today = dt.datetime.now(dt.UTC).date().isoformat()
    parts: dict[str, _Part] = {} if split_by else {"": _Part({}, dropped_by_reader)}
    for place, fields in rows:
        value = _split_value(place, split_by, fields) if split_by else ""
        part = parts.setdefault(value, _Part({}, Counter()))
        if len(parts) > MAX_SPLIT_VALUES:
            raise UsageError(
                f"{place}: more than {MAX_SPLIT_VALUES} values of {split_by!r} so far, and each would be a "
                "corpus; --split-by is for a column of few values, such as a category"
            )
        document = _document(place, fields, named, defaults)
        reason = _reason_to_drop(document, part.documents, window, today)
        if document is None or reason:
            part.num_dropped[reason or "null text"] += 1
        else:
            part.documents[document.sha256] = document
    if split_by:
        for part in parts.values():
            part.num_dropped.update(dropped_by_reader)
    return parts, provenance


def _column_option(named: NamedColumns, split_by: str | None) -> str | None:
    """The first option that names a column."""
    columns = {"--text-column": named.text, "--context-column": named.context, "--split-by": split_by}
    return next((option for option, column in columns.items() if column), None)


def _reason_to_drop(
    document: Document | None, earlier: Container[str], window: tuple[str, str] | None, today: str
) -> str | None:
    """Why a document is left out, None where it stays: its text must be new, and its date in the window."""
    if document is None:
        return "null text"
    if document.num_bytes == 0:
        return "empty"
    if document.sha256 in earlier:
        return "exact duplicate"
    day = document.published_at and document.published_at[:10]
    if day and day > today:
        return "dated in the future"
    if day and window and not window[0] <= day <= window[1]:
        return "dated outside the window"
    return None


def _split_value(place: str, column: str, fields: Mapping[str, object]) -> str:
    """What a row has in the column by which its input is split."""
    if column not in fields:
        among = ", ".join(sorted(fields)) or "no columns"
        raise CorpusError(
            f"{place}: no {column!r} among {among}; --split-by names a column that every row has"
        )
    value = fields[column]
    if isinstance(value, int):
        return str(value)
    stated = _optional_text(place, column, value)
    if stated is None:
        raise CorpusError(f"{place}: {column!r} is empty; with --split-by every row needs a value of it")
    return stated


def _window(date_from: str | None, date_to: str | None) -> tuple[str, str] | None:
    for option, value in (("--date-from", date_from), ("--date-to", date_to)):
        if value is None:
            if date_from or date_to:
                raise UsageError(f"{option} is missing: a window has a first and a last day")
            return None
        try:
            parse_day(value)
        except ValueError:
            raise UsageError(f"{option} {value!r} is not a day; write it as YYYY-MM-DD") from None
    assert date_from and date_to
    if date_from > date_to:
        raise UsageError(f"--date-from {date_from} is after --date-to {date_to}")
    if dt.date.fromisoformat(date_to) > dt.datetime.now(dt.UTC).date():
        raise UsageError(f"--date-to {date_to} lies in the future; give a day that has come")
    return date_from, date_to


def _document(
    place: str, fields: Mapping[str, object], named: NamedColumns, defaults: Mapping[str, str | None]
) -> Document | None:
    """The document of one row, whose text and columns must be what they claim to be; None for a null text."""
    is_our_table = not any(named) and {OLD_NAMES.get(name, name) for name in fields} >= OLDEST_FIELD_NAMES
    row = row_text(place, fields, named, is_our_table=is_our_table)
    if row.text is None:
        return None
    # In a table of another making, columns of these names may hold anything.
    foreign = {"id", "sha256", "fetched_at", "extractor", "source_version"}
    of_text = {"text", "content", *CONDITIONAL_COLUMNS}
    skipped = {*of_text, "num_bytes", "published_at", "date", *(() if is_our_table else foreign)}
    strings = {
        name: _optional_text(place, name, fields.get(name)) for name in _COLUMNS if name not in skipped
    }
    category = strings.pop("category", None)
    stated_sha256 = strings.pop("sha256", None)
    if not is_our_table:  # what is in ours was checked, or found by a crawler and kept as it was
        strings["license"] = _optional_license(place, strings.get("license"))
    date_column = "published_at" if fields.get("published_at") is not None else "date"
    published_at = _optional_date(place, date_column, fields.get(date_column))
    values = {name: strings.get(name) or defaults.get(name) for name in {*strings, *defaults} - {"source"}}
    try:
        document = make_document(
            row.text,
            context=row.context,
            choices=row.choices,
            source=strings.get("source") or defaults["source"] or category or UNKNOWN,
            published_at=published_at,
            **values,
        )
    except UnicodeEncodeError as error:
        raise _surrogate(place, _column_of(row, error.object), error) from None
    if is_our_table and stated_sha256 != document.sha256:
        raise CorpusError(f"{place}: its SHA-256 is {document.sha256}, the row says {stated_sha256}")
    return document


def _column_of(row: RowText, part: str) -> str:
    """The column of a part of what is scored."""
    if part == row.context and row.context_column:
        return row.context_column
    return "choices" if row.choices and part in row.choices else row.column


def _optional_text(place: str, column: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise CorpusError(f"{place}: {column!r} is {type_name(value)}, not a text")
    if not value.strip():
        return None
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _surrogate(place, column, error) from None
    return value


def _optional_license(place: str, license: str | None) -> str | None:
    if license is None or license.casefold() in _UNSTATED_LICENSES:
        return None
    try:
        return checked_license(license, "'license'")
    except UsageError as error:
        raise CorpusError(f"{place}: {error}") from None


def _optional_date(place: str, column: str, value: object) -> str | None:
    if value in (None, "", "None"):  # "None": Uncheatable Eval's upload calls str() on every date
        return None
    if isinstance(value, str | dt.date):
        try:
            return utc_date(value)
        except ValueError:
            pass
    raise CorpusError(f"{place}: {column!r} is {value!r}, not an ISO 8601 date")


def _surrogate(place: str, column: str, error: UnicodeEncodeError) -> CorpusError:
    return CorpusError(
        f"{place}: {column!r} holds the lone surrogate \\u{ord(error.object[error.start]):04x} at character "
        f"{error.start}, which has no UTF-8 form; repair it where the file is made"
    )
