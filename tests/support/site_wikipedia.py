"""Wikipedias for tests: the action API's answers in the shapes of MediaWiki 1.45 with ``formatversion=2``.

Shapes after ApiQueryLogEvents, ApiQueryRevisions, ApiQueryUsers and ApiParse of the MediaWiki source, and
the markup that Wikipedia's templates and extensions wrap around articles.
"""
# ruff: noqa: E501  (markup and phrases are easier to read unbroken)

import dataclasses
import datetime as dt
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.replay import Reply, Request, Site
from tests.support.site_news import prose

ROBOTS = (
    b"User-agent: *\nAllow: /w/api.php?action=mobileview&\nAllow: /w/load.php?\n"
    b"Disallow: /w/\nDisallow: /api/\nDisallow: /wiki/Special:\n"
)


@dataclasses.dataclass(frozen=True)
class WikiPage:
    """A page as its first revision has it, and what became of it."""

    language: str
    revision: int
    title: str
    created_at: dt.datetime
    user: str = "Writer"
    paragraphs: tuple[str, ...] = ()
    formula: str | None = None
    size: int = 6000
    kind: str = "article"
    """article, redirect or disambiguation."""
    fate: str | None = None
    """deleted, moved (out of the articles) or hidden (its log entry)."""
    revision_at: dt.datetime | None = None
    """When the revision says that it was saved; None: with the log."""

    @property
    def text(self) -> str:
        """What is to be found in the page, line by line."""
        formula = [rf"\({self.formula}\)"] if self.formula else []
        return "\n".join([*self.paragraphs, _heading(self.language), *formula, _ITEM])


_ITEM = "An item of a list that belongs to the article."
_HEADINGS = {
    "en": "History",
    "zh": "历史",
    "ru": "История",
    "ar": "تاريخ",
    "hi": "इतिहास",
    "ja": "歴史",
    "es": "Historia",
}


def _heading(language: str) -> str:
    return _HEADINGS.get(language, "History")


def wiki_page(language: str, number: int, created_at: dt.datetime, **changes: Any) -> WikiPage:
    fields: dict[str, Any] = {
        "revision": 1_000_000 + number,
        "title": f"Subject {number} / {language}",
        "created_at": created_at,
        "paragraphs": prose(language if language in _HEADINGS else "en", 5000 + number),
    }
    return WikiPage(language, **{**fields, **changes})


def rendered(page: WikiPage) -> str:
    """The revision's HTML as ``action=parse`` gives it."""
    if page.kind == "redirect":
        return (
            '<div class="mw-content-ltr mw-parser-output" lang="en" dir="ltr"><div class="redirectMsg"><p>Redirect to:</p>'
            '<ul class="redirectText"><li><a href="/wiki/Target" title="Target">Target</a></li></ul></div></div>'
        )
    note = '<sup id="cite_ref-1" class="reference"><a href="#cite_note-1"><span class="cite-bracket">[</span>1<span class="cite-bracket">]</span></a></sup>'
    paragraphs = [
        f"<p>{html.escape(text[:20])}<b>{html.escape(text[20:24])}</b>{html.escape(text[24:])}{note}\n</p>"
        for text in page.paragraphs
    ]
    tex = f"{{\\displaystyle {page.formula}}}"
    formula = (
        '<dl><dd><span class="mwe-math-element mwe-math-element-inline"><span class="mwe-math-mathml-inline mwe-math-mathml-a11y" '
        'style="display: none;"><math xmlns="http://www.w3.org/1998/Math/MathML" '
        f'alttext="{html.escape(tex)}"><semantics><mrow><mi>E</mi><mo>=</mo></mrow><annotation encoding="application/x-tex">'
        f'{html.escape(tex)}</annotation></semantics></math></span><img src="https://wikimedia.org/api/rest_v1/media/math/render/svg/0" '
        f'class="mwe-math-fallback-image-inline" aria-hidden="true" alt="{html.escape(tex)}"></span></dd></dl>'
        if page.formula
        else ""
    )
    return f"""<div class="mw-content-ltr mw-parser-output" lang="{page.language}" dir="ltr">
<div class="shortdescription nomobile noexcerpt noprint searchaux" style="display:none">Short description of a subject</div>
<style data-mw-deduplicate="TemplateStyles:r1">.mw-parser-output .hatnote{{font-style:italic}}</style>
<div role="note" class="hatnote navigation-not-searchable">For other uses, see <a href="/wiki/X">Subject (disambiguation)</a>.</div>
<table class="box-Unreferenced plainlinks metadata ambox ambox-content" role="presentation"><tbody><tr><td>This article does not cite any sources.</td></tr></tbody></table>
<table class="infobox vcard"><tbody><tr><th colspan="2">Subject</th></tr><tr><th>Founded</th><td>1998</td></tr></tbody></table>
<figure class="mw-default-size" typeof="mw:File/Thumb"><a href="/wiki/File:X.jpg"><img src="x.jpg"></a><figcaption>A caption of a picture</figcaption></figure>
{"".join(paragraphs[:3])}
<meta property="mw:PageProp/toc">
<div class="mw-heading mw-heading2"><h2 id="History">{_heading(page.language)}</h2></div>
{formula}<ul><li>{_ITEM}</li></ul>
{"".join(paragraphs[3:])}
<div class="mw-heading mw-heading2"><h2 id="References">References</h2></div>
<div class="mw-references-wrap"><ol class="references"><li id="cite_note-1"><span class="mw-cite-backlink"><b><a href="#cite_ref-1">^</a></b></span> <span class="reference-text">Somebody (2020). A book.</span></li></ol></div>
<div class="mw-heading mw-heading2"><h2 id="External_links">External links</h2></div>
<ul><li><a rel="nofollow" class="external text" href="https://example.org/">Official website of the subject</a></li></ul>
<div class="navbox-styles"></div><div role="navigation" class="navbox" aria-labelledby="x"><table class="nowraplinks"><tbody><tr><td>Subjects of the world</td></tr></tbody></table></div>
<div class="asbox stub"><p>This article is a stub. You can help by expanding it.</p></div></div>"""


def wiki_site(
    pages: Sequence[WikiPage], bots: Sequence[str] = (), lag: dict[str, int] | None = None, limit: int = 500
) -> Site:
    """``LANGUAGE.wikipedia.org`` for all languages of some pages.

    Args:
        pages: in any order.
        bots: users with the bot flag.
        lag: host → how many more questions it answers with ``maxlag``; counted down.
        limit: the most log entries in one answer, whatever is asked for.
    """
    lag = {} if lag is None else lag

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            return Reply(ROBOTS, headers={"Content-Type": "text/plain"})
        if request.path != "/w/api.php":
            return Reply(b"", 404)
        query = request.query
        if query.get("format") != "json" or query.get("formatversion") != "2":
            return Reply(
                b"<!DOCTYPE html><html><body>MediaWiki API help</body></html>",
                headers={"Content-Type": "text/html"},
            )
        if "maxlag" in query and lag.get(request.host, 0):
            lag[request.host] -= 1
            return _error("maxlag", {"Retry-After": "5"})
        local_pages = [page for page in pages if f"{page.language}.wikipedia.org" == request.host]
        if query.get("action") == "parse":
            return _parse(local_pages, int(query["oldid"]))
        if query.get("list") == "logevents":
            return _log(local_pages, query, limit)
        return _revisions(local_pages, query, bots)

    return site


def _json(content: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Reply:
    body = json.dumps(content, ensure_ascii=False).encode()
    return Reply(body, headers={"Content-Type": "application/json; charset=utf-8", **headers})


def _error(code: str, headers: Mapping[str, str] = {}) -> Reply:
    content = {
        "errors": [{"code": code, "text": f"Error {code}.", "module": "main"}],
        "docref": "See the API's help.",
    }
    return _json(content, {"MediaWiki-API-Error": code, **headers})


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _log(pages: Sequence[WikiPage], query: Mapping[str, str], limit: int) -> Reply:
    assert query["letype"] == "create" and query["ledir"] == "newer" and query["lenamespace"] == "0"
    listed = sorted(
        (page for page in pages if query["lestart"] <= _stamp(page.created_at) <= query["leend"]),
        key=lambda page: (page.created_at, page.revision),
    )
    rows: list[tuple[str, dict[str, Any]]] = []
    for page in listed:
        mark = f"{page.created_at:%Y%m%d%H%M%S}|{page.revision}"
        row: dict[str, Any] = {"logid": page.revision, "timestamp": _stamp(page.created_at)}
        if page.fate == "hidden":
            row |= {"actionhidden": True, "userhidden": True}
        else:
            pageid = 0 if page.fate == "deleted" else page.revision
            row |= {
                "ns": 0,
                "title": page.title,
                "pageid": pageid,
                "logpage": page.revision,
                "revid": page.revision,
                "user": page.user,
            }
        rows.append((mark, row))
    start = next((i for i, (mark, _) in enumerate(rows) if mark == query.get("lecontinue")), 0)
    size = min(limit, int(query["lelimit"]))
    content: dict[str, Any] = {
        "batchcomplete": True,
        "query": {"logevents": [row for _, row in rows[start : start + size]]},
    }
    if start + size < len(rows):
        content = {"continue": {"lecontinue": rows[start + size][0], "continue": "-||"}, **content}
    return _json(content)


def _revisions(pages: Sequence[WikiPage], query: Mapping[str, str], bots: Sequence[str]) -> Reply:
    by_revision = {page.revision: page for page in pages}
    numbers = [int(number) for number in query["revids"].split("|")]
    assert len(numbers) <= 50
    listed, bad = [], {}
    for number in numbers:
        page = by_revision.get(number)
        if page is None or page.fate == "deleted":
            bad[str(number)] = {"revid": number, "missing": True}
            continue
        revision = {
            "revid": number,
            "parentid": 0,
            "timestamp": _stamp(page.revision_at or page.created_at),
            "size": page.size,
            "tags": ["mw-new-redirect"] if page.kind == "redirect" else ["visualeditor"],
        }
        ns = 118 if page.fate == "moved" else 0
        listed.append({"pageid": number, "ns": ns, "title": page.title, "revisions": [revision]})
    content: dict[str, Any] = {"pages": listed}
    if bad:
        content["badrevids"] = bad
    users = [name for name in query.get("ususers", "").split("|") if name]
    if users:
        content["users"] = [
            {"userid": 1, "name": name, "groups": ["bot", "*", "user"] if name in bots else ["*", "user"]}
            for name in users
        ]
    return _json({"batchcomplete": True, "query": content})


def _parse(pages: Sequence[WikiPage], revision: int) -> Reply:
    page = next((page for page in pages if page.revision == revision), None)
    if page is None or page.fate == "deleted":
        return _error("nosuchrevid")
    properties = (
        {"disambiguation": ""}
        if page.kind == "disambiguation"
        else {"wikibase-shortdesc": "Short description"}
    )
    parsed = {
        "title": page.title,
        "pageid": revision,
        "revid": revision,
        "text": rendered(page),
        "properties": properties,
    }
    return _json({"parse": parsed})
