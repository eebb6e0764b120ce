"""legislation.gov.uk: acts and instruments of the United Kingdom by the day on which they were published.

Listed by the feeds of new legislation, one for each day (https://www.legislation.gov.uk/new/2026-11-03/data.feed;
https://legislation.github.io/data-documentation/api/search.html): historical items that are uploaded now are
not in them. The text is that of the XML that an entry names, in the Crown Legislation Markup Language
(https://legislation.github.io/clml-schema/). All of it is under the Open Government Licence 3.0
(https://legislation.github.io/data-documentation/reuse-licence.html); what comes from the EU or from Westlaw
is under a second license, and is left out.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from evalkit_crawlers.source import Candidate, Capture, CrawlWindow, Drop, FetchRefused, Get
from evalkit_crawlers.text.apart import apart
from evalkit_crawlers.text.formulas import formula_text
from evalkit_crawlers.text.xml_text import (
    Structures,
    children_named,
    descendants_named,
    line_of,
    local_name,
    names,
    parse_xml,
    script_of,
    text_of,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

NAME = "uk"
HOST = "www.legislation.gov.uk"
LICENSE = "OGL-UK-3.0"
MAX_PAGES = 50
"""Of a day's feed."""
VERSION = 1
"""Counts up with every change of the text that comes out."""

TYPES = names(
    "ukpga ukla ukppa asp nia ukcm mwa anaw asc uksi ssi wsi nisr ukci nisi ukmo nisro ukdsi sdsi "
    "nidsr nidsi wdsi"
)
"""https://legislation.github.io/data-documentation/model/uris.html; feeds have other entries too."""

_ID = re.compile(rf"https?://{re.escape(HOST)}/id/([a-z]+)/([A-Za-z0-9/.-]+)")


class Entry(NamedTuple):
    """What a feed says of an item."""

    kind: str
    """``uksi``; empty where the entry has no identifier."""
    number: str
    """``2026/1234``."""
    title: str
    xml_url: str | None
    published_on: str | None
    """``YYYY-MM-DD``, where the entry says it itself."""


class FeedPage(NamedTuple):
    """A page of a day's feed."""

    entries: tuple[Entry, ...]
    has_next: bool


def discover(window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
    """The items that were published on each day of the window, in the feeds' order.

    Raises:
        FetchRefused: a feed cannot be had, or does not end.
    """
    day = window.since
    while day <= window.until:
        yield from _of_day(day, get)
        day += dt.timedelta(days=1)


def feed_address(day: dt.date, page: int) -> str:
    """The address of a page of a day's feed."""
    return f"https://{HOST}/new/{day}/data.feed" + (f"?page={page}" if page > 1 else "")


def _of_day(day: dt.date, get: Get) -> Iterator[Candidate | Drop]:
    for page in range(1, MAX_PAGES + 1):
        capture = get(feed_address(day, page), accept="application/atom+xml", revalidate=True)
        feed = apart(read_feed, capture.body)
        for entry in feed.entries:
            yield _candidate(entry, day)
        if not feed.has_next or not feed.entries:
            return
    raise FetchRefused(f"feed of more than {MAX_PAGES} pages")


def read_feed(body: bytes) -> FeedPage:
    """A page of a feed.

    Raises:
        FetchRefused: it is none.
    """
    root = parse_xml(body)
    if local_name(root) != "feed":
        raise FetchRefused("not an Atom feed")
    has_next = any(link.get("rel") == "next" for link in children_named(root, "link"))
    return FeedPage(tuple(_entry(entry) for entry in children_named(root, "entry")), has_next)


def _entry(entry: "_Element") -> Entry:
    def text(name: str) -> str:
        return next((line_of("".join(child.itertext())) for child in children_named(entry, name)), "")

    match = _ID.fullmatch(text("id"))
    addresses = [
        link.get("href")
        for link in children_named(entry, "link")
        if link.get("type") == "application/xml" and link.get("rel") == "alternate" and link.get("href")
    ]
    kind, number = match.groups() if match else ("", "")
    return Entry(kind, number, text("title"), next(iter(addresses), None), text("published")[:10] or None)


def _candidate(entry: Entry, day: dt.date) -> Candidate | Drop:
    if not entry.kind:
        return Drop(f"uk-{day}-unknown", "listed without identifier", NAME)
    id = f"uk-{entry.kind}-{entry.number.replace('/', '-')}"
    if entry.kind not in TYPES:
        return Drop(id, "no legislation of the United Kingdom", NAME)
    if entry.published_on not in (None, day.isoformat()):
        return Drop(id, "listed under another day", NAME)
    address = (entry.xml_url or "").replace("http://", "https://", 1)
    if not address.startswith(f"https://{HOST}/"):
        return Drop(id, "no XML", NAME)
    return Candidate(
        id=id,
        url=address,
        published_at=dt.datetime.combine(day, dt.time(12), dt.UTC),
        license=LICENSE,
        title=entry.title or None,
        stratum=f"{NAME} {entry.kind}",
        corpus=NAME,
        attributes={"page": f"https://{HOST}/{entry.kind}/{entry.number}"},
    )


def text_of_item(capture: Capture) -> str:
    """The text of an item's XML; empty where there is only a picture of its pages.

    Raises:
        FetchRefused: it is none, or under a second license.
    """
    root = parse_xml(capture.body)
    if local_name(root) != "Legislation":
        raise FetchRefused("not legislation in CLML")
    publishers = {line_of("".join(tag.itertext())) for tag in descendants_named(root, "publisher")}
    if "Westlaw" in publishers:
        raise FetchRefused("under a second license")
    return text_of(root, _STRUCTURES)


def _script(element: "_Element") -> str:
    return script_of(element, "sup" if local_name(element) == "Superior" else "sub")


_STRUCTURES = Structures(
    blocks=names(
        "Legislation Primary Secondary Body PrimaryPrelims SecondaryPrelims Title Subtitle LongTitle "
        "DateOfEnactment PrimaryPreamble SecondaryPreamble IntroductoryText EnactingText "
        "EnactingTextOmitted SubjectInformation Subject MadeDate LaidDate ComingIntoForce "
        "ComingIntoForceClauses Approved Draft Correction Resolution RoyalPresence Group Part Chapter "
        "Pblock PsubBlock P1group P2group P3group P1 P2 P3 P4 P5 P6 P7 P P1para P2para P3para P4para "
        "P5para P6para P7para Para Text ParaText AppendText Schedules Schedule ScheduleBody "
        "TitleBlock Reference Appendix Form BlockAmendment BlockText BlockExtract Tabular TableText "
        "UnorderedList OrderedList KeyList KeyListItem Where Formula SignedSection Signatory Signee "
        "DateSigned PersonName JobTitle Department Address AddressLine ExplanatoryNotes EarlierOrders "
        "Comment AppendixBody FragmentTitle LaidDraft SiftedDate table caption"
    ),
    lines=names("ListItem tr"),
    cells=names("td th"),
    labels=names("Number FragmentNumber Pnumber Key"),
    inline=names(
        "Emphasis Strong SmallCaps Underline Uppercase Citation CitationSubRef CitationListRef "
        "InternalLink ExternalLink Term Definition Abbreviation Acronym Addition Substitution Repeal "
        "Amendment Span Proviso InlineAmendment DateText thead tbody tfoot Expanded Quote Foreign "
        "Strike DecoratedGroup GroupItem GroupItemRef"
    ),
    special={"Superior": _script, "Inferior": _script, "Character": lambda _: " ", "math": formula_text},
)
