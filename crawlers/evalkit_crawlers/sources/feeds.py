"""Feeds: which ones a crawl reads, and what a fetched one (RSS, Atom, RDF) names.

feedparser reads them, from bytes that we fetched: it never touches the network here. Feeds are written
by anybody, so whatever a body does, the outcome is entries or a reason.

A file of feeds has a table for each, whose name goes into corpora and reports:

    [feeds.global-voices-es]
    url = "https://es.globalvoices.org/feed/"
    site = "es.globalvoices.org"      # articles on other hosts than this one and its subdomains are left out
    license = "CC-BY-3.0"             # SPDX, or "unknown"; a page or entry that states its own overrides it
    language = "es"                   # BCP 47
    license_stated_at = "https://…"   # optional: where the site says so
    paged = true                      # optional: ?paged=2, 3 … lead back in time (WordPress)
"""

import dataclasses
import datetime as dt
import difflib
import html
import html.entities
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from evalkit.corpora import licenses
from evalkit.errors import UsageError
from evalkit.files import parse_toml, plain_file_text, slug
from evalkit_crawlers.host_names import ascii_host
from evalkit_crawlers.source import Capture, FetchRefused
from evalkit_crawlers.text import charsets
from evalkit_crawlers.text.moments import moment_of

MAX_FEED_BYTES = 4 << 20
MAX_ELEMENTS = 50_000
"""Of one body; a feed lists ten to a hundred articles with ten to a hundred elements each."""

_REQUIRED = {"url": str, "site": str, "license": str, "language": str}
_OPTIONAL = {"license_stated_at": str, "paged": bool}
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_REFERENCE = re.compile(
    r"&(?:((?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)|([A-Za-z][A-Za-z0-9]{1,31};))?"
)
_MEDIA = "http://search.yahoo.com/mrss/"
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# What campaigns add to an article's address does not make it another article.
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|mc_[ce]id|at_(medium|campaign)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Feed:
    """A feed, and what its articles have in common."""

    name: str
    url: str
    site: str
    """Host of its articles, or the domain above their hosts."""
    license: str | None
    """SPDX identifier where there is one; None: unknown."""
    language: str
    license_stated_at: str | None = None
    paged: bool = False
    """Whether ``?paged=2``, ``3`` … lead to older entries, as WordPress has it."""

    def page(self, number: int) -> str:
        """Address of the feed's first, second … page."""
        if number == 1:
            return self.url
        parts = urlsplit(self.url)
        query = [*parse_qsl(parts.query, keep_blank_values=True), ("paged", str(number))]
        return urlunsplit(parts._replace(query=urlencode(query)))


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What a feed says of one article."""

    url: str | None
    """Absolute, http(s), without fragment and tracking parameters; None: it names none."""
    title: str | None
    published_at: dt.datetime | None
    """Aware, in UTC; None where the feed gives no date that can be read."""
    is_change_date: bool
    """The feed says when it was last changed, and not when it was published."""
    license: str | None


def load_feeds(path: Path | None = None) -> tuple[Feed, ...]:
    """The feeds of a file, or the ones that come with evalkit; in the file's order.

    Raises:
        UsageError: the file cannot be read, or something in it is not as the module's docstring says.
    """
    if path is None:
        text = resources.files("evalkit_crawlers.sources").joinpath("feeds.toml").read_text(encoding="utf-8")
    else:
        try:
            text = plain_file_text(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(f"--feeds {path}: it cannot be read: {reason}") from None
    file_name = path.name if path else "feeds.toml"
    try:
        document = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{file_name}: it is not TOML: {error}") from None
    tables = document.get("feeds")
    unknown_keys = sorted(set(document) - {"feeds"})
    if unknown_keys or not isinstance(tables, dict) or not tables:
        problem = f"it has {', '.join(unknown_keys)}" if unknown_keys else "it has none"
        raise UsageError(f"{file_name}: {problem}; write a table [feeds.NAME] for each feed")
    feeds = tuple(_feed(name, fields, f"{file_name}: [feeds.{name}]") for name, fields in tables.items())
    first_by_url: dict[str, str] = {}
    for feed in feeds:
        first = first_by_url.setdefault(feed.url, feed.name)
        if first != feed.name:
            raise UsageError(
                f"{file_name}: [feeds.{feed.name}] has the url of [feeds.{first}]; remove one of them"
            )
    return feeds


def parse_feed(capture: Capture) -> tuple[Entry, ...]:
    """The entries of a fetched feed, in its order.

    Raises:
        FetchRefused: it is no feed, or one that nobody writes in good faith.
    """
    import feedparser

    if len(capture.body) > MAX_FEED_BYTES:
        raise FetchRefused(f"feed larger than {MAX_FEED_BYTES >> 20} MiB")
    text = charsets.decode(capture.body, capture.headers.get("content-type"))
    if re.search(r"<!ENTITY", text, re.IGNORECASE):
        # Nested or repeated, a few kilobytes of them become gigabytes; no feed needs its own.
        raise FetchRefused("feed declares XML entities")
    parsed = feedparser.parse(
        _well_formed(text),
        response_headers={
            "content-type": "application/xml; charset=utf-8",
            "content-location": capture.final_url,
        },
        sanitize_html=False,  # of the entries' HTML nothing is used
        resolve_relative_uris=False,
    )
    if not parsed.get("version") and not parsed.entries:
        raise FetchRefused("not a feed")
    return tuple(_entry(entry) for entry in parsed.entries)


def _well_formed(text: str) -> bytes:
    """A feed as XML without errors, in UTF-8.

    feedparser has a second parser for malformed feeds, which can take hours for a few megabytes;
    libxml2 repairs most of them in no time, as far as its limits (256 levels) allow.
    """
    from lxml import etree

    text = _NO_XML.sub("", text[text.index("<") :] if "<" in text else "")
    text = re.sub(r"^<\?xml[^>]*>", "", text)  # the encoding that it states is not its encoding any more
    text = "".join(
        _REFERENCE.sub(_named_in_cdata if is_cdata else _reference, part)
        for is_cdata, part in _sections(text)
    )
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, encoding="utf-8")
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except etree.XMLSyntaxError:
        root = None
    if any("xcessive depth" in entry.message for entry in parser.error_log):
        raise FetchRefused("feed nested too deeply")
    if root is None:
        raise FetchRefused("not a feed")
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        raise FetchRefused(f"feed of more than {MAX_ELEMENTS} elements")
    # Pictures and other media, whose dates, rights and licenses feedparser takes for the entry's.
    for medium in root.xpath("//*[namespace-uri()=$media or starts-with(name(), 'media:')]", media=_MEDIA):
        if medium.getparent() is not None:
            medium.getparent().remove(medium)
    repaired: bytes = etree.tostring(root, encoding="utf-8")
    return repaired


def _sections(text: str) -> Iterator[tuple[bool, str]]:
    """The parts of a text, and whether each is CDATA; each character is looked at once."""
    start = 0
    while (begin := text.find("<![CDATA[", start)) >= 0 and (end := text.find("]]>", begin)) >= 0:
        yield False, text[start:begin]
        yield True, text[begin:end]
        start = end
    yield False, text[start:]


def _reference(match: re.Match[str]) -> str:
    """An ampersand, with what follows, as XML has it: a reference, a character, or one that means itself.

    ``?a=1&view=2`` in a link and ``AT&T`` in a title are no XML, and common; ``&copy=`` is no sign.
    """
    if match[1]:
        return match[0]
    characters = html.entities.html5.get(match[2]) if match[2] else None
    if characters is None:
        return f"&amp;{match[2] or ''}"
    return html.escape(characters)


def _named_in_cdata(match: re.Match[str]) -> str:
    """In CDATA nothing is a reference, but many write ``&nbsp;`` there; what could be markup stays."""
    characters = html.entities.html5.get(match[2], "") if match[2] else ""
    return characters if characters and not set("<>&]") & set(characters) else match[0]


def is_on_site(host: str, site: str) -> bool:
    """Whether a host is a site's: its own name, or one below it, in Unicode or Punycode."""
    host, site = ascii_host(host), ascii_host(site)
    return host == site or host.endswith(f".{site}")


def article_url(address: str) -> str | None:
    """An article's address in the form that tells it from others: without fragment and tracking parameters.

    None if it is no address that can be fetched.
    """
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host or any(map(str.isspace, address.strip())):
        return None
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    own_parameters = [(key, value) for key, value in parameters if not _TRACKING.fullmatch(key)]
    # As it was written where nothing was removed: some servers know only one of several encodings.
    query = urlencode(own_parameters) if len(own_parameters) < len(parameters) else parts.query
    host = f"[{host}]" if ":" in host else ascii_host(host)  # of IPv6, the brackets are no part of the name
    netloc = f"{host}:{port}" if port else host
    return urlunsplit((parts.scheme.lower(), netloc, parts.path or "/", query, ""))


def _entry(entry: Mapping[str, Any]) -> Entry:
    link = entry.get("link")
    published = _moment(entry, "published") or _moment(entry, "created")
    changed = _moment(entry, "updated") if published is None else None
    title = " ".join(str(entry.get("title") or "").split())
    return Entry(
        url=article_url(link) if isinstance(link, str) else None,
        title=title or None,
        published_at=published or changed,
        is_change_date=changed is not None,
        license=_license(entry),
    )


def _moment(entry: Mapping[str, Any], key: str) -> dt.datetime | None:
    """A date as the feed writes it; feedparser's reading of it is not asked, since it guesses."""
    if not dict.__contains__(entry, key):  # get() takes one date for another
        return None
    text = entry[key]
    return moment_of(text) if isinstance(text, str) else None


def _license(entry: Mapping[str, Any]) -> str | None:
    """The license that an entry states by itself: a link, or rights that are one's name."""
    for link in entry.get("links") or ():
        if link.get("rel") == "license" and link.get("href"):
            return licenses.normalise(str(link["href"]))
    rights = licenses.normalise(str(entry.get("rights") or ""))
    # Rights name an owner as often as a license, and MIT and ISC are both.
    is_owner = licenses.Terms.NOTICE in licenses.terms(rights)
    return rights if licenses.may_republish(rights) and not is_owner else None


def _feed(name: str, fields: object, origin: str) -> Feed:
    """A feed from its table; ``origin`` says in errors which one it is."""
    if name != slug(name):
        raise UsageError(f"{origin}: the name is not plain; {slug(name)!r} would be")
    if not isinstance(fields, dict):
        raise UsageError(f"{origin}: write a table with {', '.join(_REQUIRED)}")
    for problem in _problems(fields):
        raise UsageError(f"{origin}: {problem}")
    license = None if fields["license"] == "unknown" else licenses.normalise(fields["license"])
    return Feed(**{**fields, "name": name, "license": license})


def _problems(fields: Mapping[str, object]) -> Iterator[str]:
    types = _REQUIRED | _OPTIONAL
    for key in fields:
        if key not in types:
            near = difflib.get_close_matches(key, types, n=1)
            yield f"unknown key {key!r}; " + (
                f"did you mean {near[0]}?" if near else f"known: {', '.join(types)}"
            )
    for key in _REQUIRED:
        if key not in fields:
            yield f"{key} is missing"
    for key, value in fields.items():
        if not isinstance(value, types[key]) or value == "":
            yield f"{key} must be a {'true or false' if types[key] is bool else 'text'}"
    for key in ("url", "license_stated_at"):
        if key in fields and article_url(str(fields[key])) is None:
            yield f"{key} {fields[key]!r} is not an http(s) address"
    if not _HOST.fullmatch(ascii_host(str(fields["site"]))):
        yield f"site {fields['site']!r} is not a host name, e.g. globalvoices.org"
    if not _LANGUAGE.fullmatch(str(fields["language"])):
        yield f"language {fields['language']!r} is not a BCP 47 tag, e.g. es or pt-BR"
