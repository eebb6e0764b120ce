"""The words of a text: where they stand, and which of them are function words, names or identifiers."""

import enum
import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.losses.characters import UNSPACED_SCRIPTS, Characters, CharacterType, type_of
from evalkit.corpora.language import primary

_LETTERS = (CharacterType.LOWER, CharacterType.UPPER, CharacterType.MARK)
_WORD = (*_LETTERS, CharacterType.DIGIT, CharacterType.UNDERSCORE)
_SENTENCE_ENDS = [ord(mark) for mark in ".!?:;\u2026\u061f\u0964\u3002\uff01\uff1f"]
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


class Words(NamedTuple):
    """The words of a text in their order, ``[W]`` each."""

    starts: NDArray[np.int64]
    """Index of the first character."""
    ends: NDArray[np.int64]
    kinds: NDArray[np.int64]
    """Each a `WordKind`."""
    is_first: NDArray[np.bool_]
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


def words_of(characters: Characters, language: str | None, is_code: NDArray[np.bool_]) -> Words:
    """The words of a text.

    Args:
        characters: of the text.
        language: whose function words are looked for; None: nobody knows.
        is_code: ``[N]``, which characters are source code: there a word with a capital inside is no name.
    """
    listed = function_words(language) if language else frozenset()
    has_names = language is None or primary(language) not in _CAPITALISED_NOUNS
    spans = _spans(characters, listed)
    texts = [characters.text[start:end] for start, end in zip(*spans, strict=True)]
    forms = {text: _form(text, listed) for text in set(texts)}
    kinds: list[WordKind] = []
    names: set[str] = set()
    undecided: list[int] = []
    facts = zip(
        texts,
        _is_unspaced(characters)[spans.starts].tolist(),
        is_code[spans.starts].tolist(),
        _openings(characters, spans.starts).tolist(),
        strict=True,
    )
    for number, (text, is_unspaced, in_code, is_opening) in enumerate(facts):
        form = forms[text]
        has_capital = has_names and form.has_capital
        if is_unspaced:
            kinds.append(WordKind.UNSPACED)
        elif form.kind is not None and (in_code or form.kind is not WordKind.IDENTIFIER or form.is_mixed):
            kinds.append(form.kind)
        elif has_capital and not is_opening and not (form.is_listed and len(text) == 1):
            kinds.append(WordKind.NAME)
            names.add(form.bare)
        elif form.is_listed:
            kinds.append(WordKind.FUNCTION)
        else:
            kinds.append(WordKind.CONTENT if listed else WordKind.UNLISTED)
            if has_capital:  # as any word has here: a name if the text has it as one elsewhere
                undecided.append(number)
    for number in undecided:
        if forms[texts[number]].bare in names:
            kinds[number] = WordKind.NAME
    is_first = _are_first([forms[text].bare for text in texts])
    return Words(*spans, np.array(kinds, np.int64), np.array(is_first, np.bool_))


class _Spans(NamedTuple):
    """Where words begin and end, ``[W]`` each."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class _Form(NamedTuple):
    """What a word's letters say, wherever it stands."""

    bare: str
    """By which it is known again: without letter case, and without an apostrophe where it was cut."""
    kind: WordKind | None
    """None: that is not told by its letters."""
    is_mixed: bool
    """Whether it has digits or underscores among its letters."""
    is_listed: bool
    """Whether it is a function word."""
    has_capital: bool
    """Whether it begins with a capital letter."""


def _form(text: str, listed: frozenset[str]) -> _Form:
    plain = _plain(text)
    bare = plain.rstrip("'")
    is_mixed = not text.isalpha() and any(
        type_of(character) in (CharacterType.DIGIT, CharacterType.UNDERSCORE) for character in text
    )
    kind = None
    if type_of(text[0]) is CharacterType.DIGIT:
        kind = WordKind.NUMBER
    elif is_mixed or _INNER_CAPITAL.search(text):
        kind = WordKind.IDENTIFIER
    is_listed = plain in listed or bare in listed
    return _Form(bare, kind, is_mixed, is_listed, type_of(text[0]) is CharacterType.UPPER)


def _plain(word: str) -> str:
    """A word as lists have it."""
    return word.casefold().replace("\u2019", "'")


def _are_first(bares: Sequence[str]) -> list[bool]:
    """Of each, whether none before it is the same."""
    place_of: dict[str, int] = {}
    return [place_of.setdefault(bare, place) == place for place, bare in enumerate(bares)]


def _is_unspaced(characters: Characters) -> NDArray[np.bool_]:
    """``[N]``: letters of scripts that put no space between words."""
    unspaced = [code in UNSPACED_SCRIPTS for code in characters.script_codes]
    return characters.is_any(*_LETTERS) & np.array(unspaced, np.bool_)[characters.scripts]


def _spans(characters: Characters, listed: frozenset[str]) -> _Spans:
    """Where words begin and end: at an apostrophe only where the whole is not listed, as ``don't`` is."""
    is_letter = characters.is_any(*_LETTERS)
    is_joint = characters.is_apostrophe()
    is_joint[1:] &= is_letter[:-1]
    is_joint[:-1] &= is_letter[1:]
    is_joint[:1] = is_joint[-1:] = False
    # 0: no word. Where letters of scripts with and without spaces meet, one word ends and another begins.
    membership = np.where(characters.is_any(*_WORD) | is_joint, 1 + _is_unspaced(characters), 0)
    edges = np.flatnonzero(np.diff(membership, prepend=0, append=0))
    is_start = membership[edges[:-1]] > 0
    starts, ends = edges[:-1][is_start], edges[1:][is_start]
    num_joints = np.concatenate(([0], np.cumsum(is_joint)))
    is_cut = is_joint.copy()
    for word in np.flatnonzero(num_joints[ends] > num_joints[starts]).tolist():
        if _plain(characters.text[starts[word] : ends[word]]) in listed:
            is_cut[starts[word] : ends[word]] = False
    cuts = 1 + np.flatnonzero(is_cut)
    cuts = cuts[membership[cuts] == membership[cuts - 1]]  # elsewhere a word ends anyway
    return _Spans(np.sort(np.concatenate((starts, cuts))), np.sort(np.concatenate((ends, cuts))))


def _openings(characters: Characters, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """``[W]``: whether words begin a sentence or a line, or stand behind a quotation mark."""
    is_line_end = characters.is_any(CharacterType.LINE_END)
    is_blank = is_line_end | characters.is_any(CharacterType.SPACE)
    places = np.arange(len(is_blank))
    before = np.concatenate(([-1], np.maximum.accumulate(np.where(is_blank, -1, places))))[starts]
    lines = np.cumsum(is_line_end)[starts]
    is_first = np.diff(lines, prepend=-1) > 0
    ends_sentence = np.isin(characters.codes[before], _SENTENCE_ENDS) & (before >= 0) & (before < starts - 1)
    is_quoted = (characters.types[before] == CharacterType.QUOTE) & (before >= 0)
    return np.asarray(is_first | ends_sentence | is_quoted)
