"""Spelling what a SentencePiece-style vocabulary cannot write as text, with its tokens of bytes.

Such a vocabulary writes ``▁`` for a space, and ``<0x0A>`` for a byte, so that neither can be told from what
it stands for when it is in the text itself. With byte fallback there is a token for every byte, and any text
can be written.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from evalkit.models.hf.tokenizer_state import RENAMED, SPACE_SYMBOL

_CUTS = (
    re.compile(f"([{SPACE_SYMBOL}{RENAMED}])"),
    re.compile("(?<=<)(?=0x[0-9A-F]{2}>)"),
)
"""Where a text is taken apart, one after the other as far as need be: around the characters that have
another meaning, and within the names of bytes, whose halves mean what they say."""


def byte_ids(vocabulary: Mapping[str, int]) -> list[int] | None:
    """The ids of ``<0x00>`` to ``<0xFF>`` in a vocabulary; None if one is missing."""
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    return [vocabulary[name] for name in names] if vocabulary.keys() >= set(names) else None


def spell(
    text: str,
    encode: Callable[[str], list[int] | None],
    ids_of_bytes: Sequence[int],
    *,
    cuts: Sequence[re.Pattern[str]] = _CUTS,
) -> list[int]:
    """Ids that stand for a text's very bytes: the longest parts that can be encoded, and bytes between them.

    Args:
        text: any text that has UTF-8 bytes.
        encode: ids that stand for the bytes of a part of it, or None.
        ids_of_bytes: the id of each byte, shape ``[256]``.
        cuts: where to take the text apart; where that is not enough it is halved.
    """
    if not text:
        return []
    if (ids := encode(text)) is not None:
        return ids
    if cuts:
        parts = cuts[0].split(text)
        return [token for part in parts for token in spell(part, encode, ids_of_bytes, cuts=cuts[1:])]
    if len(text) == 1:
        return [ids_of_bytes[byte] for byte in text.encode()]
    middle = len(text) // 2
    halves = (text[:middle], text[middle:])
    return [token for half in halves for token in spell(half, encode, ids_of_bytes, cuts=())]
