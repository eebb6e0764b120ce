"""What a crawl will do, under which names, and which earlier crawl it goes on with."""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from evalkit.corpora.incomplete import is_replaceable_corpus
from evalkit.corpora.store import check_new_name, list_corpora, read_manifest, store_folder
from evalkit.errors import CrawlError, UsageError
from evalkit.files import strict_json
from evalkit.isolation import DEFAULT_WORK_LIMITS, WorkLimits
from evalkit.locks import path_lock
from evalkit.version import __version__
from evalkit_crawlers.http.captures import CaptureStore
from evalkit_crawlers.options import CommonOptions
from evalkit_crawlers.source import Source

CAPTURES = ".captures"
"""Folder of everything fetched, beside the corpora that were made of it."""

FINISHED = "finished"
"""Stands in the folder of a crawl's listings after its corpora were stored."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a crawl will do, and under which names."""

    source: Source
    common: CommonOptions
    work_limits: WorkLimits = DEFAULT_WORK_LIMITS
    """Of a page's extraction."""

    @property
    def store(self) -> Path:
        """The folder of corpora."""
        return store_folder(self.common.output)

    def name(self, suffix: str) -> str:
        """The name of the corpus that candidates with this suffix go to."""
        window = self.common.window
        base = self.common.name or f"{self.source.name}-{window.since}-{window.until}"
        return f"{base}-{suffix}" if suffix else base

    @property
    def key(self) -> str:
        """Digest of what determines the listings that are asked for."""
        window = self.common.window
        parts = [self.source.name, dict(self.source.query), str(window.since), str(window.until)]
        return hashlib.sha256(strict_json(parts).encode()).hexdigest()[:16]

    def provenance(self) -> dict[str, str]:
        """What a manifest says of how its corpus was made, as far as it is known before the crawl."""
        common = self.common
        return {
            "program": f"evalkit {__version__} crawl {self.source.name}",
            "window": f"{common.window.since} to {common.window.until}",
            "query": json.dumps(dict(self.source.query), sort_keys=True, ensure_ascii=False),
            "max_documents": str(common.max_documents or "all"),
            "seed": str(common.seed),
            "extractor": self.source.extractor,
        }

    def check_name(self, suffix: str) -> None:
        """Refuse the name of a corpus if the store holds another crawl's under it, before hours are spent.

        Args:
            suffix: see `name`.

        Raises:
            UsageError: it holds one, or no corpus may be called so.
        """
        name = self.name(suffix)
        check_new_name(name)
        if name not in list_corpora(self.store):
            return
        stored = read_manifest(name, self.store).provenance
        # Another version of the program may go on; what chooses and makes documents must be the same, but
        # a corpus that is going to be replaced may be made anew by another extractor.
        may_differ = {"program", "extractor"} if is_replaceable_corpus(name, self.store) else {"program"}
        differing = [
            key
            for key, value in self.provenance().items()
            if stored.get(key) != value and key not in may_differ
        ]
        if differing:
            raise UsageError(
                f"corpus {name} exists and was made with another {' and '.join(differing)}; "
                "it is never overwritten: choose another name by --name"
            )


@contextlib.contextmanager
def generation(store: CaptureStore, plan: Plan, tell: Callable[[str], None]) -> Iterator[str]:
    """The scope of the crawl's listings: that of the last crawl like this, finished or not, or a new one.

    Args:
        store: of all captures.
        plan: its key tells which crawls are like this; ``refresh`` asks for a new scope.
        tell: is called with a line for the user where a finished crawl's listings are used again.

    Raises:
        CrawlError: another process crawls the same; or there is no scope and the network may not be used.
    """
    folder = store.folder / "crawls" / plan.key
    generations = sorted(path for path in folder.glob("[0-9][0-9][0-9][0-9]") if path.is_dir())
    if plan.common.offline and not generations:
        raise CrawlError(
            f"no crawl of {plan.source.name} with this window and query is kept in {store.folder}; "
            "run it without --offline first"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(path_lock(folder, wait=False))
        except BlockingIOError:
            raise CrawlError("this very crawl is under way in another process; wait for it") from None
        last = generations[-1] if generations else None
        if last is None or plan.common.refresh:
            last = folder / f"{int(last.name) + 1 if last else 1:04d}"
            last.mkdir()
        elif (last / FINISHED).exists() and not plan.common.offline:
            day = dt.datetime.fromtimestamp((last / FINISHED).stat().st_mtime, dt.UTC).date()
            tell(f"the listings of the crawl of {day} are used again (--refresh asks for new ones)")
        yield str(last.relative_to(store.folder))
