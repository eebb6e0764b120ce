"""robots.txt (RFC 9309), read by protego."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from evalkit_crawlers.source import Capture, FetchRefused

AGENT = "evalkit"
"""The name that robots.txt may address us by."""
FORBIDDEN = "robots.txt forbids it"
MAX_BYTES = 512 * 1024
"""RFC 9309, 2.5: at least 500 KiB must be read; what comes after is not."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a site's robots.txt says to us."""

    parsed: Any
    """A `protego.Protego`; None where there is none and everything is allowed."""

    def allow(self, url: str) -> bool:
        """Whether we may fetch a URL of the site."""
        return self.parsed is None or bool(self.parsed.can_fetch(url, AGENT))

    @property
    def delay_s(self) -> float:
        """Least time between two requests; 0 where none is asked for."""
        if self.parsed is None:
            return 0.0
        rate = self.parsed.request_rate(AGENT)
        between = rate.seconds / rate.requests if rate is not None and rate.requests else 0.0
        return max(float(self.parsed.crawl_delay(AGENT) or 0.0), between, 0.0)


class Robots:
    """The rules of every site that a crawl comes to, fetched once each."""

    def __init__(self, get: Callable[[str], Capture]) -> None:
        """Fetch by ``get``, which does not ask here again."""
        self._get = get
        self._rules: dict[str, Rules] = {}
        self._lock = threading.Lock()

    def rules_for(self, url: str) -> Rules:
        """The rules of a URL's site.

        A site that answers with an error of ours (4xx) has no rules; one whose rules are out of reach
        allows nothing (RFC 9309, 2.3.1).

        Raises:
            FetchRefused: its robots.txt cannot be had.
            evalkit.errors.CrawlError: the host cannot be reached.
        """
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            known = self._rules.get(site)
        if known is None:
            known = self._fetched(f"{site}/robots.txt")
            with self._lock:
                self._rules[site] = known
        return known

    def delay_known_s(self, url: str) -> float:
        """The delay that a site asks for, as far as its rules were fetched already."""
        parts = urlsplit(url)
        with self._lock:
            rules = self._rules.get(f"{parts.scheme}://{parts.netloc}")
        return rules.delay_s if rules else 0.0

    def _fetched(self, url: str) -> Rules:
        from protego import Protego

        try:
            body = self._get(url).body[:MAX_BYTES]
        except FetchRefused as refusal:
            if refusal.reason.startswith("HTTP 4") or refusal.reason == "too many redirects":
                return Rules(None)
            raise FetchRefused(f"robots.txt: {refusal.reason}") from None
        return Rules(Protego.parse(body.decode("utf-8-sig", "replace")))
