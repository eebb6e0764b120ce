"""Stack Exchange's API for tests: its wrapper, filters, errors and pages, always in gzip.

Shapes after https://api.stackexchange.com/docs (version 2.3), filled by hand.
"""

import dataclasses
import datetime as dt
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.replay import Reply, Request, Site
from tests.support.toy_source import prose

HOST = "api.stackexchange.com"
FILTER = "!a1B2c3D4"
ASKED = dt.datetime(2026, 11, 4, 8, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@dataclasses.dataclass(frozen=True)
class Post:
    """An answer."""

    text: str
    created_at: dt.datetime
    edited_at: dt.datetime | None = None
    license: str | None = "CC BY-SA 4.0"


@dataclasses.dataclass(frozen=True)
class Question:
    number: int
    text: str
    answers: tuple[Post, ...]
    site: str = "stackoverflow"
    created_at: dt.datetime = ASKED
    edited_at: dt.datetime | None = None
    license: str | None = "CC BY-SA 4.0"
    closed_at: dt.datetime | None = None
    answer_count: int | None = None
    """None: as many as there are."""
    author: int | None = 7

    @property
    def id(self) -> str:
        return f"{self.site}-{self.number}"


def question(number: int, num_answers: int = 2, **changes: Any) -> Question:
    """A question like no other number's."""
    created_at = changes.get("created_at", ASKED + number * dt.timedelta(minutes=3))
    answers = tuple(
        Post(f"Answer {n}: {prose(f'answer {number} {n}', 60)}", created_at + (n + 1) * HOUR)
        for n in range(num_answers)
    )
    fields: dict[str, Any] = {
        "text": f"How is it < or > so?\n\n{prose(f'question {number}', 80)}\n\n    x = {number} & 1\n",
        "answers": answers,
        "created_at": created_at,
        "author": number,
    }
    return Question(number, **{**fields, **changes})


def stackexchange_site(
    questions: Sequence[Question],
    *,
    backoff_on: Mapping[int, int] | None = None,
    quota: int = 300,
    throttled: Sequence[int] = (),
) -> Site:
    """``api.stackexchange.com``.

    Args:
        questions: of all sites, in any order.
        backoff_on: number of a request for questions, counted from 1 → seconds of ``backoff`` in its answer.
        quota: how many requests are answered.
        throttled: numbers of requests for questions that are refused.
    """
    sites = {entry.site for entry in questions}
    num_requests = {"questions": 0, "all": 0}

    def site(request: Request) -> Reply:
        num_requests["all"] += 1
        wrapper: dict[str, Any] = {"quota_max": quota, "quota_remaining": quota - num_requests["all"]}
        if num_requests["all"] > quota:
            return _error(
                502,
                "throttle_violation",
                "too many requests from this IP, more requests available in 40000 seconds",
            )
        if request.path == "/2.3/filters/create":
            included = request.query["include"].split(";")
            assert request.query["base"] == "none" and request.query["unsafe"] == "true"
            assert {"question.body_markdown", "answer.content_license", ".backoff", ".has_more"} <= set(
                included
            )
            made = {"filter": FILTER, "filter_type": "unsafe", "included_fields": included}
            return _gzipped({"items": [made], "has_more": False, **wrapper})
        assert request.path == "/2.3/questions" and request.query["filter"] == FILTER
        num_requests["questions"] += 1
        number = num_requests["questions"]
        if number in throttled:
            return _error(
                502,
                "throttle_violation",
                "too many requests from this IP, more requests available in 83 seconds",
            )
        if request.query["site"] not in sites:
            return _error(400, "bad_parameter", f"No site found for name `{request.query['site']}`")
        if backoff_on and number in backoff_on:
            wrapper["backoff"] = backoff_on[number]
        return _gzipped({**_page(questions, request.query), **wrapper})

    return site


def _gzipped(content: Mapping[str, Any], status: int = 200) -> Reply:
    headers = {"Content-Type": "application/json; charset=utf-8", "Content-Encoding": "gzip"}
    return Reply(gzip.compress(json.dumps(content).encode(), mtime=0), status, headers=headers)


def _error(number: int, name: str, message: str) -> Reply:
    return _gzipped({"error_id": number, "error_name": name, "error_message": message}, 400)


def _seconds(moment: dt.datetime) -> int:
    return int(moment.timestamp())


def _page(questions: Sequence[Question], query: Mapping[str, str]) -> dict[str, Any]:
    assert query["sort"] == "creation" and query["order"] == "asc"
    listed = sorted(
        (
            entry
            for entry in questions
            if entry.site == query["site"]
            and int(query["fromdate"]) <= _seconds(entry.created_at) <= int(query["todate"])
        ),
        key=lambda entry: (entry.created_at, entry.number),
    )
    start, size = (int(query["page"]) - 1) * int(query["pagesize"]), int(query["pagesize"])
    assert int(query["page"]) <= 25 and size <= 100
    page = listed[start : start + size]
    return {"items": [_item(entry) for entry in page], "has_more": start + size < len(listed)}


def _item(entry: Question) -> dict[str, Any]:
    host = f"{entry.site}.com" if "stackoverflow" in entry.site else f"{entry.site}.stackexchange.com"
    owner: dict[str, Any] = {"user_type": "does_not_exist"}
    if entry.author is not None:
        owner = {"user_id": entry.author, "user_type": "registered"}
    count = len(entry.answers) if entry.answer_count is None else entry.answer_count
    item: dict[str, Any] = {"owner": owner, "answer_count": count}
    if entry.answers:
        item["answers"] = [
            {"answer_id": entry.number * 100 + n, **_post(answer)} for n, answer in enumerate(entry.answers)
        ]
    if entry.closed_at:
        item["closed_date"] = _seconds(entry.closed_at)
    return item | {
        "question_id": entry.number,
        "link": f"https://{host}/questions/{entry.number}/how-is-it",
        "title": f"How is number {entry.number} \u2018made\u2019 & why?",
        **_post(entry),
    }


def _post(post: Post | Question) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "creation_date": _seconds(post.created_at),
        "body_markdown": post.text.replace("\n", "\r\n"),
    }
    if post.edited_at:
        fields["last_edit_date"] = _seconds(post.edited_at)
    if post.license:
        fields["content_license"] = post.license
    return fields
