"""Opening and closing delimiters with the depth of their nesting, however badly they nest."""

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.losses.characters import Characters, CharacterType, partner_of

DEPTHS = ("1", "2", "3 and more")
"""1 is outermost."""
NESTING = (
    *(f"opening, depth {depth}" for depth in DEPTHS),
    *(f"closing, depth {depth}" for depth in DEPTHS),
    "delimiters without partner",
    "outside of delimiters",
    *(f"inside, depth {depth}" for depth in DEPTHS),
)
_OPENING, _CLOSING, _UNMATCHED, _OUTSIDE = 0, len(DEPTHS), 2 * len(DEPTHS), 2 * len(DEPTHS) + 1


def nesting_codes(characters: Characters) -> NDArray[np.int16]:
    """``[N]``: index of each character's class among `NESTING`.

    A closing delimiter belongs to the last open one of its kind; what was opened after that one and is still
    open has no partner, as has a closing one of whose kind none is open. Depth counts pairs only.
    """
    partners = _partners(characters)
    is_opener = partners > np.arange(len(partners))
    is_closer = (partners >= 0) & ~is_opener
    depths: NDArray[np.int64] = np.cumsum(is_opener) - np.cumsum(is_closer)
    last = len(DEPTHS) - 1
    codes = np.where(depths == 0, _OUTSIDE, _OUTSIDE + np.minimum(depths, last + 1))
    codes[is_opener] = _OPENING + np.minimum(depths[is_opener] - 1, last)
    codes[is_closer] = _CLOSING + np.minimum(depths[is_closer], last)
    is_delimiter = characters.is_any(CharacterType.OPENER, CharacterType.CLOSER)
    codes[is_delimiter & (partners < 0)] = _UNMATCHED
    return codes.astype(np.int16)


def _partners(characters: Characters) -> NDArray[np.int64]:
    """``[N]``: where the partner of each delimiter stands; -1 of what has none."""
    partners = np.full(len(characters.types), -1, np.int64)
    open_places: list[tuple[int, str]] = []
    num_open: dict[str, int] = {}
    places = np.flatnonzero(characters.is_any(CharacterType.OPENER, CharacterType.CLOSER))
    is_opener = characters.types[places] == CharacterType.OPENER
    for place, opens in zip(places.tolist(), is_opener.tolist(), strict=True):
        character = characters.text[place]
        if opens:
            closer = partner_of(character) or ""
            open_places.append((place, closer))
            num_open[closer] = num_open.get(closer, 0) + 1
        elif num_open.get(character):
            closer = ""
            while closer != character:  # each is taken off once, so that the whole is linear
                opened, closer = open_places.pop()
                num_open[closer] -= 1
            partners[place], partners[opened] = opened, place
    return partners
