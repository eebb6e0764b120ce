"""First and last days of dates that are known to the year, the month, the day or the second."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.dates import first_day, last_day, parse_day


@pytest.mark.parametrize(
    ("date", "first", "last"),
    [
        ("2024", "2024-01-01", "2024-12-31"),
        ("2024-01", "2024-01-01", "2024-01-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2023-02", "2023-02-01", "2023-02-28"),
        ("1900-02", "1900-02-01", "1900-02-28"),
        ("2000-02", "2000-02-01", "2000-02-29"),
        ("2026-04", "2026-04-01", "2026-04-30"),
        ("2026-12", "2026-12-01", "2026-12-31"),
        ("2026-06-05", "2026-06-05", "2026-06-05"),
        ("2026-11-25T23:59:59Z", "2026-11-25", "2026-11-25"),
        ("0001", "0001-01-01", "0001-12-31"),
        ("9999-12", "9999-12-01", "9999-12-31"),
    ],
)
def test_the_days_that_a_date_can_mean(date: str, first: str, last: str) -> None:
    assert first_day(date).isoformat() == first
    assert last_day(date).isoformat() == last


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "24",
            "2024-",
            "2024-00",
            "2024-13",
            "2024-1",
            "2023-02-29",
            "2024-02-30",
            "2024-04-31",
            "0000",
        ),
        *(
            "20240229",
            "2024-W09",
            "2024-060",
            "2024-02-29 12:00",
            "2024-02-29T12:00:00",
            "2024-02-29T",
            "now",
        ),
        *(" 2024", "2024\n", "٢٠٢٤", "-2024", "02024"),
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    for function in (first_day, last_day):
        with pytest.raises(ValueError, match="is no date"):
            function(text)


@settings(deadline=None)
@given(st.dates())
def test_a_month_ends_where_the_next_begins(day: dt.date) -> None:
    month = day.isoformat()[:7]
    assert first_day(month) <= day <= last_day(month)
    if last_day(month) < dt.date.max:
        assert (last_day(month) + dt.timedelta(days=1)).day == 1
    assert last_day(month).isoformat()[:7] == month
    assert first_day(day.isoformat()) == last_day(day.isoformat()) == parse_day(day.isoformat()) == day


@pytest.mark.parametrize(
    "text", ["", "2024", "2024-02", "20240229", "2024-W09-4", "2023-02-29", "2024-02-29T00"]
)
def test_days_have_one_form(text: str) -> None:
    with pytest.raises(ValueError):
        parse_day(text)
