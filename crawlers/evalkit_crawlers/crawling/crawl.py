"""A crawl: from a source's listings to stored corpora.

    discover → window → sample → fetch (hosts in parallel) and extract → clean → store

Nothing is kept between these steps but captures (`evalkit_crawlers.http.captures`). A crawl that was
killed is simply run again: it goes through the same steps, and whatever was fetched is answered
from there. All steps but the fetching are functions of the captures, the options and the versions that the
manifest names, so that the same captures give the same corpora.
"""

import dataclasses
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from evalkit.corpora.folder import DROPS_FILE
from evalkit.corpora.incomplete import incomplete_text, reasons_text
from evalkit.corpora.store import Corpus, Document, make_corpus, make_document, store_folder
from evalkit.dates import utc_date
from evalkit.errors import CrawlError, UsageError
from evalkit.isolation import DEFAULT_WORK_LIMITS, WorkLimits
from evalkit.terminal import show
from evalkit_crawlers.crawling.extraction import extract_apart
from evalkit_crawlers.crawling.page_fetching import fetch_pages
from evalkit_crawlers.crawling.plan import CAPTURES, FINISHED, Plan, generation
from evalkit_crawlers.crawling.progress import CrawlProgress, drops_text
from evalkit_crawlers.crawling.sampling import sample
from evalkit_crawlers.crawling.stories import Linked, with_stories
from evalkit_crawlers.crawling.storing import (
    Crawled,
    earlier_corpora,
    earlier_names,
    store_corpus,
)
from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.http.contact import contact_of_user
from evalkit_crawlers.http.exchange import DEFAULT_LIMITS, Limits
from evalkit_crawlers.http.fetch import Fetcher
from evalkit_crawlers.http.pacing import Clock, SystemClock
from evalkit_crawlers.options import CommonOptions
from evalkit_crawlers.source import Candidate, Capture, Drop, FetchRefused, Remark, Source

OUTSIDE = "published outside of the window"
LISTED_AGAIN = "listed more than once"
NOT_SAMPLED = "not in the sample"

REMEDY = (
    "what was fetched is kept: run the same command again later, which asks for what is missing, or with "
    "--skip-unreachable to go without"
)


def run(source: Source, common: CommonOptions) -> None:
    """Crawl and print the corpora, their licenses and what was dropped; arguments and errors of `crawl`.

    Raises:
        CrawlError: also where a corpus is incomplete, after it was stored.
    """
    import stamina.instrumentation

    stamina.instrumentation.set_on_retry_hooks([])  # it would log what is told to the user anyway
    clock = SystemClock()
    lacking = []
    for crawled in crawl(source, common, clock=clock, progress=CrawlProgress(sys.stderr, clock)):
        manifest = crawled.corpus.manifest
        show(
            f"{manifest.name}: {manifest.num_documents:,} documents, {manifest.num_bytes:,} bytes, "
            f"sha256 {manifest.sha256[:12]}, in {crawled.folder}"
        )
        show(f"  licenses: {drops_text(manifest.licenses)}")
        if manifest.num_dropped:
            show(f"  dropped: {drops_text(manifest.num_dropped)} ({DROPS_FILE} names them)")
        if manifest.incomplete:
            show(f"  incomplete: {incomplete_text(manifest)} ({DROPS_FILE} names them)")
            lacking.append(f"{manifest.name} is incomplete ({incomplete_text(manifest)})")
    if lacking:
        raise CrawlError(f"{'; '.join(lacking)}; {REMEDY}")


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

    What a server does not give now and may give another day makes a corpus incomplete
    (`Manifest.incomplete`): it is stored, and replaced by that of the same crawl's next run, which asks for
    what is missing.

    Args:
        source: what is crawled.
        common: window, sample, names and manners.
        clock: time; by default the machine's.
        progress: is told how far it is; by default it writes to standard error.
        limits: of sizes and times of single requests.
        work_limits: of time and memory that a page's extraction may take.

    Raises:
        UsageError: an option is wrong, a contact is missing, or a corpus of this name came from elsewhere.
        CrawlError: a listing without which the source cannot go on is not to be had, nothing was found, the
            same crawl is under way, or nothing can be written.
        CorpusError: a corpus of this name holds other documents, or one in the store cannot be read.
    """
    clock = clock or SystemClock()
    progress = progress or CrawlProgress(sys.stderr, clock)
    contact = "offline" if common.offline else contact_of_user(common.contact)
    if common.window.until > clock.now().date():
        raise UsageError(f"--until {common.window.until} lies in the future; give a day that has come")
    plan = Plan(source, common, work_limits)
    plan.check_name("")
    earlier_names(plan)  # what is wrong in the store is wrong before hours are spent
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
            obeys_reservations=getattr(source, "obeys_reservations", False),
            policies=getattr(source, "host_policies", ()),
            limits=limits,
            clock=clock,
            watcher=progress,
        ) as fetcher:
            candidates, drops, remarks = _discovered(plan, fetcher, progress)
            for suffix in sorted({candidate.corpus for candidate in candidates}):
                plan.check_name(suffix)
            documents = _documents(plan, candidates, drops, fetcher, progress)
            missing = _missing(plan, candidates, fetcher)
            if common.skip_unreachable:
                fetcher.keep_refusals()
        crawled = [
            store_corpus(plan, *parts, progress.message)
            for parts in _cleaned(plan, documents, drops, missing, remarks, progress)
        ]
        if not missing:
            (store.folder / scope / FINISHED).touch()
    return crawled


def _listed(plan: Plan, fetcher: Fetcher) -> Iterator[Candidate | Drop | Remark]:
    try:
        yield from plan.source.discover(plan.common.window, fetcher.get)
    except FetchRefused as refusal:  # of a source that cannot go on without
        remedy = "run it without --offline" if plan.common.offline else "--refresh asks for it again"
        raise CrawlError(f"{plan.source.name}: a listing cannot be had: {refusal.reason}; {remedy}") from None


def _discovered(
    plan: Plan, fetcher: Fetcher, progress: CrawlProgress
) -> tuple[list[Candidate], list[Drop], list[Remark]]:
    """The sampled candidates in the listings' order, everything that fell out, and what the listings lack."""
    by_id: dict[tuple[str, str], Candidate] = {}
    drops: list[Drop] = []
    remarks: list[Remark] = []
    window = plan.common.window
    progress.message(f"{plan.source.name}: listings first, then the pages that they name")
    for candidate in _listed(plan, fetcher):
        if isinstance(candidate, Remark):
            progress.message(f"{candidate.subject}: {candidate.text}")
            remarks.append(candidate)
            continue
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
    return chosen, drops, remarks


def _documents(
    plan: Plan,
    candidates: Sequence[Candidate],
    drops: list[Drop],
    fetcher: Fetcher,
    progress: CrawlProgress,
) -> dict[str, list[Document]]:
    """The candidates' documents by corpus, not yet cleaned; what has none is added to ``drops``.

    What is missing and may be had another day is in neither; see `_missing`.
    """
    linked: dict[str, list[Linked]] = {candidate.corpus: [] for candidate in candidates}
    for candidate, result in fetch_pages(candidates, fetcher, progress):
        if isinstance(result, Exception) and _is_missing(plan, candidate.url, fetcher):
            continue
        outcome = _outcome(plan, candidate, result)
        if isinstance(outcome, Drop):
            drops.append(outcome)
            progress.document_dropped(outcome.reason)
        else:
            linked[candidate.corpus].append(outcome)
            progress.document_made()
    return {suffix: with_stories(group, progress.message) for suffix, group in linked.items()}


def _is_missing(plan: Plan, url: str, fetcher: Fetcher) -> bool:
    return url in fetcher.missing and not plan.common.skip_unreachable


def _missing(plan: Plan, candidates: Sequence[Candidate], fetcher: Fetcher) -> list[Drop]:
    """What was not to be had and may be another day: pages of candidates, and addresses of listings."""
    if plan.common.skip_unreachable:
        return []
    by_url: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_url[candidate.url].append(candidate)
    missing = []
    for url, reason in sorted(fetcher.missing.items()):
        pages = [Drop(candidate.id, reason, candidate.corpus) for candidate in by_url[url]]
        # What a listing would have named may belong to any of them.
        suffixes = sorted({candidate.corpus for candidate in candidates}) or [""]
        missing += pages or [Drop(url, f"listing of {reason}", suffix) for suffix in suffixes]
    return missing


def _outcome(
    plan: Plan, candidate: Candidate, result: Capture | FetchRefused | CrawlError | None
) -> Linked | Drop:
    if isinstance(result, CrawlError):  # no host's that may be reached another day, which is missing
        raise result
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
    document = make_document(
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
        story_id=candidate.story_id,
    )
    return Linked(document, candidate.alternates)


def _cleaned(
    plan: Plan,
    documents: Mapping[str, Sequence[Document]],
    drops: Sequence[Drop],
    missing: Sequence[Drop],
    remarks: Sequence[Remark],
    progress: CrawlProgress,
) -> list[tuple[Corpus, tuple[Drop, ...], tuple[Drop, ...]]]:
    """The corpora, each with what is not in it and what it lacks; an empty one is told of and left out."""
    from evalkit_crawlers.text.clean import clean_documents

    earlier = earlier_corpora(plan)
    earlier_documents = [document for corpus in earlier for document in corpus.documents]
    names = ", ".join(f"{corpus.name} {corpus.sha256[:16]}" for corpus in earlier)
    window = plan.common.window
    corpora = []
    all_reasons = Counter(drop.reason for drop in (*drops, *missing) if drop.corpus not in documents)
    if documents and all_reasons:  # no manifest counts them
        progress.message(f"{plan.name('')}: dropped, of no corpus: {drops_text(all_reasons)}")
    for suffix, raw_documents in sorted(documents.items()):
        cleaned = clean_documents(raw_documents, earlier_documents=earlier_documents)
        dropped = (
            *(drop for drop in drops if drop.corpus == suffix),
            *(dataclasses.replace(drop, corpus=suffix) for drop in cleaned.drops),
        )
        reasons = Counter(drop.reason for drop in dropped)
        lacking = tuple(drop for drop in missing if drop.corpus == suffix)
        incomplete = Counter(drop.reason for drop in lacking)
        all_reasons += reasons + incomplete
        if not cleaned.documents:
            progress.message(f"{plan.name(suffix)}: no document is left ({drops_text(reasons + incomplete)})")
            continue
        corpus = make_corpus(
            plan.name(suffix),
            cleaned.documents,
            description=f"{plan.source.name}, published {window.since} to {window.until}",
            date_from=str(window.since),
            date_to=str(window.until),
            provenance={
                **plan.provenance(),
                "known_corpora": names or "none",
                **({"listings": _remarks_text(remarks)} if remarks else {}),
                **cleaned.provenance,
            },
            num_dropped=dict(sorted(reasons.items())),
            incomplete=dict(sorted(incomplete.items())),
        )
        corpora.append((corpus, dropped, lacking))
    if not corpora:
        raise CrawlError(
            f"{plan.name('')}: no document is left ({reasons_text(all_reasons) or 'none was listed'}); "
            + (REMEDY if missing else "choose another window or other options")
        )
    return corpora


def _remarks_text(remarks: Sequence[Remark]) -> str:
    return "; ".join(f"{remark.subject}: {remark.text}" for remark in remarks)
