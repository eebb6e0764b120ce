"""A real HTTP/1.1 server on loopback that answers as a pure function says, and remembers what it was asked.

Every well-known host gets a port of its own, so that hosts stay hosts for the crawler; a site function
sees the well-known name:

    with serve(site, hosts=["arxiv.org", "oaipmh.arxiv.org"], clock=clock) as server:
        crawl(..., endpoints=server.endpoints, clock=clock)   # "arxiv.org" -> "http://127.0.0.1:PORT"
    assert [request.path for request in server.requests("arxiv.org")] == [...]

No part of it waits for time to pass: what is slow moves the test's `FakeClock`, what stalls waits for
the client to give up.
"""

import contextlib
import dataclasses
import datetime as dt
import http.server
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:  # slow to import, in each child process of a crawl
    import pytest


class FakeClock:
    """Time that passes only when somebody sleeps: then at once, and as far as they asked for.

    Calendar time stands still unless ``calendar_moves``: otherwise a document's ``fetched_at``, and so
    a corpus's bytes, would depend on how threads happened to take turns.
    """

    def __init__(
        self,
        start: dt.datetime = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC),
        *,
        calendar_moves: bool = False,
    ) -> None:
        self._start, self._calendar_moves = start, calendar_moves
        self._seconds = 0.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> dt.datetime:
        return self._start + dt.timedelta(seconds=self._seconds if self._calendar_moves else 0)

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        wake_at = self._seconds + seconds  # those who sleep at the same time wake as if time were shared
        with self._lock:
            self._seconds = max(self._seconds, wake_at)
            self.slept.append(seconds)


@dataclasses.dataclass(frozen=True)
class Request:
    host: str
    """The well-known name, e.g. ``arxiv.org``; ``127.0.0.1`` on the server's own port."""
    path: str
    """As sent, percent-encoding included, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""


@dataclasses.dataclass(frozen=True)
class Reply:
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cut_after: int | None = None
    """Close the connection after so many bytes of the body, having promised all of it."""
    stall_after: int | None = None
    """Send so many bytes of the body, then nothing until the client hangs up (`time_out_where_stalled`)."""
    endless: bool = False
    """Send the body again and again, chunked, until the client hangs up."""
    seconds_per_kib: float = 0.0
    """How much time passes on the clock while a KiB is sent."""
    drop: bool = False
    """Close the connection without a word."""
    raw: bytes = b""
    """Sent instead of everything else, as it is, where there is a `drip`."""
    drip: bytes = b""
    """Sent again and again after `raw`, until the client hangs up."""
    seconds_per_drip: float = 0.0
    """How much time passes on the clock before each."""


Site = Callable[[Request], Reply]


@dataclasses.dataclass(frozen=True)
class Logged:
    """A request as it came in."""

    request: Request
    time_s: float
    """On the test's clock."""
    connection: int
    """Number of the connection that carried it."""
    num_open: int
    """Connections that were open to this host at that moment, this one included."""


class Server:
    """What `serve` yields."""

    def __init__(self, site: Site, hosts: Sequence[str], clock: Any) -> None:
        self.site, self.clock = site, clock
        self.log: list[Logged] = []
        self.lock = threading.Lock()
        self.open: dict[str, set[socket.socket]] = {}
        self.most_open: dict[str, int] = {}
        self.num_connections = 0
        self.connections = threading.Condition()
        self.accepted: set[tuple[str, int]] = set()
        """Clients' ends of all connections so far."""
        self.num_active = 0
        """Connections whose threads have not ended."""
        self.stalled: set[tuple[str, int]] = set()
        """Clients' ends of the connections on which nothing will come any more."""
        self._listeners = [_Listener(self, host) for host in ("127.0.0.1", *hosts)]
        self._threads = [
            threading.Thread(target=listener.serve_forever, args=(0.01,)) for listener in self._listeners
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """Address of the port that stands for no well-known host."""
        return self._listeners[0].url

    @property
    def endpoints(self) -> dict[str, str]:
        """Well-known host name → base URL, as the crawlers' ``--endpoint`` takes them."""
        return {listener.host: listener.url for listener in self._listeners[1:]}

    def requests(self, host: str | None = None) -> list[Request]:
        """All requests in the order they came in, or those to one host."""
        return [entry.request for entry in self.log if host in (None, entry.request.host)]

    def settle(self) -> None:
        """Return when whatever was sent by clients that are gone is in the log."""
        probes = []
        for listener in self._listeners:  # those who came before are accepted before
            with socket.create_connection(listener.server_address) as probe:
                probes.append(probe.getsockname())
        with self.connections:
            self.connections.wait_for(lambda: self.accepted.issuperset(probes) and not self.num_active)

    def close(self) -> None:
        for listener in self._listeners:
            listener.shutdown()
        with self.lock:
            for connections in self.open.values():
                for connection in connections:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
        for listener in self._listeners:
            listener.server_close()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def serve(site: Site, hosts: Sequence[str] = (), clock: Any = None) -> Iterator[Server]:
    """Serve ``site`` on loopback: under `Server.url`, and under a port of its own for every host."""
    server = Server(site, hosts, clock or FakeClock())
    try:
        yield server
    finally:
        server.close()


def time_out_where_stalled(server: Server, timeout_s: float, monkeypatch: "pytest.MonkeyPatch") -> None:
    """Let reads that the server has stalled time out at once, and no other read ever, however slow we are.

    Args:
        server: what stalls.
        timeout_s: as the client's sockets have it, so that a client without a timeout would wait for ever.
        monkeypatch: undoes it.
    """
    receive = socket.socket.recv

    def recv(connection: socket.socket, size: int, flags: int = 0) -> bytes:
        while connection.gettimeout() == timeout_s:
            is_stalled = connection.getsockname() in server.stalled  # before looking: what was sent is here
            if select.select([connection], [], [], 0.01)[0]:
                break
            if is_stalled:
                raise TimeoutError("timed out")
        return receive(connection, size, flags)

    monkeypatch.setattr(socket.socket, "recv", recv)


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, server: Server, host: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server, self.host = server, host
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.server.connections:
            self.server.accepted.add(client_address)
            self.server.num_active += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.server.connections:
            self.server.num_active -= 1
            self.server.connections.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up in tests; whatever else goes wrong shows in the test's asserts."""


def _has_hung_up(connection: socket.socket) -> bool:
    """Whether a client has closed its end of a connection on which no request is under way."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:  # reset, since the client had not read all of the last answer
        return True


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers, then body: the second would wait 40 ms for the client's ACK
    server: _Listener

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        server = self.server.server
        with server.lock:
            server.num_connections += 1
            self.number = server.num_connections
            connections = server.open.setdefault(self.server.host, set())
            # Their threads may not have noticed yet, but a client that closes one before it opens another has
            # never had two.
            connections -= {connection for connection in connections if _has_hung_up(connection)}
            connections.add(self.connection)
            most = server.most_open.get(self.server.host, 0)
            server.most_open[self.server.host] = max(most, len(connections))

    def finish(self) -> None:
        with self.server.server.lock:
            self.server.server.open[self.server.host].discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        server = self.server.server
        parts = urlsplit(self.path)
        request = Request(
            self.server.host,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
        )
        with server.lock:
            num_open = len(server.open[self.server.host])
            server.log.append(Logged(request, server.clock.monotonic(), self.number, num_open))
        reply = server.site(request)
        if reply.drop:
            self.close_connection = True
            return
        if reply.drip:
            self.wfile.write(reply.raw)
            while True:  # the client's hanging up ends it: BrokenPipeError
                server.clock.sleep(reply.seconds_per_drip)
                self.wfile.write(reply.drip)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.endless:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.status != 304:
            self._send_body(reply)

    def _send_body(self, reply: Reply) -> None:
        if reply.endless:
            while True:  # the client's hanging up ends it: BrokenPipeError
                self._wait(reply, len(reply.body))
                self.wfile.write(b"%x\r\n%s\r\n" % (len(reply.body), reply.body))
        ends = [end for end in (reply.cut_after, reply.stall_after) if end is not None]
        body = reply.body[: min(ends, default=len(reply.body))]
        if reply.seconds_per_kib:
            for start in range(0, len(body), 1024):
                piece = body[start : start + 1024]
                self._wait(reply, len(piece))
                self.wfile.write(piece)
        else:
            self.wfile.write(body)
        if ends:
            self.close_connection = True
            if reply.stall_after is not None:
                self.wfile.flush()
                self.server.server.stalled.add(self.client_address)
                self.connection.recv(1)

    def _wait(self, reply: Reply, num_bytes: int) -> None:
        if reply.seconds_per_kib:
            self.server.server.clock.sleep(reply.seconds_per_kib * num_bytes / 1024)
