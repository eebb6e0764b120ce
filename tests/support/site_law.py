"""The Federal Register's API and legislation.gov.uk as far as a crawler sees them.

The API's answers have the form of https://www.federalregister.gov/developers/documentation/api/v1, its files that
of https://github.com/usgpo/bulk-data; the feeds that of https://legislation.github.io/data-documentation/formats/
atom.html, the items' XML that of https://legislation.github.io/clml-schema/.
"""
# ruff: noqa: E501  (markup is easier to read unbroken)

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from html import escape

from tests.support.replay import Reply, Request, Site

US_HOST, UK_HOST = "www.federalregister.gov", "www.legislation.gov.uk"
HOSTS = [US_HOST, UK_HOST]
UK_PAGE_SIZE = 20


@dataclasses.dataclass(frozen=True)
class Document:
    """A document of the Federal Register."""

    number: int
    paragraphs: tuple[str, ...]
    published: dt.date = dt.date(2026, 11, 5)
    stated: dt.date | None = None
    """The day that its row states; None: the true one."""
    kind: str = "Rule"
    has_xml: bool = True
    xml: str | None = None

    @property
    def id(self) -> str:
        return f"us-2026-{self.number:05d}"

    @property
    def path(self) -> str:
        return f"/documents/full_text/xml/{self.published:%Y/%m/%d}/2026-{self.number:05d}.xml"

    def row(self) -> dict[str, object]:
        return {
            "document_number": self.id.removeprefix("us-"),
            "title": f"Safety Zone Number {self.number}",
            "type": self.kind,
            "publication_date": (self.stated or self.published).isoformat(),
            "agency_names": [f"Agency {self.number % 7}", "Department"],
            "full_text_xml_url": f"https://{US_HOST}{self.path}" if self.has_xml else None,
            "html_url": f"https://{US_HOST}/documents/{self.published:%Y/%m/%d}/{self.id[3:]}/safety-zone",
        }

    def file(self) -> bytes:
        if self.xml is not None:
            return self.xml.encode()
        root = {"Rule": "RULE", "Proposed Rule": "PRORULE", "Notice": "NOTICE"}[self.kind]
        paragraphs = "".join(f"<P>{escape(text)}</P>" for text in self.paragraphs)
        return (
            f'<{root}><PREAMB><PRTPAGE P="1"/><AGENCY TYPE="F">DEPARTMENT</AGENCY><SUBJECT>Safety Zone Number {self.number}'
            f'</SUBJECT></PREAMB><SUPLINF><HD SOURCE="HED">SUPPLEMENTARY INFORMATION:</HD>{paragraphs}</SUPLINF>'
            f"<FRDOC>[FR Doc. 2026-{self.number:05d}]</FRDOC><BILCOD>BILLING CODE 1</BILCOD></{root}>"
        ).encode()


@dataclasses.dataclass(frozen=True)
class Item:
    """An item of legislation.gov.uk."""

    number: int
    paragraphs: tuple[str, ...]
    published: dt.date = dt.date(2026, 11, 5)
    stated: dt.date | None = None
    """The day that its entry states; None: the true one."""
    kind: str = "uksi"
    publisher: str = "Statute Law Database"
    has_xml: bool = True
    xml: str | None = None

    @property
    def id(self) -> str:
        return f"uk-{self.kind}-2026-{self.number}"

    @property
    def path(self) -> str:
        return f"/{self.kind}/2026/{self.number}/made/data.xml"

    def entry(self) -> str:
        base = f"http://{UK_HOST}/{self.kind}/2026/{self.number}"
        xml = f'<link rel="alternate" type="application/xml" href="http://{UK_HOST}{self.path}" title="XML"/>'
        day = self.stated or self.published
        return f"""<entry><id>http://{UK_HOST}/id/{self.kind}/2026/{self.number}</id><title>The Order Number {self.number} &amp; More 2026</title>
<link rel="self" href="http://{UK_HOST}/id/{self.kind}/2026/{self.number}"/><link href="{base}/made"/>
{xml if self.has_xml else ""}<link rel="alternate" type="application/pdf" href="{base}/made/data.pdf"/>
<author><name/></author><updated>2026-11-20T09:00:00Z</updated><published>{day}T10:00:00Z</published>
<ukm:DocumentMainType Value="UnitedKingdomStatutoryInstrument"/><ukm:Year Value="2026"/><summary>It orders.</summary></entry>"""

    def file(self) -> bytes:
        if self.xml is not None:
            return self.xml.encode()
        rules = "".join(
            f"<P1group><Title>Rule</Title><P1><Pnumber>{place}</Pnumber><P1para><Text>{escape(text)}</Text></P1para></P1></P1group>"
            for place, text in enumerate(self.paragraphs, 1)
        )
        return f"""<?xml version="1.0"?><Legislation xmlns="http://www.legislation.gov.uk/namespaces/legislation">
<ukm:Metadata xmlns:ukm="http://www.legislation.gov.uk/namespaces/metadata" xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>Metadata</dc:title><dc:publisher>{self.publisher}</dc:publisher></ukm:Metadata>
<Secondary><SecondaryPrelims><Number>2026 No. {self.number}</Number><Title>The Order Number {self.number}</Title></SecondaryPrelims>
<Body>{rules}</Body></Secondary></Legislation>""".encode()


def law_site(documents: Sequence[Document], items: Sequence[Item]) -> Site:
    """Both hosts: listings by day, and the files."""
    files = {(US_HOST, document.path): document.file() for document in documents}
    files |= {(UK_HOST, item.path): item.file() for item in items}

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            text = "User-agent: *\nCrawl-delay: 3\nDisallow: /api/\n" if request.host == US_HOST else ""
            return Reply(text.encode(), 200 if text else 404, {"Content-Type": "text/plain"})
        if request.path == "/api/v1/documents.json":
            return _us_listing(request, documents)
        if request.host == UK_HOST and request.path.startswith("/new/"):
            return _uk_feed(request, items)
        body = files.get((request.host, request.path))
        return Reply(b"Not found", 404) if body is None else Reply(body, headers={"Content-Type": "text/xml"})

    return site


def _us_listing(request: Request, documents: Sequence[Document]) -> Reply:
    day, page = request.query["conditions[publication_date][is]"], int(request.query["page"])
    size = int(request.query["per_page"])
    rows = [document.row() for document in documents if document.published.isoformat() == day]
    part = rows[(page - 1) * size : page * size]
    answer: dict[str, object] = {"count": len(rows), "description": f"Documents published on {day}"}
    if part:  # as on Sundays, when there is none
        answer |= {"total_pages": -(-len(rows) // size), "results": part}
    return Reply(json.dumps(answer).encode(), headers={"Content-Type": "application/json"})


def _uk_feed(request: Request, items: Sequence[Item]) -> Reply:
    day, page = request.path.split("/")[2], int(request.query.get("page", "1"))
    listed = [item for item in items if item.published.isoformat() == day]
    part = listed[(page - 1) * UK_PAGE_SIZE : page * UK_PAGE_SIZE]
    following = (
        f'<link rel="next" href="http://{UK_HOST}/new/{day}/data.feed?page={page + 1}"/>'
        if len(listed) > page * UK_PAGE_SIZE
        else ""
    )
    return Reply(
        f"""<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:ukm="http://www.legislation.gov.uk/namespaces/metadata">
<id>http://{UK_HOST}/new/{day}/data.feed</id><title>New legislation</title>{following}{"".join(item.entry() for item in part)}</feed>""".encode(),
        headers={"Content-Type": "application/atom+xml"},
    )
