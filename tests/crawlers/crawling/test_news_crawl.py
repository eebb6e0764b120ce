"""News and Wikipedia from a server to corpora, over HTTP and through the whole crawl."""

import dataclasses
import datetime as dt
import threading
from pathlib import Path

from evalkit.corpora.store import load_corpus, verify_corpus
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit_crawlers.http.robots import FORBIDDEN
from evalkit_crawlers.sources.feeds import load_feeds
from evalkit_crawlers.sources.news import NewsSource
from evalkit_crawlers.sources.wikipedia import WikipediaSource
from tests.support.crawling import crawl_from, parquet
from tests.support.direct import token_f1
from tests.support.replay import Reply, Request, serve
from tests.support.site_news import LANGUAGES, MAKES, ServedFeed, article, feed_table, news_site
from tests.support.site_wikipedia import wiki_page, wiki_site
from tests.support.toys import PATIENCE_S

MIDDLE = dt.datetime(2026, 11, 7, 12, tzinfo=dt.UTC)


def test_news_become_a_corpus_that_can_be_scored(tmp_path: Path) -> None:
    makes = list(MAKES)
    good = {
        language: [article(language, n, MIDDLE - n * dt.timedelta(hours=30), make=makes[n]) for n in range(6)]
        for language in LANGUAGES
    }
    first = good["en"][0]
    planted = [
        # A repost of an article in another frame, the day after; an old one under a new date.
        dataclasses.replace(
            first, path="/repost/", make="tables", published_at=MIDDLE + dt.timedelta(days=1)
        ),
        article("en", 20, MIDDLE, page_date=dt.date(2020, 1, 1)),
        article("en", 21, dt.datetime(2026, 10, 1, tzinfo=dt.UTC)),
        article("en", 22, MIDDLE, paragraphs=("Too short.",), make="plain"),
        article("en", 23, MIDDLE, paragraphs=good["ru"][0].paragraphs[:3] * 2, host="en.news.example"),
        article("en", 24, MIDDLE, license_url="https://creativecommons.org/licenses/by-nc/4.0/"),
    ]
    served = [
        ServedFeed(f"{language}.news.example", (*articles, *(planted if language == "en" else ())))
        for language, articles in good.items()
    ]
    file = tmp_path / "feeds.toml"
    file.write_text("\n".join(feed_table(feed) for feed in served))
    source = NewsSource(load_feeds(file))
    robots = {"zh.news.example": "User-agent: *\nDisallow: /stories/3/\n"}
    with serve(news_site(served, robots), [feed.host for feed in served]) as server:
        (crawled,) = crawl_from(server, source)
        num_requests = len(server.requests())
        (again,) = crawl_from(server, source)
        assert len(server.requests()) == num_requests
    assert parquet(Path("corpora") / again.corpus.name) == parquet(Path("corpora") / crawled.corpus.name)
    articles_by_url = {a.url: a for articles in good.values() for a in articles} | {a.url: a for a in planted}
    expected = {a.url for articles in good.values() for a in articles} | {planted[5].url}
    expected.remove(good["zh"][3].url)
    assert {document.url for document in crawled.corpus.documents} == expected
    for document in crawled.corpus.documents:
        original = articles_by_url[document.url or ""]
        assert token_f1(document.text, original.text) >= 0.95
        assert document.language == original.language
        assert document.published_at == original.published_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert crawled.corpus.manifest.licenses == {"CC-BY-4.0": 41, "CC-BY-NC-4.0": 1}
    dropped = {drop.id.partition("/")[2]: drop.reason for drop in crawled.drops if "/" in drop.id}
    assert dropped == {
        "repost": dropped["repost"],
        "stories/20": "feed and page disagree on the date",
        "stories/21": "published outside of the window",
        "stories/22": "shorter than 500 bytes",
        "stories/23": "not in the stated language",
        "stories/3": FORBIDDEN,
    }
    assert dropped["repost"] in ("exact duplicate", "near-duplicate")
    assert not verify_corpus(crawled.corpus.name)
    result = run(
        models=["xz"],
        corpora=[load_corpus(crawled.corpus.name)],
        options=RunOptions(output=tmp_path / "runs"),
    )
    assert 0.5 < result.ranking()[0].bits_per_byte < 4


def test_wikipedia_becomes_a_corpus() -> None:
    pages = [
        *(wiki_page(language, n, MIDDLE) for language in ("en", "ru", "zh") for n in range(3)),
        wiki_page("en", 50, MIDDLE, kind="redirect"),
        wiki_page("ru", 51, MIDDLE, kind="disambiguation"),
    ]
    hosts = [f"{language}.wikipedia.org" for language in ("en", "ru", "zh")]
    with serve(wiki_site(pages, lag={hosts[2]: 1}), hosts) as server:
        (crawled,) = crawl_from(server, WikipediaSource(("en", "ru", "zh")))
        num_requests = len(server.requests())
        crawl_from(server, WikipediaSource(("en", "ru", "zh")))
        assert len(server.requests()) == num_requests
    assert len(crawled.corpus.documents) == 9
    assert {document.source_version for document in crawled.corpus.documents} == {
        f"revision {1_000_000 + n}" for n in range(3)
    }
    assert crawled.corpus.manifest.licenses == {"CC-BY-SA-4.0": 9}
    assert crawled.corpus.manifest.num_dropped == {"disambiguation page": 1, "redirect": 1}
    assert all("/wiki/Subject" in (document.url or "") for document in crawled.corpus.documents)


def test_feeds_of_several_hosts_are_asked_at_the_same_time_and_what_they_lack_is_no_document(
    tmp_path: Path,
) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)
    served = [
        ServedFeed(f"{name}.example", (article("en", n, MIDDLE, host=f"{name}.example"),))
        for n, name in enumerate(("one", "two"))
    ]
    inner = news_site(served)

    def site(request: Request) -> Reply:
        if request.path == "/feed/":
            meeting.wait()  # breaks, and the crawl fails, unless both feeds are being asked for now
        return inner(request)

    file = tmp_path / "feeds.toml"
    file.write_text("\n".join(map(feed_table, served)))
    with serve(site, [feed.host for feed in served]) as server:
        lines: list[str] = []
        (crawled,) = crawl_from(server, NewsSource(load_feeds(file)), lines=lines)
    manifest = crawled.corpus.manifest
    assert manifest.num_documents == 2 and manifest.num_dropped == {}
    remark = "its oldest entry is newer than the window's first day"
    assert manifest.provenance["listings"].count(remark) == 2
    assert len([line for line in lines if line.endswith(remark)]) == 2
