"""robots.txt (RFC 9309), read by protego."""

import dataclasses
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from evalkit_crawlers.source import Capture, FetchRefused

if TYPE_CHECKING:
    from protego import Protego

AGENT = "evalkit"
"""The name that robots.txt may address us by."""
_VERSIONED = re.compile(rf"^(\s*user-agent\s*:\s*{AGENT})/\S+", re.IGNORECASE | re.MULTILINE)
"""Some write a product's version behind its name, which is no part of it (RFC 9309, 2.2.1)."""
FORBIDDEN = "robots.txt forbids it"
MAX_BYTES = 512 * 1024
"""RFC 9309, 2.5: at least 500 KiB must be read; what comes after is not."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a site's robots.txt says to us."""

    parsed: "Protego | None"
    """None where there is no robots.txt and everything is allowed."""

    def allow(self, url: str) -> bool:
        """Whether we may fetch a URL of the site."""
        return self.parsed is None or bool(self.parsed.can_fetch(url, AGENT))

    @property
    def delay_s(self) -> float:
        """Least time between two requests that the site asks for, in either of two ways; else 0."""
        if self.parsed is None:
            return 0.0
        rate = self.parsed.request_rate(AGENT)
        rate_delay_s = rate.seconds / rate.requests if rate is not None and rate.requests else 0.0
        return max(float(self.parsed.crawl_delay(AGENT) or 0.0), rate_delay_s, 0.0)


class Robots:
    """The rules of every site that a crawl comes to, fetched once each."""

    def __init__(self, get: Callable[[str], Capture]) -> None:
        """Fetch by ``get``, which must not ask robots.txt whether it may fetch robots.txt."""
        self._get = get
        self._rules: dict[str, Rules] = {}
        self._lock = threading.Lock()

    def rules_for(self, url: str) -> Rules:
        """The rules of a URL's site, fetched where they were not yet.

        A site that says that it has none (4xx, or five redirects) allows everything; one whose rules are
        out of reach allows nothing (RFC 9309, 2.3.1).

        Raises:
            FetchRefused: its robots.txt cannot be had.
            evalkit.errors.CrawlError: the host cannot be reached.
        """
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            rules = self._rules.get(site)
        if rules is None:
            # Not under the lock: a slow site must not hold up the others. Fetched twice, it is the same.
            rules = self._fetched(f"{site}/robots.txt")
            with self._lock:
                self._rules[site] = rules
        return rules

    def fetched_delay_s(self, url: str) -> float:
        """The delay that a URL's site asks for; 0 where its rules were not fetched yet."""
        parts = urlsplit(url)
        with self._lock:
            rules = self._rules.get(f"{parts.scheme}://{parts.netloc}")
        return rules.delay_s if rules else 0.0

    def _fetched(self, url: str) -> Rules:
        from protego import Protego

        try:
            body = self._get(url).body[:MAX_BYTES]
        except FetchRefused as refusal:
            # Also 401 and 403: RFC 9309, 2.3.1.3, takes them for "there are no rules" and not for "keep out".
            if refusal.reason.startswith("HTTP 4") or refusal.reason == "too many redirects":
                return Rules(None)
            raise FetchRefused(f"robots.txt: {refusal.reason}") from None
        text = body.decode("utf-8-sig", "replace")
        return Rules(Protego.parse(_VERSIONED.sub(r"\1", text)))
