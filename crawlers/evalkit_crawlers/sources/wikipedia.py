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
from typing import Annotated, NamedTuple
from urllib.parse import quote

import typer

from evalkit.cli.parsing import CommaLists, joined
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
from evalkit_crawlers.sources.wikipedia_text import article_text
from evalkit_crawlers.text import pages

MIN_WIKITEXT_BYTES = 1500
"""Shorter creating revisions are stubs. In bytes of wikitext, references and templates included."""

LICENSE = "CC-BY-SA-4.0"
"""https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use, section 7; since June 2023."""

MAX_QUESTION_CHARACTERS = 7000
"""Of an address: a letter of a user's name may take nine, and servers refuse 8 kB (LimitRequestLine)."""

_BATCH = 50  # the most revisions that one question may name
_MAX_LOG_DELAY = dt.timedelta(minutes=5)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclasses.dataclass(frozen=True)
class WikipediaSource:
    """Articles that were created in the window, as they were created."""

    languages: tuple[str, ...]
    """Editions, e.g. ``en``, ``zh-min-nan``."""
    name: str = "wikipedia"
    extractor: str = dataclasses.field(
        default_factory=lambda: f"{pages.extractor_versions()}, evalkit wikipedia 2"
    )

    @property
    def query(self) -> dict[str, str]:
        """Editions and what counts as a stub."""
        return {"languages": " ".join(self.languages), "min_wikitext_bytes": str(MIN_WIKITEXT_BYTES)}

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        """The pages that were created in the window, edition by edition, in the order of the creation log."""
        for language in self.languages:
            try:
                yield from _discover(language, window, get)
            except FetchRefused as refusal:
                yield Drop(f"{language}.wikipedia.org", f"listing: {refusal.reason}")

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The prose of the revision that a capture of ``action=parse`` renders, under its permanent link."""
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
    """None: hidden by an administrator."""
    created_at: dt.datetime


class _Revision(NamedTuple):
    """What became of a revision that the log names."""

    size_bytes: int
    """Of wikitext; 0 where the wiki doesn't say."""
    saved_at: dt.datetime | None
    """Aware; None where it cannot be read."""
    is_redirect: bool
    is_article: bool
    """Whether its page is in the main namespace now."""


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
            elif creation.created_at not in window:
                yield Drop(creation.id, "published outside of the window")
            elif creation.revision in seen:
                yield Drop(creation.id, "listed more than once")
            else:
                seen.add(creation.revision)
                listed.append(creation)
        for start in range(0, len(listed), _BATCH):
            yield from _inspected(language, listed[start : start + _BATCH], get)


def _creation(language: str, row: Mapping[str, object]) -> _Creation | Drop:
    revision, title, timestamp = row.get("revid"), row.get("title"), row.get("timestamp")
    if not isinstance(revision, int) or not isinstance(title, str) or not title.strip():
        # Hidden by an administrator, or older than the wiki's habit to log the revision.
        return Drop(f"{language}wiki-log-{_number(row.get('logid'))}", "log entry without a revision")
    id = f"{language}wiki-{revision}"
    if not isinstance(timestamp, str) or not _TIMESTAMP.fullmatch(timestamp):
        return Drop(id, "log entry without a date")
    user = row.get("user")
    try:
        created_at = dt.datetime.fromisoformat(timestamp)
    except ValueError:
        return Drop(id, "log entry without a date")
    return _Creation(id, revision, title, user if isinstance(user, str) else None, created_at)


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
    revisions: dict[int, _Revision] = {}
    bots: set[str] = set()
    for part in mediawiki.query(get, _api(language), parameters):
        for page in mediawiki.rows(part, "pages"):
            for row in mediawiki.rows(page, "revisions"):
                number = row.get("revid")
                if isinstance(number, int):
                    revisions[number] = _revision(row, page)
        bots |= {str(user.get("name")) for user in mediawiki.rows(part, "users") if _is_bot(user)}
    for creation in creations:
        reason = _unwanted(creation, revisions.get(creation.revision), bots)
        yield Drop(creation.id, reason) if reason else _candidate(language, creation)


def _revision(row: Mapping[str, object], page: Mapping[str, object]) -> _Revision:
    size, tags, timestamp = row.get("size"), row.get("tags"), row.get("timestamp")
    try:
        saved_at = dt.datetime.fromisoformat(timestamp) if isinstance(timestamp, str) else None
    except ValueError:
        saved_at = None
    return _Revision(
        size_bytes=size if isinstance(size, int) else 0,
        saved_at=saved_at if saved_at and saved_at.tzinfo else None,
        is_redirect=isinstance(tags, list) and "mw-new-redirect" in tags,
        is_article=page.get("ns") == 0,
    )


def _is_bot(user: Mapping[str, object]) -> bool:
    groups = user.get("groups")
    return isinstance(groups, list) and "bot" in groups


def _unwanted(creation: _Creation, revision: _Revision | None, bots: set[str]) -> str | None:
    """Why a creation is no candidate; None if it is one."""
    if revision is None:
        return "deleted since"
    if revision.is_redirect:
        return "redirect"
    if not revision.is_article:
        return "moved out of the articles since"
    if creation.user in bots:
        return "made by a bot"
    # Seconds pass between the saving and the log's entry; an imported revision is years older than it.
    if revision.saved_at is None or abs(revision.saved_at - creation.created_at) > _MAX_LOG_DELAY:
        return "log and revision disagree on the date"
    if revision.size_bytes < MIN_WIKITEXT_BYTES:
        return "stub"
    return None


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
        published_at=creation.created_at,
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


def _number(value: object) -> str:
    """A number of a log's entry for an id, where there is one."""
    return str(value) if isinstance(value, int) else "unknown"


@crawl_command
def command(
    languages: Annotated[
        CommaLists,
        typer.Option("--languages", help="Editions by commas, e.g. en,zh,fr; by default the twenty largest."),
    ] = None,
) -> Source:
    """Wikipedia articles that were created in the window, as they were created (CC BY-SA 4.0)."""
    return WikipediaSource(parse_languages(joined(languages)))
