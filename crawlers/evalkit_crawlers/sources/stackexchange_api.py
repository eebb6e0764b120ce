"""Questions to Stack Exchange's API, version 2.3, and its answers, checked.

Formats: https://api.stackexchange.com/docs/wrapper (what stands around every answer),
https://api.stackexchange.com/docs/questions, https://api.stackexchange.com/docs/types/question,
https://api.stackexchange.com/docs/create-filter. Limits: https://api.stackexchange.com/docs/throttle:
300 questions a day from an address without a key, and after an answer with ``backoff`` so many seconds of
silence.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from evalkit.files import parse_json
from evalkit_crawlers.http.exchange import Answer
from evalkit_crawlers.http.hosts import HostPolicy, Pause
from evalkit_crawlers.source import Capture, CrawlWindow, FetchRefused, Get

HOST = "api.stackexchange.com"
API = f"https://{HOST}/2.3"
PAGE_SIZE = 100
MAX_PAGES = 20_000
MAX_ANSWER_BYTES = 32 << 20
DAY_S = 86_400.0

NOT_AN_ANSWER = "answer is not the API's"

_FIELDS = (
    *(f".{name}" for name in ("backoff", "error_id", "error_message", "error_name", "has_more", "items")),
    *(".quota_max", ".quota_remaining"),
    *(
        f"question.{name}"
        for name in (
            *("question_id", "title", "body_markdown", "link", "creation_date", "last_edit_date"),
            *("closed_date", "content_license", "answer_count", "answers", "owner"),
        )
    ),
    *(
        f"answer.{name}"
        for name in ("answer_id", "body_markdown", "creation_date", "last_edit_date", "content_license")
    ),
    *("shallow_user.user_id", "shallow_user.user_type"),
)
# The API's own numbers: https://api.stackexchange.com/docs/error-handling.
_THROTTLED, _UNAVAILABLE = 502, 503
_AVAILABLE_IN = re.compile(r"available in (\d{1,9}) seconds")


def pause(answer: Answer, now: dt.datetime) -> Pause | None:  # noqa: ARG001 - part of the protocol
    """What an answer asks for: ``backoff``, or the end of the day's quota."""
    if answer.status not in (200, 400):
        return None
    try:
        wrapper = _object(parse_json(answer.body))
    except (ValueError, FetchRefused):
        return None
    if wrapper.get("error_id") in (_THROTTLED, _UNAVAILABLE):
        available = _AVAILABLE_IN.search(str(wrapper.get("error_message")))
        return Pause(float(available[1]) if available else 60.0, True)
    if wrapper.get("quota_remaining") == 0:
        return Pause(DAY_S, False)
    backoff_s = wrapper.get("backoff")
    return Pause(float(backoff_s), False) if isinstance(backoff_s, int) and backoff_s > 0 else None


HOST_POLICIES = (HostPolicy("stackexchange-api", (HOST,), interfaces=("/2.3/",), pause=pause),)


def filter_url() -> str:
    """The address that makes the filter (or names it, where it was made before): which fields are wanted.

    It is "unsafe", that is, texts come as they were written and not encoded for HTML.
    """
    return (
        f"{API}/filters/create?{urlencode({'base': 'none', 'unsafe': 'true', 'include': ';'.join(_FIELDS)})}"
    )


def questions_url(site: str, filter: str, first_s: int, last_s: int, page: int) -> str:
    """The address of a page of a site's questions, by their creation in seconds since 1970, oldest first."""
    parameters = {
        "site": site,
        "filter": filter,
        "fromdate": first_s,
        "todate": last_s,
        "sort": "creation",
        "order": "asc",
        "page": page,
        "pagesize": PAGE_SIZE,
    }
    return f"{API}/questions?{urlencode(parameters)}"


def filter_name(get: Get) -> str:
    """The name of the filter of `filter_url`; filters never change.

    Raises:
        FetchRefused: it cannot be had, or the answer is not the API's.
    """
    items, _ = _items(get(filter_url(), accept="application/json"))
    name = items[0].get("filter") if items else None
    if not isinstance(name, str) or not name:
        raise FetchRefused(NOT_AN_ANSWER)
    return name


def questions(get: Get, site: str, filter: str, window: CrawlWindow) -> Iterator[Mapping[str, object]]:
    """Every question that a site lists in the window, once, oldest first.

    Each page begins at the second of the last question before it and not at a number of questions: where one
    is deleted meanwhile, none moves out of sight, and the page's number stays small, as the API wants it.

    Raises:
        FetchRefused: a page cannot be had or is not the API's, or the listing does not go on.
    """
    first_s = int(dt.datetime.combine(window.since, dt.time(), dt.UTC).timestamp())
    last_s = int(dt.datetime.combine(window.until, dt.time(23, 59, 59), dt.UTC).timestamp())
    seen: set[int] = set()
    page = 1
    for _ in range(MAX_PAGES):
        url = questions_url(site, filter, first_s, last_s, page)
        items, has_more = _items(get(url, accept="application/json", revalidate=True))
        newest_s = first_s
        for item in items:
            number, created_s = item.get("question_id"), item.get("creation_date")
            if not isinstance(number, int) or not isinstance(created_s, int):
                raise FetchRefused(NOT_AN_ANSWER)
            newest_s = max(newest_s, created_s)
            if number not in seen:
                seen.add(number)
                yield item
        if not has_more:
            return
        if not items:
            raise FetchRefused("listing says that there is more and shows none")
        first_s, page = (newest_s, 1) if newest_s > first_s else (first_s, page + 1)
    raise FetchRefused("listing never ends")


def moment(value: object) -> dt.datetime | None:
    """A time as the API writes it (seconds since 1970), aware, in UTC; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    try:
        return dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def objects(value: object) -> list[dict[str, object]]:
    """A list of objects; none where there is no list.

    Raises:
        FetchRefused: it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FetchRefused(NOT_AN_ANSWER)
    return value


def _items(capture: Capture) -> tuple[list[dict[str, object]], bool]:
    """The items of an answer, and whether there are more."""
    if len(capture.body) > MAX_ANSWER_BYTES:
        raise FetchRefused(f"answer larger than {MAX_ANSWER_BYTES >> 20} MiB")
    try:
        wrapper = _object(parse_json(capture.body))
    except ValueError:
        raise FetchRefused(NOT_AN_ANSWER) from None
    if "error_id" in wrapper:
        raise FetchRefused(f"API: {wrapper.get('error_name')}")
    if not isinstance(wrapper.get("items"), list):
        raise FetchRefused(NOT_AN_ANSWER)
    return objects(wrapper["items"]), wrapper.get("has_more") is True


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise FetchRefused(NOT_AN_ANSWER)
    return value
