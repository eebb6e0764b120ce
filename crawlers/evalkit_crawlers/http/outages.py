"""Which hosts are left alone for the rest of a crawl, and what was not to be had but may be another day."""

from collections.abc import Mapping

from evalkit_crawlers.http.allowance import TOO_SLOW
from evalkit_crawlers.http.exchange import HUNG_UP
from evalkit_crawlers.http.transport import CUT_SHORT, DAMAGED_GZIP

MAX_BAD_PAGES = 3
"""Pages in a row whose connection breaks, whose answer does not end or is an error of the server's; then it
is the host that is held to be out of reach."""

MAX_FORBIDDEN = 3
"""Answers in a row that forbid; then it is us whom the host forbids: to ask on would be an attack."""

MAX_ROUTELESS_TRIES = 3
"""Of a host that no way leads to; `MAX_ROUTELESS_TRIES_OFFLINE` while no host at all has answered."""

MAX_ROUTELESS_TRIES_OFFLINE = 2
"""Then it is more likely this machine that has no network; of two such hosts none is tried twice."""

MAX_REFUSED_DAYS = 3
"""Days on which an address was asked for in vain; then what is there is held to be gone for good."""

_FORBIDDING = frozenset({401, 403, 429})
_PASSING = frozenset({HUNG_UP, CUT_SHORT, DAMAGED_GZIP, TOO_SLOW})


class Outages:
    """What a crawl has learnt of its hosts. Only one request is made to a host at a time."""

    def __init__(self) -> None:
        self._down: dict[str, str] = {}
        self._num_bad_pages: dict[str, int] = {}
        self._num_forbidden: dict[str, int] = {}
        self._num_routeless: dict[str, int] = {}
        self._has_answered = False
        self._missing: dict[str, str] = {}

    @property
    def missing(self) -> Mapping[str, str]:
        """Address → why it was not to be had in this run: its host, and what may be otherwise another day."""
        return self._missing

    def miss(self, url: str, reason: str) -> None:
        """Count an address as one that may be had another day."""
        self._missing[url] = reason

    def down_reason(self, host: str) -> str | None:
        """Why a host is left alone; None for one that is not."""
        return self._down.get(host)

    def give_up(self, host: str, reason: str) -> None:
        """Leave a host alone from now on."""
        self._down.setdefault(host, reason)

    def count_routeless(self, host: str) -> bool:
        """Count a host that no way leads to, once more; whether to leave it alone from now on."""
        self._num_routeless[host] = self._num_routeless.get(host, 0) + 1
        if self._has_answered:
            return self._num_routeless[host] >= MAX_ROUTELESS_TRIES
        return self._num_routeless[host] >= MAX_ROUTELESS_TRIES_OFFLINE or len(self._num_routeless) > 1

    def count_answer(self, host: str, status: int) -> None:
        """Count a host's answer, and leave it alone if it forbids one request after the other."""
        self._has_answered = True
        if status in _FORBIDDING:
            self._num_forbidden[host] = self._num_forbidden.get(host, 0) + 1
            if self._num_forbidden[host] >= MAX_FORBIDDEN:
                self.give_up(host, f"HTTP {status}, {MAX_FORBIDDEN} times in a row")
        elif status < 500:
            self._num_forbidden[host] = 0

    def count_good_page(self, host: str) -> None:
        """Count a page that arrived whole, or that the host says it does not have."""
        self._num_bad_pages[host] = 0

    def count_bad_page(self, host: str, reason: str) -> None:
        """Count a page that broke, and leave its host alone if one breaks after the other."""
        self._num_bad_pages[host] = self._num_bad_pages.get(host, 0) + 1
        if self._num_bad_pages[host] >= MAX_BAD_PAGES:
            self.give_up(host, f"{reason}, {MAX_BAD_PAGES} pages in a row")


def may_pass(reason: str) -> bool:
    """Whether what was refused may be had another day: the server was in trouble, or in a bad mood."""
    reason = reason.removeprefix("robots.txt: ")
    return reason.startswith(("HTTP 401", "HTTP 403", "HTTP 429", "HTTP 5")) or reason in _PASSING
