"""HTTP below the level of pages: one connection per queue, checked addresses, bounded bodies."""

import ssl
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator

import httpcore2
import httpx2

from evalkit_crawlers.http.addresses import CheckedBackend
from evalkit_crawlers.http.allowance import Allowance
from evalkit_crawlers.source import FetchRefused

QUEUE = "evalkit_queue"
"""Key of a request's extension that names its queue."""

CUT_SHORT = "body cut short"
DAMAGED_GZIP = "damaged gzip"
ACCEPT_ENCODING = "gzip"
"""Whatever else a server sends is refused: only zlib can stop in the middle of a bomb."""

_PIECE_BYTES = 1 << 20
_GZIP_MEMBER = b"\x1f\x8b"


class QueueTransport(httpx2.BaseTransport):
    """Sends a request over the only connection of its queue, within the allowance of a request.

    It raises httpcore2's exceptions, and `FetchRefused` for private addresses and where the allowance is used
    up. Proxies are not used: behind one, nobody could check which address is connected to.

    Args:
        allow_private_hosts: see `CheckedBackend`.
        new_allowance: makes that of a queue.
    """

    def __init__(self, allow_private_hosts: bool, new_allowance: Callable[[], Allowance]) -> None:
        self._allow_private_hosts, self._new_allowance = allow_private_hosts, new_allowance
        self._pools: dict[str, tuple[httpcore2.ConnectionPool, Allowance]] = {}
        self._lock = threading.Lock()
        self._ssl_context: ssl.SSLContext | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request over its queue's connection; the body of the response is not read yet."""
        pool, allowance = self._pool(str(request.extensions[QUEUE]))
        allowance.begin()
        response = pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(response.status, headers=response.headers, stream=_Stream(response))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for pool, _ in self._pools.values():
                pool.close()
            self._pools.clear()

    def _pool(self, queue: str) -> tuple[httpcore2.ConnectionPool, Allowance]:
        with self._lock:
            if queue not in self._pools:
                self._ssl_context = self._ssl_context or httpx2.create_ssl_context()
                allowance = self._new_allowance()
                backend = CheckedBackend(self._allow_private_hosts, allowance)
                pool = httpcore2.ConnectionPool(
                    ssl_context=self._ssl_context, max_connections=1, network_backend=backend
                )
                self._pools[queue] = (pool, allowance)
            return self._pools[queue]


class _Stream(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


def decoded(pieces: Iterable[bytes], content_encoding: str) -> Iterator[bytes]:
    """A body without its content encoding, in pieces of at most a MiB whatever they were packed into.

    Raises:
        FetchRefused: another encoding than gzip, or damaged or incomplete gzip.
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from pieces
        return
    if encoding not in ("gzip", "x-gzip"):
        raise FetchRefused("content encoding other than gzip")
    inflater = zlib.decompressobj(wbits=31)
    packed, in_padding = b"", False
    try:
        for piece in pieces:
            packed = b"" if in_padding else packed + piece
            while packed:
                if inflater.eof:  # another member may follow (RFC 1952, 2.2), or padding
                    if packed == _GZIP_MEMBER[:1]:
                        break  # the next piece tells which
                    if not packed.startswith(_GZIP_MEMBER):
                        packed, in_padding = b"", True
                        break
                    inflater = zlib.decompressobj(wbits=31)
                # At most a piece at a time: the caller counts, and stops a bomb before it is unpacked.
                yield inflater.decompress(packed, _PIECE_BYTES)
                packed = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        if not inflater.eof:
            yield inflater.flush()
    except zlib.error:
        raise FetchRefused(DAMAGED_GZIP) from None
    if not inflater.eof:
        raise FetchRefused(CUT_SHORT)
