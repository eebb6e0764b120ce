"""The window's corpora: crawled into the store, compared with the previous ones, published without texts."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.corpora.audit import AUDIT_FILE, publishable, write_audit
from evalkit.corpora.auditing import audit, count_languages
from evalkit.corpora.folder import MANIFEST_FILE
from evalkit.corpora.gates import (
    PROFILE_FILE,
    Finding,
    check,
    check_first,
    profile,
    read_profile,
    write_profile,
)
from evalkit.corpora.incomplete import incomplete_text, lacks
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.names import PARTIAL_ENDING
from evalkit.corpora.store import Corpus, Document, list_corpora, load_corpus, store_folder
from evalkit.errors import CorpusError, CrawlError, EvalkitError, ModelError
from evalkit.files import atomic_write
from evalkit.models.catalog import load_catalog
from evalkit.models.name_patterns import find_entries
from evalkit.refresh.config import LeaderboardConfig, PublicationWindow, SourceConfig
from evalkit.spreadsheets import spreadsheet_rows

DAY = re.compile(r"\d{4}-\d\d-\d\d")
"""In the name of a window's corpus: its first."""
_DOCUMENT_FIELDS = (
    "id",
    "url",
    "published_at",
    "title",
    "license",
    "language",
    "cluster",
    "num_bytes",
    "sha256",
)


def crawl(config: LeaderboardConfig, window: PublicationWindow, *, tell: Callable[[str], None]) -> None:
    """Crawl what is not in the store yet or incomplete there, every source whatever became of the others.

    Sources are commands of ``evalkit crawl``, which are other packages': they are run as programs.

    Raises:
        UsageError: one of the models is unknown: scoring would find that out hours later.
        CrawlError: a source could not be crawled, or its corpus is incomplete.
    """
    check_models((*config.models, *config.gpu_models), tell)
    failed = []
    environment = dict(os.environ)
    if config.contact and not environment.get("EVALKIT_CONTACT"):  # GitHub makes an unset variable empty
        environment["EVALKIT_CONTACT"] = config.contact
    for source in config.sources:
        name, names = window.corpus(source.source), _names(source, window)
        missing = {stored_name: lacks(stored_name) for stored_name in names}
        if all(text == "" for text in missing.values()):
            tell(f"{', '.join(names)}: is there")
            continue
        for stored_name, text in missing.items():
            if text:
                tell(f"{stored_name}: is incomplete ({text}) and is crawled again")
        days = ["--since", window.since.isoformat(), "--until", window.until.isoformat()]
        arguments = ["crawl", source.source, *days, "--name", name, *source.options]
        tell(f"evalkit {' '.join(arguments)}")
        process = subprocess.run([sys.executable, "-m", "evalkit", *arguments], check=False, env=environment)
        if process.returncode:
            problem = "incomplete" if any(map(lacks, names)) else f"exit code {process.returncode}"
            failed.append(f"{source.source} ({problem})")
    if failed:
        raise CrawlError(f"not crawled: {', '.join(failed)}; what they said stands above; run the same again")


def check_models(models: Sequence[str], tell: Callable[[str], None]) -> None:
    """Refuse unknown models before slow work begins.

    Args:
        models: as `evalkit.models.name_patterns.find_entries` takes them.
        tell: told of those that cannot be reached today: they fail when they are to be scored.

    Raises:
        UsageError: a model is unknown.
    """
    catalog = load_catalog()
    for model in models:
        try:
            find_entries([model], catalog)
        except ModelError as error:
            tell(str(error))


class GatedCorpus(NamedTuple):
    """A corpus of the window and what the gates say."""

    name: str
    corpus: Corpus | None
    """None where it cannot be read."""
    previous: str | None
    """The corpus that it was compared with; None where it was compared with none."""
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether it may be published."""
        return self.corpus is not None and all(finding.passed for finding in self.findings)


def gate(config: LeaderboardConfig, window: PublicationWindow) -> list[GatedCorpus]:
    """Each source's corpus of the window against the last published one before it, or as a first one.

    Incomplete ones fail, and so do those that cannot be read.

    Raises:
        CorpusError: none of the window's corpora is in the store.
    """
    stored = [
        (source.source, suffix)
        for source in config.sources
        for suffix in source.suffixes
        if _is_stored(window.corpus(source.source, suffix))
    ]
    if not stored:
        raise CorpusError(
            f"no corpus of {window.since} to {window.until} is in {store_folder()}; "
            "`evalkit leaderboard crawl` makes them"
        )
    return [_gate(config, source, suffix, window.corpus(source, suffix)) for source, suffix in stored]


def _gate(config: LeaderboardConfig, source: str, suffix: str, name: str) -> GatedCorpus:
    corpus = None
    try:
        corpus = load_corpus(name)
        return _gate_corpus(config, source, suffix, corpus)
    except EvalkitError as error:  # of this corpus, or of the profile that it is compared with
        return GatedCorpus(name, corpus, None, (Finding("readable", False, str(error)),))


def _names(source: SourceConfig, window: PublicationWindow) -> list[str]:
    """The corpora that are taken from a source's crawl of a window."""
    return [window.corpus(source.source, suffix) for suffix in source.suffixes]


def _is_stored(name: str) -> bool:
    return (store_folder() / name / MANIFEST_FILE).is_file()


def _gate_corpus(config: LeaderboardConfig, source: str, suffix: str, corpus: Corpus) -> GatedCorpus:
    name = corpus.name
    if missing := incomplete_text(corpus.manifest):
        text = f"it lacks {missing}; `evalkit leaderboard crawl`, run again later, completes it"
        return GatedCorpus(name, corpus, None, (Finding("complete", False, text),))
    pattern = f"{source}-????-??-??-{suffix}" if suffix else f"{source}-????-??-??"
    profiles = config.corpora_folder.glob(f"{pattern}/{PROFILE_FILE}")
    earlier = sorted(path for path in profiles if path.parent.name < name)
    if not earlier:
        _, wrong_language = count_languages(corpus.documents)
        findings = check_first(profile(corpus), len(wrong_language), config.limits)
        return GatedCorpus(name, corpus, None, tuple(findings))
    previous = read_profile(earlier[-1])
    return GatedCorpus(name, corpus, previous.name, tuple(check(profile(corpus), previous, config.limits)))


def gate_lines(gated: Sequence[GatedCorpus]) -> list[str]:
    """What the gates say, in words."""
    lines = []
    for gated_corpus in gated:
        name, previous, verdict = gated_corpus.name, gated_corpus.previous, _verdict(gated_corpus.passed)
        if previous is not None:
            lines.append(f"{name} after {previous}: {verdict}")
        elif len(gated_corpus.findings) > 1:
            lines.append(f"{name}: the first of its source, {verdict}")
        else:
            lines.append(f"{name}: {verdict}")
        lines += [
            f"  {_verdict(finding.passed)}  {finding.gate}: {finding.text}"
            for finding in gated_corpus.findings
        ]
    return lines


def _verdict(passed: bool) -> str:
    return "passed" if passed else "FAILED"


def publish(
    config: LeaderboardConfig, gated: Sequence[GatedCorpus], *, tell: Callable[[str], None] | None = None
) -> list[Path]:
    """Write manifest, profile, audit and list of documents of each corpus that passed; returns their folders.

    An audit compares with the store's corpora of earlier windows of the same source, and shows only words
    that anybody may show. What is beyond a limit of it is for people to judge and stops nothing.

    Args:
        config: says where.
        gated: what the gates said.
        tell: told of each folder when it is written, and of earlier corpora that cannot be compared with.

    Raises:
        CorpusError: one could not be written or looked at; the others are published.
    """
    tell = tell or (lambda _: None)
    folders, problems = [], []
    for gated_corpus in gated:
        if gated_corpus.corpus is None or not gated_corpus.passed:
            continue
        try:
            folders.append(_publish_corpus(config, gated_corpus.corpus, tell))
            tell(f"published: {folders[-1]}")
        except EvalkitError as error:
            problems.append(f"{gated_corpus.name}: {error}")
    if problems:
        raise CorpusError(f"not published: {'; '.join(problems)}")
    return folders


def _publish_corpus(config: LeaderboardConfig, corpus: Corpus, tell: Callable[[str], None]) -> Path:
    import pyarrow as pa
    import pyarrow.csv

    folder = config.corpora_folder / corpus.name
    manifest = (store_folder() / corpus.name / MANIFEST_FILE).read_bytes()
    for path in (folder / MANIFEST_FILE, config.cells_folder / corpus.name / MANIFEST_FILE):
        with atomic_write(path) as temporary:
            temporary.write_bytes(manifest)
    rows = [_document_row(document) for document in corpus.documents]
    types = [(field, pa.int64() if field == "num_bytes" else pa.string()) for field in _DOCUMENT_FIELDS]
    with atomic_write(folder / "documents.csv") as temporary:
        pyarrow.csv.write_csv(
            pa.Table.from_pylist(spreadsheet_rows(rows), schema=pa.schema(types)), temporary
        )
    write_profile(profile(corpus), folder / PROFILE_FILE)
    audited = publishable(audit(corpus, _older_corpora(corpus.name, tell)), corpus)
    for path in (folder / AUDIT_FILE, config.cells_folder / corpus.name / AUDIT_FILE):
        write_audit(audited, path)
    return folder


def _document_row(document: Document) -> dict[str, str | int | None]:
    """What the list says of a document; its title only where its license allows."""
    row = {field: getattr(document, field) for field in _DOCUMENT_FIELDS}
    return row if may_republish(document.license) else {**row, "title": None}


def _older_corpora(name: str, tell: Callable[[str], None]) -> list[Corpus]:
    """The store's corpora that are called alike but for an earlier day, whole or in part, oldest first."""
    day = DAY.search(name)
    if day is None:
        return []
    pattern = re.compile(
        re.escape(name[: day.start()]) + DAY.pattern + re.escape(name[day.end() :]) + f"({PARTIAL_ENDING})?"
    )
    names = [stored for stored in list_corpora() if pattern.fullmatch(stored) and stored < name]
    older = []
    for stored in names:
        try:
            older.append(load_corpus(stored))
        except EvalkitError as error:
            tell(f"{name}: not compared with {stored}, which cannot be read: {error}")
    return older


def published_names(config: LeaderboardConfig, window: PublicationWindow) -> list[str]:
    """The window's corpora that were published."""
    names = [name for source in config.sources for name in _names(source, window)]
    return [name for name in names if (config.corpora_folder / name / PROFILE_FILE).is_file()]
