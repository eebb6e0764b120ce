"""Foreign pages and feeds read in a child process: the same texts, and an end to those that have none."""

import datetime as dt
import hashlib

import pytest

from evalkit.isolation import WorkLimits
from evalkit_crawlers.crawling.extraction import extract_apart
from evalkit_crawlers.source import Candidate, Capture, Drop, Extracted, FetchRefused
from evalkit_crawlers.sources.arxiv import ArxivSource
from evalkit_crawlers.sources.feeds import parse_feed
from evalkit_crawlers.sources.news import NewsSource
from evalkit_crawlers.text import pages
from evalkit_crawlers.text.apart import apart, apart_within
from tests.conftest import DATA
from tests.support import site_news

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
SHORT = WorkLimits(max_cpu_s=0.5)


def capture(body: bytes, media_type: str = "text/html") -> Capture:
    digest = hashlib.sha256(body).hexdigest()
    return Capture(
        "https://x.example/", "https://x.example/", NOON, {"content-type": media_type}, body, digest
    )


def candidate(id: str = "x") -> Candidate:
    return Candidate(id, "https://x.example/", NOON, None)


@pytest.mark.parametrize("make", site_news.MAKES)
def test_a_page_says_in_a_child_what_it_says_here(make: str) -> None:
    for language in site_news.LANGUAGES:
        article = site_news.article(language, 3, NOON, make=make)
        page = capture(site_news.page(article))
        assert apart(pages.read_page, page) == pages.read_page(page)


def test_a_source_makes_in_a_child_what_it_makes_here() -> None:
    paper = capture((DATA / "crawlers" / "arxiv" / "paper.html").read_bytes())
    source = ArxivSource()
    result = extract_apart(source, candidate("2611.00001v1"), paper)
    assert result == source.extract(candidate("2611.00001v1"), paper)
    assert isinstance(result, Extracted)


def test_a_feed_and_a_refusal_come_as_they_are() -> None:
    feed = b"<rss version='2.0'><channel><item><title>A</title><link>https://a.example/b</link></item></channel></rss>"
    (entry,) = apart(parse_feed, capture(feed, "application/xml"))
    assert (entry.title, entry.url) == ("A", "https://a.example/b")
    with pytest.raises(FetchRefused, match=r"^not a feed$"):
        apart(parse_feed, capture(b"no feed"))


def attributes() -> bytes:
    names = " ".join(f"a{number}=x" for number in range(100_000))
    return f"<html><body><article><p {names}>Some text.</p></article></body></html>".encode()


def bold_words() -> bytes:
    return b"<html><body><article><p>" + b"<b>word</b> " * 19_000 + b"</p></article></body></html>"


def marks_on_a_letter() -> bytes:
    article = '<article class="ltx_document"><p class="ltx_p">e' + "\u0300\u0316" * 100_000
    return f"<html><body>{article}</p></article></body></html>".encode()


@pytest.mark.parametrize(
    ("source", "body"),
    [
        (NewsSource(), attributes()),
        (NewsSource(), bold_words()),
        (ArxivSource(), marks_on_a_letter()),
    ],
)
def test_pages_that_take_a_library_minutes_end_with_their_time(
    source: NewsSource | ArxivSource, body: bytes
) -> None:
    """Attributes, bold words, marks on one letter: 19 s and more on a fast machine."""
    result = extract_apart(source, candidate(), capture(body), SHORT)
    assert result == Drop("x", "extraction took more than 0.5 s of processor time")


def test_memory_has_an_end_too() -> None:
    limits = WorkLimits(max_memory_bytes=100 << 20)
    feed = b"<rss>" + b"<a/>" * 1_000_000
    with pytest.raises(FetchRefused, match=r"^extraction needed more than 100 MiB$"):
        apart_within(limits, parse_feed, capture(feed, "application/xml"))
