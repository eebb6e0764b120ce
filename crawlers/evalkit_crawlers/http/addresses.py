"""Which addresses a crawler may connect to.

A page, a feed or a redirect can name any address, that of a router or of a cloud's metadata service too.
The check is made on the very address that is connected to, after the name was resolved: a name that
resolves differently the second time gains nothing.
"""

import errno
import queue
import socket
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpcore2
import httpx2

from evalkit_crawlers.host_names import ascii_host
from evalkit_crawlers.http.allowance import Allowance, BoundedStream
from evalkit_crawlers.http.special_addresses import is_public
from evalkit_crawlers.source import FetchRefused

if TYPE_CHECKING:
    from httpcore2 import SOCKET_OPTION

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})

PRIVATE = "private address"
"""Reason of a refusal."""

MAX_HOST_CHARACTERS = 253
"""Of a name in the DNS (RFC 1035, 2.3.4: 255 bytes with the lengths of its labels)."""
MAX_URL_CHARACTERS = 1 << 15
"""Servers take 8 kB or so."""


def host_of(url: str) -> str:
    """The host of a URL that may be fetched, in lower case.

    Raises:
        FetchRefused: it is not http or https, has no host, names a user, is too long, or is no URL.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
        host = parts.hostname
        httpx2.URL(url)  # raises where the host is no name in IDNA
    except (ValueError, httpx2.InvalidURL):
        raise FetchRefused("malformed address") from None
    if len(url) > MAX_URL_CHARACTERS or len(host or "") > MAX_HOST_CHARACTERS:
        raise FetchRefused("address too long")
    if parts.scheme not in ("http", "https"):
        raise FetchRefused("not http or https")
    if not host or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise FetchRefused("malformed address")
    if parts.username is not None:
        raise FetchRefused("address with a user name")
    return ascii_host(host)


class NoRoute(httpcore2.ConnectError):
    """A name has no address, or no way leads there: often enough because this machine has no network."""


class CheckedBackend(httpcore2.NetworkBackend):
    """Connects to public addresses only, checked after the name was resolved.

    Args:
        allow_private_hosts: connect to this machine and private networks too.
        allowance: of the request that a connection is made for, and of all that go over it.
    """

    def __init__(self, allow_private_hosts: bool, allowance: Allowance) -> None:
        self._allow_private_hosts, self._allowance = allow_private_hosts, allowance
        self._connector = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: "Iterable[SOCKET_OPTION] | None" = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first of the host's permitted addresses that answers.

        Raises:
            FetchRefused: all its addresses are private, or the allowance is used up.
            NoRoute: the name does not resolve, or no way leads to its addresses.
            httpcore2.ConnectError: nothing answers.
        """
        addresses = _resolved(host, port, self._allowance.timeout_s(timeout))
        permitted = [address for address in addresses if self._allow_private_hosts or is_public(address)]
        if not permitted:
            raise FetchRefused(PRIVATE)
        failure: Exception | None = None
        for address in permitted:
            timeout_s = self._allowance.timeout_s(timeout)
            try:
                stream = self._connector.connect_tcp(address, port, timeout_s, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return BoundedStream(stream, self._allowance)
        self._allowance.timeout_s(None)
        assert failure is not None
        if isinstance(failure.__cause__, OSError) and failure.__cause__.errno in _NO_ROUTE:
            raise NoRoute(str(failure)) from None
        raise failure


def _resolved(host: str, port: int, timeout_s: float) -> list[str]:
    """The addresses of a name, each once.

    The system's resolver takes no limit of time, so that one that hangs is left behind in its thread.
    """
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except Exception as error:  # raised where the answer is waited for
            answers.put(error)

    threading.Thread(target=resolve, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise NoRoute("the name does not resolve in time") from None
    if isinstance(answer, OSError | UnicodeError):
        raise NoRoute(f"the name does not resolve ({answer})")
    if isinstance(answer, Exception):
        raise answer
    return answer
