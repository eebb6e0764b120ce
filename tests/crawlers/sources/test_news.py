"""The news source: which articles of a window it finds, and why it leaves out the others."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit_crawlers.source import Candidate, CrawlWindow, Drop, Remark
from evalkit_crawlers.sources.feeds import Feed, load_feeds
from evalkit_crawlers.sources.news import DISAGREE, OUTSIDE, UNDATED, NewsSource, command
from tests.support.direct import WINDOW, DirectGet, capture, crawl_directly, reasons, remarks_of, token_f1
from tests.support.replay import Reply, Request
from tests.support.site_news import (
    FORMATS,
    LANGUAGES,
    MAKES,
    Article,
    ServedFeed,
    article,
    feed_table,
    news_site,
)

DAY = dt.timedelta(days=1)
MIDDLE = dt.datetime(2026, 11, 7, 12, tzinfo=dt.UTC)


def feed(served: ServedFeed, **changes: object) -> Feed:
    language = served.articles[0].language if served.articles else "en"
    fields = {
        "name": served.host,
        "url": f"https://{served.host}/feed/",
        "site": served.host,
        "license": "CC-BY-4.0",
        "language": language,
        "paged": served.per_page is not None,
    }
    return Feed(**{**fields, **changes})  # type: ignore[arg-type]


def test_articles_of_many_makes_formats_and_languages(tmp_path: Path) -> None:
    makes, formats = list(MAKES), list(FORMATS)
    served = [
        ServedFeed(
            f"{language}.news.example",
            tuple(
                article(language, n, MIDDLE - n * dt.timedelta(hours=5), make=makes[(n + k) % 6])
                for n in range(6)
            ),
            format=formats[k % 3],
        )
        for k, language in enumerate(LANGUAGES)
    ]
    file = tmp_path / "feeds.toml"
    file.write_text("\n".join(feed_table(served_feed) for served_feed in served))
    extracted, drops, _ = crawl_directly(NewsSource(load_feeds(file)), news_site(served))
    articles_by_url = {story.url: story for served_feed in served for story in served_feed.articles}
    assert {result.candidate.url for result in extracted} == set(articles_by_url)
    # Feeds that reach no further back than this say so; those cannot be had from their first page alone.
    assert drops == []
    remarks = remarks_of(NewsSource(load_feeds(file)), news_site(served))
    assert {remark.text for remark in remarks} == {"its oldest entry is newer than the window's first day"}
    assert len(remarks) == 7
    for result in extracted:
        original = articles_by_url[result.candidate.url]
        assert token_f1(result.text, original.text) >= 0.95
        assert result.candidate.published_at == original.published_at
        assert result.candidate.title == original.title
        assert result.candidate.language == original.language
        assert result.candidate.license == "CC-BY-4.0"
        assert result.candidate.cluster == original.host
        assert result.candidate.id.split() == [result.candidate.id]
    assert len({result.candidate.id for result in extracted}) == 42


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"page_date": (MIDDLE - DAY).date()}, None),
        ({"page_date": (MIDDLE + DAY).date()}, None),
        ({"page_date": (MIDDLE - 2 * DAY).date()}, DISAGREE),
        ({"page_date": (MIDDLE + 2 * DAY).date()}, DISAGREE),
        ({"page_date": dt.date(2019, 3, 1)}, DISAGREE),  # a repost of something old
        ({"page_date": None}, None),
        ({"feed_date": "updated"}, None),
        ({"feed_date": "updated", "page_date": None}, UNDATED),
        ({"feed_date": "updated", "page_date": dt.date(2026, 10, 20)}, DISAGREE),
        ({"feed_date": "none"}, None),
        ({"feed_date": "none", "page_date": None}, UNDATED),
        ({"feed_date": "none", "page_date": dt.date(2026, 10, 20)}, OUTSIDE),
        ({"feed_date": "none", "page_date": None, "path": "/2026/11/06/story/"}, None),
        ({"feed_date": "none", "page_date": None, "path": "/2026/10/06/story/"}, OUTSIDE),
        ({"feed_date": "none", "page_date": dt.date(2026, 10, 6), "path": "/2026/11/06/story/"}, DISAGREE),
        ({"feed_date": "none", "page_date": None, "path": "/2026-11-06-story.html"}, None),
        ({"feed_date": "none", "page_date": None, "path": "/2026/11/10-things-to-know"}, UNDATED),
        ({"feed_date": "none", "page_date": dt.date(2026, 11, 6), "path": "/2026/10/10-things"}, None),
        ({"feed_date": "none", "page_date": None, "path": "/2026/11-10"}, UNDATED),
        ({"published_at": dt.datetime(2026, 11, 1, 0, 0, tzinfo=dt.UTC)}, None),
        ({"published_at": dt.datetime(2026, 10, 31, 23, 59, 59, tzinfo=dt.UTC)}, OUTSIDE),
        ({"published_at": dt.datetime(2026, 11, 15, 23, 59, 59, tzinfo=dt.UTC)}, None),
        ({"published_at": dt.datetime(2026, 11, 16, tzinfo=dt.UTC)}, OUTSIDE),
        ({"redirect_to": "https://elsewhere.example/"}, "HTTP 404"),
        ({"redirect_to": "https://old.example/stories/1/"}, "redirected to another site"),
    ],
)
def test_dates_of_feed_and_page_are_checked_against_each_other(
    changes: dict[str, Any], reason: str | None
) -> None:
    story = dataclasses.replace(article("en", 1, MIDDLE, make="portal"), **changes)
    served = ServedFeed(story.host, (story,), format="atom")
    old = ServedFeed("old.example", (article("en", 1, MIDDLE, host="old.example"),))
    extracted, drops, _ = crawl_directly(NewsSource((feed(served),)), news_site([served, old]))
    assert {drop.reason for drop in drops} == ({reason} if reason else set())
    assert len(extracted) == (reason is None)


def test_a_page_without_text() -> None:
    candidate = Candidate("x", "https://news.example/story", MIDDLE, None)
    result = NewsSource().extract(candidate, capture(b"<html><body><img src='x.jpg'></body></html>"))
    assert result == Drop("x", "no text found on the page")


def test_an_article_is_listed_once() -> None:
    story = article("en", 1, MIDDLE)
    first = ServedFeed(story.host, (story, story))
    again = ServedFeed("digest.news.example", (story,))
    source = NewsSource((feed(first), feed(again, site="news.example")))
    extracted, drops, get = crawl_directly(source, news_site([first, again]))
    assert len(extracted) == 1
    assert reasons(drops)["listed more than once"] == 2
    assert get.requested_urls.count(story.url) == 1


def test_links_to_other_sites_are_left_out() -> None:
    """A license is a site's; what its feed links to is somebody else's."""
    story = article("en", 1, MIDDLE, host="others.example")
    served = ServedFeed("en.news.example", (story,))
    extracted, drops, get = crawl_directly(NewsSource((feed(served),)), news_site([served]))
    assert not extracted and reasons(drops)["entry of another site"] == 1
    assert get.requested_urls == ["https://en.news.example/feed/"]


def test_a_mention_elsewhere_does_not_keep_an_article_from_its_own_feed() -> None:
    story = article("en", 1, MIDDLE, host="others.example")
    mentioning, publishing = ServedFeed("en.news.example", (story,)), ServedFeed(story.host, (story,))
    extracted, drops, _ = crawl_directly(
        NewsSource((feed(mentioning), feed(publishing))), news_site([mentioning, publishing])
    )
    assert [result.candidate.url for result in extracted] == [story.url]
    assert reasons(drops) == {"entry of another site": 1}


def test_a_feed_without_entries_is_told_of() -> None:
    body = b"<rss version='2.0'><channel><title>t</title></channel></rss>"
    empty = feed(ServedFeed("empty.example", ()))
    entries = list(NewsSource((empty,)).discover(WINDOW, DirectGet(lambda _: Reply(body))))
    assert entries == [Remark("empty.example", "it has no entries")]


@pytest.mark.parametrize(
    ("page_license", "license"),
    [
        (None, "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0"),
        ("https://example.org/all-rights-reserved", "https://example.org/all-rights-reserved"),
    ],
)
def test_a_page_has_the_last_word_on_its_license(page_license: str | None, license: str) -> None:
    story = article("en", 1, MIDDLE, license_url=page_license)
    served = ServedFeed(story.host, (story,))
    extracted, _, _ = crawl_directly(NewsSource((feed(served),)), news_site([served]))
    assert [result.candidate.license for result in extracted] == [license]


def paged(num_articles: int, **changes: object) -> ServedFeed:
    articles = tuple(article("en", n, MIDDLE - n * DAY) for n in range(num_articles))
    return ServedFeed("en.news.example", articles, **{"per_page": 10, **changes})  # type: ignore[arg-type]


def test_a_paged_feed_is_read_back_to_the_window_and_no_further() -> None:
    served = paged(100)
    window = CrawlWindow(dt.date(2026, 10, 1), dt.date(2026, 10, 7))  # the 32nd to 38th article
    extracted, drops, get = crawl_directly(NewsSource((feed(served),)), news_site([served]), window)
    assert len(extracted) == 7
    assert reasons(drops) == {OUTSIDE: 43}
    assert [url for url in get.requested_urls if "/feed/" in url][1:] == [
        f"https://en.news.example/feed/?paged={n}" for n in (2, 3, 4, 5)
    ]


def test_a_paged_feed_ends() -> None:
    served = paged(25)
    extracted, drops, get = crawl_directly(
        NewsSource((feed(served),)), news_site([served]), CrawlWindow(dt.date(2020, 1, 1), WINDOW.until)
    )
    assert len(extracted) == 25 and not drops
    assert get.requested_urls[:4] == [
        "https://en.news.example/feed/",
        *(f"https://en.news.example/feed/?paged={n}" for n in (2, 3, 4)),
    ]


def test_a_feed_that_repeats_its_first_page_ends() -> None:
    served = paged(10, per_page=None)
    extracted, _, get = crawl_directly(
        NewsSource((feed(served, paged=True),)),
        news_site([served]),
        CrawlWindow(dt.date(2020, 1, 1), WINDOW.until),
    )
    assert len(extracted) == 10
    assert len([url for url in get.requested_urls if "/feed/" in url]) == 2


def test_a_feed_without_end_is_left() -> None:
    def endless(request: Request) -> Reply:
        number = int(request.query.get("paged", "1"))
        return Reply(FORMATS["rss"]([article("en", number, MIDDLE, host=request.host)]))

    source = NewsSource((feed(ServedFeed("en.news.example", ()), paged=True),))
    get = DirectGet(endless)
    entries = list(source.discover(WINDOW, get))
    assert len(get.requested_urls) == 200
    assert entries[-1] == Remark("en.news.example", "it has more than 200 pages")


def test_one_feed_that_fails_does_not_take_the_others_along() -> None:
    good = ServedFeed("es.news.example", (article("es", 1, MIDDLE),))
    lost = feed(ServedFeed("gone.example", ()))
    extracted, drops, _ = crawl_directly(NewsSource((lost, feed(good))), news_site([good]))
    assert [result.candidate.language for result in extracted] == ["es"]
    assert drops == []
    source = NewsSource((lost, feed(good)))
    assert Remark("gone.example", "HTTP 404") in remarks_of(source, news_site([good]))


def test_the_same_listings_give_the_same_candidates() -> None:
    served = [
        paged(30),
        ServedFeed("ru.news.example", tuple(article("ru", n, MIDDLE) for n in range(5)), "rdf"),
    ]
    source = NewsSource(tuple(map(feed, served)))
    first, second = (list(source.discover(WINDOW, DirectGet(news_site(served)))) for _ in range(2))
    assert first == second
    assert sum(isinstance(item, Candidate) for item in first) == 12


def test_the_query_names_the_feeds_and_pins_what_is_known_of_them() -> None:
    served = paged(1)
    source, relicensed = NewsSource((feed(served),)), NewsSource((feed(served, license="CC0-1.0"),))
    assert source.query["feeds"] == "en.news.example"
    assert len(source.query["feeds_sha256"]) == 64 and source.query != relicensed.query
    assert source.query == NewsSource((feed(served),)).query


def test_bad_options_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--feeds .*none\.toml: it cannot be read"):
        command(since="2026-11-01", until="2026-11-15", feeds=tmp_path / "none.toml")
    with pytest.raises(UsageError, match="lies before"):
        command(since="2026-11-15", until="2026-11-01")


def test_a_page_is_extracted_without_its_feed() -> None:
    """As `evalkit corpora rebuild` does, which knows neither feed nor title."""
    story: Article = article("hi", 1, MIDDLE)
    get = DirectGet(news_site([ServedFeed(story.host, (story,))]))
    result = NewsSource().extract(Candidate("x", story.url, MIDDLE, None), get(story.url))
    assert not isinstance(result, Drop)
    assert token_f1(result.text, story.text) >= 0.95 and result.candidate.language == "hi"
