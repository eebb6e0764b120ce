"""What kind of token each byte is part of: words of several kinds, numbers, delimiters, indentation."""

import re

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.losses.characters import Characters, CharacterType
from evalkit.analysis.losses.words import Word, WordKind, words_of

KINDS = (
    "content words, first in the document",
    "content words, seen before",
    "names, first in the document",
    "names, seen before",
    "identifiers, first in the document",
    "identifiers, seen before",
    "function words",
    "words of a language without a list",
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
    WordKind.UNLISTED: "words of a language without a list",
    WordKind.UNSPACED: "scripts without spaces",
    WordKind.NUMBER: "numbers",
}
_WORDS_BY_ORDER = {
    WordKind.CONTENT: "content words",
    WordKind.NAME: "names",
    WordKind.IDENTIFIER: "identifiers",
}
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'`]+")
_NUMBER_SEPARATORS = frozenset(".,")


def kind_codes(characters: Characters, language: str | None, is_code: NDArray[np.bool_]) -> NDArray[np.int16]:
    """``[N]``: index of each character's class among `KINDS`.

    The space before a word, name or number belongs to it, as in the tokens of nearly all vocabularies.

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
    for word in words:
        codes[word.start : word.end] = _number_of_word(word)
    _join_numbers(characters, codes)
    starts = np.array([word.start for word in words if word.start], np.int64)
    is_joined = np.zeros(len(codes), np.bool_)
    is_joined[starts - 1] = is_space[starts - 1] & ~is_indentation[starts - 1]
    codes[is_joined] = codes[1 + np.flatnonzero(is_joined)]
    for match in _URL.finditer(characters.text):
        codes[match.start() : match.end()] = _NUMBER_OF["URLs"]
    return codes


def _number_of_word(word: Word) -> int:
    if word.kind in _OF_WORD:
        return _NUMBER_OF[_OF_WORD[word.kind]]
    order = "first in the document" if word.is_first else "seen before"
    return _NUMBER_OF[f"{_WORDS_BY_ORDER[word.kind]}, {order}"]


def _is_before_text(characters: Characters, is_space: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[N]``: whether a line has nothing but spaces up to here."""
    places = np.arange(len(is_space))
    is_line_end = characters.is_any(CharacterType.LINE_END)
    line_end = np.maximum.accumulate(np.where(is_line_end, places, -1))
    text = np.maximum.accumulate(np.where(is_space | is_line_end, -1, places))
    return np.asarray(text <= line_end)


def _join_numbers(characters: Characters, codes: NDArray[np.int16]) -> None:
    """Make the points and commas between digits parts of the numbers."""
    is_digit = characters.is_any(CharacterType.DIGIT) & (codes == _NUMBER_OF["numbers"])
    candidates = 1 + np.flatnonzero(is_digit[:-2] & is_digit[2:])
    for place in candidates.tolist():
        if characters.text[place] in _NUMBER_SEPARATORS:
            codes[place] = _NUMBER_OF["numbers"]
