"""What is served in the place of an article, or is half of one: each kind with its reason.

A page that says of itself what it is (structured data, robots directives) is believed. What has to be told by
its words is told only where the text is short as well: an article may write about cookies and missing pages.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evalkit_crawlers.text import phrases
from evalkit_crawlers.text.reservations import RESERVED, is_reserved
from evalkit_crawlers.text.structured_data import ArticleData

if TYPE_CHECKING:
    from lxml.html import HtmlElement

NOT_FOUND = "error page with status 200"
COOKIE_WALL = "cookie wall"
ROBOT_CHECK = "check for robots"
PAYWALL = "paywalled"
LIVE = "live blog"
SHORTENED = "much shorter than the page's own articleBody"

MAX_ERROR_CHARACTERS = 1500
"""Of the text of a page that stands in the place of another."""
MAX_CHECK_CHARACTERS = 600
MAX_TEASER_CHARACTERS = 3000
"""Of what is shown of an article to whom it is not sold."""
MIN_BODY_SHARE = 0.6
"""Of the page's own articleBody; a text that has less of its characters has lost a part."""

MIN_PART_SHARE = 0.2
"""With less of it, a text is something else that stands on the page, such as a caption."""


def problem(
    tree: "HtmlElement", text: str, title: str | None, data: ArticleData, headers: Mapping[str, str]
) -> str | None:
    """Why a page is none whose text is an article's; None where nothing speaks against it.

    Args:
        tree: of the page, as it was parsed.
        text: as extracted.
        title: as `evalkit_crawlers.text.pages.read_page` finds it.
        data: what the page says of its article.
        headers: of the answer, names in lower case.
    """
    if is_reserved(tree, headers):
        return RESERVED
    if data.is_live:
        return LIVE
    if data.is_free is False or _is_locked(tree):
        return PAYWALL
    if len(text) <= MAX_ERROR_CHARACTERS:
        if _is_error_page(tree, title):
            return NOT_FOUND
        if len(text) <= MAX_CHECK_CHARACTERS and phrases.ROBOT_CHECK.search(f"{title or ''} {text}"):
            return ROBOT_CHECK
    if _is_cookie_wall(text):
        return COOKIE_WALL
    if len(text) <= MAX_TEASER_CHARACTERS and phrases.PAYWALL.search(text[-300:]):
        return PAYWALL
    return None


def _is_locked(tree: "HtmlElement") -> bool:
    tiers = tree.xpath("//meta[@property='article:content_tier' or @name='article:content_tier']/@content")
    return any(str(tier).strip().lower() == "locked" for tier in tiers)


def _is_error_page(tree: "HtmlElement", title: str | None) -> bool:
    if any(
        str(code).strip().startswith(("404", "410"))
        for code in tree.xpath("//meta[@name='prerender-status-code']/@content")
    ):
        return True
    headings = [title or "", *(h1.text_content() for h1 in tree.xpath("//h1")), *tree.xpath("//title/text()")]
    lines = [" ".join(str(heading).split()) for heading in headings]
    return any(len(line) <= 80 and phrases.NOT_FOUND.search(line) for line in lines)


def _is_cookie_wall(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or len(text) > 2 * MAX_ERROR_CHARACTERS:
        return False
    about = [line for line in lines if phrases.COOKIES.search(line)]
    is_about_them = len(phrases.COOKIES.findall(text)) >= 3 and sum(map(len, about)) >= 0.5 * len(text)
    return is_about_them and len(phrases.COOKIE.findall(text)) >= 2


def fuller_text(text: str, body: str) -> str | None:
    """A text, or the page's own articleBody where the text lacks a part of it; None: neither is whole."""
    if len(text) >= MIN_BODY_SHARE * len(body):
        return text
    if _is_cut(body):
        return None
    is_part = _is_in(text, body) or len(text) < MIN_PART_SHARE * len(body)
    return body if is_part else None


def _is_cut(body: str) -> bool:
    return body.rstrip().endswith(("…", "...", "[…]", "[...]"))


def _is_in(text: str, body: str) -> bool:
    """Whether most of a text stands in another, give or take a line."""
    normal = _letters(body)
    lines = [letters[:60] for line in text.splitlines() if len(letters := _letters(line)) >= 20]
    return not lines or sum(line in normal for line in lines) >= 0.5 * len(lines)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
