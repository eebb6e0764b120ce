"""Runs crawls that are killed: a process that imports everything once, then forks one crawl per order.

On standard input an order per line, ``{"kill_at": N}``: the child sends itself SIGKILL at its N-th file or
socket operation (an audit event of Python's); 0: never. On standard output the child's process id, and when
it has ended its wait status. Arguments: the endpoints in JSON, the source pickled in hexadecimal digits.
Not a test: `tests.support.reaper` starts it.
"""

import itertools
import json
import os
import pickle
import signal
import sys

import datasketch  # noqa: F401 - this and the next ones are imported by every crawl: here once, before the fork
import hishel.httpx2  # noqa: F401
import protego  # noqa: F401
import pyarrow.parquet  # noqa: F401

from evalkit.corpora.store import make_document
from evalkit_crawlers.crawling import crawl
from evalkit_crawlers.crawling.progress import CrawlProgress
from evalkit_crawlers.options import CommonOptions
from evalkit_crawlers.source import Source
from evalkit_crawlers.text import clean
from tests.support.crawling import CONTACT, LIMITS
from tests.support.replay import FakeClock
from tests.support.toy_source import WINDOW, prose

_OPERATIONS = ("open", "os.", "socket.", "fcntl.", "tempfile.", "sqlite3.", "shutil.")


def _die_at(num_operations: int) -> None:
    count = itertools.count(1)

    def hook(event: str, arguments: object) -> None:
        if event.startswith(_OPERATIONS) and next(count) == num_operations:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _crawl(source: Source, endpoints: dict[str, str], kill_at: int) -> None:
    common = CommonOptions(WINDOW, contact=CONTACT, endpoints=endpoints, allow_private_hosts=True)
    clock = FakeClock()
    if kill_at:
        _die_at(kill_at)
    crawl.crawl(source, common, clock=clock, progress=CrawlProgress(sys.stderr, clock), limits=LIMITS)


def _main() -> None:
    endpoints = json.loads(sys.argv[1])
    source = pickle.loads(bytes.fromhex(sys.argv[2]))
    clean.clean_documents([make_document(prose(0), source="toy")])  # loads the language model
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _crawl(source, endpoints, json.loads(line)["kill_at"])
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    _main()
