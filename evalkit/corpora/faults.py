"""Characters in a text that betray a fault in how it was extracted, kind by kind.

Each kind is one that extractors really make: bytes decoded in a wrong encoding, elements put together without
a space, superscripts that became digits, markup that was not understood, lines of a PDF. None of them is
proof: a text about HTML has tags, a company may be called iRobot. So kinds are counted over a corpus, and
each has a share of documents (`FaultKind.max_share`) that honest text stays below; on 5,000
Wikipedia articles of 2024 in English, French and German, as Uncheatable Eval published them, the largest
shares were: glued words 4.1 % and glued sentences 3.8 %, most of them true; invisible characters 1.9 %,
markup 1.1 %, lost superscripts 0.9 % (all true), the others 0.1 % or none.

Programs in a text, addresses and formulas are looked at for wrong characters only.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """Where in a text something is."""

    start: int
    end: int


class FaultKind(NamedTuple):
    """A kind of fault."""

    name: str
    meaning: str
    """What it says of a corpus, in a few words."""
    max_share: float
    """Of the documents; where more have it, the extraction is at fault and not single texts."""
    is_of_prose: bool
    """Whether programs, addresses and formulas are looked past, and files as they are left out."""
    find: Callable[[str], Iterable[Place]]


# Everything in which words and marks have a meaning of their own.
# No alternative looks further than to where its like may begin again: a text of nothing but beginnings would
# take time that grows with its square.
_NO_PROSE = re.compile(
    r"```.*?```|~~~.*?~~~|`[^`\n]*`|\\\((?:(?!\\[()]).)*\\\)|\\\[(?:(?!\\[\[\]]).)*\\\]|\$\$.*?\$\$"
    r"|\$[^$\n]{1,200}\$|(?m:^(?:\t| {4})[^\n]*)|(?:https?://|www\.)\S+|(?<!\S)[^\s@]{1,80}@\S{1,200}"
    r"|(?<![\w./-])[\w.-]{1,200}/[\w./-]+",
    re.DOTALL,
)
# Bytes 80 to BF, as Windows-1252 shows them: what follows the first byte of a letter in UTF-8.
_CONTINUATION = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xC0))
_CONTINUATION_CLASS = f"[{re.escape(_CONTINUATION)}\x80-\x9f]"
_MOJIBAKE = re.compile(
    # Latin letters and signs; two letters of another alphabet, of two bytes each or three; dashes, quotation
    # marks, the euro; pictures; the mark at a file's beginning. One letter alone may be French: à ».
    rf"[\xc2\xc3]{_CONTINUATION_CLASS}|(?:[\xc4-\xdf]{_CONTINUATION_CLASS}){{2}}"
    rf"|(?:[\xe0-\xef]{_CONTINUATION_CLASS}{{2}}){{2}}|\xe2[\x80€]{_CONTINUATION_CLASS}"
    rf"|\xe2[\x82‚]\xac|\xf0[\x9fŸ]{_CONTINUATION_CLASS}{{2}}|\xef\xbb\xbf"
)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ue000-\uf8ff]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_LOWER, _UPPER = "a-zß-öø-ÿ", "A-ZÀ-ÖØ-Þ"
_GLUED_SENTENCES = re.compile(rf"(?<=[{_LOWER}]{{2}})[.!?;:][{_UPPER}][{_LOWER}]+(?=[ ,])")
_GLUED_WORDS = re.compile(
    rf"(?<![\w@#.$-])([{_UPPER}]?[{_LOWER}]{{3,}})([{_UPPER}][{_LOWER}]{{2,}})(?![\w(.])"
)
_LONG_WORDS = re.compile(rf"[{_LOWER}{_UPPER}]{{46,}}")
_LOST_SUPERSCRIPTS = re.compile(
    # 3×108 for 3×10⁸ and ×10-9; a note's number behind its sentence.
    rf"[×·⋅]\s?10(?!0)\d{{1,2}}\b|[×·⋅]\s?10[-−–]\d{{1,2}}\b"
    rf"|(?<=[{_LOWER}]{{4}})[.,;]?[.,;\"”»]\d{{1,3}}(?=\s+[{_UPPER}][{_LOWER}])"
)
_TAGS = (
    "a|abbr|article|aside|b|blockquote|body|br|button|caption|center|cite|code|dd|div|dl|dt|em|figure|"
    "figcaption|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|li|link|main|math|meta|nav|"
    "ol|option|p|pre|ref|script|section|small|span|strong|style|sub|sup|svg|table|tbody|td|th|thead|tr|u|ul"
)
_MARKUP = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]{{0,300}})?/?>|&(?:amp|nbsp|lt|gt|quot|apos|[lr][sd]quo|[mn]dash|hellip|#\d{{2,6}}|"
    r"#x[0-9a-f]{2,5});|\[\[[^\[\]\n]{1,200}\]\]|\{\{[^{}\n]{1,300}\}\}"
    r"|\[/?(?:caption|quote|url|img|embed)\b[^\]]{0,300}\]"
    r"|\\(?:cite[a-z]*|ref|label|begin|end|textbf|textit|emph|section|footnote|lx@\w+)\s?\{"
    r"|\bfunction\s?\w{0,60}\([\w, ]{0,200}\)\s?\{|\bwindow\.\w+\s?=|\bdocument\.\w+\("
    r"|@(?:media|import|font-face)\b|\{\s?[a-z-]{3,25}:\s?[^{};\n]{1,60};",
    re.IGNORECASE,
)
_PDF = re.compile(rf"[\ufb00-\ufb06]|(?<=[{_LOWER}]{{2}})-\n(?=[{_LOWER}]{{2}})")


def prose_of(text: str) -> str:
    """A text with everything that is no prose blanked out; what stays, stands where it stood."""
    return _NO_PROSE.sub(lambda match: re.sub(r"\S", " ", match[0]), text)


def _matches(*patterns: re.Pattern[str]) -> Callable[[str], Iterator[Place]]:
    return lambda text: (Place(*match.span()) for pattern in patterns for match in pattern.finditer(text))


FAULT_KINDS: Sequence[FaultKind] = (
    FaultKind(
        "replacement characters",
        "bytes that no character could be made of (U+FFFD)",
        0.01,
        False,
        _matches(re.compile("\ufffd")),
    ),
    FaultKind("mojibake", "UTF-8 read as another encoding (Ã© for é)", 0.01, False, _matches(_MOJIBAKE)),
    FaultKind(
        "control characters",
        "control characters and such as only a font of one's own has",
        0.01,
        False,
        _matches(_CONTROLS),
    ),
    FaultKind(
        "invisible characters",
        "soft hyphens, spaces of no width and byte order marks",
        0.1,
        True,
        _matches(_INVISIBLE),
    ),
    FaultKind(
        "glued sentences",
        "no space between a sentence and the next (end.Next)",
        0.05,
        True,
        _matches(_GLUED_SENTENCES),
    ),
    FaultKind(
        "glued words",
        "two words of the corpus as one (titleAuthor), or words of more than 45 letters",
        0.05,
        True,
        _matches(_LONG_WORDS),  # and `glued_words`, which has to know all texts
    ),
    FaultKind(
        "lost superscripts",
        "exponents and numbers of notes as digits (3×108, end.12 Next)",
        0.02,
        True,
        _matches(_LOST_SUPERSCRIPTS),
    ),
    FaultKind(
        "markup",
        "tags, entities, templates, LaTeX outside of formulas, scripts and styles",
        0.05,
        True,
        _matches(_MARKUP),
    ),
    FaultKind(
        "traces of PDF",
        "ligatures as one character (ﬁ), words divided at line ends",
        0.02,
        True,
        _matches(_PDF),
    ),
)
"""In the order of tables."""

GLUED_WORDS = "glued words"


def glued_words(proses: Sequence[str]) -> list[list[Place]]:
    """For every text the words that are two words of the corpus without a space between them.

    ``titleAuthor`` is one where *title* and *Author* are words of other texts and nobody else writes the two
    as one: names (*YouTube*) stand in more than one text, identifiers' parts are rarely words of the others.

    Args:
        proses: see `prose_of`.
    """
    num_documents = Counter(word for prose in proses for word in set(re.findall(r"\w+", prose)))
    places = []
    for prose in proses:
        glued = []
        for match in _GLUED_WORDS.finditer(prose):
            halves = (match[1], match[2])
            if num_documents[match[0]] == 1 and all(num_documents[half] >= 2 for half in halves):
                glued.append(Place(*match.span()))
        places.append(glued)
    return places
