"""The law source: whole crawls of servers that speak as federalregister.gov and legislation.gov.uk do."""
# ruff: noqa: E501  (markup is easier to read unbroken)

import dataclasses
import datetime as dt
import itertools
import json
from typing import Any

import pytest

from evalkit.corpora.licenses import PUBLIC_DOMAIN, may_republish
from evalkit.errors import UsageError
from evalkit_crawlers.source import Candidate, CrawlWindow, Drop, FetchRefused
from evalkit_crawlers.sources import federal_register, legislation_uk
from evalkit_crawlers.sources.law import LawSource, command, parse_jurisdictions
from tests.support.crawling import crawl_from, reasons
from tests.support.direct import WINDOW, DirectGet, capture
from tests.support.replay import FakeClock, Reply, serve
from tests.support.site_law import HOSTS, UK_HOST, US_HOST, Document, Item, law_site
from tests.support.toy_source import prose

KEPT = "kept"
DAY = CrawlWindow(dt.date(2026, 11, 5), dt.date(2026, 11, 5))


def paragraphs(name: str) -> tuple[str, ...]:
    return tuple(prose(f"{name} {part}") for part in range(2))


def planted() -> tuple[list[Document], list[Item], dict[str, str], dict[str, str]]:
    """180 documents and 120 items, and what becomes of each."""
    documents: list[Document] = []
    items: list[Item] = []
    of_documents: dict[str, str] = {}
    of_items: dict[str, str] = {}

    def day(number: int) -> dt.date:
        return dt.date(2026, 11, 1 + number % 14)

    def plant_us(count: int, outcome: str, **changes: Any) -> None:
        for number in range(len(documents) + 1, len(documents) + 1 + count):
            kind = ("Rule", "Proposed Rule", "Notice")[number % 3]
            document = Document(number, paragraphs(f"us {number}"), day(number), kind=kind)
            documents.append(dataclasses.replace(document, **changes))
            of_documents[document.id] = outcome

    def plant_uk(count: int, outcome: str, **changes: Any) -> None:
        for number in range(len(items) + 1, len(items) + 1 + count):
            item = Item(
                number, paragraphs(f"uk {number}"), day(number), kind=("uksi", "ssi", "ukpga")[number % 3]
            )
            items.append(dataclasses.replace(item, **changes))
            of_items[items[-1].id] = outcome

    plant_us(130, KEPT)
    plant_us(10, "no XML", has_xml=False)
    plant_us(10, "listed under another day", stated=dt.date(2026, 10, 31))
    plant_us(5, "shorter than 500 bytes", paragraphs=("Short.",))
    plant_us(5, "not a document of the Federal Register", xml="<html><body>Are you a robot?</body></html>")
    plant_us(10, "near-duplicate", paragraphs=paragraphs("us 1"), published=dt.date(2026, 11, 15))
    plant_us(10, KEPT, kind="Notice")
    # Of days that nobody asks for.
    documents += [Document(900 + n, paragraphs(f"b {n}"), dt.date(2026, 10, 31)) for n in range(5)]
    plant_uk(80, KEPT)
    plant_uk(10, "under a second license", publisher="Westlaw")
    plant_uk(10, "no legislation of the United Kingdom", kind="ukia")
    plant_uk(5, "listed under another day", stated=dt.date(2026, 11, 20))
    plant_uk(5, "no XML", has_xml=False)
    plant_uk(5, "no text in the XML", xml="<Legislation><Metadata>only pictures</Metadata></Legislation>")
    plant_uk(5, "not legislation in CLML", xml="<error/>")
    items += [Item(900, paragraphs("b uk"), dt.date(2026, 11, 16))]
    return documents, items, of_documents, of_items


@pytest.mark.slow
def test_three_hundred_laws() -> None:
    documents, items, of_documents, of_items = planted()
    assert (len(of_documents), len(of_items)) == (180, 120)
    with serve(law_site(documents, items), HOSTS, FakeClock()) as server:
        uk, us = crawl_from(server, LawSource())
        most_open = dict(server.most_open)
        times = {host: [entry.time_s for entry in server.log if entry.request.host == host] for host in HOSTS}
        paths = [(request.host, request.path, str(request.query)) for request in server.requests()]
    for crawled, expected in ((us, of_documents), (uk, of_items)):
        outcome = {**reasons(crawled), **{document.id: KEPT for document in crawled.corpus.documents}}
        assert outcome == expected
    assert [crawled.corpus.name for crawled in (us, uk)] == [
        "law-2026-11-01-2026-11-15-us",
        "law-2026-11-01-2026-11-15-uk",
    ]
    assert dict(us.corpus.manifest.licenses) == {PUBLIC_DOMAIN: 140} and may_republish(PUBLIC_DOMAIN)
    assert dict(uk.corpus.manifest.licenses) == {"OGL-UK-3.0": 80} and may_republish("OGL-UK-3.0")
    assert most_open == {US_HOST: 1, UK_HOST: 1} and len(set(paths)) == len(paths)
    gaps_s = {host: [b - a for a, b in itertools.pairwise(times[host])] for host in HOSTS}
    assert min(gaps_s[UK_HOST]) >= 1
    # robots.txt asks for three seconds, and speaks of the interface no more than that.
    assert min(gaps_s[US_HOST][-150:]) >= 3
    document = us.corpus.documents[0]
    original = next(document_ for document_ in documents if document_.id == document.id)
    title = f"Safety Zone Number {original.number}"
    blocks = ["DEPARTMENT", title, "SUPPLEMENTARY INFORMATION:", *original.paragraphs]
    assert document.text == "\n\n".join(blocks)
    assert (
        document.url
        == f"https://{US_HOST}/documents/{original.published:%Y/%m/%d}/{original.id[3:]}/safety-zone"
    )
    assert document.published_at == f"{original.published}T12:00:00Z" and document.title == title
    item = uk.corpus.documents[0]
    first = next(candidate for candidate in items if candidate.id == item.id)
    assert item.text.startswith(
        f"2026 No. {first.number} The Order Number {first.number}\n\nRule\n\n1 {first.paragraphs[0]}"
    )
    assert item.url == f"https://{UK_HOST}/{first.kind}/2026/{first.number}"


def entries(name: str, body: bytes) -> list[Candidate | Drop]:
    return list(LawSource((name,)).discover(DAY, DirectGet(lambda request: Reply(body))))


def test_a_day_without_documents() -> None:
    assert entries("us", b'{"count": 0, "description": "None"}') == []
    assert entries("uk", b'<feed xmlns="http://www.w3.org/2005/Atom"/>') == []


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("us", b"<html>", "answer is not the API's"),
        ("us", b"[]", "answer is not the API's"),
        ("us", b'{"count": 1, "results": ["row"]}', "answer is not the API's"),
        ("us", b'{"count": 2001, "results": []}', "more than 2000 documents on 2026-11-05"),
        ("uk", b"<html/>", "not an Atom feed"),
        ("uk", b"{}", "not well-formed XML"),
    ],
)
def test_a_listing_that_is_none_takes_the_other_jurisdiction_not_along(
    name: str, body: bytes, reason: str
) -> None:
    assert entries(name, body) == [Drop(name, f"listing: {reason}", name)]


def test_rows_without_what_a_document_needs() -> None:
    row = Document(1, ()).row()
    for change in ({"document_number": None}, {"document_number": "a b"}):
        body = json.dumps({"count": 1, "results": [row | change]}).encode()
        assert entries("us", body) == [Drop("us-2026-11-05-unknown", "listed without number", "us")]
    body = json.dumps(
        {"count": 1, "results": [row | {"full_text_xml_url": "https://elsewhere.example/x.xml"}]}
    )
    assert entries("us", body.encode()) == [Drop("us-2026-00001", "no XML", "us")]
    entry = "<feed xmlns='http://www.w3.org/2005/Atom'><entry><id>urn:x</id><title>T</title></entry></feed>"
    assert entries("uk", entry.encode()) == [Drop("uk-2026-11-05-unknown", "listed without identifier", "uk")]


def test_a_long_day_has_pages() -> None:
    items = [Item(number, ()) for number in range(1, 46)]
    get = DirectGet(law_site([], items))
    listed = list(LawSource(("uk",)).discover(WINDOW, get))
    assert [entry.id for entry in listed] == [item.id for item in items]
    assert [url.partition(UK_HOST)[2] for url in get.requested_urls if "11-05" in url] == [
        *("/new/2026-11-05/data.feed", "/new/2026-11-05/data.feed?page=2", "/new/2026-11-05/data.feed?page=3")
    ]


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ('<P>CO<E T="52">2</E> at 10<SU>6</SU> <E T="03">et seq.</E></P>', "CO_2 at 10^6 et seq."),
        ("<P>Noted.<SU>4</SU><FTREF/></P><FTNT><P><SU>4</SU> See it.</P></FTNT>", "Noted.\n\nSee it."),
        ("<SECTION><SECTNO>§ 165.1</SECTNO><SUBJECT>Zone.</SUBJECT><P>(a) Here.</P><STARS/></SECTION>",
         "§ 165.1 Zone.\n\n(a) Here.\n\n* * * * *"),
        ('<GPOTABLE COLS="2"><TTITLE>Table 1</TTITLE><BOXHD><CHED H="1">A</CHED><CHED H="1">B</CHED></BOXHD><ROW>'
         '<ENT I="01">1</ENT><ENT>2</ENT></ROW><TNOTE>Note.</TNOTE></GPOTABLE>', "Table 1\n\nA | B\n1 | 2\n\nNote."),
        ("<GPH><GID>ER12</GID></GPH><P>After.</P>", "After."),
    ],
)  # fmt: skip
def test_structures_of_the_federal_register(xml: str, expected: str) -> None:
    assert federal_register.text_of_document(capture(f"<RULE>{xml}</RULE>".encode())) == expected


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<P1><Pnumber>1</Pnumber><P1para><P2><Pnumber>a</Pnumber><P2para><Text>In <Term>it</Term>, m<Superior>2"
         "</Superior>.</Text></P2para></P2></P1para></P1>", "1 a In it, m^2."),
        ("<Part><Number>PART 1</Number><Title>Words</Title><P1group><Title>Sense</Title><P1><Pnumber>3</Pnumber>"
         "<P1para><Text>See <Citation>an Act</Citation><FootnoteRef Ref='f1'/>.</Text></P1para></P1></P1group></Part>",
         "PART 1 Words\n\nSense\n\n3 See an Act."),
        ("<P><UnorderedList><ListItem><Para><Text>a</Text></Para></ListItem><ListItem><Para><Text>b</Text></Para>"
         "</ListItem></UnorderedList></P>", "a\nb"),
        ("<Tabular><table xmlns='http://www.w3.org/1999/xhtml'><tbody><tr><td>A</td><td>B</td></tr></tbody></table>"
         "</Tabular>", "A | B"),
        ("<Footnotes><Footnote><FootnoteText>1998 c. 1</FootnoteText></Footnote></Footnotes><Text>Law.</Text>", "Law."),
    ],
)  # fmt: skip
def test_structures_of_legislation(xml: str, expected: str) -> None:
    assert legislation_uk.text_of_item(capture(f"<Legislation>{xml}</Legislation>".encode())) == expected


def test_jurisdictions_are_checked() -> None:
    assert parse_jurisdictions(None) == ("us", "uk") and parse_jurisdictions("UK,uk") == ("uk",)
    with pytest.raises(UsageError, match="unknown jurisdiction 'eu'"):
        command(since="2026-11-01", until="2026-11-15", jurisdictions=["eu"])
    with pytest.raises(UsageError, match="names none"):
        parse_jurisdictions(" , ")


def test_a_feed_without_end_is_left() -> None:
    day = dt.date(2026, 11, 5)
    endless = law_site([], [Item(number, (), day) for number in range(1, 2000)])
    with pytest.raises(FetchRefused, match="feed of more than 50 pages"):
        list(legislation_uk.discover(DAY, DirectGet(endless)))
