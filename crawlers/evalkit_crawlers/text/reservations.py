"""Whether a page or its site asks not to be used for training or mining, in any of the ways there are for it.

- ``noai`` and ``noimageai`` in ``<meta name="robots">`` or the header ``X-Robots-Tag``;
- ``tdm-reservation``: 1 as ``<meta>`` or as a header; a site's ``tdmrep.json`` is read by
  `evalkit_crawlers.http.reservations`.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

AGENT = "evalkit"
RESERVED = "page asks not to be mined (noai, tdm-reservation)"
"""Reason of a drop."""
_NO_AI = frozenset({"noai", "noimageai"})
_VALUED = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
"""Directives with a value: what stands before their colon is no agent's name."""
_NEXT_AGENT = re.compile(rf",(?=\s*(?!{'|'.join(_VALUED)})[\w-]+\s*:)|\n")


def is_reserved(tree: "HtmlElement", headers: Mapping[str, str]) -> bool:
    """Whether a page asks for it, or the answer that brought it.

    Args:
        tree: of the page.
        headers: names in lower case; several of one name stand in one line, by commas.
    """
    if "1" in _words(headers.get("tdm-reservation", "")):
        return True
    directives = [_directives(part) for part in _NEXT_AGENT.split(headers.get("x-robots-tag", ""))]
    for meta in tree.xpath("//meta[@name and @content]"):
        name, content = meta.get("name").strip().lower(), meta.get("content")
        if name == "tdm-reservation" and content.strip() == "1":
            return True
        if name in ("robots", AGENT):
            directives.append(_words(content))
    return any(_NO_AI & words for words in directives)


def _directives(line: str) -> set[str]:
    """The directives of one ``X-Robots-Tag``, unless they stand behind another agent's name."""
    agent, colon, directives = (part.strip().lower() for part in line.partition(":"))
    if not colon or agent in _VALUED or not re.fullmatch(r"[\w*-]+", agent):
        return _words(line)
    return _words(directives) if agent in (AGENT, "*") else set()


def _words(line: str) -> set[str]:
    return {word.strip().lower() for word in line.split(",")}
