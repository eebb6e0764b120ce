"""What a ``tokenizer.json`` may ask for, judged before the library reads it.

Rules can make a text longer without end, and a wrong number can let the library ask for all memory there is.
Some of that shows in the file. Where it cannot, the file is tried, and its tokenizer used, in a process of
its own (`evalkit.models.hf.apart`).
"""

import math
from pathlib import Path

from evalkit.errors import ModelError
from evalkit.files import parse_json
from evalkit.models.hf.apart import check_apart
from evalkit.models.hf.cut_patterns import LINEAR_PATTERNS
from evalkit.models.hf.tokenizer_state import Part, components

_LARGEST_ID = 2**24
_MOST_GROWTH = 256
"""Bytes after a tokenizer's rules for a byte before them; SentencePiece's space is three."""
_STEPS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_LINEAR_PARTS = frozenset(
    (
        *("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Prepend"),
        *("Strip", "StripAccents"),
        *("BertPreTokenizer", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation"),
        *("UnicodeScripts", "Whitespace", "WhitespaceSplit"),
        *("BertProcessing", "RobertaProcessing", "TemplateProcessing"),
        *("BPEDecoder", "ByteFallback", "Fuse", "WordPiece"),
    )
)
"""Normalisers, pre-tokenizers, post-processors and decoders that go through a text once."""
_MOST_PADDED = 2**20
_LONGEST_WORD = 1000


def check_tokenizer(path: Path, name: str) -> None:
    """Refuse a ``tokenizer.json`` whose rules, one after the other, can make a text many times as long.

    And one with an id that no vocabulary has: the library goes through all ids up to the largest.

    And one that takes too much to be read or for a line of text, if it can (`is_bounded`).

    Raises:
        ModelError: it is one of these, or cannot be read.
    """
    try:
        state = parse_json(path.read_bytes())
        growth = math.prod(
            _growth(part)
            for step in ("normalizer", "pre_tokenizer", "decoder")
            for part in components(state.get(step))
        )
        vocabulary = state["model"].get("vocab")
        ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else []
        ids += [token["id"] for token in state.get("added_tokens") or ()]
        is_too_large = max(ids, default=0) > _LARGEST_ID
        is_tame = is_bounded(state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{name}: the tokenizer in {path} cannot be read: {error!r}; fetch it again"
        ) from error
    if is_too_large:
        raise ModelError(f"{name}: {path} has a token of id {max(ids)}, and no vocabulary is as large")
    if growth > _MOST_GROWTH:
        raise ModelError(
            f"{name}: the rules in {path} can make a text {growth:.0g} times as long, more than any "
            "tokenizer's; fetch it again"
        )
    if not is_tame:
        check_apart(path, name)


def is_bounded(state: Part) -> bool:
    """Whether a tokenizer is certain to take time and memory in proportion to a text, whatever the text is.

    Args:
        state: as ``tokenizer.json`` has it.

    Raises:
        KeyError, TypeError, AttributeError: it is of another shape.
    """
    model, padding = state["model"], state.get("padding")
    if padding is not None:
        strategy = padding["strategy"]
        lengths = [
            padding.get("pad_to_multiple_of") or 1,
            *(strategy.values() if isinstance(strategy, dict) else ()),
        ]
        if max(lengths) > _MOST_PADDED:
            return False
    if model["type"] == "WordPiece" and model["max_input_chars_per_word"] > _LONGEST_WORD:
        return False  # it tries every end of a word for every start
    parts = (part for step in _STEPS for part in components(state.get(step)))
    return model["type"] in ("BPE", "Unigram", "WordLevel", "WordPiece") and all(map(_is_linear, parts))


def _is_linear(part: Part) -> bool:
    if part["type"] == "Strip" and "content" in part:  # the decoder
        return bool(part["start"] <= 1 and part["stop"] <= 1)
    if part["type"] in ("Replace", "Split"):
        pattern = part["pattern"]
        return bool(pattern.get("String")) or pattern.get("Regex") in LINEAR_PATTERNS
    return part["type"] in _LINEAR_PARTS


def _growth(part: Part) -> float:
    """The most bytes that a rule makes of one."""
    if part["type"] == "ByteLevel":
        return 2.0
    if part["type"] == "Prepend":
        return 1.0 + len(str(part["prepend"]).encode())  # between added tokens, each part of a text is a text
    if part["type"] == "Metaspace":
        return len(str(part["replacement"]).encode()) or 1.0
    if part["type"] != "Replace":
        return 1.0
    num_bytes = len(str(part["content"]).encode())
    pattern = part["pattern"]
    if isinstance(pattern.get("String"), str) and pattern["String"]:
        return max(1.0, num_bytes / len(pattern["String"].encode()))
    return 1.0 + num_bytes  # a regular expression that may match nothing, before every character
