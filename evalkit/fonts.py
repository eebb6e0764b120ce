"""Fonts for names in scripts that the font of plots and pictures does not have."""

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter

DEFAULT_FAMILY = "DejaVu Sans"
"""Comes with matplotlib, and has Latin, Greek, Cyrillic, Hebrew, Arabic and many signs."""
_PREFERRED = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK TC", "Noto Sans")
"""Before any other that has a character."""
_LAST_RESORT = "Last Resort"
"""The beginning of the name of a font that has a box for everything."""
_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH")
_SELECTORS = {chr(code) for code in range(0xFE00, 0xFE10)}
_FIRST_PICTURE = 0x1F000
_MAX_NAMED = 8


class _Font(NamedTuple):
    family: str
    file: str


def characters_of(figure: Figure) -> set[str]:
    """All that a figure's texts have."""
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter):  # whose names are not texts before they are drawn
                texts += list(formatter.seq)
    return set("".join(texts))


def lacking(characters: Iterable[str], families: Sequence[str] = ()) -> list[str]:
    """The characters that neither `DEFAULT_FAMILY` nor one of more families has, if they show anything."""
    seen = _visible(characters)
    for family in (DEFAULT_FAMILY, *families):
        seen -= {character for character in seen if ord(character) in _codes(family)}
    return sorted(seen)


def files_of_lacking(characters: Iterable[str], own_file: str) -> dict[str, str | None]:
    """For each of these characters that a font's file lacks, the file of an installed font that has it.

    None where no installed font has it. What shows nothing needs no font.
    """
    lacking_in_file = sorted(c for c in _visible(characters) if ord(c) not in _codes_of_file(own_file))
    if not lacking_in_file:
        return {}
    places = {family: place for place, family in enumerate(_families())}
    files = [
        (places[font.family], "Regular" not in font.file, font.file)
        for font in _installed()
        if font.family in places
    ]
    in_order = [file for *_, file in sorted(files)]
    return {
        character: next((file for file in in_order if ord(character) in _codes_of_file(file)), None)
        for character in lacking_in_file
    }


def fallback_families(characters: Iterable[str]) -> tuple[str, ...]:
    """Installed fonts that together have of these characters what any installed font has."""
    missing = set(characters)
    families: list[str] = []
    for family in _families():
        if not missing:
            break
        covered = {character for character in missing if ord(character) in _codes(family)}
        if covered:
            families.append(family)
            missing -= covered
    return tuple(families)


def warning(characters: Sequence[str], drawn_as: str = "boxes") -> str:
    """A line that says which characters no installed font has, how they are drawn, and what to install."""
    packages = ", ".join(sorted({_package(character) for character in characters}))
    more = f" and {len(characters) - _MAX_NAMED} more" if len(characters) > _MAX_NAMED else ""
    return (
        f"no installed font has {' '.join(characters[:_MAX_NAMED])}{more}, which are drawn as {drawn_as}; "
        f"install fonts that have them (Debian's packages: {packages}) and draw again"
    )


def _visible(characters: Iterable[str]) -> set[str]:
    seen = {c for c in characters if not c.isspace() and unicodedata.category(c) not in ("Cc", "Cf")}
    return seen - _SELECTORS


def _package(character: str) -> str:
    if unicodedata.name(character, "").startswith(_CJK):
        return "fonts-noto-cjk"
    return "fonts-symbola" if ord(character) >= _FIRST_PICTURE else "fonts-noto-core"


def _families() -> list[str]:
    """Names of installed fonts, those that are preferred in front."""
    names = sorted({font.family for font in _installed() if not font.family.startswith(_LAST_RESORT)})
    return [
        *(name for name in _PREFERRED if name in names),
        *(name for name in names if name not in _PREFERRED),
    ]


def _codes(family: str) -> frozenset[int]:
    """Of the characters that a family has in some face."""
    return frozenset().union(*(_codes_of_file(font.file) for font in _installed() if font.family == family))


def _installed() -> tuple[_Font, ...]:
    upright = [font for font in fontManager.ttflist if font.style == "normal"]
    return tuple(_Font(font.name, str(font.fname)) for font in upright)


@functools.lru_cache(maxsize=512)
def _codes_of_file(file: str) -> frozenset[int]:
    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):  # removed since matplotlib looked, or of pictures, which it cannot draw
        return frozenset()
