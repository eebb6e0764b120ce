"""Questions to GitHub's REST API, and its answers, checked.

Formats: https://docs.github.com/en/rest/search/search#search-repositories,
https://docs.github.com/en/rest/commits/commits#list-commits,
https://docs.github.com/en/rest/git/trees#get-a-tree. Limits:
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api.
"""

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode

from evalkit.files import parse_json
from evalkit_crawlers.http.exchange import Answer
from evalkit_crawlers.http.hosts import HostPolicy, Pause
from evalkit_crawlers.http.pacing import MAX_HOLD_S
from evalkit_crawlers.source import Capture, FetchRefused, Get

API = "https://api.github.com"
RAW_HOST = "raw.githubusercontent.com"
TOKEN_VARIABLE = "GITHUB_TOKEN"
ACCEPT = "application/vnd.github+json"

PAGE_SIZE = 100
MAX_RESULTS = 1000
"""What a search lists, however many repositories it counts."""
NUM_COMMITS = 30
"""Of one question: most repositories of a few days have fewer, and then a second question is not needed."""
MAX_ANSWER_BYTES = 32 << 20
"""A tree has at most 7 MB."""
SECONDARY_LIMIT_S = 60.0
"""The least to wait where a limit of use is met that tells no time."""

NOT_AN_ANSWER = "answer is not the API's"


class SearchPage(NamedTuple):
    """A page of a search."""

    num_counted: int
    """Repositories that match, listed or not."""
    is_incomplete: bool
    """The search took too long for the server, which stopped."""
    items: list[dict[str, object]]


class Commit(NamedTuple):
    """What is needed of a commit."""

    sha: str
    committed_at: dt.datetime
    authored_at: dt.datetime


class TreeFile(NamedTuple):
    """A file of a commit."""

    path: str
    blob: str
    """SHA-1 by which git names its bytes."""
    num_bytes: int


def pause(answer: Answer, now: dt.datetime) -> Pause | None:
    """What GitHub's limits ask for after an answer, primary and secondary ones.

    A refusal is 403 or 429 with ``x-ratelimit-remaining: 0``, a ``retry-after``, or a message that names
    the secondary limit; a 403 without any of them is about the repository.
    """
    refuses = answer.status in (403, 429)
    if answer.headers.get("x-ratelimit-remaining", "").strip() == "0":
        reset = answer.headers.get("x-ratelimit-reset", "").strip()
        until_reset_s = int(reset) - now.timestamp() + 1.0 if reset.isdecimal() else SECONDARY_LIMIT_S
        # A primary limit is for an hour at most; what is more is a clock that goes wrong.
        return Pause(min(max(until_reset_s, 1.0), MAX_HOLD_S), refuses)
    if refuses and (
        answer.status == 429 or "retry-after" in answer.headers or b"rate limit" in answer.body[:4096].lower()
    ):
        return Pause(0.0 if "retry-after" in answer.headers else SECONDARY_LIMIT_S, True)
    return None


HOST_POLICIES = (
    HostPolicy(
        "github-api",
        ("api.github.com",),
        interfaces=("/search/", "/repos/", "/repositories/"),
        pause=pause,
        token_variable=TOKEN_VARIABLE,
    ),
    HostPolicy("github-raw", (RAW_HOST,)),
)


def search_url(query: str, page: int) -> str:
    """The address of a page of a search for repositories, the first page being 1."""
    parameters = {"q": query, "sort": "stars", "order": "desc", "per_page": PAGE_SIZE, "page": page}
    return f"{API}/search/repositories?{urlencode(parameters)}"


def raw_url(repository: str, commit: str, path: str) -> str:
    """The address of a file's bytes at a commit."""
    return f"https://{RAW_HOST}/{repository}/{commit}/{quote(path)}"


def search(get: Get, query: str, page: int) -> SearchPage:
    """A page of a search for repositories.

    Raises:
        FetchRefused: it cannot be had, or is no answer of the API's.
    """
    reply = _json(get(search_url(query, page), accept=ACCEPT, revalidate=True))
    if not isinstance(reply, dict):
        raise FetchRefused(NOT_AN_ANSWER)
    num_counted, items = reply.get("total_count"), reply.get("items")
    if not isinstance(num_counted, int) or not isinstance(items, list):
        raise FetchRefused(NOT_AN_ANSWER)
    rows = [item for item in items if isinstance(item, dict)]
    if len(rows) < len(items):
        raise FetchRefused(NOT_AN_ANSWER)
    return SearchPage(num_counted, reply.get("incomplete_results") is True, rows)


def last_commits(get: Get, repository: str, until: dt.date) -> list[Commit]:
    """The default branch's last commits of a day or before, by the committer's clock, newest first.

    Fewer than `NUM_COMMITS` are all that there are.

    Raises:
        FetchRefused: they cannot be had (409: the repository is empty), or are no answer of the API's.
    """
    parameters = {"until": f"{until.isoformat()}T23:59:59Z", "per_page": NUM_COMMITS}
    url = f"{API}/repos/{repository}/commits?{urlencode(parameters)}"
    reply = _json(get(url, accept=ACCEPT, revalidate=True))
    if not isinstance(reply, list):
        raise FetchRefused(NOT_AN_ANSWER)
    return [_commit(_object(row)) for row in reply]


def _commit(row: Mapping[str, object]) -> Commit:
    details, sha = _object(row.get("commit")), row.get("sha")
    committed_at = moment(_object(details.get("committer")).get("date"))
    authored_at = moment(_object(details.get("author")).get("date"))
    if not isinstance(sha, str) or not _is_sha(sha) or committed_at is None or authored_at is None:
        raise FetchRefused(NOT_AN_ANSWER)
    return Commit(sha, committed_at, authored_at)


def files(get: Get, repository: str, commit: str) -> list[TreeFile]:
    """The files of a commit, without links and submodules.

    Raises:
        FetchRefused: the list cannot be had, is no answer of the API's, or is cut short.
    """
    url = f"{API}/repos/{repository}/git/trees/{commit}?recursive=1"
    reply = _object(_json(get(url, accept=ACCEPT)))
    tree = reply.get("tree")
    if not isinstance(tree, list):
        raise FetchRefused(NOT_AN_ANSWER)
    if reply.get("truncated") is True:
        raise FetchRefused("more files than GitHub lists")
    listed = []
    for row in map(_object, tree):
        path, blob, size = row.get("path"), row.get("sha"), row.get("size")
        if row.get("type") != "blob" or row.get("mode") not in ("100644", "100755"):
            continue
        if not isinstance(path, str) or not isinstance(blob, str) or not isinstance(size, int):
            raise FetchRefused(NOT_AN_ANSWER)
        listed.append(TreeFile(path, blob, size))
    return listed


def moment(value: object) -> dt.datetime | None:
    """A time as GitHub writes it (``2026-11-03T10:00:00Z``), aware, in UTC; None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        parsed = dt.datetime.fromisoformat(value)
        return parsed.astimezone(dt.UTC) if parsed.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _json(capture: Capture) -> object:
    if len(capture.body) > MAX_ANSWER_BYTES:
        raise FetchRefused(f"answer larger than {MAX_ANSWER_BYTES >> 20} MiB")
    try:
        reply: object = parse_json(capture.body)
    except ValueError:
        raise FetchRefused(NOT_AN_ANSWER) from None
    return reply


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise FetchRefused(NOT_AN_ANSWER)
    return value


def _is_sha(text: str) -> bool:
    return len(text) in (40, 64) and set(text) <= set("0123456789abcdef")
