"""From arXiv's listing to a published dataset and back, on another machine: the same corpus, then scored."""

import datetime as dt
from pathlib import Path

import pytest

import evalkit
from evalkit.corpora.licenses import ARXIV_LICENSE
from evalkit.corpora.publish import prepare_dataset
from evalkit_crawlers.crawling.crawl import crawl
from evalkit_crawlers.crawling.rebuild import rebuild_dataset
from evalkit_crawlers.options import CommonOptions
from evalkit_crawlers.source import CrawlWindow
from evalkit_crawlers.sources.arxiv import ArxivSource
from tests.crawlers.text.test_clean import story
from tests.support.replay import FakeClock, serve
from tests.support.site_arxiv import (
    ARXIV_HOSTS,
    ARXIV_ONLY,
    CC_BY,
    Paper,
    arxiv_site,
    math,
    paragraph,
    words,
)


def paper(number: int) -> Paper:
    text = story(f"paper {number}", 200).replace("\n", " ")
    return Paper(
        id=f"2611.{number:05}",
        title=f"On {number} ferries",
        abstract=story(f"abstract {number}", 120).replace("\n", " "),
        body=paragraph(words(text), math(rf"\sum_{{i<{number}}} x_i^2"), words("and " + text[:200])),
        first=dt.datetime(2026, 11, 3, number, tzinfo=dt.UTC),
        license=CC_BY if number % 3 == 0 else ARXIV_ONLY,
        first_license=CC_BY if number % 3 == 0 else ARXIV_ONLY,
    )


def test_from_crawl_to_dataset_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_CONTACT", "tests@evalkit.internal")
    clock = FakeClock()
    with serve(arxiv_site([paper(number) for number in range(9)]), ARXIV_HOSTS, clock) as server:
        options = CommonOptions(
            CrawlWindow(dt.date(2026, 11, 1), dt.date(2026, 11, 15)),
            name="papers",
            output=tmp_path / "here",
            endpoints=server.endpoints,
            allow_private_hosts=True,
        )
        original = crawl(ArxivSource(), options, clock=clock)[0].corpus
        assert len(original.documents) == 9
        prepared = prepare_dataset(original, "me/papers", tmp_path / "published")
        assert (prepared.num_published, prepared.num_withheld) == (3, 6)

        num_requests = len(server.requests("arxiv.org"))
        outcome = rebuild_dataset(
            str(prepared.folder),
            contact="others@uni.internal",
            store=tmp_path / "there",
            endpoints=server.endpoints,
            allow_private_hosts=True,
            tell=lambda line: None,
            clock=clock,
        )
        requests = [request.path for request in server.requests("arxiv.org")[num_requests:]]
    assert not outcome.missing
    assert [path for path in requests if path != "/robots.txt"] == [
        f"/html/2611.{number:05}v1" for number in range(9) if number % 3
    ]
    rebuilt = evalkit.load_corpus("papers", store=tmp_path / "there")
    assert rebuilt.sha256 == original.sha256
    assert rebuilt.manifest.licenses == {"CC-BY-4.0": 3, ARXIV_LICENSE: 6}
    assert all("\\sum" in document.text for document in rebuilt.documents)

    result = evalkit.run(
        ["xz"], [str(tmp_path / "there" / "papers")], options=evalkit.RunOptions(output=tmp_path / "runs")
    )
    assert not result.failures
    assert result.cells[0].totals.num_bytes == original.num_bytes
