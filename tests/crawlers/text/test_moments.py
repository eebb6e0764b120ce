"""Dates of feeds: each form read as it is meant, and what is not understood not read at all."""

import datetime as dt
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit_crawlers.text.moments import moment_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thu, 05 Nov 2026 09:00:00 +0900", "2026-11-05T00:00:00"),
        ("5 Nov 26 09:00 GMT", "2026-11-05T09:00:00"),
        ("Sun, 29 Nov 2026 15:07:41 JST", "2026-11-29T06:07:41"),
        ("Sun, 29 Nov 2026 15:07:41 CET", "2026-11-29T14:07:41"),
        ("Sun, 29 Nov 2026 15:07:41 AEST", "2026-11-29T05:07:41"),
        ("Sun, 29 Nov 2026 15:07:41 EDT", "2026-11-29T19:07:41"),
        ("周日, 29 Nov 2026 15:07:41 +0800", "2026-11-29T07:07:41"),
        ("Sun, 29 November 2026", "2026-11-29T00:00:00"),
        ("2026-11-29", "2026-11-29T00:00:00"),
        ("2026-11-29T15:07:41.123+05:30", "2026-11-29T09:37:41"),
        ("2026-11-29T15:07Z", "2026-11-29T15:07:00"),
        ("2026-11-29 15:07:41 +0100", "2026-11-29T14:07:41"),
        ("20261129T150741Z", "2026-11-29T15:07:41"),
        ("20261129", "2026-11-29T00:00:00"),
        ("2026/11/29 15:07:41", "2026-11-29T15:07:41"),
        ("2026年11月29日", "2026-11-29T00:00:00"),
        ("2026年11月29日 15:07 JST", "2026-11-29T06:07:00"),
        ("2026년 11월 29일", "2026-11-29T00:00:00"),
        ("2026. 11. 29. 10:00", "2026-11-29T10:00:00"),
        ("1764410461", "2025-11-29T10:01:01"),  # date -u -d @1764410461
        ("1764410461000", "2025-11-29T10:01:01"),
        ("Sun Nov 29 15:07:41 2026", "2026-11-29T15:07:41"),
        ("Sun Nov 29 15:07:41 EST 2026", "2026-11-29T20:07:41"),
        ("November 29, 2026", "2026-11-29T00:00:00"),
        ("  Thu, 05\n Nov 2026  09:00:00 GMT ", "2026-11-05T09:00:00"),
        ("Thu, 31 Dec 2026 23:59:60 GMT", "2026-12-31T23:59:59"),
    ],
)
def test_what_is_understood(text: str, expected: str) -> None:
    moment = moment_of(text)
    assert moment is not None and moment.tzinfo is dt.UTC
    assert moment.replace(tzinfo=None).isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026",
        "2026-11",  # of no day
        "2026-335",
        "2026-W48-7",
        "11/29/2026",  # month first, as in one country
        "05/11/2026",
        "Sun, 29 Nov 2026 15:07:41 IST",  # India, Israel or Ireland
        "Sun, 29 Nov 2026 15:07:41 XYZ",
        "Sun, 29 Novembre 2026 15:07:41 GMT",
        "Sun, 31 Nov 2026 15:07:41 GMT",
        "2026-13-01",
        "2026-11-29T25:00:00Z",
        "2026-11-29T15:07:41+9900",
        "Thu, 05 Nov 292277026596 09:00:00 GMT",
        "1764",
        "9999999999",  # the year 2286
        "0000-00-00 00:00:00",
        "2026-11-29T15:07:41Z and more",
        "2026/11-29",
    ],
)
def test_what_is_not_understood_is_no_date(text: str) -> None:
    assert moment_of(text) is None


MOMENTS = st.datetimes(
    dt.datetime(1990, 1, 2),  # noqa: DTZ001 - it gets one of the zones below
    dt.datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-12 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))),
).map(lambda moment: moment.replace(microsecond=0))


@given(MOMENTS)
def test_the_standard_forms_come_back_as_they_were(moment: dt.datetime) -> None:
    assert moment_of(format_datetime(moment)) == moment
    assert moment_of(moment.isoformat()) == moment
    assert moment_of(moment.isoformat(" ")) == moment
    if moment.timestamp() >= 10**9:
        assert moment_of(str(int(moment.timestamp()))) == moment
    local = moment.replace(tzinfo=dt.UTC)
    assert moment_of(f"{local:%Y/%m/%d %H:%M:%S}") == local
    assert moment_of(f"{local:%Y年%m月%d日 %H:%M:%S}") == local


@given(st.text(max_size=40) | st.text("0123456789-/:. TZ+年월", max_size=30))
def test_nothing_is_too_odd(text: str) -> None:
    moment = moment_of(text)
    assert moment is None or 1990 <= moment.year <= 2100
