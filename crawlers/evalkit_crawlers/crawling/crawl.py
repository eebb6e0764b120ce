"""A crawl: from a source's listings to stored corpora.

    discover → window → sample → fetch (hosts in parallel) and extract → clean → store

Nothing is kept between these steps but captures (`evalkit_crawlers.http.captures`). A crawl that was
killed is simply run again: it goes through the same steps, and whatever was fetched is answered
from there. All steps but the fetching are functions of the captures, the options and the versions that the
manifest names, so that the same captures give the same corpora.
"""

import contextlib
import dataclasses
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from evalkit.corpora.store import (
    BUILTIN_NAMES,
    Corpus,
    Document,
    list_corpora,
    load_corpus,
    make_corpus,
    make_document,
    read_manifest,
    save_corpus,
    store_folder,
    utc_date,
)
from evalkit.errors import CorpusError, CrawlError, UsageError
from evalkit.files import atomic_write
from evalkit.isolation import DEFAULT_WORK_LIMITS, WorkLimits
from evalkit.terminal import show
from evalkit_crawlers.crawling.extraction import extract_apart
from evalkit_crawlers.crawling.plan import CAPTURES, FINISHED, Plan, generation
from evalkit_crawlers.crawling.progress import CrawlProgress, Workload, drops_text
from evalkit_crawlers.crawling.sampling import sample
from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.http.contact import contact_of_user
from evalkit_crawlers.http.exchange import DEFAULT_LIMITS, Limits
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.http.pacing import Clock, SystemClock
from evalkit_crawlers.http.parallel import in_parallel
from evalkit_crawlers.options import CommonOptions
from evalkit_crawlers.source import Candidate, Capture, Drop, FetchRefused, Source

OUTSIDE = "published outside of the window"
LISTED_AGAIN = "listed more than once"
NOT_SAMPLED = "not in the sample"

_ACCEPT = "text/html, application/xhtml+xml;q=0.9, */*;q=0.1"
_DROPS_FILE = "dropped.jsonl"


@dataclasses.dataclass(frozen=True, slots=True)
class Crawled:
    """A corpus that a crawl made, and what was left out of it."""

    corpus: Corpus
    folder: Path
    drops: tuple[Drop, ...]


def run(source: Source, common: CommonOptions) -> None:
    """Crawl and print the corpora, their licenses and what was dropped; arguments and errors of `crawl`."""
    import stamina.instrumentation

    stamina.instrumentation.set_on_retry_hooks([])  # it would log what is told to the user anyway
    clock = SystemClock()
    for crawled in crawl(source, common, clock=clock, progress=CrawlProgress(sys.stderr, clock)):
        manifest = crawled.corpus.manifest
        show(
            f"{manifest.name}: {manifest.num_documents:,} documents, {manifest.num_bytes:,} bytes, "
            f"sha256 {manifest.sha256[:12]}, in {crawled.folder}"
        )
        show(f"  licenses: {drops_text(manifest.licenses)}")
        if manifest.num_dropped:
            show(f"  dropped: {drops_text(manifest.num_dropped)} ({_DROPS_FILE} names them)")


def crawl(
    source: Source,
    common: CommonOptions,
    *,
    clock: Clock | None = None,
    progress: CrawlProgress | None = None,
    limits: Limits = DEFAULT_LIMITS,
    work_limits: WorkLimits = DEFAULT_WORK_LIMITS,
) -> list[Crawled]:
    """Crawl a source and store its corpora, the main one first.

    Args:
        source: what is crawled.
        common: window, sample, names and manners.
        clock: time; by default the machine's.
        progress: is told how far it is; by default it writes to standard error.
        limits: of sizes and times of single requests.
        work_limits: of time and memory that a page's extraction may take.

    Raises:
        UsageError: an option is wrong, a contact is missing, or a corpus of this name came from elsewhere.
        CrawlError: a host could not be reached, a listing is refused, nothing was found, the same crawl is
            under way, or nothing can be written.
        CorpusError: a corpus of this name holds other documents, or one in the store cannot be read.
    """
    clock = clock or SystemClock()
    progress = progress or CrawlProgress(sys.stderr, clock)
    contact = "offline" if common.offline else contact_of_user(common.contact)
    if common.window.until > clock.now().date():
        raise UsageError(f"--until {common.window.until} lies in the future; give a day that has come")
    plan = Plan(source, common, work_limits)
    plan.check_name("")
    _earlier_names(plan)  # what is wrong in the store is wrong before hours are spent
    store = CaptureStore(store_folder(common.output) / CAPTURES)
    try:
        return _crawled(plan, store, contact, clock, progress, limits)
    except OSError as error:  # the network's are errors of the fetcher's
        raise CrawlError(
            f"{error.filename or store.folder}: {error.strerror or error}; make room there, make it writable "
            "or give another --output, and run the same command again: what was fetched is kept"
        ) from error


def _crawled(
    plan: Plan, store: CaptureStore, contact: str, clock: Clock, progress: CrawlProgress, limits: Limits
) -> list[Crawled]:
    source, common = plan.source, plan.common
    with generation(store, plan, progress.message) as scope, progress.shown():
        with Fetcher(
            store,
            scope,
            contact=contact,
            endpoints=common.endpoints,
            allow_private_hosts=common.allow_private_hosts,
            skip_unreachable=common.skip_unreachable,
            offline=common.offline,
            policies=getattr(source, "host_policies", ()),
            limits=limits,
            clock=clock,
            watcher=progress,
        ) as fetcher:
            candidates, drops = _discovered(plan, fetcher, progress)
            for suffix in sorted({candidate.corpus for candidate in candidates}):
                plan.check_name(suffix)
            documents = _documents(plan, candidates, drops, fetcher, progress)
            fetcher.keep_refusals()
        cleaned = _cleaned(plan, documents, drops, progress)
        crawled = [_stored(plan, corpus, drops) for corpus, drops in cleaned]
        (store.folder / scope / FINISHED).touch()
    return crawled


def _listed(plan: Plan, fetcher: Fetcher) -> Iterator[Candidate | Drop]:
    try:
        yield from plan.source.discover(plan.common.window, fetcher.get)
    except FetchRefused as refusal:  # of a source that cannot go on without
        remedy = "run it without --offline" if plan.common.offline else "--refresh asks for it again"
        raise CrawlError(f"{plan.source.name}: a listing cannot be had: {refusal.reason}; {remedy}") from None


def _discovered(plan: Plan, fetcher: Fetcher, progress: CrawlProgress) -> tuple[list[Candidate], list[Drop]]:
    """The sampled candidates in the listings' order, and everything that fell out."""
    by_id: dict[tuple[str, str], Candidate] = {}
    drops: list[Drop] = []
    window = plan.common.window
    for candidate in _listed(plan, fetcher):
        if isinstance(candidate, Drop):
            drops.append(candidate)
            continue
        progress.candidate_listed()
        key = (candidate.corpus, candidate.id)
        if key in by_id:
            drops.append(Drop(candidate.id, LISTED_AGAIN, candidate.corpus))
        elif candidate.published_at not in window:
            drops.append(Drop(candidate.id, OUTSIDE, candidate.corpus))
        else:
            by_id[key] = candidate
    by_corpus: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in by_id.values():
        by_corpus[candidate.corpus].append(candidate)
    chosen = []
    for suffix, candidates in by_corpus.items():
        sampled = sample(candidates, plan.common.max_documents, plan.common.seed)
        ids = {candidate.id for candidate in sampled}
        drops += [
            Drop(candidate.id, NOT_SAMPLED, suffix) for candidate in candidates if candidate.id not in ids
        ]
        chosen += sampled
    for drop in drops:
        progress.document_dropped(drop.reason)
    return chosen, drops


def _documents(
    plan: Plan,
    candidates: Sequence[Candidate],
    drops: list[Drop],
    fetcher: Fetcher,
    progress: CrawlProgress,
) -> dict[str, list[Document]]:
    """The candidates' documents by corpus, not yet cleaned; what has none is added to ``drops``.

    An unreachable host is an error only at the end: what the other hosts have is fetched and kept first.
    """
    documents: dict[str, list[Document]] = {candidate.corpus: [] for candidate in candidates}
    unreached: dict[str, str] = {}
    for candidate, result in _pages(candidates, fetcher, progress):
        outcome = _outcome(plan, candidate, result)
        if isinstance(outcome, CrawlError):
            unreached[candidate.id] = str(outcome)
        elif isinstance(outcome, Drop):
            drops.append(outcome)
            progress.document_dropped(outcome.reason)
        else:
            documents[candidate.corpus].append(outcome)
            progress.document_made()
    if unreached:
        reasons = " ".join(f"{reason};" for reason in sorted(set(unreached.values())))
        raise CrawlError(f"{len(unreached)} of {len(candidates)} pages are missing: {reasons.rstrip(';')}")
    return documents


def _pages(
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


def _outcome(
    plan: Plan, candidate: Candidate, result: Capture | FetchRefused | CrawlError | None
) -> Document | Drop | CrawlError:
    if isinstance(result, CrawlError):
        return result
    if isinstance(result, FetchRefused):
        not_found = getattr(plan.source, "not_found_reason", "HTTP 404")
        reason = not_found if result.reason in ("HTTP 404", "HTTP 410") else result.reason
        return Drop(candidate.id, reason, candidate.corpus)
    extracted = extract_apart(plan.source, candidate, result, plan.work_limits)
    if isinstance(extracted, Drop):
        return dataclasses.replace(extracted, corpus=candidate.corpus)
    candidate = extracted.candidate
    if candidate.published_at not in plan.common.window:
        return Drop(candidate.id, OUTSIDE, candidate.corpus)
    return make_document(
        extracted.text,
        source=plan.source.name,
        id=candidate.id,
        url=candidate.url,
        published_at=utc_date(candidate.published_at),
        fetched_at=utc_date(result.fetched_at) if result is not None else None,
        title=candidate.title,
        license=candidate.license,
        language=candidate.language,
        cluster=candidate.cluster,
        extractor=plan.source.extractor,
        source_version=candidate.attributes.get("source_version"),
    )


def _cleaned(
    plan: Plan, documents: Mapping[str, Sequence[Document]], drops: Sequence[Drop], progress: CrawlProgress
) -> list[tuple[Corpus, tuple[Drop, ...]]]:
    """The corpora, each with what is not in it; one that would be empty is told of and left out."""
    from evalkit_crawlers.text.clean import clean_documents

    earlier_corpora = _earlier_corpora(plan)
    earlier_documents = [document for corpus in earlier_corpora for document in corpus.documents]
    earlier_names = ", ".join(f"{corpus.name} {corpus.sha256[:16]}" for corpus in earlier_corpora)
    window = plan.common.window
    corpora = []
    all_reasons = Counter(drop.reason for drop in drops if drop.corpus not in documents)
    if documents and all_reasons:  # no manifest counts them
        progress.message(f"{plan.name('')}: dropped, of no corpus: {drops_text(all_reasons)}")
    for suffix, raw_documents in sorted(documents.items()):
        cleaned = clean_documents(raw_documents, earlier_documents=earlier_documents)
        dropped = (
            *(drop for drop in drops if drop.corpus == suffix),
            *(dataclasses.replace(drop, corpus=suffix) for drop in cleaned.drops),
        )
        reasons = Counter(drop.reason for drop in dropped)
        all_reasons += reasons
        if not cleaned.documents:
            progress.message(f"{plan.name(suffix)}: no document is left ({drops_text(reasons)})")
            continue
        corpus = make_corpus(
            plan.name(suffix),
            cleaned.documents,
            description=f"{plan.source.name}, published {window.since} to {window.until}",
            date_from=str(window.since),
            date_to=str(window.until),
            provenance={
                **plan.provenance(),
                "known_corpora": earlier_names or "none",
                **cleaned.provenance,
            },
            num_dropped=dict(sorted(reasons.items())),
        )
        corpora.append((corpus, dropped))
    if not corpora:
        raise CrawlError(
            f"{plan.name('')}: no document is left ({drops_text(all_reasons) or 'none was listed'}); "
            "choose another window or other options"
        )
    return corpora


def _stored(plan: Plan, corpus: Corpus, drops: tuple[Drop, ...]) -> Crawled:
    folder = save_corpus(corpus, plan.store)
    if not (folder / _DROPS_FILE).exists():
        with atomic_write(folder / _DROPS_FILE) as temporary:
            lines = sorted(json.dumps({"id": drop.id, "reason": drop.reason}) for drop in drops)
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    return Crawled(corpus, folder, drops)


def _earlier_corpora(plan: Plan) -> list[Corpus]:
    """The store's corpora of this source whose window ended before this one began."""
    return [load_corpus(name, store=plan.store) for name in _earlier_names(plan)]


def _earlier_names(plan: Plan) -> list[str]:
    since = str(plan.common.window.since)
    earlier = []
    for name in list_corpora(plan.store):
        if name in BUILTIN_NAMES:
            continue
        try:
            manifest = read_manifest(name, plan.store)
        except CorpusError as error:
            raise CorpusError(
                f"{error}; a crawl leaves out what the store's corpora have: move {plan.store / name} away, "
                "or give another --output"
            ) from error
        if plan.source.name in manifest.sources and (manifest.date_to or since) < since:
            earlier.append(name)
    return earlier
