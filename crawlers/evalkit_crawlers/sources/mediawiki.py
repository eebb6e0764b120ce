"""Questions to a MediaWiki's action API, and its answers, checked.

Reads only (https://www.mediawiki.org/wiki/API:Main_page), answers in ``formatversion=2``. Every question
carries ``maxlag``: a wiki whose databases lag refuses it, with status 200, and is asked again some times
(https://www.mediawiki.org/wiki/Manual:Maxlag_parameter).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from evalkit.errors import CrawlError
from evalkit_crawlers.source import FetchRefused, Get

MAX_LAG_S = 5
MAX_ATTEMPTS = 5
MAX_CONTINUATIONS = 5000

NOT_AN_ANSWER = "answer is not the API's"
_BUSY = ("maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryTimeoutError")


class ApiError(FetchRefused):
    """The API says that the question cannot be answered; `code` as MediaWiki names it."""

    def __init__(self, code: str) -> None:
        super().__init__(f"API: {code}")
        self.code = code


def question(api: str, parameters: Mapping[str, str]) -> str:
    """The address of a question: the same parameters in the same order give the same address."""
    fixed = {"format": "json", "formatversion": "2", "errorformat": "plaintext", "maxlag": str(MAX_LAG_S)}
    return f"{api}?{urlencode({**parameters, **fixed})}"


def answer(body: bytes) -> dict[str, Any]:
    """What the API answered.

    Raises:
        ApiError: an error of the API's.
        FetchRefused: the body is no answer of the API's.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise FetchRefused(NOT_AN_ANSWER) from None
    if not isinstance(content, dict):
        raise FetchRefused(NOT_AN_ANSWER)
    # errorformat=plaintext gives "errors"; an error in front of the API may still come as "error".
    errors = content.get("errors") or ([content["error"]] if content.get("error") else [])
    if errors:
        first = errors[0] if isinstance(errors, list) else errors
        raise ApiError(str(first.get("code")) if isinstance(first, dict) else "unknown error")
    return content


def ask(get: Get, api: str, parameters: Mapping[str, str], *, revalidate: bool = False) -> dict[str, Any]:
    """Ask once more where the wiki is busy, under another address, since what was fetched is kept.

    Raises:
        FetchRefused: see `answer`, and whatever `get` refuses.
        CrawlError: the wiki stays busy.
    """
    for attempt in range(MAX_ATTEMPTS):
        again = {"requestid": str(attempt)} if attempt else {}
        capture = get(
            question(api, {**parameters, **again}), accept="application/json", revalidate=revalidate
        )
        try:
            return answer(capture.body)
        except ApiError as error:
            if error.code not in _BUSY:
                raise
    raise CrawlError(
        f"{api}: busy, asked {MAX_ATTEMPTS} times; pages are kept, ask again later with --refresh"
    )


def query(
    get: Get, api: str, parameters: Mapping[str, str], *, revalidate: bool = False
) -> Iterator[dict[str, Any]]:
    """The ``query`` of every answer to a question that is answered in parts.

    Raises:
        FetchRefused: see `ask`; the parts go in a circle, or never end.
    """
    following: dict[str, str] = {}
    seen: set[tuple[tuple[str, str], ...]] = set()
    for _ in range(MAX_CONTINUATIONS):
        content = ask(get, api, {**parameters, **following}, revalidate=revalidate)
        part = content.get("query", {})
        if not isinstance(part, dict):
            raise FetchRefused(NOT_AN_ANSWER)
        yield part
        if "continue" not in content:
            return
        if not isinstance(content["continue"], dict):
            raise FetchRefused(NOT_AN_ANSWER)
        following = {str(key): str(value) for key, value in content["continue"].items()}
        mark = tuple(sorted(following.items()))
        if mark in seen:
            raise FetchRefused("listing continues in a circle")
        seen.add(mark)
    raise FetchRefused("listing never ends")


def rows(part: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects in a part of an answer; empty where there is none.

    Raises:
        FetchRefused: there is something else under that key.
    """
    found = part.get(key, [])
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise FetchRefused(NOT_AN_ANSWER)
    return found
