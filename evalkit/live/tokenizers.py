"""What a live model's tokenizer may be, as evalkit needs it: ids that tile a text's bytes."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np

from evalkit.errors import LossyTextError, UsageError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.document_start import ModelStart, TokenizerStart, model_start
from evalkit.models.prefixes import check_in_vocabulary
from evalkit.models.protocol import Encoding, LoadOptions

if TYPE_CHECKING:
    from evalkit.models.hf.token_bytes import TokenBytes


@runtime_checkable
class TiktokenLike(Protocol):
    """A tokenizer that says the bytes of its tokens, as those of tiktoken do."""

    eot_token: int

    def encode_ordinary(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        ...

    def decode_single_token_bytes(self, token: int) -> bytes:
        """The bytes that an id stands for."""
        ...


@runtime_checkable
class TilingTokenizer(Protocol):
    """A tokenizer that encodes as `evalkit.models.protocol.TokenModel` does."""

    def encode(self, text: str) -> Encoding:
        """Ids and the byte at which each ends."""
        ...


class LiveTokenizer(NamedTuple):
    """A tokenizer, and what is read before a document."""

    encode: Callable[[str], Encoding]
    start: ModelStart
    digest: str
    """Of the tokenizer, or a name that stands for it."""
    token_bytes: "TokenBytes | None" = None
    """Of a tokenizer of transformers."""


def live_tokenizer(tokenizer: object, prefix: str | None, name: str) -> LiveTokenizer:
    """A tokenizer as evalkit needs it.

    Args:
        tokenizer: a fast one of transformers, one like tiktoken's, one whose `encode` gives an `Encoding`, or
            None: bytes are ids.
        prefix: what is read before a document, see `evalkit.models.prefixes.parse_rule`; None: what the
            tokenizer says, and nothing where it says nothing.
        name: of the model, for messages.

    Raises:
        UsageError: it is none of these.
        ModelError: its tokens do not say their bytes, or it has no such prefix.
    """
    from transformers import PreTrainedTokenizerBase

    options = LoadOptions(prefix=prefix)
    entry = CatalogEntry(name, "live", name)
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        from evalkit.models.hf.prefixes import tokenizer_start
        from evalkit.models.hf.token_bytes import TokenBytes

        folder = Path(tokenizer.name_or_path)
        says = tokenizer_start(tokenizer, folder if folder.is_dir() else None)
        token_bytes = TokenBytes(tokenizer, name)
        digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
        return LiveTokenizer(token_bytes.encode, model_start(says, entry, options), digest, token_bytes)
    if tokenizer is None:
        return LiveTokenizer(_bytes_as_ids, model_start(_start((), None), entry, options), "bytes")
    if isinstance(tokenizer, TiktokenLike):
        start = model_start(_start((), tokenizer.eot_token), entry, options)
        return LiveTokenizer(_Tiktoken(tokenizer).encode, start, _name(tokenizer))
    if isinstance(tokenizer, TilingTokenizer) and _tiles(tokenizer):
        ids = tuple(map(int, getattr(tokenizer, "prefix", ())))
        start = model_start(_start(ids, None), entry, options)
        return LiveTokenizer(tokenizer.encode, start, _name(tokenizer))
    raise UsageError(
        f"{type(tokenizer).__name__} is no tokenizer whose tokens' bytes can be told: give one of "
        "transformers or tiktoken, an object whose encode(text) gives an evalkit.Encoding, or None where "
        "bytes are ids"
    )


def check_start(start: ModelStart, vocab_size: int, name: str) -> None:
    """Refuse ids before a document that the model does not have.

    Raises:
        ModelError: there is one.
    """
    check_in_vocabulary(start.all_ids, vocab_size, name)


def _tiles(tokenizer: TilingTokenizer) -> bool:
    if isinstance(tokenizer, str):  # which encodes as well
        return False
    return isinstance(tokenizer.encode("a"), Encoding)


def _name(tokenizer: object) -> str:
    return f"live: {getattr(tokenizer, 'name', type(tokenizer).__name__)}"


def _start(template: Sequence[int], separator: int | None) -> TokenizerStart:
    return TokenizerStart(tuple(template), {"bos": None, "eos": separator}, {})


def _bytes_as_ids(text: str) -> Encoding:
    ids = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
    return Encoding(ids, np.arange(1, len(ids) + 1))


class _Tiktoken:
    def __init__(self, tokenizer: TiktokenLike) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> Encoding:
        ids = self._tokenizer.encode_ordinary(text)
        pieces = [self._tokenizer.decode_single_token_bytes(token) for token in ids]
        if b"".join(pieces) != text.encode():
            raise LossyTextError("the tokens do not decode to the text's bytes")
        return Encoding(np.array(ids, np.int64), np.cumsum([len(piece) for piece in pieces], dtype=np.int64))
