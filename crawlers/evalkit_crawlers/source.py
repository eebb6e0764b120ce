"""What a source of dated text is, and what passes between it and the crawl.

A source knows where its listings are (`Source.discover`) and how a page of it becomes text
(`Source.extract`). It fetches only through the `Get` that it is handed, which is polite, keeps every
body and answers again from what it kept, so that a source needs no thought for resuming: a rerun
discovers the same candidates from the same captured listings. Everything else (sampling, fetching
pages in parallel over hosts, cleaning, counting, writing corpora) is the crawl's.

A source's command is a function for typer, registered under the entry-point group
``evalkit.crawlers``; anybody's package may register one.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class CrawlWindow:
    """The days of publication whose documents a crawl collects, both ends included, in UTC."""

    since: dt.date
    until: dt.date

    def __contains__(self, published_at: dt.datetime) -> bool:
        return self.since <= published_at.astimezone(dt.UTC).date() <= self.until


@dataclasses.dataclass(frozen=True, slots=True)
class Capture:
    """A body as a server sent it (content encoding undone), kept for good."""

    url: str
    """The canonical address that was asked for."""
    final_url: str
    """After redirects."""
    fetched_at: dt.datetime
    """In UTC; of the request that brought the body, also when it is read again from disk."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    sha256: str
    """Hex digest of `body`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A document that a listing names, before its page is fetched."""

    id: str
    """Unique in the source and without white space, e.g. ``2611.01234v1``."""
    url: str
    """The page to fetch; the document's address where `text` holds it already."""
    published_at: dt.datetime
    """Aware, in UTC."""
    license: str | None
    """SPDX identifier where there is one, else the license's address; None: the source doesn't say."""
    title: str | None = None
    language: str | None = None
    """BCP 47 primary tag that the source states; the crawl checks it against the text."""
    stratum: str = ""
    """What a seeded sample is balanced over: a primary category, a feed, a language."""
    corpus: str = ""
    """Suffix of the corpus that it goes to (``abstracts``); empty: the source's main one."""
    cluster: str | None = None
    """What dependent documents share; see `evalkit.corpora.store.Document.cluster`."""
    story_id: str | None = None
    """What the source says that versions in other languages share; see `evalkit.corpora.store.Document`."""
    alternates: tuple[str, ...] = ()
    """Addresses of the same text in other languages, where a page links to them: the crawl makes stories of
    what links to each other."""
    text: str | None = None
    """The document itself where the listing holds it whole: then nothing is fetched."""
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Whatever `Source.extract` needs to know again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Drop:
    """A document that will not be in the corpus, and why; every one is counted in the manifest."""

    id: str
    reason: str
    """Short, the same for all of its kind, without the document's particulars: ``no HTML version``."""
    corpus: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Remark:
    """What a listing lacks, or what is odd about it: told to the user and kept in the manifest."""

    subject: str
    """Whose listing, e.g. a feed's name."""
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a candidate's page, with what the page corrects in the candidate."""

    candidate: Candidate
    text: str


class FetchRefused(Exception):  # it is an answer, counted as a reason, not a failure
    """A body that cannot be had or must not be taken: `reason` goes into a `Drop`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Get(Protocol):
    """Fetches politely, or returns what was fetched before."""

    def __call__(self, url: str, *, accept: str = "*/*", revalidate: bool = False) -> Capture:
        """The body under a URL.

        Args:
            url: http or https; the canonical address, also where the crawl asks a mirror.
            accept: value of the ``Accept`` header.
            revalidate: the body may change within a crawl's life (a feed): a new crawl asks again,
                with the validators of the kept copy. Pages that never change leave it off.

        Raises:
            FetchRefused: robots.txt forbids it, it is not there, too large, malformed in transfer …
            evalkit.errors.CrawlError: the host cannot be reached after all retries.
        """


class Source(Protocol):
    """One kind of place that dated text comes from, with the options of one crawl.

    Three more attributes are looked for and may be missing: ``not_found_reason`` (what it means here that a
    page is not there, instead of ``HTTP 404``), ``host_policies`` (a sequence of
    `evalkit_crawlers.http.hosts.HostPolicy`, for hosts whose operators publish their limits) and
    ``obeys_reservations`` (whether a site's ``tdmrep.json`` is obeyed: for pages of the open web).
    """

    @property
    def name(self) -> str:
        """Goes into `Document.source` and the corpus's name, e.g. ``arxiv``."""

    @property
    def extractor(self) -> str:
        """Program and version that make the text, e.g. ``trafilatura 2.3.1, evalkit arxiv 1``."""

    @property
    def query(self) -> Mapping[str, str]:
        """The options that choose documents, for the manifest: the same query finds the same ones."""

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop | Remark]:
        """Everything that the listings name in the window, in an order that depends on them alone.

        What lies outside of the window, is a later version, or cannot be dated is a `Drop`. A listing that
        cannot be had is a `Remark` where the source can go on without it, else the error goes on. Either way
        the crawl knows of it: what may be had another day makes its corpora incomplete.
        """

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The text of a fetched page: a pure function of its arguments, never cut short.

        It is called in a child process with limits of time and memory (`evalkit_crawlers.text.apart`), so
        that the source is pickled: its class stands in a module, and it holds nothing but values.
        """
