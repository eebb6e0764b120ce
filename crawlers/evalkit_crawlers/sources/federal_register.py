"""The Federal Register of the United States: rules, proposed rules, notices, presidential documents by day.

Listed by the API of federalregister.gov (https://www.federalregister.gov/developers/documentation/api/v1),
which needs no key, day by day: of one question it shows 2,000 results at most, and a day has a few hundred.
The text is that of the XML that it names, in the vocabulary of the Government Publishing Office
(https://github.com/usgpo/bulk-data/blob/main/FR-XML_User-Guide.md). Works of the United States' government
are in the public domain (17 U.S.C. § 105; the same guide, 1.2).
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from evalkit.corpora.licenses import PUBLIC_DOMAIN
from evalkit.files import parse_json
from evalkit_crawlers.source import Candidate, Capture, CrawlWindow, Drop, FetchRefused, Get
from evalkit_crawlers.text.xml_text import (
    Structures,
    line_of,
    local_name,
    names,
    parse_xml,
    script_of,
    text_of,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

NAME = "us"
HOST = "www.federalregister.gov"
API = f"https://{HOST}/api/v1/documents.json"
PAGE_SIZE = 1000
MAX_PAGES = 2
"""What the API shows of one question: 2,000 results."""
NOT_AN_ANSWER = "answer is not the API's"
VERSION = 1
"""Counts up with every change of the text that comes out."""

_FIELDS = (
    *("document_number", "title", "type", "publication_date", "agency_names"),
    *("full_text_xml_url", "html_url"),
)
_NUMBER = re.compile(r"[A-Za-z0-9-]{3,30}")
_ROOTS = {"RULE", "PRORULE", "NOTICE", "PRESDOC", "PRESDOCU", "CORRECT"}
_STARS = "* * * * *"


def discover(window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
    """The documents of each day of the window, oldest first.

    Raises:
        FetchRefused: a listing cannot be had, or has more than the API shows.
    """
    day = window.since
    while day <= window.until:
        for row in _rows(day, get):
            yield _candidate(row, day)
        day += dt.timedelta(days=1)


def question(day: dt.date, page: int) -> str:
    """The address of a page of a day's listing."""
    parameters = [
        ("conditions[publication_date][is]", day.isoformat()),
        *(("fields[]", field) for field in _FIELDS),
        ("order", "oldest"),
        ("per_page", str(PAGE_SIZE)),
        ("page", str(page)),
    ]
    return f"{API}?{urlencode(parameters)}"


def _rows(day: dt.date, get: Get) -> Iterator[Mapping[str, object]]:
    for page in range(1, MAX_PAGES + 1):
        try:
            answer = parse_json(get(question(day, page), accept="application/json", revalidate=True).body)
        except ValueError:
            raise FetchRefused(NOT_AN_ANSWER) from None
        count = answer.get("count") if isinstance(answer, dict) else None
        if not isinstance(count, int):
            raise FetchRefused(NOT_AN_ANSWER)
        if count > PAGE_SIZE * MAX_PAGES:
            raise FetchRefused(f"more than {PAGE_SIZE * MAX_PAGES} documents on {day}")
        rows = answer.get("results") or []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FetchRefused(NOT_AN_ANSWER)
        yield from rows
        if page * PAGE_SIZE >= count:
            return


def _candidate(row: Mapping[str, object], day: dt.date) -> Candidate | Drop:
    number = row.get("document_number")
    if not isinstance(number, str) or not _NUMBER.fullmatch(number):
        return Drop(f"us-{day}-unknown", "listed without number", NAME)
    id = f"us-{number}"
    if row.get("publication_date") != day.isoformat():
        return Drop(id, "listed under another day", NAME)
    address, page = row.get("full_text_xml_url"), str(row.get("html_url"))
    if not isinstance(address, str) or not address.startswith(f"https://{HOST}/"):
        return Drop(id, "no XML", NAME)
    agencies = row.get("agency_names")
    title, kind = row.get("title"), row.get("type")
    return Candidate(
        id=id,
        url=address,
        published_at=dt.datetime.combine(day, dt.time(12), dt.UTC),
        license=PUBLIC_DOMAIN,
        title=line_of(title) if isinstance(title, str) else None,
        language="en",
        stratum=f"{NAME} {kind}",
        corpus=NAME,
        cluster=f"{HOST}/{agencies[0]}" if isinstance(agencies, list) and agencies else HOST,
        attributes={"page": page if page.startswith(f"https://{HOST}/") else address},
    )


def text_of_document(capture: Capture) -> str:
    """The text of a document's XML; empty where it has none.

    Raises:
        FetchRefused: it is no document of the Register.
    """
    root = parse_xml(capture.body)
    if local_name(root) not in _ROOTS:
        raise FetchRefused("not a document of the Federal Register")
    return text_of(root, _STRUCTURES)


def _superscript(element: "_Element") -> str:
    following = element.getnext()
    is_mark = following is not None and local_name(following) == "FTREF"
    is_note = any(local_name(parent) == "FTNT" for parent in element.iterancestors())
    return "" if is_mark or is_note else script_of(element, "sup")


def _emphasis(element: "_Element") -> str:
    """Type faces 51 and 52 are superscripts and subscripts; all others are only set off."""
    kind = {"51": "sup", "52": "sub"}.get(str(element.get("T")))
    if kind:
        return script_of(element, kind)
    return text_of(element, _STRUCTURES._replace(special={"SU": _superscript}))


_STRUCTURES = Structures(
    blocks=names(
        "RULE PRORULE NOTICE PRESDOC PRESDOCU CORRECT PREAMB AGENCY SUBAGY CFR DEPDOC RIN SUBJECT AGY "
        "ACT SUM DATES EFFDATE ADD FURINF PREAMHD SUPLINF HD P FP LSTSUB REGTEXT AMDPAR PART SUBPART "
        "SUBCHAP CHAPTER CONTENTS SECTION SECHD AUTH SOURCE EXTRACT NOTE EXAMPLE APPENDIX SIG NAME "
        "TITLE DATED PRIACT GPOTABLE TTITLE TDESC TNOTE MATH FTNT PROCLA EXECORD EXECORDR DETERM "
        "PRNOTICE PRMEMO PROC PRES TITLE3 PSIG PLACE DATE HDR BULLET LDRWK"
    ),
    lines=names("ROW BOXHD LI"),
    cells=names("ENT CHED"),
    labels=names("SECTNO"),
    inline=names("E AC URL"),
    special={"SU": _superscript, "E": _emphasis},
    displays={"STARS": lambda _: _STARS},
)
