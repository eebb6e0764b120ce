"""The pages of a crawl's candidates: hosts in parallel, each at its pace."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from evalkit.errors import CrawlError
from evalkit_crawlers.crawling.progress import CrawlProgress, Workload
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.http.parallel import in_parallel
from evalkit_crawlers.source import Candidate, Capture, FetchRefused

_ACCEPT = "text/html, application/xhtml+xml;q=0.9, */*;q=0.1"


def fetch_pages(
    candidates: Sequence[Candidate], fetcher: Fetcher, progress: CrawlProgress
) -> Iterator[tuple[Candidate, Capture | FetchRefused | CrawlError | None]]:
    """Every candidate with its page, or why it has none; None where the listing held the text.

    What was captured before comes first, in the order of the candidates; what is fetched, as it comes.
    """
    queues: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if candidate.text is not None:
            yield candidate, None
            continue
        if fetcher.is_captured(candidate.url):
            yield candidate, _page(fetcher, candidate)
            continue
        try:
            queues[fetcher.policy(candidate.url).queue].append(candidate)
        except FetchRefused as refusal:
            yield candidate, refusal
    # A page of every site, so that all robots.txt are fetched first: their delays decide how long it takes.
    sites = [
        list({urlsplit(candidate.url).netloc: candidate for candidate in members}.values())
        for members in queues.values()
    ]
    for _ in in_parallel(sites, lambda candidate: _learn_delay(fetcher, candidate)):
        pass
    progress.expect(
        {
            name: Workload(len(members), max(fetcher.policy(candidate.url).delay_s for candidate in members))
            for name, members in queues.items()
        }
    )
    results: dict[tuple[str, str], Capture | FetchRefused | CrawlError] = {}

    def fetch(candidate: Candidate) -> None:
        results[candidate.corpus, candidate.id] = _page(fetcher, candidate)

    for candidate in in_parallel(list(queues.values()), fetch):
        progress.page_done(fetcher.policy(candidate.url).queue)
        yield candidate, results.pop((candidate.corpus, candidate.id))


def _page(fetcher: Fetcher, candidate: Candidate) -> Capture | FetchRefused | CrawlError:
    try:
        return fetcher.get(candidate.url, accept=_ACCEPT)
    except (FetchRefused, CrawlError) as error:
        return error


def _learn_delay(fetcher: Fetcher, candidate: Candidate) -> None:
    # What goes wrong here goes wrong again, and is counted, when the page is fetched.
    with contextlib.suppress(FetchRefused, CrawlError):
        fetcher.learn_delay(candidate.url)
