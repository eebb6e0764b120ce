"""Mirrors and test servers: which address is asked in the place of a canonical one, and back.

Sources know canonical addresses only, and so do candidates, documents and robots.txt. Only where a
request is made is the host's endpoint, if there is one, put in its place.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from evalkit.errors import UsageError
from evalkit_crawlers.host_names import ascii_host, ascii_url
from evalkit_crawlers.http.addresses import host_of
from evalkit_crawlers.source import FetchRefused


def parse_endpoints(values: Sequence[str]) -> dict[str, str]:
    """``HOST=URL`` options as a mapping from host, in lower case, to base URL without a slash at its end.

    Raises:
        UsageError: one has another form, its URL is not http(s) or has more than a path, or a host is there
            twice.
    """
    endpoints: dict[str, str] = {}
    for value in values:
        host, _, base = value.partition("=")
        host = ascii_host(host.strip())
        if not re.fullmatch(r"[\w.-]+", host) or not _is_base(base):
            raise UsageError(f"--endpoint {value!r} is not HOST=URL, e.g. arxiv.org=http://127.0.0.1:8001")
        if host in endpoints:
            raise UsageError(f"--endpoint {host} is given twice; give one URL for it")
        endpoints[host] = base.rstrip("/")
    return endpoints


def _is_base(url: str) -> bool:
    """Whether paths can be appended to a URL: it may be fetched and has neither query nor fragment."""
    try:
        host_of(url)
    except FetchRefused:
        return False
    return not {"?", "#"} & set(url)


def mirrored_url(endpoints: Mapping[str, str], url: str) -> str:
    """The URL that is really asked for a canonical one; one that was mapped before stays as it is.

    Args:
        endpoints: see `parse_endpoints`.
        url: any; one that cannot be parsed is returned unchanged.
    """
    try:
        parts = urlsplit(url)
        base = endpoints.get(ascii_host(parts.hostname or ""))
    except ValueError:
        return url
    if base is None:
        return url
    return base + url.partition("://")[2].removeprefix(parts.netloc)


def canonical_url(endpoints: Mapping[str, str], url: str) -> str:
    """The address under its own host of one that a mirror redirected to, without a fragment.

    Redirects must come back under the canonical host: its robots.txt and its pace apply, not the mirror's.

    Raises:
        ValueError: the URL cannot be parsed.
    """
    for host, base in endpoints.items():
        if url == base or url.startswith((base + "/", base + "?")):
            return f"https://{host}{url.removeprefix(base)}"
    return ascii_url(urlunsplit(urlsplit(url)._replace(fragment="")))
