"""Links between a page and the same text in other languages, as HTML states them.

``<link rel="alternate" hreflang="es" href="…">``, or the same on an ``<a>``:
https://html.spec.whatwg.org/multipage/links.html#rel-alternate.
"""

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_LINKS = 200
"""Of a page: a story in more languages than there are has none."""

_LINKS = (
    "//*[self::link or self::a][@hreflang and @href]"
    "[contains(concat(' ', normalize-space(@rel), ' '), ' alternate ')]"
)


def alternates_of(tree: "HtmlElement", url: str) -> tuple[str, ...]:
    """Addresses of the same text in other languages, sorted, without those of sites' front pages.

    Args:
        tree: of the page.
        url: of the page, which relative links are relative to.
    """
    addresses = {_absolute(url, str(link.get("href")).strip()) for link in tree.xpath(_LINKS)}
    alternates = tuple(sorted(filter(None, addresses)))
    return alternates if len(alternates) <= MAX_LINKS else ()


def _absolute(base: str, address: str) -> str:
    """The address without fragment; empty where it leads to a front page, or nowhere on the web."""
    try:
        parts = urlsplit(urljoin(base, address))
        host, port = parts.hostname, parts.port
    except ValueError:  # an unclosed bracket, a port that is no number
        return ""
    if parts.scheme not in ("http", "https") or not host or not parts.path.strip("/"):
        return ""
    # Some sites tell articles apart by the query alone.
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path, parts.query, ""))
