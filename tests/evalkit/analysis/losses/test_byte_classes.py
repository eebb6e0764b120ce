"""Classes of bytes: each axis a partition, of any text; and what the classes are."""

import itertools
import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.analysis.losses.axes import AXES, byte_classes
from evalkit.analysis.losses.copies import COPIES, FIRST, copy_distances
from evalkit.corpora.store import make_document
from tests.support.nasty_texts import nasty_texts

DELIMITERS = st.text(alphabet="()[]{}（「」)«»<>“„' a\n", max_size=60)
HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def pieces(text: str, axis: str, **fields: str) -> dict[str, list[str]]:
    """The stretches of each class."""
    classes = byte_classes(make_document(text, source="x", **fields))[axis]
    data = text.encode()
    edges = [0, *(1 + np.flatnonzero(np.diff(classes.codes))).tolist(), len(data)]
    stretches = defaultdict(list)
    for start, end in itertools.pairwise(edges):
        stretches[classes.names[classes.codes[start]]].append(data[start:end].decode())
    return dict(stretches)


def check_partitions(text: str, **fields: str) -> None:
    document = make_document(text, source="x", **fields)
    classes = byte_classes(document)
    assert list(classes) == list(AXES)
    for axis, (names, codes) in classes.items():
        assert codes.shape == (document.num_bytes,), axis
        assert ((codes >= 0) & (codes < len(names))).all(), axis


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.one_of(HOSTILE, DELIMITERS), st.sampled_from(["en", "de", "zh", "xx", "\x1b[2J"]))
def test_every_byte_has_a_class_on_every_axis(text: str, language: str) -> None:
    check_partitions(text, language=language)


@pytest.mark.parametrize(
    "text", ["", "a", "\ufeff", "\r\n", ")(", "don't", "'", "a'文b", "1", "é\u0301", *nasty_texts(40, seed=3)]
)
def test_every_byte_of_texts_that_went_wrong_elsewhere_has_a_class(text: str) -> None:
    check_partitions(text, title="a.py")
    check_partitions(text)


@pytest.mark.parametrize(
    "text",
    ["a'" * 2**16, "([" * 2**16, ")" * 2**17, "aA" * 2**16, "www." * 2**15, "```\n" * 2**15, " " * 2**17],
    ids=["apostrophes", "open", "closed", "capitals", "addresses", "fences", "spaces"],
)
def test_texts_of_one_thing_alone_take_no_time_that_grows_with_their_square(
    text: str,
) -> None:
    """A hundred thousand of each: were it so, this would take hours."""
    check_partitions(text, title="a.py")


def test_kinds_of_words() -> None:
    text = (
        'The cat met Ada Lovelace in 1,024 houses: "Ada\u2019s" foo_bar don\'t (see https://a.b/c1).\n'
        "  Ada sat; Berlin met cats.\r\n"
    )
    assert pieces(text, "kind", language="en-GB") == {
        "function words": ["The", " in", "s", " don't", "see"],
        "content words, first in the document": [" cat met", " houses", " sat", " Berlin", " cats"],
        "content words, seen before": [" met"],
        "names, first in the document": [" Ada Lovelace"],
        "names, seen before": ["Ada\u2019", "Ada"],
        "identifiers, first in the document": [" foo_bar"],
        "numbers": [" 1,024"],
        "URLs": [" https://a.b/c1"],
        "quotation marks": [' "', '"'],
        "punctuation": [":", ".", ";", "."],
        "opening delimiters": [" ("],
        "closing delimiters": [")"],
        "indentation": ["  "],
        "line ends": ["\n", "\r\n"],
    }


def test_marks_on_symbols_are_parts_of_them_and_arabic_separators_of_numbers() -> None:
    text = "\u2764\ufe0f \U0001f469\u200d\U0001f467 e\u0301t \u0661\u066c\u0662\u066b\u0663"
    assert pieces(text, "kind", language="en") == {
        "symbols": ["\u2764\ufe0f \U0001f469\u200d\U0001f467"],
        "content words, first in the document": [" e\u0301t"],
        "numbers": [" \u0661\u066c\u0662\u066b\u0663"],
    }


def test_names_of_a_language_that_writes_nouns_with_capitals_are_not_told() -> None:
    kinds = pieces("Er traf den Hund und das Haus", "kind", language="de")
    assert kinds["function words"] == ["Er", " den", " und das"]
    assert kinds["content words, first in the document"] == [" traf", " Hund", " Haus"]
    assert pieces("Er traf den Hund", "kind", language="en")["names, first in the document"] == [" Hund"]


def test_a_language_without_a_list_and_scripts_without_spaces() -> None:
    assert pieces("kaal ba 東京タワー abc", "kind", language="xx") == {
        "words, no list for the language": ["kaal ba", " abc"],
        "scripts without spaces": [" 東京タワー"],
    }


def test_source_code_has_identifiers_and_indentation() -> None:
    text = "def f(x):\n\n    return getValue(x)[0]  \n"
    kinds = pieces(text, "kind", title="a.py")
    assert kinds["indentation"] == ["    "]
    assert kinds["spaces"] == ["  "]
    assert kinds["line ends"] == ["\n\n", "\n"]
    assert kinds["identifiers, first in the document"] == [" getValue"]
    assert pieces(text, "document", title="a.PY") == {"code, .py": [text]}
    prose = "Text:\n```\nx\n```\n"
    assert pieces(prose, "document", language="en") == {
        "prose, en": ["Text:\n", "\n"],
        "code in prose, fenced": ["```\nx\n```"],
    }


def test_nesting_counts_pairs_alone() -> None:
    assert pieces("a(b[c{(d)}])e ] ( f", "nesting") == {
        "outside of delimiters": ["a", "e ", " ", " f"],
        "opening, depth 1": ["("],
        "inside, depth 1": ["b"],
        "opening, depth 2": ["["],
        "inside, depth 2": ["c"],
        "opening, depth 3 and more": ["{("],
        "inside, depth 3 and more": ["d"],
        "closing, depth 3 and more": [")}"],
        "closing, depth 2": ["]"],
        "closing, depth 1": [")"],
        "delimiters without partner": ["]", "("],
    }
    # What was opened last and not closed has no partner; a low quotation mark is no delimiter.
    assert pieces("(a[b)„c“", "nesting") == {
        "opening, depth 1": ["("],
        "inside, depth 1": ["a", "b"],
        "delimiters without partner": ["["],
        "closing, depth 1": [")"],
        "outside of delimiters": ["„c“"],
    }


def test_copies_by_distance() -> None:
    source = random.Random(5)
    data = bytes(source.choice(b"abc") for _ in range(300)) * 2 + b"a" * 40
    last: dict[bytes, int] = {}
    expected = []
    for end in range(1, len(data) + 1):
        stretch = data[max(0, end - 16) : end]
        expected.append(end - last[stretch] if len(stretch) == 16 and stretch in last else 0)
        last[stretch] = end
    assert copy_distances(data).tolist() == expected
    names, codes = byte_classes(make_document(data.decode(), source="x"))["copies"]
    assert names == COPIES
    assert [names[code] for code in codes[[0, 299, 314, 599]]] == [
        FIRST, FIRST, FIRST, "copy, 100 to 999 bytes back"]  # fmt: skip
    assert names[codes[-1]] == "copy, less than 10 bytes back"


def test_scripts_are_those_of_letters_and_their_marks() -> None:
    assert pieces("abé см 日カー, e\u0301 हिन्दी", "script") == {
        "Latin": ["abé", "e\u0301"],
        "common to scripts": [" ", " ", ", ", " "],
        "Cyrillic": ["см"],
        "Han": ["日"],
        "Katakana": ["カー"],
        "Devanagari": ["हिन्दी"],
    }


def test_what_a_context_holds_has_been_read() -> None:
    fields = {"context": "Ask (the cats and dogs", "language": "en"}
    text = " cats and dogs) bite"
    assert pieces(text, "kind", **fields) == {
        "content words, seen before": [" cats", " dogs"],
        "function words": [" and"],
        "closing delimiters": [")"],
        "content words, first in the document": [" bite"],
    }
    assert "closing, depth 1" in pieces(text, "nesting", **fields)
    assert pieces(text, "copies", **fields) == {FIRST: [text]}  # 14 bytes are not 16
    assert pieces("; the cats and dogs", "copies", **fields)["copy, 10 to 99 bytes back"] == ["gs"]
