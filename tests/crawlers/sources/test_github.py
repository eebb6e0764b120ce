"""The GitHub source alone: how it cuts a window, which files are somebody's, which answers are none."""

import datetime as dt
import json
from collections import Counter
from typing import Any

import pytest

from evalkit.errors import CrawlError, UsageError
from evalkit_crawlers.http.exchange import Answer
from evalkit_crawlers.http.hosts import Pause
from evalkit_crawlers.source import Candidate, Drop, FetchRefused
from evalkit_crawlers.sources import github_api
from evalkit_crawlers.sources.code_files import is_permissive, reason_of_path, reason_of_text
from evalkit_crawlers.sources.github import GithubSource, command, parse_languages
from tests.support.direct import NOW, WINDOW, DirectGet, reasons
from tests.support.replay import Reply, Request
from tests.support.site_github import Repository, code, github_site

FIRST = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def many(count: int, apart: dt.timedelta) -> list[Repository]:
    return [
        Repository(
            f"owner/r{number}", {"a.py": code(number)}, created_at=FIRST + number * apart, stars=number % 90
        )
        for number in range(count)
    ]


def entries_of(source: GithubSource, get: DirectGet) -> list[Candidate | Drop]:
    return list(source.discover(WINDOW, get))


def test_a_window_with_more_than_a_search_lists_is_cut_until_all_are_listed() -> None:
    repositories = many(2600, dt.timedelta(minutes=3))
    get = DirectGet(github_site(repositories))
    entries = entries_of(GithubSource(("python",), min_stars=0, max_repositories=2), get)
    drops = [entry for entry in entries if isinstance(entry, Drop)]
    assert reasons(drops) == {"repository not in the sample": 2598}
    assert len({entry.id.rpartition("/a.py")[0] or entry.id for entry in entries}) == 2600
    assert len(get.requested_urls) == len(set(get.requested_urls))
    num_searches = sum("/search/" in url for url in get.requested_urls)
    assert (
        num_searches == 26 + 2 + 2
    )  # pages of a hundred; those that were cut; the last, not full one of each


def test_what_a_second_holds_beyond_the_searchs_limit_is_counted() -> None:
    repositories = many(1003, dt.timedelta(0))
    entries = entries_of(
        GithubSource(("python",), min_stars=0, max_repositories=1), DirectGet(github_site(repositories))
    )
    drops = [entry for entry in entries if isinstance(entry, Drop)]
    assert reasons(drops) == {"counted by the search, not listed": 3, "repository not in the sample": 999}
    assert drops[0].id == "python-20261101T000000Z-1"


def test_a_search_that_the_server_stopped_is_cut_too() -> None:
    repositories = many(60, dt.timedelta(hours=5))
    entries = entries_of(
        GithubSource(("python",), min_stars=0), DirectGet(github_site(repositories, incomplete=3))
    )
    assert {entry.id for entry in entries} == {f"owner/r{number}/a.py" for number in range(60)}
    assert all(isinstance(entry, Candidate) for entry in entries)


def test_the_sample_depends_on_names_alone() -> None:
    repositories = many(40, dt.timedelta(hours=3))
    source = GithubSource(("python",), min_stars=0, max_repositories=9, max_files=1)
    first = [
        entry.id
        for entry in entries_of(source, DirectGet(github_site(repositories)))
        if isinstance(entry, Candidate)
    ]
    restarred = [Repository(**{**vars_of(repository), "stars": 5}) for repository in reversed(repositories)]
    second = [
        entry.id
        for entry in entries_of(source, DirectGet(github_site(restarred)))
        if isinstance(entry, Candidate)
    ]
    assert len(first) == 9 and sorted(first) == sorted(second)


def vars_of(repository: Repository) -> dict[str, Any]:
    return {name: getattr(repository, name) for name in Repository.__dataclass_fields__}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("src/app.py", None),
        ("cmd/vendoring/main.go", None),
        ("external_sort.py", None),
        ("src/targets/x.rs", None),
        ("src/target/x.rs", None),
        ("vue.config.js", None),
        ("jquery_notes.md", None),
        ("rebuild/x.py", None),
        ("my-react.js", None),
        ("docs/static.md", None),
        ("ui/menu.h", None),
        ("vendor/github.com/x/y.go", "vendored file"),
        ("web/node_modules/a/b.js", "vendored file"),
        ("third-party/zlib/a.cpp", "vendored file"),
        ("src/3rdparty/a.h", "vendored file"),
        ("external/a.hpp", "vendored file"),
        ("dist/app.js", "vendored file"),
        ("target/debug/build.rs", "vendored file"),
        (".github/workflows/notes.md", "vendored file"),
        ("public/js/jquery-3.7.1.js", "vendored file"),
        ("jquery.js", "vendored file"),
        ("static/jquery.validate.js", "vendored file"),
        ("tests/fixtures/a.py", "vendored file"),
        ("include/catch.hpp", "vendored file"),
        ("app.min.js", "minified file"),
        ("site-bundle.js", "minified file"),
        ("types/index.d.ts", "generated file"),
        ("api/x_pb2.py", "generated file"),
        ("api/x.pb.go", "generated file"),
        ("model.g.ts", "generated file"),
        ("zz_generated.deepcopy.go", "generated file"),
        ("src/moc_window.cpp", "generated file"),
        ("LICENSE.md", "license or code of conduct"),
        ("docs/CODE_OF_CONDUCT.md", "license or code of conduct"),
    ],
)
def test_whose_a_file_is_by_its_name(path: str, reason: str | None) -> None:
    assert reason_of_path(path) == reason


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("# Makes images generated by a model.", None),
        ('"""Reads what the autogenerated client sends."""', None),
        ("// SPDX-License-Identifier: MIT", None),
        ("// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only", None),
        ("/* SPDX-License-Identifier: BSD-3-Clause */", None),
        ("# Code generated by protoc-gen-go. DO NOT EDIT.", "generated file"),
        ("// @generated by a compiler", "generated file"),
        ("# This file was automatically generated from x.yaml", "generated file"),
        ("/* Generated by Cython 3.1 */", "generated file"),
        ("// Autogenerated by Thrift Compiler (0.20)", "generated file"),
        ("# SPDX-License-Identifier: LGPL-3.0-or-later", "the file states another license"),
        ("# SPDX-License-Identifier: NobodyKnows", "the file states another license"),
        (
            " * under the terms of the GNU Lesser General\n * Public License",
            "the file states another license",
        ),
        ("// This Source Code is subject to the Mozilla Public License", "the file states another license"),
    ],
)
def test_whose_a_file_is_by_its_first_lines(head: str, reason: str | None) -> None:
    assert reason_of_text(f"{head}\nx = 1\ny = 2\n", is_prose=False) == reason


def test_prose_may_have_long_lines_and_tell_of_what_is_generated() -> None:
    text = "# This file was automatically generated\n\n" + "word " * 400
    assert reason_of_text(text, is_prose=True) is None
    assert reason_of_text(text, is_prose=False) == "generated file"
    assert reason_of_text("word " * 400, is_prose=False) == "minified file"


@pytest.mark.parametrize(
    ("license", "permissive"),
    [
        *((name, True) for name in ("MIT", "Apache-2.0", "0BSD", "CC-BY-4.0")),
        *((name, False) for name in ("CC-BY-SA-4.0", "GPL-3.0", "MPL-2.0", "NOASSERTION", None)),
    ],
)
def test_permissive_licenses(license: str | None, permissive: bool) -> None:
    assert is_permissive(license) == permissive


def answering(body: Any, path: str = "/search/repositories") -> DirectGet:
    def site(request: Request) -> Reply:
        return Reply(body if isinstance(body, bytes) else json.dumps(body).encode())

    return DirectGet(site)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        [],
        {},
        {"total_count": "9", "items": []},
        {"total_count": 1, "items": [3]},
    ],
)
def test_searches_that_are_none(body: Any) -> None:
    with pytest.raises(FetchRefused, match="answer is not the API's"):
        github_api.search(answering(body), "created:x", 1)


@pytest.mark.parametrize(
    "body",
    [{}, [1], [{}], [{"sha": "../../x", "commit": {}}], [{"sha": "a" * 40, "commit": {"committer": None}}]],
)
def test_commits_that_are_none(body: Any) -> None:
    with pytest.raises(FetchRefused, match="answer is not the API's"):
        github_api.last_commits(answering(body), "a/b", WINDOW.until)


def test_trees_that_are_none() -> None:
    for body in ([], {"tree": {}}, {"tree": [{"type": "blob", "mode": "100644", "path": 3}]}):
        with pytest.raises(FetchRefused, match="answer is not the API's"):
            github_api.files(answering(body), "a/b", "a" * 40)


def test_a_repository_without_a_name_ends_the_crawl() -> None:
    get = answering({"total_count": 1, "incomplete_results": False, "items": [{"full_name": "a/b c"}]})
    with pytest.raises(CrawlError, match="no name or date"):
        entries_of(GithubSource(("python",)), get)


@pytest.mark.parametrize(
    ("status", "headers", "body", "pause"),
    [
        (200, {"x-ratelimit-remaining": "7"}, b"", None),
        (200, {}, b"", None),
        (404, {"x-ratelimit-remaining": "7"}, b"rate limit", None),
        (403, {"x-ratelimit-remaining": "7"}, b"Repository access blocked", None),
        (
            200,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 40)},
            b"",
            Pause(41, False),
        ),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, b"", Pause(1, False)),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 12}, b"", Pause(3600, False)),
        (200, {"x-ratelimit-remaining": "0"}, b"", Pause(60, False)),
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 40)},
            b"",
            Pause(41, True),
        ),
        (403, {"x-ratelimit-remaining": "7"}, b"exceeded a secondary Rate Limit", Pause(60, True)),
        (403, {"retry-after": "30"}, b"", Pause(0, True)),
        (429, {}, b"", Pause(60, True)),
    ],
)
def test_what_an_answer_says_of_limits(
    status: int, headers: dict[str, str], body: bytes, pause: Pause | None
) -> None:
    assert github_api.pause(Answer(status, headers, body), NOW) == pause


def test_languages_are_checked() -> None:
    assert parse_languages(None) == ("python", "cpp", "javascript", "typescript", "rust", "go", "markdown")
    assert parse_languages("Rust, go,rust") == ("rust", "go")
    with pytest.raises(UsageError, match=r"--languages: unknown language 'pyhton'. Did you mean python"):
        parse_languages("pyhton")
    with pytest.raises(UsageError, match="names none"):
        parse_languages(" ,")
    with pytest.raises(UsageError, match="unknown language 'cobol'"):
        command(since="2026-11-01", until="2026-11-15", languages=["cobol"])
    assert Counter(GithubSource(("go",)).query) == Counter(
        {"languages": "go", "min_stars": "5", "max_repositories": "200", "max_files": "5"}
    )
