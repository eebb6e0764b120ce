"""What is served in the place of an article has its reason, and an article on such things none."""

import dataclasses
import json
from typing import Any

import pytest

from evalkit_crawlers.http.reservations import is_reserved_by_site
from evalkit_crawlers.text import pages, unfit
from tests.support.direct import capture
from tests.support.toy_source import prose

TEXT = [prose(number, 60) for number in range(6)]


def page(
    paragraphs: list[str], *, head: str = "", data: Any = None, title: str = "A bridge", **headers: str
) -> pages.Page:
    script = f'<script type="application/ld+json">{json.dumps(data)}</script>' if data is not None else ""
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    source = (
        f"<html><head><title>{title}</title>{head}{script}</head>"
        f"<body><article><h1>{title}</h1>{body}</article></body></html>"
    )
    made = capture(source.encode())
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return pages.read_page(dataclasses.replace(made, headers={**made.headers, **named}))


def news(**fields: Any) -> dict[str, Any]:
    return {"@context": "https://schema.org", "@type": "NewsArticle", "headline": "A bridge", **fields}


def test_nothing_speaks_against_an_article() -> None:
    assert page(TEXT, data=news(isAccessibleForFree=True, articleBody="\n".join(TEXT))).problem is None
    cookies = ["The minister said that cookies and consent need a law. " + TEXT[0], *TEXT[1:]]
    assert page(cookies, title="Law of cookies").problem is None
    assert page(TEXT, title="Why the bridge was not found for a hundred years").problem is None
    assert page([*TEXT, *TEXT, "Subscribe to our newsletter to read more."]).problem is None
    assert page([*TEXT, "This function is only for subscribers."]).problem is None


@pytest.mark.parametrize(
    "value",
    [
        False,
        "False",
        "false",
        " FALSE ",
        0,
        "0",
        "no",
        "http://schema.org/False",
        "https://schema.org/False",
        {"@id": "schema:False"},
        {"@value": "false"},
        [False],
    ],
)
def test_what_says_that_it_is_not_free_is_paywalled(value: Any) -> None:
    article = news(isAccessibleForFree=value)
    for data in (
        article,
        [article],
        {"@context": "https://schema.org", "@graph": [{"@type": "WebSite"}, article]},
        {"@type": "WebPage", "mainEntity": article},
        news(hasPart={"@type": "WebPageElement", "isAccessibleForFree": value, "cssSelector": ".paywall"}),
        news(hasPart=[{"@type": "WebPageElement", "isAccessibleForFree": value}]),
        {**article, "@type": ["https://schema.org/ReportageNewsArticle", "Thing"]},
    ):
        assert page(TEXT, data=data).problem == unfit.PAYWALL


def test_what_is_said_of_something_else_does_not_count() -> None:
    other = news(headline="Another story", isAccessibleForFree=False)
    for data in (
        {"@type": "ItemList", "itemListElement": [other]},
        [news(isAccessibleForFree=True), other],
        {"@type": "Product", "isAccessibleForFree": False},
        news(isAccessibleForFree=True, hasPart={"isAccessibleForFree": False}),
        news(isPartOf={"@type": "Periodical", "isAccessibleForFree": False}),
    ):
        assert page(TEXT, data=data).problem is None


@pytest.mark.parametrize(
    "head",
    [
        '<meta property="article:content_tier" content="locked">',
        '<meta itemprop="isAccessibleForFree" content="false">',
        '<link itemprop="isAccessibleForFree" href="https://schema.org/False">',
    ],
)
def test_other_ways_to_say_that_it_is_not_free(head: str) -> None:
    assert page(TEXT, head=head).problem == unfit.PAYWALL


@pytest.mark.parametrize(
    "phrase",
    [
        "Subscribe now to continue reading.",
        "This article is for subscribers only.",
        "Jetzt weiterlesen mit unserem Abo",
        "Dieser Artikel ist exklusiv für Abonnenten.",
        "Il vous reste 78.5% de cet article à lire.",
        "Cet article est réservé aux abonnés",
        "Contenido exclusivo para suscriptores",
        "Conteúdo exclusivo para assinantes",
        "Contenuto riservato agli abbonati",
        "Dit artikel is exclusief voor abonnees",
        "Полный текст статьи доступен только по подписке",
        "この記事は有料記事です。残り1234文字",
    ],
)
def test_teasers_end_with_what_they_want(phrase: str) -> None:
    assert page([*TEXT[:2], phrase]).problem == unfit.PAYWALL


@pytest.mark.parametrize(
    "data",
    [
        news() | {"@type": "LiveBlogPosting"},
        news() | {"@type": ["NewsArticle", "LiveBlogPosting"]},
        news(coverageEndTime="2026-11-06T00:00:00Z"),
        {"@graph": [news(liveBlogUpdate=[{"@type": "BlogPosting", "headline": "12:00"}])]},
    ],
)
def test_live_blogs_are_none(data: Any) -> None:
    assert page(TEXT, data=data).problem == unfit.LIVE


@pytest.mark.parametrize(
    ("head", "headers", "is_reserved"),
    [
        ('<meta name="robots" content="noai, noimageai">', {}, True),
        ('<meta name="robots" content="max-image-preview:large,NOAI">', {}, True),
        ('<meta name="evalkit" content="noai">', {}, True),
        ('<meta name="otherbot" content="noai">', {}, False),
        ('<meta name="robots" content="index, follow, noarchive">', {}, False),
        ('<meta name="tdm-reservation" content="1">', {}, True),
        ('<meta name="tdm-reservation" content="0">', {}, False),
        ("", {"tdm_reservation": "1"}, True),
        ("", {"x_robots_tag": "noai"}, True),
        ("", {"x_robots_tag": "noarchive, noimageai"}, True),
        ("", {"x_robots_tag": "noarchive, max-image-preview:large, noai"}, True),
        ("", {"x_robots_tag": "otherbot: noai"}, False),
        ("", {"x_robots_tag": "otherbot: noindex, max-snippet:5, noai"}, False),
        ("", {"x_robots_tag": "otherbot: noindex, evalkit: noai"}, True),
        ("", {"x_robots_tag": "unavailable_after: 25 Jun 2030 15:00:00 PST"}, False),
    ],
)
def test_pages_that_ask_not_to_be_used(head: str, headers: dict[str, str], is_reserved: bool) -> None:
    assert (page(TEXT, head=head, **headers).problem == unfit.RESERVED) == is_reserved


@pytest.mark.parametrize(
    "title",
    [
        "404",
        "Page not found | The Paper",
        "Seite nicht gefunden",
        "Page introuvable",
        "Página no encontrada",
        "Страница не найдена",
        "ページが見つかりません",
    ],
)
def test_error_pages_with_status_200(title: str) -> None:
    assert (
        page(["We are sorry. Try the home page, or search for it."], title=title).problem == unfit.NOT_FOUND
    )
    assert page([*TEXT, *TEXT], title=title).problem is None  # a film may be called so


def test_walls_of_cookies_and_checks_for_robots() -> None:
    wall = [
        "We value your privacy. We and our 842 vendors store cookies on a device.",
        "With your consent we use cookies for ads. You may change your privacy settings at any time.",
    ]
    assert page(wall).problem == unfit.COOKIE_WALL
    check = ["Checking your browser before accessing the site. This takes a few seconds."]
    assert page(check, title="Just a moment...").problem == unfit.ROBOT_CHECK


def test_a_text_that_lost_most_of_the_article_is_replaced_or_dropped() -> None:
    whole = "\n".join(TEXT * 3)
    result = page(TEXT[:2], data=news(articleBody=whole))
    assert (result.text, result.problem) == (whole, None)
    marked_up = "".join(f"&lt;p&gt;{paragraph}&lt;/p&gt;" for paragraph in TEXT * 3)
    assert page(TEXT[:2], data=news(articleBody=marked_up)).text == whole
    # The page's own text is cut as well, or another one.
    assert page(TEXT[:2], data=news(articleBody=whole + " …")).problem == unfit.SHORTENED
    elsewhere = "\n".join(prose(number, 60) for number in range(50, 55))
    assert page(TEXT[:2], data=news(articleBody=elsewhere)).problem == unfit.SHORTENED
    # A summary under that name is none.
    assert page(TEXT, data=news(articleBody=TEXT[0])).text == page(TEXT).text


@pytest.mark.parametrize(
    "content", ["{", "[" * 5000 + "]" * 5000, "null", "[1, null]", '"text"', '{"@type": 7}']
)
def test_broken_structured_data_are_none(content: str) -> None:
    body = "".join(f"<p>{paragraph}</p>" for paragraph in TEXT)
    source = (
        f'<html><body><script type="application/ld+json">{content}</script><article>{body}</article></body>'
    )
    assert pages.read_page(capture(source.encode())).problem is None


PARTLY = [{"location": "/free/*", "tdm-reservation": 0}, {"location": "/*", "tdm-reservation": 1}]


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ([{"location": "/", "tdm-reservation": 1}], "/2026/a-story", True),
        (PARTLY, "/free/a", False),
        (PARTLY, "/paid/a", True),
        ([{"location": "/*.pdf$", "tdm-reservation": 1}], "/a.pdf?x", False),
        ([{"location": "/*.pdf$", "tdm-reservation": "1"}], "/a.pdf", True),
        ([{"location": "/a*b*c", "tdm-reservation": 1}], "/a/c/b/d/c/e", True),
        ([{"location": "/a*b*c$", "tdm-reservation": 1}], "/a/b/c/e", False),
        ([{"location": "/a*a$", "tdm-reservation": 1}], "/a", False),
        ([{"location": "a", "tdm-reservation": 1}], "/a", False),
        ([{"location": "*" * 5000 + "x", "tdm-reservation": 1}], "/" + "a*" * 5000, False),
        ([{"location": 7, "tdm-reservation": 1}, 8], "/", False),
        ({"location": "/", "tdm-reservation": 1}, "/", False),
    ],
)
def test_a_sites_reservation_is_that_of_the_first_rule_that_covers(
    rules: Any, path: str, expected: bool
) -> None:
    assert is_reserved_by_site(json.dumps(rules).encode(), f"https://news.example{path}") == expected
    assert not is_reserved_by_site(b"<html>not found</html>", "https://news.example/")
