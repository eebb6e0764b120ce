"""Whatever servers send, sources answer with candidates, texts and reasons, soon and in little memory.

Bodies are made by damaging real ones: bytes changed, cut out, repeated and moved, other encodings, and
tokens put in that parsers find hard.
"""

import contextlib
import dataclasses
import datetime as dt
import functools
import json
import random
import resource
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from evalkit_crawlers.source import Candidate, Drop, Extracted, FetchRefused, Remark
from evalkit_crawlers.sources import mediawiki
from evalkit_crawlers.sources.feeds import load_feeds, parse_feed
from evalkit_crawlers.sources.news import NewsSource
from evalkit_crawlers.sources.wikipedia import WikipediaSource
from evalkit_crawlers.sources.wikipedia_text import article_text
from evalkit_crawlers.text import pages
from tests.support.direct import NOW, WINDOW, DirectGet, capture
from tests.support.replay import Reply, Request
from tests.support.site_news import FORMATS, LANGUAGES, MAKES, article, page
from tests.support.site_wikipedia import wiki_page, wiki_site

MIDDLE = dt.datetime(2026, 11, 7, 12, tzinfo=dt.UTC)
MOST_TIMES = 800
"""Most processor time for a body, in times of all undamaged pages together; the worst known takes 50."""
MOST_MEMORY_KIB = 600 << 10
"""What all examples of a test may add to the largest size of the process."""

ARTICLES = [
    article(language, number, MIDDLE, make=make)
    for number, (language, make) in enumerate(zip(LANGUAGES, [*MAKES, "plain"], strict=True))
]
FEEDS = [make(ARTICLES, charset) for make in FORMATS.values() for charset in ("utf-8", "utf-16")]
PAGES = [page(story) for story in ARTICLES]
WIKI_PAGES = [wiki_page("en", number, MIDDLE, formula="a^{2}") for number in range(4)]
TOKENS = [
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"<?xml version='1.1'?>",
    b"&#0;",
    b"&#x110000;",
    b"&lt;",
    b"&a;",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"<div>" * 400,
    b"<item>" * 200,
    b"</item>",
    b"<a href='http://[::1'>",
    b"&" * 2000,
    b"<" * 2000,
    b"[" * 3000,
    b'{"a":' * 500,
    b"1e999",
    b"-1",
    b"null",
    b'"\\ud800"',
    b"9" * 400,
    b"<table>" * 100,
    b"<pubDate>Thu, 99 Foo 0000 99:99:99 +9999</pubDate>",
    b"<script>",
    b"<style>",
    b"<title>",
    b"<math>",
    b"<base href='x:'>",
]


@st.composite
def damaged(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """One of the bodies after one to eight damages."""
    body = bytearray(draw(st.sampled_from(bodies)))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 8))):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.choice([1, 4, 40, 1000]))
        match draw(st.sampled_from(["change", "cut", "repeat", "token", "move"])):
            case "change":
                body[start:end] = bytes(chance.randrange(256) for _ in range(end - start))
            case "cut":
                del body[start:end]
            case "repeat":
                body[start:start] = body[start:end] * 20
            case "token":
                body[start:start] = chance.choice(TOKENS)
            case "move":
                piece = body[start:end]
                del body[start:end]
                to = chance.randrange(len(body) + 1)
                body[to:to] = piece
    return bytes(body)


CONTENT_TYPES = st.sampled_from(
    [
        "text/html",
        "text/html; charset=utf-8",
        "application/xml; charset=iso-8859-1",
        "text/html; charset=utf-16",
        "text/html; charset=hex",
        "text/html; charset=shift_jis",
        "application/xhtml+xml;",
        ";;charset=''",
    ]
)

quick = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@functools.cache
def undamaged_pages_s() -> float:
    """Processor time in which this machine reads the undamaged pages: the measure of all other times."""
    times_s = []
    for _ in range(5):
        start_s = time.process_time()
        for body in PAGES:
            pages.read_page(capture(body))
        times_s.append(time.process_time() - start_s)
    return min(times_s)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Nothing takes for ever; on a slow machine everything takes longer."""
    start_s = time.process_time()
    yield
    elapsed_s = time.process_time() - start_s
    assert elapsed_s < MOST_TIMES * undamaged_pages_s()


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY_KIB


@seed(1)
@settings(quick, max_examples=160)
@given(damaged(FEEDS), CONTENT_TYPES)
def test_damaged_feeds(body: bytes, content_type: str) -> None:
    with in_time():
        try:
            entries = parse_feed(capture(body, content_type))
        except FetchRefused as refusal:
            assert refusal.reason
            return
    for entry in entries:
        assert entry.url is None or entry.url.startswith(("http://", "https://"))
        assert entry.published_at is None or entry.published_at.tzinfo is dt.UTC


@seed(2)
@settings(quick, max_examples=40)
@given(damaged(FEEDS[::2]), damaged(PAGES))
def test_damaged_feeds_and_pages_through_the_source(feed_body: bytes, page_body: bytes) -> None:
    def site(request: Request) -> Reply:
        return Reply(
            feed_body if "feed" in request.path else page_body, headers={"Content-Type": "text/html"}
        )

    feed = dataclasses.replace(load_feeds()[0], site="news.example", paged=False)
    source, get = NewsSource((feed,)), DirectGet(site)
    with in_time():
        for item in source.discover(WINDOW, get):
            if isinstance(item, Remark):
                assert item.subject == feed.name and item.text
                continue
            assert isinstance(item, Candidate | Drop) and item.id.split() == [item.id]
            if isinstance(item, Candidate):
                assert isinstance(source.extract(item, get(item.url)), Extracted | Drop)


@seed(3)
@settings(quick, max_examples=160)
@given(damaged(PAGES), CONTENT_TYPES)
def test_damaged_pages(body: bytes, content_type: str) -> None:
    with in_time():
        try:
            result = pages.read_page(capture(body, content_type))
        except FetchRefused as refusal:
            assert refusal.reason
            return
    result.text.encode()  # no lone surrogates
    assert result.published_on is None or result.published_on <= NOW.date() + dt.timedelta(days=1)


ANSWERS = [
    DirectGet(wiki_site(WIKI_PAGES))(
        mediawiki.question("https://en.wikipedia.org/w/api.php", parameters)
    ).body
    for parameters in (
        {
            "action": "query",
            "list": "logevents",
            "letype": "create",
            "lenamespace": "0",
            "ledir": "newer",
            "lestart": "2026",
            "leend": "2027",
            "lelimit": "2",
        },
        {"action": "query", "revids": "1000000|1000001|7", "ususers": "Writer"},
        {"action": "parse", "oldid": "1000002"},
    )
]


@seed(4)
@settings(quick, max_examples=120)
@given(st.data())
def test_damaged_answers_of_the_api(data: st.DataObject) -> None:
    """Each question gets its own answer, damaged; so does the one for what was discovered."""
    bodies = [data.draw(damaged([answer])) if data.draw(st.booleans()) else answer for answer in ANSWERS]

    def site(request: Request) -> Reply:
        kind = 2 if request.query["action"] == "parse" else 0 if "letype" in request.query else 1
        return Reply(bodies[kind])

    source, get = WikipediaSource(("en",)), DirectGet(site)
    with in_time():
        for item in source.discover(WINDOW, get):
            assert isinstance(item, Candidate | Drop) and item.id.split() == [item.id]
            if isinstance(item, Candidate):
                assert isinstance(source.extract(item, get(item.url)), Extracted | Drop)


# Values where the API has others: what damaged bytes seldom give, since most of them are no JSON.
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just("2026-11-07T12:00:00Z"),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from(["revid", "name", "code"]), values, max_size=3)
    ),
    max_leaves=6,
)


@seed(5)
@settings(quick, max_examples=150)
@given(st.data())
def test_answers_with_odd_values(data: st.DataObject) -> None:
    contents = [json.loads(answer) for answer in ANSWERS]
    for content in contents:
        for _ in range(data.draw(st.integers(0, 2))):
            container = content
            while True:
                keys = list(container) if isinstance(container, dict) else list(range(len(container)))
                if not keys:
                    break
                key = data.draw(st.sampled_from(keys))
                if (
                    isinstance(container[key], dict | list)
                    and container[key]
                    and data.draw(st.integers(0, 3))
                ):
                    container = container[key]
                    continue
                container[key] = data.draw(ODD)
                break

    def site(request: Request) -> Reply:
        kind = 2 if request.query["action"] == "parse" else 0 if "letype" in request.query else 1
        return Reply(json.dumps(contents[kind]).encode())

    source, get = WikipediaSource(("en",)), DirectGet(site)
    for item in source.discover(WINDOW, get):
        assert isinstance(item, Candidate | Drop) and item.id.split() == [item.id]
        if isinstance(item, Candidate):
            assert isinstance(source.extract(item, get(item.url)), Extracted | Drop)


@pytest.mark.slow
def test_the_largest_pages_that_are_read() -> None:
    html = "<p>a" * (pages.MAX_ELEMENTS - 10)  # the worst that was found
    with in_time():
        pages.read_page(capture(html.encode()))
    with in_time():
        article_text(html)


@pytest.mark.parametrize("piece", ["<li>x", "x <br>", "<b><i>", "<a href=", "&nbsp;", "<!--", "a"])
def test_pages_that_are_much_of_the_same(piece: str) -> None:
    html = "<p>" + piece * (2_000_000 // len(piece))
    with in_time(), contextlib.suppress(FetchRefused):
        pages.read_page(capture(html.encode()))


@pytest.mark.parametrize(
    "piece",
    [
        "<item>",
        "<item/>",
        "<item><link>http://x.example/</link></item>",
        "<a>",
        "<a/>",
        "&lt;",
        "&x;",
        "<![CDATA[",
        "<!--",
        "</",
        "<a b='",
        "\n",
    ],
)
def test_feeds_that_are_much_of_the_same(piece: str) -> None:
    body = '<rss version="2.0"><channel>' + piece * ((4 << 20) // len(piece) - 10)
    with in_time(), contextlib.suppress(FetchRefused):
        parse_feed(capture(body.encode()))
