"""Text for the pages: how numbers look, and characters that must not act."""

import re
import unicodedata
from collections.abc import Iterable


def visible(text: str) -> str:
    """The text with every character that acts instead of showing replaced by its name in brackets.

    These are controls but tab and line feed, and the marks that turn the direction of what follows.
    """
    return text if text.isprintable() else "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\t\n":
        return character
    category = unicodedata.category(character)
    # Zl and Zp break lines; Cf holds the direction marks, and the joiners, which words of many scripts need.
    if category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in "\u200c\u200d\u00ad"):
        return f"[U+{ord(character):04X}]"
    return character


def decimals(half_widths: Iterable[float | None]) -> int:
    """How many decimals a column of numbers shows, 3 to 5: the smallest interval's first digit is seen."""
    widths = [width for width in half_widths if width]
    for places in (3, 4):
        if not widths or min(widths) >= 10**-places:
            return places
    return 5


def number(value: float | None, places: int) -> str:
    """A number with that many decimals; an en dash for None."""
    return "–" if value is None else f"{value:.{places}f}".replace("-", "−")


def signed(value: float | None, places: int) -> str:
    """The same with its sign."""
    if value is None:
        return "–"
    text = f"{value:+.{places}f}"
    return ("0." + "0" * places if float(text) == 0 else text).replace("-", "−")


def parameters(count: int | None) -> str:
    """A number of weights as people say it: ``0.19 B``, ``7.2 B``, ``834 K``."""
    if count is None:
        return "–"
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            amount = count / size
            return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"
    return str(count)


def web_link(url: str | None) -> str | None:
    """The URL if it is one of the web's: ``javascript:`` and the like are no links."""
    return url if url and re.match(r"https?://[^\s]+$", url) else None
