"""What programs show of a link to the site: a picture with its title and the head of the board.

Drawn by Pillow in a font that comes with matplotlib, so that the same board gives the same bytes wherever the
same versions are installed. What that font lacks (Chinese, Japanese, Korean) is drawn in an installed font
that has it; where none has, `UNKNOWN_CHARACTER` stands for it and a line says which package to install.
"""

import functools
import io
import itertools
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.analysis.estimates import Estimate
from evalkit.errors import UsageError
from evalkit.report.text import decimals, number, visible

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

CARD_FILE = "card.png"
WIDTH, HEIGHT = 1200, 630
"""In pixels: what previews are cut to."""
MAX_ROWS = 6
_MARGIN = 64
_PAGE, _TEXT, _MUTED, _LINE, _ACCENT = "#fcfcfa", "#1b1c1f", "#63666d", "#dcdcd5", "#0b5aa8"
_ROWS_TOP, _ROW_HEIGHT = 200, 58
_MODEL_LEFT, _VALUE_RIGHT, _AXIS_LEFT = 164, 860, 900
UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_MOST_CHARACTERS = 100
"""Of a text that is measured; more never fit."""


class CardRow(NamedTuple):
    """A model at the head of the board."""

    rank: str
    label: str
    level: Estimate


def checked_address(text: str, place: str) -> str:
    """The address of a site's folder, with the slash at its end.

    Args:
        text: ``https://example.org/board``.
        place: which option or key says it.

    Raises:
        UsageError: it is no address of the web, or that of a page and not of a folder.
    """
    try:
        parts = urllib.parse.urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address or not re.fullmatch(r"[!-~]+", text) or set(text) & set('?#"<>\\'):
        raise UsageError(f"{place} {text!r} is no address of the web; write https://HOST/FOLDER/")
    if text.endswith((".html", ".htm")):
        raise UsageError(f"{place} {text} is a page; give the folder that the site is served from")
    return text if text.endswith("/") else f"{text}/"


def card(
    title: str,
    heading: str,
    rows: Sequence[CardRow],
    footer: str,
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> bytes:
    """The picture as PNG, `WIDTH` by `HEIGHT`.

    Args:
        title: the site's name.
        heading: what the numbers are.
        rows: the head of the board; more than `MAX_ROWS` are left out.
        footer: what they are over.
        warn: told of the characters that no installed font has.
    """
    from PIL import Image, ImageDraw

    from evalkit.fonts import files_of_lacking, warning

    texts = [title, heading, footer, *(text for row in rows[:MAX_ROWS] for text in (row.rank, row.label))]
    files = files_of_lacking(visible("".join(texts)), _own_file(is_bold=False))
    if undrawable := [character for character, file in files.items() if file is None]:
        warn(f"the site's picture: {warning(undrawable, UNKNOWN_CHARACTER)}")
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAGE)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, WIDTH, 12), fill=_ACCENT)
    inside = WIDTH - 2 * _MARGIN
    _write(draw, (_MARGIN, 90), title, 54, inside, is_bold=True)
    _write(draw, (_MARGIN, 150), heading, 28, inside, color=_MUTED)
    _draw_rows(draw, rows[:MAX_ROWS])
    _write(draw, (_MARGIN, HEIGHT - 44), footer, 24, inside, color=_MUTED)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw_rows(draw: "ImageDraw", rows: Sequence[CardRow]) -> None:
    ends = [end for row in rows for end in row.level if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)

    def place(value: float) -> float:
        return _AXIS_LEFT + (WIDTH - _MARGIN - _AXIS_LEFT) * (value - low) / ((high - low) or 1)

    places = decimals(row.level.half_width for row in rows)
    for position, row in enumerate(rows):
        y = _ROWS_TOP + position * _ROW_HEIGHT + _ROW_HEIGHT // 2
        draw.line((_MARGIN, y + 32, WIDTH - _MARGIN, y + 32), fill=_LINE)
        _write(draw, (_MARGIN, y), row.rank, 28, _MODEL_LEFT - _MARGIN - 8, color=_MUTED)
        _write(draw, (_MODEL_LEFT, y), row.label, 30, _VALUE_RIGHT - _MODEL_LEFT - 130, is_bold=True)
        value = number(row.level.value, places)
        _write(draw, (_VALUE_RIGHT, y), value, 30, 120, anchor="rm")
        if row.level.low is not None and row.level.high is not None:
            draw.line((place(row.level.low), y, place(row.level.high), y), fill=_MUTED, width=4)
        dot = place(row.level.value)
        draw.ellipse((dot - 8, y - 8, dot + 8, y + 8), fill=_ACCENT)


def _write(
    draw: "ImageDraw",
    place: tuple[int, int],
    text: str,
    size: int,
    width: int,
    *,
    color: str = _TEXT,
    is_bold: bool = False,
    anchor: str = "lm",
) -> None:
    """A line of text beside a point; what does not fit the width is cut off, and three dots say so."""
    from evalkit.fonts import files_of_lacking

    own_file = _own_file(is_bold=is_bold)
    line = visible(" ".join(text.split()))
    shown = line[:_MOST_CHARACTERS]
    files = files_of_lacking(shown, own_file)
    while _length(runs := _runs(shown + "…" * (shown != line), files, own_file), size) > width and shown:
        shown = shown[:-1]
    x, y = float(place[0]), place[1]
    own_font = _font(own_file, size)
    if len(runs) < 2 and all(run.file == own_file for run in runs):
        draw.text((x, y), "".join(run.text for run in runs), fill=color, font=own_font, anchor=anchor)
        return
    ascent, descent = own_font.getmetrics()
    if anchor.startswith("r"):
        x -= _length(runs, size)
    for run in runs:
        font = _font(run.file, size)
        draw.text((x, y + (ascent - descent) / 2), run.text, fill=color, font=font, anchor="ls")
        x += font.getlength(run.text)


class _Run(NamedTuple):
    """Characters side by side that one font has."""

    text: str
    file: str


def _runs(text: str, files: Mapping[str, str | None], own_file: str) -> list[_Run]:
    """A text cut by the fonts of its characters; `UNKNOWN_CHARACTER` in place of those that have none.

    Args:
        text: what is written.
        files: of `files_of_lacking`.
        own_file: of all other characters.
    """
    drawable = "".join(UNKNOWN_CHARACTER if files.get(c, own_file) is None else c for c in text)
    by_file = itertools.groupby(drawable, lambda character: files.get(character) or own_file)
    return [_Run("".join(characters), file) for file, characters in by_file]


def _length(runs: Sequence[_Run], size: int) -> float:
    return sum(_font(run.file, size).getlength(run.text) for run in runs)


def _own_file(*, is_bold: bool) -> str:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", name))


@functools.cache
def _font(file: str, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
