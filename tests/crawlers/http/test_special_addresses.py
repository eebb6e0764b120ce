"""Which addresses a crawler may connect to, however they are written; the address itself is checked."""

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.http.special_addresses import is_public
from evalkit_crawlers.source import FetchRefused
from tests.support.replay import FakeClock, Reply, Request, serve

PUBLIC = ["93.184.216.34", "1.1.1.1", "192.0.1.1", "168.63.129.17", "198.20.0.1", "2606:2800:220:1::1"]
# The first and the last address of each block that IANA's registries call not globally reachable, and what is
# known to be a cloud's metadata service (Amazon, Google, Azure, Oracle, Alibaba, OpenStack, Tencent).
NOT_PUBLIC = [
    *("0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255"),
    *("127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.255.255", "172.16.0.0", "172.31.255.255"),
    *("192.0.0.0", "192.0.0.9", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.1", "192.168.0.0"),
    *("192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.255"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "100.100.100.200", "169.254.0.23"),
    *("fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe"),
    *("::", "::1", "fe80::1%eth0", "fc00::1", "fdff::1", "fec0::1", "feff::1", "ff02::1", "100::1"),
    *("64:ff9b:1::5db8:d822", "64:ff9b:1:ffff::1", "2001::1", "2001:1::1", "2001:2::1", "2001:20::1"),
    *("2001:db8::1", "3fff::1", "3fff:fff::1", "5f00::1", "4000::1", "8000::1", "2001:0:5db8:d822::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_lead_to_a_network_of_ones_own_or_nowhere(address: str) -> None:
    assert not is_public(address)


# Each form of an IPv4 address in an IPv6 one, and whether one that holds a public address is public itself.
FORMS = {
    "::ffff:{0:x}:{1:x}": True,  # IPv4-mapped
    "64:ff9b::{0:x}:{1:x}": True,  # NAT64
    "2002:{0:x}:{1:x}::1": True,  # 6to4
    "2606:2800::5efe:{0:x}:{1:x}": True,  # ISATAP
    "2606:2800::200:5efe:{0:x}:{1:x}": True,
    "::{0:x}:{1:x}": False,  # IPv4-compatible
    "::ffff:0:{0:x}:{1:x}": False,  # IPv4-translated
    "64:ff9b:1::{0:x}:{1:x}": False,  # NAT64 within a network
    "2001:0:{0:x}:{1:x}::": False,  # Teredo, of which this is the server
}


@pytest.mark.parametrize("form", FORMS)
@given(number=st.integers(0, 2**32 - 1) | st.sampled_from([int(ipaddress.ip_address(a)) for a in PUBLIC[:5]]))
def test_an_ipv6_address_is_no_more_public_than_the_ipv4_address_in_it(form: str, number: int) -> None:
    address = form.format(number >> 16, number & 0xFFFF)
    assert is_public(address) is (FORMS[form] and is_public(str(ipaddress.IPv4Address(number))))


class Network:
    """Names that resolve to one list of addresses after another, and a server at a public address."""

    def __init__(self, answers: Mapping[str, list[list[str]]], public: str, port: int) -> None:
        self.answers = {name: iter(lists) for name, lists in answers.items()}
        self.public, self.port = public, port
        self.connected_to: list[str] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve, connect = socket.getaddrinfo, socket.socket.connect

        def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
            if host not in self.answers:
                return resolve(host, *arguments, **options)
            addresses: Iterator[list[str]] = self.answers[host]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 80)) for a in next(addresses)]

        def connect_to(connection: socket.socket, address: Any) -> None:
            self.connected_to.append(address[0])
            connect(connection, ("127.0.0.1", self.port) if address[0] == self.public else address)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket.socket, "connect", connect_to)


def test_the_address_that_is_connected_to_is_the_one_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that gives a public address and then a private one gains nothing, in redirects neither."""

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            return Reply(status=404)
        if request.path == "/away":
            return Reply(status=302, headers={"Location": "http://inside.example/secret"})
        # The next request needs a connection of its own, and with it a name resolved again.
        return Reply(b"page", headers={"Connection": "close"})

    public, private = "93.184.216.34", "127.0.0.1"
    with serve(site, clock=FakeClock()) as server:
        network = Network(
            {
                "rebinding.example": [[public], [public], [private]],  # robots.txt, the page, the next one
                "mixed.example": [[private, public]] * 3,
                "redirecting.example": [[public]] * 3,
                "inside.example": [["169.254.169.254"]] * 2,
            },
            public,
            int(server.url.rpartition(":")[2]),
        )
        network.install(monkeypatch)

        def outcome(url: str) -> str:
            try:
                return fetcher.get(url).body.decode()
            except FetchRefused as refusal:
                return refusal.reason

        with Fetcher(CaptureStore(Path("captures")), "x", contact="-", clock=FakeClock()) as fetcher:
            assert outcome("http://mixed.example/page") == "page"
            assert outcome("http://redirecting.example/away") == "robots.txt: private address"
            assert outcome("http://inside.example/secret") == "robots.txt: private address"
            assert outcome("http://rebinding.example/page") == "page"
            assert outcome("http://rebinding.example/again") == "private address"
    assert set(network.connected_to) == {public}
    assert "/secret" not in {request.path for request in server.requests()}
