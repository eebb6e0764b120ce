"""kill -9 at any moment: nothing is lost, nothing is fetched twice."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.crawling import crawl_from, parquet
from tests.support.replay import Reply, Request, serve
from tests.support.toy_source import ToySource, pages, toy_site

ROOT = Path(__file__).parents[3]
HOSTS = ["listing.example", "one.example", "two.example", "three.example"]
NUM_KILLS = 50
NUM_PAGES = 45


class Reaper:
    """A site that kills the process that asks it, at the request it was told."""

    def __init__(self) -> None:
        self.site = toy_site(pages(NUM_PAGES, HOSTS[1:]))
        self.child_is_known = threading.Event()
        self.child, self.requests_to_live = 0, 0

    def __call__(self, request: Request) -> Reply:
        self.child_is_known.wait()
        if self.requests_to_live:
            self.requests_to_live -= 1
            if not self.requests_to_live:
                os.kill(self.child, signal.SIGKILL)
        return self.site(request)


@pytest.mark.slow
def test_fifty_kills_lose_nothing_and_repeat_only_what_was_in_flight() -> None:
    dice, reaper = random.Random(20261121), Reaper()
    statuses: list[int] = []
    starts = [0]
    with serve(reaper, HOSTS) as server:
        mortal = subprocess.Popen(
            [sys.executable, "-m", "tests.support.mortal", json.dumps(server.endpoints)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        assert mortal.stdin and mortal.stdout
        with mortal:
            while not statuses or statuses[-1] != 0:
                by_server = dice.random() < 0.3
                reaper.child_is_known.clear()
                reaper.requests_to_live = dice.randint(1, 4) if by_server else 0
                order = {"kill_at": 0 if by_server else dice.randint(1, 30 + 2 * len(server.log))}
                print(json.dumps(order), file=mortal.stdin, flush=True)
                reaper.child = int(mortal.stdout.readline())
                reaper.child_is_known.set()
                statuses.append(int(mortal.stdout.readline()))
                server.settle()
                starts.append(len(server.log))
            mortal.stdin.close()
        requests = [(request.host, request.path, request.query.get("from")) for request in server.requests()]
        reaper.requests_to_live = 0
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
