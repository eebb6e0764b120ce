"""What a ``tokenizer.json`` says, as far as the bytes of its tokens depend on it.

The file is the serialised state of a tokenizer of the tokenizers library: a normaliser, a pre-tokenizer, a
model (its vocabulary), a decoder, each of them one part or a sequence of parts, and the added tokens.
"""

from collections.abc import Iterator
from typing import Any

Part = dict[str, Any]
"""A state, or a part of one, as JSON has it; ``type`` says which kind."""

SPACE_SYMBOL = "▁"
"""What SentencePiece writes for a space, so that tokens can be separated by spaces."""


RENAMED = "\ufdd0"
"""What the new names of control pieces start with: a code point that is no character."""


def normalise_state(state: Part, special: set[str]) -> frozenset[int]:
    """Make a tokenizer's state deterministic, unlimited and blind to special tokens, in place.

    Returns:
        Ids of control pieces, which have names now that start with `RENAMED`: a text that holds such a name
        is matched all the same, and these ids tell.
    """
    state["truncation"] = state["padding"] = None
    model = state["model"]
    if "dropout" in model:
        model["dropout"] = None
    for token in state["added_tokens"]:
        token["special"] = token["special"] or token["content"] in special  # Phi-3's </s> says it is not
    if model["type"] != "Unigram":
        return frozenset()
    # SentencePiece never matches its control pieces in text; this library does unless they are renamed.
    # The vocabulary keeps their ids, so that they can leave the added tokens.
    added = state["added_tokens"]
    control = special | {token["content"] for token in added if token["special"]}
    control &= {piece for piece, _ in model["vocab"]}
    state["added_tokens"] = [token for token in added if token["content"] not in control]
    control_ids = frozenset(index for index, (piece, _) in enumerate(model["vocab"]) if piece in control)
    model["vocab"] = [
        [f"{RENAMED}{index}" if index in control_ids else piece, score]
        for index, (piece, score) in enumerate(model["vocab"])
    ]
    return control_ids


def components(part: Part | None) -> Iterator[Part]:
    """The parts of a normaliser, pre-tokenizer or decoder, with sequences taken apart."""
    if part is None:
        return
    if part["type"] != "Sequence":
        yield part
        return
    for parts in (value for value in part.values() if isinstance(value, list)):
        for inner in parts:
            yield from components(inner)


def prepends_space(part: Part) -> bool:
    """Whether a part puts a space before the text, which stands for no byte of it."""
    if part["type"] == "Metaspace":
        return bool(part["prepend_scheme"] != "never")
    if part["type"] == "Prepend":
        return part["prepend"] in (" ", SPACE_SYMBOL)
    return part["type"] == "ByteLevel" and bool(part.get("add_prefix_space"))


def without_leading_space(part: Part | None) -> Part | None:
    """The same normaliser or pre-tokenizer, putting nothing before a text: for parts of one."""
    if part is None or part["type"] == "Prepend":
        return None
    if part["type"] == "Sequence":
        (kind,) = (key for key, value in part.items() if isinstance(value, list))
        inner = [clean for step in part[kind] if (clean := without_leading_space(step)) is not None]
        return part | {kind: inner} if inner else None
    if part["type"] == "Metaspace":
        return part | {"prepend_scheme": "never"}
    return part | {"add_prefix_space": False} if "add_prefix_space" in part else part


def only_spells(part: Part) -> bool:
    """Whether a normaliser only writes text in the vocabulary's alphabet, with nothing lost."""
    return part["type"] in ("ByteLevel", "Prepend") or part.get("pattern") == {"String": " "}


def replacements(decoders: list[Part]) -> list[tuple[str, str]] | None:
    """What a decoder replaces in each token; None where it does something that tokens alone do not tell."""
    pairs = []
    for part in decoders:
        if part["type"] == "Metaspace":
            pairs.append((part["replacement"], " "))
        elif part["type"] == "Replace" and "String" in part["pattern"]:
            pairs.append((part["pattern"]["String"], part["content"]))
        elif part["type"] not in ("ByteFallback", "ByteLevel", "Fuse", "Strip"):
            return None
    return pairs


def unknown_token(model: Part) -> str | None:
    """The token for what the vocabulary cannot spell, if it has one."""
    if model["type"] == "Unigram":
        index = model.get("unk_id")
        return None if index is None else str(model["vocab"][index][0])
    return model.get("unk_token")


def _byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet: bytes that print in Latin-1 stand for themselves, the others for U+0100 on, in order.

    So every byte has a character that is no space and no control, and a vocabulary of bytes is a text file.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprintable = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(unprintable)
    }


BYTE_OF = _byte_of_character()
