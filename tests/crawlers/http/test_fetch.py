"""The fetch layer against a real server that behaves in every way that servers do."""

import contextlib
import dataclasses
import datetime as dt
import gzip
import itertools
import select
import shutil
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
import zstandard

from evalkit.errors import CrawlError
from evalkit.files import cache_dir
from evalkit_crawlers.http.addresses import host_of
from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.http.exchange import Limits
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.http.pacing import Clock, SystemClock
from evalkit_crawlers.http.transport import decoded
from evalkit_crawlers.source import FetchRefused
from tests.support.replay import FakeClock, Reply, Request, Server, Site, serve, time_out_where_stalled
from tests.support.toys import PATIENCE_S

HOST = "pages.example"
PAGE = f"https://{HOST}/page"
GENEROUS = Limits(max_body_bytes=1 << 16, max_exchange_s=60, max_redirects=3, max_tries=3, timeout_s=600.0)


@pytest.fixture(autouse=True)
def quiet_retries() -> Iterator[None]:
    stamina.instrumentation.set_on_retry_hooks([])
    yield
    stamina.instrumentation.set_on_retry_hooks(None)


def without_robots(reply: Reply) -> Site:
    return lambda request: reply if request.path != "/robots.txt" else Reply(status=404)


def in_turn(*replies: Reply) -> Site:
    """The replies to /page one after another, the last one for good."""
    following = itertools.chain(replies, itertools.repeat(replies[-1]))
    return lambda request: next(following) if request.path == "/page" else Reply(status=404)


@contextlib.contextmanager
def fetching(
    site: Site, *, hosts: tuple[str, ...] = (HOST,), clock: Clock | None = None, **options: Any
) -> Iterator[tuple[Fetcher, Server]]:
    clock = clock or FakeClock()
    shutil.rmtree("captures", ignore_errors=True)  # another server may get the same port
    with serve(site, hosts, clock) as server:
        arguments = {
            "contact": "tests@example.org",
            "endpoints": server.endpoints,
            "allow_private_hosts": True,
            "limits": GENEROUS,
            "clock": clock,
        }
        with Fetcher(CaptureStore(Path("captures")), "crawls/x", **(arguments | options)) as fetcher:
            yield fetcher, server


def refusal(fetcher: Fetcher, url: str = PAGE, **options: Any) -> str:
    with pytest.raises(FetchRefused) as refused:
        fetcher.get(url, **options)
    return refused.value.reason


def num_asked(server: Server, path: str = "/page") -> int:
    return sum(request.path == path for request in server.requests())


def test_a_page_is_fetched_once_and_kept_with_its_digest() -> None:
    clock = FakeClock(dt.datetime(2026, 11, 20, 8, 30, tzinfo=dt.UTC))
    reply = Reply("Żółw".encode(), headers={"Content-Type": "text/plain", "Set-Cookie": "a=b"})
    with fetching(without_robots(reply), clock=clock) as (fetcher, server):
        first, second = fetcher.get(PAGE), fetcher.get(PAGE)
        requests = server.requests()
    assert first == second
    assert (first.url, first.final_url) == (PAGE, PAGE)
    # Computed by coreutils: printf 'Żółw' | sha256sum
    assert first.sha256 == "dc7a14e8ddf450f713f607905e6bfa3bdba31267fefe57d6e6ae3f02c19860e9"
    assert first.fetched_at == dt.datetime(2026, 11, 20, 8, 30, tzinfo=dt.UTC)
    assert first.headers["content-type"] == "text/plain"
    assert "set-cookie" not in first.headers
    assert [request.path for request in requests] == ["/robots.txt", "/page"]
    assert requests[1].headers["user-agent"].startswith("evalkit/")
    assert requests[1].headers["user-agent"].endswith("(tests@example.org)")
    body = next(Path("captures/bodies").rglob("*.zst")).read_bytes()
    assert zstandard.ZstdDecompressor().decompress(body) == "Żółw".encode()


def test_redirects_are_followed_hop_by_hop_and_bounded() -> None:
    def site(request: Request) -> Reply:
        number = int(request.path.removeprefix("/hop")) if request.path.startswith("/hop") else 0
        if request.path == "/robots.txt":
            return Reply(status=404)
        if number:
            return Reply(status=302, headers={"Location": f"/hop{number - 1}" if number > 1 else "/end"})
        return Reply(b"the end")

    with fetching(site) as (fetcher, server):
        assert fetcher.get(f"https://{HOST}/hop3").final_url == f"https://{HOST}/end"
        assert refusal(fetcher, f"https://{HOST}/hop4") == "too many redirects"
        # 4 requests are the first page and three hops; the kept /end is not what a redirect ends at.
        assert [request.path for request in server.requests()][-4:] == ["/hop4", "/hop3", "/hop2", "/hop1"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://pages.example/x", "not http or https"),
        ("file:///etc/passwd", "not http or https"),
        ("http://user:secret@pages.example/", "address with a user name"),
        ("http://[::1/", "malformed redirect"),
        ("http://pages.example:99999/", "malformed address"),
        ("http://xn--a-\u00e4.example/", "malformed address"),  # no name in IDNA
        (f"http://{'a.' * 150}example/", "address too long"),  # as a file's name it would be, too
        (f"https://pages.example/{'a' * 40_000}", "address too long"),
    ],
)
def test_every_hop_is_checked(location: str, reason: str) -> None:
    reply = Reply(status=301, headers={"Location": location})
    with fetching(without_robots(reply)) as (fetcher, _):
        assert refusal(fetcher) == reason


def test_private_addresses_are_refused_on_the_address_connected_to() -> None:
    with fetching(without_robots(Reply(b"secret")), allow_private_hosts=False) as (fetcher, server):
        assert refusal(fetcher) == "robots.txt: private address"
        # By name, by number, and by a redirect from a host that may be asked.
        for url in ("http://localhost/", "http://127.0.0.1:1/", "http://[::ffff:127.0.0.1]/", "http://0/"):
            assert refusal(fetcher, url) == "robots.txt: private address"
        assert server.log == []


@pytest.mark.parametrize("url", ["data:text/plain,x", "https://", "https:///x", "http://a b/", "//x", "x"])
def test_odd_addresses_are_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        host_of(url)


def test_retry_after_is_waited_for() -> None:
    clock = FakeClock()
    busy = Reply(status=429, headers={"Retry-After": "120"})
    with fetching(in_turn(busy, Reply(b"now")), clock=clock) as (fetcher, server):
        assert fetcher.get(PAGE).body == b"now"
        times = [entry.time_s for entry in server.log if entry.request.path == "/page"]
    assert times[1] - times[0] >= 120


def test_retry_after_may_be_a_date() -> None:
    clock = FakeClock(dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC))
    busy = Reply(status=503, headers={"Retry-After": "Fri, 20 Nov 2026 12:05:00 GMT"})
    with fetching(in_turn(busy, Reply(b"now")), clock=clock) as (fetcher, server):
        assert fetcher.get(PAGE).body == b"now"
        times = [entry.time_s for entry in server.log if entry.request.path == "/page"]
    assert times[1] - times[0] >= 300


@pytest.mark.parametrize("value", ["Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "soon", "-1", "1e400"])
def test_a_retry_after_that_says_nothing(value: str) -> None:
    clock = FakeClock()
    busy = Reply(status=503, headers={"Retry-After": value})
    with fetching(in_turn(busy, Reply(b"ok")), clock=clock) as (fetcher, _):
        assert fetcher.get(PAGE).body == b"ok"
    assert max(clock.slept) == 4.0


def test_a_damaged_http_cache_is_gone_without(caplog: pytest.LogCaptureFixture) -> None:
    file = cache_dir() / "http" / "cache.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"no database" * 1000)
    with fetching(without_robots(Reply(b"listing"))) as (fetcher, _):
        assert fetcher.get(PAGE, revalidate=True).body == b"listing"
    assert caplog.records == []


def test_a_lagging_wiki_is_left_alone_and_its_excuse_is_not_kept() -> None:
    excuse = Reply(b"{}", headers={"MediaWiki-API-Error": "maxlag", "Retry-After": "50"})
    with fetching(in_turn(excuse, Reply(b"answer"))) as (fetcher, server):
        assert fetcher.get(PAGE).body == b"answer"
        times = [entry.time_s for entry in server.log if entry.request.path == "/page"]
    assert times[1] - times[0] >= 50


def test_a_host_that_stays_busy_is_left_alone() -> None:
    with fetching(in_turn(Reply(status=503))) as (fetcher, server):
        with pytest.raises(CrawlError, match=r"pages\.example cannot be reached \(HTTP 503, 3 times\)"):
            fetcher.get(PAGE)
        with pytest.raises(CrawlError):  # and so is every other page of it
            fetcher.get(f"https://{HOST}/other")
        assert num_asked(server) == GENEROUS.max_tries
        assert num_asked(server, "/other") == 0


def test_who_asks_for_hours_is_not_asked_again() -> None:
    with fetching(in_turn(Reply(status=429, headers={"Retry-After": "86400"}))) as (fetcher, server):
        with pytest.raises(CrawlError, match="to come again in 86400 s"):
            fetcher.get(PAGE)
        assert num_asked(server) == 1


def test_what_is_unreachable_can_be_gone_without_and_is_asked_again_next_time() -> None:
    with fetching(in_turn(*[Reply(status=503)] * 3, Reply(b"back")), skip_unreachable=True) as (
        fetcher,
        server,
    ):
        assert refusal(fetcher) == "unreachable"
        again = Fetcher(
            CaptureStore(Path("captures")),
            "crawls/x",
            contact="tests@example.org",
            endpoints=server.endpoints,
            allow_private_hosts=True,
            clock=server.clock,
        )
        with again:
            assert again.get(PAGE).body == b"back"


def test_a_server_error_is_retried_and_then_counted() -> None:
    with fetching(in_turn(Reply(status=500), Reply(b"recovered"))) as (fetcher, _):
        assert fetcher.get(PAGE).body == b"recovered"
    with fetching(in_turn(Reply(status=502))) as (fetcher, server):
        assert refusal(fetcher) == "HTTP 502"
        assert num_asked(server) == 3


@pytest.mark.parametrize("status", [403, 404, 410, 451, 204])
def test_what_is_not_there_is_asked_for_once(status: int) -> None:
    with fetching(in_turn(Reply(status=status))) as (fetcher, server):
        assert [refusal(fetcher) for _ in range(3)] == [f"HTTP {status}"] * 3
        assert num_asked(server) == 1


def test_cut_bodies_are_retried_then_refused() -> None:
    cut = Reply(b"x" * 5000, cut_after=3000)
    with fetching(in_turn(cut, Reply(b"x" * 5000))) as (fetcher, _):
        assert len(fetcher.get(PAGE).body) == 5000
    with fetching(in_turn(cut)) as (fetcher, server):
        assert refusal(fetcher) == "body cut short"
        assert num_asked(server) == 3


def test_gzip_is_undone_and_its_end_must_be_there() -> None:
    packed = gzip.compress(b"y" * 5000)
    headers = {"Content-Encoding": "gzip"}
    with fetching(in_turn(Reply(packed, headers=headers))) as (fetcher, server):
        assert fetcher.get(PAGE).body == b"y" * 5000
        assert server.requests()[-1].headers["accept-encoding"] == "gzip"
    # The length is right, but what was packed has no end: HTTP alone cannot see that.
    with fetching(in_turn(Reply(packed[:-9], headers=headers))) as (fetcher, _):
        assert refusal(fetcher) == "body cut short"
    with fetching(in_turn(Reply(b"not gzip at all", headers=headers))) as (fetcher, _):
        assert refusal(fetcher) == "damaged gzip"
    with fetching(in_turn(Reply(zlib.compress(b"y"), headers={"Content-Encoding": "br"}))) as (fetcher, _):
        assert refusal(fetcher) == "content encoding other than gzip"


def test_gzip_may_have_several_members_and_padding() -> None:
    """RFC 1952, 2.2; however the pieces come."""
    packed = gzip.compress(b"one " * 2000) + gzip.compress(b"") + gzip.compress(b"two")
    for body in (packed, packed + bytes(5), packed + b"\x1f"):
        for size in (1, 7, len(body)):
            pieces = (body[start : start + size] for start in range(0, len(body), size))
            assert b"".join(decoded(pieces, "gzip")) == b"one " * 2000 + b"two"
    with pytest.raises(FetchRefused, match="body cut short"):
        list(decoded([packed[:-3]], "gzip"))
    headers = {"Content-Encoding": "gzip"}
    with fetching(in_turn(Reply(packed, headers=headers))) as (fetcher, _):
        assert fetcher.get(PAGE).body.endswith(b"two")


def test_a_gzip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(bytes(200 << 20), compresslevel=9)  # 200 MiB in 200 KiB
    limits = Limits(max_body_bytes=1 << 20, max_tries=2)
    with fetching(in_turn(Reply(bomb, headers={"Content-Encoding": "gzip"})), limits=limits) as (
        fetcher,
        server,
    ):
        assert refusal(fetcher) == "larger than the limit"
        assert num_asked(server) == 1


def test_endless_and_large_and_slow_bodies_are_refused() -> None:
    with fetching(in_turn(Reply(b"z" * 4096, endless=True))) as (fetcher, _):
        assert refusal(fetcher) == "larger than the limit"
    with fetching(in_turn(Reply(b"z" * (GENEROUS.max_body_bytes + 1)))) as (fetcher, _):
        assert refusal(fetcher) == "larger than the limit"
    with fetching(in_turn(Reply(b"z" * GENEROUS.max_body_bytes))) as (fetcher, _):
        assert len(fetcher.get(PAGE).body) == GENEROUS.max_body_bytes
    # 64 KiB at 2 s/KiB take 128 s of the clock's time; every single read is quick.
    with fetching(in_turn(Reply(b"z" * (1 << 16), seconds_per_kib=2.0))) as (fetcher, _):
        assert refusal(fetcher) == "answer too slow"


def test_a_stalled_body_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = dataclasses.replace(GENEROUS, max_exchange_s=1000)
    with fetching(in_turn(Reply(b"z" * 5000, stall_after=100)), limits=patient) as (fetcher, server):
        time_out_where_stalled(server, GENEROUS.timeout_s, monkeypatch)
        assert refusal(fetcher) == "answer too slow"
        assert num_asked(server) == GENEROUS.max_tries


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "drip"),
    [
        (b"HTTP/1.1 2", b"0"),  # a status that does not end
        (_OK + b"X-Long: ", b"a"),
        (_OK, b"X-A: b\r\n"),  # one header after another
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (_OK + b"Content-Length: 60000\r\n\r\n", b"z"),
        (_OK + b"\r\n", b"z"),  # a body that ends with the connection
        (_CHUNKED, b"1\r\nz\r\n"),
        (_CHUNKED + b"5;", b"e"),  # an extension of a chunk
        (_CHUNKED + b"0\r\n", b"X-A: b\r\n"),  # one trailer after another
        (_CHUNKED + b"0\r\nX-Long: ", b"a"),
        (b"HTTP/1.1 503 Busy\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 302 Elsewhere\r\n", b"X-A: b\r\n"),
    ],
)
def test_an_answer_that_comes_in_drips_ends_with_its_time(raw: bytes, drip: bytes) -> None:
    """Each drip takes 0.4 s of the clock's, far below any limit of a single read; nothing ever ends it."""
    site = in_turn(Reply(raw=raw, drip=drip, seconds_per_drip=0.4), Reply(b"fine"))
    with fetching(site) as (fetcher, server):
        assert refusal(fetcher) == "answer too slow"
        assert num_asked(server) == 1
        # The queue is free again, and its connection is a new one.
        assert fetcher.get(f"https://{HOST}/page?2").body == b"fine"


def test_interim_answers_without_end_are_too_large_however_fast_they_come() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500
    with fetching(in_turn(Reply(drip=hints, seconds_per_drip=1e-9))) as (fetcher, _):
        assert refusal(fetcher) == "larger than the limit"


def test_a_host_whose_answers_never_end_is_given_up_after_three() -> None:
    def site(request: Request) -> Reply:
        return Reply(status=404) if request.path == "/robots.txt" else Reply(drip=b"H", seconds_per_drip=5.0)

    with fetching(site) as (fetcher, server):
        assert [refusal(fetcher, f"https://{HOST}/{number}") for number in range(2)] == [
            "answer too slow"
        ] * 2
        for number in range(2, 9):
            with pytest.raises(CrawlError, match=r"answer too slow, 3 pages in a row"):
                fetcher.get(f"https://{HOST}/{number}")
        assert len(server.log) == 4


def test_a_handshake_in_drips_ends_with_its_time() -> None:
    """Python's ssl keeps this limit, by the machine's clock: the server sends until the client hangs up."""
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            # The beginning of a TLS record of 16 KiB, which needs a thousand years at this pace.
            connection.sendall(b"\x16\x03\x03\x40\x00")
            while not select.select([connection], [], [], 0.01)[0]:
                connection.sendall(b"\0")
        ended.set()

    limits = dataclasses.replace(GENEROUS, max_exchange_s=0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        endpoints = {HOST: f"https://127.0.0.1:{listener.getsockname()[1]}"}
        clock = SystemClock()
        with fetching(without_robots(Reply()), endpoints=endpoints, limits=limits, clock=clock) as (
            fetcher,
            _,
        ):
            assert refusal(fetcher) == "robots.txt: answer too slow"
        assert ended.wait(PATIENCE_S)


def test_disconnects_are_retried_and_a_host_that_only_hangs_up_is_unreachable() -> None:
    with fetching(in_turn(Reply(drop=True), Reply(b"hello"))) as (fetcher, _):
        assert fetcher.get(PAGE).body == b"hello"

    def hangs_up(request: Request) -> Reply:
        return Reply(status=404) if request.path == "/robots.txt" else Reply(drop=True)

    with fetching(hangs_up) as (fetcher, _):
        reasons = [refusal(fetcher, f"https://{HOST}/{number}") for number in range(2)]
        assert reasons == ["connection closed without an answer"] * 2
        with pytest.raises(CrawlError, match="cannot be reached"):
            fetcher.get(f"https://{HOST}/2")


def test_a_host_where_nothing_listens_is_unreachable() -> None:
    with serve(lambda request: Reply()) as server:
        closed_port = server.url
    with (
        fetching(without_robots(Reply()), endpoints={HOST: closed_port}) as (fetcher, _),
        pytest.raises(CrawlError, match=r"pages\.example cannot be reached \(no connection: .*, 3 times\)"),
    ):
        fetcher.get(PAGE)


def test_listings_are_revalidated_by_the_next_crawl_and_not_by_this_one() -> None:
    def site(request: Request) -> Reply:
        headers = {"ETag": '"abc"', "Cache-Control": "max-age=86400"}
        if request.path == "/robots.txt":
            return Reply(status=404)
        if request.headers.get("if-none-match") == '"abc"':
            return Reply(status=304, headers=headers)
        return Reply(b"a listing", headers=headers)

    with fetching(site) as (fetcher, server):
        assert fetcher.get(PAGE, revalidate=True).body == b"a listing"
        assert fetcher.get(PAGE, revalidate=True).body == b"a listing"
        assert num_asked(server) == 1
        store = CaptureStore(Path("captures"))
        arguments: dict[str, Any] = {"endpoints": server.endpoints, "clock": server.clock}
        with Fetcher(
            store, "crawls/y", contact="tests@example.org", allow_private_hosts=True, **arguments
        ) as next_fetcher:
            assert next_fetcher.get(PAGE, revalidate=True).body == b"a listing"
        requests = [request for request in server.requests() if request.path == "/page"]
        assert [request.headers.get("if-none-match") for request in requests] == [None, '"abc"']


def test_a_listing_that_was_cut_short_is_not_taken_from_the_http_cache() -> None:
    headers = {"ETag": '"abc"'}
    cut = Reply(b"x" * 5000, headers=headers, cut_after=2000)
    with fetching(in_turn(cut, Reply(b"x" * 5000, headers=headers))) as (fetcher, server):
        assert len(fetcher.get(PAGE, revalidate=True).body) == 5000
        assert all("if-none-match" not in request.headers for request in server.requests())


def test_offline_answers_from_captures_only() -> None:
    with fetching(without_robots(Reply(b"kept"))) as (fetcher, server):
        fetcher.get(PAGE)
        arguments: dict[str, Any] = {"endpoints": server.endpoints, "offline": True}
        num_requests = len(server.log)
        with Fetcher(CaptureStore(Path("captures")), "crawls/y", contact="-", **arguments) as offline:
            assert offline.get(PAGE).body == b"kept"
            assert refusal(offline, f"https://{HOST}/other") == "not fetched before (offline)"
        assert len(server.log) == num_requests


def test_a_damaged_capture_is_not_used() -> None:
    with fetching(without_robots(Reply(b"kept"))) as (fetcher, _):
        fetcher.get(PAGE)
        body = next(path for path in Path("captures/bodies").rglob("*.zst"))
        body.write_bytes(zstandard.ZstdCompressor().compress(b"something else"))
        with pytest.raises(CrawlError, match=r"is damaged .* delete it and run again"):
            fetcher.get(PAGE)


def test_hostile_headers_and_statuses_are_refused() -> None:
    with fetching(in_turn(Reply(b"x", headers={"X-Long": "a" * 200_000}))) as (fetcher, _):
        assert refusal(fetcher) == "connection closed without an answer"
    with fetching(in_turn(Reply(status=302))) as (fetcher, _):  # to nowhere
        assert refusal(fetcher) == "HTTP 302"


def test_a_redirect_to_the_same_address_that_sets_a_cookie_is_followed_with_it() -> None:
    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            return Reply(status=404)
        if request.headers.get("cookie") == "seen=1; wall=a.b-c":
            return Reply(b"the article")
        if request.headers.get("cookie") == "seen=1":
            return Reply(status=302, headers={"Location": "/page", "Set-Cookie": "wall=a.b-c"})
        cookie = "seen=1; Path=/; HttpOnly; Expires=Wed, 21 Oct 2037 07:28:00 GMT"
        return Reply(status=302, headers={"Location": f"https://{HOST}/page", "Set-Cookie": cookie})

    with fetching(site) as (fetcher, server):
        capture = fetcher.get(PAGE)
        assert capture.body == b"the article" and capture.final_url == PAGE
        assert "cookie" not in str(capture.headers).lower()
        fetcher.get(f"https://{HOST}/page?other")  # nothing is kept from one page to the next
        assert "cookie" not in next(r for r in server.requests() if "other" in r.query).headers


@pytest.mark.parametrize("cookie", ["a=b\x01", "=b", "a", "a=" + "b" * 5000])
def test_a_cookie_that_is_none_is_not_sent(cookie: str) -> None:
    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            return Reply(status=404)
        if "again" in request.query:
            return Reply(b"sent" if "cookie" in request.headers else b"not sent")
        return Reply(status=302, headers={"Location": "?again=1", "Set-Cookie": cookie})

    with fetching(site) as (fetcher, _):
        assert fetcher.get(PAGE).body == b"not sent"


@pytest.mark.parametrize(
    "failure",
    [
        socket.gaierror(-3, "Temporary failure in name resolution"),
        socket.gaierror(-2, "Name or service not known"),
        OSError(101, "Network is unreachable"),
    ],
)
def test_without_a_network_every_host_is_given_up_at_once(
    failure: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(host: str, *arguments: object, **keywords: object) -> object:
        tried.append(host)
        if isinstance(failure, socket.gaierror):
            raise failure
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    def no_way(*arguments: object, **keywords: object) -> object:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(socket, "create_connection", no_way)
    with fetching(in_turn(Reply()), endpoints={}) as (fetcher, server):
        for number in range(5):
            with pytest.raises(CrawlError, match=rf"host{number}\.example cannot be reached \(no connection"):
                fetcher.get(f"https://host{number}.example/")
        assert sum(server.clock.slept) <= 5
    assert tried == ["host0.example", "host0.example", *(f"host{number}.example" for number in range(1, 5))]


def test_one_name_that_is_gone_is_tried_three_times_where_others_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve, tried = socket.getaddrinfo, []

    def gone(host: str, *arguments: Any, **keywords: Any) -> Any:
        if host == "gone.example":
            tried.append(host)
            raise socket.gaierror(-2, "Name or service not known")
        return resolve(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", gone)
    limits = dataclasses.replace(GENEROUS, max_tries=5)
    with fetching(without_robots(Reply(b"here")), limits=limits) as (fetcher, _):
        assert fetcher.get(PAGE).body == b"here"
        with pytest.raises(CrawlError, match=r"gone\.example cannot be reached"):
            fetcher.get("https://gone.example/")
        assert len(tried) == 3
