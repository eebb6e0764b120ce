"""What kind of token each byte is part of: words of several kinds, numbers, delimiters, indentation."""

import re

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.losses.characters import Characters, CharacterType
from evalkit.analysis.losses.words import WordKind, words_of

KINDS = (
    "content words, first in the document",
    "content words, seen before",
    "names, first in the document",
    "names, seen before",
    "identifiers, first in the document",
    "identifiers, seen before",
    "function words",
    "words, no list for the language",
    "scripts without spaces",
    "numbers",
    "URLs",
    "opening delimiters",
    "closing delimiters",
    "quotation marks",
    "punctuation",
    "symbols",
    "indentation",
    "line ends",
    "spaces",
    "controls and unassigned",
)
_NUMBER_OF = {name: number for number, name in enumerate(KINDS)}
_OF_TYPE = {
    CharacterType.QUOTE: "quotation marks",
    CharacterType.OPENER: "opening delimiters",
    CharacterType.CLOSER: "closing delimiters",
    CharacterType.PUNCTUATION: "punctuation",
    CharacterType.SYMBOL: "symbols",
    CharacterType.SPACE: "spaces",
    CharacterType.LINE_END: "line ends",
    CharacterType.CONTROL: "controls and unassigned",
}
_OF_WORD = {
    WordKind.FUNCTION: "function words",
    WordKind.UNLISTED: "words, no list for the language",
    WordKind.UNSPACED: "scripts without spaces",
    WordKind.NUMBER: "numbers",
}
_WORDS_BY_ORDER = {
    WordKind.CONTENT: "content words",
    WordKind.NAME: "names",
    WordKind.IDENTIFIER: "identifiers",
}
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'`]+")
_NUMBER_SEPARATORS = [ord(mark) for mark in ".,\u066b\u066c"]
"""The last two are those of Arabic."""


def kind_codes(characters: Characters, language: str | None, is_code: NDArray[np.bool_]) -> NDArray[np.int16]:
    """``[N]``: index of each character's class among `KINDS`.

    A space belongs to what follows it on its line, as in the tokens of nearly all vocabularies.

    Args:
        characters: of the text.
        language: whose function words are looked for; None: nobody knows.
        is_code: ``[N]``, which characters are source code.
    """
    if not len(characters.types):
        return np.zeros(0, np.int16)
    of_type = [_NUMBER_OF[_OF_TYPE.get(kind, "content words, seen before")] for kind in CharacterType]
    codes = np.array(of_type, np.int16)[characters.types]
    is_space = characters.is_any(CharacterType.SPACE)
    is_indentation = is_space & _is_before_text(characters, is_space)
    codes[is_indentation] = _NUMBER_OF["indentation"]
    words = words_of(characters, language, is_code)
    edges = np.zeros(len(codes) + 1, np.int64)
    edges[words.starts] += 1
    edges[words.ends] -= 1  # where another begins the two are 0 together
    of_word = np.array([[_number_of_word(kind, is_first) for is_first in (False, True)] for kind in WordKind])
    of_word = of_word[words.kinds, words.is_first.astype(np.int64)]
    codes[np.cumsum(edges)[:-1] > 0] = np.repeat(of_word, words.ends - words.starts)
    _join_numbers(characters, codes)
    for match in _URL.finditer(characters.text):
        codes[match.start() : match.start() + _url_length(match[0])] = _NUMBER_OF["URLs"]
    is_joined = (characters.codes == ord(" ")) & ~is_indentation
    is_joined[:-1] &= ~(is_space | characters.is_any(CharacterType.LINE_END))[1:]
    is_joined[-1] = False
    spaces = np.flatnonzero(is_joined)
    codes[spaces] = codes[spaces + 1]
    return codes


def _number_of_word(kind: WordKind, is_first: bool) -> int:
    if kind in _OF_WORD:
        return _NUMBER_OF[_OF_WORD[kind]]
    return _NUMBER_OF[f"{_WORDS_BY_ORDER[kind]}, {'first in the document' if is_first else 'seen before'}"]


def _url_length(url: str) -> int:
    """Without the brackets and punctuation of the sentence that it stands in."""
    closers = [closer for opener, closer in ("()", "[]", "{}") if opener not in url]
    return len(url.rstrip("".join([".,;:!?", *closers])))


def _is_before_text(characters: Characters, is_space: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[N]``: whether a line has nothing but spaces up to here."""
    places = np.arange(len(is_space))
    is_line_end = characters.is_any(CharacterType.LINE_END)
    line_end = np.maximum.accumulate(np.where(is_line_end, places, -1))
    text = np.maximum.accumulate(np.where(is_space | is_line_end, -1, places))
    return np.asarray(text <= line_end)


def _join_numbers(characters: Characters, codes: NDArray[np.int16]) -> None:
    """Make what separates digits parts of the numbers."""
    is_digit = characters.is_any(CharacterType.DIGIT) & (codes == _NUMBER_OF["numbers"])
    candidates = 1 + np.flatnonzero(is_digit[:-2] & is_digit[2:])
    codes[candidates[np.isin(characters.codes[candidates], _NUMBER_SEPARATORS)]] = _NUMBER_OF["numbers"]
