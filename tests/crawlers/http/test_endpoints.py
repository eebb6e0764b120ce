"""Mirrors: which address is asked in the place of a canonical one, and back."""

import pytest

from evalkit_crawlers.http.endpoints import canonical_url, mirrored_url, parse_endpoints

ENDPOINTS = parse_endpoints(["arXiv.org=http://127.0.0.1:8001/", "export.arxiv.org=http://mirror.example/ax"])


def test_endpoints_map_hosts_and_nothing_else() -> None:
    assert mirrored_url(ENDPOINTS, "https://arxiv.org/html/1?x=1") == "http://127.0.0.1:8001/html/1?x=1"
    assert mirrored_url(ENDPOINTS, "https://oaipmh.arxiv.org/oai") == "https://oaipmh.arxiv.org/oai"
    assert mirrored_url(ENDPOINTS, "https://notarxiv.org/") == "https://notarxiv.org/"
    assert mirrored_url(ENDPOINTS, "http://[::1/") == "http://[::1/"
    mapped = mirrored_url(ENDPOINTS, "https://export.arxiv.org/oai?verb=Identify")
    assert mapped == "http://mirror.example/ax/oai?verb=Identify" == mirrored_url(ENDPOINTS, mapped)


def test_where_a_mirror_redirects_to_is_named_by_its_own_host() -> None:
    assert canonical_url(ENDPOINTS, "http://127.0.0.1:8001/abs/1?x=1") == "https://arxiv.org/abs/1?x=1"
    assert canonical_url(ENDPOINTS, "http://mirror.example/ax") == "https://export.arxiv.org"
    assert canonical_url(ENDPOINTS, "http://mirror.example/axis") == "http://mirror.example/axis"
    assert canonical_url(ENDPOINTS, "https://other.example/a#b") == "https://other.example/a"
    with pytest.raises(ValueError):
        canonical_url(ENDPOINTS, "http://[::1/")
