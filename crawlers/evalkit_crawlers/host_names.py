"""Names of hosts in one form: those in Unicode are those in Punycode (RFC 5890)."""

from urllib.parse import urlsplit, urlunsplit


def ascii_host(host: str) -> str:
    """A host's name as the DNS has it: that of an internationalised one (IDN) in Punycode.

    One that has no such form is returned unchanged.
    """
    if host.isascii():
        return host.lower()
    import httpx2

    try:
        return httpx2.URL(f"http://{host}").raw_host.decode("ascii").lower()
    except (ValueError, httpx2.InvalidURL):
        return host


def ascii_url(url: str) -> str:
    """A URL whose host's name is in ASCII; one that is so already, or is no URL, is returned unchanged."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return url
    if host.isascii():
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.lower().replace(host, ascii_host(host))))
