"""The two vocabularies of RWKV-7 models: World (65536 rows) and plain bytes (256 or 257 rows).

Which one a model speaks follows from the size of its vocabulary.

World (`rwkv_vocab_v20230424`): greedy longest match over UTF-8 bytes, no normalisation, every byte a
token of its own; id 0 is "end of document" and stands for nothing in the text.

Bytes: id = byte. A vocabulary of 257 has the document start as id 256.
"""

import ast
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalkit.errors import LossyTextError, ModelError
from evalkit.models.protocol import Encoding

WORLD_VOCAB_SIZE = 65536


class RWKVTokenizer(NamedTuple):
    """A vocabulary: its encoder and the ids that stand for a document's start."""

    name: str
    encode: Callable[[str], Encoding]
    prefix: tuple[int, ...]


def tokenizer_for(vocab_size: int, name: str) -> RWKVTokenizer:
    """The tokenizer that goes with a vocabulary of this many rows.

    Raises:
        ModelError: no vocabulary of this size is known; the message starts with ``name``.
    """
    if vocab_size == WORLD_VOCAB_SIZE:
        return RWKVTokenizer("rwkv-world-20230424", encode_world, (0,))
    if vocab_size == 256:
        return RWKVTokenizer("bytes", encode_bytes, ())
    if vocab_size == 257:
        return RWKVTokenizer("bytes+start", encode_bytes, (256,))
    raise ModelError(
        f"{name}: no tokenizer is known for a vocabulary of {vocab_size} rows; evalkit has RWKV World "
        f"({WORLD_VOCAB_SIZE}) and bytes (256, or 257 with a document start)"
    )


def encode_bytes(text: str) -> Encoding:
    """One token per UTF-8 byte."""
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    return Encoding(data.astype(np.int64), np.arange(1, len(data) + 1, dtype=np.int64))


def encode_world(text: str) -> Encoding:
    """Tokens of the World vocabulary.

    Raises:
        LossyTextError: the tokens do not decode to the text's bytes.
    """
    encode, token_bytes = _world()
    ids = encode(text)
    pieces = [token_bytes[token] for token in ids]
    if b"".join(pieces) != text.encode("utf-8"):
        raise LossyTextError("RWKV World tokens do not decode to the document's bytes")
    ends = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces)).cumsum()
    return Encoding(np.asarray(ids, dtype=np.int64), ends)


@functools.cache
def _world() -> tuple[Callable[[str], list[int]], dict[int, bytes]]:
    """The encoder, and the bytes of each token; the package's own decoder panics on partial characters."""
    from pyrwkv_tokenizer import RWKVTokenizer as WorldTokenizer

    tokenizer = WorldTokenizer()
    token_bytes = {}
    with Path(tokenizer.vocab_filepath).open(encoding="utf-8") as file:
        for line in file:  # ``id 'literal' length``, where the literal is a str or a bytes
            token, literal = line.split(" ", 1)
            value = ast.literal_eval(literal.rsplit(" ", 1)[0])
            token_bytes[int(token)] = value if isinstance(value, bytes) else value.encode("utf-8")
    return tokenizer.encode, token_bytes
