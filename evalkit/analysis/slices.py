"""Which kind of text each byte of a document is: the explorer's slices.

Three ways to cut, each a partition of all bytes: what the characters are, whether it is code, and the
document's language.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.estimates import Estimate, estimates, resampled_columns
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
    """For each of `WAYS`, the names of its parts that occur and a mask ``[num_bytes]`` of each."""
    # Kinds are told character by character and then repeated over each character's bytes in UTF-8.
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
    parts_by_way = {
        "characters": [(name, kinds == number) for number, name in enumerate(names)],
        "code or prose": [("code", is_code), ("prose", ~is_code)],
        "language": [(document.language or "language not stated", np.ones(len(kinds), dtype=bool))],
    }
    return {way: [(name, mask) for name, mask in parts if mask.any()] for way, parts in parts_by_way.items()}


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


class Slice(NamedTuple):
    """A kind of text in a corpus, and what each model pays for it."""

    way: str
    """One of `WAYS`."""
    name: str
    num_bytes: int
    """Of this kind in the documents, whoever pays for them."""
    levels: dict[int, Estimate]
    """Bits per paid byte, by model configuration."""
    pairs: dict[tuple[int, int], Estimate]
    """First minus second."""


SliceSums = dict[tuple[str, str], NDArray[np.float64]]
"""By way and name, ``[1 + 2 K]`` for K models: all bytes, then the bytes each pays for, then its bits."""


def slice_sums(document: Document, costs: NDArray[np.float64]) -> SliceSums:
    """What the slices of one document cost.

    Args:
        document: with its text.
        costs: ``[num_bytes, K]``: `byte_costs` of K models side by side.
    """
    return {
        (way, name): np.concatenate(
            ([mask.sum()], (~np.isnan(costs[mask])).sum(axis=0), np.nansum(costs[mask], axis=0))
        )
        for way, parts in slices_of(document).items()
        for name, mask in parts
    }


def slice_estimates(
    documents: Sequence[SliceSums],
    clusters: Sequence[str],
    configurations: Sequence[int],
    pairs: Sequence[tuple[int, int]],
) -> Iterator[Slice]:
    """The slices of a corpus in the order of `WAYS`, the largest of each first, with intervals.

    Args:
        documents: the sums of each.
        clusters: the cluster of each.
        configurations: whose costs the sums hold, in this order.
        pairs: of these, those whose difference is wanted.
    """
    names = {name for sums in documents for name in sums}
    num_bytes = {name: sum(float(sums[name][0]) for sums in documents if name in sums) for name in names}
    column_of = {configuration: column for column, configuration in enumerate(configurations)}
    num_clusters = len(set(clusters))
    absent = np.zeros(1 + 2 * len(configurations))
    for way, name in sorted(names, key=lambda key: (WAYS.index(key[0]), -num_bytes[key], key)):
        # Documents without such text count as zeros: they are drawn like the others.
        columns = np.stack([sums.get((way, name), absent) for sums in documents])
        _, *rows = resampled_columns(columns, clusters, stream=0)
        num_paid, bits = np.split(np.stack(rows), 2)
        with np.errstate(divide="ignore", invalid="ignore"):  # resamples without such text
            levels = bits / num_paid
        gaps = [levels[column_of[first]] - levels[column_of[second]] for first, second in pairs]
        yield Slice(
            way,
            name,
            int(num_bytes[way, name]),
            dict(zip(configurations, estimates(levels, num_clusters), strict=True)),
            dict(zip(pairs, estimates(np.stack(gaps), num_clusters), strict=True)) if pairs else {},
        )
