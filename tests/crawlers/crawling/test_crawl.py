"""The pipeline with a toy source: what a crawl keeps, drops, says, and does the second time."""

import dataclasses
import datetime as dt
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from evalkit.corpora.store import load_corpus, verify_corpus
from evalkit.errors import CorpusError, CrawlError, EvalkitError, UsageError
from evalkit.isolation import WorkLimits
from evalkit_crawlers.crawling.crawl import crawl
from evalkit_crawlers.crawling.progress import Workload, estimate_lines
from evalkit_crawlers.crawling.sampling import sample
from evalkit_crawlers.http.contact import contact_of_user
from evalkit_crawlers.options import CommonOptions, common_options
from evalkit_crawlers.source import Candidate, CrawlWindow
from tests.support.crawling import crawl_from, parquet, reasons
from tests.support.replay import FakeClock, Reply, Request, serve
from tests.support.toy_source import HostileSource, LouderSource, Page, ToySource, pages, prose, toy_site

HOSTS = ["listing.example", "pages.example", "other.example"]


def test_a_crawl_becomes_a_corpus_with_its_provenance() -> None:
    documents = [
        *pages(12),
        Page("outside", day="2026-11-16"),
        Page("short", text="Too short."),
        Page("twin", text=prose("doc0003"), day="2026-11-06"),
        Page("gone"),
        Page("empty"),
        Page("doc0001"),
    ]
    special = {"/empty": Reply(b""), "/gone": Reply(status=404)}
    clock = FakeClock(dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC))
    with serve(toy_site(documents, special), HOSTS, clock) as server:
        (crawled,) = crawl_from(server, ToySource())
    corpus, manifest = crawled.corpus, crawled.corpus.manifest
    assert [document.id for document in corpus.documents] == [f"doc{number:04d}" for number in range(12)]
    expected = {
        "outside": "published outside of the window",
        "short": "shorter than 500 bytes",
        "twin": "exact duplicate",
        "gone": "HTTP 404",
        "doc0001": "listed more than once",
        "empty": "empty page",
    }
    assert reasons(crawled) == expected
    assert manifest.num_dropped == dict.fromkeys(sorted(expected.values()), 1)
    assert manifest.licenses == {"CC-BY-4.0": 12}
    assert (manifest.name, manifest.date_from, manifest.date_to) == (
        "toy-2026-11-01-2026-11-15",
        "2026-11-01",
        "2026-11-15",
    )
    assert manifest.provenance["query"] == '{"kind": "all"}'
    assert manifest.provenance["seed"] == "0"
    assert manifest.provenance["extractor"] == "toy 1"
    document = corpus.documents[0]
    assert document.text == prose("doc0000")
    assert document.url == "https://pages.example/doc0000"
    assert document.published_at == "2026-11-05T12:00:00Z"
    assert document.fetched_at == "2026-11-20T12:00:00Z"
    assert document.language == "en"
    assert load_corpus(manifest.name).sha256 == corpus.sha256
    assert verify_corpus(manifest.name) == []
    rows = [json.loads(line) for line in (crawled.folder / "dropped.jsonl").read_text().splitlines()]
    assert {row["id"]: row["reason"] for row in rows} == expected


def test_the_same_command_again_asks_nobody_and_changes_nothing() -> None:
    with serve(toy_site(pages(12)), HOSTS) as server:
        (first,) = crawl_from(server, ToySource())
        num_requests, lines = len(server.log), list[str]()
        (second,) = crawl_from(server, ToySource(), lines=lines)
        assert len(server.log) == num_requests
    assert second.corpus.sha256 == first.corpus.sha256
    assert "--refresh asks for new ones" in lines[0]


def test_two_crawls_of_the_same_captures_give_the_same_parquet_bytes() -> None:
    with serve(toy_site(pages(25, HOSTS[1:])), HOSTS) as server:
        (first,) = crawl_from(server, ToySource())
        (second,) = crawl_from(server, ToySource(), name="again", offline=True)
    assert parquet(first.folder) == parquet(second.folder)
    assert first.folder != second.folder


def test_a_newer_extractor_reads_the_captures_without_the_network() -> None:
    with serve(toy_site(pages(5)), HOSTS) as server:
        crawl_from(server, ToySource())
        num_requests = len(server.log)
        with pytest.raises(UsageError, match=r"made with another extractor; .* --name"):
            crawl_from(server, LouderSource(), offline=True)
        (crawled,) = crawl_from(server, LouderSource(), offline=True, name="newer", contact=None)
        assert len(server.log) == num_requests
    assert crawled.corpus.documents[0].text == prose("doc0000").upper()
    assert crawled.corpus.manifest.provenance["extractor"] == "toy 2"


def test_offline_without_captures_says_so() -> None:
    with serve(toy_site(pages(5)), HOSTS) as server:
        with pytest.raises(CrawlError, match="run it without --offline first"):
            crawl_from(server, ToySource(), offline=True)
        assert server.log == []


def test_refresh_asks_for_listings_again_and_for_kept_pages_not() -> None:
    with serve(toy_site(pages(8)), HOSTS) as server:
        crawl_from(server, ToySource())
        num_requests = len(server.log)
        server.site = toy_site(pages(9))
        (crawled,) = crawl_from(server, ToySource(), name="later", refresh=True)
        later = [request.path for request in server.requests()[num_requests:]]
    assert sorted(later) == ["/doc0008", "/list", "/robots.txt", "/robots.txt"]
    assert crawled.corpus.manifest.num_documents == 9


def test_documents_of_earlier_corpora_are_dropped() -> None:
    repost = Page("repost", day="2026-11-18", text=prose("doc0002") + " Reposted.")
    with serve(toy_site([*pages(5), repost, Page("fresh", day="2026-11-19")]), HOSTS) as server:
        crawl_from(server, ToySource())
        window = CrawlWindow(dt.date(2026, 11, 16), dt.date(2026, 11, 20))
        (later,) = crawl_from(server, ToySource(), window=window)
    assert [document.id for document in later.corpus.documents] == ["fresh"]
    assert "earlier corpus" in reasons(later)["repost"]
    assert later.corpus.manifest.provenance["known_corpora"].startswith("toy-2026-11-01-2026-11-15 ")


def test_a_corpus_of_another_crawl_is_not_overwritten_and_nothing_is_fetched_first() -> None:
    with serve(toy_site(pages(8)), HOSTS) as server:
        (first,) = crawl_from(server, ToySource())
        num_requests = len(server.log)
        with pytest.raises(UsageError, match=r"made with another seed; .* choose another name by --name"):
            crawl_from(server, ToySource(), seed=1)
        assert len(server.log) == num_requests
    assert load_corpus(first.corpus.name).sha256 == first.corpus.sha256


def test_one_may_go_without_unreached_pages_and_ask_for_them_later() -> None:
    down = {"/doc0001": Reply(status=503)}
    with serve(toy_site(pages(9, HOSTS[1:]), down), HOSTS) as server:
        (without,) = crawl_from(server, ToySource(), skip_unreachable=True, name="without")
        assert reasons(without) == {f"doc{number:04d}": "unreachable" for number in (1, 3, 5, 7)}
        assert without.corpus.manifest.incomplete == {}
        server.site = toy_site(pages(9, HOSTS[1:]))
        num_requests = len(server.log)
        (whole,) = crawl_from(server, ToySource())
        assert whole.corpus.manifest.num_documents == 9
        assert len(server.log) == num_requests + 4


def test_nothing_found_is_an_error_that_says_why() -> None:
    with (
        serve(toy_site([Page("a", text="short"), Page("b", day="2026-12-01")]), HOSTS) as server,
        pytest.raises(
            CrawlError, match=r"no document is left .*1 published outside of the window; 1 shorter"
        ),
    ):
        crawl_from(server, ToySource())


def test_the_time_it_takes_is_said_at_the_start() -> None:
    robots = {"/robots.txt": Reply(b"User-agent: *\nCrawl-delay: 15\n")}
    lines: list[str] = []
    with serve(toy_site(pages(40), robots), HOSTS) as server:
        crawl_from(server, ToySource(), lines=lines)
    at = lines.index("pages.example: 40 pages at 15 s: about 10 min 0 s")
    assert lines[at + 1].startswith("40 pages to fetch from one host, about 10 min 0 s; ")
    assert all(line.startswith(("listings: ", "toy: listings first")) for line in lines[:at])
    queue_lines = [line for line in lines[at:] if line.startswith("pages.example: ")]
    done = [int(line.removeprefix("pages.example: ").partition("/")[0]) for line in queue_lines[1:]]
    assert done == sorted(done)
    assert 8 <= len(done) <= 11  # ten minutes, a line a minute
    assert "0.06" in queue_lines[5]
    assert "100% of the time waiting out of politeness" in queue_lines[5]
    assert queue_lines[5].endswith(" left")
    assert lines[-1].endswith(" documents; dropped: none")


def test_five_hundred_papers_take_two_hours() -> None:
    lines = estimate_lines({"arxiv.org": Workload(500, 15.0), "fast.example": Workload(10, 1.0)})
    assert lines == [
        "arxiv.org: 500 pages at 15 s: about 2 h 5 min",
        "510 pages to fetch from 2 hosts in parallel, about 2 h 5 min; it may be interrupted at any time and "
        "goes on where it was",
    ]


def _candidates(count: int, strata: int) -> list[Candidate]:
    moment = dt.datetime(2026, 11, 5, tzinfo=dt.UTC)
    return [
        Candidate(f"id{number}", "https://x.example/", moment, None, stratum=f"s{number % strata}")
        for number in range(count)
    ]


def test_samples_are_seeded_balanced_and_stable() -> None:
    candidates = [*_candidates(90, 3), dataclasses.replace(_candidates(1, 1)[0], id="rare", stratum="rare")]
    chosen = sample(candidates, 31, seed=1)
    strata = [candidate.stratum for candidate in chosen]
    assert [strata.count(name) for name in ("s0", "s1", "s2", "rare")] == [10, 10, 10, 1]
    assert sample(list(reversed(candidates)), 31, seed=1) == list(reversed(chosen))
    assert sample(candidates, 31, seed=2) != chosen
    grown = sample([*candidates, *_candidates(93, 3)[90:]], 31, seed=1)
    assert len({candidate.id for candidate in grown} & {candidate.id for candidate in chosen}) >= 28
    assert sample(candidates, None, seed=1) == sample(candidates, 91, seed=1) == candidates
    assert [len(sample(candidates, count, seed=3)) for count in (1, 2, 90)] == [1, 2, 90]


def test_max_documents_fetches_no_more_than_that() -> None:
    with serve(toy_site(pages(30)), HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource(), max_documents=7, seed=3)
        assert sum(request.path.startswith("/doc") for request in server.requests()) == 7
    assert crawled.corpus.manifest.num_documents == 7
    assert crawled.corpus.manifest.num_dropped == {"not in the sample": 23}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": "2026-11-31"}, "--since '2026-11-31' is not a day"),
        ({"until": "yesterday"}, "--until 'yesterday' is not a day"),
        ({"until": "2026-10-31"}, "lies before --since"),
        ({"name": "a/b"}, "not a plain folder name"),
        ({"name": "python-stdlib"}, "taken by a built-in corpus"),
        ({"endpoint": ["arxiv.org"]}, "is not HOST=URL"),
        ({"endpoint": ["arxiv.org=ftp://x"]}, "is not HOST=URL"),
        ({"endpoint": ["arxiv.org=http://127.0.0.1:port"]}, "is not HOST=URL"),
        ({"endpoint": ["arxiv.org=http://127.0.0.1/?x=1"]}, "is not HOST=URL"),
        ({"endpoint": ["arxiv.org=http://a b/"]}, "is not HOST=URL"),
        ({"endpoint": ["arxiv.org:443=http://127.0.0.1"]}, "is not HOST=URL"),
        (
            {"endpoint": ["arxiv.org=http://a.example", "ArXiv.org=http://b.example"]},
            "arxiv.org is given twice",
        ),
        ({"offline": True, "refresh": True}, "give one of them"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        common_options(**({"since": "2026-11-01", "until": "2026-11-15"} | options))


def test_a_window_in_the_future_and_a_missing_contact_are_refused() -> None:
    future = CommonOptions(
        CrawlWindow(dt.date(2026, 11, 1), dt.date(2026, 11, 21)), contact="me@uni.internal"
    )
    with pytest.raises(UsageError, match="lies in the future"):
        crawl(ToySource(), future, clock=FakeClock())


def test_the_contact_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_CONTACT", raising=False)
    with pytest.raises(UsageError, match=r"--contact you@example\.org \(it is remembered\)"):
        contact_of_user()
    assert contact_of_user("me@uni.internal") == "me@uni.internal"
    assert contact_of_user() == "me@uni.internal"
    monkeypatch.setenv("EVALKIT_CONTACT", "https://uni.internal/bot")
    assert contact_of_user() == "https://uni.internal/bot"
    assert contact_of_user("bot@myexample.org") == "bot@myexample.org"
    for nobody in ("you@example.org", "a@EXAMPLE.com", "https://example.net/bot", "me@host.invalid"):
        with pytest.raises(UsageError, match="is a placeholder and reaches nobody"):
            contact_of_user(nobody)
    for bad in ("me", "a@b c.org", "x@example.org\r\nX-Evil: 1", "(a@example.org)"):
        with pytest.raises(UsageError, match="neither an e-mail address nor a web address"):
            contact_of_user(bad)


def test_a_listing_that_is_refused_is_one_line() -> None:
    def site(request: Request) -> Reply:
        return Reply(status=404)

    with (
        serve(site, HOSTS) as server,
        pytest.raises(CrawlError, match="toy: a listing cannot be had: HTTP 404"),
    ):
        crawl_from(server, ToySource())


def test_a_page_may_name_a_license_that_is_no_address() -> None:
    odd = Page("odd", license="http://[")
    with serve(toy_site([odd]), HOSTS) as server:
        (crawled,) = crawl_from(server, ToySource())
    assert crawled.corpus.manifest.licenses == {"http://[": 1}


def test_a_broken_corpus_in_the_store_is_told_of_before_anything_is_fetched() -> None:
    broken = Path("corpora/other/manifest.json")
    broken.parent.mkdir(parents=True)
    broken.write_text("{}")
    with serve(toy_site(pages(3)), HOSTS) as server:
        with pytest.raises(CorpusError, match=r"corpus other: manifest.json: .*move corpora/other away"):
            crawl_from(server, ToySource())
        assert server.log == []


def test_a_store_that_cannot_be_written_is_one_line() -> None:
    Path("file").write_text("x")
    with serve(toy_site(pages(3)), HOSTS) as server:
        with pytest.raises(CrawlError, match=r"^file/\.captures/.*Not a directory; make room there"):
            crawl_from(server, ToySource(), output=Path("file"))
        assert server.log == []


def test_a_full_disk_loses_nothing() -> None:
    """The size that a file may have stands for the room on the disk."""
    everything = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serve(toy_site(pages(3)), HOSTS) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, everything[1]))
        try:
            with pytest.raises(CorpusError, match=r"cannot be written: File too large; make room there"):
                crawl_from(server, ToySource())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, everything)
        (crawled,) = crawl_from(server, ToySource())
        paths = [request.path for request in server.requests()]
    assert crawled.corpus.manifest.num_documents == 3
    assert len(set(paths)) == len(paths) - 1  # nothing twice but robots.txt, once from each host


def test_listings_are_numbered_on_where_old_ones_were_deleted() -> None:
    with serve(toy_site(pages(1)), HOSTS) as server:
        for refresh in (False, True):
            crawl_from(server, ToySource(), refresh=refresh)
        (folder,) = Path("corpora/.captures/crawls").iterdir()
        shutil.rmtree(folder / "0001")
        crawl_from(server, ToySource(), refresh=True)
        assert sorted(path.name for path in folder.iterdir()) == ["0002", "0003"]


def test_a_page_that_its_reader_cannot_bear_is_a_drop_with_a_name_and_the_crawl_goes_on() -> None:
    hostile = {
        "busy": "extraction took more than 0.3 s of processor time",
        "hungry": "extraction needed more than 256 MiB",
        "crash": "extraction crashed (SIGSEGV)",
        "exit": "extraction ended its process (exit code 3)",
        "deep": "extraction failed with RecursionError",
        "wrong": "extraction failed with IndexError",
    }
    documents = [*pages(3), *(Page(word, text=word) for word in hostile), Page("last")]
    limits = WorkLimits(max_cpu_s=0.3, max_memory_bytes=256 << 20)
    with serve(toy_site(documents), HOSTS) as server:
        (crawled,) = crawl_from(server, HostileSource(), work_limits=limits)
        assert reasons(crawled) == hostile
        assert [document.id for document in crawled.corpus.documents] == [
            *("doc0000", "doc0001", "doc0002"),
            "last",
        ]
        assert crawled.corpus.manifest.num_dropped == dict.fromkeys(sorted(hostile.values()), 1)


def test_a_source_that_cannot_be_sent_to_another_process_is_told_so() -> None:
    class Local(ToySource):
        pass

    with (
        serve(toy_site(pages(1)), HOSTS) as server,
        pytest.raises(EvalkitError, match=r"Local.* at the top of a module"),
    ):
        crawl_from(server, Local())
