"""kill -9 at any moment: nothing is lost, nothing is fetched twice."""

import itertools
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.crawling import crawl_from, parquet
from tests.support.reaper import Reaper, lives
from tests.support.replay import serve
from tests.support.toy_source import ToySource, pages, toy_site

HOSTS = ["listing.example", "one.example", "two.example", "three.example"]
NUM_KILLS = 50
NUM_PAGES = 45


@pytest.mark.slow
def test_fifty_kills_lose_nothing_and_repeat_only_what_was_in_flight() -> None:
    dice, reaper = random.Random(20261121), Reaper(toy_site(pages(NUM_PAGES, HOSTS[1:])))
    statuses: list[int] = []
    starts = [0]
    with serve(reaper, HOSTS) as server:
        with lives(server, reaper, ToySource()) as crawls:
            while not statuses or statuses[-1] != 0:
                if dice.random() < 0.3:
                    statuses.append(crawls.live(num_requests=dice.randint(1, 4)))
                else:
                    statuses.append(crawls.live(num_operations=dice.randint(1, 30 + 2 * len(server.log))))
                starts.append(len(server.log))
        requests = [(request.host, request.path, request.query.get("from")) for request in server.requests()]
        (undisturbed,) = crawl_from(server, ToySource(), output=Path("undisturbed"))

    assert set(statuses[:-1]) == {signal.SIGKILL}
    assert len(statuses) - 1 >= NUM_KILLS
    name = undisturbed.corpus.name
    assert undisturbed.corpus.manifest.num_documents == NUM_PAGES
    assert parquet(Path("corpora") / name) == parquet(undisturbed.folder)
    dropped = [folder / "dropped.jsonl" for folder in (Path("corpora") / name, undisturbed.folder)]
    assert dropped[0].read_bytes() == dropped[1].read_bytes()

    # A request that is made again later was the last one of its run to its host: the one in flight.
    times = Counter(requests)
    assert max(times.values()) > 1  # some were in flight
    for begin, end in itertools.pairwise(starts):
        run = requests[begin:end]
        last = {request[0]: request for request in run}
        for position, request in enumerate(run, begin):
            if request in requests[position + 1 :]:
                assert request == last[request[0]], f"{request} was fetched again"
