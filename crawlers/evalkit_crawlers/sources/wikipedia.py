"""Wikipedia articles that were created in the window, in any of its languages.

    evalkit crawl wikipedia --since 2026-11-01 --until 2026-11-15 --languages en,zh,fr

What is listed: the creation log (``list=logevents, letype=create``). Unlike recent changes it is kept for
good and in full: the same window gives the same list next year, with pages that were deleted meanwhile,
which are counted as such. (Recent changes reach back thirty days and forget deleted pages.)

What is taken: the revision that created the page, named by its id. Its text is as old as the window says,
to the second, and never changes; that of a later revision would mix dates, and "the current one" would be
another for everybody who crawls. The price is that many pages begin as a line or two, and fall out
(`MIN_WIKITEXT_BYTES`).

How it becomes text: ``action=parse&oldid=`` renders that revision, and trafilatura takes the prose from it.
(TextExtracts knows current revisions only.) Templates are rendered as they are today, which is one reason
why boxes, notes and references are left out, and why the fetched rendering is kept.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from evalkit_crawlers.command import crawl_command
from evalkit_crawlers.source import (
    Candidate,
    Capture,
    CrawlWindow,
    Drop,
    Extracted,
    FetchRefused,
    Get,
    Source,
)
from evalkit_crawlers.sources import mediawiki
from evalkit_crawlers.sources.wikipedia_languages import language_tag, parse_languages
from evalkit_crawlers.text import pages

MIN_WIKITEXT_BYTES = 1500
"""Shorter creating revisions are stubs. In bytes of wikitext, references and templates included."""

LICENSE = "CC-BY-SA-4.0"
"""https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use, section 7; since June 2023."""

MAX_QUESTION_CHARACTERS = 7000
"""Of an address: a letter of a user's name may take nine, and servers refuse 8 kB (LimitRequestLine)."""

_BATCH = 50  # the most revisions that one question may name
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

# Classes that templates and extensions give to what is no prose, in all or most languages.
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


@dataclasses.dataclass(frozen=True)
class WikipediaSource:
    """See the module's docstring."""

    languages: tuple[str, ...]
    name: str = "wikipedia"
    extractor: str = f"{pages.EXTRACTOR}, evalkit wikipedia 1"

    @property
    def query(self) -> dict[str, str]:
        """Editions and what counts as a stub."""
        return {"languages": " ".join(self.languages), "min_wikitext_bytes": str(MIN_WIKITEXT_BYTES)}

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        """See `Source.discover`; language by language, in the order of the log."""
        for language in self.languages:
            try:
                yield from _discover(language, window, get)
            except FetchRefused as refusal:
                yield Drop(f"{language}.wikipedia.org", f"listing: {refusal.reason}")

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """See `Source.extract`."""
        try:
            text = article_text(_rendering(capture.body))
        except FetchRefused as refusal:
            return Drop(candidate.id, refusal.reason)
        if not text:
            return Drop(candidate.id, "no prose")
        readable = candidate.attributes.get("permanent_link", candidate.url)
        return Extracted(dataclasses.replace(candidate, url=readable), text)


@dataclasses.dataclass(frozen=True, slots=True)
class _Creation:
    """An entry of the creation log."""

    id: str
    revision: int
    title: str
    user: str | None
    at: dt.datetime


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
    for indented in tree.xpath("//dl[not(dt)]"):  # wikitext indents by ":", which makes a list of it
        indented.tag = "div"
        for line in indented.iterchildren("dd"):
            line.tag = "p"
    _remove_empty_sections(tree)
    return pages.main_text(tree, whole=True)


def _api(language: str) -> str:
    return f"https://{language}.wikipedia.org/w/api.php"


def _discover(language: str, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
    parts = mediawiki.query(
        get,
        _api(language),
        {
            "action": "query",
            "list": "logevents",
            "letype": "create",
            "lenamespace": "0",
            "leprop": "ids|title|user|timestamp",
            "ledir": "newer",
            "lestart": f"{window.since.isoformat()}T00:00:00Z",
            "leend": f"{window.until.isoformat()}T23:59:59Z",
            "lelimit": "500",
        },
        revalidate=True,  # a window that ends today grows
    )
    seen: set[int] = set()
    for part in parts:
        listed = []
        for row in mediawiki.rows(part, "logevents"):
            creation = _creation(language, row)
            if isinstance(creation, Drop):
                yield creation
            elif creation.at not in window:
                yield Drop(creation.id, "published outside of the window")
            elif creation.revision in seen:
                yield Drop(creation.id, "listed more than once")
            else:
                seen.add(creation.revision)
                listed.append(creation)
        for start in range(0, len(listed), _BATCH):
            yield from _inspected(language, listed[start : start + _BATCH], get)


def _creation(language: str, row: Mapping[str, Any]) -> _Creation | Drop:
    revision, title, at = row.get("revid"), row.get("title"), row.get("timestamp")
    if not isinstance(revision, int) or not isinstance(title, str) or not title.strip():
        # Hidden by an administrator, or older than the wiki's habit to log the revision.
        return Drop(f"{language}wiki-log-{_number(row.get('logid'))}", "log entry without a revision")
    id = f"{language}wiki-{revision}"
    if not isinstance(at, str) or not _TIMESTAMP.fullmatch(at):
        return Drop(id, "log entry without a date")
    user = row.get("user")
    try:
        moment = dt.datetime.fromisoformat(at)
    except ValueError:
        return Drop(id, "log entry without a date")
    return _Creation(id, revision, title, user if isinstance(user, str) else None, moment)


def _inspected(language: str, creations: list[_Creation], get: Get) -> Iterator[Candidate | Drop]:
    """Candidates and drops of up to fifty creations, by what their revisions and users are."""
    users = sorted({creation.user for creation in creations if creation.user})
    parameters = {
        "action": "query",
        "prop": "revisions",
        "revids": "|".join(str(creation.revision) for creation in creations),
        "rvprop": "ids|timestamp|size|tags",
    }
    if users:
        parameters |= {"list": "users", "ususers": "|".join(users), "usprop": "groups"}
    if len(creations) > 1 and len(mediawiki.question(_api(language), parameters)) > MAX_QUESTION_CHARACTERS:
        middle = len(creations) // 2
        yield from _inspected(language, creations[:middle], get)
        yield from _inspected(language, creations[middle:], get)
        return
    found: dict[int, tuple[Mapping[str, Any], Any]] = {}
    bots: set[str] = set()
    for part in mediawiki.query(get, _api(language), parameters):
        for page in mediawiki.rows(part, "pages"):
            for revision in mediawiki.rows(page, "revisions"):
                if isinstance(revision.get("revid"), int):
                    found[revision["revid"]] = (revision, page.get("ns"))
        bots |= {str(user.get("name")) for user in mediawiki.rows(part, "users") if _is_bot(user)}
    for creation in creations:
        known, namespace = found.get(creation.revision, (None, None))
        reason = _unwanted(creation, known, namespace, bots)
        yield Drop(creation.id, reason) if reason else _candidate(language, creation)


def _is_bot(user: Mapping[str, Any]) -> bool:
    groups = user.get("groups")
    return isinstance(groups, list) and "bot" in groups


def _unwanted(
    creation: _Creation, revision: Mapping[str, Any] | None, namespace: object, bots: set[str]
) -> str | None:
    """Why a creation is no candidate; None if it is one."""
    if revision is None:
        return "deleted since"
    tags, size = revision.get("tags"), revision.get("size")
    if isinstance(tags, list) and "mw-new-redirect" in tags:
        return "redirect"
    if namespace != 0:
        return "moved out of the articles since"
    if creation.user in bots:
        return "made by a bot"
    if not _near(revision.get("timestamp"), creation.at):
        return "log and revision disagree on the date"
    if not isinstance(size, int) or size < MIN_WIKITEXT_BYTES:
        return "stub"
    return None


def _near(timestamp: object, moment: dt.datetime) -> bool:
    """Whether a revision was saved when the log says: seconds pass between the two, an import takes years."""
    try:
        return isinstance(timestamp, str) and abs(
            dt.datetime.fromisoformat(timestamp) - moment
        ) <= dt.timedelta(minutes=5)
    except (ValueError, TypeError):  # TypeError: it states no zone
        return False


def _candidate(language: str, creation: _Creation) -> Candidate:
    host = f"{language}.wikipedia.org"
    path = quote(creation.title.replace(" ", "_"), safe="/:,()!*'@;~-._")
    return Candidate(
        id=creation.id,
        url=mediawiki.question(
            _api(language),
            {
                "action": "parse",
                "oldid": str(creation.revision),
                "prop": "text|properties|revid",
                "disableeditsection": "1",
                "disabletoc": "1",
                "disablelimitreport": "1",
            },
        ),
        published_at=creation.at,
        license=LICENSE,
        title=creation.title,
        language=language_tag(language),
        stratum=language,
        cluster=f"{host}/{creation.user}" if creation.user else host,
        attributes={
            "source_version": f"revision {creation.revision}",
            "permanent_link": f"https://{host}/wiki/{path}?oldid={creation.revision}",
        },
    )


def _rendering(body: bytes) -> str:
    """The HTML in an answer to ``action=parse``.

    Raises:
        FetchRefused: the revision cannot be shown any more, or is no article's.
    """
    try:
        parsed = mediawiki.answer(body).get("parse")
    except mediawiki.ApiError as error:
        gone = error.code in ("nosuchrevid", "missingcontent-revid", "missingtitle", "permissiondenied")
        raise FetchRefused("deleted since" if gone else error.reason) from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("text"), str):
        raise FetchRefused(mediawiki.NOT_AN_ANSWER)
    properties = parsed.get("properties")
    if isinstance(properties, dict) and "disambiguation" in properties:
        raise FetchRefused("disambiguation page")
    return str(parsed["text"])


def _write_formulas(tree: Any) -> None:
    """Replace rendered formulas by their TeX, which MediaWiki puts into ``alttext``."""
    for element in tree.xpath("//*[contains(concat(' ', @class, ' '), ' mwe-math-element ')]"):
        sources = element.xpath(".//@alttext|.//*[local-name()='annotation']/text()")
        tex = " ".join(str(sources[0]).split()) if sources else ""
        tex = re.sub(r"^\{\\(?:display|text)style (.*)\}$", r"\1", tex)
        element.clear(keep_tail=True)
        element.tag = "span"
        element.text = rf"\({tex.strip()}\)" if tex else ""


def _remove_empty_sections(tree: Any) -> None:
    """Remove headings that nothing follows up to the next one of their level."""
    from lxml import etree

    outline: list[Any] = []  # headings, and None for text between them, in the order of the document
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
    has_text, level_below = False, 0
    for item in reversed(outline):
        if item is None:
            has_text = True
        elif has_text or level_below > _HEADINGS.index(item.tag):
            has_text, level_below = False, _HEADINGS.index(item.tag)
        else:
            _remove(item)


def _remove(element: Any) -> None:
    """Take an element out of its tree, and leave the text behind it."""
    if element.getparent() is not None:
        element.drop_tree()


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) else "unknown"


@crawl_command
def command(
    languages: Annotated[
        str | None,
        typer.Option("--languages", help="Editions by commas, e.g. en,zh,fr; by default fourteen."),
    ] = None,
) -> Source:
    """Wikipedia articles that were created in the window, as they were created (CC BY-SA 4.0)."""
    return WikipediaSource(parse_languages(languages))
