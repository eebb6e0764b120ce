"""Which days a date can mean: ``2024``, ``2024-02``, ``2024-02-29``, or a moment of that day in UTC.

Models' cutoffs and releases are often known to the month or the year only, and documents to the day or the
second. Whatever compares the two (what may have been read, months since the cutoff) goes through here.
"""

import calendar
import datetime as dt
import re

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T\d\d:\d\d:\d\dZ)?)?)?", re.ASCII)


def utc_date(value: str | dt.date) -> str:
    """A date in the form of `evalkit.corpora.document.Document.published_at`.

    A time without a zone keeps its day only: which moment it means is not known.

    Raises:
        ValueError: the text is not an ISO 8601 date or date and time, or a time outside the years 1 to 9999
            in UTC.
    """
    if isinstance(value, str):
        value = dt.date.fromisoformat(value) if len(value) <= 10 else dt.datetime.fromisoformat(value)
    # Not strftime, whose %Y has fewer than four digits before 1000: some programs' null is 0001-01-01.
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        try:
            moment = value.astimezone(dt.UTC)
        except OverflowError as error:
            raise ValueError(f"{value} has no form in UTC") from error
        return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    return dt.date(value.year, value.month, value.day).isoformat()


def first_day(date: str) -> dt.date:
    """The first day that a date can mean.

    Args:
        date: ``YYYY``, ``YYYY-MM``, ``YYYY-MM-DD`` or, as in `evalkit.corpora.document.Document`,
            ``YYYY-MM-DDTHH:MM:SSZ``.

    Raises:
        ValueError: it is none of these, or no day of the calendar.

    >>> first_day("2024-02")
    datetime.date(2024, 2, 1)
    """
    year, month, day = _parts(date)
    return dt.date(year, month or 1, day or 1)


def last_day(date: str) -> dt.date:
    """The last day that a date can mean; arguments and errors are those of `first_day`.

    >>> last_day("2024-02")
    datetime.date(2024, 2, 29)
    """
    year, month, day = _parts(date)
    month = month or 12
    return dt.date(year, month, day or calendar.monthrange(year, month)[1])


def parse_day(text: str) -> dt.date:
    """The day that a text of the form ``YYYY-MM-DD`` names.

    Raises:
        ValueError: it has another form (``20240229``, ``2024-W09-4``), or is no day of the calendar.
    """
    day = dt.date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError(f"{text!r} is not written YYYY-MM-DD")
    return day


def _parts(date: str) -> tuple[int, int | None, int | None]:
    """Year, month and day; None for what the date leaves open."""
    match = _DATE.fullmatch(date)
    if not match:
        raise ValueError(f"{date!r} is no date; write YYYY, YYYY-MM or YYYY-MM-DD")
    year, month, day = match.groups()
    try:
        dt.date(int(year), int(month or 1), int(day or 1))
    except ValueError as error:
        raise ValueError(f"{date!r} is no date: {error}") from None
    return int(year), int(month) if month else None, int(day) if day else None
