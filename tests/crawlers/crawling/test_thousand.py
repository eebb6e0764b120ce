"""A thousand served documents with everything planted that goes wrong: exactly the right ones are kept."""

import datetime as dt
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evalkit.corpora.licenses import ARXIV_LICENSE
from evalkit_crawlers.crawling.crawl import Crawled
from evalkit_crawlers.sources.arxiv import ArxivSource
from evalkit_crawlers.sources.feeds import load_feeds
from evalkit_crawlers.sources.news import NewsSource
from evalkit_crawlers.sources.wikipedia import WikipediaSource
from tests.support.crawling import crawl_from, reasons
from tests.support.replay import FakeClock, serve
from tests.support.site_arxiv import (
    ARXIV_HOSTS,
    ARXIV_ONLY,
    CC_BY,
    CC_BY_NC_ND,
    Paper,
    arxiv_site,
    blocks,
    paragraph,
    section,
)
from tests.support.site_news import Article, ServedFeed, article, feed_table, news_site
from tests.support.site_news import prose as news_prose
from tests.support.site_wikipedia import WikiPage, wiki_page, wiki_site
from tests.support.toy_source import prose

MIDDLE = dt.datetime(2026, 11, 7, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
BEFORE, AFTER = MIDDLE - 20 * DAY, MIDDLE + 10 * DAY
LANGUAGES = ("en", "es", "ru", "ar", "zh", "hi")
KEPT = None

Expected = dict[str, str | None]
"""Document's id → why it is dropped; None: kept."""


def paper(number: int, *, like: int | None = None, **changes: object) -> Paper:
    """A paper of three paragraphs; ``like`` another one in everything but the title."""
    seed = number if like is None else like
    body = blocks(
        section("1", "Introduction", *(paragraph(prose(f"{seed}-{part}", 60)) for part in range(3)))
    )
    fields: dict[str, object] = {
        "id": f"2611.{number:05d}",
        "title": f"{prose(f'title {number}', 5)} {number}",
        "abstract": prose(f"abstract {seed}", 80),
        "body": body,
        "first": MIDDLE + (number % 7 - 3) * DAY,
        "categories": ("cs.CL", "cs.LG stat.ML", "math.CO")[number % 3],
    }
    return Paper(**{**fields, **changes})  # type: ignore[arg-type]


def papers() -> tuple[list[Paper], Expected, Expected, Counter[str | None]]:
    """500 papers, what becomes of texts and of abstracts, and the licenses of the kept texts."""
    numbers = iter(range(1, 501))
    served: list[Paper] = []
    texts: Expected = {}
    abstracts: Expected = {}

    def plant(count: int, text: str | None, abstract: str | None, **changes: object) -> None:
        for _ in range(count):
            number = next(numbers)
            moments = {key: value for key, value in changes.items() if key != "like"}
            like = number - 300 if "like" in changes else None
            served.append(paper(number, like=like, **moments))
            texts[f"2611.{number:05d}v1"] = text
            if abstract != "unlisted":
                abstracts[f"2611.{number:05d}v1-abstract"] = abstract

    plant(250, KEPT, KEPT)
    plant(50, KEPT, KEPT, license=ARXIV_ONLY, first_license=ARXIV_ONLY)
    # Reposts of the first ones: another title over the same paper, a little later.
    plant(30, "near-duplicate", "exact duplicate", like=True, first=MIDDLE + 5 * DAY)
    # Revised later: version 1 is taken, under its own license, and the abstract is of another version.
    revised = {"license": CC_BY, "first_license": CC_BY_NC_ND, "revisions": (MIDDLE + 7 * DAY,)}
    plant(50, KEPT, "abstract of a later version", first=MIDDLE, **revised)
    outside = "published outside of the window"
    plant(40, outside, "unlisted", first=BEFORE, revisions=(MIDDLE,))
    plant(30, outside, "unlisted", first=AFTER)
    plant(40, "no HTML version", KEPT, body=None)
    plant(10, "withdrawn", "unlisted", source_type="I")
    licenses: Counter[str | None] = Counter({"CC-BY-4.0": 250, ARXIV_LICENSE: 50, "CC-BY-NC-ND-4.0": 50})
    return served, texts, abstracts, licenses


def outcome(crawled: Crawled) -> Expected:
    survivors = dict.fromkeys((document.id for document in crawled.corpus.documents), KEPT)
    return {**reasons(crawled), **survivors}


def assert_same(outcomes: Expected, expected: Expected) -> None:
    wrong = {id: (outcomes.get(id, "?"), expected.get(id, "?")) for id in outcomes.keys() | expected.keys()}
    assert {id: pair for id, pair in wrong.items() if pair[0] != pair[1]} == {}


@pytest.mark.slow
def test_five_hundred_papers() -> None:
    served, texts, abstracts, licenses = papers()
    assert len(served) == 500
    clock = FakeClock()
    with serve(arxiv_site(served), ARXIV_HOSTS, clock) as server:
        full, short = crawl_from(server, ArxivSource())
        num_requests_by_path = Counter(request.path for request in server.requests("arxiv.org"))
        times = [entry.time_s for entry in server.log if entry.request.host == "arxiv.org"]
        listing_times = [entry.time_s for entry in server.log if entry.request.host == "oaipmh.arxiv.org"]
        assert set(server.most_open.values()) == {1}
    assert_same(outcome(full), texts)
    assert_same(outcome(short), abstracts)
    assert dict(full.corpus.manifest.licenses) == licenses
    assert dict(short.corpus.manifest.licenses) == {"CC0-1.0": short.corpus.manifest.num_documents}
    assert max(num_requests_by_path.values()) == 1
    assert len(num_requests_by_path) == 1 + sum(
        reason in (KEPT, "near-duplicate", "no HTML version") for reason in texts.values()
    )
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 15
    assert min(b - a for a, b in itertools.pairwise(listing_times)) >= 3


class Planted:
    """The articles of one language's site, and what becomes of them."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.articles: list[Article] = []
        self.expected: Expected = {}

    def plant(
        self,
        count: int,
        reason: str | None,
        *,
        repeat: int = 0,
        header: bool = False,
        published_at: dt.datetime | None = None,
        **changes: Any,
    ) -> None:
        """Add articles; with ``repeat`` those of so many before, with ``header`` under another beginning."""
        for number in range(len(self.articles), len(self.articles) + count):
            paragraphs = news_prose(self.language, number - repeat, 12)
            fields: dict[str, Any] = {"paragraphs": paragraphs}
            if header:
                fields["paragraphs"] = (*news_prose(self.language, 9000 + number, 1), *paragraphs[1:])
            elif repeat:
                fields["title"] = self.articles[number - repeat].title
            moment = MIDDLE + DAY if repeat else MIDDLE - (number % 5) * DAY
            new_article = article(self.language, number, published_at or moment, **fields | changes)
            self.articles.append(new_article)
            self.expected[f"{new_article.host}{new_article.path}".rstrip("/")] = reason


def news() -> tuple[list[ServedFeed], Expected, Counter[str]]:
    """300 articles in six languages, what becomes of them, and the licenses of the kept ones."""
    expected: Expected = {}
    feeds = []
    for position, language in enumerate(LANGUAGES):
        planted = Planted(language)
        planted.plant(30, KEPT)
        planted.plant(4, "exact duplicate", repeat=30)
        planted.plant(4, "near-duplicate", repeat=20, header=True)
        wrong_day = (MIDDLE + 4 * DAY).date()
        planted.plant(4, "feed and page disagree on the date", page_date=wrong_day)
        planted.plant(2, "published outside of the window", published_at=BEFORE)
        planted.plant(2, "published outside of the window", published_at=AFTER)
        planted.plant(2, KEPT, license_url="https://creativecommons.org/licenses/by-nc-nd/4.0/")
        elsewhere = f"https://{LANGUAGES[position - 1]}.news.example/stories/0/"
        planted.plant(2, "redirected to another site", redirect_to=elsewhere)
        newest_first = sorted(planted.articles, key=lambda story: story.published_at, reverse=True)
        format = ("rss", "atom", "rdf")[position % 3]
        feeds.append(ServedFeed(f"{language}.news.example", tuple(newest_first), format=format))
        expected |= planted.expected
    licenses = Counter({"CC-BY-4.0": 30 * len(feeds), "CC-BY-NC-ND-4.0": 2 * len(feeds)})
    return feeds, expected, licenses


@pytest.mark.slow
def test_three_hundred_articles_of_news(tmp_path: Path) -> None:
    feeds, expected, licenses = news()
    assert len(expected) == 300
    (tmp_path / "feeds.toml").write_text("\n".join(feed_table(feed) for feed in feeds))
    source = NewsSource(load_feeds(tmp_path / "feeds.toml"))
    with serve(news_site(feeds), [feed.host for feed in feeds], FakeClock()) as server:
        (crawled,) = crawl_from(server, source)
        num_requests_by_page = Counter((request.host, request.path) for request in server.requests())
        assert set(server.most_open.values()) == {1}
    assert_same(outcome(crawled), expected)
    assert dict(crawled.corpus.manifest.licenses) == licenses
    redirected_to = {(feed.host, "/stories/0/") for feed in feeds}
    assert {request for request, times in num_requests_by_page.items() if times > 1} <= redirected_to


@pytest.mark.slow
def test_two_hundred_articles_of_wikipedias() -> None:
    languages = ("en", "zh", "ru", "es", "ar")
    expected: Expected = {}
    served: list[WikiPage] = []
    kinds: list[tuple[int, str | None, dict[str, object]]] = [
        (30, KEPT, {}),
        (2, "redirect", {"kind": "redirect"}),
        (2, "disambiguation page", {"kind": "disambiguation"}),
        (2, "deleted since", {"fate": "deleted"}),
        (2, "stub", {"size": 200}),
        (2, "made by a bot", {"user": "WriterBot"}),
    ]
    for language in languages:
        numbers = iter(range(40))
        for count, reason, changes in kinds:
            for number in (next(numbers) for _ in range(count)):
                served.append(wiki_page(language, number, MIDDLE + number * DAY / 40, **changes))
                expected[f"{language}wiki-{served[-1].revision}"] = reason
    assert len(expected) == 200
    hosts = [f"{language}.wikipedia.org" for language in languages]
    with serve(wiki_site(served, bots=["WriterBot"]), hosts, FakeClock()) as server:
        (crawled,) = crawl_from(server, WikipediaSource(languages))
        times = sorted(entry.time_s for entry in server.log)
    assert_same(outcome(crawled), expected)
    assert dict(crawled.corpus.manifest.licenses) == {"CC-BY-SA-4.0": 150}
    # One queue for all of Wikimedia: never two requests within a second, whatever the language.
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 1
