"""OAI-PMH: what a harvest brings, and what it refuses."""

import dataclasses
import datetime as dt
import hashlib
import tracemalloc
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml.etree import _Element

from evalkit.errors import CrawlError
from evalkit_crawlers.source import Capture, FetchRefused
from evalkit_crawlers.sources import oai
from tests.support import site_arxiv
from tests.support.replay import Request, Site
from tests.support.site_arxiv import Paper

URL = "https://oaipmh.arxiv.org/oai"
DAY = dt.date(2026, 11, 20)


class KeepingGet:
    """What the crawl hands to a source, without a wire: it keeps what it got and never asks twice."""

    def __init__(self, site: Site, today: dt.date = DAY) -> None:
        self.site, self.today = site, today
        self.captures: dict[str, Capture] = {}
        self.requested_urls: list[str] = []

    def __call__(self, url: str, *, accept: str = "*/*", revalidate: bool = False) -> Capture:
        if url not in self.captures:
            self.requested_urls.append(url)
            parts = urlsplit(url)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            reply = self.site(Request(parts.hostname or "", parts.path, query, {"accept": accept}))
            if reply.status != 200:
                raise FetchRefused(f"HTTP {reply.status}")
            moment = dt.datetime.combine(self.today, dt.time(12), dt.UTC)
            digest = hashlib.sha256(reply.body).hexdigest()
            self.captures[url] = Capture(url, url, moment, dict(reply.headers), reply.body, digest)
        return self.captures[url]


def answering(*bodies: bytes) -> KeepingGet:
    """A server that gives these answers one after the other."""
    remaining = list(bodies)
    return KeepingGet(lambda request: site_arxiv.Reply(remaining.pop(0)))


def numbered_paper(number: int, day: int = 3, **changes: object) -> Paper:
    first = dt.datetime(2026, 11, day, 12, tzinfo=dt.UTC)
    unchanged = Paper(f"2611.{number:05}", f"Paper {number}", "An abstract.", None, first)
    return dataclasses.replace(unchanged, **changes)


def text_of(element: _Element) -> str:
    return "".join(map(str, element.itertext()))


def harvest(get: KeepingGet, **arguments: object) -> list[str]:
    records = oai.list_records(get, URL, text_of, metadata_prefix="arXivRaw", **arguments)
    return [record.identifier.removeprefix("oai:arXiv.org:") for record in records]


@pytest.mark.parametrize("page_size", [1, 7, 10, 1000])
def test_every_record_comes_once_over_resumption_tokens(page_size: int) -> None:
    papers = [numbered_paper(number, day=1 + number % 5) for number in range(53)]
    get = KeepingGet(site_arxiv.arxiv_site(papers, page_size=page_size))
    identifiers = harvest(get, since=dt.date(2026, 11, 1))
    assert sorted(identifiers) == [paper.id for paper in papers]
    assert len(get.requested_urls) == -(-53 // page_size)


def test_the_window_is_that_of_the_last_change_and_both_ends_count() -> None:
    papers = [numbered_paper(day, day=day) for day in range(1, 11)]  # changed two days after
    get = KeepingGet(site_arxiv.arxiv_site(papers))
    assert harvest(get, since=dt.date(2026, 11, 5), until=dt.date(2026, 11, 7)) == [
        "2611.00003",
        "2611.00004",
        "2611.00005",
    ]


def test_sets_select() -> None:
    papers = [
        numbered_paper(1),
        numbered_paper(2, categories="math.AG cs.CL"),
        numbered_paper(3, categories="hep-th"),
    ]
    site = site_arxiv.arxiv_site(papers)
    assert harvest(KeepingGet(site), set_spec="cs:cs:CL") == ["2611.00001", "2611.00002"]
    assert harvest(KeepingGet(site), set_spec="physics:hep-th") == ["2611.00003"]
    assert harvest(KeepingGet(site), set_spec="cs:cs") == ["2611.00001", "2611.00002"]


def test_a_deleted_record_has_no_metadata() -> None:
    get = KeepingGet(site_arxiv.arxiv_site([numbered_paper(1, deleted=True)]))
    (record,) = oai.list_records(get, URL, text_of, metadata_prefix="arXivRaw")
    assert record.deleted
    assert record.metadata is None


def test_no_match_is_an_empty_list() -> None:
    assert harvest(KeepingGet(site_arxiv.arxiv_site([]))) == []


@pytest.mark.parametrize("one_day", [False, True])
@pytest.mark.parametrize("kill_after", [1, 2, 4])
def test_a_token_that_died_overnight_costs_no_record(one_day: bool, kill_after: int) -> None:
    """Killed after some pages, resumed on the next day: kept pages answer, the dead token is replaced."""
    day = [DAY]
    papers = [numbered_paper(number, day=3 if one_day else 1 + number % 6) for number in range(40)]
    site = site_arxiv.arxiv_site(papers, page_size=6, today=lambda: day[0])
    get = KeepingGet(site)
    records = oai.list_records(get, URL, text_of, metadata_prefix="arXivRaw", since=dt.date(2026, 11, 1))
    for _ in range(6 * kill_after):
        next(records)
    day[0] = get.today = DAY + dt.timedelta(days=1)
    first_urls = list(get.requested_urls)
    identifiers = harvest(get, since=dt.date(2026, 11, 1))
    assert sorted(identifiers) == [paper.id for paper in papers]
    assert len(get.requested_urls) == len(set(get.requested_urls)), "nothing that was had is asked for again"
    assert get.requested_urls[: len(first_urls)] == first_urls


def test_a_token_that_died_is_fatal_where_order_does_not_tell_what_is_missing() -> None:
    unordered = site_arxiv.list_of([numbered_paper(2, day=9), numbered_paper(1, day=2)], "next")
    with pytest.raises(CrawlError, match="badResumptionToken"):
        harvest(answering(unordered, site_arxiv.error("badResumptionToken")))


def test_a_first_answer_that_blames_the_token_is_an_error() -> None:
    with pytest.raises(CrawlError, match="badResumptionToken"):
        harvest(answering(site_arxiv.error("badResumptionToken")))


BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY a "&lol;&lol;&lol;&lol;&lol;">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;">]>
<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/" a="&d;">&d;</OAI-PMH>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>
<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><error code="x">&file;</error></OAI-PMH>"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (BOMB, "refused as hostile"),
        (OUTSIDE, "refused as hostile"),
        (BOMB.replace(b"<!DOCTYPE", b"<!DOC\x00TYPE"), "refused as hostile"),
        (BOMB.decode().encode("utf-16"), "not UTF-8"),
        (b"", "no XML"),
        (b"<html><body>Down for maintenance</body></html>", "no OAI-PMH but <html>"),
        (site_arxiv.list_of([numbered_paper(1)])[:-40], "no XML"),
        (site_arxiv.answer("<Identify/>"), "neither records nor an error"),
        (site_arxiv.answer("<ListRecords><record/></ListRecords>"), "no identifier"),
        (site_arxiv.error("badArgument", "until date\n too late"), r"badArgument \(until date too late\)"),
        (b"<a>" * 300 + b"</a>" * 300, "no XML"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_answer_is_one_clear_error(body: bytes, message: str) -> None:
    with pytest.raises(CrawlError, match=message) as error:
        harvest(answering(body))
    assert str(error.value).startswith(URL)
    assert "\n" not in str(error.value)


def test_a_list_that_cannot_be_had_is_an_error_and_no_empty_list() -> None:
    with pytest.raises(CrawlError, match=r"the list cannot be had \(HTTP 503\)"):
        harvest(KeepingGet(lambda request: site_arxiv.Reply(status=503)))


def test_control_characters_in_old_abstracts_cost_nothing() -> None:
    body = site_arxiv.list_of([numbered_paper(1)]).replace(b"An abstract.", b"An \x0babstract\x1b.")
    (record,) = oai.list_records(answering(body), URL, text_of, metadata_prefix="arXivRaw")
    assert record.metadata is not None
    assert "An abstract." in record.metadata


def test_a_list_in_circles_is_left() -> None:
    with pytest.raises(CrawlError, match="in circles"):
        harvest(
            answering(
                site_arxiv.list_of([numbered_paper(1)], "t"), site_arxiv.list_of([numbered_paper(2)], "t")
            )
        )


def test_an_endless_list_is_left() -> None:
    numbers = iter(range(10**9))
    endless = KeepingGet(
        lambda request: site_arxiv.Reply(site_arxiv.list_of([numbered_paper(1)], f"t{next(numbers)}"))
    )
    with pytest.raises(CrawlError, match="brings nothing new"):
        harvest(endless)
    assert len(endless.requested_urls) <= oai.MAX_BARREN_PAGES + 2


def test_an_entity_bomb_takes_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(CrawlError):
        harvest(answering(BOMB))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


SEED = site_arxiv.list_of(
    [numbered_paper(1), numbered_paper(2, deleted=True), numbered_paper(3, license=None)],
    "verb%3DListRecords",
)
PIECES = [
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
    b"&a;",
    b"&#0;",
    b"&#xD800;",
    b"<record>",
    b"</record>",
    b"<resumptionToken>x</resumptionToken>",
    b"<error code='noRecordsMatch'/>",
    b"<![CDATA[",
    b"<!--",
    b"<?xml version='1.0' encoding='utf-16'?>",
    b"<header status='deleted'/>",
    b"\xff",
    b"\x00",
    b"<metadata>\xf0\x9f\x98\x80</metadata>",
]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_answers_give_records_or_a_crawl_error(data: st.DataObject) -> None:
    body = bytearray(SEED)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(body)))
        piece = bytes(body[start : start + data.draw(st.integers(0, 200))])
        body[start : start + len(piece)] = data.draw(
            st.sampled_from([b"", piece * 2, piece[::-1], *PIECES]) | st.binary(max_size=30)
        )
    get = answering(bytes(body), *[site_arxiv.list_of([numbered_paper(9)])] * 3)
    try:
        for record in oai.list_records(get, URL, text_of, metadata_prefix="arXivRaw"):
            assert record.identifier
    except CrawlError as error:
        assert "\n" not in str(error)
        assert "extraction" not in str(error)  # what a library raised over it
