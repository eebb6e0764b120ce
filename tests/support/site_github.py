"""GitHub for tests: search, commits, trees and raw files in the shapes of its REST API.

Shapes after the schemas of https://docs.github.com/en/rest, filled by hand; limits of use after
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tests.support.replay import FakeClock, Reply, Request, Site
from tests.support.toy_source import prose

API_HOST, RAW_HOST = "api.github.com", "raw.githubusercontent.com"
HOSTS = [API_HOST, RAW_HOST]
CREATED = dt.datetime(2026, 11, 3, 9, tzinfo=dt.UTC)
MAX_RESULTS = 1000


@dataclasses.dataclass(frozen=True)
class Repository:
    """A repository with one commit that matters, and what is wrong with it."""

    name: str
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    language: str | None = "Python"
    license: str | None = "MIT"
    created_at: dt.datetime = CREATED
    committed_at: dt.datetime = CREATED + dt.timedelta(days=2)
    authored_at: dt.datetime | None = None
    """None: as committed."""
    first_commit_at: dt.datetime | None = None
    """Of one commit more; None: there is none before the others."""
    num_commits: int = 1
    stars: int = 12
    fork: bool = False
    mirror_url: str | None = None
    size: int = 40
    fate: str | None = None
    """empty, deleted or truncated."""

    @property
    def sha(self) -> str:
        return hashlib.sha1(self.name.encode()).hexdigest()


def code(seed: int | str, num_functions: int = 12) -> bytes:
    """A program's text like no other seed's, with a comment, of about two kilobytes."""
    words = prose(f"code {seed}", 40 * num_functions).replace(".", "").lower().split()
    dice = random.Random(str(seed))
    lines = [f"# {' '.join(words[:10])}", ""]
    for number in range(num_functions):
        a, b, c, *more = words[10 + number * 30 : 30 + number * 30]
        lines += [
            f"def {a}_{b}_{number}({c}):",
            f'    """{" ".join(more[:9])}."""',
            f"    {more[9]} = {c} * {dice.randrange(10**6)}",
            f"    return {more[9]} + {b!r}.count({more[10]!r})",
            "",
        ]
    return "\n".join(lines).encode()


def blob_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()


class Limits:
    """The limits of use: so many requests of a kind in so many seconds, told in headers."""

    def __init__(
        self, clock: FakeClock, core: tuple[int, int] = (60, 3600), search: tuple[int, int] = (10, 60)
    ):
        self.clock, self.sizes = clock, {"core": core, "search": search}
        self.windows: dict[str, tuple[float, int]] = {}
        self.num_refused = 0

    def counted(self, kind: str) -> tuple[bool, dict[str, str]]:
        """Whether a request is let through, and the headers of its answer."""
        size, length_s = self.sizes[kind]
        now_s = self.clock.now().timestamp()
        ends_at_s, used = self.windows.get(kind, (0.0, 0))
        if now_s >= ends_at_s:
            ends_at_s, used = now_s + length_s, 0
        passes = used < size
        self.num_refused += not passes
        used = min(used + 1, size)
        self.windows[kind] = ends_at_s, used
        return passes, {
            "X-RateLimit-Limit": str(size),
            "X-RateLimit-Remaining": str(size - used),
            "X-RateLimit-Reset": str(int(ends_at_s)),
            "X-RateLimit-Used": str(used),
            "X-RateLimit-Resource": kind,
        }


def github_site(
    repositories: Sequence[Repository],
    *,
    limits: Limits | None = None,
    special: Mapping[str, list[Reply]] | None = None,
    incomplete: int = 0,
) -> Site:
    """``api.github.com`` and ``raw.githubusercontent.com``.

    Args:
        repositories: in any order.
        limits: of use; none without.
        special: by path, replies that come first, each once.
        incomplete: so many searches, the first ones, are stopped by the server's own timeout.
    """
    by_name = {repository.name: repository for repository in repositories}
    state = {"incomplete": incomplete}

    def site(request: Request) -> Reply:
        if special and special.get(request.path):
            return special[request.path].pop(0)
        if request.host == RAW_HOST:
            return _raw(by_name, request)
        if request.path == "/robots.txt":
            return Reply(b"User-agent: *\nDisallow: /\n")
        headers: dict[str, str] = {}
        if limits is not None:
            passes, headers = limits.counted("search" if request.path.startswith("/search/") else "core")
            if not passes:
                return _json({"message": "API rate limit exceeded for 127.0.0.1."}, 403, headers)
        if request.path == "/search/repositories":
            state["incomplete"] -= 1
            return _search(repositories, request.query, state["incomplete"] >= 0, headers)
        return _repository(by_name, request, headers)

    return site


def _json(content: Any, status: int = 200, headers: Mapping[str, str] = {}) -> Reply:
    body = json.dumps(content).encode()
    return Reply(body, status, headers={"Content-Type": "application/json; charset=utf-8", **headers})


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _listed(repository: Repository) -> dict[str, Any]:
    owner, _, name = repository.name.partition("/")
    number = int(repository.sha[:8], 16)
    license = repository.license and {
        "key": "other" if repository.license == "NOASSERTION" else repository.license.lower(),
        "name": repository.license,
        "spdx_id": repository.license,
        "url": None,
        "node_id": "MDc6TGljZW5zZTE=",
    }
    return {
        "id": number,
        "node_id": f"R_{number}",
        "name": name,
        "full_name": repository.name,
        "private": False,
        "owner": {"login": owner, "id": number // 7, "type": "User", "site_admin": False},
        "html_url": f"https://github.com/{repository.name}",
        "description": None,
        "fork": repository.fork,
        "url": f"https://api.github.com/repos/{repository.name}",
        "created_at": _stamp(repository.created_at),
        "updated_at": "2026-11-19T00:00:00Z",
        "pushed_at": "2026-11-18T00:00:00Z",
        "size": repository.size,
        "stargazers_count": repository.stars,
        "language": repository.language,
        "mirror_url": repository.mirror_url,
        "archived": False,
        "disabled": False,
        "license": license,
        "default_branch": "main",
        "score": 1.0,
    }


def _search(
    repositories: Sequence[Repository],
    query: Mapping[str, str],
    is_incomplete: bool,
    headers: Mapping[str, str],
) -> Reply:
    terms = query["q"].split()
    first, last = next(term for term in terms if term.startswith("created:"))[8:].split("..")
    stars = int(next(term for term in terms if term.startswith("stars:>="))[8:])
    language = next((term[9:] for term in terms if term.startswith("language:")), None)
    assert len(terms) == 2 + (language is not None), "nothing else is understood"
    matches = [
        repository
        for repository in repositories
        if first <= _stamp(repository.created_at) <= last
        and repository.stars >= stars
        and language in (None, (repository.language or "").lower())
    ]
    matches.sort(key=lambda repository: (-repository.stars, repository.sha))
    size, page = int(query["per_page"]), int(query["page"])
    if (page - 1) * size >= MAX_RESULTS:
        return _json({"message": "Only the first 1000 search results are available"}, 422, headers)
    if is_incomplete:
        matches = matches[: len(matches) // 3]
    items = [_listed(repository) for repository in matches[:MAX_RESULTS][(page - 1) * size : page * size]]
    content = {"total_count": len(matches), "incomplete_results": is_incomplete, "items": items}
    return _json(content, headers=headers)


def _repository(by_name: Mapping[str, Repository], request: Request, headers: Mapping[str, str]) -> Reply:
    match = re.fullmatch(r"/repos/([^/]+/[^/]+)/(commits|git/trees/([0-9a-f]{40}))", request.path)
    repository = by_name.get(match[1]) if match else None
    if match is None or repository is None or repository.fate == "deleted":
        return _json({"message": "Not Found", "status": "404"}, 404, headers)
    if repository.fate == "empty":
        return _json({"message": "Git Repository is empty.", "status": "409"}, 409, headers)
    if match[3]:
        return _tree(repository, match[3], request, headers)
    moments = [repository.committed_at] * repository.num_commits
    if repository.first_commit_at is not None:
        moments.append(repository.first_commit_at)
    rows = []
    for moment in moments:
        if _stamp(moment) <= request.query["until"]:
            person = {"name": "A. Writer", "email": "writer@example.org"}
            authored_at = repository.authored_at or moment
            rows.append(
                {
                    "sha": repository.sha,
                    "commit": {
                        "author": {**person, "date": _stamp(authored_at)},
                        "committer": {**person, "date": _stamp(moment)},
                        "message": "Say what changed",
                        "tree": {"sha": repository.sha[::-1]},
                        "comment_count": 0,
                    },
                    "parents": [],
                }
            )
    return _json(rows[: int(request.query["per_page"])], headers=headers)


def _tree(repository: Repository, sha: str, request: Request, headers: Mapping[str, str]) -> Reply:
    assert sha == repository.sha and request.query == {"recursive": "1"}
    rows: list[dict[str, Any]] = [
        {"path": "src", "mode": "040000", "type": "tree", "sha": "0" * 40},
        {"path": "latest.py", "mode": "120000", "type": "blob", "sha": "1" * 40, "size": 900},
        {"path": "module.py", "mode": "160000", "type": "commit", "sha": "2" * 40},
    ]
    rows += [
        {"path": path, "mode": "100644", "type": "blob", "sha": blob_sha(data), "size": len(data)}
        for path, data in repository.files.items()
    ]
    return _json({"sha": sha, "tree": rows, "truncated": repository.fate == "truncated"}, headers=headers)


def _raw(by_name: Mapping[str, Repository], request: Request) -> Reply:
    match = re.fullmatch(r"/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", request.path)
    repository = by_name.get(match[1]) if match else None
    if match is None or repository is None or match[2] != repository.sha:
        return Reply(b"404: Not Found", 404, headers={"Content-Type": "text/plain; charset=utf-8"})
    body = repository.files[unquote(match[3])]
    return Reply(body, headers={"Content-Type": "text/plain; charset=utf-8"})
