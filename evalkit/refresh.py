"""The leaderboard's refresh, in steps that can be run again: crawl, publish, score, site.

``leaderboard.toml`` says of what; the window follows from the day, so that every step of one refresh, and a
refresh that is repeated, means the same corpora. Each step does what is missing:

* crawl: a corpus per source into the corpus store;
* publish: those that pass the gates (`evalkit.corpora.gates`) against their source's previous window; of each
  ``<results>/corpora/<name>/`` gets the manifest, the profile for the next window and a row per document
  (address, date, licence, digest; no text), and ``<results>/cells/<name>/`` the manifest for the site;
* score: the published ones, into ``<results>/cells``;
* site: from all cells, with the plots.

Sources are commands of ``evalkit crawl``, which are other packages': they are run as programs.
"""

import dataclasses
import datetime as dt
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.corpora.gates import (
    PROFILE_FILE,
    Finding,
    Limits,
    check,
    parse_limits,
    profile,
    read_profile,
    write_profile,
)
from evalkit.corpora.store import Corpus, load_corpus, store_folder
from evalkit.errors import CorpusError, CrawlError, ScoringError, UsageError, one_line, unknown_name
from evalkit.files import atomic_write
from evalkit.models.catalog import load_catalog, resolve_spec
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Reporter, Silent
from evalkit.scoring.policy import DEFAULT_POLICY, POLICIES

CONFIG_NAME = "leaderboard.toml"
WINDOWS = ("half-month", "month")
_MAX_DELAY_DAYS = 366
CELLS, CORPORA = "cells", "corpora"
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

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """A source and how it is crawled."""

    source: str
    options: tuple[str, ...] = ()
    """Of ``evalkit crawl SOURCE``, besides window and name."""


@dataclasses.dataclass(frozen=True)
class LeaderboardConfig:
    """What ``leaderboard.toml`` says."""

    title: str
    results: Path
    policies: tuple[str, ...]
    token_bits: bool
    window: str
    delay_days: int
    models: tuple[str, ...]
    gpu_models: tuple[str, ...]
    anchors: tuple[str, ...]
    sources: tuple[SourceConfig, ...]
    limits: Limits


class Window(NamedTuple):
    """Days of publication, both included."""

    since: dt.date
    until: dt.date

    def corpus(self, source: str) -> str:
        """The name of a source's corpus."""
        return f"{source}-{self.since.isoformat()}"


def read_config(path: Path) -> LeaderboardConfig:
    """What a leaderboard's TOML file says; paths in it are relative to it.

    Raises:
        UsageError: the file is missing, not TOML, or says something that is not understood.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; say which file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    kinds = {
        "title": str,
        "results": str,
        "policies": list,
        "token_bits": bool,
        "window": str,
        "delay_days": int,
        "models": dict,
        "sources": list,
        "gates": dict,
    }
    _check_table(content, kinds, str(path))
    models = content.get("models", {})
    _check_table(models, {"always": list, "gpu": list, "anchors": list}, f"{path}, models")
    sources = []
    for number, table in enumerate(content.get("sources", ())):
        where = f"{path}, source {number + 1}"
        if not isinstance(table, dict) or "source" not in table:
            raise UsageError(f'{where}: must be a table [[sources]] with source = "…"')
        _check_table(table, {"source": str, "options": list}, where)
        sources.append(SourceConfig(table["source"], _words(table, "options", where)))
    always = _words(models, "always", f"{path}, models")
    if not sources or not always:
        raise UsageError(f"{path}: name at least one model (models.always) and one source ([[sources]])")
    twice = [one.source for one in sources if [other.source for other in sources].count(one.source) > 1]
    if twice:
        raise UsageError(f"{path}: two sources are called {twice[0]}; their corpora would have the same name")
    window = content.get("window", WINDOWS[0])
    if window not in WINDOWS:
        raise unknown_name("window", window, WINDOWS, f"{path} may say {' or '.join(WINDOWS)}.")
    if not 0 <= content.get("delay_days", 0) <= _MAX_DELAY_DAYS:
        raise UsageError(f"{path}: delay_days must be from 0 to {_MAX_DELAY_DAYS}")
    policies = _words(content, "policies", str(path)) or (DEFAULT_POLICY,)
    for policy in policies:
        if policy not in POLICIES:
            raise unknown_name("policy", policy, POLICIES, f"{path} may say {', '.join(POLICIES)}.")
    return LeaderboardConfig(
        title=content.get("title", "evalkit"),
        results=path.parent / content.get("results", "results"),
        policies=policies,
        token_bits=content.get("token_bits", True),
        window=window,
        delay_days=content.get("delay_days", 2),
        models=always,
        gpu_models=_words(models, "gpu", f"{path}, models"),
        anchors=_words(models, "anchors", f"{path}, models"),
        sources=tuple(sources),
        limits=parse_limits(content.get("gates", {}), f"{path}, gates"),
    )


def _check_table(table: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    for key, value in table.items():
        if key not in kinds:
            raise UsageError(
                f"{where}: {unknown_name('key', key, kinds, 'Known: ' + ', '.join(kinds) + '.')}"
            )
        if type(value) is not kinds[key]:
            raise UsageError(f"{where}: {key} must be a {kinds[key].__name__}, not {value!r}")


def _words(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = table.get(key, [])
    if not all(isinstance(value, str) and value for value in values):
        raise UsageError(f"{where}: {key} must be a list of texts")
    return tuple(values)


def last_window(config: LeaderboardConfig, today: dt.date) -> Window:
    """The last whole window that was over ``delay_days`` ago."""
    until = today - dt.timedelta(days=config.delay_days)
    first = until.replace(day=1)
    if config.window == "half-month" and until.day > 15:
        return Window(first, first.replace(day=15))
    last = first - dt.timedelta(days=1)
    return Window(last.replace(day=16 if config.window == "half-month" else 1), last)


def crawl(config: LeaderboardConfig, window: Window, *, tell: Tell) -> None:
    """Crawl what is not in the store yet, every source whatever became of the others.

    Raises:
        UsageError: one of the models is unknown: told here, for scoring comes hours later.
        CrawlError: a source could not be crawled.
    """
    catalog = load_catalog()
    for model in (*config.models, *config.gpu_models):
        resolve_spec(model, catalog)
    failed = []
    for one in config.sources:
        name = window.corpus(one.source)
        if (store_folder() / name / "manifest.json").is_file():
            tell(f"{name}: is there")
            continue
        days = ["--since", window.since.isoformat(), "--until", window.until.isoformat()]
        arguments = ["crawl", one.source, *days, "--name", name, *one.options]
        tell(f"evalkit {' '.join(arguments)}")
        done = subprocess.run([sys.executable, "-m", "evalkit", *arguments], check=False)
        if done.returncode:
            failed.append(f"{one.source} (exit code {done.returncode})")
    if failed:
        raise CrawlError(f"not crawled: {', '.join(failed)}; what they said stands above; run the same again")


class Gated(NamedTuple):
    """A corpus of the window and what the gates say."""

    corpus: Corpus
    previous: str | None
    """The corpus that it was compared with; None: it is its source's first."""
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether it may be published."""
        return all(finding.passed for finding in self.findings)


def gate(config: LeaderboardConfig, window: Window) -> list[Gated]:
    """Each source's corpus of the window against the last published one before it.

    Raises:
        CorpusError: none of the window's corpora is in the store, or one cannot be read.
    """
    found = []
    for one in config.sources:
        name = window.corpus(one.source)
        if not (store_folder() / name / "manifest.json").is_file():
            continue
        corpus = load_corpus(name)
        before = sorted(
            path
            for path in (config.results / CORPORA).glob(f"{one.source}-????-??-??/{PROFILE_FILE}")
            if path.parent.name < name
        )
        if before:
            previous = read_profile(before[-1])
            findings = check(profile(corpus), previous, config.limits)
            found.append(Gated(corpus, previous.name, tuple(findings)))
        else:
            found.append(Gated(corpus, None, ()))
    if not found:
        raise CorpusError(
            f"no corpus of {window.since} to {window.until} is in {store_folder()}; "
            "`evalkit leaderboard crawl` makes them"
        )
    return found


def gate_lines(gated: Sequence[Gated]) -> list[str]:
    """What the gates say, in words."""
    lines = []
    for one in gated:
        if one.previous is None:
            lines.append(f"{one.corpus.name}: the first of its source, nothing to compare with")
        else:
            lines.append(f"{one.corpus.name} after {one.previous}: {'passed' if one.passed else 'FAILED'}")
        lines += [
            f"  {'passed' if finding.passed else 'FAILED'}  {finding.gate}: {finding.text}"
            for finding in one.findings
        ]
    return lines


def publish(config: LeaderboardConfig, gated: Sequence[Gated]) -> list[Path]:
    """Write manifest, profile and list of documents of each corpus that passed; returns their folders."""
    import pyarrow as pa
    import pyarrow.csv

    folders = []
    for one in gated:
        if not one.passed:
            continue
        name = one.corpus.name
        folder = config.results / CORPORA / name
        manifest = (store_folder() / name / "manifest.json").read_bytes()
        rows = [
            {field: getattr(document, field) for field in _DOCUMENT_FIELDS}
            for document in one.corpus.documents
        ]
        types = [(field, pa.int64() if field == "num_bytes" else pa.string()) for field in _DOCUMENT_FIELDS]
        for path in (folder / "manifest.json", config.results / CELLS / name / "manifest.json"):
            with atomic_write(path) as temporary:
                temporary.write_bytes(manifest)
        with atomic_write(folder / "documents.csv") as temporary:
            pyarrow.csv.write_csv(pa.Table.from_pylist(rows, schema=pa.schema(types)), temporary)
        write_profile(profile(one.corpus), folder / PROFILE_FILE)
        folders.append(folder)
    return folders


def published_names(config: LeaderboardConfig, window: Window) -> list[str]:
    """The window's corpora that were published."""
    names = [window.corpus(one.source) for one in config.sources]
    return [name for name in names if (config.results / CORPORA / name / PROFILE_FILE).is_file()]


def score(
    config: LeaderboardConfig, window: Window, *, hardware: str = "auto", reporter: Reporter | None = None
) -> tuple[int, int]:
    """Score the window's published corpora, as far as that is not done yet.

    Args:
        config: which models, which policies.
        window: of the corpora.
        hardware: ``gpu``, ``cpu``, or ``auto``: ``gpu`` where torch sees one.
        reporter: who is told of the cells; None: nobody.

    Returns:
        How many cells there are, and how many of these were scored now.

    Raises:
        UsageError: ``hardware`` is unknown.
        CorpusError: nothing was published.
        ScoringError: a cell failed; the others are kept.
    """
    from evalkit.runner.corpora import run

    names = published_names(config, window)
    if not names:
        raise CorpusError(
            f"no corpus of {window.since} to {window.until} was published in {config.results / CORPORA}; "
            "`evalkit leaderboard publish` publishes those that pass the gates"
        )
    models = config.models + (config.gpu_models if _on_gpu(hardware) else ())
    options = RunOptions(output=config.results / CELLS, reporter=reporter or Silent())
    results = [
        run(
            list(dict.fromkeys(models)),
            names,
            policy=policy,
            token_bits=config.token_bits,
            options=options,
        )
        for policy in config.policies
    ]
    failures = [failure for result in results for failure in result.failures]
    if failures:
        first = failures[0]
        raise ScoringError(
            f"{len(failures)} cells failed, the first is {first.model} on {first.subject}: {first.reason}"
        )
    return sum(len(result.cells) for result in results), sum(result.num_scored for result in results)


def _on_gpu(hardware: str) -> bool:
    if hardware not in ("auto", "cpu", "gpu"):
        raise unknown_name("hardware", hardware, ("auto", "cpu", "gpu"), "Known: auto, cpu, gpu.")
    if hardware != "auto":
        return hardware == "gpu"
    import torch

    return torch.cuda.is_available()


def site(config: LeaderboardConfig, output: Path, *, docs: str | None = None, tell: Tell) -> list[str]:
    """Build the site of all cells, and the plots that the cells allow; returns these plots' names.

    Args:
        config: what the leaderboard is made of.
        output: the site's folder; a site there is replaced.
        docs: see `evalkit.report.SiteOptions`.
        tell: told of what is left out.

    Raises:
        UsageError: there are no cells, or ``output`` holds something else than a site.
    """
    from evalkit.plots import draw_all
    from evalkit.report import SiteOptions, build_site, check_output, docs_files

    cells = config.results / CELLS
    check_output(output, cells)
    docs_files(docs)
    figures = draw_all(cells, benchmarks=config.results, anchors=config.anchors, tell=tell)
    build_site(cells, output, SiteOptions(title=config.title, figures=figures, docs=docs), warn=tell)
    return [figure.name for figure in figures]


def commit(config: LeaderboardConfig, message: str, *, push: bool, tell: Tell) -> bool:
    """Commit what changed under the results, and nothing else; returns whether something had.

    Raises:
        UsageError: there are no results.
        ScoringError: git refuses, or is not installed.
    """
    folder = config.results.resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder, so there are no results to commit; score first")
    _git(folder, "add", "--all", "--", ".")
    if not _git(folder, "status", "--porcelain", "--untracked-files=no", "--", "."):
        tell("nothing new in the results")
        return False
    _git(folder, "commit", "--quiet", "--message", f"{message} [skip ci]", "--", ".")
    tell(_git(folder, "log", "-1", "--format=%h %s"))
    if push:
        # Somebody may have pushed while this was scoring.
        _git(folder, "pull", "--quiet", "--rebase")
        _git(folder, "push", "--quiet")
    return True


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ScoringError(
            f"cannot run git ({error.strerror}); install it, or commit {folder} by hand"
        ) from error
    if done.returncode:
        said = one_line(done.stderr or done.stdout)
        raise ScoringError(f"git {arguments[0]} in {folder} failed: {said}")
    return done.stdout.strip()
