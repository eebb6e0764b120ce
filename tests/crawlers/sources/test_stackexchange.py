"""The Stack Exchange source, and whole crawls of an API that answers as Stack Exchange's does."""

import dataclasses
import datetime as dt
import gzip
import itertools
import json
from collections import Counter
from typing import Any

import pytest

from evalkit.errors import CrawlError, UsageError
from evalkit_crawlers.http.exchange import Answer
from evalkit_crawlers.http.hosts import Pause
from evalkit_crawlers.source import Candidate, Drop, FetchRefused
from evalkit_crawlers.sources import stackexchange_api
from evalkit_crawlers.sources.stackexchange import StackExchangeSource, command, parse_sites
from tests.support.crawling import crawl_from, reasons
from tests.support.direct import NOW, WINDOW, DirectGet
from tests.support.replay import FakeClock, Reply, Request, Site, serve
from tests.support.site_stackexchange import (
    ASKED,
    FILTER,
    HOST,
    HOUR,
    Post,
    Question,
    question,
    stackexchange_site,
)

DAY = dt.timedelta(days=1)
LATER = dt.datetime(2026, 11, 17, tzinfo=dt.UTC)
KEPT = "kept"


def planted() -> tuple[list[Question], dict[str, str]]:
    """300 questions of three sites, and what becomes of each."""
    questions: list[Question] = []
    expected: dict[str, str] = {}

    def plant(count: int, outcome: str, **changes: Any) -> None:
        for number in range(len(questions) + 1, len(questions) + 1 + count):
            site = ("stackoverflow", "math", "physics")[number % 3]
            questions.append(question(number, **{"site": site, **changes}))
            expected[questions[-1].id] = outcome

    plant(200, KEPT)
    plant(20, "no answer", num_answers=0)
    plant(10, "no answer in the window", answers=(Post("Late, but long enough to count.", LATER),))
    plant(10, "no answer in the window", answers=(Post("Rewritten.", ASKED + HOUR, LATER),))
    plant(10, "edited after the window", edited_at=LATER)
    plant(10, "closed", closed_at=ASKED + DAY)
    plant(5, "license is not CC BY-SA", license="CC BY-NC 4.0")
    plant(5, "license is not CC BY-SA", license=None)
    plant(5, "answers not listed in full", answer_count=5)
    plant(5, "shorter than 500 bytes", text="Why?", answers=(Post("Because.", ASKED + 9 * HOUR),))
    plant(5, "post without text", text=" \n")
    for number in range(1, 11):  # the same again, for half of them word by word
        original = questions[number - 1]
        answers = [dataclasses.replace(answer, created_at=ASKED + 4 * DAY) for answer in original.answers]
        again = dataclasses.replace(
            original,
            number=len(questions) + 1,
            text=original.text if number % 2 else f"Hello everybody! {original.text}",
            created_at=ASKED + 3 * DAY,
            answers=tuple(answers),
        )
        questions.append(again)
        expected[again.id] = "near-duplicate"  # their titles differ
    for number in range(len(questions) + 1, 301):  # which no listing of the window names
        questions.append(question(number, created_at=dt.datetime(2026, 10, 31, 23, 59, 59, tzinfo=dt.UTC)))
    return questions, expected


@pytest.mark.slow
def test_three_hundred_questions() -> None:
    questions, expected = planted()
    assert len(questions) == 300 and len(expected) == 295
    clock = FakeClock()
    with serve(stackexchange_site(questions, backoff_on={1: 30}), [HOST], clock) as server:
        (crawled,) = crawl_from(server, StackExchangeSource(("stackoverflow", "math", "physics")))
        times = [entry.time_s for entry in server.log]
        requests = server.requests()
        assert server.most_open[HOST] == 1
    outcome = {**reasons(crawled), **{document.id: KEPT for document in crawled.corpus.documents}}
    assert outcome == expected
    assert dict(crawled.corpus.manifest.licenses) == {"CC-BY-SA-4.0": 200}
    assert not any(request.path == "/robots.txt" for request in requests)
    assert {request.headers["accept-encoding"] for request in requests} == {"gzip"}
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps_s[1] == 30 and min(gaps_s) >= 1
    assert max(Counter(str(request.query) for request in requests).values()) == 1
    document = next(document for document in crawled.corpus.documents if document.id == "math-4")
    assert document.text.startswith("How is number 4 ‘made’ & why?\n\nHow is it < or > so?\n\n")
    assert document.text.count("\n\n---\n\nAnswer ") == 2 and "\n\n    x = 4 & 1\n\n---\n\n" in document.text
    assert document.url == "https://math.stackexchange.com/questions/4/how-is-it"
    assert document.published_at == "2026-11-04T08:12:00Z"
    assert document.cluster == "math/4"


def entries_of(site: Site, *sites: str) -> tuple[list[Candidate | Drop], DirectGet]:
    def unpacked(request: Request) -> Reply:
        reply = site(request)
        return dataclasses.replace(reply, body=gzip.decompress(reply.body))

    get = DirectGet(unpacked)
    return list(StackExchangeSource(sites or ("stackoverflow",)).discover(WINDOW, get)), get


def test_pages_begin_where_the_last_one_ended() -> None:
    questions = [question(number) for number in range(1, 331)]
    entries, get = entries_of(stackexchange_site(questions))
    assert [entry.id for entry in entries] == [entry.id for entry in questions]
    assert len(get.requested_urls) == 1 + 4
    assert all("page=1&" in url for url in get.requested_urls[1:])


def test_more_questions_of_one_second_than_a_page_holds() -> None:
    questions = [question(number, created_at=ASKED) for number in range(1, 251)] + [question(400)]
    entries, _ = entries_of(stackexchange_site(questions))
    assert {entry.id for entry in entries} == {entry.id for entry in questions}
    assert len(entries) == 251


def test_an_answer_of_another_day_is_left_out_of_a_text() -> None:
    answers = (
        Post("The second one, written later.", ASKED + 2 * HOUR),
        Post("Edited too late.", ASKED + HOUR, LATER),
        Post("The first one.", ASKED + HOUR, ASKED + 3 * HOUR),
        Post("Too late.", LATER),
    )
    (candidate,), _ = entries_of(
        stackexchange_site([question(1, answers=answers, text="Well?", edited_at=ASKED + DAY)])
    )
    assert isinstance(candidate, Candidate)
    title = "How is number 1 ‘made’ & why?"
    assert candidate.text == (
        f"{title}\n\nWell?\n\n---\n\nThe first one.\n\n---\n\nThe second one, written later."
    )
    assert candidate.title == title


def test_posts_under_two_versions_of_the_license() -> None:
    answers = (Post("Old.", ASKED + HOUR, license="CC BY-SA 3.0"),)
    (candidate,), _ = entries_of(stackexchange_site([question(1, answers=answers, author=None)]))
    assert isinstance(candidate, Candidate)
    assert candidate.license == "CC-BY-SA-3.0 AND CC-BY-SA-4.0"
    assert candidate.cluster == "stackoverflow"


def test_a_site_that_does_not_exist_does_not_take_the_others_along() -> None:
    entries, _ = entries_of(stackexchange_site([question(1)]), "nosuchsite", "stackoverflow")
    assert entries[0] == Drop("nosuchsite", "listing: HTTP 400")
    assert entries[1].id == "stackoverflow-1"


def test_a_throttled_request_is_made_again_when_it_may() -> None:
    with serve(stackexchange_site([question(1)], throttled=[1]), [HOST], FakeClock()) as server:
        (crawled,) = crawl_from(server, StackExchangeSource(("stackoverflow",)))
        times = [entry.time_s for entry in server.log]
    assert crawled.corpus.manifest.num_documents == 1
    assert len(times) == 3 and 83 <= times[2] - times[1] <= 85


def test_the_end_of_the_days_quota_ends_the_crawl_and_tomorrow_it_goes_on() -> None:
    questions = [question(number) for number in range(1, 331)]
    source = StackExchangeSource(("stackoverflow",))
    with serve(stackexchange_site(questions, quota=3), [HOST], FakeClock()) as server:
        with pytest.raises(CrawlError, match=r"its quota is used up, to come again in 86400 s.*run the same"):
            crawl_from(server, source)
        first_day = len(server.log)
        endpoints = server.endpoints
        server.site = stackexchange_site(questions)
        (crawled,) = crawl_from(server, source, endpoints=endpoints)
        assert first_day == 3 and len(server.log) == 1 + 4
    assert crawled.corpus.manifest.num_documents == 330


@pytest.mark.parametrize(
    ("status", "body", "pause"),
    [
        (200, {"items": [], "quota_remaining": 9}, None),
        (200, {"items": [], "quota_remaining": 9, "backoff": 10}, Pause(10, False)),
        (200, {"items": [], "quota_remaining": 9, "backoff": "10"}, None),
        (200, {"items": [], "quota_remaining": 0, "backoff": 10}, Pause(86400, False)),
        (
            400,
            {"error_id": 502, "error_message": "more requests available in 40000 seconds"},
            Pause(40000, True),
        ),
        (400, {"error_id": 502, "error_message": "wait"}, Pause(60, True)),
        (400, {"error_id": 503, "error_message": "down"}, Pause(60, True)),
        (400, {"error_id": 400, "error_message": "bad"}, None),
        (200, [], None),
        (500, {"backoff": 10}, None),
    ],
)
def test_what_an_answer_says_of_limits(status: int, body: Any, pause: Pause | None) -> None:
    assert stackexchange_api.pause(Answer(status, {}, json.dumps(body).encode()), NOW) == pause


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[" * 100_000, b"null", b"{}", b'{"items": 3}', b'{"items": [3]}']
)
def test_answers_that_are_none(body: bytes) -> None:
    get = DirectGet(lambda _: Reply(body))
    with pytest.raises(FetchRefused, match="answer is not the API's"):
        list(stackexchange_api.questions(get, "math", FILTER, WINDOW))
    with pytest.raises(FetchRefused, match="answer is not the API's"):
        stackexchange_api.filter_name(get)


def test_listings_that_do_not_go_on() -> None:
    get = DirectGet(lambda _: Reply(b'{"items": [], "has_more": true}'))
    with pytest.raises(FetchRefused, match="says that there is more and shows none"):
        list(stackexchange_api.questions(get, "math", FILTER, WINDOW))
    broken = [{"question_id": "1", "creation_date": 3}, {"question_id": 1, "creation_date": None}]
    for item in broken:
        get = DirectGet(lambda _, item=item: Reply(json.dumps({"items": [item]}).encode()))
        with pytest.raises(FetchRefused, match="answer is not the API's"):
            list(stackexchange_api.questions(get, "math", FILTER, WINDOW))


def test_sites_are_checked() -> None:
    assert len(parse_sites(None)) == 20
    assert parse_sites("Math, ru.stackoverflow,law.stackexchange.com,math") == (
        "math",
        "ru.stackoverflow",
        "law",
    )
    with pytest.raises(UsageError, match=r"'a b' is no site's name; write stackoverflow"):
        parse_sites("a b")
    with pytest.raises(UsageError, match="names none"):
        command(since="2026-11-01", until="2026-11-15", sites=[","])
