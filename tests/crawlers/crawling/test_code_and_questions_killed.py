"""kill -9 ten times in crawls of APIs: the same corpora, and nothing fetched twice."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from evalkit_crawlers.source import Source
from evalkit_crawlers.sources.biorxiv import BiorxivSource
from evalkit_crawlers.sources.github import GithubSource
from evalkit_crawlers.sources.law import LawSource
from evalkit_crawlers.sources.stackexchange import StackExchangeSource
from tests.support import site_biorxiv, site_github, site_law, site_stackexchange
from tests.support.crawling import crawl_from, parquet
from tests.support.reaper import Reaper, lives
from tests.support.replay import Site, serve
from tests.support.toy_source import prose

NUM_KILLS = 10

REPOSITORIES = [
    site_github.Repository(
        f"owner/r{number}",
        {f"a{part}.py": site_github.code(f"{number} {part}") for part in range(3)},
        fork=number % 4 == 3,
    )
    for number in range(8)
]
QUESTIONS = [
    site_stackexchange.question(number, num_answers=int(number % 4 == 1), site=site)
    for site, num_questions in (("stackoverflow", 230), ("math", 120))
    for number in range(1, num_questions + 1)
]
PREPRINTS = [
    site_biorxiv.Preprint(
        number, (prose(f"{number}"),), prose(f"abstract {number}"), version=1 + number % 7 // 6
    )
    for number in range(24)
]
DOCUMENTS = [
    site_law.Document(number, (prose(f"us {number}"),), has_xml=number != 3) for number in range(1, 19)
]
ITEMS = [site_law.Item(number, (prose(f"uk {number}"),), has_xml=number != 3) for number in range(1, 19)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "site", "hosts"),
    [
        (GithubSource(("python",)), site_github.github_site(REPOSITORIES), site_github.HOSTS),
        (
            StackExchangeSource(("stackoverflow", "math")),
            site_stackexchange.stackexchange_site(QUESTIONS),
            [site_stackexchange.HOST],
        ),
        (BiorxivSource(), site_biorxiv.biorxiv_site(PREPRINTS), site_biorxiv.hosts()),
        (LawSource(), site_law.law_site(DOCUMENTS, ITEMS), site_law.HOSTS),
    ],
    ids=["github", "stackexchange", "biorxiv", "law"],
)
def test_ten_kills_lose_nothing(source: Source, site: Site, hosts: list[str]) -> None:
    reaper = Reaper(site)
    with serve(reaper, hosts) as server:
        with lives(server, reaper, source) as crawls:
            # Each life is killed at its first or second request: the answer to the last one is lost.
            statuses = [crawls.live(num_requests=1 + number % 2) for number in range(NUM_KILLS)]
            num_requests = len(server.log)
            assert crawls.live() == 0
        asked = Counter((request.host, request.path, str(request.query)) for request in server.requests())
        crawled_again = crawl_from(server, source, output=Path("undisturbed"))
    assert statuses == [signal.SIGKILL] * NUM_KILLS
    assert num_requests == NUM_KILLS * 3 // 2
    # Only what was in flight is asked for twice.
    assert sum(asked.values()) - len(asked) == NUM_KILLS
    for undisturbed in crawled_again:
        name = undisturbed.corpus.name
        assert undisturbed.corpus.manifest.num_documents > 15
        assert parquet(Path("corpora") / name) == parquet(undisturbed.folder)
        dropped = [folder / "dropped.jsonl" for folder in (Path("corpora") / name, undisturbed.folder)]
        assert dropped[0].read_bytes() == dropped[1].read_bytes()
