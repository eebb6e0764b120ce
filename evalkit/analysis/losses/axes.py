"""The axes along which bytes are told apart: each a partition of all bytes of a document by itself."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.losses.characters import characters_of, script_name
from evalkit.analysis.losses.copies import COPIES, NGRAM_BYTES, copy_codes
from evalkit.analysis.losses.kinds import KINDS, kind_codes
from evalkit.analysis.losses.nesting import NESTING, nesting_codes
from evalkit.corpora.document import Document
from evalkit.corpora.language import language_of

_SOURCE_SUFFIX = re.compile(
    r"\.(pyi?|[ch]|cc|cpp|cxx|hpp|cu|rs|go|java|m?js|[jt]sx?|rb|php|cs|swift|kt|scala|lua|pl|r|jl|hs|ml|(ba)?sh|ps1"
    r"|sql|html|css|xml|json|toml|ya?ml|ini|cmake|s|asm)",
    re.I,
)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_MAX_TAG = 35
"""Letters of a language's tag that are shown: as long as RFC 5646, section 4.4.1, has room for."""
_JUDGED_CHARACTERS = 100_000
"""Of a document without a stated language, its beginning is judged."""


class Axis(NamedTuple):
    """A way to tell bytes apart."""

    name: str
    help: str
    """What its classes are, in a line."""
    classes: tuple[str, ...]
    """In the order in which they are shown; empty where they follow from the texts, the largest first."""


AXES: Mapping[str, Axis] = {
    axis.name: axis
    for axis in (
        Axis("kind", "What a byte is part of: a word, a number, a delimiter and so on.", KINDS),
        Axis(
            "copies",
            f"Whether the {NGRAM_BYTES} bytes that end with a byte stood there before, and how far back.",
            COPIES,
        ),
        Axis("nesting", "Brackets of any script, and what stands inside of them, by depth.", NESTING),
        Axis("script", "The script of letters, by Unicode.", ()),
        Axis("document", "Source code by its ending, prose by its language.", ()),
    )
}
"""By name, in the order in which they are shown."""


class ByteClasses(NamedTuple):
    """The classes of a document's bytes along an axis."""

    names: tuple[str, ...]
    codes: NDArray[np.int16]
    """``[num_bytes]``, index among the names."""


def byte_classes(document: Document) -> dict[str, ByteClasses]:
    """The class of each byte of a document, by axis.

    What stands in a document's context has been read: it counts as seen before, and brackets are open there.
    """
    text = (document.context or "") + document.text
    characters = characters_of(text)
    suffix = source_suffix(document)
    is_code = np.full(len(characters.types), suffix is not None)
    if suffix is None:
        for match in _FENCE.finditer(text):
            is_code[match.start() : match.end()] = True
    kinds = kind_codes(characters, _language(document, is_source=suffix is not None), is_code)
    scripts = tuple(script_name(code) for code in characters.script_codes)
    of_document = (_of_prose(document), "code in prose, fenced")
    if suffix is not None:
        of_document = (f"code, {suffix}",) * 2
    classes = {
        "kind": (KINDS, characters.over_bytes(kinds)),
        "copies": (COPIES, copy_codes(text.encode("utf-8"))),
        "nesting": (NESTING, characters.over_bytes(nesting_codes(characters))),
        "script": (scripts, characters.over_bytes(characters.scripts)),
        "document": (of_document, characters.over_bytes(is_code.astype(np.int16))),
    }
    return {
        axis: ByteClasses(names, codes[len(codes) - document.num_bytes :])
        for axis, (names, codes) in classes.items()
    }


def source_suffix(document: Document) -> str | None:
    """The ending of a file with source code or data, ``.py``; None of any other document."""
    for name in (document.title, document.url):
        suffix = PurePosixPath((name or "").split("?")[0]).suffix.lower()
        if _SOURCE_SUFFIX.fullmatch(suffix):
            return suffix
    return None


def _of_prose(document: Document) -> str:
    return f"prose, {document.language[:_MAX_TAG]}" if document.language else "prose, language not stated"


def _language(document: Document, *, is_source: bool) -> str | None:
    """Whose function words are looked for: the stated language; of source code English; else what is told."""
    if document.language:
        return document.language
    return "en" if is_source else language_of(document.text[:_JUDGED_CHARACTERS])
