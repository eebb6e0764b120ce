"""What the characters of a text are, one by one, by Unicode: from this all classes of bytes follow."""

import enum
import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNSPACED_SCRIPTS = frozenset(
    {
        *("Hani", "Hira", "Kana", "Bopo", "Yiii", "Thai", "Laoo", "Khmr", "Mymr"),
        *("Tibt", "Talu", "Lana", "Tavt", "Java", "Bali", "Phag"),
    }
)
"""Scripts that put no space between words: East Asian ones, and complex context in Unicode Annex 14."""

_COMMON, _INHERITED = "Zyyy", "Zinh"
_APOSTROPHES = "'\u2019"
_QUOTES = "\"'`\u2019"
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class CharacterType(enum.IntEnum):
    """What a character is, as far as classes of bytes need it."""

    LOWER = 0
    """A letter without a capital form counts as one as well."""
    UPPER = 1
    MARK = 2
    """Combining marks and joiners, which belong to the letter before them; none is on a symbol."""
    DIGIT = 3
    UNDERSCORE = 4
    """And what else connects words (Unicode's category Pc)."""
    QUOTE = 5
    """Quotation marks, the apostrophe among them."""
    OPENER = 6
    CLOSER = 7
    PUNCTUATION = 8
    SYMBOL = 9
    SPACE = 10
    LINE_END = 11
    CONTROL = 12
    """Controls, format characters, private use and what Unicode has not assigned."""


class Characters(NamedTuple):
    """A text of N characters, told character by character."""

    text: str
    codes: NDArray[np.uint32]
    """``[N]``: code points."""
    types: NDArray[np.uint8]
    """``[N]``, each a `CharacterType`."""
    scripts: NDArray[np.int16]
    """``[N]``, index among `script_codes`; marks have the script of the letter that they are on."""
    script_codes: tuple[str, ...]
    """Of ISO 15924; `Zyyy` is what scripts share: digits, spaces, most punctuation."""
    num_bytes: NDArray[np.int64]
    """``[N]``, in UTF-8."""

    def is_any(self, *types: CharacterType) -> NDArray[np.bool_]:
        """``[N]``: whether a character is of one of these types."""
        return np.isin(self.types, types)

    def is_apostrophe(self) -> NDArray[np.bool_]:
        """``[N]``: whether a character may stand inside of a word as in ``don't``."""
        return np.isin(self.codes, [ord(character) for character in _APOSTROPHES])

    def over_bytes(self, codes: NDArray[np.int16]) -> NDArray[np.int16]:
        """What was told of each character, ``[N]``, of each byte."""
        return np.repeat(codes, self.num_bytes)


def characters_of(text: str) -> Characters:
    """What each character of a text is."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    distinct, places = np.unique(codes, return_inverse=True)
    facts = [_facts(int(code)) for code in distinct]
    script_codes = tuple(sorted({_COMMON, *(fact.script for fact in facts)}))
    number_of = {script: number for number, script in enumerate(script_codes)}
    scripts = np.array([number_of[fact.script] for fact in facts], np.int16)[places]
    follows = np.array([fact.follows for fact in facts], np.bool_)[places]
    return Characters(
        text,
        codes,
        _with_marked_symbols(np.array([fact.type for fact in facts], np.uint8)[places]),
        _as_before(scripts, follows, number_of[_COMMON]),
        script_codes,
        1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF),
    )


def type_of(character: str) -> CharacterType:
    """What a character is."""
    return _facts(ord(character)).type


def script_name(code: str) -> str:
    """A script's name in words."""
    from fontTools import unicodedata

    if code == _COMMON:
        return "common to scripts"
    return str(unicodedata.script_name(code, "unknown"))


@functools.cache
def partner_of(opener: str) -> str | None:
    """The closing delimiter of an opening one; None of what is none, low quotation marks among them."""
    from fontTools import unicodedata

    code = unicodedata.mirrored(ord(opener)) if unicodedata.category(opener) == "Ps" else None
    return None if code is None or unicodedata.category(chr(code)) != "Pe" else chr(code)


class _Facts(NamedTuple):
    type: CharacterType
    script: str
    follows: bool
    """Whether its script is that of the character before it."""


@functools.cache
def _facts(code: int) -> _Facts:
    from fontTools import unicodedata

    character = chr(code)
    script = str(unicodedata.script(character))
    category = unicodedata.category(character)
    follows = script == _INHERITED or (script == _COMMON and category[0] in "LM")
    return _Facts(_type(character, category), _COMMON if follows else script, follows)


def _type(character: str, category: str) -> CharacterType:
    from fontTools import unicodedata

    if character in _LINE_ENDS:
        return CharacterType.LINE_END
    if character == "\t" or category == "Zs":
        return CharacterType.SPACE
    if category in ("Lu", "Lt"):
        return CharacterType.UPPER
    if category[0] == "L":
        return CharacterType.LOWER
    if category[0] == "M" or character in "\u200c\u200d":
        return CharacterType.MARK
    if category[0] == "N":
        return CharacterType.DIGIT
    if category == "Pc":
        return CharacterType.UNDERSCORE
    if category == "Ps" and partner_of(character):
        return CharacterType.OPENER
    if category == "Pe" and partner_of(chr(unicodedata.mirrored(ord(character)) or 0)):
        return CharacterType.CLOSER
    if category in ("Ps", "Pe", "Pi", "Pf") or character in _QUOTES:
        return CharacterType.QUOTE
    if category[0] == "P":
        return CharacterType.PUNCTUATION
    return CharacterType.SYMBOL if category[0] == "S" else CharacterType.CONTROL


def _with_marked_symbols(types: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Marks on symbols and punctuation are as these: selectors and joiners of emoji are no words."""
    places = np.maximum.accumulate(np.where(types == CharacterType.MARK, 0, np.arange(len(types))))
    bases = types[places]
    is_symbol = np.isin(bases, (CharacterType.SYMBOL, CharacterType.PUNCTUATION))
    return np.asarray(np.where(is_symbol, bases, types))


def _as_before(scripts: NDArray[np.int16], follows: NDArray[np.bool_], common: int) -> NDArray[np.int16]:
    """The scripts with those that follow replaced by the last before them that does not."""
    places = np.maximum.accumulate(np.where(follows, -1, np.arange(len(scripts))))
    return np.where(places < 0, np.int16(common), scripts[places]) if len(scripts) else scripts
