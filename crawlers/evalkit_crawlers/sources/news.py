"""News under open licenses: what feeds name in the window, article by article from the pages themselves.

    evalkit crawl news --since 2026-11-01 --until 2026-11-15
    evalkit crawl news --since 2026-11-01 --until 2026-11-15 --feeds my-feeds.toml

An article's date is the feed's, and the page must not contradict it: where the two are more than a day
apart, one of them is that of something else (a repost, a republished archive, a changed template), and
the document falls out. Feeds that do not say when an article was published leave it to the page.
"""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import quote, urlsplit

import typer

from evalkit.errors import CrawlError
from evalkit_crawlers.command import crawl_command
from evalkit_crawlers.http.parallel import in_parallel
from evalkit_crawlers.source import (
    Candidate,
    Capture,
    CrawlWindow,
    Drop,
    Extracted,
    FetchRefused,
    Get,
    Remark,
    Source,
)
from evalkit_crawlers.sources.feeds import Entry, Feed, is_on_site, load_feeds, parse_feed
from evalkit_crawlers.text import pages
from evalkit_crawlers.text.apart import apart

MAX_PAGES = 200
"""Of one paged feed: some answer to every page number, for ever."""

FEED_TYPES = (
    "application/atom+xml, application/rss+xml, application/rdf+xml, application/xml;q=0.9, */*;q=0.5"
)
OUTSIDE = "published outside of the window"
DISAGREE = "feed and page disagree on the date"
UNDATED = "no date in feed or page"

_MAX_DAYS_APART = 1
# /2026/11/06/a-story and /2026-11-06-a-story; in /2026/11/10-things-to-know the ten are things.
_DATE_IN_PATH = re.compile(
    r"/((?:19|20)\d\d)(?:/(\d\d?)/(\d\d?)(?=/|$)|-(\d\d?)-(\d\d?)(?=[/.-]|$))", re.ASCII
)


@dataclasses.dataclass(frozen=True)
class NewsSource:
    """Articles that feeds name in the window, from the articles' own pages."""

    feeds: tuple[Feed, ...] = ()
    """In the order in which they are read; extracting needs none."""
    parallel: bool = False
    """Keep the pages' links to their translations, so that one story in several languages can be compared."""
    name: str = "news"
    obeys_reservations: ClassVar[bool] = True
    extractor: str = dataclasses.field(
        default_factory=lambda: f"{pages.extractor_versions()}, evalkit news 3"
    )

    @property
    def query(self) -> dict[str, str]:
        """The feeds by name, and a digest of all that is known of them."""
        content = json.dumps([dataclasses.asdict(feed) for feed in self.feeds], sort_keys=True)
        return {
            "feeds": " ".join(feed.name for feed in self.feeds),
            "feeds_sha256": hashlib.sha256(content.encode()).hexdigest(),
            **({"parallel": "yes"} if self.parallel else {}),
        }

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop | Remark]:
        """The articles that the feeds name in the window, feed by feed; each article once."""
        _ask_ahead(self.feeds, get)
        listed: dict[str, str] = {}
        for feed in self.feeds:
            yield from _discover(feed, window, get, listed)

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The text of an article's page; a drop where site or date are not those of the feed."""
        site, host = candidate.attributes.get("site"), urlsplit(capture.final_url).hostname or ""
        if site and not is_on_site(host, site):
            return Drop(candidate.id, "redirected to another site")
        try:
            page = pages.read_page(capture)
        except FetchRefused as refusal:
            return Drop(candidate.id, refusal.reason)
        if page.problem:
            return Drop(candidate.id, page.problem)
        if not page.text:
            return Drop(candidate.id, "no text found on the page")
        problem = _contradiction(candidate, page.published_on)
        if problem:
            return Drop(candidate.id, problem)
        corrected = dataclasses.replace(
            candidate,
            title=candidate.title or page.title,
            license=_license(candidate, page.licenses),
            language=candidate.language or page.language,
            alternates=page.alternates if self.parallel else (),
        )
        return Extracted(corrected, page.text)


def _ask_ahead(feeds: Sequence[Feed], get: Get) -> None:
    """Fetch the feeds of several hosts at the same time, so that reading them one by one has not to wait."""
    hosts: dict[str, list[Feed]] = defaultdict(list)
    for feed in feeds:
        hosts[urlsplit(feed.url).netloc].append(feed)

    def ask(feed: Feed) -> None:
        with contextlib.suppress(FetchRefused, CrawlError):  # told of when the feed is read
            get(feed.page(1), accept=FEED_TYPES, revalidate=True)

    if len(hosts) > 1:
        for _ in in_parallel(list(hosts.values()), ask):
            pass


def _discover(
    feed: Feed, window: CrawlWindow, get: Get, listed: dict[str, str]
) -> Iterator[Candidate | Drop | Remark]:
    """One feed's candidates; ``listed`` holds the articles of all feeds so far, by id, and grows."""
    oldest: dt.date | None = None
    for number in range(1, MAX_PAGES + 1):
        try:
            capture = get(feed.page(number), accept=FEED_TYPES, revalidate=True)
            entries = apart(parse_feed, capture)
        except (FetchRefused, CrawlError) as error:
            # WordPress answers 404 to the page after the last one.
            if number == 1 or "404" not in str(error):
                yield Remark(_page_id(feed, number), str(error).partition(";")[0])
            break
        if number == 1 and not entries:
            yield Remark(feed.name, "it has no entries")
        num_listed = len(listed)
        for position, entry in enumerate(entries):
            yield from _of_entry(feed, entry, f"{_page_id(feed, number)}#{position}", window, get, listed)
        days = [entry.published_at.date() for entry in entries if entry.published_at]
        oldest = min([*days, *filter(None, [oldest])], default=None)
        # An older entry on top is pinned there; a page of nothing but older ones is past the window.
        if not feed.paged or len(listed) == num_listed or (days and max(days) < window.since):
            break
    else:
        yield Remark(feed.name, f"it has more than {MAX_PAGES} pages")
    if oldest is not None and oldest > window.since and not feed.paged:
        yield Remark(feed.name, "its oldest entry is newer than the window's first day")


def _of_entry(
    feed: Feed, entry: Entry, position: str, window: CrawlWindow, get: Get, listed: dict[str, str]
) -> Iterator[Candidate | Drop]:
    if entry.url is None:
        yield Drop(position, "entry without an address")
        return
    id = _document_id(entry.url)
    is_own = is_on_site(urlsplit(entry.url).hostname or "", feed.site)
    # That one feed mentions it must not keep it from the feed of its own site.
    if listed.setdefault(id if is_own else f"{feed.name} {id}", position) != position:
        yield Drop(id, "listed more than once")
        return
    if not is_own:
        yield Drop(id, "entry of another site")
        return
    published_at: dt.datetime | Drop | None = entry.published_at
    basis = "change" if entry.is_change_date else "feed"
    if published_at is None:
        published_at, basis = _date_without_feed(entry.url, get), "page"
    if isinstance(published_at, Drop):
        yield published_at
    elif published_at not in window:
        yield Drop(id, OUTSIDE)
    else:
        yield Candidate(
            id=id,
            url=entry.url,
            published_at=published_at,
            license=entry.license or feed.license,
            title=entry.title,
            language=feed.language.partition("-")[0],
            stratum=feed.name,
            cluster=urlsplit(entry.url).hostname,
            attributes={"feed": feed.name, "date_from": basis, "site": feed.site},
        )


def _date_without_feed(url: str, get: Get) -> dt.datetime | Drop:
    """The day that an article's address or else its page states."""
    match = _DATE_IN_PATH.search(urlsplit(url).path)
    day = _day(*map(int, filter(None, match.groups()))) if match else None
    if day is None:
        try:
            day = apart(pages.read_page, get(url, accept="text/html")).published_on
        except FetchRefused as refusal:
            return Drop(_document_id(url), refusal.reason)
        except CrawlError:  # the crawl knows that the address is missing
            return Drop(_document_id(url), UNDATED)
    if day is None:
        return Drop(_document_id(url), UNDATED)
    return dt.datetime.combine(day, dt.time(12), dt.UTC)  # in the middle: the day in any zone is near


def _contradiction(candidate: Candidate, published_on: dt.date | None) -> str | None:
    if published_on is None:
        # When something was changed says nothing of when it was published.
        return UNDATED if candidate.attributes.get("date_from") == "change" else None
    days_apart = abs((candidate.published_at.date() - published_on).days)
    return DISAGREE if days_apart > _MAX_DAYS_APART else None


def _license(candidate: Candidate, stated: frozenset[str]) -> str | None:
    """The page's own license before the feed's; None where it states several and not the feed's."""
    if not stated or candidate.license in stated:
        return candidate.license
    return next(iter(stated)) if len(stated) == 1 else None


def _document_id(url: str) -> str:
    """The address without its scheme, in ASCII."""
    return quote(url.partition("://")[2].removesuffix("/"), safe="/%:?=&;,+~@!$*()'-._")


def _page_id(feed: Feed, number: int) -> str:
    return feed.name if number == 1 else f"{feed.name}?paged={number}"


def _day(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


@crawl_command
def command(
    feeds: Annotated[
        Path | None, typer.Option("--feeds", help="TOML file of feeds; by default those that come along.")
    ] = None,
    parallel: Annotated[
        bool,
        typer.Option("--parallel", help="Keep which articles are translations of each other: story_id."),
    ] = False,
) -> Source:
    """News articles that feeds name, under the license of each.

    By default: Global Voices in 20 languages and agencies of the United States' government.
    """
    return NewsSource(load_feeds(feeds), parallel)
