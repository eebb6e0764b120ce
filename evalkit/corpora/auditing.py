"""Counts what an audit of a corpus says; see `evalkit.corpora.audit`."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import numpy as np

from evalkit.corpora import language
from evalkit.corpora.audit import (
    SCHEMA_VERSION,
    Audit,
    AuditLimits,
    Boilerplate,
    DateCounts,
    Example,
    FaultCount,
    LanguageCount,
    LicenseCount,
    Repetitions,
    SampledDocument,
)
from evalkit.corpora.document import UNKNOWN, Corpus, Document
from evalkit.corpora.duplicates import find_duplicates
from evalkit.corpora.faults import FAULT_KINDS, GLUED_WORDS, FaultKind, Place, glued_words, prose_of
from evalkit.corpora.licenses import may_republish

MIN_LINE_BYTES = 40
MIN_LINE_DOCUMENTS = 3
MIN_LINE_SHARE = 0.02
NUM_SAMPLED = 20
SAMPLE_CHARACTERS = 1200
"""Of a sampled text; its beginning says most of what an extractor did."""
NUM_EXAMPLES = 5
"""Of each kind; the smallest by a digest, not the first."""

_CONTEXT = 30
_QUANTILES = (0, 5, 25, 50, 75, 95, 100)


def audit(
    corpus: Corpus,
    older: Sequence[Corpus] = (),
    *,
    seed: int = 0,
    num_sampled: int = NUM_SAMPLED,
    limits: AuditLimits | None = None,
) -> Audit:
    """Look at a corpus; takes about ten milliseconds a document, most of it for its language.

    Args:
        corpus: what is looked at.
        older: corpora whose documents it should not repeat.
        seed: of the sample.
        num_sampled: documents of the sample.
        limits: up to where it passes.
    """
    documents, manifest = corpus.documents, corpus.manifest
    counted, contradicted = count_languages(documents)
    ranked = sorted(documents, key=lambda document: _rank(f"{seed} {document.id}"))
    return Audit(
        schema_version=SCHEMA_VERSION,
        corpus=corpus.name,
        corpus_sha256=corpus.sha256,
        num_documents=len(documents),
        num_bytes=corpus.num_bytes,
        date_from=manifest.date_from,
        date_to=manifest.date_to,
        seed=seed,
        limits=limits or AuditLimits(),
        repeated=_repetitions(corpus, None),
        older=tuple(_repetitions(corpus, other_corpus) for other_corpus in older),
        boilerplate=_boilerplate(documents),
        languages=counted,
        contradicted=contradicted,
        lengths=_quantiles(documents),
        faults=_faults(documents),
        licenses=_licenses(documents),
        dates=_dates(corpus),
        sample=tuple(map(_sampled, ranked[:num_sampled])),
    )


def _rank(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def _repetitions(corpus: Corpus, older: Corpus | None) -> Repetitions:
    earlier = [document.text for document in older.documents] if older is not None else []
    matches = find_duplicates([document.text for document in corpus.documents], earlier)
    examples = []
    num_exact = num_near = 0
    for document, match in zip(corpus.documents, matches, strict=True):
        if match is None or (match.original is None) != (older is not None):
            continue
        num_exact, num_near = num_exact + match.exact, num_near + (not match.exact)
        original = "" if match.original is None else f" = {corpus.documents[match.original].id}"
        examples.append(f"{document.id}{original}")
    name = corpus.name if older is None else older.name
    num_documents = len(corpus.documents if older is None else older.documents)
    chosen = tuple(sorted(examples, key=_rank)[:NUM_EXAMPLES])
    return Repetitions(name, num_documents, num_exact, num_near, chosen)


def _boilerplate(documents: Iterable[Document]) -> Boilerplate:
    by_host: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        if not document.is_verbatim:
            by_host[_host(document)].append(document)
    num_lines = num_bytes = num_looked_at = 0
    examples: list[Example] = []
    for members in by_host.values():
        num_looked_at += sum(document.num_bytes for document in members)
        num_documents: Counter[str] = Counter()
        first: dict[str, Document] = {}
        for document in members:
            for line in set(_long_lines(document.text)):
                num_documents[line] += 1
                first.setdefault(line, document)
        least = max(MIN_LINE_DOCUMENTS, math.ceil(MIN_LINE_SHARE * len(members)))
        repeated = {line for line, count in num_documents.items() if count >= least}
        num_lines += len(repeated)
        for document in members:
            num_bytes += sum(
                len(line.encode()) + 1 for line in _long_lines(document.text) if line in repeated
            )
        examples += [Example(first[line].id, line[:200]) for line in repeated]
    examples.sort(key=lambda example: _rank(f"{example.id} {example.text}"))
    return Boilerplate(num_lines, num_bytes, num_looked_at, tuple(examples[:NUM_EXAMPLES]))


def _host(document: Document) -> str:
    try:
        return urlsplit(document.url or "").hostname or document.source
    except ValueError:  # e.g. an unclosed bracket
        return document.source


def _long_lines(text: str) -> list[str]:
    stripped = (line.strip() for line in text.split("\n") if 4 * len(line) >= MIN_LINE_BYTES)
    return [line for line in stripped if len(line.encode()) >= MIN_LINE_BYTES]


def count_languages(documents: Iterable[Document]) -> tuple[tuple[LanguageCount, ...], tuple[str, ...]]:
    """Documents by stated and detected language; ids of those that are clearly not in the stated one."""
    counted: Counter[tuple[str, str]] = Counter()
    contradicted = []
    for document in documents:
        detected = None if document.is_verbatim else language.language_of(document.text)
        counted[document.language or UNKNOWN, detected or UNKNOWN] += 1
        if (
            document.language
            and not document.is_verbatim
            and detected != language.primary(document.language)
            and language.contradicts(document.text, document.language)
        ):
            contradicted.append(document.id)
    commonest_first = sorted(counted.items(), key=lambda pair_count: (-pair_count[1], pair_count[0]))
    return tuple(LanguageCount(*pair, count) for pair, count in commonest_first), tuple(contradicted)


def _quantiles(documents: Iterable[Document]) -> tuple[int, ...]:
    lengths = [document.num_bytes for document in documents]
    shares = [percent / 100 for percent in _QUANTILES]
    return tuple(int(value) for value in np.quantile(lengths, shares, method="nearest"))


def _faults(documents: Sequence[Document]) -> tuple[FaultCount, ...]:
    proses = ["" if document.is_verbatim else prose_of(document.text) for document in documents]
    glued = glued_words(proses)
    counts = []
    for kind in FAULT_KINDS:
        num_documents = num_places = 0
        examples = []
        for number, document in enumerate(documents):
            text = proses[number] if kind.is_of_prose else document.text
            places = _places(kind, text, glued[number])
            if places:
                num_documents, num_places = num_documents + 1, num_places + len(places)
                examples.append(Example(document.id, _around(text, places[0])))
        examples.sort(key=lambda example: _rank(example.id))
        kept_examples = tuple(examples[:NUM_EXAMPLES])
        counts.append(
            FaultCount(kind.name, kind.meaning, num_documents, num_places, kind.max_share, kept_examples)
        )
    return tuple(counts)


def _places(kind: FaultKind, text: str, glued: list[Place]) -> list[Place]:
    places = list(kind.find(text))
    return [*places, *glued] if kind.name == GLUED_WORDS else places


def _around(text: str, place: Place) -> str:
    start, end = max(0, place.start - _CONTEXT), min(place.end, place.start + 80) + _CONTEXT
    return text[start:end]


def _licenses(documents: Iterable[Document]) -> tuple[LicenseCount, ...]:
    by_license: dict[str, list[int]] = defaultdict(list)
    for document in documents:
        by_license[document.license or UNKNOWN].append(document.num_bytes)
    rows = [
        LicenseCount(license, len(sizes), sum(sizes), may_republish(license))
        for license, sizes in by_license.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.num_documents, row.license)))


def _dates(corpus: Corpus) -> DateCounts:
    days = sorted(document.published_at[:10] for document in corpus.documents if document.published_at)
    first_day, last_day = corpus.date_from, corpus.date_to
    return DateCounts(
        first=days[0] if days else None,
        last=days[-1] if days else None,
        num_undated=len(corpus.documents) - len(days),
        num_before=sum(first_day is not None and day < first_day for day in days),
        num_after=sum(last_day is not None and day > last_day for day in days),
        num_fetched_earlier=sum(
            document.published_at is not None
            and document.fetched_at is not None
            and document.fetched_at[:10] < document.published_at[:10]
            for document in corpus.documents
        ),
    )


def _sampled(document: Document) -> SampledDocument:
    return SampledDocument(
        id=document.id,
        title=document.title,
        url=document.url,
        license=document.license,
        language=document.language,
        published_at=document.published_at,
        num_bytes=document.num_bytes,
        text=document.text[:SAMPLE_CHARACTERS],
    )
