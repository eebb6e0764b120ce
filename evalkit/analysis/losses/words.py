"""The words of a text: where they stand, and which of them are function words, names or identifiers."""

import enum
import functools
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.losses.characters import UNSPACED_SCRIPTS, Characters, CharacterType
from evalkit.corpora.language import primary

_LETTERS = (CharacterType.LOWER, CharacterType.UPPER, CharacterType.MARK)
_WORD = (*_LETTERS, CharacterType.DIGIT, CharacterType.UNDERSCORE)
_SENTENCE_ENDS = frozenset(".!?:;\u2026\u061f\u0964\u3002\uff01\uff1f")
_CAPITALISED_NOUNS = frozenset({"de", "lb", "nds", "bar", "gsw", "als", "stq", "frr"})
"""Languages that write every noun with a capital, which there says nothing of names."""
_INNER_CAPITAL = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")


class WordKind(enum.IntEnum):
    """What a word is."""

    CONTENT = 0
    NAME = 1
    IDENTIFIER = 2
    FUNCTION = 3
    NUMBER = 4
    UNLISTED = 5
    """Of a language whose function words are not known."""
    UNSPACED = 6
    """A stretch of letters of a script that puts no space between words."""


class Word(NamedTuple):
    """A word of a text."""

    start: int
    """Index of its first character."""
    end: int
    kind: WordKind
    is_first: bool
    """Whether the text has not had it before, letter case aside."""


@functools.cache
def function_words(language: str) -> frozenset[str]:
    """The function words of a language; empty where there is no list of them.

    They are the stop words of https://github.com/stopwords-iso/stopwords-iso (MIT): of 57 languages.

    Args:
        language: ISO 639-1, or any BCP 47 tag.
    """
    from stopwordsiso import stopwords

    # Numbers are a kind of their own.
    return frozenset(word.casefold() for word in stopwords(primary(language)) if not word.isdigit())


def words_of(characters: Characters, language: str | None, is_code: NDArray[np.bool_]) -> list[Word]:
    """The words in their order.

    Args:
        characters: of the text.
        language: whose function words are looked for; None: nobody knows.
        is_code: ``[N]``, which characters are source code: there a word with a capital inside is no name.
    """
    spans = _spans(characters, function_words(language) if language else frozenset())
    kinds = _kinds(characters, spans, language, is_code)
    seen: set[str] = set()
    words = []
    for (start, end), kind in zip(spans, kinds, strict=True):
        word = _bare(characters.text[start:end])
        words.append(Word(start, end, kind, word not in seen))
        seen.add(word)
    return words


def _spans(characters: Characters, listed: frozenset[str]) -> list[tuple[int, int]]:
    """Where words begin and end: at an apostrophe only where the whole is not listed, as ``don't`` is."""
    is_letter = characters.is_any(*_LETTERS)
    is_joint = characters.is_apostrophe()
    is_joint[1:] &= is_letter[:-1]
    is_joint[:-1] &= is_letter[1:]
    is_joint[:1] = is_joint[-1:] = False
    unspaced = [code in UNSPACED_SCRIPTS for code in characters.script_codes]
    is_unspaced = is_letter & np.array(unspaced, np.bool_)[characters.scripts]
    # 0: no word. Where letters of scripts with and without spaces meet, one word ends and another begins.
    membership = np.where(characters.is_any(*_WORD) | is_joint, 1 + is_unspaced, 0)
    edges = np.flatnonzero(np.diff(membership, prepend=0, append=0))
    numbers_of_joints = np.concatenate(([0], np.cumsum(is_joint)))
    spans = []
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if membership[start] == 0:
            continue
        if numbers_of_joints[start] == numbers_of_joints[end] or _plain(characters.text[start:end]) in listed:
            spans.append((start, end))
            continue
        joints = 1 + start + np.flatnonzero(is_joint[start:end])
        bounds = [start, *joints.tolist(), end]
        spans += itertools.pairwise(bounds)
    return spans


def _plain(word: str) -> str:
    """A word as lists have it."""
    return word.casefold().replace("\u2019", "'")


def _bare(word: str) -> str:
    """The same without an apostrophe at its end, where the word was cut."""
    return _plain(word).rstrip("'")


def _kinds(
    characters: Characters,
    spans: list[tuple[int, int]],
    language: str | None,
    is_code: NDArray[np.bool_],
) -> list[WordKind]:
    """What each word is."""
    listed = function_words(language) if language else frozenset()
    has_names = language is None or primary(language) not in _CAPITALISED_NOUNS
    otherwise = WordKind.CONTENT if listed else WordKind.UNLISTED
    kinds: list[WordKind] = []
    names: set[str] = set()
    undecided: list[int] = []
    for (start, end), is_opening in zip(spans, _openings(characters, spans), strict=True):
        word = characters.text[start:end]
        kind = _kind_of_form(characters, start, end, word, is_code=bool(is_code[start]))
        has_capital = has_names and characters.types[start] == CharacterType.UPPER
        is_listed = _plain(word) in listed or _bare(word) in listed
        if kind is None and has_capital and not is_opening and not (is_listed and end - start == 1):
            kind = WordKind.NAME
            names.add(_bare(word))
        elif kind is None and is_listed:
            kind = WordKind.FUNCTION
        elif kind is None and has_capital:
            undecided.append(len(kinds))  # any word has a capital here: a name if the text has it elsewhere
        kinds.append(otherwise if kind is None else kind)
    for number in undecided:
        if _bare(characters.text[slice(*spans[number])]) in names:
            kinds[number] = WordKind.NAME
    return kinds


def _kind_of_form(
    characters: Characters, start: int, end: int, word: str, *, is_code: bool
) -> WordKind | None:
    """What a word is by its letters alone; None: that is not told by them."""
    first = characters.types[start]
    if first == CharacterType.DIGIT:
        return WordKind.NUMBER
    if characters.script_codes[characters.scripts[start]] in UNSPACED_SCRIPTS:
        return WordKind.UNSPACED
    if word.isalpha():
        return WordKind.IDENTIFIER if is_code and _INNER_CAPITAL.search(word) else None
    types = characters.types[start:end]
    is_mixed = ((types == CharacterType.DIGIT) | (types == CharacterType.UNDERSCORE)).any()
    return WordKind.IDENTIFIER if is_mixed else None


def _openings(characters: Characters, spans: list[tuple[int, int]]) -> Iterator[bool]:
    """Whether each word begins a sentence or a line, or stands behind a quotation mark."""
    is_line_end = characters.is_any(CharacterType.LINE_END)
    lines = np.cumsum(is_line_end)
    is_blank = is_line_end | characters.is_any(CharacterType.SPACE)
    before = np.maximum.accumulate(np.where(is_blank, -1, np.arange(len(lines))))
    line = -1
    for start, _ in spans:
        is_first = lines[start] != line
        line = lines[start]
        place = int(before[start - 1]) if start else -1
        ends_sentence = 0 <= place < start - 1 and characters.text[place] in _SENTENCE_ENDS
        yield is_first or ends_sentence or (place >= 0 and characters.types[place] == CharacterType.QUOTE)
