"""A fetched HTML page as text, title, date, license and language: a pure function of the capture.

trafilatura and htmldate do the work; here is what makes them depend on nothing but the page: we decode
it ourselves, nothing is downloaded, and the latest date that a page can have is the day we fetched it.
"""

import copy
import dataclasses
import datetime as dt
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from evalkit.corpora import licenses
from evalkit_crawlers.source import Capture, FetchRefused
from evalkit_crawlers.text import charsets, unfit
from evalkit_crawlers.text.bare_text import wrap_bare_text
from evalkit_crawlers.text.normal_form import word_set
from evalkit_crawlers.text.scripts import write_formulas, write_scripts
from evalkit_crawlers.text.structured_data import article_data
from evalkit_crawlers.text.translations import alternates_of

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_PAGE_BYTES = 8 << 20
"""Larger pages are refused: articles are a few hundred kilobytes, and trees take 20 times as much."""

MAX_ELEMENTS = 20_000
"""Of a page; an article's has a few thousand. trafilatura's time grows with the square."""


def extractor_versions() -> str:
    """The libraries that find the text, with their versions; an import alone must not need them."""
    return f"trafilatura {version('trafilatura')}, htmldate {version('htmldate')}"


# What is written for a service that counts readers is another date than the article's often enough.
_MEASURED = "//meta[starts-with(translate(@name, 'DCSEXT', 'dcsext'), 'dcsext.')]"
_PARTS = word_set(
    "figure figcaption caption aside blockquote picture video audio iframe nav template noscript details"
)
# What sites call that which is not the article: their words stand alone or with a hyphen or underscore.
_PART_NAMES = re.compile(
    r"(?:^|[\s_-])(?:comments?|disqus|respond|related|recommend(?:ed|ations?)|sidebar|widgets?|gallery|slideshow|"
    r"captions?|credits?|photos?|images?|img|media|figure|thumb(?:nail)?s?|teasers?|cards?|more-(?:stories|news)|"
    r"read-?(?:more|next|also)|promo|embeds?|video|attachment|infobox)(?:$|[\s_-])",
    re.IGNORECASE,
)
_ADDRESSES = "//link[@rel='canonical'] | //meta[@property='og:url' or @name='twitter:url']"
# In /2026/11/10-things-to-know the ten are things; htmldate takes them for a day.
_NUMBER_IN_ADDRESS = re.compile(r"/(?:19|20)\d\d/\d\d?/\d\d?[-_][^/\d]", re.ASCII)
_EARLIEST = "1995-01-01"
_HTML_TYPES = ("text/html", "application/xhtml+xml")
# Characters that HTML forbids; libxml2 ends a document at the first U+0000.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """What an HTML page says."""

    text: str
    """Main text, paragraphs as lines; empty where there is none."""
    title: str | None
    published_on: dt.date | None
    """As its metadata state it, in whatever time zone the site lives in; None: they don't."""
    licenses: frozenset[str]
    """SPDX identifiers (or addresses) that the page links to as its license."""
    language: str | None
    """Primary tag of the document's ``lang``."""
    alternates: tuple[str, ...] = ()
    """Addresses of the same text in other languages."""
    problem: str | None = None
    """Why it is no article's page whose text may be taken; None: nothing speaks against it."""


def read_page(capture: Capture) -> Page:
    """The article on a page: its main text, and what the page says of it.

    Raises:
        FetchRefused: the body is no HTML page, or cannot be read as one.
    """
    check_html(capture)
    tree = parse_html(charsets.decode(capture.body, capture.headers.get("content-type")))
    data = article_data(tree)
    write_formulas(tree)
    latest = (capture.fetched_at.astimezone(dt.UTC) + dt.timedelta(days=1)).date()
    page = Page(
        text="",
        title=_title(tree),
        published_on=_published_on(tree, latest),
        licenses=_licenses(tree),
        language=_language(tree),
        alternates=alternates_of(tree, capture.final_url),
    )
    untouched = copy.deepcopy(tree)  # extracting changes it
    wrap_bare_text(tree)
    text = main_text(tree)
    problem = unfit.problem(untouched, text, page.title, data, capture.headers)
    whole = unfit.fuller_text(text, data.body)
    if whole is None:
        return dataclasses.replace(page, text=text, problem=problem or unfit.SHORTENED)
    return dataclasses.replace(page, text=whole, problem=problem)


def check_html(capture: Capture) -> None:
    """Refuse what is not a page of HTML, or too large a one.

    Raises:
        FetchRefused: the server says that it is something else, or it is larger than `MAX_PAGE_BYTES`.
    """
    # Sent twice, a header's values stand in one line.
    media_type = re.split("[;,]", capture.headers.get("content-type", ""))[0].strip().lower()
    if media_type and media_type not in _HTML_TYPES:
        raise FetchRefused("not an HTML page")
    if len(capture.body) > MAX_PAGE_BYTES:
        raise FetchRefused(f"page larger than {MAX_PAGE_BYTES >> 20} MiB")


def parse_html(text: str) -> "HtmlElement":
    """The tree of an HTML document.

    Raises:
        FetchRefused: there is none; it has too many elements, or is nested more deeply than lxml reads:
            rather none than half.
    """
    from lxml import etree, html

    parser = html.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False, default_doctype=False
    )
    try:
        tree = html.document_fromstring(_CONTROLS.sub("", text).encode(), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):  # nothing but white space or comments
        raise FetchRefused("empty page") from None
    if any("xcessive depth" in entry.message for entry in parser.error_log):
        raise FetchRefused("page nested too deeply")
    if sum(1 for _ in tree.iter()) > MAX_ELEMENTS:
        raise FetchRefused(f"page of more than {MAX_ELEMENTS} elements")
    return tree


def main_text(tree: "HtmlElement", *, whole: bool = False, prune: Sequence[str] = ()) -> str:
    """The main text of a page.

    Args:
        tree: see `parse_html`; may be changed.
        whole: the tree holds little but the text, so that all that looks like text is taken.
        prune: XPath expressions of what is no text.
    """
    from trafilatura import bare_extraction

    write_scripts(tree)
    preformatted = {
        line.strip() for block in tree.iter("pre") for line in "".join(block.itertext()).splitlines()
    }
    document = bare_extraction(
        tree,
        favor_recall=whole,
        fast=whole,
        include_comments=False,
        include_tables=not whole,
        prune_xpath=list(prune) or None,
    )
    text = getattr(document, "text", None) or ""
    # Indented is what a page's source is; only that of programs means something.
    lines = (
        line.rstrip() if line.strip() in preformatted else " ".join(re.split(r"[ \t\r\f]+", line.strip()))
        for line in text.splitlines()
    )
    return "\n".join(lines).strip("\n")


def _published_on(tree: "HtmlElement", latest: dt.date) -> dt.date | None:
    from copy import deepcopy

    from htmldate import find_date

    # htmldate takes the earliest date that it finds, and what stands beside an article has older ones.
    tree = deepcopy(tree)
    for measured in tree.xpath(_MEASURED):
        measured.drop_tree()
    for address in tree.xpath(_ADDRESSES):
        if _NUMBER_IN_ADDRESS.search(address.get("href") or address.get("content") or ""):
            address.drop_tree()
    core = deepcopy(tree)
    for beside in core.xpath("//aside|//nav|//footer"):
        if beside.getparent() is not None:
            beside.drop_tree()
    for part in (core, deepcopy(tree)):
        date = find_date(
            part,
            original_date=True,
            extensive_search=False,  # only what says of itself that it is the date
            min_date=_EARLIEST,
            max_date=latest.isoformat(),
        )
        if date:
            return dt.date.fromisoformat(date)
    return None


def _title(tree: "HtmlElement") -> str | None:
    candidates = (
        *tree.xpath("//meta[@property='og:title']/@content"),
        *(element.text_content() for element in tree.xpath("//h1[1]")),
        *(element.text_content() for element in tree.xpath("//title[1]")),
    )
    titles = (" ".join(str(candidate).split()) for candidate in candidates)
    return next(filter(None, titles), None)


def _licenses(tree: "HtmlElement") -> frozenset[str]:
    """What the page links to as the license of the whole, and not of a picture, a comment or a list."""
    links = tree.xpath(
        "//*[self::a or self::link][contains(concat(' ', normalize-space(@rel), ' '), ' license ')][@href]"
    )
    addresses = [str(link.get("href")).strip() for link in links if not _is_of_a_part(link)]
    identifiers = map(licenses.normalise, addresses)
    return frozenset(identifier for identifier in identifiers if identifier)


def _is_of_a_part(link: "HtmlElement") -> bool:
    """Whether a link stands in something that has a license of its own, if any."""
    for element in link.iterancestors():
        if element.tag in _PARTS:
            return True
        if element.tag == "article" and _is_beside_the_article(element):
            return True
        names = f"{element.get('class') or ''} {element.get('id') or ''} {element.get('role') or ''}"
        if element.tag not in ("html", "body", "main") and _PART_NAMES.search(names):
            return True
        item_type = element.get("itemtype") or ""
        if item_type.endswith(("ImageObject", "VideoObject", "MediaObject", "Comment", "AudioObject")):
            return True
    return False


def _is_beside_the_article(element: "HtmlElement") -> bool:
    """Whether an ``<article>`` is one of several and not that of the heading: a card, a comment."""
    if next(element.iterancestors("article"), None) is not None:
        return True
    articles = element.getroottree().xpath("//article[not(ancestor::article)]")
    with_heading = [article for article in articles if article.find(".//h1") is not None]
    return len(articles) > 1 and element is not next(iter(with_heading), None)


def _language(tree: "HtmlElement") -> str | None:
    stated = str(tree.get("lang") or "").strip().replace("_", "-").partition("-")[0].lower()
    return stated if re.fullmatch(r"[a-z]{2,3}", stated) else None
