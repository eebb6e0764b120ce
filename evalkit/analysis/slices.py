"""Which kind of text each byte of a document is: the explorer's slices.

Three ways to cut, each a partition of all bytes: what the characters are, whether it is code, and the
document's language.
"""

import re
import unicodedata
from functools import cache
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from evalkit.corpora.document import Document

WAYS = ("characters", "code or prose", "language")

_URLS = "URLs"
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'`]+")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_SOURCE_SUFFIX = re.compile(
    r"\.(pyi?|[ch]|cc|cpp|cxx|hpp|cu|rs|go|java|m?js|[jt]sx?|rb|php|cs|swift|kt|scala|lua|pl|r|jl|hs|ml|(ba)?sh|ps1"
    r"|sql|html|css|xml|json|toml|ya?ml|ini|cmake|s|asm)",
    re.I,
)
_SCRIPTS = {
    "LATIN": "Latin letters",
    "CYRILLIC": "Cyrillic letters",
    "GREEK": "Greek letters",
    "ARABIC": "Arabic letters",
    "HEBREW": "Hebrew letters",
    "DEVANAGARI": "Devanagari letters",
    "BENGALI": "Bengali letters",
    "TAMIL": "Tamil letters",
    "THAI": "Thai letters",
    "CJK": "Han characters",
    "HIRAGANA": "kana",
    "KATAKANA": "kana",
    "KATAKANA-HIRAGANA": "kana",
    "HANGUL": "Hangul",
}


def slices_of(document: Document) -> dict[str, list[tuple[str, NDArray[np.bool_]]]]:
    """For each of `WAYS`, the names of its parts that occur and a mask ``[n_bytes]`` of each."""
    codes = np.frombuffer(document.text.encode("utf-32-le"), dtype=np.uint32)
    lengths = 1 + (codes > 0x7F).astype(np.int8) + (codes > 0x7FF) + (codes > 0xFFFF)
    distinct, places = np.unique(codes, return_inverse=True)
    names_of = [_character(int(code)) for code in distinct]
    names = sorted({*names_of, _URLS})
    kinds = np.array([names.index(name) for name in names_of], dtype=np.int8)[places]
    for match in _URL.finditer(document.text):
        kinds[match.start() : match.end()] = names.index(_URLS)
    kinds = np.repeat(kinds, lengths)
    is_code = np.full(len(codes), _is_source_file(document))
    for match in _FENCE.finditer(document.text):
        is_code[match.start() : match.end()] = True
    is_code = np.repeat(is_code, lengths)
    found = {
        "characters": [(name, kinds == number) for number, name in enumerate(names)],
        "code or prose": [("code", is_code), ("prose", ~is_code)],
        "language": [(document.language or "language not stated", np.ones(len(kinds), dtype=bool))],
    }
    return {way: [(name, mask) for name, mask in parts if mask.any()] for way, parts in found.items()}


def _is_source_file(document: Document) -> bool:
    names = ((name or "").split("?")[0] for name in (document.title, document.url))
    return any(_SOURCE_SUFFIX.fullmatch(PurePosixPath(name).suffix) for name in names)


@cache
def _character(code: int) -> str:
    character = chr(code)
    if character in "\n\r":
        return "line ends"
    category = unicodedata.category(character)
    if category == "Nd":
        return "digits"
    if category[0] == "Z" or character == "\t":
        return "spaces"
    if category[0] == "P":
        return "punctuation"
    if category[0] in "LM":
        script = unicodedata.name(character, "").split(" ")[0]
        return _SCRIPTS.get(script, "other letters" if category[0] == "L" else "marks")
    return "symbols and others"


def per_byte(bits: NDArray[np.float32], ends: NDArray[np.int64], num_bytes: int) -> NDArray[np.float64]:
    """Bits of each byte, ``[num_bytes]``: each token's bits shared evenly among its bytes.

    A token without bytes (an empty piece of a tokenizer) is added to the byte that follows it, at the end to
    the last one. Tokens that the policy does not pay for (NaN) cost nothing.

    Args:
        bits: ``[num_tokens]``.
        ends: ``[num_tokens]``: the byte at which each token ends.
        num_bytes: of the document.
    """
    paid = np.nan_to_num(bits.astype(np.float64))
    starts = np.concatenate(([0], ends[:-1]))
    lengths = ends - starts
    shared = np.repeat(paid / np.maximum(lengths, 1), lengths)
    empty = lengths == 0
    if empty.any():
        np.add.at(shared, np.minimum(starts[empty], num_bytes - 1), paid[empty])
    return shared
