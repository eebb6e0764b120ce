"""Servers that refuse, break or are away in the middle of a crawl: what is stored and completed later."""

import datetime as dt
import json
from pathlib import Path

import pytest

from evalkit.corpora.incomplete import mark_corpus_scored
from evalkit.corpora.store import load_corpus, read_manifest, verify_corpus
from evalkit.errors import CrawlError
from evalkit_crawlers.crawling import crawl as crawling
from evalkit_crawlers.options import CommonOptions
from tests.support.crawling import CONTACT, crawl_from, parquet, reasons
from tests.support.replay import FakeClock, Reply, Request, Server, Site, serve
from tests.support.toy_source import WINDOW, ToySource, pages, prose, toy_site

HOSTS = ["listing.example", "pages.example", "other.example"]
NAME = "toy-2026-11-01-2026-11-15"
DAY = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


def angry_after(num_pages: int, inner: Site, reply: Reply) -> tuple[Site, list[bool]]:
    """A site whose pages.example answers so many pages, then ``reply`` as long as it is angry."""
    is_angry, num_served = [True], [0]

    def site(request: Request) -> Reply:
        if request.host == "pages.example" and request.path != "/robots.txt":
            num_served[0] += 1
            if is_angry[0] and num_served[0] > num_pages:
                return reply
        return inner(request)

    return site, is_angry


def num_pages_asked(server: Server, since: int = 0) -> int:
    requests = [entry.request for entry in server.log[since:]]
    return sum(request.host == "pages.example" and request.path != "/robots.txt" for request in requests)


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_host_that_begins_to_forbid_is_asked_three_times_and_the_next_day_completes_the_corpus(
    status: int,
) -> None:
    """From the fourth page on 403, as arXiv answers who comes too often."""
    inner = toy_site(pages(20, ["pages.example", "other.example"]))
    site, is_angry = angry_after(3, inner, Reply(status=status))
    with serve(site, HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
        assert num_pages_asked(server) == 3 + 3
        manifest = read_manifest(NAME)
        assert manifest.num_documents == 13 and reasons(crawled) == {}
        assert sum(manifest.incomplete.values()) == len(crawled.missing) == 7
        assert manifest.incomplete[f"pages.example: HTTP {status}, 3 times in a row"] >= 5
        lines = [json.loads(line) for line in (crawled.folder / "dropped.jsonl").read_text().splitlines()]
        assert {line["id"] for line in lines if line["missing"]} == {drop.id for drop in crawled.missing}
        is_angry[0] = False
        num_requests = len(server.log)
        (whole,) = crawl_from(server, ToySource())  # of the same hour: then the bytes are the same
        again = [entry.request for entry in server.log[num_requests:]]
    assert {request.host for request in again} == {"pages.example"}  # what others gave is kept
    assert num_pages_asked(server, num_requests) == 7
    assert verify_corpus(NAME) == [] and read_manifest(NAME).incomplete == {}
    assert (whole.folder / "dropped.jsonl").read_text() == ""
    with serve(inner, HOSTS) as server:
        (undisturbed,) = crawl_from(server, ToySource(), output=Path("undisturbed"))
    assert undisturbed.corpus.sha256 == whole.corpus.sha256
    assert parquet(undisturbed.folder) == parquet(whole.folder)
    stored = [
        json.loads((folder / "manifest.json").read_text()) for folder in (whole.folder, undisturbed.folder)
    ]
    for fields in stored:
        del fields["created"], fields["manifest_sha256"]
    assert stored[0] == stored[1]


def test_what_is_printed_names_an_incomplete_corpus_and_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    site, _ = angry_after(3, toy_site(pages(8)), Reply(status=403))
    with serve(site, HOSTS) as server:
        common = CommonOptions(
            WINDOW, contact=CONTACT, endpoints=server.endpoints, allow_private_hosts=True, name="storm"
        )
        clock = FakeClock()
        with (
            pytest.MonkeyPatch.context() as patched,
            pytest.raises(CrawlError, match=r"storm is incomplete .*HTTP 403, 3 times.*run the same command"),
        ):
            patched.setattr(crawling, "SystemClock", lambda: clock)
            crawling.run(ToySource(), common)
    assert "storm: 3 documents" in capsys.readouterr().out


@pytest.mark.parametrize("refresh", [False, True])
@pytest.mark.parametrize(
    "trouble",
    [
        Reply(status=403),
        Reply(status=500),
        Reply(prose(0).encode(), cut_after=9),
        Reply(drop=True),
        Reply(b"\x1f\x8b damaged", headers={"Content-Encoding": "gzip"}),
    ],
)
def test_a_page_in_trouble_is_asked_for_again_by_every_run(trouble: Reply, refresh: bool) -> None:
    documents = pages(6)
    with serve(toy_site(documents, {"/doc0002": trouble}), HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
        assert [drop.id for drop in crawled.missing] == ["doc0002"]
        (reason,) = read_manifest(NAME).incomplete
        assert reason.startswith("pages.example: ")
        server.site = toy_site(documents)
        (whole,) = crawl_from(server, ToySource(), refresh=refresh)
        assert whole.corpus.manifest.num_documents == 6 and read_manifest(NAME).incomplete == {}
        num_requests = len(server.log)
        (again,) = crawl_from(server, ToySource())
        assert again.corpus.sha256 == whole.corpus.sha256 and len(server.log) == num_requests


def test_an_unreadable_robots_txt_is_asked_again_with_the_pages_behind_it() -> None:
    special = {"/robots.txt": Reply(status=500)}
    documents = pages(8, HOSTS[1:])

    def site(request: Request) -> Reply:
        return toy_site(documents, special if request.host == "pages.example" else None)(request)

    with serve(site, HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
        assert len(crawled.missing) == 4 and crawled.corpus.manifest.num_documents == 4
        special.clear()
        (whole,) = crawl_from(server, ToySource())
    assert whole.corpus.manifest.num_documents == 8 and whole.missing == ()


def test_a_host_of_errors_is_left_alone_after_three_pages() -> None:
    site, _ = angry_after(2, toy_site(pages(30)), Reply(status=500))
    with serve(site, HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
    assert len(crawled.missing) == 28
    assert num_pages_asked(server) == 2 + 3 * 3  # each is tried three times


def test_what_is_refused_on_three_days_is_gone() -> None:
    with serve(toy_site(pages(4), {"/doc0002": Reply(status=500)}), HOSTS) as server:
        outcomes = []
        for days in (0, 0, 1, 2, 3):
            (crawled,) = crawl_from(server, ToySource(), clock=FakeClock(DAY + dt.timedelta(days)))
            outcomes.append((dict(crawled.corpus.manifest.incomplete), reasons(crawled)))
        asked = [entry.request.path for entry in server.log].count("/doc0002")
    incomplete, gone = ({"pages.example: HTTP 500": 1}, {}), ({}, {"doc0002": "HTTP 500"})
    assert outcomes == [incomplete, incomplete, incomplete, gone, gone]
    assert asked == 4 * 3


def test_an_incomplete_corpus_that_was_scored_stays_and_the_whole_one_gets_a_name_of_its_own() -> None:
    site, is_angry = angry_after(3, toy_site(pages(9)), Reply(status=403))
    with serve(site, HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
        mark_corpus_scored(crawled.corpus)
        is_angry[0] = False
        lines: list[str] = []
        (whole,) = crawl_from(server, ToySource(), lines=lines)
        (again,) = crawl_from(server, ToySource())
    assert load_corpus(NAME).sha256 == crawled.corpus.sha256
    assert whole.corpus.name == again.corpus.name == f"{NAME}-2"
    assert load_corpus(f"{NAME}-2").manifest.num_documents == 9
    assert any("was scored while it was incomplete and stays" in line for line in lines)


def test_a_whole_corpus_stays_where_a_refreshed_crawl_lacks_something() -> None:
    documents = pages(12)
    with serve(toy_site(documents[:6]), HOSTS) as server:
        (whole,) = crawl_from(server, ToySource())
        site, _ = angry_after(1, toy_site(documents), Reply(status=403))
        server.site = site
        with pytest.raises(CrawlError, match=r"is whole and stays.* lacks 3 pages\.example: HTTP 403"):
            crawl_from(server, ToySource(), refresh=True)
    assert load_corpus(NAME).sha256 == whole.corpus.sha256


def test_a_host_that_forbids_everything_leaves_nothing_to_store() -> None:
    with (
        serve(angry_after(0, toy_site(pages(5)), Reply(status=403))[0], HOSTS) as server,
        pytest.raises(CrawlError, match=r"no document is left \(3 pages\.example: .*run the same"),
    ):
        crawl_from(server, ToySource())
    assert not Path("corpora", NAME).exists()
