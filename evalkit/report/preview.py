"""What programs show of a link to the site: a picture with its title and the head of the board.

Drawn by Pillow in a font that comes with matplotlib, so that the same board gives the same bytes wherever the
same versions are installed. What that font has no signs for (Chinese, Japanese, Korean) is drawn as boxes.
"""

import functools
import io
import re
import urllib.parse
from collections.abc import Sequence
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


def card(title: str, heading: str, rows: Sequence[CardRow], footer: str) -> bytes:
    """The picture as PNG, `WIDTH` by `HEIGHT`.

    Args:
        title: the site's name.
        heading: what the numbers are.
        rows: the head of the board; more than `MAX_ROWS` are left out.
        footer: what they are over.
    """
    from PIL import Image, ImageDraw

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
    font = _font(size, is_bold=is_bold)
    line = visible(" ".join(text.split()))
    shown = line[:_MOST_CHARACTERS]
    while shown and font.getlength(shown + "…" * (shown != line)) > width:
        shown = shown[:-1]
    draw.text(place, shown + "…" * (shown != line), fill=color, font=font, anchor=anchor)


@functools.cache
def _font(size: int, *, is_bold: bool) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
