"""``/.well-known/tdmrep.json``: what a site reserves for itself of the mining of its pages.

https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/. What a page says of itself is read by
`evalkit_crawlers.text.reservations`.
"""

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from evalkit.files import parse_json
from evalkit_crawlers.source import Capture, FetchRefused

RESERVED = "site reserves the mining of its pages (tdmrep.json)"
"""Reason of a drop."""


MAX_BYTES = 512 * 1024
"""As of robots.txt."""


class Reservations:
    """The rules of every site that a crawl comes to, fetched once each.

    Args:
        get: fetches, without asking for reservations.
    """

    def __init__(self, get: Callable[[str], Capture]) -> None:
        self._get = get
        self._rules: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def cover(self, url: str) -> bool:
        """Whether a URL's site reserves it; a site whose rules are not to be had reserves nothing.

        Raises:
            evalkit.errors.CrawlError: the host cannot be reached.
        """
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            rules = self._rules.get(site)
        if rules is None:
            try:
                rules = self._get(f"{site}/.well-known/tdmrep.json").body
            except FetchRefused:
                rules = b""
            with self._lock:
                self._rules[site] = rules
        return bool(rules) and is_reserved_by_site(rules, url)


def is_reserved_by_site(rules: bytes, url: str) -> bool:
    """Whether a site's ``tdmrep.json`` reserves an address: the first rule whose pattern covers it counts.

    A file that is not as the specification has it says nothing.
    """
    try:
        content = parse_json(rules[:MAX_BYTES])
    except ValueError:
        return False
    parts = urlsplit(url)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    for rule in content if isinstance(content, list) else []:
        if isinstance(rule, dict) and _covers(rule.get("location"), path):
            return str(rule.get("tdm-reservation")) == "1"
    return False


def _covers(pattern: object, path: str) -> bool:
    """Whether a pattern of robots.txt's kind (RFC 9309, 2.2.3) covers a path, in linear time."""
    if not isinstance(pattern, str):
        return False
    *pieces, last = pattern.removesuffix("$").split("*")
    position = 0
    for number, piece in enumerate(pieces):
        found_at = path.find(piece, position)
        if found_at < 0 or (number == 0 and found_at > 0):
            return False
        position = found_at + len(piece)
    if pattern.endswith("$"):
        return path.endswith(last) and len(path) - len(last) >= position and (bool(pieces) or path == last)
    return last in path[position:] if pieces else path.startswith(last)
