"""A corpus looked at for contamination and for faults of extraction, so that people can judge it.

What is counted, and where honest corpora stay below a limit (`AuditLimits`) also judged:

- near-duplicates among the documents, and of documents of older corpora (`evalkit.corpora.duplicates`);
- boilerplate: bytes in long lines that stand in many documents of one host;
- languages, stated and told from the text (`evalkit.corpora.language`), and where the two contradict;
- lengths; licenses, with what each lets be republished; dates against the corpus's window;
- characters that betray a fault of extraction (`evalkit.corpora.faults`);
- a seeded sample to read, which finds what nobody thought of.

An audit depends on the documents, the older corpora and the seed alone; `evalkit.corpora.auditing.audit`
makes it.
"""

import dataclasses
from pathlib import Path

from evalkit.corpora.document import Corpus
from evalkit.corpora.gates import Finding
from evalkit.corpora.licenses import may_republish
from evalkit.errors import CorpusError
from evalkit.fields import from_json
from evalkit.files import atomic_write, parse_json, strict_json

SCHEMA_VERSION = 1
AUDIT_FILE = "audit.json"
MIN_ALARMING = 3
"""Fewer documents are no alarm, whatever their share: in a small corpus one text would be."""


@dataclasses.dataclass(frozen=True)
class AuditLimits:
    """Up to where a corpus passes; those of faults are with their kinds."""

    max_duplicate_share: float = 0.03
    """Of documents that repeat another of the corpus; as `evalkit.corpora.gates.Limits` has it."""
    max_overlap_share: float = 0.01
    """Of documents that repeat one of an older corpus."""
    max_boilerplate_share: float = 0.02
    """Of bytes."""
    max_contradicted_share: float = 0.02
    """Of documents that are not in the language that is stated."""


@dataclasses.dataclass(frozen=True)
class Example:
    """A document, and the place in it that is meant."""

    id: str
    text: str | None
    """A few words around the place; None where the license forbids to show them."""


@dataclasses.dataclass(frozen=True)
class Repetitions:
    """Documents that repeat another one, of this corpus or of an older one."""

    corpus: str
    num_documents: int
    """Of that corpus."""
    num_exact: int
    num_near: int
    examples: tuple[str, ...]
    """Ids of documents that repeat, those of their originals behind them where they are of this corpus."""


@dataclasses.dataclass(frozen=True)
class Boilerplate:
    """Lines that stand in many documents of one host."""

    num_lines: int
    """Different ones."""
    num_bytes: int
    """Of all occurrences."""
    num_looked_at: int
    """Bytes of the documents that were looked at: all but files as they are."""
    examples: tuple[Example, ...]


@dataclasses.dataclass(frozen=True)
class LanguageCount:
    """Documents by the language that they state and the one that they are in."""

    stated: str
    detected: str
    """By their text; ``unknown`` where it cannot be told, as of short texts and of programs."""
    num_documents: int


@dataclasses.dataclass(frozen=True)
class FaultCount:
    """A kind of fault in the corpus; see `evalkit.corpora.faults`."""

    kind: str
    meaning: str
    num_documents: int
    num_places: int
    max_share: float
    examples: tuple[Example, ...]


@dataclasses.dataclass(frozen=True)
class LicenseCount:
    """Documents under a license."""

    license: str
    num_documents: int
    num_bytes: int
    may_republish: bool


@dataclasses.dataclass(frozen=True)
class DateCounts:
    """Dates of documents against the corpus's window."""

    first: str | None
    last: str | None
    num_undated: int
    num_before: int
    """Published before the window."""
    num_after: int
    num_fetched_earlier: int
    """Fetched on a day before their own date."""


@dataclasses.dataclass(frozen=True)
class SampledDocument:
    """A document to read."""

    id: str
    title: str | None
    url: str | None
    license: str | None
    language: str | None
    published_at: str | None
    num_bytes: int
    text: str | None
    """Its beginning; None, as the title is, where the license forbids to show it."""


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found in a corpus."""

    schema_version: int
    corpus: str
    corpus_sha256: str
    num_documents: int
    num_bytes: int
    date_from: str | None
    date_to: str | None
    seed: int
    limits: AuditLimits
    repeated: Repetitions
    """Among the documents."""
    older: tuple[Repetitions, ...]
    """Of each corpus that it was compared with."""
    boilerplate: Boilerplate
    languages: tuple[LanguageCount, ...]
    """The commonest first."""
    contradicted: tuple[str, ...]
    """Ids of documents that are clearly not in the stated language."""
    lengths: tuple[int, ...]
    """Bytes of a document at 0, 5, 25, 50, 75, 95 and 100 %."""
    faults: tuple[FaultCount, ...]
    licenses: tuple[LicenseCount, ...]
    dates: DateCounts
    sample: tuple[SampledDocument, ...]

    def findings(self) -> list[Finding]:
        """What has a limit, and whether the corpus keeps it, in a fixed order."""
        return [*self._contamination(), *self._quality()]

    def _contamination(self) -> list[Finding]:
        findings = []
        for repetitions in (self.repeated, *self.older):
            is_own = repetitions is self.repeated
            limit = self.limits.max_duplicate_share if is_own else self.limits.max_overlap_share
            count = repetitions.num_exact + repetitions.num_near
            target = "repeat another" if is_own else f"repeat one of {repetitions.corpus}"
            name = "duplicates" if is_own else f"overlap with {repetitions.corpus}"
            findings.append(self._finding(name, count, limit, target))
        outside = self.dates.num_before + self.dates.num_after
        window = f"{self.date_from or 'unknown'} to {self.date_to or 'unknown'}"
        findings.append(self._finding("dates", outside, 0.0, f"lie outside of {window}"))
        early = self.dates.num_fetched_earlier
        findings.append(self._finding("dates of fetching", early, 0.0, "were fetched before their date"))
        return findings

    def _quality(self) -> list[Finding]:
        share = self.boilerplate.num_bytes / max(1, self.boilerplate.num_looked_at)
        limit = self.limits.max_boilerplate_share
        lines = (
            f"{self.boilerplate.num_lines:,} lines that repeat make up {share:.2%} of the bytes, allowed "
            f"{limit:.2%}"
        )
        contradicted = self._finding(
            "languages",
            len(self.contradicted),
            self.limits.max_contradicted_share,
            "are not in the language that they state",
        )
        faults = [
            self._finding(fault.kind, fault.num_documents, fault.max_share, f"have {fault.meaning}")
            for fault in self.faults
        ]
        return [Finding("boilerplate", share <= limit, lines), contradicted, *faults]

    def _finding(self, name: str, count: int, max_share: float, target: str) -> Finding:
        share = count / self.num_documents
        text = f"{count:,} of {self.num_documents:,} documents {target}: {share:.2%}, allowed {max_share:.2%}"
        is_few = max_share > 0 and count < MIN_ALARMING
        return Finding(name, share <= max_share or is_few, text)


def publishable(audit: Audit, corpus: Corpus) -> Audit:
    """An audit without the words of texts whose license does not let anybody publish them.

    Args:
        audit: of the corpus.
        corpus: whose documents tell their licenses.
    """
    are_free = {document.id: may_republish(document.license) for document in corpus.documents}

    def shown(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(
            example if are_free[example.id] else dataclasses.replace(example, text=None)
            for example in examples
        )

    return dataclasses.replace(
        audit,
        boilerplate=dataclasses.replace(audit.boilerplate, examples=shown(audit.boilerplate.examples)),
        faults=tuple(dataclasses.replace(fault, examples=shown(fault.examples)) for fault in audit.faults),
        sample=tuple(
            sampled if are_free[sampled.id] else dataclasses.replace(sampled, title=None, text=None)
            for sampled in audit.sample
        ),
    )


def write_audit(audit: Audit, path: Path) -> None:
    """An audit as strict JSON, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(strict_json(dataclasses.asdict(audit)), encoding="utf-8")


def read_audit(path: Path) -> Audit:
    """The audit that `write_audit` wrote.

    Raises:
        CorpusError: the file cannot be read or is no audit of this version.
    """
    try:
        stored = from_json(Audit, parse_json(path.read_text(encoding="utf-8")))
        if stored.schema_version != SCHEMA_VERSION or stored.num_documents < 1:
            raise ValueError(f"it is no audit of version {SCHEMA_VERSION}")
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CorpusError(
            f"{path} is no audit of a corpus: {error}; `evalkit corpora audit --keep` writes one"
        ) from error
    return stored
