"""The prose of a rendered Wikipedia article: what trafilatura finds after all that is no prose was taken out.

Boxes, notices, references and lists of links are told by the classes that templates and extensions give
them, which are the same in all or most languages; headings with nothing left below them go as well.
"""

import re
from typing import TYPE_CHECKING

from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.text import pages
from evalkit_crawlers.text.scripts import write_formulas

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# What templates and extensions call that which is no prose.
_NO_PROSE = (
    "ambox",
    "asbox",
    "authority-control",
    "bandeau-container",
    "catlinks",
    "dablink",
    "error",
    "gallery",
    "geo-default",
    "hatnote",
    "infobox",
    "infobox_v2",
    "infobox_v3",
    "metadata",
    "mw-editsection",
    "mw-empty-elt",
    "mw-ext-cite-error",
    "mw-gallery-traditional",
    "mw-kartographer-container",
    "mw-references-wrap",
    "navbox",
    "navigation-not-searchable",
    "noprint",
    "portal-bar",
    "portalbox",
    "refbegin",
    "reference",
    "references",
    "reflist",
    "rellink",
    "shortdescription",
    "side-box",
    "sidebar",
    "sistersitebox",
    "stub",
    "taxobox",
    "thumb",
    "toc",
    "vertical-navbox",
)
_DISCARDED = (
    "//style|//script|//table|//figure|//img",
    "//*[@role='navigation' or @role='note' or @role='presentation']",
    "//*[" + " or ".join(f"contains(concat(' ', @class, ' '), ' {name} ')" for name in _NO_PROSE) + "]",
    # Bulleted links to other sites: sources and "External links".
    "//li[.//a[contains(concat(' ', @class, ' '), ' external ')]]",
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


def article_text(html: str) -> str:
    r"""The prose of a rendered article: paragraphs, lists and headings; formulas as TeX in ``\(…\)``.

    Raises:
        FetchRefused: see `pages.parse_html`; the revision is a redirect.
    """
    tree = pages.parse_html(f"<html><body><article>{html}</article></body></html>")
    if tree.xpath("//*[contains(concat(' ', @class, ' '), ' redirectMsg ')]"):
        raise FetchRefused("redirect")
    for expression in _DISCARDED:
        for element in tree.xpath(expression):
            _remove(element)
    _write_formulas(tree)
    write_formulas(tree)  # those that no template has rendered
    for indented in tree.xpath("//dl[not(dt)]"):  # wikitext indents by ":", which makes a list of it
        indented.tag = "div"
        for line in indented.iterchildren("dd"):
            line.tag = "p"
    _remove_empty_sections(tree)
    return pages.main_text(tree, whole=True)


def _write_formulas(tree: "HtmlElement") -> None:
    """Replace rendered formulas by their TeX, which MediaWiki puts into ``alttext``."""
    for element in tree.xpath("//*[contains(concat(' ', @class, ' '), ' mwe-math-element ')]"):
        sources = element.xpath(".//@alttext|.//*[local-name()='annotation']/text()")
        tex = " ".join(str(sources[0]).split()) if sources else ""
        tex = re.sub(r"^\{\\(?:display|text)style (.*)\}$", r"\1", tex)
        element.clear(keep_tail=True)
        element.tag = "span"
        element.text = rf"\({tex.strip()}\)" if tex else ""


def _remove_empty_sections(tree: "HtmlElement") -> None:
    """Remove headings that nothing follows up to the next one of their level."""
    from lxml import etree

    # Headings, and None for text between them, in the order of the document.
    outline: list[HtmlElement | None] = []
    heading = None
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        if event == "start" and heading is None and element.tag in _HEADINGS:
            heading = element
            outline.append(element)
        if event == "end" and element is heading:
            heading = None
        text = element.text if event == "start" else element.tail
        if heading is None and text and text.strip() and outline and outline[-1] is not None:
            outline.append(None)
    # From the end: a heading stays if text follows it, or a heading of a lower level that stays.
    has_text, level_below = False, 0
    for heading in reversed(outline):
        if heading is None:
            has_text = True
        elif has_text or level_below > _HEADINGS.index(heading.tag):
            has_text, level_below = False, _HEADINGS.index(heading.tag)
        else:
            _remove(heading)


def _remove(element: "HtmlElement") -> None:
    """Take an element out of its tree, and leave the text behind it."""
    if element.getparent() is not None:
        element.drop_tree()
