"""The vocabularies of RWKV-7 models: World (65536 rows), bytes (256 or 257 rows), and any other's files.

Which of the first two a model speaks follows from the size of its vocabulary. Models of another size (those
trained on the Pile have 50304 rows) bring a ``tokenizer.json``, or are given one in the catalog.

World (`rwkv_vocab_v20230424`): greedy longest match over UTF-8 bytes, no normalisation, every byte a
token of its own; id 0 is "end of document" and stands for nothing in the text.

Bytes: id = byte. A vocabulary of 257 has the document start as id 256.
"""

import ast
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evalkit.errors import LossyTextError, ModelError, first_line
from evalkit.models.document_start import TokenizerStart, default_prefix
from evalkit.models.protocol import Encoding

if TYPE_CHECKING:
    import transformers

WORLD_VOCAB_SIZE = 65536


class RWKVTokenizer(NamedTuple):
    """A vocabulary: its encoder and the ids that stand for a document's start."""

    name: str
    encode: Callable[[str], Encoding]
    decode: Callable[[Sequence[int]], bytes]
    """The bytes that a text's ids stand for."""
    prefix: tuple[int, ...]
    special_ids: Mapping[str, int] = MappingProxyType({})
    """What ``bos`` and ``eos`` mean, where the tokenizer's files say it."""
    token_names: Mapping[int, str] = MappingProxyType({})
    """Text of the tokens that may stand before a document, where the tokenizer's files say it."""


def tokenizer_for(vocab_size: int, name: str) -> RWKVTokenizer:
    """The tokenizer that goes with a vocabulary of this many rows.

    Raises:
        ModelError: no vocabulary of this size is known; the message starts with ``name``.
    """
    if vocab_size == WORLD_VOCAB_SIZE:
        return RWKVTokenizer("rwkv-world-20230424", encode_world, decode_world, (0,))
    if vocab_size == 256:
        return RWKVTokenizer("bytes", encode_bytes, decode_bytes, ())
    if vocab_size == 257:
        return RWKVTokenizer("bytes+start", encode_bytes, decode_bytes, (256,))
    raise ModelError(
        f"{name}: no tokenizer is known for a vocabulary of {vocab_size} rows; evalkit has RWKV World "
        f"({WORLD_VOCAB_SIZE}) and bytes (256, or 257 with a document start); put tokenizer.json beside the "
        "weights, or name a tokenizer in the catalog (tokenizer = ...)"
    )


def is_built_in(vocab_size: int) -> bool:
    """Whether the size of a vocabulary says which one it is."""
    return vocab_size in (WORLD_VOCAB_SIZE, 256, 257)


def check_is_world(path: Path, name: str) -> None:
    """Refuse a ``tokenizer.json`` beside 65536 rows that is no form of World: those rows mean its tokens.

    Raises:
        ModelError: it agrees with World on none of a few of World's tokens.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise ModelError(f"{name}: {path} cannot be read: {first_line(error)}") from error
    words = ("\n\n", " Hello", " the", " import")
    if not any(
        tokenizer.encode(word, add_special_tokens=False).ids == encode_world(word).ids.tolist()
        for word in words
    ):
        raise ModelError(
            f"{name}: the model has as many rows as RWKV World, but {path} is another vocabulary; name its "
            "folder in the catalog (tokenizer = ...), or move it away if the model was trained with World"
        )


def tokenizer_of_files(folder: Path, vocab_size: int, name: str) -> RWKVTokenizer:
    """The tokenizer of a folder with ``tokenizer.json``, for a model of ``vocab_size`` rows.

    A document starts with what the tokenizer puts before a text by itself, else with the token that separates
    documents in pretraining, as for models of Hugging Face (`evalkit.models.hf.prefixes`).

    Raises:
        ModelError: it cannot be read, or has more tokens than the model has rows.
    """
    from evalkit.models.hf.prefixes import tokenizer_start
    from evalkit.models.hf.tokenizer_files import read_tokenizer

    tokenizer = read_tokenizer(folder, name, trust_remote_code=False)
    return tokenizer_of_transformers(tokenizer, tokenizer_start(tokenizer, folder), vocab_size, name)


def tokenizer_of_transformers(
    tokenizer: "transformers.PreTrainedTokenizerBase", start: TokenizerStart, vocab_size: int, name: str
) -> RWKVTokenizer:
    """A tokenizer of transformers for a model of ``vocab_size`` rows; ``start`` is what it says of itself.

    Raises:
        ModelError: it has more tokens than the model has rows; the message starts with ``name``.
    """
    from evalkit.models.hf.token_bytes import TokenBytes

    token_bytes = TokenBytes(tokenizer, name)
    if token_bytes.num_ids > vocab_size:
        raise ModelError(
            f"{name}: wrong vocabulary: the tokenizer has ids up to {token_bytes.num_ids - 1}, "
            f"the model {vocab_size} rows"
        )
    return RWKVTokenizer(
        "tokenizer.json",
        token_bytes.encode,
        token_bytes.decode,
        default_prefix(start, name).ids,
        # EOS first: where it is BOS as well, it stands between documents as EOS.
        {rule: token for rule in ("eos", "bos") if (token := start.special_ids[rule]) is not None},
        start.candidates(),
    )


def encode_bytes(text: str) -> Encoding:
    """One token per UTF-8 byte."""
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    return Encoding(data.astype(np.int64), np.arange(1, len(data) + 1, dtype=np.int64))


def decode_bytes(ids: Sequence[int]) -> bytes:
    """The text's bytes.

    Raises:
        ValueError: an id stands for no byte.
    """
    return bytes(ids)


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


def decode_world(ids: Sequence[int]) -> bytes:
    """The bytes that ids of the World vocabulary stand for.

    Raises:
        KeyError: an id stands for none.
    """
    token_bytes = _world()[1]
    return b"".join(token_bytes[token] for token in ids)


def world_token_bytes() -> Mapping[int, bytes]:
    """The bytes of each token of World by its id; id 0 stands for none."""
    return _world()[1]


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
