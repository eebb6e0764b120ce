"""Files of GitHub repositories that were created in the window, by programming language.

    evalkit crawl github --since 2026-11-01 --until 2026-11-15 --languages python,rust

What is listed: public repositories by the day of their creation, from the search API. It lists a thousand
of what it counts, so the window is halved until every part has fewer. What GitHub itself calls a fork, has
no permissive license by its ``license`` field, or was created elsewhere (its history begins before the
window) is left out.

What is taken: files as the last commit of the window has them, so that text and date do not change with
the day of the crawl; the date is the commit's. Of a language a seeded sample of repositories, and of a
repository a few files, each in its own corpus: two files of one repository say little more than one. Files
are kept byte for byte but for Unicode's normal form and line ends: license notices stay where they are.
"""

import dataclasses
import datetime as dt
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple
from urllib.parse import quote

import typer

from evalkit.cli.parsing import CommaLists, comma_list, joined
from evalkit.corpora import licenses
from evalkit.corpora.document import VERBATIM
from evalkit.errors import CrawlError, UsageError, unknown_name
from evalkit.terminal import show
from evalkit_crawlers.command import crawl_command
from evalkit_crawlers.http.hosts import HostPolicy
from evalkit_crawlers.source import (
    Candidate,
    Capture,
    CrawlWindow,
    Drop,
    Extracted,
    FetchRefused,
    Get,
    Source,
)
from evalkit_crawlers.sources import code_files, github_api
from evalkit_crawlers.sources.code_files import LANGUAGES

MIN_STARS = 5
MAX_REPOSITORIES = 200
MAX_FILES = 5
MIN_FILE_BYTES = 500
MAX_FILE_BYTES = 256 << 10
"""Larger sources are tables, fixtures or generated."""

NUM_QUESTIONS_PER_HOUR = 60
"""Without a token."""

OUTSIDE = "published outside of the window"
IN_EARLIER_REPOSITORY = "same file in an earlier repository"

_SHORTEST_INCOMPLETE = dt.timedelta(hours=1)
_SECOND = dt.timedelta(seconds=1)
_REASONS = {
    "HTTP 404": "deleted since",
    "HTTP 409": "empty repository",
    "HTTP 410": "deleted since",
    "HTTP 451": "deleted since",
}


@dataclasses.dataclass(frozen=True)
class GithubSource:
    """Files of repositories that were created in the window."""

    languages: tuple[str, ...]
    """Names of `evalkit_crawlers.sources.code_files.LANGUAGES`."""
    min_stars: int = MIN_STARS
    max_repositories: int = MAX_REPOSITORIES
    """Of a language."""
    max_files: int = MAX_FILES
    """Of a repository, in one language."""
    name: str = "github"
    extractor: str = f"{VERBATIM}, evalkit github 1"
    not_found_reason: str = "deleted since"

    @property
    def host_policies(self) -> tuple[HostPolicy, ...]:
        """GitHub's published limits."""
        return github_api.HOST_POLICIES

    @property
    def query(self) -> dict[str, str]:
        """Languages, and how many repositories and files of which size are looked at."""
        return {
            "languages": " ".join(self.languages),
            "min_stars": str(self.min_stars),
            "max_repositories": str(self.max_repositories),
            "max_files": str(self.max_files),
        }

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        """The sampled files, language by language, in the order of the search."""
        for language in self.languages:
            repositories = []
            for entry in _listed(language, self.min_stars, window, get):
                if isinstance(entry, Drop):
                    yield entry
                else:
                    repositories.append(entry)
            ranked = sorted(repositories, key=lambda repository: _rank(repository.name))
            sampled = set(ranked[: self.max_repositories])
            blobs: set[str] = set()
            for repository in repositories:
                if repository not in sampled:
                    yield Drop(repository.name, "repository not in the sample", language)
                    continue
                try:
                    yield from self._inspected(repository, language, window, get, blobs)
                except FetchRefused as refusal:
                    reason = _REASONS.get(refusal.reason, refusal.reason)
                    yield Drop(repository.name, reason, language)

    def _inspected(
        self, repository: "_Repository", language: str, window: CrawlWindow, get: Get, blobs: set[str]
    ) -> Iterator[Candidate | Drop]:
        """The sampled files of a repository; those of ``blobs`` stand in an earlier one."""
        reason, commit = _pinned(repository, window, get)
        if commit is None:
            yield Drop(repository.name, reason, language)
            return
        suffixes = LANGUAGES[language].suffixes
        files = github_api.files(get, repository.name, commit.sha)
        of_language = [file for file in files if file.path.lower().endswith(suffixes)]
        if not of_language:
            yield Drop(repository.name, "no file of the language", language)
        suitable = []
        for file in of_language:
            unsuitable = _unsuitable(file, blobs)
            if unsuitable:
                yield Drop(_file_id(repository, file), unsuitable, language)
            else:
                blobs.add(file.blob)
                suitable.append(file)
        suitable.sort(key=lambda file: _rank(f"{file.blob} {file.path}"))
        for position, file in enumerate(suitable):
            if position < self.max_files:
                yield _candidate(repository, commit, file, language)
            else:
                yield Drop(_file_id(repository, file), "file not in the sample", language)

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The file's text, unless it says itself that nobody wrote it, or that it has another license."""
        try:
            text = capture.body.decode("utf-8-sig")
        except UnicodeDecodeError:
            return Drop(candidate.id, "not UTF-8")
        if "\0" in text:
            return Drop(candidate.id, "binary file")
        reason = code_files.reason_of_text(text, is_prose=candidate.corpus == "markdown")
        return Drop(candidate.id, reason) if reason else Extracted(candidate, text)


class _Repository(NamedTuple):
    """A repository that a search lists and that may be taken."""

    name: str
    """``owner/name``."""
    license: str


def _listed(language: str, min_stars: int, window: CrawlWindow, get: Get) -> Iterator[_Repository | Drop]:
    """Every repository that was created in the window, once, or why it is left out."""
    first = dt.datetime.combine(window.since, dt.time(), dt.UTC)
    last = dt.datetime.combine(window.until, dt.time(23, 59, 59), dt.UTC)
    seen: set[str] = set()
    for row in _searched(language, min_stars, first, last, get):
        entry = row if isinstance(row, Drop) else _repository(row, language, window)
        name = entry.id if isinstance(entry, Drop) else entry.name
        if name in seen:
            yield Drop(name, "listed more than once", language)
        else:
            seen.add(name)
            yield entry


def _searched(
    language: str, min_stars: int, first: dt.datetime, last: dt.datetime, get: Get
) -> Iterator[Mapping[str, object] | Drop]:
    """The rows of a search for what was created between two moments, in as many parts as it takes."""
    query = f"created:{first:%Y-%m-%dT%H:%M:%SZ}..{last:%Y-%m-%dT%H:%M:%SZ} stars:>={min_stars}"
    if LANGUAGES[language].qualifier:
        query += f" language:{LANGUAGES[language].qualifier}"
    page = github_api.search(get, query, 1)
    is_too_long = page.num_counted > github_api.MAX_RESULTS and last > first
    if is_too_long or (page.is_incomplete and last - first > _SHORTEST_INCOMPLETE):
        middle = first + _SECOND * int((last - first) / _SECOND / 2)
        yield from _searched(language, min_stars, first, middle, get)
        yield from _searched(language, min_stars, middle + _SECOND, last, get)
        return
    rows = list(page.items)
    num_listed = min(page.num_counted, github_api.MAX_RESULTS)
    for number in range(2, math.ceil(num_listed / github_api.PAGE_SIZE) + 1):
        rows += github_api.search(get, query, number).items
    yield from rows
    names = {str(row.get("full_name")) for row in rows}
    for number in range(page.num_counted - len(names)):
        # Counted by the server and on none of its pages: there are such, but nobody can say which.
        yield Drop(
            f"{language}-{first:%Y%m%dT%H%M%SZ}-{number + 1}", "counted by the search, not listed", language
        )


def _repository(row: Mapping[str, object], language: str, window: CrawlWindow) -> _Repository | Drop:
    name, created_at = row.get("full_name"), github_api.moment(row.get("created_at"))
    if not isinstance(name, str) or name.count("/") != 1 or name.split() != [name] or created_at is None:
        raise CrawlError("GitHub's search: a repository has no name or date; ask again with --refresh")
    field = row.get("license")
    identifier = field.get("spdx_id") if isinstance(field, dict) else None
    license = licenses.normalise(identifier) if isinstance(identifier, str) else None
    reason = None
    if created_at not in window:
        reason = OUTSIDE
    elif row.get("fork") is not False:
        reason = "fork"
    elif row.get("mirror_url"):
        reason = "mirror"
    elif row.get("private") is True or row.get("disabled") is True:
        reason = "not public"
    elif row.get("size") == 0:
        reason = "empty repository"
    elif license is None:
        reason = "no license"
    elif not code_files.is_permissive(license):
        reason = "license not permissive"
    if reason or license is None:
        return Drop(name, reason or "no license", language)
    return _Repository(name, license)


def _pinned(repository: _Repository, window: CrawlWindow, get: Get) -> tuple[str, github_api.Commit | None]:
    """The last commit of the window; or None, after why nothing of the repository is taken."""
    commits = github_api.last_commits(get, repository.name, window.until)
    if not commits:
        return "no commit in the window", None
    # A repository may be created today and hold the work of ten years.
    moments = [moment for commit in commits for moment in (commit.committed_at, commit.authored_at)]
    if not all(moment in window for moment in moments):
        return "commits from outside of the window", None
    if len(commits) >= github_api.NUM_COMMITS:  # there may be earlier ones
        day_before = window.since - dt.timedelta(days=1)
        if github_api.last_commits(get, repository.name, day_before):
            return "commits from outside of the window", None
    return "", commits[0]


def _unsuitable(file: github_api.TreeFile, blobs: set[str]) -> str | None:
    if reason := code_files.reason_of_path(file.path):
        return reason
    if file.num_bytes < MIN_FILE_BYTES:
        return f"shorter than {MIN_FILE_BYTES} bytes"
    if file.num_bytes > MAX_FILE_BYTES:
        return f"larger than {MAX_FILE_BYTES >> 10} KiB"
    return IN_EARLIER_REPOSITORY if file.blob in blobs else None


def _candidate(
    repository: _Repository, commit: github_api.Commit, file: github_api.TreeFile, language: str
) -> Candidate:
    return Candidate(
        id=_file_id(repository, file),
        url=github_api.raw_url(repository.name, commit.sha, file.path),
        published_at=commit.committed_at,
        license=repository.license,
        title=f"{repository.name}: {file.path}",
        stratum=repository.name,
        corpus=language,
        cluster=f"github.com/{repository.name.lower()}",
        attributes={"source_version": commit.sha},
    )


def _file_id(repository: _Repository, file: github_api.TreeFile) -> str:
    return f"{repository.name}/{quote(file.path)}"


def _rank(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def parse_languages(text: str | None) -> tuple[str, ...]:
    """Languages as given on the command line, each once; None: all.

    Raises:
        UsageError: one is not among `evalkit_crawlers.sources.code_files.LANGUAGES`, or there is none.
    """
    if text is None:
        return tuple(LANGUAGES)
    names = tuple(dict.fromkeys(name.lower() for name in comma_list(text)))
    for name in names:
        if name not in LANGUAGES:
            hint = f"Known: {', '.join(LANGUAGES)}."
            raise UsageError(f"--languages: {unknown_name('language', name, LANGUAGES, hint)}")
    if not names:
        raise UsageError(f"--languages names none; give at least one of {', '.join(LANGUAGES)}")
    return names


@crawl_command
def command(
    languages: Annotated[
        CommaLists,
        typer.Option("--languages", help=f"Names by commas, of {', '.join(LANGUAGES)}; by default all."),
    ] = None,
    min_stars: Annotated[int, typer.Option("--min-stars", help="Of a repository.", min=0)] = MIN_STARS,
    max_repositories: Annotated[
        int, typer.Option("--max-repositories", help="Look into at most N of a language.", min=1)
    ] = MAX_REPOSITORIES,
    max_files: Annotated[
        int, typer.Option("--max-files", help="Take at most N files of a repository.", min=1)
    ] = MAX_FILES,
) -> Source:
    """Files of GitHub repositories created in the window, a corpus per language (permissive licenses).

    A token in $GITHUB_TOKEN raises the limit from 60 to 5,000 questions an hour; a repository takes two.
    """
    source = GithubSource(parse_languages(joined(languages)), min_stars, max_repositories, max_files)
    if not os.environ.get(github_api.TOKEN_VARIABLE):
        hours = math.ceil(len(source.languages) * max_repositories * 2 / NUM_QUESTIONS_PER_HOUR)
        show(
            f"without a token in ${github_api.TOKEN_VARIABLE} GitHub answers {NUM_QUESTIONS_PER_HOUR} "
            f"questions an hour: {len(source.languages)} languages of {max_repositories} repositories may "
            f"take {hours} hours; --max-repositories makes it fewer",
            err=True,
        )
    return source
