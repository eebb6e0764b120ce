"""Dates as feeds write them, read only where nothing about them has to be guessed.

A date that is read wrongly puts a document into the wrong window; one that is not read costs a look at the
page. So every form is matched from end to end, numbers have to make a day that exists, and a name of a time
zone counts only where it means one offset in all the world.
"""

import datetime as dt
import re
from collections.abc import Callable

EARLIEST_YEAR, LATEST_YEAR = 1990, 2100

# RFC 822, 5.1, has fixed those of the United States. Missing are those that mean several: IST, BST, AST, SST.
_ZONE_HOURS: dict[str, float] = {
    **{"UT": 0, "GMT": 0, "UTC": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6},
    **{"PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "NST": -3.5, "NDT": -2.5, "BRT": -3},
    **{
        "WET": 0,
        "WEST": 1,
        "CET": 1,
        "CEST": 2,
        "EET": 2,
        "EEST": 3,
        "MSK": 3,
        "SAST": 2,
        "EAT": 3,
        "WAT": 1,
    },
    **{"PKT": 5, "WIB": 7, "HKT": 8, "SGT": 8, "AWST": 8, "JST": 9, "KST": 9, "ACST": 9.5, "ACDT": 10.5},
    **{"AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13},
}
_MONTHS = {
    **{"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9},
    **{"oct": 10, "nov": 11, "dec": 12, "january": 1, "february": 2, "march": 3, "april": 4, "june": 6},
    **{"july": 7, "august": 8, "september": 9, "october": 10, "november": 11, "december": 12},
}

_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
_ZONE = r"(?P<zone>[+-]\d\d:?\d\d|[+-]\d\d|[A-Za-z]{1,5})"
_WEEKDAY = r"(?:[^\s\d]+\s+)?"  # in any language; the month is understood in English alone
_DAY_FIRST = r"(?P<day>\d{1,2})[ -](?P<month>[A-Za-z]{3,9})\.?,?[ -](?P<year>\d{4}|\d\d)"
_MONTH_FIRST = r"(?P<month>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2})"
_YEAR_FIRST = r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)"
_DIGITS = r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
_DIGITS_TIME = r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
_EAST_ASIAN = r"(?P<year>\d{4})\s*[年년.]\s*(?P<month>\d\d?)\s*[月월.]\s*(?P<day>\d\d?)\s*[日일.]?"
_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        # ISO 8601 and RFC 3339, and the same with slashes: no country writes year, day, month.
        rf"{_YEAR_FIRST}(?:(?:[Tt ]\s*){_TIME}\s*{_ZONE}?)?",
        rf"{_DIGITS}(?:[Tt ]?{_DIGITS_TIME}\s*{_ZONE}?)?",
        rf"{_WEEKDAY}{_DAY_FIRST}(?:,?\s+{_TIME}(?:\s*{_ZONE})?)?",  # RFC 822
        rf"{_WEEKDAY}{_MONTH_FIRST}\s+{_TIME}(?:\s+{_ZONE})?\s+(?P<year>\d{{4}})",  # C's asctime
        rf"{_MONTH_FIRST},\s*(?P<year>\d{{4}})(?:,?\s+{_TIME}(?:\s*{_ZONE})?)?",
        rf"{_EAST_ASIAN}(?:\s*(?:\(\S+\)\s*)?{_TIME}\s*{_ZONE}?)?",
    )
)
_EPOCH = re.compile(r"\d{10}|\d{13}", re.ASCII)


def moment_of(text: str) -> dt.datetime | None:
    """The moment that a date names, aware, in UTC; None where it names none without guessing.

    A date without a time is the beginning of its day; one without a zone is taken for UTC.
    """
    text = " ".join(text.split())
    if _EPOCH.fullmatch(text):
        return _bounded(
            lambda: dt.datetime.fromtimestamp(int(text) / (1000 if len(text) == 13 else 1), dt.UTC)
        )
    for form in _FORMS:
        if match := form.fullmatch(text):
            parts = match.groupdict()
            return _bounded(lambda parts=parts: _moment(parts))  # type: ignore[misc]
    return None


def _bounded(read: Callable[[], dt.datetime | None]) -> dt.datetime | None:
    try:
        moment = read()
    except (ValueError, OverflowError, OSError):  # no day or time that there is
        return None
    return moment if moment and EARLIEST_YEAR <= moment.year <= LATEST_YEAR else None


def _moment(parts: dict[str, str | None]) -> dt.datetime | None:
    month = parts["month"] or ""
    number = int(month) if month.isdigit() else _MONTHS.get(month.lower())
    offset = _offset(parts.get("zone"))
    if number is None or offset is None:
        return None
    year = int(parts["year"] or 0)
    if year < 100:  # RFC 2822, 4.3
        year += 2000 if year < 50 else 1900
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    second = min(second, 59 + (second > 60))  # a leap second, which datetime does not know
    day, zone = int(parts["day"] or 0), dt.timezone(offset)
    return dt.datetime(year, number, day, hour, minute, second, tzinfo=zone).astimezone(dt.UTC)


def _offset(zone: str | None) -> dt.timedelta | None:
    """What is to be taken from a time in a zone to have UTC; None for a zone of which that is not known."""
    if not zone:
        return dt.timedelta(0)
    if zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[3:].removeprefix(":") or 0)
        if hours > 14 or minutes > 59:
            return None
        return dt.timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    zone_hours = _ZONE_HOURS.get(zone.upper())
    return None if zone_hours is None else dt.timedelta(hours=zone_hours)
