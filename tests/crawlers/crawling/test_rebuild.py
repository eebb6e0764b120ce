"""Rebuilding: real pages from a real server, through publishing and back to the very same corpus."""

import dataclasses
import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.store import Corpus, load_corpus, make_corpus, make_document, save_corpus, verify_corpus
from evalkit.errors import CorpusError, CrawlError, UsageError
from evalkit_crawlers.corpora_commands import app
from evalkit_crawlers.crawling.rebuild import (
    CHANGED_PAGE,
    NO_EXTRACTOR,
    OTHER_EXTRACTOR,
    Outcome,
    rebuild_dataset,
)
from evalkit_crawlers.source import Candidate, Capture, Extracted
from evalkit_crawlers.sources.news import NewsSource
from evalkit_crawlers.text.clean import LINES_KEY, clean_documents
from tests.crawlers.text.test_clean import BANNER, story
from tests.support.replay import FakeClock, Reply, Request, Server, serve

HOSTS = ("news.example", "other.example")
NUM_PAGES = 16


def page_html(number: int) -> bytes:
    paragraphs = "".join(f"<p>{line}.</p>" for line in story(f"page {number}", 240).split("\n"))
    return (
        f"<!doctype html><html lang='en'><head><title>Story {number}</title></head><body>"
        f"<nav><a href='/'>Home</a></nav><article><h1>Story {number}</h1>{paragraphs}"
        f"<p>{BANNER}.</p></article></body></html>"
    ).encode()


class Site:
    """Two hosts with half of the pages each; any of them can be changed."""

    def __init__(self) -> None:
        self.pages = {f"/{number}": page_html(number) for number in range(NUM_PAGES)}
        self.robots = b""

    def __call__(self, request: Request) -> Reply:
        if request.path == "/robots.txt":
            return Reply(self.robots, headers={"Content-Type": "text/plain"})
        if request.path not in self.pages:
            return Reply(b"gone", 404)
        return Reply(self.pages[request.path], headers={"Content-Type": "text/html; charset=utf-8"})


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def server(site: Site) -> Iterator[Server]:
    with serve(site, hosts=HOSTS, clock=FakeClock()) as running:
        yield running


def url_of(number: int) -> str:
    return f"https://{HOSTS[number % 2]}/{number}"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """What a crawl makes of the site: every third page is free, the others may not be published."""
    source = NewsSource((), name="gazette")
    documents = []
    for number in range(NUM_PAGES):
        body = page_html(number)
        now = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
        capture = Capture(url_of(number), url_of(number), now, {"content-type": "text/html"}, body, "")
        published_at = dt.datetime(2026, 11, 1, number, tzinfo=dt.UTC)
        license = "CC-BY-4.0" if number % 3 == 0 else None
        candidate = Candidate(f"n{number}", url_of(number), published_at, license, language="en")
        extracted = source.extract(candidate, capture)
        assert isinstance(extracted, Extracted), extracted
        documents.append(
            make_document(
                extracted.text,
                id=candidate.id,
                source=source.name,
                url=candidate.url,
                published_at=published_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                title=extracted.candidate.title,
                license=license,
                language="en",
                extractor=source.extractor,
            )
        )
    cleaned = clean_documents(documents)
    assert len(cleaned.documents) == NUM_PAGES
    assert len(cleaned.provenance[LINES_KEY].split()) == 2  # one line on each of two hosts
    assert BANNER not in "".join(document.text for document in cleaned.documents)
    return make_corpus(
        "news-2026-11", cleaned.documents, provenance=cleaned.provenance, date_from="2026-11-01"
    )


@pytest.fixture
def dataset(corpus: Corpus, tmp_path: Path) -> Path:
    return prepare_dataset(corpus, "me/news", tmp_path / "published").folder


@pytest.fixture(autouse=True)
def gazette_extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path / "gazette", monkeypatch, "gazette", "NewsSource((), name='gazette')")


def register(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, expression: str) -> None:
    """An installed package, as far as entry points tell, that registers an extractor."""
    module = f"package_of_{name}"
    (folder / f"{module}-1.dist-info").mkdir(parents=True)
    (folder / f"{module}-1.dist-info" / "METADATA").write_text(f"Name: {module}\nVersion: 1\n")
    (folder / f"{module}-1.dist-info" / "entry_points.txt").write_text(
        f"[evalkit.extractors]\n{name} = {module}:make\n"
    )
    (folder / f"{module}.py").write_text(
        "from evalkit_crawlers.sources.arxiv import ArxivSource\n"
        "from evalkit_crawlers.sources.news import NewsSource\n"
        f"def make():\n    return {expression}\n"
    )
    monkeypatch.syspath_prepend(folder)


def rebuilt(dataset: Path, server: Server, store: Path, **options: object) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    arguments: dict[str, object] = {
        "contact": "tests@example.org",
        "store": store,
        "endpoints": server.endpoints,
        "allow_private_hosts": True,
        "tell": lines.append,
        "clock": FakeClock(),
        **options,
    }
    return rebuild_dataset(str(dataset), **arguments), lines  # type: ignore[arg-type]


def test_the_whole_corpus_comes_back(corpus: Corpus, dataset: Path, server: Server, tmp_path: Path) -> None:
    outcome, lines = rebuilt(dataset, server, tmp_path / "store")
    assert not outcome.missing
    assert outcome.lines() == [
        f"news-2026-11: 16 of 16 documents, {corpus.num_bytes} bytes, every text as published, "
        f"SHA-256 {corpus.sha256[:16]}, in {tmp_path / 'store' / 'news-2026-11'}"
    ]
    stored = load_corpus("news-2026-11", store=tmp_path / "store")
    assert verify_corpus("news-2026-11", tmp_path / "store") == []
    assert stored.sha256 == corpus.sha256
    assert stored.documents == corpus.documents  # titles, too: the pages have them
    assert stored.manifest.provenance == {**corpus.manifest.provenance, "rebuilt_from": "published"}
    # Only what was missing was fetched, each page once.
    withheld = {f"/{number}" for number in range(NUM_PAGES) if number % 3}
    paths = [request.path for request in server.requests() if request.path != "/robots.txt"]
    assert sorted(paths) == sorted(withheld)
    assert lines[0] == "news-2026-11: 6 documents with their text, 10 without"
    assert lines[1].startswith("10 pages to fetch from 2 hosts in parallel")
    assert lines[-1] == "10 of 10 documents tried"


def test_nothing_is_fetched_twice(corpus: Corpus, dataset: Path, server: Server, tmp_path: Path) -> None:
    store = tmp_path / "store"
    rebuilt(dataset, server, store)
    num_requests = len(server.log)
    again, _ = rebuilt(dataset, server, store, offline=True)
    assert len(server.log) == num_requests
    assert again.corpus is not None and again.corpus.sha256 == corpus.sha256


def test_without_network_and_captures_all_is_missing(dataset: Path, server: Server, tmp_path: Path) -> None:
    outcome, _ = rebuilt(dataset, server, tmp_path / "store", offline=True)
    assert outcome.corpus is None
    assert {drop.reason for drop in outcome.missing} == {"not fetched before (offline)"}
    assert len(outcome.missing) == 10
    assert not server.log


def test_every_mismatch_has_its_reason(
    corpus: Corpus, dataset: Path, site: Site, server: Server, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    site.pages["/1"] = site.pages["/1"].replace(b"harbour", b"port", 1)  # one word of one text
    del site.pages["/2"]
    site.pages["/4"] = b"<html><body></body></html>"
    site.pages["/5"] = site.pages["/7"]  # another article
    site.pages["/8"] = site.pages["/8"].replace(b"Home", b"Start")  # the text is the same
    outcome, _ = rebuilt(dataset, server, store)
    reasons = {drop.id: drop.reason for drop in outcome.missing}
    assert reasons.pop("n4").startswith("no text")
    assert reasons == {"n1": CHANGED_PAGE, "n2": "HTTP 404", "n5": CHANGED_PAGE}
    assert outcome.corpus is None
    assert not (store / "news-2026-11").exists()
    assert outcome.lines()[-1].startswith("4 of 16 documents are missing, nothing was stored;")
    assert f"missing: 2 {CHANGED_PAGE}: n1, n5" in outcome.lines()

    # What is left is another corpus, with another name and digest, and says why.
    partial, _ = rebuilt(dataset, server, store, partial=True)
    stored = load_corpus("news-2026-11-partial", store=store)
    assert partial.corpus is not None and partial.corpus.sha256 == stored.sha256 != corpus.sha256
    missing = ("n1", "n2", "n4", "n5")
    assert stored.documents == tuple(document for document in corpus.documents if document.id not in missing)
    assert stored.manifest.num_dropped["not rebuilt: HTTP 404"] == 1
    assert stored.manifest.num_dropped[f"not rebuilt: {CHANGED_PAGE}"] == 2

    # The pages are still as they were captured; what was gone is asked for again.
    site.pages["/2"] = page_html(2)
    tomorrow = FakeClock(dt.datetime(2026, 11, 21, tzinfo=dt.UTC))
    outcome, _ = rebuilt(dataset, server, store, clock=tomorrow)
    assert {drop.id for drop in outcome.missing} == {"n1", "n4", "n5"}


def test_robots_and_unreachable_hosts(dataset: Path, site: Site, server: Server, tmp_path: Path) -> None:
    site.robots = b"User-agent: *\nDisallow: /1\n"
    endpoints = {**server.endpoints, "other.example": "http://127.0.0.1:9"}
    with pytest.raises(CrawlError, match=r"other\.example cannot be reached"):
        rebuilt(dataset, server, tmp_path / "store", endpoints=endpoints)
    outcome, _ = rebuilt(dataset, server, tmp_path / "store", endpoints=endpoints, skip_unreachable=True)
    reasons = {drop.id: drop.reason for drop in outcome.missing}
    assert {reasons.pop(f"n{number}") for number in (1, 5, 7, 11, 13)} == {"robots.txt: unreachable"}
    assert reasons.keys() == {"n10", "n14"}
    assert "/10" not in {request.path for request in server.requests()}


def test_another_extractor_is_named_as_the_reason(
    corpus: Corpus, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [
        document
        if document.license
        else dataclasses.replace(document, extractor="news 0", text="other", sha256="0" * 64)
        for document in corpus.documents
    ]
    older = make_corpus("older", documents)
    folder = prepare_dataset(older, "me/older", tmp_path / "older").folder
    outcome, _ = rebuilt(folder, server, tmp_path / "store")
    assert {drop.reason for drop in outcome.missing} == {OTHER_EXTRACTOR}


def test_sources_that_nobody_extracts(corpus: Corpus, server: Server, tmp_path: Path) -> None:
    documents = [dataclasses.replace(document, source="diary") for document in corpus.documents]
    folder = prepare_dataset(make_corpus("diary", documents), "me/diary", tmp_path / "diary").folder
    with pytest.raises(UsageError, match="nothing installed extracts documents of diary"):
        rebuilt(folder, server, tmp_path / "store")
    assert not server.log
    outcome, _ = rebuilt(folder, server, tmp_path / "store", partial=True)
    assert {drop.reason for drop in outcome.missing} == {NO_EXTRACTOR}
    assert outcome.corpus is not None and len(outcome.corpus.documents) == 6


def test_a_broken_extractor_is_named(
    corpus: Corpus, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "broken", monkeypatch, "broken", "NewsSource(1, 2, 3, 4, 5)")
    documents = [dataclasses.replace(document, source="broken") for document in corpus.documents]
    folder = prepare_dataset(make_corpus("broken", documents), "me/x", tmp_path / "published").folder
    with pytest.raises(CrawlError, match=r"extractor broken \(package_of_broken:make\) does not load"):
        rebuilt(folder, server, tmp_path / "store")
    assert not server.log


def test_what_the_store_has_is_never_overwritten(
    corpus: Corpus, dataset: Path, server: Server, tmp_path: Path
) -> None:
    save_corpus(corpus, tmp_path / "same")
    manifest = (tmp_path / "same" / "news-2026-11" / "manifest.json").read_bytes()
    outcome, _ = rebuilt(dataset, server, tmp_path / "same")
    assert not outcome.missing
    assert (tmp_path / "same" / "news-2026-11" / "manifest.json").read_bytes() == manifest
    save_corpus(make_corpus("news-2026-11", corpus.documents[:2]), tmp_path / "other")
    num_requests = len(server.log)
    with pytest.raises(CorpusError, match="holds other documents under this name"):
        rebuilt(dataset, server, tmp_path / "other")
    assert len(server.log) == num_requests


def test_a_dataset_with_other_texts_than_it_says_is_refused(
    corpus: Corpus, server: Server, tmp_path: Path
) -> None:
    first, *following = corpus.documents
    forged = make_corpus("forged", [dataclasses.replace(first, text="forged"), *following])
    folder = prepare_dataset(forged, "me/forged", tmp_path / "forged").folder
    with pytest.raises(CorpusError, match="the text of document n0 is not the one that was published"):
        rebuilt(folder, server, tmp_path / "store")
    assert not server.log


def test_the_command(corpus: Corpus, dataset: Path, server: Server, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = [str(dataset), "--store", str(store), "--offline"]
    arguments += [f"--endpoint={host}={url}" for host, url in server.endpoints.items()]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "missing: 10 not fetched before (offline): n1, n2, n4," in result.stdout
    rebuilt(dataset, server, store)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("news-2026-11: 16 of 16 documents")
    result = CliRunner().invoke(app, ["hub:me/news"])
    assert isinstance(result.exception, UsageError)  # whom to write to, before anything else


def test_random_choice_of_free_documents_changes_nothing(
    corpus: Corpus, site: Site, server: Server, tmp_path: Path
) -> None:
    rng = random.Random(1)
    documents = [
        dataclasses.replace(document, license=rng.choice(["CC0-1.0", "CC-BY-NC-4.0"]))
        for document in corpus.documents
    ]
    mixed = make_corpus("mixed", documents, provenance=corpus.manifest.provenance)
    folder = prepare_dataset(mixed, "me/mixed", tmp_path / "mixed").folder
    outcome, _ = rebuilt(folder, server, tmp_path / "store")
    assert outcome.corpus is not None
    assert outcome.corpus.documents == mixed.documents


def test_a_part_that_grew_is_refused_with_what_to_do(
    corpus: Corpus, dataset: Path, server: Server, tmp_path: Path
) -> None:
    smaller_part = make_corpus("news-2026-11-partial", corpus.documents[:2])
    save_corpus(smaller_part, tmp_path / "store")
    with pytest.raises(CorpusError, match=r"-partial holds other documents .*give another --store"):
        rebuilt(dataset, server, tmp_path / "store", partial=True, offline=True)


def test_a_store_that_is_none_is_one_line(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = CliRunner().invoke(app, [str(dataset), "--store", str(tmp_path / "file"), "--offline"])
    assert isinstance(result.exception, CrawlError)
    assert "Not a directory; make room there" in str(result.exception)
