"""A crawl's corpora in the store: those of earlier windows, and under which name a new one goes."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from evalkit.corpora.folder import DROPS_FILE
from evalkit.corpora.incomplete import incomplete_text, is_replaceable_corpus
from evalkit.corpora.store import (
    BUILTIN_NAMES,
    Corpus,
    list_corpora,
    load_corpus,
    read_manifest,
    save_corpus,
)
from evalkit.errors import CorpusError, CrawlError
from evalkit.files import atomic_write
from evalkit_crawlers.crawling.plan import Plan
from evalkit_crawlers.source import Drop


@dataclasses.dataclass(frozen=True, slots=True)
class Crawled:
    """A corpus that a crawl made, and what was left out of it."""

    corpus: Corpus
    folder: Path
    drops: tuple[Drop, ...]
    missing: tuple[Drop, ...] = ()
    """What may be had another day; the manifest's `incomplete` counts it."""


def store_corpus(
    plan: Plan, corpus: Corpus, drops: Sequence[Drop], missing: Sequence[Drop], tell: Callable[[str], object]
) -> Crawled:
    """Store a corpus of a crawl and the list of what is not in it.

    One of its name that is incomplete and was never scored is replaced. Where it was scored it stays, and the
    new corpus gets the name with a number behind it.

    Args:
        plan: of the crawl.
        corpus: under its name.
        drops: what was left out of it.
        missing: what it lacks.
        tell: is called with a line for the user where the corpus gets another name.

    Raises:
        CorpusError: the name is taken by a corpus with other documents, or the store cannot be written.
        CrawlError: the same, and that one is whole while this one is not.
    """
    corpus = _with_free_name(plan, corpus, tell)
    if corpus.manifest.incomplete and corpus.name in list_corpora(plan.store):
        stored = read_manifest(corpus.name, plan.store)
        if not stored.incomplete and stored.sha256 != corpus.sha256:
            raise CrawlError(
                f"corpus {corpus.name} is whole and stays as it is; this crawl lacks "
                f"{incomplete_text(corpus.manifest)}: run it again later"
            )
    folder = save_corpus(corpus, plan.store)
    lines = [json.dumps({"id": drop.id, "reason": drop.reason}) for drop in drops]
    lines += [json.dumps({"id": drop.id, "reason": drop.reason, "missing": True}) for drop in missing]
    text = "".join(f"{line}\n" for line in sorted(lines))
    path = folder / DROPS_FILE
    # A corpus that was there already was made with drops of its own.
    is_of_the_stored = read_manifest(corpus.name, plan.store).num_dropped == Counter(
        drop.reason for drop in drops
    )
    if not path.exists() or (is_of_the_stored and path.read_text(encoding="ascii") != text):
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="ascii")
    return Crawled(corpus, folder, tuple(drops), tuple(missing))


def _with_free_name(plan: Plan, corpus: Corpus, tell: Callable[[str], object]) -> Corpus:
    """The corpus under the first name that holds no other one which was scored while it was incomplete."""
    name, number = corpus.name, 1
    while name in list_corpora(plan.store) and not is_replaceable_corpus(name, plan.store):
        stored = read_manifest(name, plan.store)
        is_same = (stored.sha256, stored.incomplete) == (corpus.sha256, corpus.manifest.incomplete)
        if is_same or not stored.incomplete:
            break
        number += 1
        tell(f"{name} was scored while it was incomplete and stays; the new one is {corpus.name}-{number}")
        name = f"{corpus.name}-{number}"
    return dataclasses.replace(corpus, manifest=dataclasses.replace(corpus.manifest, name=name))


def earlier_corpora(plan: Plan) -> list[Corpus]:
    """The store's corpora of this source whose window ended before this one began."""
    return [load_corpus(name, store=plan.store) for name in earlier_names(plan)]


def earlier_names(plan: Plan) -> list[str]:
    """The names of `earlier_corpora`.

    Raises:
        CorpusError: the manifest of a corpus in the store cannot be read.
    """
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
