"""One name for a host, whichever way it is written."""

import pytest

from evalkit_crawlers.host_names import ascii_host, ascii_url
from evalkit_crawlers.http.addresses import host_of
from evalkit_crawlers.http.endpoints import canonical_url, mirrored_url, parse_endpoints
from evalkit_crawlers.sources.feeds import article_url, is_on_site
from evalkit_crawlers.text.clean import site_of

UNICODE, PUNYCODE = "bücher.example", "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("host", "ascii_form"),
    [
        (UNICODE, PUNYCODE),
        ("BÜCHER.example", PUNYCODE),
        (PUNYCODE.upper(), PUNYCODE),
        ("правда.example", "xn--80aafi6cg.example"),
        ("::1", "::1"),
        ("a\u0338.example", ascii_host("a\u0338.example")),
    ],
)
def test_the_form_of_a_host(host: str, ascii_form: str) -> None:
    assert ascii_host(host) == ascii_form == ascii_host(ascii_form)


def test_an_internationalised_name_and_its_punycode_are_one_site() -> None:
    for host in (UNICODE, PUNYCODE):
        assert host_of(f"https://{host}/a") == PUNYCODE
        assert site_of(f"https://{host}:8080/ü") == PUNYCODE
        assert article_url(f"https://{host}/ü?b=ä") == f"https://{PUNYCODE}/ü?b=ä"
        assert ascii_url(f"https://{host}:8080/ü#x") == f"https://{PUNYCODE}:8080/ü#x"
        for site in (UNICODE, PUNYCODE):
            assert is_on_site(host, site) and is_on_site(f"www.{host}", site)
        endpoints = parse_endpoints([f"{host}=http://127.0.0.1:8001"])
        assert mirrored_url(endpoints, f"https://{UNICODE}/a") == "http://127.0.0.1:8001/a"
        assert canonical_url({}, f"https://{host}/a#b") == f"https://{PUNYCODE}/a"


def test_addresses_of_ipv6_keep_their_brackets() -> None:
    assert article_url("http://[::1]:8080/a?utm_source=x") == "http://[::1]:8080/a"
    assert article_url("http://[2001:DB8::1]/a") == "http://[2001:db8::1]/a"
    assert host_of("http://[::1]/a") == "::1"
