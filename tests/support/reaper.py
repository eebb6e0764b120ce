"""Crawls that are killed again and again, and what they leave."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from evalkit_crawlers.source import Source
from tests.support.replay import Reply, Request, Server, Site

ROOT = Path(__file__).parents[2]


class Reaper:
    """A site that kills the process that asks it, at the request it was told."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.child_is_known = threading.Event()
        self.child, self.requests_to_live = 0, 0

    def __call__(self, request: Request) -> Reply:
        self.child_is_known.wait()
        if self.requests_to_live:
            self.requests_to_live -= 1
            if not self.requests_to_live:
                os.kill(self.child, signal.SIGKILL)
        return self.site(request)


class Lives:
    """Runs the same crawl again and again, in a child each time."""

    def __init__(self, server: Server, reaper: Reaper, process: "subprocess.Popen[str]") -> None:
        self._server, self._reaper, self._process = server, reaper, process

    def live(self, *, num_requests: int = 0, num_operations: int = 0) -> int:
        """The wait status of a crawl that is killed at a request or an operation; 0: not at one of these."""
        process, reaper = self._process, self._reaper
        assert process.stdin and process.stdout
        reaper.child_is_known.clear()
        reaper.requests_to_live = num_requests
        print(json.dumps({"kill_at": num_operations}), file=process.stdin, flush=True)
        reaper.child = int(process.stdout.readline())
        reaper.child_is_known.set()
        status = int(process.stdout.readline())
        self._server.settle()
        reaper.requests_to_live = 0
        return status


@contextlib.contextmanager
def lives(server: Server, reaper: Reaper, source: Source) -> Iterator[Lives]:
    """Lives of a crawl into ``corpora/`` of a source that can be pickled; the server's site is the reaper."""
    arguments = [json.dumps(server.endpoints), pickle.dumps(source).hex()]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.mortal", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert process.stdin
    with process:
        yield Lives(server, reaper, process)
        process.stdin.close()
    reaper.child_is_known.set()
