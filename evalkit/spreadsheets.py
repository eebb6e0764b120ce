"""Texts in CSV files, which people open in spreadsheets: there a cell that begins like a formula is one.

``=HYPERLINK(…)`` in a page's title would be a link to anywhere, and older programs run more than that
(CWE-1236, https://owasp.org/www-community/attacks/CSV_Injection). An apostrophe before it makes it text; what
reads CSV and is no spreadsheet sees the apostrophe.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

# Also as full-width letters, which spreadsheets in East Asian languages read alike.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def spreadsheet_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe before what begins like one.

    Texts that are numbers, signed ones too, stay as they are.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def spreadsheet_rows(rows: Sequence[Mapping[str, T]]) -> list[dict[str, T | str]]:
    """Rows whose names and texts are made `spreadsheet_text`, and whose other values are as they were."""
    return [
        {
            spreadsheet_text(name): spreadsheet_text(value) if isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]
