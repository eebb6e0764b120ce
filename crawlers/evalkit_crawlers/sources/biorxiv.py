"""bioRxiv and medRxiv: preprints by the day on which their first version was posted.

    evalkit crawl biorxiv --since 2026-11-01 --until 2026-11-15
    evalkit crawl biorxiv --server medrxiv --since 2026-11-01 --until 2026-11-15

The API (https://api.biorxiv.org) lists what was posted on each day, revisions included: only version 1
counts. Where its authors gave a license that lets everybody republish it (CC BY, CC0), the full text is taken
from the JATS XML that the API names. The abstracts of all are a corpus of their own, each under its paper's
license.

The servers ask that texts are not re-hosted but where the author's license says so, and that bulk downloads
go to their S3 buckets, which the requester pays (https://www.biorxiv.org/tdm, https://www.medrxiv.org/tdm):
that is why no other full texts are asked for.
"""

import dataclasses
import datetime as dt
import html
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Annotated

import typer

from evalkit.corpora.licenses import may_republish
from evalkit.errors import CrawlError, unknown_name
from evalkit.files import parse_json
from evalkit_crawlers.command import crawl_command
from evalkit_crawlers.http.hosts import HostPolicy
from evalkit_crawlers.source import (
    Candidate,
    Capture,
    CrawlWindow,
    Drop,
    Extracted,
    FetchRefused,
    Get,
    Source,
)
from evalkit_crawlers.text import jats

API = "https://api.biorxiv.org/details"
SERVERS = ("biorxiv", "medrxiv")
ABSTRACTS = "abstracts"
MAX_PAGES = 5000
OUTSIDE = "published outside of the window"
NOT_AN_ANSWER = "answer is not the API's"

_LICENSES = {
    "cc_by": "CC-BY-4.0",
    "cc_by_nc": "CC-BY-NC-4.0",
    "cc_by_nd": "CC-BY-ND-4.0",
    "cc_by_sa": "CC-BY-SA-4.0",
    "cc_by_nc_nd": "CC-BY-NC-ND-4.0",
    "cc_by_nc_sa": "CC-BY-NC-SA-4.0",
    "cc0": "CC0-1.0",
}
_DOI = re.compile(r"10\.\d{4,9}/[!-~]+")
# The servers' own marks in abstracts: O_LI and C_LI open and close an item, O_ST_ABS a heading.
_HEADING, _ITEM, _SMALL, _MARK = (
    re.compile(r"\s*O_ST_ABS(.*?)C_ST_ABS\s*", re.DOTALL),
    re.compile(r"\s*[OC]_LI\s*"),
    re.compile(r"[OC]_SCP(?:LOW|CAP)"),
    re.compile(r"[OC]_[A-Z]{2}"),
)
_TAG = re.compile(r"</?[a-z]+[^<>]*>")


@dataclasses.dataclass(frozen=True)
class BiorxivSource:
    """Preprints whose first version was posted in the window."""

    name: str = "biorxiv"
    """The server's: ``biorxiv`` or ``medrxiv``."""
    extractor: str = dataclasses.field(
        default_factory=lambda: f"evalkit jats {jats.VERSION}, lxml {version('lxml')}"
    )
    not_found_reason: str = "no XML of the full text"
    host_policies: tuple[HostPolicy, ...] = (
        # No pace is published for the API; that of robots.txt counts where it is slower.
        HostPolicy("biorxiv", ("*.biorxiv.org", "*.medrxiv.org"), delay_s=2.0, interfaces=("/details/",)),
    )

    @property
    def query(self) -> dict[str, str]:
        """The server."""
        return {"server": self.name}

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        """Two candidates for a preprint, its text where it is licensed and its abstract, in the API's order.

        Raises:
            CrawlError: the listing does not end.
            FetchRefused: it cannot be had.
        """
        cursor = 0
        for _ in range(MAX_PAGES):
            rows, total = self._page(window, cursor, get)
            for row in rows:
                yield from self._of_row(row, window)
            cursor += len(rows)
            if not rows or cursor >= total:
                return
        raise CrawlError(
            f"{API}/{self.name}: the listing does not end after {MAX_PAGES} pages; ask for fewer days"
        )

    def _page(self, window: CrawlWindow, cursor: int, get: Get) -> tuple[list[Mapping[str, object]], int]:
        """Rows of the listing from one on, and how many there are in all."""
        url = f"{API}/{self.name}/{window.since}/{window.until}/{cursor}/json"
        try:
            answer = parse_json(get(url, accept="application/json", revalidate=True).body)
        except ValueError:
            raise FetchRefused(NOT_AN_ANSWER) from None
        message, rows = _message(answer), answer.get("collection") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FetchRefused(NOT_AN_ANSWER)
        if message.get("status") != "ok":
            # "no posts found": nothing was posted, or the cursor is behind the end.
            if rows or "no posts" not in str(message.get("status")):
                raise FetchRefused(f"the API says {str(message.get('status'))[:80]}")
            return [], 0
        total = str(message.get("total"))
        if not total.isdecimal():
            raise FetchRefused(NOT_AN_ANSWER)
        return rows, int(total)

    def _of_row(self, row: Mapping[str, object], window: CrawlWindow) -> Iterator[Candidate | Drop]:
        doi, number = _text(row, "doi"), _text(row, "version")
        if not _DOI.fullmatch(doi):
            yield Drop(f"{self.name}-{''.join(doi.split()) or 'unknown'}", "listed without DOI")
            return
        if not number.isdecimal() or len(number) > 4:
            yield Drop(doi, "listed without a version")
            return
        id = f"{doi}v{number}"
        posted_at = _noon(_text(row, "date"))
        if number != "1":
            yield Drop(id, "not the first version")
        elif posted_at is None:
            yield Drop(id, "listed without a date")
        elif posted_at not in window:
            yield Drop(id, OUTSIDE)
        elif "withdraw" in _text(row, "type").lower():
            yield Drop(id, "withdrawn")
        else:
            yield from self._candidates(id, doi, posted_at, row)

    def _candidates(
        self, id: str, doi: str, posted_at: dt.datetime, row: Mapping[str, object]
    ) -> Iterator[Candidate | Drop]:
        license = _LICENSES.get(_text(row, "license").lower())
        abstract = Candidate(
            id=f"{id}-abstract",
            url=f"https://www.{self.name}.org/content/{id}",
            published_at=posted_at,
            license=license,
            title=_plain(_text(row, "title")) or None,
            language="en",
            stratum=_text(row, "category").lower(),
            corpus=ABSTRACTS,
            text=abstract_text(_text(row, "abstract")),
            attributes={"source_version": "v1", "doi": doi},
        )
        address = _text(row, "jatsxml")
        if not may_republish(license):
            yield Drop(id, "license allows the abstract only" if license else "no license that allows reuse")
        elif not re.match(rf"https?://([a-z]+\.)?{self.name}\.org/", address):
            yield Drop(id, self.not_found_reason)
        else:
            yield dataclasses.replace(abstract, id=id, url=address, corpus="", text=None)
        if not abstract.text:
            yield Drop(abstract.id, "no abstract", ABSTRACTS)
        elif _MARK.search(abstract.text):
            yield Drop(abstract.id, "abstract with the server's own marks", ABSTRACTS)
        else:
            yield abstract

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The article of the XML; a drop where it is another one, or under another license."""
        try:
            article = jats.read_article(capture.body)
        except FetchRefused as refusal:
            return Drop(candidate.id, refusal.reason)
        if not article.has_body:
            return Drop(candidate.id, jats.NO_BODY)
        if article.doi not in (None, candidate.attributes["doi"]):
            return Drop(candidate.id, "XML of another article")
        if article.license not in (None, candidate.license):
            return Drop(candidate.id, "listing and article disagree on the license")
        page = f"https://www.{self.name}.org/content/{candidate.id}"
        return Extracted(dataclasses.replace(candidate, url=page), article.text)


def _message(answer: object) -> Mapping[str, object]:
    messages = answer.get("messages") if isinstance(answer, dict) else None
    message = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(message, dict):
        raise FetchRefused(NOT_AN_ANSWER)
    return message


def _text(row: Mapping[str, object], key: str) -> str:
    """A field of a row, empty where there is none; the API writes numbers as texts, mostly."""
    value = row.get(key)
    return str(value).strip() if isinstance(value, str | int) else ""


def _noon(text: str) -> dt.datetime | None:
    """In the middle of a day, which is near in any zone."""
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(12), dt.UTC)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """A line of the API's without tags and references."""
    return " ".join(html.unescape(_TAG.sub("", text)).split())


def abstract_text(text: str) -> str:
    r"""An abstract without the marks that the servers leave in it: headings and items stand by themselves.

    >>> abstract_text("O_ST_ABSBackgroundC_ST_ABSIt was O_SCPLOWsmallC_SCPLOW. O_LIOne C_LIO_LITwo C_LI")
    'Background\n\nIt was small.\n\nOne\n\nTwo'
    """
    text = _HEADING.sub(r"\n\1\n", text)
    text = _SMALL.sub("", _ITEM.sub("\n", text))
    return "\n\n".join(filter(None, map(_plain, text.splitlines())))


@crawl_command
def command(
    server: Annotated[str, typer.Option("--server", help="biorxiv or medrxiv.")] = SERVERS[0],
) -> Source:
    """Preprints of bioRxiv or medRxiv posted in the window: full texts where licensed, and abstracts."""
    if server not in SERVERS:
        raise unknown_name("server", server, SERVERS, f"--server may be {' or '.join(SERVERS)}.")
    return BiorxivSource(server)
