"""What a page says of its article in JSON-LD and microdata (schema.org): free to read, live, its own text.

https://schema.org/NewsArticle; the forms that are met are those of
https://developers.google.com/search/docs/appearance/structured-data/paywalled-content and what sites make of
them: one object or several, lists, graphs, truth values as words and as addresses.
"""

import dataclasses
import html
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_DEPTH = 8
"""Levels of graphs and parts that are looked into."""

_FALSE = frozenset({"false", "no", "0", "0.0", "falsch"})
_TRUE = frozenset({"true", "yes", "1", "1.0"})
_ARTICLES = frozenset(
    {"BlogPosting", "SocialMediaPosting", "Report", "LiveBlogPosting", "CreativeWork", "Review", "Posting"}
)
_TAG = re.compile(r"<[^>]{1,500}>")
_BREAK = re.compile(r"</(?:p|div|li|h[1-6]|blockquote)>|<br\s*/?>", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class ArticleData:
    """What structured data say of the article that a page is about."""

    is_free: bool | None = None
    """Whether all of it can be read by anybody; None: they don't say."""
    is_live: bool = False
    """It is a report that grows while something happens."""
    body: str = ""
    """The whole text as the page's maker has it, without markup; empty where it is not there."""


def article_data(tree: "HtmlElement") -> ArticleData:
    """What the structured data of a page say of its article.

    What they say of something else (lists of other articles, products, pictures) does not count.
    """
    items = [item for item in _items(tree) if _is_article(item)]
    if len(items) > 1:
        headlines = [" ".join(h1.text_content().split()) for h1 in tree.xpath("//h1")]
        of_the_heading = [item for item in items if _words(item.get("headline")) in map(_words, headlines)]
        items = of_the_heading or items[:1]
    is_free = [value for item in items if (value := _is_free(item)) is not None] or _free_in_microdata(tree)
    bodies = [_plain(body) for item in items if isinstance(body := item.get("articleBody"), str)]
    return ArticleData(
        is_free=all(is_free) if is_free else None,
        is_live=any(_is_live(item) for item in items) or _is_live_in_microdata(tree),
        body=max(bodies, key=len, default=""),
    )


def _items(tree: "HtmlElement") -> Iterator[dict[str, Any]]:
    """The objects of a page's JSON-LD that are not a part of another, and the parts of graphs and lists."""
    for script in tree.xpath("//script[contains(@type, 'ld+json')]"):
        try:
            content = json.loads(_uncommented(script.text or ""), strict=False)
        except (ValueError, RecursionError):
            continue
        yield from _flat(content, MAX_DEPTH)


def _uncommented(text: str) -> str:
    text = re.sub(r"^\s*(?://)?\s*(?:<!\[CDATA\[|<!--)", "", text)
    return re.sub(r"(?://)?\s*(?:\]\]>|-->)\s*$", "", text).strip().removesuffix(";")


def _flat(content: Any, depth: int) -> Iterator[dict[str, Any]]:
    if isinstance(content, list) and depth:
        for item in content:
            yield from _flat(item, depth - 1)
    elif isinstance(content, dict) and depth:
        yield content
        for key in ("@graph", "mainEntity", "mainEntityOfPage"):
            yield from _flat(content.get(key), depth - 1)


def _types(item: dict[str, Any]) -> list[str]:
    types = item.get("@type")
    names = types if isinstance(types, list) else [types]
    return [re.split(r"[/#:]", name)[-1] for name in names if isinstance(name, str)]


def _is_article(item: dict[str, Any]) -> bool:
    return any(name.endswith("Article") or name in _ARTICLES for name in _types(item))


def _is_live(item: dict[str, Any]) -> bool:
    return "LiveBlogPosting" in _types(item) or bool(
        item.get("coverageEndTime") or item.get("liveBlogUpdate")
    )


def _is_live_in_microdata(tree: "HtmlElement") -> bool:
    return bool(tree.xpath("//*[contains(@itemtype, 'schema.org/LiveBlogPosting')]"))


def _is_free(item: dict[str, Any]) -> bool | None:
    stated = _truth(item.get("isAccessibleForFree"))
    if stated is not None:
        return stated
    parts = item.get("hasPart")
    values = [
        _truth(part.get("isAccessibleForFree"))
        for part in (parts if isinstance(parts, list) else [parts])
        if isinstance(part, dict)
    ]
    return False if False in values else None


def _free_in_microdata(tree: "HtmlElement") -> list[bool]:
    elements = tree.xpath("//*[@itemprop='isAccessibleForFree'][not(ancestor::aside or ancestor::nav)]")
    values = [
        _truth(element.get("content") or element.get("href") or element.text) for element in elements[:1]
    ]
    return [value for value in values if value is not None]


def _truth(value: Any) -> bool | None:
    """A truth value in any of the forms that are met; None for what is none."""
    if isinstance(value, dict):
        return _truth(value.get("@value", value.get("@id")))
    if isinstance(value, list):
        values = [truth for item in value if (truth := _truth(item)) is not None]
        return all(values) if values else None
    if isinstance(value, bool):
        return value
    word = re.split(r"[/:#]", str(value).strip().lower())[-1]
    return False if word in _FALSE else True if word in _TRUE else None


def _words(value: Any) -> str:
    return " ".join(html.unescape(value).casefold().split()) if isinstance(value, str) else ""


def _plain(body: str) -> str:
    """A text that may hold markup, once or twice escaped, as lines."""
    body = html.unescape(body)
    if _TAG.search(body):
        body = html.unescape(_TAG.sub("", _BREAK.sub("\n", body)))
    lines = (" ".join(line.split()) for line in body.splitlines())
    return "\n".join(line for line in lines if line)
