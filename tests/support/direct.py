"""What tests of sources share: captures without a server, and how much of a text was found."""

import dataclasses
import datetime as dt
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from evalkit_crawlers.source import (
    Candidate,
    Capture,
    CrawlWindow,
    Drop,
    Extracted,
    FetchRefused,
    Remark,
    Source,
)
from tests.support.replay import Request, Site

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
WINDOW = CrawlWindow(dt.date(2026, 11, 1), dt.date(2026, 11, 15))


def capture(
    body: bytes,
    content_type: str | None = "text/html; charset=utf-8",
    url: str = "https://news.example/story",
    fetched_at: dt.datetime = NOW,
) -> Capture:
    headers = {"content-type": content_type} if content_type else {}
    return Capture(url, url, fetched_at, headers, body, hashlib.sha256(body).hexdigest())


@dataclasses.dataclass
class DirectGet:
    """A `Get` that calls a site function; remembers what was asked, in order."""

    site: Site
    requested_urls: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, url: str, *, accept: str = "*/*", revalidate: bool = False) -> Capture:
        self.requested_urls.append(url)
        final = url
        for _ in range(5):
            parts = urlsplit(final)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            reply = self.site(Request(parts.hostname or "", parts.path, query, {"accept": accept}))
            headers = {name.lower(): value for name, value in reply.headers.items()}
            if reply.status not in (301, 302):
                break
            final = urljoin(final, headers["location"])
        if reply.status != 200:
            raise FetchRefused(f"HTTP {reply.status}")
        return Capture(url, final, NOW, headers, reply.body, hashlib.sha256(reply.body).hexdigest())


def crawl_directly(
    source: Source, site: Site, window: CrawlWindow = WINDOW
) -> tuple[list[Extracted], list[Drop], DirectGet]:
    """Discover, fetch and extract, without sampling and cleaning."""
    get = DirectGet(site)
    extracted: list[Extracted] = []
    drops: list[Drop] = []
    entries = list(source.discover(window, get))
    for entry in entries:
        if isinstance(entry, Remark):
            continue
        if isinstance(entry, Candidate):
            try:
                result = source.extract(entry, get(entry.url))
            except FetchRefused as refusal:
                drops.append(Drop(entry.id, refusal.reason))
                continue
            (extracted if isinstance(result, Extracted) else drops).append(result)  # type: ignore[arg-type]
        else:
            drops.append(entry)
    return extracted, drops, get


def remarks_of(source: Source, site: Site, window: CrawlWindow = WINDOW) -> list[Remark]:
    """What the listings lack."""
    return [entry for entry in source.discover(window, DirectGet(site)) if isinstance(entry, Remark)]


def reasons(drops: list[Drop]) -> Mapping[str, int]:
    return Counter(drop.reason for drop in drops)


def token_f1(extracted_text: str, original_text: str) -> float:
    """Harmonic mean of precision and recall over tokens: words, or characters where no spaces part words."""
    extracted_tokens, original_tokens = _tokens(extracted_text), _tokens(original_text)
    return (
        2
        * sum((extracted_tokens & original_tokens).values())
        / max(1, sum(extracted_tokens.values()) + sum(original_tokens.values()))
    )


def _tokens(text: str) -> Counter[Any]:
    return Counter(re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]", text))
