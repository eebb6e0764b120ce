"""Questions to a MediaWiki's action API, and its answers, checked.

Reads only (https://www.mediawiki.org/wiki/API:Main_page), answers in ``formatversion=2``. Every question
carries ``maxlag``: a wiki whose databases lag refuses it, with status 200, and is asked again some times
(https://www.mediawiki.org/wiki/Manual:Maxlag_parameter).
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from evalkit.errors import CrawlError
from evalkit.files import parse_json
from evalkit_crawlers.source import FetchRefused, Get

MAX_LAG_S = 5
MAX_ATTEMPTS = 5
MAX_CONTINUATIONS = 5000

MAX_ANSWER_BYTES = 16 << 20
"""The longest articles render to a few megabytes; parsed, JSON may take twenty times its size."""

NOT_AN_ANSWER = "answer is not the API's"
_BUSY = ("maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryTimeoutError")


class ApiError(FetchRefused):
    """The API says that the question cannot be answered; `code` as MediaWiki names it."""

    def __init__(self, code: str) -> None:
        super().__init__(f"API: {code}")
        self.code = code

    def __reduce__(self) -> tuple[type["ApiError"], tuple[str]]:
        """For pickle, which would take the message for the code."""
        return type(self), (self.code,)


def question(api: str, parameters: Mapping[str, str]) -> str:
    """The address of a question: the same parameters in the same order give the same address."""
    fixed = {"format": "json", "formatversion": "2", "errorformat": "plaintext", "maxlag": str(MAX_LAG_S)}
    return f"{api}?{urlencode({**parameters, **fixed})}"


def answer(body: bytes) -> Mapping[str, object]:
    """The JSON object that the API answered with; its values may be anything, and are checked where read.

    Raises:
        ApiError: an error of the API's.
        FetchRefused: the body is no answer of the API's.
    """
    if len(body) > MAX_ANSWER_BYTES:
        raise FetchRefused(f"answer larger than {MAX_ANSWER_BYTES >> 20} MiB")
    try:
        reply = parse_json(body)
    except ValueError:
        raise FetchRefused(NOT_AN_ANSWER) from None
    if not isinstance(reply, dict):
        raise FetchRefused(NOT_AN_ANSWER)
    # errorformat=plaintext gives "errors"; an error in front of the API may still come as "error".
    errors = reply.get("errors") or ([reply["error"]] if reply.get("error") else [])
    if errors:
        first = errors[0] if isinstance(errors, list) else errors
        raise ApiError(str(first.get("code")) if isinstance(first, dict) else "unknown error")
    return reply


def ask(
    get: Get, api: str, parameters: Mapping[str, str], *, revalidate: bool = False
) -> Mapping[str, object]:
    """The answer to a question; while the wiki is busy, it is asked again, up to `MAX_ATTEMPTS` times.

    Each time under another address (``requestid``), since an address once fetched is answered from disk.

    Args:
        get: fetches.
        api: the address of the wiki's ``api.php``.
        parameters: of the question.
        revalidate: see `evalkit_crawlers.source.Get`.

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
) -> Iterator[Mapping[str, object]]:
    """The ``query`` of every answer to a question that is answered in parts; arguments as of `ask`.

    Raises:
        FetchRefused: see `ask`; the parts go in a circle, or never end.
    """
    following: dict[str, str] = {}
    seen: set[tuple[tuple[str, str], ...]] = set()
    for _ in range(MAX_CONTINUATIONS):
        reply = ask(get, api, {**parameters, **following}, revalidate=revalidate)
        part = reply.get("query", {})
        if not isinstance(part, dict):
            raise FetchRefused(NOT_AN_ANSWER)
        yield part
        if "continue" not in reply:
            return
        continuation = reply["continue"]
        if not isinstance(continuation, dict):
            raise FetchRefused(NOT_AN_ANSWER)
        following = {str(key): str(value) for key, value in continuation.items()}
        mark = tuple(sorted(following.items()))
        if mark in seen:
            raise FetchRefused("listing continues in a circle")
        seen.add(mark)
    raise FetchRefused("listing never ends")


def rows(part: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """A list of objects in a part of an answer; empty where there is none.

    Raises:
        FetchRefused: there is something else under that key.
    """
    values = part.get(key, [])
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise FetchRefused(NOT_AN_ANSWER)
    return values
