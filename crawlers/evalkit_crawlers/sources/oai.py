"""Harvesting metadata by OAI-PMH 2.0, as arXiv speaks it.

Format: https://www.openarchives.org/OAI/openarchivesprotocol.html.

Why not a library: oaipmh-scythe and its like bring an HTTP client of their own. Here every answer has to
come through the crawl's `Get`, which keeps the pace that arXiv asks for on its one connection, keeps every
body, and answers again from what it kept, so that a harvest that was killed goes on where it was. What is
left of the protocol is to follow resumption tokens and to read a few elements.

What a server sends is not trusted: an answer is read in a child process with limits of time and memory,
documents with a DOCTYPE (entity bombs, files drawn in from outside) are refused before a parser sees them,
and a list that goes in circles or never ends is left.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlencode

from evalkit.errors import CrawlError
from evalkit_crawlers.source import FetchRefused, Get
from evalkit_crawlers.text.apart import apart

if TYPE_CHECKING:
    from lxml.etree import _Element

M = TypeVar("M")

NAMESPACE = "{http://www.openarchives.org/OAI/2.0/}"
MAX_PAGES = 10_000
"""Five times what arXiv needs for all its papers (2,000 records a page)."""
MAX_BARREN_PAGES = 100
"""Pages in a row without a new record: a restarted list has a few, an endless one more."""
MAX_RESTARTS = 20

# Not characters of XML 1.0; a few old abstracts hold them, and they would make a whole page unreadable.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclasses.dataclass(frozen=True, slots=True)
class Record(Generic[M]):
    """An item of a list."""

    identifier: str
    """E.g. ``oai:arXiv.org:2611.01234``."""
    datestamp: str
    """Day of the last change, ``YYYY-MM-DD``."""
    deleted: bool
    metadata: M | None
    """What was read from the element inside ``<metadata>``; None if there is none, or it says nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Page(Generic[M]):
    records: tuple[Record[M], ...]
    token: str | None
    """What asks for the next page; None on the last one."""
    error: tuple[str, str] | None
    """The protocol's error code, and what the server says of it."""


def list_records(
    get: Get,
    base_url: str,
    read: "Callable[[_Element], M | None]",
    *,
    metadata_prefix: str,
    since: dt.date | None = None,
    until: dt.date | None = None,
    set_spec: str | None = None,
) -> Iterator[Record[M]]:
    """Every record of a list, once, in the server's order.

    The days are those of the last *change*: OAI-PMH cannot select by publication. A token that has expired
    (arXiv's live for a day, a crawl may be resumed later) restarts the list at the last day received; that
    needs a list ordered by datestamp, as arXiv's is, and is refused otherwise.

    Args:
        get: fetches.
        base_url: of the repository, e.g. ``https://oaipmh.arxiv.org/oai``.
        read: makes a value of the element inside ``<metadata>``, in a child process: a module's function.
        metadata_prefix: the metadata's format, e.g. ``arXiv`` or ``arXivRaw``.
        since: first day of change.
        until: last day of change, included.
        set_spec: e.g. ``cs:cs:CL``; everything without one.

    Raises:
        CrawlError: an answer is malformed, hostile or an error, or the list does not end.
    """
    arguments = _list_arguments(metadata_prefix, since, until, set_spec)
    seen, tokens = set[str](), set[str]()
    # While datestamps ascend, all records up to the last day's were received, and the list can restart there.
    last_day, is_ordered, num_restarts, num_barren = "", True, 0, 0
    url = f"{base_url}?{urlencode(arguments)}"
    for _ in range(MAX_PAGES):
        page, fetched_at = _page(get, url, read)
        if page.error is not None:
            code, message = page.error
            if code == "noRecordsMatch":
                return
            if code != "badResumptionToken" or not tokens or not is_ordered or num_restarts == MAX_RESTARTS:
                raise CrawlError(f"{url}: the server answers {code} ({message}); see its OAI-PMH help page")
            num_restarts += 1
            url = f"{base_url}?{urlencode(_restarted(arguments, last_day, fetched_at.date()))}"
            continue
        num_seen = len(seen)
        for record in page.records:
            is_ordered = is_ordered and last_day <= record.datestamp
            last_day = max(last_day, record.datestamp)
            if record.identifier not in seen:
                seen.add(record.identifier)
                yield record
        if page.token is None:
            return
        num_barren = num_barren + 1 if len(seen) == num_seen else 0
        if page.token in tokens or num_barren > MAX_BARREN_PAGES:
            raise CrawlError(f"{url}: the list goes in circles and brings nothing new; --refresh it tomorrow")
        tokens.add(page.token)
        url = f"{base_url}?{urlencode({'verb': 'ListRecords', 'resumptionToken': page.token})}"
    raise CrawlError(f"{url}: the list does not end after {MAX_PAGES:,} pages; ask for fewer days or a set")


def _list_arguments(
    metadata_prefix: str, since: dt.date | None, until: dt.date | None, set_spec: str | None
) -> dict[str, str]:
    arguments = {"verb": "ListRecords", "metadataPrefix": metadata_prefix}
    if since is not None:
        arguments["from"] = since.isoformat()
    if until is not None:
        arguments["until"] = until.isoformat()
    if set_spec is not None:
        arguments["set"] = set_spec
    return arguments


def _restarted(arguments: dict[str, str], last_day: str, today: dt.date) -> dict[str, str]:
    """The same list from its last received day on, under an address that was not asked for before.

    What was asked for before is answered from what was kept, dead token included. Where the last day is the
    first one, today as last day of change makes the difference; it leaves nothing out.
    """
    return {"until": today.isoformat()} | arguments | ({"from": last_day} if last_day else {})


def _page(get: Get, url: str, read: "Callable[[_Element], M | None]") -> tuple[_Page[M], dt.datetime]:
    """A page of a list, and when it was fetched."""
    try:
        capture = get(url, accept="application/xml, text/xml", revalidate=True)
        return apart(_read_page, capture.body, url, read), capture.fetched_at
    except FetchRefused as refusal:
        raise CrawlError(
            f"{url}: the list cannot be had ({refusal.reason}); ask again with --refresh"
        ) from None


def _read_page(body: bytes, url: str, read: "Callable[[_Element], M | None]") -> _Page[M]:
    root = _parse_xml(body, url)
    if root.tag != f"{NAMESPACE}OAI-PMH":
        raise CrawlError(f"{url}: the answer is no OAI-PMH but <{root.tag}>; check the address")
    error = root.find(f"{NAMESPACE}error")
    if error is not None:
        return _Page((), None, (_short(error.get("code", "an error")), _short("".join(error.itertext()))))
    listing = root.find(f"{NAMESPACE}ListRecords")
    if listing is None:
        raise CrawlError(f"{url}: the answer holds neither records nor an error; ask again with --refresh")
    records = tuple(_record(element, url, read) for element in listing.iterfind(f"{NAMESPACE}record"))
    token = (listing.findtext(f"{NAMESPACE}resumptionToken") or "").strip()
    return _Page(records, token or None, None)


def _short(text: str) -> str:
    """What a server or parser said, fit for a message of one line."""
    return " ".join(text.split())[:200]


def _record(element: "_Element", url: str, read: "Callable[[_Element], M | None]") -> Record[M]:
    header = element.find(f"{NAMESPACE}header")
    identifier = header.findtext(f"{NAMESPACE}identifier", "").strip() if header is not None else ""
    if header is None or not identifier:
        raise CrawlError(
            f"{url}: a record has no identifier; the answer is damaged, ask again with --refresh"
        )
    metadata = element.find(f"{NAMESPACE}metadata")
    content = next(metadata.iterchildren("*"), None) if metadata is not None else None
    return Record(
        identifier=identifier,
        datestamp=header.findtext(f"{NAMESPACE}datestamp", "").strip()[:10],
        deleted=header.get("status") == "deleted",
        metadata=read(content) if content is not None else None,
    )


def _parse_xml(body: bytes, url: str) -> "_Element":
    from lxml import etree

    try:
        text = _NOT_XML.sub("", body.decode("utf-8-sig"))  # the protocol allows UTF-8 only
    except UnicodeDecodeError:
        raise CrawlError(f"{url}: the answer is not UTF-8; it is damaged, ask again with --refresh") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise CrawlError(f"{url}: the answer has a DOCTYPE, which OAI-PMH knows not; refused as hostile")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True
    )
    try:
        root: _Element = etree.fromstring(text.encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        problem = _short(str(error))
        raise CrawlError(f"{url}: the answer is no XML ({problem}); ask again with --refresh") from None
    return root
