"""Which documents are one story in several languages."""

import dataclasses
import datetime as dt
import json
from collections import defaultdict

import pytest

from evalkit.corpora.store import load_corpus, make_document
from evalkit_crawlers.crawling.sampling import sample
from evalkit_crawlers.crawling.stories import Linked, with_stories
from evalkit_crawlers.source import Candidate
from evalkit_crawlers.sources.feeds import Feed
from evalkit_crawlers.sources.news import NewsSource
from evalkit_crawlers.text.pages import parse_html
from evalkit_crawlers.text.translations import alternates_of
from tests.support.crawling import crawl_from
from tests.support.replay import serve
from tests.support.site_news import Article, ServedFeed, article, news_site

MIDDLE = dt.datetime(2026, 11, 7, 12, tzinfo=dt.UTC)
LANGUAGES = ("en", "es", "ru")


def linked(url: str, language: str, *alternates: str) -> Linked:
    return Linked(make_document(url, source="x", url=url, language=language), alternates)


def stories(*documents: Linked) -> list[str | None]:
    return [document.story_id for document in with_stories(documents, lambda line: None)]


EN, ES, RU, SW = (f"https://{language}.example/a" for language in ("en", "es", "ru", "sw"))


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([linked(EN, "en", ES), linked(ES, "es", EN)], ["en.example/a"] * 2),
        ([linked(EN, "en", ES), linked(ES, "es")], ["en.example/a"] * 2),  # one of them says so
        ([linked(EN, "en"), linked(ES, "es", EN), linked(RU, "ru", EN)], ["en.example/a"] * 3),
        ([linked(ES, "es", SW), linked(RU, "ru", SW)], ["es.example/a"] * 2),  # over a page that is not there
        ([linked(RU, "ru", EN)], ["en.example/a"]),  # the original is of another month
        ([linked(EN, "en"), linked(ES, "es")], [None, None]),
        ([linked(EN, "en", "http://es.example/a/"), linked(ES, "es")], ["en.example/a"] * 2),
        ([linked(EN, "en", EN)], ["en.example/a"]),
        # Two Chinese editions of one story, on sites of their own.
        ([linked(EN, "en", "https://zht.example/a"), linked("https://zht.example/a", "zh"),
          linked("https://zhs.example/a", "zh", EN)], ["en.example/a"] * 3),
        # Every page of the site links to one page of the other: navigation.
        ([linked(EN, "en", "https://es.example/news"), linked("https://en.example/b", "en", "https://es.example/news"),
          linked("https://es.example/news", "es")], [None] * 3),
    ],
)  # fmt: skip
def test_what_links_to_each_other_is_a_story(documents: list[Linked], expected: list[str | None]) -> None:
    assert stories(*documents) == expected
    assert sorted(map(str, stories(*documents[::-1]))) == sorted(map(str, expected))
    lines: list[str] = []
    with_stories(documents, lines.append)
    assert [line.split()[0] for line in lines] == (["3"] if expected == [None] * 3 else [])


def test_an_id_of_the_sources_own_is_kept() -> None:
    document = make_document("x", source="x", url=EN, story_id="32026R0001")
    assert (
        stories(Linked(document, (ES,)), Linked(dataclasses.replace(document, id="b"), ()))
        == ["32026R0001"] * 2
    )


def test_links_are_alternates_with_a_language_and_lead_to_a_page() -> None:
    tree = parse_html(
        '<html><head><link rel="alternate" hreflang="es" href="https://es.example/a#top">'
        '<link rel="alternate" hreflang="x-default" href="/a"><link rel="alternate" href="/feed/">'
        '<link rel="alternate" hreflang="fr" href="https://fr.example/">'
        '<link rel="alternate" hreflang="de" href="https://[de.example/a"><link hreflang="it" href="/it/a">'
        '<link rel="alternate" hreflang="pt" href="mailto:a@pt.example"><link rel="alternate" hreflang="cs">'
        '</head><body><a rel="nofollow alternate" hreflang="ru" href="//ru.example:8443/a?x=1">ru</a></body>'
    )
    assert alternates_of(tree, "https://en.example/a") == (
        "https://en.example/a",
        "https://es.example/a",
        "https://ru.example:8443/a?x=1",
    )
    many = "".join(f'<link rel="alternate" hreflang="x" href="/{number}">' for number in range(201))
    assert alternates_of(parse_html(f"<html><head>{many}</head></html>"), EN) == ()


def versions(number: int) -> list[Article]:
    """A story in three languages; what links to what depends on the number."""
    articles = [article(language, number, MIDDLE, make="wordpress") for language in LANGUAGES]
    links = tuple((version.language, version.url) for version in articles)
    stated = {0: (links, links, links), 1: ((), links, links[:1]), 2: ((), (), ())}[number % 3]
    return [
        dataclasses.replace(version, alternates=alternates)
        for version, alternates in zip(articles, stated, strict=True)
    ]


def test_a_crawl_keeps_which_articles_are_translations() -> None:
    by_host: dict[str, list[Article]] = defaultdict(list)
    for number in range(9):
        for version in versions(number):
            by_host[version.host].append(version)
    # A site whose pages all link to the same page of another one.
    menu = (("es", "https://es.news.example/stories/2/"),)
    by_host["en.news.example"] += [article("en", number, MIDDLE, alternates=menu) for number in (20, 21)]
    served = [ServedFeed(host, tuple(articles)) for host, articles in by_host.items()]
    feeds = tuple(
        Feed(feed.host, f"https://{feed.host}/feed/", feed.host, "CC-BY-4.0", feed.articles[0].language)
        for feed in served
    )
    lines: list[str] = []
    with serve(news_site(served), list(by_host)) as server:
        (plain,) = crawl_from(server, NewsSource(feeds), name="plain")
        (crawled,) = crawl_from(server, NewsSource(feeds, parallel=True), lines=lines)
    assert {document.story_id for document in plain.corpus.documents} == {None}
    numbers = defaultdict(set)
    for document in load_corpus(crawled.corpus.name).documents:
        assert document.url
        numbers[document.story_id].add((document.language, int(document.url.split("/")[-2])))
    assert numbers.pop(None) == {
        *((language, number) for language in LANGUAGES for number in (2, 5, 8)),
        ("en", 20),
        ("en", 21),
    }
    assert dict(numbers) == {
        f"en.news.example/stories/{number}": {(language, number) for language in LANGUAGES}
        for number in (0, 1, 3, 4, 6, 7)
    }
    [line] = [line for line in lines if "no story" in line]
    assert "3 documents link to several texts of one site" in line
    assert plain.corpus.sha256 == crawled.corpus.sha256, "the same texts"
    assert json.loads(crawled.corpus.manifest.provenance["query"])["parallel"] == "yes"


def test_a_sample_over_languages_is_of_the_same_stories() -> None:
    candidates = [
        Candidate(f"{language}-{number}", "u", MIDDLE, None, stratum=language, story_id=f"s{number}")
        for language in LANGUAGES
        for number in range(50)
    ]
    chosen = sample(candidates, 15, seed=3)
    assert len(chosen) == 15 and len({candidate.story_id for candidate in chosen}) == 5
