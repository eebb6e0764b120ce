"""One request and its answer, within limits of size and time.

Whether a request may be made, and when, how often it is tried, and where a redirect leads is the business of
`evalkit_crawlers.http.fetch`.
"""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Iterator, Mapping

import httpcore2
import httpx2

from evalkit.files import cache_dir
from evalkit_crawlers.http.addresses import NoRoute
from evalkit_crawlers.http.allowance import TOO_LARGE, TOO_SLOW, Allowance
from evalkit_crawlers.http.endpoints import mirrored_url
from evalkit_crawlers.http.pacing import Clock
from evalkit_crawlers.http.transport import (
    ACCEPT_ENCODING,
    CUT_SHORT,
    DAMAGED_GZIP,
    QUEUE,
    QueueTransport,
    decoded,
)
from evalkit_crawlers.source import FetchRefused

HUNG_UP = "connection closed without an answer"

_MAX_COOKIE = 4096
_HTTP_CACHE_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What is waited for and taken."""

    max_body_bytes: int = 64 << 20
    """Of a body, as it is sent and also when it is unpacked."""
    max_exchange_s: float = 300.0
    """Of a request and all of its answer: name, connection, TLS, headers, body and trailers together."""
    max_redirects: int = 5
    max_tries: int = 5
    timeout_s: float = 30.0
    """For a connection, and for every single read."""


DEFAULT_LIMITS = Limits()


class TryAgain(Exception):  # it never leaves the fetch layer
    """An attempt that failed in a way that may pass."""

    def __init__(self, reason: str, *, host_is_down: bool, is_routeless: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.host_is_down, self.is_routeless = reason, host_is_down, is_routeless


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; without cookies, which would tell one crawl from another."""
    body: bytes
    """Content encoding undone; empty unless the status is 200, or the caller reads refusals."""
    cookies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Names and values, for the redirects of this one page; they are never kept."""


def _cookie(header: str) -> tuple[str, str] | None:
    """Name and value of a ``Set-Cookie``; None where it has none, or one that could end its line."""
    name, separator, value = (part.strip() for part in header.partition(";")[0].partition("="))
    is_plain = all("!" <= character <= "~" for character in name + value)
    return (name, value) if name and separator and is_plain and len(header) <= _MAX_COOKIE else None


class Exchanger:
    """Sends requests over one connection per queue. Safe to use from several threads."""

    def __init__(
        self,
        *,
        user_agent: str,
        endpoints: Mapping[str, str],
        allow_private_hosts: bool,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._user_agent, self._endpoints = user_agent, endpoints
        self._limits = limits
        self._transport = QueueTransport(
            allow_private_hosts, lambda: Allowance(clock, limits.max_exchange_s, limits.max_body_bytes)
        )
        self._cache: httpx2.BaseTransport | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()
        if self._cache is not None:
            self._cache.close()

    def exchange(
        self,
        url: str,
        *,
        accept: str,
        revalidate: bool,
        queue: str,
        token: str | None = None,
        cookies: Mapping[str, str] | None = None,
        reads_refusals: bool = False,
    ) -> Answer:
        """Ask for a URL and read the answer.

        Args:
            url: canonical; its host's endpoint is asked, where it has one.
            accept: value of the ``Accept`` header.
            revalidate: through the HTTP cache, which asks the server whether its copy is still good.
            queue: whose connection is used.
            token: sent as ``Authorization: Bearer``; such answers stay out of the HTTP cache, whose file
                would hold it.
            cookies: names and values, sent along.
            reads_refusals: read the body whatever the status is.

        Raises:
            TryAgain: no connection, no answer in time, or a body that is not whole.
            FetchRefused: the address is private, or the answer too large or too slow.
        """
        limit_s = self._limits.timeout_s
        request = httpx2.Request(
            "GET",
            mirrored_url(self._endpoints, url),
            headers={
                "User-Agent": self._user_agent,
                "Accept": accept,
                "Accept-Encoding": ACCEPT_ENCODING,
                # A cache may answer only after asking the server whether its copy is still good.
                **({"Cache-Control": "no-cache"} if revalidate else {}),
                **({"Authorization": f"Bearer {token}"} if token else {}),
                **({"Cookie": "; ".join(map("=".join, cookies.items()))} if cookies else {}),
            },
            extensions={
                QUEUE: queue,
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), limit_s),
            },
        )
        transport = self._cached_transport() if revalidate and not token else self._transport
        try:
            response = transport.handle_request(request)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            is_routeless = isinstance(error, NoRoute)
            raise TryAgain(f"no connection: {error}", host_is_down=True, is_routeless=is_routeless) from None
        except httpcore2.ReadTimeout:
            raise TryAgain("no answer in time", host_is_down=True) from None
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
            raise TryAgain(HUNG_UP, host_is_down=False) from None
        with contextlib.closing(response):
            headers = {name: value for name, value in response.headers.items() if name != "set-cookie"}
            body = self._body(response) if response.status_code == 200 or reads_refusals else b""
            set_cookies = response.headers.get_list("set-cookie")
            return Answer(response.status_code, headers, body, dict(filter(None, map(_cookie, set_cookies))))

    def _body(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        try:
            for piece in decoded(self._bounded(response), response.headers.get("content-encoding", "")):
                body += piece
                if len(body) > self._limits.max_body_bytes:
                    raise FetchRefused(TOO_LARGE)
        except httpcore2.ReadTimeout:
            raise TryAgain(TOO_SLOW, host_is_down=False) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError):
            raise TryAgain(CUT_SHORT, host_is_down=False) from None
        except FetchRefused as refusal:
            if refusal.reason in (CUT_SHORT, DAMAGED_GZIP):
                raise TryAgain(refusal.reason, host_is_down=False) from None
            raise
        return bytes(body)

    def _bounded(self, response: httpx2.Response) -> Iterator[bytes]:
        """The body as it is sent. It has the same limit: of some endless bodies nothing is ever unpacked."""
        num_bytes = 0
        for piece in response.iter_raw():
            num_bytes += len(piece)
            if num_bytes > self._limits.max_body_bytes:
                raise FetchRefused(TOO_LARGE)
            yield piece

    def _cached_transport(self) -> httpx2.BaseTransport:
        """The HTTP cache of listings; pages need none, their captures are never asked for again."""
        from hishel import CacheOptions, SqliteStorage
        from hishel.httpx2 import CacheTransport

        # It logs a traceback where its file is damaged, and fetches: nothing is lost.
        logging.getLogger("hishel").setLevel(logging.CRITICAL)
        with self._lock:
            if self._cache is None:
                path = cache_dir() / "http" / "cache.sqlite"
                path.parent.mkdir(parents=True, exist_ok=True)
                storage = SqliteStorage(database_path=path, max_size=_HTTP_CACHE_BYTES)
                self._cache = CacheTransport(
                    self._transport, storage=storage, rfc=CacheOptions(shared=False, allow_stale=False)
                )
            return self._cache
