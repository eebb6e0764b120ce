"""bioRxiv and medRxiv as far as a crawler sees them: the API of postings, and articles as JATS.

The API's answers have the form of https://api.biorxiv.org/details/biorxiv/help; the articles that of the
``.source.xml`` files it names: Journal Archiving DTD, with the license in ``permissions``.
"""
# ruff: noqa: E501  (markup is easier to read unbroken)

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from html import escape

from tests.support.replay import Reply, Request, Site

API_HOST = "api.biorxiv.org"
PAGE_SIZE = 100
_ADDRESSES = {
    "cc_by": "http://creativecommons.org/licenses/by/4.0/",
    "cc0": "http://creativecommons.org/publicdomain/zero/1.0/",
    "cc_by_nc_nd": "http://creativecommons.org/licenses/by-nc-nd/4.0/",
}


def hosts(server: str = "biorxiv") -> list[str]:
    return [API_HOST, f"www.{server}.org"]


@dataclasses.dataclass(frozen=True)
class Preprint:
    """A posting, and its file."""

    number: int
    paragraphs: tuple[str, ...]
    abstract: str
    posted: dt.date = dt.date(2026, 11, 5)
    version: int = 1
    license: str = "cc_by"
    """As the API has it."""
    stated_license: str | None = "same"
    """That of the file, as the API has it; "same", or None: none."""
    kind: str = "new results"
    category: str = "neuroscience"
    xml: str | None = None
    """The file, if it is not made of the paragraphs."""
    has_address: bool = True
    server: str = "biorxiv"

    @property
    def doi(self) -> str:
        return f"10.1101/2026.11.01.{self.number:06d}"

    @property
    def id(self) -> str:
        return f"{self.doi}v{self.version}"

    @property
    def title(self) -> str:
        return f"How <em>E. coli</em> number {self.number} &amp; others move"

    @property
    def path(self) -> str:
        return f"/content/{self.server}/early/{self.posted:%Y/%m/%d}/{self.doi.partition('/')[2]}.source.xml"

    def row(self) -> dict[str, object]:
        return {
            "title": self.title,
            "authors": "Author, A.; Writer, B.",
            "author_corresponding": "A. Author",
            "author_corresponding_institution": "A University",
            "doi": self.doi,
            "date": self.posted.isoformat(),
            "version": str(self.version),
            "type": self.kind,
            "license": self.license,
            "category": self.category,
            "jatsxml": f"https://www.{self.server}.org{self.path}" if self.has_address else "",
            "abstract": self.abstract,
            "funding": "NA",
            "published": "NA",
            "server": self.server,
        }

    def file(self) -> bytes:
        stated = self.license if self.stated_license == "same" else self.stated_license
        license = f'<license xlink:href="{_ADDRESSES[stated]}"><p>Licensed.</p></license>' if stated else ""
        body = self.xml
        if body is None:
            paragraphs = "".join(f"<p>{escape(text)}</p>" for text in self.paragraphs)
            body = f'<body><sec id="s1"><title>Introduction</title>{paragraphs}</sec></body>'
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving DTD v1.2//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML" article-type="article">
<front><journal-meta><journal-title>{self.server}</journal-title></journal-meta><article-meta>
<article-id pub-id-type="doi">{self.doi}</article-id><article-version>1.{self.version}</article-version>
<title-group><article-title>How <italic>E. coli</italic> number {self.number} &amp; others move</article-title></title-group>
<contrib-group><contrib><name><surname>Author</surname><given-names>A</given-names></name></contrib></contrib-group>
<permissions><copyright-statement>© 2026</copyright-statement>{license}</permissions>
<abstract><title>Abstract</title><p>{escape(self.abstract)}</p></abstract></article-meta></front>
{body}<back><ref-list><title>References</title><ref><mixed-citation>Somebody. 2020.</mixed-citation></ref></ref-list>
</back></article>""".encode()


def biorxiv_site(preprints: Sequence[Preprint]) -> Site:
    """The API's host, and the servers' with robots.txt and the files."""
    files = {(f"www.{preprint.server}.org", preprint.path): preprint for preprint in preprints}

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            text = "User-agent: *\nCrawl-delay: 7\nDisallow: /search\n" if request.host != API_HOST else ""
            return Reply(text.encode(), 200 if text else 404, {"Content-Type": "text/plain"})
        if request.host == API_HOST:
            return _listing(request.path, preprints)
        preprint = files.get((request.host, request.path))
        if preprint is None:
            return Reply(b"<html><body>Not found</body></html>", 404)
        return Reply(preprint.file(), headers={"Content-Type": "application/xml"})

    return site


def _listing(path: str, preprints: Sequence[Preprint]) -> Reply:
    _, endpoint, server, since, until, cursor, form = path.split("/")
    assert (endpoint, form) == ("details", "json")
    rows = [
        preprint.row()
        for preprint in preprints
        if preprint.server == server and since <= preprint.posted.isoformat() <= until
    ]
    part = rows[int(cursor) : int(cursor) + PAGE_SIZE]
    message: dict[str, object] = {"status": "no posts found"}
    if part:
        message = {
            "status": "ok",
            "interval": f"{since}:{until}",
            "cursor": cursor,
            "count": len(part),
            "count_new_papers": str(len(rows)),
            "total": str(len(rows)),
        }
    return Reply(json.dumps({"messages": [message], "collection": part}).encode())
