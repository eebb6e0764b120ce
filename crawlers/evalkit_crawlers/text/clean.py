r"""From extracted documents to those of a corpus: normal form, boilerplate, language, duplicates.

In this order, each document that falls out with its reason:

1. Unicode NFC, line ends as ``\n``, no byte order mark and no white space around the text; the license
   as an SPDX identifier. Texts with replacement characters (decoded in a wrong encoding) fall out.
2. Boilerplate: lines of at least `MIN_LINE_BYTES` that stand in at least `MIN_SHARE` of the documents of
   one host, and in no fewer than `MIN_DOCUMENTS`, are removed wherever they stand in that host's
   documents; headings and other short lines stay. Only documents of which such lines make up less than
   half bear witness, so that copies of one article do not erase it. What was removed is recorded as
   digests in `Cleaned.provenance`; with them `without_lines` repeats the removal on a single document.
3. Length: whatever is shorter than the minimum. There is no maximum, and nothing is ever cut.
4. Language: a text that is clearly not in the stated language falls out; where none is stated, it is
   filled in if it can be told (`evalkit.corpora.language`).
5. Duplicates, exact and near (`evalkit.corpora.duplicates`), of a document that was published earlier
   (of two at the same time, the one with the smaller id stays) or of an earlier corpus.

Files as they are (`evalkit.corpora.document.VERBATIM`), programs say, skip steps 2 and 4: their license
notices are lines that repeat, and have to stay, and a language detector knows no programs.

The outcome does not depend on the order in which documents come. Two corpora of one crawl are cleaned
each by itself.
"""

import dataclasses
import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

from evalkit.corpora import language, licenses
from evalkit.corpora.duplicates import find_duplicates
from evalkit.corpora.store import Document
from evalkit_crawlers.host_names import ascii_host
from evalkit_crawlers.source import Drop
from evalkit_crawlers.text.normal_form import normal_text

CLEANER = "evalkit clean 1"
"""Changes whenever the same documents may give another outcome."""
MIN_LINE_BYTES = 40
MIN_DOCUMENTS = 5
MIN_SHARE = 0.05
LINES_KEY = "boilerplate_lines"
"""Key of the digests of removed lines in a manifest's provenance."""

_REPLACEMENTS_PER_CHARACTER = 1 / 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Cleaned:
    """The documents of a corpus, and what became of the others."""

    documents: tuple[Document, ...]
    """By date of publication, then id."""
    drops: tuple[Drop, ...]
    provenance: Mapping[str, str]
    """For the manifest: what cleaned, with which libraries, and digests of the lines that it removed."""


def clean_documents(
    documents: Iterable[Document], *, earlier_documents: Iterable[Document] = (), min_bytes: int = 500
) -> Cleaned:
    """Bring documents into the form of a corpus and leave out what does not belong into one.

    The steps are those of the module's docstring, in their order.

    Args:
        documents: texts as extracted.
        earlier_documents: those of earlier corpora, which are not to be repeated; they are read once.
        min_bytes: of UTF-8, after everything else was done to the text.
    """
    drops: list[Drop] = []
    ordered = sorted((_normal(document) for document in documents), key=_precedence)
    sound = []
    for document in _unique_ids(ordered, drops):
        if document.text.count("\ufffd") > len(document.text) * _REPLACEMENTS_PER_CHARACTER:
            drops.append(Drop(document.id, "damaged characters"))
        elif document.num_bytes < min_bytes:
            drops.append(Drop(document.id, f"shorter than {min_bytes} bytes"))
        else:
            sound.append(document)
    lines = boilerplate_lines([document for document in sound if not document.is_verbatim])
    in_language = []
    for document in sound:
        if document.is_verbatim:
            in_language.append(document)
            continue
        document = _with_text(document, without_lines(document.text, document.url, lines))
        if document.num_bytes < max(1, min_bytes):
            drops.append(Drop(document.id, f"shorter than {min_bytes} bytes without boilerplate"))
        elif document.language is None:
            in_language.append(dataclasses.replace(document, language=language.language_of(document.text)))
        elif language.contradicts(document.text, document.language):
            drops.append(Drop(document.id, "not in the stated language"))
        else:
            in_language.append(document)
    survivors = _without_duplicates(in_language, earlier_documents, drops)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("py3langid", "datasketch"))
    provenance = {"cleaner": f"{CLEANER} ({libraries}, Unicode {unicodedata.unidata_version})"}
    if lines:
        provenance[LINES_KEY] = " ".join(sorted(lines))
    return Cleaned(survivors, tuple(drops), provenance)


def _without_duplicates(
    documents: Sequence[Document], earlier_documents: Iterable[Document], drops: list[Drop]
) -> tuple[Document, ...]:
    """The documents that repeat none before them and no earlier one; the others are added to ``drops``."""
    matches = find_duplicates(
        [document.text for document in documents],
        # Corpora made by other means than a crawl may not be in normal form.
        (normal_text(document.text) for document in earlier_documents),
    )
    survivors = []
    for document, match in zip(documents, matches, strict=True):
        if match is None:
            survivors.append(document)
        else:
            kind = "exact duplicate" if match.exact else "near-duplicate"
            origin = " of an earlier corpus" if match.original is None else ""
            drops.append(Drop(document.id, kind + origin))
    return tuple(survivors)


def site_of(url: str | None) -> str:
    """The host of a URL; empty where there is none."""
    try:
        return ascii_host(urlsplit(url or "").hostname or "")
    except ValueError:  # e.g. an unclosed bracket
        return ""


def boilerplate_lines(documents: Collection[Document]) -> frozenset[str]:
    """Digests of the lines that a host puts into many of its documents: step 2 of the module's docstring."""
    num_documents = Counter(site_of(document.url) for document in documents)
    least = {
        host: max(MIN_DOCUMENTS, math.ceil(MIN_SHARE * count))
        for host, count in num_documents.items()
        if host and count >= MIN_DOCUMENTS
    }
    # Counted by digest and not by text: the long lines of all documents would be a second copy of the corpus.
    hosted = [(host, document) for document in documents if (host := site_of(document.url)) in least]
    counts = Counter(digest for host, document in hosted for digest in _long_lines(document.text, host))
    frequent = [
        {
            digest: num_bytes
            for digest, num_bytes in _long_lines(document.text, host).items()
            if counts[digest] >= least[host]
        }
        for host, document in hosted
    ]
    # Eight copies of one article share all their lines; what is mostly repeated says nothing of boilerplate.
    witnesses = Counter(
        (host, digest)
        for (host, document), lines in zip(hosted, frequent, strict=True)
        if sum(lines.values()) < document.num_bytes / 2
        for digest in lines
    )
    return frozenset(digest for (host, digest), count in witnesses.items() if count >= least[host])


def without_lines(text: str, url: str | None, digests: Collection[str]) -> str:
    """A text without its host's boilerplate.

    Args:
        text: in normal form.
        url: the document's address; its host is part of what the digests are made of.
        digests: see `boilerplate_lines`.
    """
    host = site_of(url)
    if not host or not digests:
        return text
    lines: list[str] = []
    after_removed = False
    for line in text.split("\n"):
        if _is_long(line) and _line_digest(host, line) in digests:
            after_removed = True
        elif line.strip() or not (after_removed and lines and not lines[-1].strip()):
            lines.append(line)  # of the empty lines around a removed one, only those before it
            after_removed = after_removed and not line.strip()
    return "\n".join(lines).strip()


def _long_lines(text: str, host: str) -> dict[str, int]:
    """Digest → bytes of all occurrences, for the lines that may be boilerplate."""
    lines: Counter[str] = Counter()
    for line in text.split("\n"):
        if _is_long(line):
            lines[_line_digest(host, line)] += len(line.encode()) + 1
    return lines


def _is_long(line: str) -> bool:
    return 4 * len(line) >= MIN_LINE_BYTES and len(line.strip().encode()) >= MIN_LINE_BYTES


def _line_digest(host: str, line: str) -> str:
    return hashlib.sha256(f"{host}\n{line.strip()}".encode()).hexdigest()[:16]


def _normal(document: Document) -> Document:
    document = _with_text(document, normal_text(document.text))
    return dataclasses.replace(document, license=licenses.normalise(document.license))


def _with_text(document: Document, text: str) -> Document:
    if text == document.text:
        return document
    data = text.encode("utf-8")
    sha256 = hashlib.sha256(data).hexdigest()
    return dataclasses.replace(document, text=text, num_bytes=len(data), sha256=sha256)


def _precedence(document: Document) -> tuple[bool, str, str, str]:
    return (document.published_at is None, document.published_at or "", document.id, document.sha256)


def _unique_ids(documents: Iterable[Document], drops: list[Drop]) -> list[Document]:
    unique: dict[str, Document] = {}
    for document in documents:
        if document.id in unique:
            drops.append(Drop(document.id, "same id as an earlier document"))
        else:
            unique[document.id] = document
    return list(unique.values())
