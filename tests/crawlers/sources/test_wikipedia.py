"""The Wikipedia source, asking wikis that answer as MediaWiki does."""

import datetime as dt
import json
from typing import Any

import pytest

from evalkit.errors import CrawlError, UsageError
from evalkit_crawlers.source import Candidate, Drop, FetchRefused
from evalkit_crawlers.sources import mediawiki
from evalkit_crawlers.sources.wikipedia import MAX_QUESTION_CHARACTERS, WikipediaSource, command
from evalkit_crawlers.sources.wikipedia_languages import DEFAULT, EDITIONS, language_tag, parse_languages
from evalkit_crawlers.sources.wikipedia_text import article_text
from tests.support.direct import NOW, WINDOW, DirectGet, capture, crawl_directly, reasons, token_f1
from tests.support.replay import Reply, Request
from tests.support.site_news import LANGUAGES
from tests.support.site_wikipedia import WikiPage, rendered, wiki_page, wiki_site

MIDDLE = dt.datetime(2026, 11, 7, 12, 30, 15, tzinfo=dt.UTC)
API = "https://en.wikipedia.org/w/api.php"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("formula", [None, r"\int _{0}^{1}x^{2}\,dx={\tfrac {1}{3}}"])
def test_the_prose_of_an_article_is_found(language: str, formula: str | None) -> None:
    page = wiki_page(language, 1, MIDDLE, formula=formula)
    text = article_text(rendered(page))
    assert token_f1(text, page.text) >= 0.99
    assert formula is None or rf"\({formula}\)" in text.splitlines()
    for phrase in (
        "For other uses",
        "Founded",
        "caption",
        "[1]",
        "Somebody",
        "External links",
        "References",
        "stub",
        "Official",
    ):
        assert phrase not in text


def test_headings_stay_where_something_follows() -> None:
    html = "<p>Lead.</p><h2>A</h2><h3>B</h3><p>Text.</p><h2>C</h2><h3>D</h3><h2>E</h2>tail<h2>F</h2>"
    assert article_text(html).splitlines() == ["Lead.", "A", "B", "Text.", "E", "tail"]


PAGES = [
    *(wiki_page("en", n, MIDDLE + n * dt.timedelta(minutes=7)) for n in range(120)),
    wiki_page("en", 200, MIDDLE, kind="redirect", size=40),
    wiki_page("en", 201, MIDDLE, kind="disambiguation"),
    wiki_page("en", 202, MIDDLE, size=1499),
    wiki_page("en", 203, MIDDLE, size=1500),
    wiki_page("en", 204, MIDDLE, user="Mass Bot"),
    wiki_page("en", 205, MIDDLE, fate="deleted"),
    wiki_page("en", 206, MIDDLE, fate="moved"),
    wiki_page("en", 207, MIDDLE, fate="hidden"),
    wiki_page("en", 208, MIDDLE, revision_at=MIDDLE - dt.timedelta(days=900)),
    wiki_page("en", 209, MIDDLE, revision_at=MIDDLE + dt.timedelta(seconds=4)),
    wiki_page("en", 210, dt.datetime(2026, 10, 31, 23, 59, 59, tzinfo=dt.UTC)),
    wiki_page("en", 211, dt.datetime(2026, 11, 1, tzinfo=dt.UTC)),
    wiki_page("en", 212, dt.datetime(2026, 11, 15, 23, 59, 59, tzinfo=dt.UTC)),
    wiki_page("en", 213, dt.datetime(2026, 11, 16, tzinfo=dt.UTC)),
    *(wiki_page(language, 300 + n, MIDDLE) for language in ("zh", "ru") for n in range(3)),
]


@pytest.mark.parametrize("limit", [7, 50, 500])
def test_what_is_kept_and_why_the_rest_is_not(limit: int) -> None:
    site = wiki_site(PAGES, bots=["Mass Bot"], limit=limit)
    extracted, drops, get = crawl_directly(WikipediaSource(("en", "zh", "ru")), site)
    assert reasons(drops) == {
        "redirect": 1,
        "disambiguation page": 1,
        "stub": 1,
        "made by a bot": 1,
        "deleted since": 1,
        "moved out of the articles since": 1,
        "log entry without a revision": 1,
        "log and revision disagree on the date": 1,
    }
    by_id = {f"{page.language}wiki-{page.revision}": page for page in PAGES}
    expected = [*range(120), 203, 209, 211, 212]
    assert {result.candidate.id for result in extracted} == {
        *(f"enwiki-{1_000_000 + n}" for n in expected),
        *(f"{language}wiki-{1_000_300 + n}" for language in ("zh", "ru") for n in range(3)),
    }
    assert [result.candidate.stratum for result in extracted] == ["en"] * 124 + ["zh"] * 3 + ["ru"] * 3
    for result in extracted:
        page = by_id[result.candidate.id]
        assert token_f1(result.text, page.text) >= 0.95
        assert result.candidate.published_at == page.created_at
        assert result.candidate.license == "CC-BY-SA-4.0"
        assert result.candidate.language == page.language
        assert result.candidate.title == page.title
        assert result.candidate.attributes["source_version"] == f"revision {page.revision}"
    assert extracted[0].candidate.url == "https://en.wikipedia.org/wiki/Subject_211_/_en?oldid=1000211"
    num_listings = sum("logevents" in url for url in get.requested_urls)
    assert num_listings == {7: 19 + 2, 50: 3 + 2, 500: 3}[limit]
    assert all("maxlag=5" in url for url in get.requested_urls)


def test_a_busy_wiki_is_asked_again_under_another_address() -> None:
    pages = [wiki_page("en", 1, MIDDLE)]
    get = DirectGet(wiki_site(pages, lag={"en.wikipedia.org": 2}))
    entries = list(WikipediaSource(("en",)).discover(WINDOW, get))
    assert [entry.id for entry in entries] == ["enwiki-1000001"]
    assert len(set(get.requested_urls)) == len(get.requested_urls) == 4


def test_a_wiki_that_stays_busy_fails_the_crawl() -> None:
    get = DirectGet(wiki_site([], lag={"en.wikipedia.org": 99}))
    with pytest.raises(
        CrawlError, match=r"en.wikipedia.org/w/api.php: busy, asked 5 times; .* with --refresh"
    ):
        list(WikipediaSource(("en",)).discover(WINDOW, get))


def test_one_wiki_that_fails_does_not_take_the_others_along() -> None:
    def site(request: Request) -> Reply:
        return Reply(b"<html>", 200) if request.host.startswith("en.") else wiki_site(PAGES)(request)

    extracted, drops, _ = crawl_directly(WikipediaSource(("en", "zh")), site)
    assert [result.candidate.language for result in extracted] == ["zh"] * 3
    assert drops == [Drop("en.wikipedia.org", "listing: answer is not the API's")]


def test_the_same_answers_give_the_same_candidates() -> None:
    source = WikipediaSource(("ru", "en"))
    first, second = (list(source.discover(WINDOW, DirectGet(wiki_site(PAGES)))) for _ in range(2))
    assert first == second and isinstance(first[0], Candidate)


def answering(*contents: Any) -> DirectGet:
    replies = iter(contents)
    return DirectGet(lambda _: Reply(json.dumps(next(replies)).encode()))


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ([[]], "answer is not the API's"),
        ([{"query": []}], "answer is not the API's"),
        ([{"query": {}, "continue": "x"}], "answer is not the API's"),
        ([{"error": {"code": "badtoken"}}], "API: badtoken"),
        ([{"errors": [{"code": "unknown_action"}]}], "API: unknown_action"),
        ([{"errors": ["?"]}], "API: unknown error"),
        ([{"query": {}, "continue": {"x": "1"}}] * 2, "listing continues in a circle"),
    ],
)
def test_answers_that_are_none(contents: list[Any], reason: str) -> None:
    with pytest.raises(FetchRefused, match=reason):
        list(mediawiki.query(answering(*contents), API, {"action": "query"}))


def test_an_endless_listing_is_left() -> None:
    numbers = iter(range(10**9))
    get = DirectGet(lambda _: Reply(json.dumps({"query": {}, "continue": {"x": next(numbers)}}).encode()))
    with pytest.raises(FetchRefused, match="listing never ends"):
        list(mediawiki.query(get, API, {"action": "query"}))
    assert len(get.requested_urls) == mediawiki.MAX_CONTINUATIONS


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 100_000, b'{"a": ' * 100_000, b"9" * 5000, b"null"])
def test_bodies_that_are_no_json_of_the_api(body: bytes) -> None:
    with pytest.raises(FetchRefused, match="answer is not the API's"):
        mediawiki.answer(body)


def test_a_revision_that_vanished_between_listing_and_fetching() -> None:
    page = WikiPage("en", 7, "Gone", MIDDLE, fate="deleted")
    get = DirectGet(wiki_site([page]))
    url = mediawiki.question(API, {"action": "parse", "oldid": "7"})
    candidate = Candidate("enwiki-7", url, MIDDLE, None)
    assert WikipediaSource(("en",)).extract(candidate, get(url)) == Drop("enwiki-7", "deleted since")


def test_a_rendering_without_prose() -> None:
    body = json.dumps(
        {"parse": {"text": '<div class="mw-parser-output"><table><tr><td>1</td></tr></table></div>'}}
    )
    result = WikipediaSource(("en",)).extract(
        Candidate("x", API, NOW, None), capture(body.encode(), "application/json")
    )
    assert result == Drop("x", "no prose")


def test_languages_are_checked() -> None:
    assert parse_languages(None) == DEFAULT and set(DEFAULT) <= EDITIONS and len(set(DEFAULT)) == 20
    assert parse_languages(" en,ZH ,fr,en,zh-min-nan,") == ("en", "zh", "fr", "zh-min-nan")
    assert [language_tag(name) for name in ("en", "simple", "zh-yue", "no")] == ["en", "en", "yue", "nb"]
    assert len(EDITIONS) > 340 and all(name == name.lower().strip() for name in EDITIONS)
    with pytest.raises(UsageError, match=r"no Wikipedia in 'zh-yeu'. Did you mean zh-yue"):
        parse_languages("en,zh-yeu")
    with pytest.raises(UsageError, match="give at least one"):
        parse_languages(" , ")
    with pytest.raises(UsageError, match="no Wikipedia in 'english'"):
        command(since="2026-11-01", until="2026-11-15", languages=["english"])


def test_long_names_of_users_are_asked_for_in_smaller_lots() -> None:
    listed = [
        WikiPage("hi", 100 + n, f"T{n}", MIDDLE, user=f"{n}" + "\u0915" * 40)  # 360 characters in an address
        for n in range(50)
    ]
    get = DirectGet(wiki_site(listed))
    entries = list(WikipediaSource(("hi",)).discover(WINDOW, get))
    assert [entry.id for entry in entries] == [f"hiwiki-{100 + n}" for n in range(50)]
    assert all(isinstance(entry, Candidate) for entry in entries)
    assert max(map(len, get.requested_urls)) <= MAX_QUESTION_CHARACTERS
