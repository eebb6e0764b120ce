r"""Text on its way to a terminal or a log: all that evalkit prints goes through here.

Titles, ids, names and messages come from pages, files and data sets of anybody. A character that moves the
cursor, hides or reorders text, or begins a line of its own is shown as what it is (``\x1b``, ``\u202e``,
``\n``) and not obeyed: https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing and CWE-150.
"""

import json
import sys
import unicodedata
from typing import TYPE_CHECKING, TextIO

from evalkit.errors import one_line
from evalkit.files import strict_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that are not shown but done: controls, formats, lone surrogates, line ends."""

# Joiners without which Persian, Hindi and emoji are misspelled, and signs that stand visibly over numbers.
_SHOWN_FORMATS = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)


def printable(text: str) -> str:
    """A text in one line without anything that a terminal would obey: each such character as its escape."""
    if text.isprintable():
        return text
    return "".join(_escape(character) if _is_obeyed(character) else character for character in text)


def printable_json(value: object) -> str:
    r"""Strict JSON in which such characters are written ``\uXXXX``; it holds the same value."""
    lines = strict_json(value).split("\n")
    return "\n".join(
        line if line.isprintable() else "".join(json.dumps(c)[1:-1] if _is_obeyed(c) else c for c in line)
        for line in lines
    )


def show(line: str = "", *, err: bool = False, file: TextIO | None = None) -> None:
    """Print a line, made `printable`.

    Args:
        line: without a line end.
        err: to standard error instead of standard output.
        file: to this stream instead.
    """
    print(printable(line), file=file or (sys.stderr if err else sys.stdout), flush=True)


def show_json(value: object) -> None:
    """Print a value as `printable_json` on standard output."""
    print(printable_json(value), end="", flush=True)


def complain(text: str) -> None:
    """A line on standard error that says who complains."""
    show(f"evalkit: {one_line(text)}", err=True)


def console_for(stream: TextIO, *, width: int | None = None, soft_wrap: bool = False) -> "Console":
    """A console that prints strings, those in tables too, as they are and made `printable`.

    Args:
        stream: where to.
        width: in columns; by default the terminal's.
        soft_wrap: leave the wrapping of lines to the terminal.
    """
    from rich.console import Console
    from rich.text import Text

    class PrintableConsole(Console):
        def render_str(self, text: str, **options: object) -> Text:
            return super().render_str(printable(text), **options)  # type: ignore[arg-type]

    return PrintableConsole(
        file=stream, width=width, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False
    )


def print_table(table: "Table", stream: TextIO) -> None:
    """Print a table of which nothing is cut off: a narrow terminal gets lines that are longer than it is.

    Into a pipe or a file goes one line per row, however long.

    Args:
        table: whose cells wrap between words, and not at all in columns with ``no_wrap``; its columns get
            their least width.
        stream: where to.
    """
    from rich.measure import Measurement

    console = console_for(stream, width=None if stream.isatty() else 10_000)
    wide = console.options.update(width=10_000)
    for column in table.columns:
        widths = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
        column.min_width = max(width.maximum if column.no_wrap else width.minimum for width in widths)
    console.width = max(console.width, Measurement.get(console, wide, table).minimum)
    console.print(table, crop=False)


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in _OBEYED and character not in _SHOWN_FORMATS


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
