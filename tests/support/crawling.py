"""What the tests of whole crawls share."""

import io
from pathlib import Path
from typing import Any

from evalkit.isolation import DEFAULT_WORK_LIMITS, WorkLimits
from evalkit_crawlers.crawling.crawl import Crawled, crawl
from evalkit_crawlers.crawling.progress import CrawlProgress
from evalkit_crawlers.http.exchange import Limits
from evalkit_crawlers.options import CommonOptions
from evalkit_crawlers.source import CrawlWindow, Source
from tests.support.replay import FakeClock, Server
from tests.support.toy_source import WINDOW

CONTACT = "tests@evalkit.internal"
LIMITS = Limits(max_tries=3, timeout_s=600.0, max_exchange_s=601.0)
"""Of an answer on loopback, however busy the machine is."""


def crawl_from(
    server: Server,
    source: Source,
    *,
    clock: FakeClock | None = None,
    window: CrawlWindow = WINDOW,
    lines: list[str] | None = None,
    limits: Limits = LIMITS,
    work_limits: WorkLimits = DEFAULT_WORK_LIMITS,
    **options: Any,
) -> list[Crawled]:
    """Crawl a replay server's hosts into ``corpora/``; the lines that a user would see go into ``lines``."""
    clock = clock or server.clock
    stream = io.StringIO()
    common = CommonOptions(
        window=window,
        **{"contact": CONTACT, "endpoints": server.endpoints, "allow_private_hosts": True} | options,
    )
    try:
        return crawl(
            source,
            common,
            clock=clock,
            progress=CrawlProgress(stream, clock),
            limits=limits,
            work_limits=work_limits,
        )
    finally:
        if lines is not None:
            lines += stream.getvalue().splitlines()


def parquet(folder: Path) -> bytes:
    """The bytes of a corpus's only Parquet file."""
    (file,) = folder.glob("*.parquet")
    return file.read_bytes()


def reasons(crawled: Crawled) -> dict[str, str]:
    """Why each dropped document was dropped, by id."""
    return {drop.id: drop.reason for drop in crawled.drops}
