"""What one request may take from beginning to end: so much time, so many bytes, whoever sends them how.

A limit for every single read is none for the whole: a server that sends a byte of its headers every 0.4 s,
one ``103 Early Hints`` after another or a trailer at a time is never late and never done. So the time is
measured where all of it passes, at the connection.
"""

import ssl

import httpcore2

from evalkit_crawlers.http.pacing import Clock
from evalkit_crawlers.source import FetchRefused

TOO_LARGE = "larger than the limit"
TOO_SLOW = "answer too slow"

_HEAD_BYTES = 1 << 20
"""Beside the body; of headers and trailers h11 takes 100 kB each, of interim answers any number."""


class Allowance:
    """What is left of the time and the bytes of a queue's current request.

    Args:
        clock: time.
        max_s: seconds of a request, from looking up the host's name to the last trailer.
        max_body_bytes: bytes of its body.
    """

    def __init__(self, clock: Clock, max_s: float, max_body_bytes: int) -> None:
        self._clock, self._max_s, self._max_bytes = clock, max_s, max_body_bytes + _HEAD_BYTES
        self.begin()

    def begin(self) -> None:
        """Begin a request: all of its time and bytes are left."""
        self._ends_at_s = self._clock.monotonic() + self._max_s
        self._num_bytes_left = self._max_bytes

    def timeout_s(self, limit_s: float | None) -> float:
        """Seconds that one operation may take: its own limit, or what is left of the request's.

        Raises:
            FetchRefused: nothing is left.
        """
        left_s = self._ends_at_s - self._clock.monotonic()
        if left_s <= 0:
            raise FetchRefused(TOO_SLOW)
        return left_s if limit_s is None else min(left_s, limit_s)

    def count(self, num_bytes: int) -> None:
        """Count bytes that were read.

        Raises:
            FetchRefused: they are too many, or came too late.
        """
        self._num_bytes_left -= num_bytes
        if self._num_bytes_left < 0:
            raise FetchRefused(TOO_LARGE)
        self.timeout_s(None)


class BoundedStream(httpcore2.NetworkStream):
    """A connection whose reads, writes and handshake together keep within an allowance."""

    def __init__(self, stream: httpcore2.NetworkStream, allowance: Allowance) -> None:
        self._stream, self._allowance = stream, allowance

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read at most ``max_bytes``; see `httpcore2.NetworkStream`.

        Raises:
            FetchRefused: the allowance is used up.
        """
        try:
            data = self._stream.read(max_bytes, self._allowance.timeout_s(timeout))
        except httpcore2.ReadTimeout:
            self._allowance.timeout_s(None)
            raise
        self._allowance.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of ``buffer``; arguments and errors as of `read`."""
        try:
            self._stream.write(buffer, self._allowance.timeout_s(timeout))
        except httpcore2.WriteTimeout:
            self._allowance.timeout_s(None)
            raise

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "BoundedStream":
        """The connection under TLS; Python's ssl keeps the timeout over the whole handshake."""
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, self._allowance.timeout_s(timeout))
        except httpcore2.ConnectTimeout:
            self._allowance.timeout_s(None)
            raise
        return BoundedStream(stream, self._allowance)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> object:
        """See `httpcore2.NetworkStream`."""
        return self._stream.get_extra_info(info)
