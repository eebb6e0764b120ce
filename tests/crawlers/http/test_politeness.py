"""Politeness, measured where it is felt: at the server."""

import datetime as dt
import itertools
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.http.hosts import HostPolicy, policy_of
from evalkit_crawlers.http.pacing import Pacer
from evalkit_crawlers.http.reservations import RESERVED
from evalkit_crawlers.http.robots import Robots, Rules
from evalkit_crawlers.source import Capture, FetchRefused
from tests.support.crawling import CONTACT, crawl_from, reasons
from tests.support.direct import capture
from tests.support.replay import FakeClock, Reply, Request, Server, serve
from tests.support.toy_source import Page, ToySource, pages, toy_site
from tests.support.toys import PATIENCE_S

HOSTS = ["listing.example", "one.example", "two.example", "three.example"]


def gaps_s(server: Server, host: str) -> list[float]:
    times = [entry.time_s for entry in server.log if entry.request.host == host]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_one_connection_and_no_request_before_its_time() -> None:
    robots = {
        "one.example": b"User-agent: *\nCrawl-delay: 7\n",
        "two.example": b"User-agent: *\nRequest-rate: 1/20\n",
        "three.example": b"User-agent: *\nCrawl-delay: 0.01\n",
    }
    inner = toy_site(pages(30, HOSTS[1:]))

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            rules = robots.get(request.host)
            return Reply(rules) if rules else Reply(status=404)
        return inner(request)

    with serve(site, HOSTS, FakeClock()) as server:
        (crawled,) = crawl_from(server, ToySource())
        most_open = dict(server.most_open)
        assert crawled.corpus.manifest.num_documents == 30
        assert most_open == dict.fromkeys(HOSTS, 1)
        # Ours is 1 s; the longer one counts. Where several sleep, anyone may wake later than it asked for.
        assert min(gaps_s(server, "listing.example")) == 1
        assert min(gaps_s(server, "one.example")) >= 7
        assert min(gaps_s(server, "two.example")) >= 20
        assert min(gaps_s(server, "three.example")) >= 1
        assert all(server.requests(host)[0].path == "/robots.txt" for host in HOSTS)
        agents = {request.headers["user-agent"] for request in server.requests()}
        assert len(agents) == 1
        assert CONTACT in agents.pop()


@pytest.mark.parametrize(
    ("rules", "delay_s"), [("Crawl-delay: 7", 7), ("Request-rate: 1/20", 20), ("Crawl-delay: 0.01", 1)]
)
def test_the_longer_delay_is_kept_and_no_second_more(rules: str, delay_s: float) -> None:
    special = {"/robots.txt": Reply(f"User-agent: *\n{rules}\n".encode())}
    with serve(toy_site(pages(5, ["one.example"]), special), HOSTS[:2]) as server:
        crawl_from(server, ToySource())
        assert gaps_s(server, "one.example") == [delay_s] * 5


def test_robots_txt_is_obeyed_in_redirects_too() -> None:
    documents = [*pages(6), Page("secret/one"), Page("moved"), Page("fine")]
    special = {
        "/robots.txt": Reply(b"User-agent: *\nDisallow: /\n\nUser-agent: evalkit\nDisallow: /secret/\n"),
        "/moved": Reply(status=301, headers={"Location": "/secret/two"}),
    }
    with serve(toy_site(documents, special), ["listing.example", "pages.example"]) as server:
        (crawled,) = crawl_from(server, ToySource())
        paths = {request.path for request in server.requests()}
    forbidden = "robots.txt forbids it"
    assert reasons(crawled) == {"secret/one": forbidden, "moved": forbidden}
    assert not {path for path in paths if path.startswith("/secret")}
    assert "/moved" in paths


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(status=404), {}),
        (Reply(status=403), {}),  # RFC 9309, 2.3.1.3: "unavailable" means no restrictions
        (Reply(b"\xff\xfe\x00 nonsense"), {}),
        (
            Reply(b"User-agent: *\nCrawl-delay: 86400"),
            {"doc0000": "robots.txt allows less than a page an hour"},
        ),
        (Reply(status=500), {"doc0000": "robots.txt: HTTP 500"}),
        (Reply(b"User-agent: *\nDisallow: /doc0000", cut_after=9), {"doc0000": "robots.txt: body cut short"}),
    ],
)
def test_a_robots_txt_that_cannot_be_had(reply: Reply, expected: dict[str, str]) -> None:
    def site(request: Request) -> Reply:
        if request.path == "/robots.txt" and request.host == "one.example":
            return reply
        return toy_site([Page("doc0000", "one.example"), Page("doc0001", "two.example")])(request)

    with serve(site, HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
    # What may pass is missing and not dropped.
    missing = {drop.id: drop.reason.removeprefix("one.example: ") for drop in crawled.missing}
    assert reasons(crawled) | missing == expected
    assert bool(missing) == ("HTTP 5" in str(expected) or "cut short" in str(expected))


def test_hosts_are_asked_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)
    inner = toy_site(pages(2, ["one.example", "two.example"]))

    def site(request: Request) -> Reply:
        if request.path.startswith("/doc"):
            meeting.wait()  # breaks, and the crawl fails, unless both hosts are being asked now
        return inner(request)

    with serve(site, HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
    assert crawled.corpus.manifest.num_documents == 2


def test_hosts_of_one_operator_share_a_queue() -> None:
    source = ToySource(host_policies=(HostPolicy("operator", ("one.example", "*.two.example"), delay_s=5.0),))
    hosts = ["listing.example", "one.example", "a.two.example"]
    with serve(toy_site(pages(8, hosts[1:])), hosts) as server:
        crawl_from(server, source)
        times = [entry.time_s for entry in server.log if entry.request.host != "listing.example"]
        # Two robots.txt and eight pages; at most one connection to all of them together is open.
        assert len(times) == 10
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 5


def test_two_crawlers_on_one_machine_share_the_pace() -> None:
    clock = FakeClock(calendar_moves=True)
    with serve(toy_site(pages(10, ["one.example"])), ["one.example"], clock) as server:

        def fetch(numbers: range, folder: str) -> None:
            with Fetcher(
                CaptureStore(Path(folder)),
                "crawls/x",
                contact=CONTACT,
                endpoints=server.endpoints,
                allow_private_hosts=True,
                clock=clock,
            ) as fetcher:
                for number in numbers:
                    fetcher.get(f"https://one.example/doc{number:04d}")

        threads = [
            threading.Thread(target=fetch, args=(range(0, 5), "a")),
            threading.Thread(target=fetch, args=(range(5, 10), "b")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.log) == 12
        assert min(gaps_s(server, "one.example")) >= 1 - 1e-6


def test_a_restarted_crawler_waits_for_its_predecessors_delay() -> None:
    clock = FakeClock(calendar_moves=True)
    first = Pacer(Path("pace"), clock, lambda queue, wait_s: None)
    with first.turn("host", 15):
        first.hold("host", 100)
    waited: list[float] = []
    second = Pacer(Path("pace"), clock, lambda queue, wait_s: waited.append(wait_s))
    clock.sleep(30)
    with second.turn("host", 15):
        pass
    with second.turn("host", 15):
        pass
    assert waited == [pytest.approx(70), pytest.approx(15)]
    # A clock that was set back does not stop anybody for longer than one delay.
    long_ago = FakeClock(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    third = Pacer(Path("pace"), long_ago, lambda queue, wait_s: waited.append(wait_s))
    with third.turn("host", 15):
        pass
    assert waited[2:] == [pytest.approx(15)]


def test_what_is_known_of_hosts() -> None:
    # https://info.arxiv.org/help/api/tou.html: a request every three seconds, one connection, over all
    apis = {policy_of(host).queue for host in ("oaipmh.arxiv.org", "export.arxiv.org", "rss.arxiv.org")}
    assert apis == {"arxiv-api"}
    assert policy_of("oaipmh.arxiv.org").delay_s == 3
    assert policy_of("arxiv.org").delay_s == 15  # https://arxiv.org/robots.txt
    assert policy_of("zh.wikipedia.org").queue == policy_of("de.wikinews.org").queue == "wikimedia"
    assert policy_of("notwikipedia.org").queue == "notwikipedia.org"
    assert policy_of("example.org").delay_s == 1


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=2000),
        st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        "User-agent",
                        "Disallow",
                        "Allow",
                        "Crawl-delay",
                        "Request-rate",
                        "Sitemap",
                        "Visit-time",
                    ]
                ),
                st.text(max_size=30)
                | st.sampled_from(["*", "evalkit", "/", "/*$", "1e999", "-5", "nan", "1/0"]),
            ),
            max_size=20,
        ).map(
            lambda lines: "\n".join(f"{name}: {value}" for name, value in lines).encode("utf-8", "replace")
        ),
    )
)
def test_no_robots_txt_is_too_odd(body: bytes) -> None:
    capture = Capture("", "", dt.datetime(2026, 11, 20, tzinfo=dt.UTC), {}, body, "")
    rules = Robots(lambda url: capture).rules_for("https://x.example/a")
    assert isinstance(rules, Rules)
    assert rules.allow("https://x.example/a?b=%zz") in (True, False)
    assert 0 <= rules.delay_s < float("inf")


def test_a_byte_order_mark_does_not_hide_the_first_line() -> None:
    body = b"\xef\xbb\xbfUser-agent: *\nDisallow: /a\n"
    capture = Capture("", "", dt.datetime(2026, 11, 20, tzinfo=dt.UTC), {}, body, "")
    rules = Robots(lambda url: capture).rules_for("https://x.example/a")
    assert not rules.allow("https://x.example/a") and rules.allow("https://x.example/b")


@pytest.mark.parametrize("agent", ["evalkit", "EvalKit", "evalkit/0.1", "Evalkit/2.0-beta"])
def test_an_agents_version_does_not_hide_its_name(agent: str) -> None:
    rules = f"User-agent: *\nAllow: /\n\nUser-agent: {agent}\nDisallow: /secret/\n".encode()
    parsed = Robots(lambda url: capture(rules, url=url)).rules_for("https://pages.example/")
    assert not parsed.allow("https://pages.example/secret/a") and parsed.allow("https://pages.example/a")


def test_an_endpoint_whose_robots_txt_forbids_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the original is an interface, of which its own robots.txt does not speak."""

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            return Reply(b"User-agent: *\nDisallow: /mirror/closed/\nDisallow: /mirror/api/\n")
        return Reply(b"here") if request.path.startswith("/mirror/") else Reply(status=404)

    resolve = socket.getaddrinfo

    def resolved(host: str, *arguments: Any, **keywords: Any) -> Any:
        return resolve("127.0.0.1", *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with serve(site) as server:
        base = server.url.replace("127.0.0.1", "mirror.example")
        with Fetcher(
            CaptureStore(Path("captures")),
            "crawls/x",
            contact=CONTACT,
            endpoints={"pages.example": f"{base}/mirror"},
            allow_private_hosts=True,
            policies=[HostPolicy("original", ("pages.example",), interfaces=("/api/",))],
            clock=server.clock,
        ) as fetcher:
            assert fetcher.get("https://pages.example/open/a").body == b"here"
            for path in ("/closed/a", "/api/a"):
                with pytest.raises(FetchRefused, match=r"robots\.txt forbids it, that of the endpoint"):
                    fetcher.get(f"https://pages.example{path}")
        paths = [request.path for request in server.requests()]
    assert not [path for path in paths if path.startswith(("/mirror/closed", "/mirror/api"))]


class Obedient(ToySource):
    obeys_reservations = True


def test_a_sites_reservations_are_obeyed_where_a_source_does() -> None:
    documents = [
        Page("doc0000", "one.example"),
        Page("doc0001", "one.example"),
        Page("doc0002", "two.example"),
    ]
    rules = {"/.well-known/tdmrep.json": Reply(b'[{"location": "/doc0001", "tdm-reservation": 1}]')}
    with serve(toy_site(documents, rules), HOSTS) as server:
        (all_of_them,) = crawl_from(server, ToySource())
        assert reasons(all_of_them) == {}
        assert not [request for request in server.requests() if "well-known" in request.path]
    with serve(toy_site(documents, rules), HOSTS) as server:
        (others,) = crawl_from(server, Obedient(), output=Path("obedient"))
        assert reasons(others) == {"doc0001": RESERVED}
        paths = [(request.host, request.path) for request in server.requests()]
        assert paths.count(("one.example", "/.well-known/tdmrep.json")) == 1
        assert ("one.example", "/doc0001") not in paths
