"""Fetching: politely, boundedly, and never twice.

`Fetcher.get` is what sources are handed. Above it are captures (what was fetched is not fetched again),
below it, in this order: robots.txt, redirects one hop at a time, retries (stamina), the pace of the host's
queue, a single exchange (`evalkit_crawlers.http.exchange`): for listings an HTTP cache with their validators
(hishel), a connection to a checked address.
"""

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import stamina

from evalkit.errors import CrawlError
from evalkit.files import cache_dir
from evalkit_crawlers.host_names import ascii_url
from evalkit_crawlers.http.addresses import host_of
from evalkit_crawlers.http.allowance import TOO_SLOW
from evalkit_crawlers.http.captures import PAGES, CaptureStore
from evalkit_crawlers.http.contact import user_agent
from evalkit_crawlers.http.endpoints import canonical_url, mirrored_url
from evalkit_crawlers.http.exchange import DEFAULT_LIMITS, Answer, Exchanger, Limits, TryAgain
from evalkit_crawlers.http.hosts import HostPolicy, policy_of
from evalkit_crawlers.http.outages import MAX_REFUSED_DAYS, Outages, may_pass
from evalkit_crawlers.http.pacing import MAX_HOLD_S, Clock, Pacer, SystemClock
from evalkit_crawlers.http.reservations import RESERVED, Reservations
from evalkit_crawlers.http.robots import FORBIDDEN, Robots
from evalkit_crawlers.http.special_addresses import is_own_host
from evalkit_crawlers.http.watching import Silent, Watcher
from evalkit_crawlers.source import Capture, FetchRefused

NOT_CAPTURED = "not fetched before (offline)"
TOO_MANY_REDIRECTS = "too many redirects"
TOO_RARELY = "robots.txt allows less than a page an hour"
UNREACHABLE = "unreachable"

TOLD_PAUSE_S = 120.0
"""Shorter pauses that an interface asks for are kept without a word."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 503})


class Fetcher:
    """Gets URLs; a context manager that closes its connections. Safe to use from several threads."""

    def __init__(
        self,
        store: CaptureStore,
        scope: str,
        *,
        contact: str,
        endpoints: Mapping[str, str] | None = None,
        allow_private_hosts: bool = False,
        skip_unreachable: bool = False,
        offline: bool = False,
        obeys_reservations: bool = False,
        policies: Sequence[HostPolicy] = (),
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """Remember how to fetch; nothing is opened before it is needed.

        Args:
            store: where bodies are kept.
            scope: of what changes from crawl to crawl, a name within the store.
            contact: whom a server's operator may write to; see `evalkit_crawlers.http.contact`.
            endpoints: host → base URL that is asked in its place.
            allow_private_hosts: connect to this machine and private networks too.
            skip_unreachable: an unreachable host is a `FetchRefused` and not an error.
            offline: only what is kept.
            obeys_reservations: ask every site of a page what it reserves (`Reservations`).
            policies: of hosts, before those of `evalkit_crawlers.http.hosts`.
            limits: sizes and times.
            clock: time.
            watcher: is told what happens.
        """
        self._store, self._scope = store, scope
        self._endpoints = dict(endpoints or {})
        self._skip_unreachable, self._offline = skip_unreachable, offline
        self._policies, self._limits = policies, limits
        self._clock = clock or SystemClock()
        self._watcher: Watcher = watcher or Silent()
        self._pacer = Pacer(cache_dir() / "pace", self._clock, self._watcher.waits)
        self._exchanger = Exchanger(
            user_agent=user_agent(contact),
            endpoints=self._endpoints,
            allow_private_hosts=allow_private_hosts,
            limits=limits,
            clock=self._clock,
        )
        self._robots = Robots(
            lambda url: self._captured_or_fetched(url, "text/plain", True, ask_robots=False)
        )
        reservations = Reservations(
            lambda url: self._captured_or_fetched(url, "application/json", True, ask_robots=False)
        )
        self._reservations = reservations if obeys_reservations else None
        self._outages = Outages()
        self._passing_refusals: dict[str, str] = {}
        """Address → why it was refused in this run, where that may be otherwise the next time."""
        self._is_closed = False

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_closed = True
        self._exchanger.close()

    def get(self, url: str, *, accept: str = "*/*", revalidate: bool = False) -> Capture:
        """The body under a URL: captured before, or else fetched politely and captured.

        Args:
            url: http or https; the canonical address, also where an endpoint is asked.
            accept: value of the ``Accept`` header.
            revalidate: the body may have changed since the last crawl: ask, with the kept copy's validators.

        Raises:
            FetchRefused: it cannot be had or must not be taken, and why; remembered for this crawl. What may
                pass is remembered for this run, and for good after `MAX_REFUSED_DAYS` days (`missing`).
            CrawlError: the host cannot be reached after all retries.
        """
        return self._captured_or_fetched(url, accept, revalidate, ask_robots=True)

    @property
    def missing(self) -> Mapping[str, str]:
        """Address → why it was not to be had in this run, of those that the next run asks for again."""
        return self._outages.missing

    def keep_refusals(self) -> None:
        """Remember also those refusals that may pass, once somebody goes without what was refused."""
        for real_url, reason in sorted(self._passing_refusals.items()):
            self._store.write_refusal(self._scope, real_url, reason)

    def is_captured(self, url: str) -> bool:
        """Whether `get` would answer for a page without asking anybody."""
        real_url = mirrored_url(self._endpoints, ascii_url(url))
        return self._store.has(PAGES, real_url) or self._store.has(self._scope, real_url)

    def policy(self, url: str) -> HostPolicy:
        """The policy of a URL's host, with the longer delay of its own and robots.txt's.

        A robots.txt that was not fetched yet does not count; see `learn_delay`.

        Raises:
            FetchRefused: the URL is none that could be fetched.
        """
        policy = policy_of(host_of(url), self._policies)
        return dataclasses.replace(policy, delay_s=max(policy.delay_s, self._robots.fetched_delay_s(url)))

    def learn_delay(self, url: str) -> None:
        """Fetch the robots.txt of a URL's site, so that `policy` knows it.

        Raises:
            FetchRefused: it cannot be had.
            CrawlError: the host cannot be reached.
        """
        if not self._is_interface(url):
            self._robots.rules_for(url)

    def _captured_or_fetched(self, url: str, accept: str, revalidate: bool, *, ask_robots: bool) -> Capture:
        url = ascii_url(url)
        # By the address that is really asked: a mirror's pages must not be taken for the original's.
        real_url = mirrored_url(self._endpoints, url)
        capture = self._store.read(self._scope, real_url)
        if capture is None and not revalidate:
            capture = self._store.read(PAGES, real_url)
        if capture is not None:
            return capture
        if real_url in self._passing_refusals:
            raise FetchRefused(self._passing_refusals[real_url])
        if self._offline:
            self._miss(url, NOT_CAPTURED, ask_robots)
            raise FetchRefused(NOT_CAPTURED)
        try:
            capture = self._fetched(url, accept, revalidate, ask_robots)
        except FetchRefused as refusal:
            self._remember(url, real_url, refusal.reason, ask_robots)
            raise
        except CrawlError:
            self._miss(url, self._outages.down_reason(host_of(url)) or UNREACHABLE, ask_robots)
            raise
        self._store.write(self._scope if revalidate else PAGES, real_url, capture)
        return capture

    def _remember(self, url: str, real_url: str, reason: str, ask_robots: bool) -> None:
        """Remember a refusal for this crawl; one that may pass for this run, and its day."""
        if reason.endswith(UNREACHABLE):  # of which the host is remembered
            return
        if may_pass(reason):
            today = f"{self._scope}/refused-{self._clock.now():%Y%m%d}"
            self._store.write_refusal(today, real_url, reason)
            if self._store.num_scopes_with(f"{self._scope}/refused-*", real_url) < MAX_REFUSED_DAYS:
                self._passing_refusals[real_url] = reason
                self._miss(url, reason, ask_robots)
                return
        self._store.write_refusal(self._scope, real_url, reason)

    def _miss(self, url: str, reason: str, ask_robots: bool) -> None:
        if ask_robots:  # where robots.txt is missing, so is every page, and they are what counts
            self._outages.miss(url, f"{host_of(url)}: {reason}")

    def _fetched(self, url: str, accept: str, revalidate: bool, ask_robots: bool) -> Capture:
        """The body under a URL, from the network; every hop of its redirects is checked like the first."""
        hop_url = url
        # Some send back to the same address until their cookie comes along.
        cookies: dict[str, dict[str, str]] = defaultdict(dict)
        for _ in range(self._limits.max_redirects + 1):
            host = host_of(hop_url)
            if ask_robots:
                self._check_rules(hop_url, is_page=not revalidate)
            answer = self._answer(host, hop_url, accept, revalidate, cookies[host])
            cookies[host] |= answer.cookies
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                break
            try:
                # Relative to what was really asked: a mirror's "/x" is the mirror's.
                location = urljoin(mirrored_url(self._endpoints, hop_url), answer.headers["location"])
                hop_url = canonical_url(self._endpoints, location)
            except ValueError:
                raise FetchRefused("malformed redirect") from None
        else:
            raise FetchRefused(TOO_MANY_REDIRECTS)
        if answer.status != 200:
            raise FetchRefused(f"HTTP {answer.status}")
        return Capture(
            url=url,
            final_url=hop_url,
            fetched_at=self._clock.now(),
            headers=answer.headers,
            body=answer.body,
            sha256=hashlib.sha256(answer.body).hexdigest(),
        )

    def _check_rules(self, url: str, *, is_page: bool) -> None:
        """Refuse what the site forbids, or a mirror that stands for it.

        Raises:
            FetchRefused: one of them forbids it.
            CrawlError: their rules are out of reach.
        """
        if not self._is_interface(url):
            rules = self._robots.rules_for(url)
            if not rules.allow(url):
                raise FetchRefused(FORBIDDEN)
            if rules.delay_s > MAX_HOLD_S:
                raise FetchRefused(TOO_RARELY)
            if is_page and self._reservations and self._reservations.cover(url):
                raise FetchRefused(RESERVED)
        mirror = mirrored_url(self._endpoints, url)
        # A server of one's own may be asked for everything, somebody else's for what it allows.
        if (
            mirror != url
            and not is_own_host(host_of(mirror))
            and not self._robots.rules_for(mirror).allow(mirror)
        ):
            raise FetchRefused(f"{FORBIDDEN}, that of the endpoint")

    def _answer(
        self, host: str, url: str, accept: str, revalidate: bool, cookies: Mapping[str, str]
    ) -> Answer:
        """A server's answer, after as many tries as it takes.

        The waiting between tries is the queue's and not the request's: after a 429 nothing else
        may be asked either. So stamina counts the tries, and the pacer waits.
        """
        self._give_up_if_down(host)
        try:
            for attempt in stamina.retry_context(
                on=lambda error: 0.0 if isinstance(error, TryAgain) else False,
                attempts=self._limits.max_tries,
                timeout=None,
            ):
                with attempt:
                    answer = self._try(url, accept, revalidate, attempt.num, cookies)
        except TryAgain as failure:
            self._outages.count_bad_page(host, failure.reason)
            if failure.host_is_down:
                self._outages.give_up(host, f"{failure.reason}, {self._limits.max_tries} times")
            self._give_up_if_down(host)
            raise FetchRefused(failure.reason) from None
        except FetchRefused as refusal:
            # Not tried again: that would take as long once more, and so would every other page of the host.
            if refusal.reason == TOO_SLOW:
                self._outages.count_bad_page(host, refusal.reason)
                self._give_up_if_down(host)
            raise
        if answer.status >= 500:
            self._outages.count_bad_page(host, f"HTTP {answer.status}")
        else:
            self._outages.count_good_page(host)
        if answer.status >= 400:  # a good answer counts, also where it was the host's last one
            self._give_up_if_down(host)
        return answer

    def _give_up_if_down(self, host: str) -> None:
        if self._outages.down_reason(host):
            self._give_up(host)

    def _give_up(self, host: str) -> NoReturn:
        if self._skip_unreachable:
            raise FetchRefused(UNREACHABLE)
        raise CrawlError(
            f"{host} cannot be reached ({self._outages.down_reason(host)}); what was fetched is kept: run the"
            " same command again later, or with --skip-unreachable to go without"
        )

    def _try(
        self, url: str, accept: str, revalidate: bool, num_tries: int, cookies: Mapping[str, str]
    ) -> Answer:
        policy, host = self.policy(url), host_of(url)
        with self._pacer.turn(policy.queue, policy.delay_s):
            # Twice as long after every failure, at least four seconds and at most five minutes.
            wait_s = min(max(policy.delay_s, 2.0) * 2.0**num_tries, 300.0)
            try:
                answer = self._exchanger.exchange(
                    url,
                    accept=accept,
                    revalidate=revalidate,
                    queue=policy.queue,
                    cookies=cookies,
                    token=os.environ.get(policy.token_variable) if policy.token_variable else None,
                    reads_refusals=policy.pause is not None,
                )
                self._watcher.answered(policy.queue, len(answer.body))
                pause = policy.pause(answer, self._clock.now()) if policy.pause else None
                if not (pause and pause.is_refusal):  # which says when to come again, and forbids nothing
                    self._outages.count_answer(host, answer.status)
                retry_after_s = self._retry_after_s(answer.headers.get("retry-after", ""))
                # MediaWiki says that it is busy with status 200 (https://www.mediawiki.org/wiki/Manual:Maxlag_parameter).
                lags = retry_after_s > 0 and "mediawiki-api-error" in answer.headers
                if answer.status in _BUSY or lags or (pause and pause.is_refusal):
                    wait_s = max(wait_s, retry_after_s, pause.seconds if pause else 0.0)
                    raise TryAgain(f"HTTP {answer.status}", host_is_down=True)
                if answer.status >= 500 and num_tries < self._limits.max_tries:
                    raise TryAgain(f"HTTP {answer.status}", host_is_down=False)
            except TryAgain as failure:
                if self._is_closed:  # after Ctrl-C, from a thread in whose hands the connection was closed
                    raise FetchRefused(UNREACHABLE) from None
                if wait_s > MAX_HOLD_S:
                    self._outages.give_up(host, f"{failure.reason}, to come again in {wait_s:.0f} s")
                if failure.is_routeless and self._outages.count_routeless(host):
                    self._outages.give_up(host, failure.reason)
                else:
                    self._pacer.hold(policy.queue, wait_s)
                self._give_up_if_down(host)
                if num_tries < self._limits.max_tries:
                    self._watcher.message(f"{url}: {failure.reason}; next try in {wait_s:.0f} s")
                raise
            if pause:
                self._leave_alone(url, policy.queue, pause.seconds)
            return answer

    def _leave_alone(self, url: str, queue: str, seconds: float) -> None:
        """Make no request of a queue for so many seconds, as an interface asks; called within a turn."""
        host = host_of(url)
        if seconds > MAX_HOLD_S:
            self._outages.give_up(host, f"its quota is used up, to come again in {seconds:.0f} s")
            return
        self._pacer.hold(queue, seconds)
        if seconds >= TOLD_PAUSE_S:
            self._watcher.message(f"{host}: its quota is used up; next request in {seconds:.0f} s")

    def _is_interface(self, url: str) -> bool:
        return urlsplit(url).path.startswith(policy_of(host_of(url), self._policies).interfaces or ("\n",))

    def _retry_after_s(self, value: str) -> float:
        """The ``Retry-After`` header in seconds (RFC 9110, 10.2.3); 0 where there is none."""
        if value.strip().isdecimal():
            return float(value)
        try:
            return (parsedate_to_datetime(value) - self._clock.now()).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return 0.0
