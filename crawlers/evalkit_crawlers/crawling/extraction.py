"""From a fetched page to text in normal form, apart from the rest: for crawls and for rebuilding."""

import dataclasses
from typing import Protocol

from evalkit.isolation import DEFAULT_WORK_LIMITS, WorkLimits
from evalkit_crawlers.source import Candidate, Capture, Drop, Extracted, FetchRefused
from evalkit_crawlers.text.apart import apart_within
from evalkit_crawlers.text.normal_form import normal_text

NOT_UNICODE = "text with half a character"


class Extractor(Protocol):
    """What makes text from a page alone: the part of a source that is needed to rebuild its documents."""

    @property
    def extractor(self) -> str:
        """Program and version, e.g. ``trafilatura 2.3.1, evalkit news 1``."""

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The text of a fetched page, as `evalkit_crawlers.source.Source.extract` makes it.

        Args:
            candidate: in a rebuild it has what the dataset tells: no title, and of attributes only
                ``source_version``.
            capture: the page.
        """


def extract_apart(
    extractor: Extractor,
    candidate: Candidate,
    capture: Capture | None,
    limits: WorkLimits = DEFAULT_WORK_LIMITS,
) -> Extracted | Drop:
    """What a source makes of a page, its text in normal form; done in a child process.

    Args:
        extractor: of the source.
        candidate: what is known of the document.
        capture: its page; None where the listing held the text.
        limits: of time and memory; a page that uses them up is a drop that says so.

    Raises:
        EvalkitError: the extractor cannot be sent to another process.
    """
    try:
        return apart_within(limits, _normal_extract, extractor, candidate, capture)
    except FetchRefused as refusal:
        return Drop(candidate.id, refusal.reason, candidate.corpus)


def _normal_extract(extractor: Extractor, candidate: Candidate, capture: Capture | None) -> Extracted | Drop:
    if capture is None:
        assert candidate.text is not None
        result: Extracted | Drop = Extracted(candidate, candidate.text)
    else:
        result = extractor.extract(candidate, capture)
    if isinstance(result, Drop):
        return result
    if _encodable(result.text) != result.text:
        return Drop(candidate.id, NOT_UNICODE, candidate.corpus)
    # Here too, since it takes time that grows with the square of the marks on one letter.
    return Extracted(_encodable_candidate(result.candidate), normal_text(result.text))


def _encodable_candidate(candidate: Candidate) -> Candidate:
    r"""The candidate with what is said of it in UTF-8: JSON can hold half a character (``"\ud800"``)."""
    said = {
        field.name: _encodable(value)
        for field in dataclasses.fields(candidate)
        if isinstance(value := getattr(candidate, field.name), str)
    }
    attributes = {key: _encodable(value) for key, value in candidate.attributes.items()}
    return dataclasses.replace(candidate, **said, attributes=attributes)  # type: ignore[arg-type]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
