r"""What a corpus is made of: documents, the manifest that describes them, and the digest that names them.

A document is a text with a date, a source and a license. A corpus is an ordered set of documents; its
digest is the SHA-256 of the lines ``id sha256\n`` of its documents in order, so that it names exactly
what is scored and in which order, whatever file the documents came from; a document's own digest covers its
context and choices too, where it has any (`evalkit.corpora.digests`). A second digest, of the records,
covers everything that is said of the texts (clusters, dates, licenses, titles, …): the first decides which
bits a text has, the second whether intervals and notes made of them are still true.

Import these names from `evalkit.corpora.store`, which also stores and loads corpora.
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from evalkit.corpora.digests import context_cluster, document_sha256, texts_sha256
from evalkit.corpora.lazy_documents import may_have_conditions
from evalkit.corpora.repositories import repository_of_url
from evalkit.dates import utc_date
from evalkit.displayed import Displayed, Record, counted
from evalkit.errors import CorpusError, UsageError
from evalkit.files import slug

SCHEMA_VERSION = 4
READABLE_VERSIONS = (1, 2, 3, 4)
"""Of manifests: in version 1 the column ``num_bytes`` of the documents' table was called ``n_bytes``; until
version 2 there was no ``records_sha256``, until version 3 no `Document.story_id`."""
UNKNOWN = "unknown"
"""Stands for a source or license that nobody stated, in documents and in the manifest's counts."""
VERBATIM = "verbatim"
"""What `Document.extractor` begins with where a text is a file as it is, a program's say: nothing was taken
out of a page, and no language but its own is spoken."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?", re.ASCII)
_MOMENT_FORMS = "YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SSZ"
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A text, kept exactly as it was published, and where it comes from.

    `make_document` fills in what follows from the text.
    """

    id: str
    """Unique in its corpus, without white space; by default the first 16 hex digits of `sha256`."""
    text: str
    source: str
    """Where it was collected, e.g. ``arxiv``; `UNKNOWN` where nobody said."""
    url: str | None
    published_at: str | None
    """``YYYY-MM-DD``, or in UTC ``YYYY-MM-DDTHH:MM:SSZ``; None where it is not known."""
    fetched_at: str | None
    title: str | None
    license: str | None
    """SPDX identifier where there is one."""
    language: str | None
    cluster: str | None
    """What documents share that are not independent draws (a repository, an author, a site).

    Bootstrap intervals resample clusters. None: the document is a cluster of its own.
    """
    num_bytes: int
    """Length of the text in UTF-8; a context is no part of it."""
    sha256: str
    """Hex digest of the text's UTF-8 bytes, and of its context and choices if it has any."""
    extractor: str | None
    """What made the text out of the published form, with its version, e.g. ``trafilatura 2.3.1``."""
    source_version: str | None
    """The source's name for this state of the document, e.g. ``v1`` or a commit."""
    story_id: str | None = None
    """What documents share that say the same in several languages: a story and its translations, an act of
    law. None: no other language is known."""
    context: str | None = None
    """What stands before the text, is read and not paid for; never empty."""
    choices: tuple[str, ...] | None = None
    """What the text is to be told from, after the same context: itself among them once, in their order."""

    def __repr__(self) -> str:
        """Id, length and how the text begins."""
        start = self.text if len(self.text) <= 40 else f"{self.text[:39]}…"
        return f"<Document {self.id}: {self.num_bytes:,} bytes, {start!r}>"

    @property
    def num_read_bytes(self) -> int:
        """Bytes of the context and the text."""
        return self.num_bytes + len((self.context or "").encode("utf-8"))

    @property
    def data(self) -> bytes:
        """The text in UTF-8: the bytes that are scored."""
        return self.text.encode("utf-8")

    @property
    def is_verbatim(self) -> bool:
        """Whether the text is a file as it is; see `VERBATIM`."""
        return (self.extractor or "").startswith(VERBATIM)


_RECORD_FIELDS = sorted(
    field.name
    for field in dataclasses.fields(Document)
    if field.name not in ("text", "story_id", "context", "choices")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a corpus without reading its documents; the content of ``manifest.json``."""

    schema_version: int
    name: str
    description: str
    sources: Mapping[str, int]
    """Documents by source."""
    licenses: Mapping[str, int]
    """Documents by license; those without one under `UNKNOWN`."""
    date_from: str | None
    """First day (``YYYY-MM-DD``) on which a document can have been published; None: not known."""
    date_to: str | None
    """Last such day, included."""
    created: str | None
    """When it was stored, in UTC; None for a corpus that is not stored."""
    provenance: Mapping[str, str]
    """How it was made: the program, the input and its digest or revision."""
    num_documents: int
    num_bytes: int
    num_dropped: Mapping[str, int]
    """Documents of the input that are not in the corpus, by reason."""
    sha256: str
    """Digest of the corpus; see the module's docstring."""
    records_sha256: str | None = None
    """Digest of all fields of all documents; None in files that are older than it."""
    incomplete: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What was not to be had and may be another day, by reason; empty for a whole corpus."""
    parquet_file: str | None = None
    parquet_sha256: str | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Corpus(Displayed):
    """Documents in their order, and the manifest that describes them. Built by `make_corpus`."""

    documents: Sequence[Document]
    """A tuple, or of a stored corpus what reads them at the first look."""
    manifest: Manifest

    def headline(self) -> str:
        """Name, counts, dates and digest."""
        days = " to ".join(sorted({self.date_from or "undated", self.date_to or "undated"}))
        sizes = f"{counted(len(self.documents), 'document')}, {self.num_bytes:,} bytes"
        return f"{self.name}: {sizes}, {days}, sha256 {self.sha256[:12]}"

    def records(self) -> list[Record]:
        """A row per document: its fields."""
        names = [field.name for field in dataclasses.fields(Document)]
        return [{name: getattr(document, name) for name in names} for document in self.documents]

    @property
    def name(self) -> str:
        """The name under which results are shown."""
        return self.manifest.name

    @property
    def sha256(self) -> str:
        """Digest of what is scored; see the module's docstring."""
        return self.manifest.sha256

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of all documents together."""
        return self.manifest.num_bytes

    @functools.cached_property
    def has_contexts(self) -> bool:
        """Whether any document has a context."""
        return may_have_conditions(self.documents) and any(document.context for document in self.documents)

    @property
    def date_from(self) -> str | None:
        """First day on which a document can have been published, or None."""
        return self.manifest.date_from

    @property
    def date_to(self) -> str | None:
        """Last day on which a document can have been published, or None."""
        return self.manifest.date_to

    def limited(self, num_documents: int) -> "Corpus":
        """The first documents only: a corpus with its own digest and counts, the same name and dates.

        Raises:
            UsageError: fewer than one document is asked for.
        """
        check_limit(num_documents)
        if num_documents >= len(self.documents):
            return self
        documents = tuple(self.documents[:num_documents])
        manifest = dataclasses.replace(
            self.manifest, **counts(documents)._asdict(), parquet_file=None, parquet_sha256=None
        )
        return Corpus(documents, manifest)


def check_limit(num_documents: int | None) -> None:
    """Refuse a limit that `Corpus.limited` would refuse, before any text is read; None is no limit.

    Raises:
        UsageError: it is less than one document.
    """
    if num_documents is not None and num_documents < 1:
        raise UsageError(f"--limit {num_documents} leaves no document; give 1 or more")


def make_document(
    text: str,
    *,
    source: str,
    id: str | None = None,
    url: str | None = None,
    published_at: str | None = None,
    fetched_at: str | None = None,
    title: str | None = None,
    license: str | None = None,
    language: str | None = None,
    cluster: str | None = None,
    extractor: str | None = None,
    source_version: str | None = None,
    story_id: str | None = None,
    context: str | None = None,
    choices: Sequence[str] | None = None,
) -> Document:
    """A document with its length, digest, id and cluster.

    The cluster is the repository where the URL is one's, else that of all documents with the same context.

    Raises:
        UnicodeEncodeError: a text holds a lone surrogate and so has no UTF-8 form.
    """
    context, choices = context or None, None if choices is None else tuple(choices)
    sha256 = document_sha256(text, context, choices)
    return Document(
        id=id or sha256[:16],
        text=text,
        source=source,
        url=url,
        published_at=published_at,
        fetched_at=fetched_at,
        title=title,
        license=license,
        language=language,
        cluster=cluster or repository_of_url(url) or context_cluster(context),
        num_bytes=len(text.encode("utf-8")),
        sha256=sha256,
        extractor=extractor,
        source_version=source_version,
        story_id=story_id,
        context=context,
        choices=choices,
    )


def make_corpus(
    name: str,
    documents: Iterable[Document],
    *,
    description: str = "",
    date_from: str | None = None,
    date_to: str | None = None,
    provenance: Mapping[str, str] | None = None,
    num_dropped: Mapping[str, int] | None = None,
    incomplete: Mapping[str, int] | None = None,
) -> Corpus:
    """A corpus of these documents in this order, not yet stored.

    Args:
        name: what results are shown under; letters, digits and ``._+-``.
        documents: at least one; ids unique.
        description: one line for people.
        date_from: first day of publication; by default the documents' earliest if all are dated.
        date_to: last day of publication, likewise.
        provenance: how it was made.
        num_dropped: documents left out, by reason.
        incomplete: what may be had another day, by reason.

    Raises:
        UsageError: the name cannot be a folder's name.
        CorpusError: there are no documents, or one is empty, or has an id or date that is not what
            `Document` promises.
    """
    check_plain_name(name)
    documents = tuple(documents)
    if not documents:
        raise CorpusError(f"corpus {name}: it has no documents")
    if problems := document_problems(documents):
        raise CorpusError(f"corpus {name}: {problems[0]}")
    days = [document.published_at[:10] for document in documents if document.published_at is not None]
    if len(days) < len(documents):
        days = []
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        description=description,
        date_from=date_from or min(days, default=None),
        date_to=date_to or max(days, default=None),
        created=None,
        provenance=dict(provenance or {}),
        num_dropped=dict(num_dropped or {}),
        incomplete=dict(incomplete or {}),
        **counts(documents)._asdict(),
    )
    return Corpus(documents, manifest)


def document_problems(documents: Iterable[Document]) -> list[str]:
    """What is not as `Document` promises, one line each; of a document without text what its text must be."""
    problems = []
    seen: set[str] = set()
    for document in documents:
        if document.id in seen or document.id.split() != [document.id]:
            problems.append(f"id {document.id!r} is used twice or holds white space")
        seen.add(document.id)
        if document.num_bytes < 1:
            problems.append(f"document {document.id} is empty; leave it out and count it")
        if not _SHA256.fullmatch(document.sha256):
            problems.append(f"document {document.id}: sha256 {document.sha256!r} is no digest")
        if document.choices is not None and document.choices.count(document.text) != 1:
            problems.append(f"document {document.id}: its text is not one of its choices, once")
        for name in ("published_at", "fetched_at"):
            moment = getattr(document, name)
            if moment is not None and not _is_moment(moment):
                problems.append(f"document {document.id}: {name} {moment!r} is neither {_MOMENT_FORMS}")
    return problems


def is_the_stored_text(document: Document) -> bool:
    """Whether a document's length and digest are those of its text."""
    sha256 = document_sha256(document.text, document.context, document.choices)
    return document.num_bytes == len(document.data) and document.sha256 == sha256


def _is_moment(text: str) -> bool:
    if not _MOMENT.fullmatch(text):
        return False
    try:
        return utc_date(text) == text
    except ValueError:
        return False


class Counts(NamedTuple):
    """The manifest's fields that follow from the documents; see `Manifest`."""

    sources: Mapping[str, int]
    licenses: Mapping[str, int]
    num_documents: int
    num_bytes: int
    sha256: str
    records_sha256: str


def counts(documents: Sequence[Document]) -> Counts:
    """What of a corpus follows from its documents, its digest among it."""
    return Counts(
        sources=dict(Counter(document.source for document in documents)),
        licenses=dict(Counter(document.license or UNKNOWN for document in documents)),
        num_documents=len(documents),
        num_bytes=sum(document.num_bytes for document in documents),
        sha256=texts_sha256((document.id, document.sha256) for document in documents),
        records_sha256=records_sha256(documents),
    )


def records_sha256(documents: Iterable[Document]) -> str:
    """The digest of all fields of all documents in their order; a text stands in it by its own digest."""
    digest = hashlib.sha256()
    for document in documents:
        record = [getattr(document, name) for name in _RECORD_FIELDS]
        if document.story_id is not None:  # corpora without any keep the digest that their cells state
            record.append(document.story_id)
        digest.update(json.dumps(record, ensure_ascii=True).encode("ascii") + b"\n")
    return digest.hexdigest()


def check_plain_name(name: str) -> None:
    """Refuse a name that cannot be a folder's name.

    Raises:
        UsageError: the name holds something else than letters, digits and ``._+-``.
    """
    if name != slug(name):
        raise UsageError(f"corpus name {name!r} is not a plain folder name; {slug(name)!r} would be")
