"""The arXiv source: which papers become candidates, which are dropped and why, and what their texts say."""

import dataclasses
import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.source import Candidate, CrawlWindow, Drop, Extracted, FetchRefused
from evalkit_crawlers.sources.arxiv import ArxivSource
from evalkit_crawlers.sources.arxiv_taxonomy import ARCHIVES, CATEGORIES, parse_categories, set_spec
from tests.crawlers.sources.test_oai import KeepingGet
from tests.support import site_arxiv
from tests.support.crawling import crawl_from
from tests.support.replay import FakeClock, serve
from tests.support.site_arxiv import ARXIV_HOSTS, ARXIV_ONLY, CC_BY, CC_BY_NC_ND, Paper
from tests.support.toy_source import prose

WINDOW = CrawlWindow(dt.date(2026, 11, 1), dt.date(2026, 11, 15))
BODY = site_arxiv.section("1", "Words", site_arxiv.paragraph("The words of the paper."))


def at(month: int, day: int, hour: int = 12, minute: int = 0, second: int = 0) -> dt.datetime:
    return dt.datetime(2026, month, day, hour, minute, second, tzinfo=dt.UTC)


def paper(number: int, **changes: Any) -> Paper:
    unchanged = Paper(f"2611.{number:05}", f"Paper\n  {number}", "It is short.", BODY, at(11, 3))
    return dataclasses.replace(unchanged, **changes)


def discover(*papers: Paper, categories: tuple[str, ...] = ()) -> list[Candidate | Drop]:
    source = ArxivSource(categories)
    return list(source.discover(WINDOW, KeepingGet(site_arxiv.arxiv_site(papers, page_size=3))))


def drops(entries: list[Candidate | Drop]) -> dict[str, str]:
    return {drop.id: drop.reason for drop in entries if isinstance(drop, Drop)}


def candidates(entries: list[Candidate | Drop]) -> dict[str, Candidate]:
    return {candidate.id: candidate for candidate in entries if isinstance(candidate, Candidate)}


def extract(served_paper: Paper, page: bytes | None = None) -> Extracted | Drop:
    get = KeepingGet(lambda request: site_arxiv.Reply(page if page is not None else served_paper.page()))
    candidate = candidates(discover(served_paper))[f"{served_paper.id}v1"]
    return ArxivSource().extract(candidate, get(candidate.url))


def test_a_paper_is_two_candidates_its_text_and_its_abstract() -> None:
    text, abstract = discover(paper(7, abstract="It is\n  short.\n  New <paragraph>."))
    assert text == Candidate(
        id="2611.00007v1",
        url="https://arxiv.org/html/2611.00007v1",
        published_at=at(11, 3),
        license="CC-BY-4.0",
        title="Paper 7",
        stratum="cs.CL",
        attributes={"source_version": "v1"},
    )
    assert abstract == Candidate(
        id="2611.00007v1-abstract",
        url="https://arxiv.org/abs/2611.00007v1",
        published_at=at(11, 3),
        license="CC0-1.0",
        title="Paper 7",
        stratum="cs.CL",
        corpus="abstracts",
        text="It is\n\nshort.\n\nNew <paragraph>.",
        attributes={"source_version": "v1"},
    )


def test_line_breaks_of_an_abstract_are_none() -> None:
    _, abstract = discover(paper(7, abstract="It is\nshort and\nbroken."))
    assert isinstance(abstract, Candidate)
    assert abstract.text == "It is short and broken."


def test_the_first_versions_date_decides_to_the_second() -> None:
    entries = discover(
        paper(1, first=at(10, 31, 23, 59, 59)),
        paper(2, first=at(11, 1, 0)),
        paper(3, first=at(11, 15, 23, 59, 59)),
        paper(4, first=at(11, 16, 0)),
        paper(5, first=at(2, 1), revisions=(at(11, 5),)),
        paper(6, first=at(11, 5), changed=dt.date(2026, 11, 19)),
    )
    assert {id for id in candidates(entries) if id.endswith("v1")} == {
        "2611.00002v1",
        "2611.00003v1",
        "2611.00006v1",
    }
    assert drops(entries) == dict.fromkeys(
        ["2611.00001v1", "2611.00004v1", "2611.00005v1"], "published outside of the window"
    )


def test_a_revision_is_reduced_to_the_first_version() -> None:
    revised = paper(1, revisions=(at(11, 8), at(11, 14)), license=CC_BY, first_license=ARXIV_ONLY)
    entries = discover(revised)
    assert candidates(entries).keys() == {"2611.00001v1"}
    assert drops(entries) == {"2611.00001v1-abstract": "abstract of a later version"}
    candidate = candidates(entries)["2611.00001v1"]
    assert candidate.published_at == at(11, 3)
    assert candidate.license is None, "the listing tells the last version's license"
    extracted = extract(revised)
    assert isinstance(extracted, Extracted)
    assert extracted.candidate.license == "LicenseRef-arXiv-nonexclusive-distrib"
    assert extracted.text.endswith("The words of the paper.")


def test_a_page_of_another_version_is_dropped() -> None:
    revised = paper(1, revisions=(at(11, 8),))
    assert extract(revised, revised.page(2)) == Drop("2611.00001v1", "HTML of another version")


@pytest.mark.parametrize(
    ("label", "license"),
    [
        (CC_BY, "CC-BY-4.0"),
        (CC_BY_NC_ND, "CC-BY-NC-ND-4.0"),
        (ARXIV_ONLY, "LicenseRef-arXiv-nonexclusive-distrib"),
        (None, None),
    ],
)
def test_licenses_of_listing_and_page(label: str | None, license: str | None) -> None:
    single = paper(1, license=label, first_license=label)
    assert candidates(discover(single))["2611.00001v1"].license == license
    revised = extract(paper(1, first_license=label, revisions=(at(11, 9),)))
    assert isinstance(revised, Extracted)
    assert revised.candidate.license == license


def test_categories_select_by_the_primary_one() -> None:
    entries = discover(
        paper(1, categories="cs.CL cs.LG"),
        paper(2, categories="stat.ML cs.CL"),
        paper(3, categories="physics.optics"),
        paper(4, categories="math.AG"),
        paper(5, categories="cs.LG cs.CL"),
        categories=("cs.CL", "cs.LG", "physics"),
    )
    assert [candidate.id for candidate in entries if isinstance(candidate, Candidate)] == [
        "2611.00001v1",
        "2611.00001v1-abstract",
        "2611.00005v1",
        "2611.00005v1-abstract",
        "2611.00003v1",
        "2611.00003v1-abstract",
    ]
    assert drops(entries) == {"2611.00002v1": "primary category is another one"}, (
        "math.AG was not even listed"
    )


def test_what_cannot_be_a_paper_is_dropped_with_a_reason() -> None:
    entries = discover(paper(1, deleted=True), paper(2, source_type="I"), paper(3, categories=""))
    assert drops(entries) == {
        "2611.00001": "deleted",
        "2611.00002v1": "withdrawn",
        "2611.00003": "listed without id, category or the first version's date",
    }


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Tue, 03 Nov 2026 12:00:00", "Tue, 99 Nov 2026 12:00:00 GMT"]
)
def test_a_paper_without_a_date_is_dropped(date: str) -> None:
    body = site_arxiv.list_of([paper(1)]).replace(b"Tue, 03 Nov 2026 12:00:00 GMT", date.encode())
    get = KeepingGet(lambda request: site_arxiv.Reply(body))
    (drop,) = ArxivSource().discover(WINDOW, get)
    assert drop == Drop("2611.00001", "listed without id, category or the first version's date")


def test_old_identifiers() -> None:
    old = paper(1, id="math/0211159", categories="math.DG")
    assert candidates(discover(old))["math/0211159v1"].url == "https://arxiv.org/html/math/0211159v1"
    assert isinstance(extract(old), Extracted)


def test_a_page_that_is_no_paper_is_a_drop() -> None:
    without_html = paper(1)
    assert extract(without_html, site_arxiv.no_html_page("2611.00001v1")) == Drop(
        "2611.00001v1", "no HTML version"
    )


def test_the_same_listing_gives_the_same_candidates() -> None:
    papers = [paper(number, first=at(11, 1 + number % 14)) for number in range(30)]
    assert discover(*papers) == discover(*reversed(papers))


def test_a_window_before_the_servers_first_day_is_listed_from_that_day() -> None:
    get = KeepingGet(site_arxiv.arxiv_site([paper(1)]))
    list(ArxivSource().discover(CrawlWindow(dt.date(1999, 1, 1), dt.date(1999, 2, 1)), get))
    assert "from=2005-09-16" in get.requested_urls[0]


def test_fields_are_corpora_of_their_own(tmp_path: Path) -> None:
    """In one crawl, each paper in the corpora of its primary category's field and in no other."""
    categories = {
        "cs": "cs.CL math.CO",
        "math": "math.CO cs.DM",
        "physics": "hep-th math-ph",
        "econ": "econ.EM",
    }
    papers = [
        paper(
            10 * number + count,
            categories=names,
            title=f"{field} {count}",
            abstract=prose(f"{field} abstract {count}"),
            body=site_arxiv.section("1", "Words", site_arxiv.paragraph(prose(f"{field} {count}"))),
        )
        for number, (field, names) in enumerate(categories.items())
        for count in range(3)
    ]
    papers += [
        paper(50, categories="stat.ML", first=at(10, 1), revisions=(at(11, 5),)),
        paper(51, categories="cs.LG", first=at(10, 1), revisions=(at(11, 5),)),
        paper(52, deleted=True),
    ]
    lines: list[str] = []
    with serve(site_arxiv.arxiv_site(papers), ARXIV_HOSTS, FakeClock()) as server:
        crawled = crawl_from(server, ArxivSource(by_field=True), output=tmp_path, lines=lines)
        num_requests = len(server.log)
        together, _ = crawl_from(server, ArxivSource(), output=tmp_path, name="together")
        assert len(server.log) == num_requests, "a crawl of all goes on with what one by field fetched"
    by_name = {entry.corpus.name.removeprefix("arxiv-2026-11-01-2026-11-15-"): entry for entry in crawled}
    assert list(by_name) == [
        *("cs", "cs-abstracts", "econ", "econ-abstracts", "math", "math-abstracts"),
        *("physics", "physics-abstracts"),
    ]
    for name, entry in by_name.items():
        assert {document.title for document in entry.corpus.documents} == {
            f"{name.partition('-')[0]} {count}" for count in range(3)
        }
    assert by_name["cs"].corpus.manifest.num_dropped == {"published outside of the window": 1}
    assert len(together.corpus.documents) == 12
    assert "dropped, of no corpus: 1 deleted, 1 published outside of the window" in "\n".join(lines)


def test_over_http_politely_and_once(tmp_path: Path) -> None:
    """Through the crawl's fetcher: arXiv's delays are kept, and a second run asks for nothing."""
    papers = [paper(number) for number in range(10)] + [paper(10, body=None)]
    clock, store = FakeClock(), CaptureStore(tmp_path)
    source = ArxivSource(("cs",))

    def crawl(fetcher: Fetcher) -> list[Extracted | Drop]:
        listed = [entry for entry in source.discover(WINDOW, fetcher.get) if isinstance(entry, Candidate)]
        texts: list[Extracted | Drop] = []
        for candidate in listed:
            if candidate.text is None:
                try:
                    texts.append(source.extract(candidate, fetcher.get(candidate.url)))
                except FetchRefused as refusal:
                    texts.append(Drop(candidate.id, refusal.reason))
        return texts

    with serve(site_arxiv.arxiv_site(papers, page_size=4), ARXIV_HOSTS, clock) as server:
        runs = []
        for _ in range(2):
            with Fetcher(
                store,
                "a crawl",
                contact="tests@example.org",
                endpoints=server.endpoints,
                allow_private_hosts=True,
                clock=clock,
            ) as fetcher:
                runs.append(crawl(fetcher))
        times = {
            host: [entry.time_s for entry in server.log if entry.request.host == host] for host in ARXIV_HOSTS
        }
        listed = [request.path for request in server.requests("oaipmh.arxiv.org")]
    assert runs[0] == runs[1]
    assert [type(entry) for entry in runs[0]] == [Extracted] * 10 + [Drop]
    assert listed == ["/oai"] * 3
    assert len(times["arxiv.org"]) == 12, "robots.txt and eleven pages"
    for host, delay_s in (("oaipmh.arxiv.org", 3), ("arxiv.org", 15)):
        assert all(later - earlier >= delay_s for earlier, later in itertools.pairwise(times[host]))


def test_categories_are_arxivs() -> None:
    """155 categories in 20 archives: https://arxiv.org/category_taxonomy."""
    assert (len(CATEGORIES), len(set(CATEGORIES)), len(ARCHIVES)) == (155, 155, 20)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ()),
        ("cs.CL", ("cs.CL",)),
        (" cs.LG, cs.CL,,cs.LG", ("cs.CL", "cs.LG")),
        ("physics,physics.optics,cs.CL,hep-th", ("cs.CL", "hep-th", "physics")),
        ("cs.NA,math.IT", ("cs.IT", "math.NA")),
        ("math-ph,math.MP,math", ("math", "math-ph")),
    ],
)
def test_categories_are_sorted_and_none_is_contained_in_another(
    text: str | None, names: tuple[str, ...]
) -> None:
    assert parse_categories(text) == names


def test_unknown_categories_are_named_in_one_line_with_near_ones() -> None:
    with pytest.raises(UsageError) as error:
        parse_categories("cs.cl,phisics,cs.LG,cs.XX")
    message = str(error.value)
    assert "'cs.cl' (did you mean cs.CL?), 'phisics' (did you mean physics" in message
    assert "'cs.XX' (did you mean cs." in message
    assert "\n" not in message
    with pytest.raises(UsageError, match="names none"):
        parse_categories(" , ")


def test_sets_are_named_as_arxivs_server_names_them() -> None:
    assert [
        set_spec(name) for name in ("cs", "cs.CL", "hep-th", "physics.optics", "astro-ph", "q-fin.ST")
    ] == [
        "cs:cs",
        "cs:cs:CL",
        "physics:hep-th",
        "physics:physics:optics",
        "physics:astro-ph",
        "q-fin:q-fin:ST",
    ]
