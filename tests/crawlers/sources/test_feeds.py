"""Feeds from bytes, and files of feeds."""

import datetime as dt
from pathlib import Path

import pytest

from evalkit.corpora import licenses
from evalkit.errors import UsageError
from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.sources.feeds import Feed, article_url, is_on_site, load_feeds, parse_feed
from tests.support.direct import capture
from tests.support.site_news import FORMATS, LANGUAGES, article

MOMENT = dt.datetime(2026, 11, 5, 22, 30, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
ITEM = "<item><title>T</title><link>https://news.example/a</link>{}</item>"


def rss(items: str, head: str = "") -> bytes:
    channel = f"<channel><title>F</title>{items}</channel>"
    return f'<?xml version="1.0"?>{head}<rss version="2.0">{channel}</rss>'.encode()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("charset", "declared"),
    [("utf-8", None), ("utf-8", "iso-8859-1"), ("utf-16", None), ("utf-8-sig", "utf-8")],
)
def test_the_three_formats_say_the_same(format: str, charset: str, declared: str | None) -> None:
    articles = [article(language, 1, MOMENT) for language in LANGUAGES]
    entries = parse_feed(capture(FORMATS[format](articles, charset, declared), "application/xml"))
    assert [entry.url for entry in entries] == [story.url for story in articles]
    assert [entry.title for entry in entries] == [story.title for story in articles]
    # RDF's dc:date is of no particular event; feedparser takes it for a change.
    assert {(entry.published_at, entry.is_change_date) for entry in entries} == {
        (dt.datetime(2026, 11, 6, 3, 30, tzinfo=dt.UTC), format == "rdf")
    }


@pytest.mark.parametrize(
    ("charset", "language"), [("windows-1251", "ru"), ("gb18030", "zh"), ("windows-1256", "ar")]
)
@pytest.mark.parametrize("format", FORMATS)
def test_feeds_in_legacy_encodings(format: str, charset: str, language: str) -> None:
    articles = [article(language, number, MOMENT) for number in range(3)]
    stated = parse_feed(capture(FORMATS[format](articles, charset), "text/xml"))
    by_server = parse_feed(
        capture(FORMATS[format](articles, charset, "utf-8"), f"text/xml; charset={charset}")
    )
    assert (
        [entry.title for entry in stated]
        == [entry.title for entry in by_server]
        == [a.title for a in articles]
    )


@pytest.mark.parametrize(
    ("date", "published_at", "is_change_date"),
    [
        ("<pubDate>Thu, 05 Nov 2026 09:00:00 +0900</pubDate>", "2026-11-05T00:00:00+00:00", False),
        ("<pubDate>2026-11-05T09:00:00Z</pubDate>", "2026-11-05T09:00:00+00:00", False),
        ("<pubDate>yesterday</pubDate>", None, False),
        ("<pubDate>Thu, 05 Nov 292277026596 09:00:00 GMT</pubDate>", None, False),
        ("<pubDate></pubDate>", None, False),
        ("<pubDate>2026/11/29 15:07:41</pubDate>", "2026-11-29T15:07:41+00:00", False),
        ("<pubDate>Sun, 29 Nov 2026 15:07:41 JST</pubDate>", "2026-11-29T06:07:41+00:00", False),
        ("<pubDate>Sun, 29 Nov 2026 15:07:41 IST</pubDate>", None, False),
        ("<pubDate>1764410461</pubDate>", "2025-11-29T10:01:01+00:00", False),
        ("<pubDate>2026-11</pubDate>", None, False),
        ("", None, False),
    ],
)
def test_dates_of_entries(date: str, published_at: str | None, is_change_date: bool) -> None:
    [entry] = parse_feed(capture(rss(ITEM.format(date))))
    assert (entry.published_at and entry.published_at.isoformat()) == published_at
    assert entry.is_change_date == is_change_date


def test_a_date_of_change_is_known_as_such() -> None:
    changed_article = article("en", 1, MOMENT, feed_date="updated")
    [entry] = parse_feed(capture(FORMATS["atom"]([changed_article])))
    assert entry.published_at == MOMENT and entry.is_change_date


BILLION_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            rss(ITEM.format("&l9;"), f'<!DOCTYPE r [<!ENTITY l0 "ha">{BILLION_LAUGHS}]>'),
            "feed declares XML entities",
        ),
        (rss("&a;" * 50_000, f'<!DOCTYPE r [<!ENTITY a "{"ha" * 50_000}">]>'), "feed declares XML entities"),
        (
            rss("", '<!doctype r [<!entity x SYSTEM "file:///etc/passwd">]>').decode().encode("utf-16"),
            "feed declares XML entities",
        ),
        (rss(ITEM.format("") * 17_000), "feed of more than 50000 elements"),
        (b" " * (5 << 20), "feed larger than 4 MiB"),
        (b"<html><body><p>Not found</p></body></html>", "not a feed"),
        (b"", "not a feed"),
        (b'{"version": "https://jsonfeed.org/version/1"}', "not a feed"),
    ],
)
def test_what_is_no_honest_feed_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(FetchRefused, match=reason):
        parse_feed(capture(body, "application/xml"))


def test_a_broken_feed_is_read_as_far_as_it_can_be() -> None:
    whole = FORMATS["rss"]([article("en", number, MOMENT) for number in range(3)])
    cut = whole[: whole.rindex(b"<description>")]
    assert len(parse_feed(capture(cut))) == 3
    assert len(parse_feed(capture(whole.replace(b"</title>", b"</titel>", 1)))) >= 2


def test_an_entry_states_its_own_license() -> None:
    links = (
        '<cc:license xmlns:cc="http://web.resource.org/cc/" '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'rdf:resource="http://creativecommons.org/licenses/by-nc/4.0/"/>'
    )
    legacy = '<creativeCommons:license xmlns:creativeCommons="http://backend.userland.com/creativeCommonsRssModule">http://creativecommons.org/licenses/by-sa/4.0/</creativeCommons:license>'
    rights = '<dc:rights xmlns:dc="http://purl.org/dc/elements/1.1/">CC BY 4.0</dc:rights>'
    reserved = '<dc:rights xmlns:dc="http://purl.org/dc/elements/1.1/">All rights reserved, 2026</dc:rights>'
    institute = '<dc:rights xmlns:dc="http://purl.org/dc/elements/1.1/">MIT</dc:rights>'
    stated_licenses = [
        parse_feed(capture(rss(ITEM.format(stated))))[0].license
        for stated in (links, legacy, rights, reserved, institute, "")
    ]
    assert stated_licenses == ["CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC-BY-4.0", None, None, None]


@pytest.mark.parametrize("namespace", ['xmlns:media="http://search.yahoo.com/mrss/"', ""])
def test_the_license_and_date_of_a_picture_are_not_the_entrys(namespace: str) -> None:
    creative_commons = 'xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    stated = (
        f"<media:group {namespace}><media:content url='https://news.example/a.jpg' {creative_commons}>"
        "<cc:license rdf:resource='http://creativecommons.org/licenses/by/4.0/' "
        "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>"
        "<media:license href='http://creativecommons.org/licenses/by/4.0/'>CC BY</media:license>"
        "<dc:rights>CC BY 4.0</dc:rights><dc:date>2019-01-01</dc:date><title>A picture</title>"
        "</media:content></media:group><dc:creator "
        'xmlns:dc="http://purl.org/dc/elements/1.1/">Ann</dc:creator>'
    )
    (entry,) = parse_feed(capture(rss(ITEM.format(stated))))
    assert (entry.title, entry.license, entry.published_at) == ("T", None, None)


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("https://News.Example/a?utm_source=rss&id=3&utm_medium=x#top", "https://news.example/a?id=3"),
        ("https://news.example/a?b=%E4%B8%AD+c", "https://news.example/a?b=%E4%B8%AD+c"),
        (" https://news.example ", "https://news.example/"),
        ("https://news.example:8443/a", "https://news.example:8443/a"),
        ("/relative", None),
        ("javascript:alert(1)", None),
        ("ftp://news.example/a", None),
        ("https://[::1/a", None),
        ("https://news.example:port/a", None),
        ("https://news.example/a b", None),
    ],
)
def test_addresses_of_articles(address: str, known_as: str | None) -> None:
    assert article_url(address) == known_as


def test_relative_links_are_those_of_the_feed() -> None:
    [entry] = parse_feed(
        capture(rss("<item><link>/a/b</link></item>"), url="https://news.example/feeds/x.xml")
    )
    assert entry.url == "https://news.example/a/b"


def test_the_default_feeds_are_many_open_and_sound() -> None:
    feeds = load_feeds()
    assert len({feed.language for feed in feeds if feed.name.startswith("global-voices")}) >= 10
    assert {"nasa", "nih", "noaa-research"} <= {feed.name for feed in feeds}
    assert all(licenses.may_republish(feed.license) for feed in feeds)
    assert all(feed.license_stated_at for feed in feeds)
    assert all(feed.url.startswith("https://") for feed in feeds)


def test_pages_of_a_paged_feed() -> None:
    feed = Feed("x", "https://news.example/feed/?lang=es", "news.example", None, "es", paged=True)
    assert feed.page(1) == "https://news.example/feed/?lang=es"
    assert feed.page(3) == "https://news.example/feed/?lang=es&paged=3"


def test_hosts_of_a_site() -> None:
    assert is_on_site("news.example", "news.example") and is_on_site("www.news.example", "news.example")
    assert not is_on_site("fakenews.example", "news.example") and not is_on_site("example", "news.example")


GOOD = 'url = "https://a.example/feed"\nsite = "a.example"\nlicense = "CC-BY-4.0"\nlanguage = "en"\n'


def test_a_file_of_feeds(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        f"[feeds.a]\n{GOOD}paged = true\n[feeds.b]\n"
        + GOOD.replace("https://a.", "https://b.").replace("CC-BY-4.0", "unknown").replace('"en"', '"pt-BR"')
    )
    a, b = load_feeds(file)
    assert (a.name, a.license, a.paged, a.language) == ("a", "CC-BY-4.0", True, "en")
    assert (b.name, b.license, b.paged, b.language) == ("b", None, False, "pt-BR")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[feeds.a", "mine.toml: it is not TOML"),
        ("", r"mine.toml: it has none; write a table \[feeds.NAME\]"),
        ("[feed.a]\n" + GOOD, "mine.toml: it has feed; write a table"),
        ("[feeds]\na = 3", r"mine.toml: \[feeds.a\]: write a table with url, site, license, language"),
        ('[feeds."a b"]\n' + GOOD, "the name is not plain; 'a-b' would be"),
        ("[feeds.a]\n" + GOOD.replace("site", "sites"), "unknown key 'sites'; did you mean site?"),
        ("[feeds.a]\n" + GOOD.replace('language = "en"\n', ""), "language is missing"),
        ("[feeds.a]\n" + GOOD.replace('"CC-BY-4.0"', "4"), "license must be a text"),
        ("[feeds.a]\n" + GOOD + 'paged = "yes"', "paged must be a true or false"),
        ("[feeds.a]\n" + GOOD.replace("https:", "file:"), "'file://a.example/feed' is not an http"),
        (
            "[feeds.a]\n" + GOOD.replace('"a.example"', '"https://a.example"'),
            "site 'https://a.example' is not a host",
        ),
        ("[feeds.a]\n" + GOOD.replace('"en"', '"English"'), "language 'English' is not a BCP 47 tag"),
        (f"[feeds.a]\n{GOOD}[feeds.b]\n{GOOD}", r"\[feeds.b\] has the url of \[feeds.a\]"),
    ],
)
def test_mistakes_in_a_file_of_feeds_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_feeds(file)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it cannot be read: No such file"):
        load_feeds(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(UsageError, match="it cannot be read: it is not UTF-8"):
        load_feeds(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("AT&T and R&D", "AT&T and R&D"),
        ("A &amp; B", "A & B"),
        ("A & B", "A & B"),
        ("x &lt; y &nbsp;&#169;&#xA9;&eacute;", "x < y ©©é"),
        ("&copy=1 &copy 2026 &bogus; &", "&copy=1 &copy 2026 &bogus; &"),
        ("&LT;b&GT; &AMP;amp;", "<b> &amp;"),
        ("&amp;amp;", "&amp;"),
        ("&#; &#x; &#12345678; &;", "&#; &#x; &#12345678; &;"),
    ],
)
def test_an_ampersand_is_no_end_of_a_text(written: str, read: str) -> None:
    """As browsers read it; in XML a bare one is an error, and what stood behind it was lost."""
    item = f"<item><title>{written}</title><link>https://x.example/</link></item>"
    [entry] = parse_feed(capture(rss(item)))
    assert entry.title == read


def test_addresses_with_several_parameters_stay_whole() -> None:
    query = "option=com_content&view=article&id=77&lang=en"
    for address in (query, query.replace("&", "&amp;"), f"<![CDATA[https://x.example/?{query}]]>"):
        link = address if address.startswith("<") else f"https://x.example/?{address}"
        [entry] = parse_feed(capture(rss(f"<item><title>t</title><link>{link}</link></item>")))
        assert entry.url == f"https://x.example/?{query}"


def test_references_in_cdata_stay_what_they_are() -> None:
    [entry] = parse_feed(capture(rss("<item><title><![CDATA[R&D&nbsp;& <b>&amp;</b>]]></title></item>")))
    assert entry.title == "R&D & <b>&amp;</b>"
