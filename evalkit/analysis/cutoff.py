"""Whether a model can have read a document in training, as far as dates tell: the one rule for it.

A document is compared by its day of publication with the last day that the model's published cutoff can mean,
and where no cutoff was published, with that of its release:

* published after it: **newer** than the model;
* on it or before: it **may have been read**, which does not say that it was;
* **unknown**, where one of the two dates is. That is never shown as if it were the first: an undated corpus,
  or a model of which nobody says when it learned what, gets a ``?``.

A document without a date of its own was published on a day of its corpus's window. That decides where all of
the window lies on one side of the cutoff, and else nothing does. Cells hold the days of their documents since
`published_at` is among their rows; of older cells the days are looked up in the corpus, where it is at hand
(`evalkit.analysis.document_dates`).

Compressors have read nothing. A corpus is newer than a model if all of its documents are; it may have been
read if one of them may. What is printed says how many.
"""

import datetime as dt
import enum
from collections.abc import Iterable
from typing import NamedTuple

from evalkit.dates import first_day, last_day


class Exposure(enum.StrEnum):
    """What dates say of a model and a document, or a corpus."""

    NEWER = "newer"
    POSSIBLE = "may have been read"
    UNKNOWN = "unknown"
    IMPOSSIBLE = "cannot have been read"
    """By a compressor."""

    @property
    def mark(self) -> str:
        """What stands behind a number, see `MARKS`; nothing where nothing can have been read."""
        return {Exposure.POSSIBLE: "†", Exposure.UNKNOWN: "?"}.get(self, "")


MARKS = {
    "†": "the model may have read documents of it in training: they are not newer than its cutoff or release",
    "?": "whether it has is not known, for want of a date",
}
"""The marks behind numbers, and what they mean of a corpus."""


class Cutoff(NamedTuple):
    """After which a model has read nothing."""

    date: str
    """As it was published: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    kind: str
    """``cutoff``, or ``release`` where no cutoff was published."""

    @property
    def last_day(self) -> dt.date:
        """The last day that it can mean."""
        return last_day(self.date)


def cutoff_of(knowledge_cutoff: str | None, released: str | None) -> Cutoff | None:
    """A model's cutoff, else its release; None where neither is known, or is a date."""
    for date, kind in ((knowledge_cutoff, "cutoff"), (released, "release")):
        if date:
            try:
                last_day(date)
            except ValueError:  # a model of somebody's own program may say anything
                continue
            return Cutoff(date, kind)
    return None


class DatedDocuments(NamedTuple):
    """When a corpus's documents were published."""

    published_at: tuple[str | None, ...]
    """Of each document, ``YYYY-MM-DD`` with or without a time; None where it is not known."""
    date_from: str | None
    """First day on which a document can have been published; None: not known."""
    date_to: str | None
    """Last such day, included."""


class Reading(NamedTuple):
    """What dates say of a model and a corpus."""

    num_documents: int
    num_possible: int
    """Documents that may have been read."""
    num_unknown: int
    """Documents of which it is not known."""
    exposure: Exposure
    """Of the corpus as a whole."""
    text: str
    """The same in words, with the dates."""


def exposure_of(
    published_at: str | None, date_from: str | None, date_to: str | None, cutoff: Cutoff | None
) -> Exposure:
    """What dates say of a model and a document.

    Args:
        published_at: of the document.
        date_from: the first day of its corpus's window.
        date_to: the last, included.
        cutoff: of the model.
    """
    if cutoff is None:
        return Exposure.UNKNOWN
    earliest, latest = published_at or date_from, published_at or date_to
    if earliest is not None and first_day(earliest) > cutoff.last_day:
        return Exposure.NEWER
    if latest is not None and last_day(latest) <= cutoff.last_day:
        return Exposure.POSSIBLE
    return Exposure.UNKNOWN


def exposures_of(documents: DatedDocuments, cutoff: Cutoff | None) -> list[Exposure]:
    """What dates say of a model and each document of a corpus."""
    # Many documents share a day: each day is compared once.
    of_day = {
        day: exposure_of(day, documents.date_from, documents.date_to, cutoff)
        for day in set(documents.published_at)
    }
    return [of_day[day] for day in documents.published_at]


def reading_of(documents: DatedDocuments, cutoff: Cutoff | None) -> Reading:
    """What dates say of a language model and a corpus."""
    exposures = exposures_of(documents, cutoff)
    num_possible, num_unknown = exposures.count(Exposure.POSSIBLE), exposures.count(Exposure.UNKNOWN)
    exposure = Exposure.POSSIBLE if num_possible else Exposure.UNKNOWN if num_unknown else Exposure.NEWER
    words = _words(len(exposures), num_possible, num_unknown, cutoff)
    return Reading(len(exposures), num_possible, num_unknown, exposure, words)


def reading_of_a_compressor(num_documents: int) -> Reading:
    """A compressor was not trained."""
    return Reading(num_documents, 0, 0, Exposure.IMPOSSIBLE, "a compressor, which has read nothing")


def earliest_day(documents: DatedDocuments) -> dt.date | None:
    """The first day on which a document of a corpus can have been published.

    None where one has no date and the corpus no window: then nobody knows.
    """
    days = [day or documents.date_from for day in set(documents.published_at)]
    return min((first_day(day) for day in days if day), default=None) if all(days) else None


def latest_day(cutoffs: Iterable[Cutoff | None]) -> dt.date | None:
    """The last day that one of these models can have read something of; None where of none it is known."""
    return max((cutoff.last_day for cutoff in cutoffs if cutoff is not None), default=None)


def is_newer_than(earliest: dt.date | None, latest: dt.date | None) -> bool:
    """Whether a corpus is newer than every one of some models: what aggregates and ranks count.

    A model of which nobody says when its training data end does not decide: else one such model would empty
    every table. Its numbers bear a ``?``.

    Args:
        earliest: `earliest_day` of the corpus.
        latest: `latest_day` of the models; None: it is known of none, and every corpus counts.
    """
    return latest is None or (earliest is not None and earliest > latest)


def combined(exposures: Iterable[Exposure]) -> Exposure:
    """What dates say of a model and several corpora together: the worst that they say of one."""
    order = (Exposure.POSSIBLE, Exposure.UNKNOWN, Exposure.NEWER, Exposure.IMPOSSIBLE)
    return min(exposures, key=order.index, default=Exposure.UNKNOWN)


def _words(num_documents: int, num_possible: int, num_unknown: int, cutoff: Cutoff | None) -> str:
    if cutoff is None:
        return "not known whether it was read in training: nobody says when the model's training data end"
    model = f"the model's {cutoff.kind}, {cutoff.date}"
    if num_possible:
        some = f"{num_possible} of {num_documents} documents {'is' if num_possible == 1 else 'are'} not newer"
        share = "no document is newer" if num_possible == num_documents else some
        text = f"may have been read in training: {share} than {model}"
        return text + (f", and of {num_unknown} the date is not known" if num_unknown else "")
    if num_unknown:
        some = f"{num_unknown} of {num_documents} documents lack"
        share = "no document has" if num_unknown == num_documents else some
        return f"not known whether it was read in training: {share} a date that tells; {model}"
    return f"newer than the model: every document is newer than {model}"
