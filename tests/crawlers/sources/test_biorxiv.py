"""The bioRxiv source, and whole crawls of an API that answers as bioRxiv's does."""

import dataclasses
import datetime as dt
import itertools
import json
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit_crawlers.source import Candidate, Drop, FetchRefused
from evalkit_crawlers.sources.biorxiv import BiorxivSource, abstract_text, command
from evalkit_crawlers.text.jats import NO_BODY
from tests.support.crawling import crawl_from, reasons
from tests.support.direct import WINDOW, DirectGet, capture
from tests.support.replay import FakeClock, Reply, Request, serve
from tests.support.site_biorxiv import API_HOST, Preprint, biorxiv_site, hosts
from tests.support.toy_source import prose

KEPT = "kept"
ABSTRACT_ONLY = "license allows the abstract only"
OUTSIDE = "published outside of the window"


def preprint(number: int, **changes: Any) -> Preprint:
    paragraphs = tuple(prose(f"{number} {part}") for part in range(3))
    unchanged = Preprint(number, paragraphs, f"{prose(f'abstract {number}')}", server="biorxiv")
    return dataclasses.replace(unchanged, **changes)


def planted() -> tuple[list[Preprint], dict[str, str], dict[str, str]]:
    """300 postings, and what becomes of texts and of abstracts."""
    postings: list[Preprint] = []
    texts: dict[str, str] = {}
    abstracts: dict[str, str] = {}

    def plant(count: int, outcome: str, of_abstract: str | None, **changes: Any) -> None:
        for _ in range(count):
            number = len(postings) + 1
            day = dt.date(2026, 11, 1 + number % 15)
            posting = preprint(number, **{"posted": day, **changes})
            if outcome == "near-duplicate":
                paragraphs = postings[number - 251].paragraphs
                posting = dataclasses.replace(posting, posted=dt.date(2026, 11, 15), paragraphs=paragraphs)
            postings.append(posting)
            texts[posting.id] = outcome
            if of_abstract:
                abstracts[f"{posting.id}-abstract"] = of_abstract

    plant(120, KEPT, KEPT)
    plant(30, KEPT, KEPT, license="cc0")
    plant(40, ABSTRACT_ONLY, KEPT, license="cc_by_nc_nd")
    plant(20, "no license that allows reuse", KEPT, license="cc_no")
    plant(10, "no license that allows reuse", KEPT, license="none")
    plant(20, "not the first version", None, version=2)
    plant(10, "withdrawn", None, kind="Withdrawn")
    plant(10, "near-duplicate", KEPT)
    plant(10, NO_BODY, KEPT, xml="<body></body>")
    plant(5, "listing and article disagree on the license", KEPT, stated_license="cc_by_nc_nd")
    plant(5, "no XML of the full text", KEPT, has_address=False)
    plant(5, KEPT, "no abstract", abstract=" ")
    plant(5, KEPT, "shorter than 500 bytes", abstract="It is short.")
    plant(5, "not well-formed XML", KEPT, xml="<body><sec><p>Cut of")
    plant(5, KEPT, "abstract with the server's own marks", abstract=f"O_FIG {prose('marks')}")
    return postings, texts, abstracts


@pytest.mark.slow
def test_three_hundred_postings() -> None:
    postings, texts, abstracts = planted()
    assert len(postings) == 300
    # What the API lists for other days is asked for by nobody.
    elsewhere = [preprint(900, posted=dt.date(2026, 10, 31)), preprint(901, posted=dt.date(2026, 11, 16))]
    with serve(biorxiv_site([*postings, *elsewhere]), hosts(), FakeClock()) as server:
        full, short = crawl_from(server, BiorxivSource())
        requests, most_open = server.requests(), dict(server.most_open)
        times = [entry.time_s for entry in server.log if entry.request.host == "www.biorxiv.org"]
        listing_times = [entry.time_s for entry in server.log if entry.request.host == API_HOST]
    for crawled, expected in ((full, texts), (short, abstracts)):
        outcome = {**reasons(crawled), **{document.id: KEPT for document in crawled.corpus.documents}}
        assert outcome == expected
    assert dict(full.corpus.manifest.licenses) == {"CC-BY-4.0": 135, "CC0-1.0": 30}
    assert short.corpus.name == f"{full.corpus.name}-abstracts"
    assert short.corpus.manifest.licenses["CC-BY-NC-ND-4.0"] == 40
    assert short.corpus.manifest.licenses["unknown"] == 30
    assert most_open == {API_HOST: 1, "www.biorxiv.org": 1}
    assert [request.path for request in requests if request.host == API_HOST] == [
        f"/details/biorxiv/2026-11-01/2026-11-15/{cursor}/json" for cursor in (0, 100, 200)
    ]
    fetched = [request.path for request in requests if request.path.endswith(".xml")]
    # None whose license keeps it from being republished, and each once.
    assert len(fetched) == len(set(fetched)) == 195
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 7, "as robots.txt says"
    assert min(later - earlier for earlier, later in itertools.pairwise(listing_times)) >= 2
    document = full.corpus.documents[0]
    first = next(posting for posting in postings if posting.id == document.id)
    title = f"How E. coli number {first.number} & others move"
    blocks = [title, "Abstract", first.abstract, "Introduction", *first.paragraphs]
    assert document.text == "\n\n".join(blocks)
    assert document.url == f"https://www.biorxiv.org/content/{first.id}"
    assert document.title == title
    assert document.published_at == f"{first.posted}T12:00:00Z" and document.source_version == "v1"


def entries(*answers: object) -> list[Candidate | Drop]:
    replies = iter(answers)
    get = DirectGet(lambda request: Reply(json.dumps(next(replies)).encode()))
    return list(BiorxivSource().discover(WINDOW, get))


def listing(*rows: dict[str, object], total: object = None) -> dict[str, object]:
    return {
        "messages": [{"status": "ok", "total": len(rows) if total is None else total}],
        "collection": list(rows),
    }


def test_a_posting_is_two_candidates() -> None:
    text, abstract = entries(listing(preprint(7).row()))
    assert isinstance(text, Candidate) and isinstance(abstract, Candidate)
    assert (text.id, text.license, text.corpus, text.text) == (
        "10.1101/2026.11.01.000007v1",
        "CC-BY-4.0",
        "",
        None,
    )
    assert text.url == "https://www.biorxiv.org/content/biorxiv/early/2026/11/05/2026.11.01.000007.source.xml"
    assert (abstract.corpus, abstract.stratum) == ("abstracts", "neuroscience")


def test_numbers_of_the_api_may_be_texts_or_numbers() -> None:
    row = preprint(7).row() | {"version": 1}
    assert len(entries(listing(row, total="1"))) == len(entries(listing(row, total=1))) == 2


def test_what_a_row_lacks_is_a_reason() -> None:
    changes: list[tuple[dict[str, object], str]] = [
        ({"doi": ""}, "listed without DOI"),
        ({"doi": "10.1101/a b"}, "listed without DOI"),
        ({"date": "2026-11-31"}, "listed without a date"),
        ({"date": None}, "listed without a date"),
        ({"date": "2026-10-31"}, OUTSIDE),
        ({"version": None}, "listed without a version"),
    ]
    for change, reason in changes:
        [drop] = entries(listing(preprint(7).row() | change))
        assert isinstance(drop, Drop) and drop.reason == reason and " " not in drop.id
    drop, _ = entries(listing(preprint(7).row() | {"jatsxml": "https://elsewhere.example/a.xml"}))
    assert isinstance(drop, Drop) and drop.reason == "no XML of the full text"


def test_a_listing_is_followed_to_its_end_and_no_further() -> None:
    rows = [preprint(number).row() for number in range(1, 6)]
    listed = entries(listing(*rows[:3], total="5"), listing(*rows[3:], total="5"))
    assert len(listed) == 10
    # It says that there are more, and then that there are none.
    nothing = {"messages": [{"status": "no posts found"}], "collection": []}
    assert len(entries(listing(*rows[:3], total="9"), nothing)) == 6
    assert entries(nothing) == []


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"collection": []},
        {"messages": [], "collection": []},
        {"messages": [{"status": "ok", "total": "many"}], "collection": []},
        {"messages": [{"status": "ok", "total": 1}], "collection": ["row"]},
        {"messages": [{"status": "ok", "total": 1}]},
        {"messages": [{"status": "error: database"}], "collection": []},
    ],
)
def test_an_answer_that_is_none_is_refused(answer: object) -> None:
    with pytest.raises(FetchRefused, match=r"answer is not the API's|the API says error: database"):
        entries(answer)


def test_the_servers_marks_in_abstracts() -> None:
    text = "O_ST_ABSBackground &amp; aimsC_ST_ABSWe <i>did</i> it. O_LIFirst, p < 0.05.C_LI O_LISecond.C_LI"
    assert abstract_text(text) == "Background & aims\n\nWe did it.\n\nFirst, p < 0.05.\n\nSecond."


def test_half_a_character_in_the_listing_stops_nothing() -> None:
    """JSON can hold it, UTF-8 and so a corpus cannot."""
    site = biorxiv_site([preprint(1), preprint(2), preprint(3)])

    def broken(request: Request) -> Reply:
        reply = site(request)
        body = reply.body.replace(b"number 1 ", b"number \\ud800 ").replace(b'"neuroscience"', b'"\\udfff"')
        return dataclasses.replace(reply, body=body.replace(b'"abstract": "', b'"abstract": "\\udc80', 1))

    with serve(broken, hosts(), FakeClock()) as server:
        full, short = crawl_from(server, BiorxivSource())
    assert {document.title for document in full.corpus.documents} == {
        *("How E. coli number ? & others move", "How E. coli number 2 & others move"),
        "How E. coli number 3 & others move",
    }
    assert reasons(short) == {f"{preprint(1).id}-abstract": "text with half a character"}


def test_a_file_of_another_article_is_dropped() -> None:
    text, _ = entries(listing(preprint(7).row()))
    assert isinstance(text, Candidate)
    result = BiorxivSource().extract(text, capture(preprint(8).file(), "application/xml"))
    assert result == Drop(text.id, "XML of another article")


def test_unknown_servers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown server 'bioarxiv'. Did you mean biorxiv"):
        command(since="2026-11-01", until="2026-11-15", server="bioarxiv")
