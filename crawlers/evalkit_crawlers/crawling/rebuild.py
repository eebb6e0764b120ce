"""A published corpus made whole again: what it could not contain is fetched, extracted and verified.

`evalkit.corpora.publish` writes datasets in which documents without a free license stand as URL and
SHA-256. Each of these is fetched from its URL as a crawl would, the source's extractor and the cleaning of
the original crawl are applied, and the text is taken only if it is the very same. The corpus then has the
digest of the original; results on both are comparable.
"""

import dataclasses
import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from evalkit.corpora.file_kinds import readable_name
from evalkit.corpora.published import PublishedDataset, dataset_corpus, fetch_dataset, read_dataset
from evalkit.corpora.store import (
    HUB_PREFIX,
    Corpus,
    Document,
    check_new_name,
    list_corpora,
    read_manifest,
    save_corpus,
    store_folder,
)
from evalkit.errors import CorpusError, CrawlError, UsageError
from evalkit.plugins import plugin
from evalkit_crawlers.crawling.extraction import Extractor, extract_apart
from evalkit_crawlers.crawling.plan import CAPTURES
from evalkit_crawlers.crawling.progress import Workload, estimate_lines
from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.http.pacing import Clock, SystemClock
from evalkit_crawlers.http.parallel import in_parallel
from evalkit_crawlers.source import Candidate, Capture, Drop, FetchRefused, Get
from evalkit_crawlers.text import clean

EXTRACTOR_GROUP = "evalkit.extractors"
"""Entry points: a source's name → what, called without arguments, gives an `Extractor`."""

CHANGED_PAGE = "another text than published: the page has changed"
OTHER_EXTRACTOR = "another text than published, by another version of the extractor"
OTHER_LENGTH = "the text as published, whose num_bytes the dataset states wrongly"
NO_EXTRACTOR = "nothing installed extracts this source"


@dataclasses.dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of the documents of a dataset."""

    documents: Mapping[int, Document]
    """By position: verified, with their text."""
    missing: tuple[Drop, ...]
    """What could not be had, or is another text now."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What `rebuild_dataset` did."""

    corpus: Corpus | None
    """As stored; None where something is missing and no part was wanted."""
    folder: Path | None
    num_documents: int
    """Of the published corpus."""
    missing: tuple[Drop, ...]

    def lines(self) -> list[str]:
        """The outcome for people: what is missing and why, then what was stored."""
        lines = []
        for reason, count in sorted(Counter(drop.reason for drop in self.missing).items()):
            ids = ", ".join(drop.id for drop in self.missing if drop.reason == reason)
            lines.append(f"missing: {count} {reason}: {ids}")
        if self.corpus is None:
            lines.append(
                f"{len(self.missing)} of {self.num_documents} documents are missing, nothing was stored; "
                "what was fetched is kept: run it again later, or with --partial to store the others"
            )
        else:
            lines.append(
                f"{self.corpus.name}: {len(self.corpus.documents)} of {self.num_documents} documents, "
                f"{self.corpus.num_bytes} bytes, every text as published, SHA-256 {self.corpus.sha256[:16]}, "
                f"in {self.folder}"
            )
        return lines


def rebuild_dataset(
    path_or_hub_id: str,
    *,
    contact: str,
    store: Path | None = None,
    partial: bool = False,
    endpoints: Mapping[str, str] | None = None,
    allow_private_hosts: bool = False,
    skip_unreachable: bool = False,
    offline: bool = False,
    tell: Callable[[str], object],
    clock: Clock | None = None,
) -> Outcome:
    """Rebuild a published corpus and store it: fetch, extract and verify what the dataset withholds.

    Pages that were fetched before, by this or by a crawl into the same store, are not fetched again.

    Args:
        path_or_hub_id: a folder, or ``hub:OWNER/NAME@REVISION``.
        contact: whom a server's operator may write to.
        store: see `evalkit.corpora.store.store_folder`.
        partial: store what there is also where something is missing, under a name that says so.
        endpoints: host → base URL that is asked in its place.
        allow_private_hosts: connect to this machine and private networks too.
        skip_unreachable: a host that cannot be reached makes its documents missing, and no error.
        offline: only what was fetched before.
        tell: is called with lines for the user: the plan, then how far it is.
        clock: time; by default the machine's.

    Raises:
        UsageError: there is no such dataset, its name is a built-in corpus's, or nothing that is installed
            can extract its documents.
        CorpusError: the dataset is damaged, or the store holds another corpus of its name.
        CrawlError: a host cannot be reached.
    """
    dataset, extractors = _opened(path_or_hub_id, store, partial)
    clock = clock or SystemClock()
    # One of its own for every run: what was refused may be there the next time.
    scope = f"rebuilds/{dataset.manifest.sha256[:16]}/{clock.now():%Y%m%dT%H%M%S%f}"
    with Fetcher(
        CaptureStore(store_folder(store) / CAPTURES),
        scope,
        contact=contact,
        endpoints=endpoints,
        allow_private_hosts=allow_private_hosts,
        skip_unreachable=skip_unreachable,
        offline=offline,
        clock=clock,
    ) as fetcher:
        for line in _plan_lines(dataset, fetcher):
            tell(line)
        rebuilt = rebuild(dataset, fetcher.get, extractors, tell=tell)
    return _stored(dataset, rebuilt, path_or_hub_id, store, partial)


def _opened(
    path_or_hub_id: str, store: Path | None, partial: bool
) -> tuple[PublishedDataset, dict[str, Extractor]]:
    """A dataset and the extractors of its sources; what will go wrong at the end is refused here."""
    dataset = read_dataset(fetch_dataset(path_or_hub_id))
    name = dataset.manifest.name
    check_new_name(name)
    _refuse_other(name, dataset.manifest.sha256, store)
    sources = {document.source for document in dataset.withheld.values()}
    extractors = installed_extractors(sources)
    unknown = sorted(sources - set(extractors))
    if unknown and not partial:
        raise UsageError(
            f"{name}: nothing installed extracts documents of {', '.join(unknown)}; install the package that "
            f"registers it under {EXTRACTOR_GROUP}, or go without with --partial"
        )
    return dataset, extractors


def _stored(
    dataset: PublishedDataset, rebuilt: Rebuilt, path_or_hub_id: str, store: Path | None, partial: bool
) -> Outcome:
    """Store the corpus, unless something is missing and no part is wanted."""
    num_documents = dataset.manifest.num_documents
    if rebuilt.missing and not (partial and rebuilt.documents):
        return Outcome(None, None, num_documents, rebuilt.missing)
    if path_or_hub_id.startswith(HUB_PREFIX):
        origin = path_or_hub_id
    else:
        origin = readable_name(Path(path_or_hub_id).resolve().name)
    corpus = rebuilt_corpus(dataset, rebuilt, origin)
    folder = store_folder(store) / corpus.name
    _refuse_other(corpus.name, corpus.sha256, store)
    if corpus.name not in list_corpora(store):  # it may be, with the titles that a dataset leaves out
        save_corpus(corpus, store)
    return Outcome(corpus, folder, num_documents, rebuilt.missing)


def _refuse_other(name: str, sha256: str, store: Path | None) -> None:
    """Raise `CorpusError` where the store has other documents under a name: a corpus is never overwritten."""
    if name in list_corpora(store) and read_manifest(name, store).sha256 != sha256:
        raise CorpusError(
            f"corpus {name}: {store_folder(store) / name} holds other documents under this name and is never "
            "overwritten; give another --store"
        )


def _plan_lines(dataset: PublishedDataset, fetcher: Fetcher) -> list[str]:
    workloads: dict[str, Workload] = {}
    for document in dataset.withheld.values():
        url = document.url or ""
        try:
            policy = fetcher.policy(url)
        except FetchRefused:  # counted when it is tried
            continue
        if not fetcher.is_captured(url):
            num_pages = workloads[policy.queue].num_pages if policy.queue in workloads else 0
            workloads[policy.queue] = Workload(num_pages + 1, policy.delay_s)
    return [
        f"{dataset.manifest.name}: {len(dataset.documents)} documents with their text, "
        f"{len(dataset.withheld)} without",
        *estimate_lines(workloads),
    ]


def installed_extractors(names: Collection[str]) -> dict[str, Extractor]:
    """The extractors of some sources, by source; without those for which nothing is installed.

    Args:
        names: of sources, as in `evalkit.corpora.store.Document.source`.

    Raises:
        CrawlError: one is registered and cannot be loaded.
        UsageError: two packages bring one for the same source.
    """
    extractors = {}
    for name in sorted(names):
        point = plugin(EXTRACTOR_GROUP, name)
        if point is not None:
            try:
                extractors[name] = point.load()()
            except (ImportError, AttributeError, TypeError) as error:
                raise CrawlError(f"the extractor {name} ({point.value}) does not load: {error}") from error
    return extractors


def rebuild(
    dataset: PublishedDataset,
    get: Get,
    extractors: Mapping[str, Extractor],
    *,
    tell: Callable[[str], object],
) -> Rebuilt:
    """Fetch, extract and verify what a dataset withholds, hosts in parallel.

    A text counts only if its SHA-256 is the published one; what was cleaned away then is cleaned away again.

    Args:
        dataset: see `evalkit.corpora.published.read_dataset`.
        get: fetches politely; called from a thread for every host.
        extractors: by source; see `installed_extractors`.
        tell: is called at every tenth of the documents with a line that says how many were tried.

    Raises:
        CrawlError: a host cannot be reached.
    """
    lines = frozenset(dataset.manifest.provenance.get(clean.LINES_KEY, "").split())
    hosts: dict[str, list[int]] = {}
    for position, document in sorted(dataset.withheld.items()):
        hosts.setdefault(clean.site_of(document.url), []).append(position)

    pages: dict[int, Capture | FetchRefused] = {}

    def fetch(position: int) -> None:
        document = dataset.withheld[position]
        if document.source in extractors:
            try:
                pages[position] = get(document.url or "")
            except FetchRefused as refusal:
                pages[position] = refusal

    results: dict[int, Document | Drop] = {}
    total = len(dataset.withheld)
    for count, position in enumerate(in_parallel(list(hosts.values()), fetch), start=1):
        document = dataset.withheld[position]
        extractor = extractors.get(document.source)
        if extractor is None:
            results[position] = Drop(document.id, NO_EXTRACTOR)
        else:
            results[position] = _rebuilt(document, pages.pop(position), extractor, lines)
        if count * 10 // total > (count - 1) * 10 // total:
            tell(f"{count} of {total} documents tried")
    rebuilt = {position: result for position, result in results.items() if isinstance(result, Document)}
    missing = tuple(result for _, result in sorted(results.items()) if isinstance(result, Drop))
    return Rebuilt({**dataset.documents, **rebuilt}, missing)


def rebuilt_corpus(dataset: PublishedDataset, rebuilt: Rebuilt, origin: str) -> Corpus:
    """The corpus: the original's if nothing is missing, else one of its own named ``NAME-partial``.

    Args:
        dataset: what was published.
        rebuilt: what became of it.
        origin: where the dataset came from, for the provenance.

    Raises:
        CorpusError: nothing is missing and the digest is still not the published one, or nothing is left.
    """
    reasons = Counter(f"not rebuilt: {drop.reason}" for drop in rebuilt.missing)
    return dataset_corpus(dataset, rebuilt.documents, reasons, origin)


def _rebuilt(
    document: Document, page: Capture | FetchRefused, extractor: Extractor, lines: frozenset[str]
) -> Document | Drop:
    if isinstance(page, FetchRefused):
        return Drop(document.id, page.reason)
    result = extract_apart(extractor, _candidate(document), page)
    if isinstance(result, Drop):
        return Drop(document.id, result.reason)
    text = clean.without_lines(result.text, document.url, lines)
    if hashlib.sha256(text.encode()).hexdigest() != document.sha256:
        same = extractor.extractor == document.extractor
        return Drop(document.id, CHANGED_PAGE if same else OTHER_EXTRACTOR)
    if len(text.encode()) != document.num_bytes:
        return Drop(document.id, OTHER_LENGTH)
    return dataclasses.replace(document, text=text, title=result.candidate.title)


def _candidate(document: Document) -> Candidate:
    published_at = dt.datetime.fromisoformat(document.published_at or "1970-01-01")
    version = document.source_version
    return Candidate(
        id=document.id,
        url=document.url or "",
        published_at=published_at if published_at.tzinfo else published_at.replace(tzinfo=dt.UTC),
        license=document.license,
        language=document.language,
        cluster=document.cluster,
        attributes={} if version is None else {"source_version": version},
    )
