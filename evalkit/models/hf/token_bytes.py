"""Which bytes each token of a fast Hugging Face tokenizer stands for.

A score in bits per byte needs tokens that are a code for the document's very bytes. So every token
gets its bytes from the vocabulary alone, never from the text, and a document's tokens must concatenate
to the document; the sum of ids' bytes is then a decoder, and the ids are a lossless code.

Where the bytes of a token come from:

* byte-level vocabularies (GPT-2, Llama 3, Qwen, OLMo...): the characters of a token are bytes under
  GPT-2's map (`bytes_to_unicode`, https://github.com/openai/gpt-2/blob/master/src/encoder.py); an added
  token is plain text.
* SentencePiece-style vocabularies (Llama 2, Gemma, Mistral...): ``▁`` is a space and ``<0x0A>`` a byte.
  A space that the tokenizer puts before the text belongs to no byte of it. A ``▁`` or ``<0x0A>`` that is
  in the text itself is spelled with tokens of bytes (`evalkit.models.hf.spelling`), if there are any.
* any other: the tokenizer's offsets, if they tile the text and the tokenizer's own decoder gives the
  text back.

Special tokens are not parsed: ``<|endoftext|>`` in a document is text like any other. Added tokens that
are not special (``<think>``, runs of blanks) are part of ordinary tokenization and stay.
"""

import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from evalkit.errors import LossyTextError, ModelError, first_line
from evalkit.models.hf.apart import ApartTokenizer, Encoded
from evalkit.models.hf.spelling import byte_ids, spell
from evalkit.models.hf.tokenizer_bounds import is_bounded
from evalkit.models.hf.tokenizer_state import (
    BYTE_OF,
    Part,
    components,
    normalise_state,
    only_spells,
    prepends_space,
    replacements,
    unknown_token,
    without_leading_space,
)
from evalkit.models.protocol import Encoding

if TYPE_CHECKING:
    import tokenizers
    import transformers

_NO_BYTES = b"\xff"
"""Stands for the unknown token: never occurs in UTF-8, so no document can equal what contains it."""

_PROBE = "Dear reader,\n\tthe price of 2 (two) cafés rose to 3.50 in 1999!"


class TokenBytes:
    """Encodes text into tokens with exact byte offsets.

    The tokenizer given is left as it is: what is changed here (no truncation, padding, dropout or
    parsing of special tokens) is changed in a copy.
    """

    def __init__(self, tokenizer: "transformers.PreTrainedTokenizerFast", name: str | None = None) -> None:
        """Read the vocabulary.

        Args:
            tokenizer: a fast one (``TokenizersBackend`` since version 5 of transformers).
            name: what messages call the model; None: the folder that the tokenizer came from.

        Raises:
            ModelError: the tokenizer is not a fast one, does more than its ``tokenizer.json`` says, or takes
                too much time or memory.
        """
        self.name = name or str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"{self.name}: {type(tokenizer).__name__} is not a fast tokenizer, so the bytes of its "
                "tokens are unknown; convert it to a tokenizer.json"
            )
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        special = set(tokenizer.all_special_tokens)
        self._control_ids = normalise_state(state, special)
        self._backend = _backend(state, self.name)

        decoders = list(components(state["decoder"]))
        pipeline = [*components(state["normalizer"]), *components(state["pre_tokenizer"])]
        self._is_byte_level = any(part["type"] == "ByteLevel" for part in (*decoders, *pipeline))
        self._has_byte_fallback = bool(state["model"].get("byte_fallback")) or any(
            part["type"] == "ByteFallback" for part in decoders
        )
        self._replacements = replacements(decoders)
        self._prepends_space = any(map(prepends_space, pipeline))
        self._added = {token["id"]: token["content"] for token in state["added_tokens"]}
        self._unknown = unknown_token(state["model"])
        self._pieces = _Pieces(self._piece)

        special.update(token["content"] for token in state["added_tokens"] if token["special"])
        # A text is never encoded to a special token, so that a vocabulary may have more of those than the
        # model has rows.
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        self.num_ids = 1 + max((i for token, i in vocabulary.items() if token not in special), default=-1)
        """One more than the largest id that a text can be encoded to."""
        self._check_against(tokenizer)

    def encode(self, text: str) -> Encoding:
        """Tokens of a text that tile its UTF-8 bytes, without special tokens.

        A text that the tokenizer would change (a normaliser that composes or folds characters, an added
        token that swallows blanks) is encoded as it stands where the vocabulary can spell it: without
        the normaliser and without added tokens, for the whole of that text; and where that will not do,
        with tokens of bytes in the places that need them. Such an encoding says that it is literal. Bytes
        that every byte-level vocabulary and every vocabulary with byte fallback has tokens for are never
        lost that way.

        Raises:
            LossyTextError: the text cannot be told from its tokens.
            ModelError: the tokenizers library fails, or takes too much time or memory.
        """
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise LossyTextError(f"the text has no UTF-8 bytes: a lone surrogate at {error.start}") from None
        # A tokenizer that adds a space only where there is none encodes "a" and " a" alike. With one
        # space more the tokens of " a" are those SentencePiece gives it.
        spellings = [text, " " + text] if self._prepends_space and text.startswith(" ") else [text]
        for spelling in spellings:
            if (encoding := self._encode_exactly(self._backend, spelling, data)) is not None:
                return encoding
        for spelling in spellings:
            if (encoding := self._encode_exactly(self._literal_backend, spelling, data)) is not None:
                return encoding._replace(is_literal=True)
        if (encoding := self._spell(text)) is not None:
            return encoding
        raise LossyTextError(self._difference(text, data))

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes that a text's tokens stand for: what `encode` made the ids of, if it made them."""
        if self._replacements is None and not self._is_byte_level:
            text: str = self._backend.decode(list(ids), skip_special_tokens=False)
            return text.encode()
        return b"".join(self._text_pieces(list(ids)))

    def texts(self) -> dict[int, str]:
        """The text of each token that stands for whole characters, but for special tokens."""
        pieces = {token: self._pieces[token] for token in range(self.num_ids)}
        texts = {token: piece.decode(errors="ignore") for token, piece in pieces.items()}
        return {token: text for token, text in texts.items() if text and text.encode() == pieces[token]}

    def _encode_exactly(self, backend: Tokenizer | ApartTokenizer, text: str, data: bytes) -> Encoding | None:
        encoded = self._encoded(backend, text)
        if encoded is None:
            return None
        ids = encoded.ids
        if self._replacements is None and not self._is_byte_level:
            # The decoder does more than token by token: only offsets can say where tokens end, and they are
            # believed if the decoder gives the text back.
            ends = _byte_ends(encoded.offsets, text)
            if ends is None or backend.decode(ids, skip_special_tokens=False) != text:
                return None
            return Encoding(np.array(ids, np.int64), ends)
        # The ids alone give the document's bytes back, so they are a code for them, whatever the tokenizer
        # did.
        pieces = self._text_pieces(ids)
        if b"".join(pieces) != data:
            return None
        return Encoding(np.array(ids, np.int64), np.cumsum([len(piece) for piece in pieces], dtype=np.int64))

    def _spell(self, text: str) -> Encoding | None:
        """The text with tokens of bytes where nothing else will do; None where the vocabulary has none."""
        if self._byte_ids is None:
            return None
        spelled = spell((" " if self._prepends_space else "") + text, self._segment_ids, self._byte_ids)
        ends = np.cumsum([len(piece) for piece in self._text_pieces(spelled)], dtype=np.int64)
        return Encoding(np.array(spelled, np.int64), ends, is_literal=True)

    def _segment_ids(self, segment: str) -> list[int] | None:
        """Ids of a part of a text, which stand for its very bytes; None if there are no such ids."""
        for backend in self._segment_backends:
            encoded = self._encoded(backend, segment)
            if (
                encoded is not None
                and b"".join(self._pieces[token] for token in encoded.ids) == segment.encode()
            ):
                ids: list[int] = encoded.ids
                return ids
        return None

    @functools.cached_property
    def _byte_ids(self) -> list[int] | None:
        if self._replacements is None or self._is_byte_level or not self._has_byte_fallback:
            return None
        return byte_ids(self._backend.get_vocab(with_added_tokens=True))

    def _encoded(
        self, backend: Tokenizer | ApartTokenizer, text: str
    ) -> "tokenizers.Encoding | Encoded | None":
        """The library's own encoding; None where the vocabulary lacks even an unknown token.

        Raises:
            ModelError: the library fails, or takes too much time or memory.
        """
        try:
            return backend.encode(text, add_special_tokens=False)
        except (ModelError, MemoryError, KeyboardInterrupt):
            raise
        except (
            BaseException
        ) as error:  # the library raises nothing more specific, and panics are no Exception
            if "unk" in str(error).lower():
                return None
            raise ModelError(
                f"the tokenizer of {self.name} fails on a text of {len(text):,} characters: "
                f"{first_line(error)}"
            ) from error

    def _text_pieces(self, ids: list[int]) -> list[bytes]:
        pieces = [self._pieces[token] for token in ids]
        if self._prepends_space and pieces:
            pieces[0] = pieces[0].removeprefix(b" ")
        return pieces

    def _piece(self, token_id: int) -> bytes:
        """Bytes of one id, by the vocabulary alone."""
        token = self._backend.id_to_token(token_id)
        if token is None or token == self._unknown or token_id in self._control_ids:
            return _NO_BYTES
        if self._is_byte_level:
            if token_id not in self._added and all(character in BYTE_OF for character in token):
                return bytes(BYTE_OF[character] for character in token)
            return str(token).encode()
        if self._has_byte_fallback and re.fullmatch("<0x[0-9A-F]{2}>", token):
            return bytes([int(token[3:5], 16)])
        for pattern, content in self._replacements or ():
            token = token.replace(pattern, content)
        return str(token).encode()

    @functools.cached_property
    def _literal_backend(self) -> Tokenizer | ApartTokenizer:
        """The same vocabulary without whatever changes text: normalisers and added tokens."""
        state = json.loads(self._backend.to_str())
        spelling = [part for part in components(state["normalizer"]) if only_spells(part)]
        state["normalizer"] = {"type": "Sequence", "normalizers": spelling} if spelling else None
        state["added_tokens"] = []
        return _backend(state, self.name)

    @functools.cached_property
    def _segment_backends(self) -> list[Tokenizer | ApartTokenizer]:
        """The tokenizer, and the literal one, that put nothing before a text."""
        backends = []
        for backend in (self._backend, self._literal_backend):
            state = json.loads(backend.to_str())
            for name in ("normalizer", "pre_tokenizer"):
                state[name] = without_leading_space(state[name])
            backends.append(_backend(state, self.name))
        return backends

    def _check_against(self, tokenizer: "transformers.PreTrainedTokenizerFast") -> None:
        theirs = tokenizer.backend_tokenizer
        # A call writes its settings into the tokenizer and leaves them there.
        settings = theirs.encode_special_tokens, theirs.truncation, theirs.padding
        ids = tokenizer(_PROBE, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        theirs.encode_special_tokens = settings[0]
        if settings[1]:
            theirs.enable_truncation(**settings[1])
        if settings[2]:
            theirs.enable_padding(**settings[2])
        if ids != self._backend.encode(_PROBE, add_special_tokens=False).ids:
            raise ModelError(
                f"{self.name}: {type(tokenizer).__name__} does more than its tokenizer.json says, so the "
                "bytes of its tokens are unknown"
            )

    def _difference(self, text: str, data: bytes) -> str:
        encoded = self._encoded(self._backend, text)
        if encoded is None:
            return f"the tokenizer of {self.name} cannot represent the text and has no unknown token for it"
        ids = encoded.ids
        if self._replacements is None and not self._is_byte_level:
            decoded = self._backend.decode(ids, skip_special_tokens=False).encode()
        else:
            decoded = b"".join(self._text_pieces(ids))
        first = next(
            (
                i
                for i, (byte, decoded_byte) in enumerate(zip(data, decoded, strict=False))
                if byte != decoded_byte
            ),
            min(len(data), len(decoded)),
        )
        message = f"the tokenizer of {self.name} cannot represent the text: its tokens differ from it at "
        if first == len(data):
            return f"{message}its end"
        # The byte may be in the middle of a character; UTF-8's continuation bytes start with 10.
        while first and data[first] & 0xC0 == 0x80:
            first -= 1
        character = data[first : first + 4].decode(errors="ignore")[0]
        vocabulary = (
            "" if self._byte_ids or self._is_byte_level else "; its vocabulary has no tokens of bytes"
        )
        return f"{message}byte {first} ({character!r}, U+{ord(character):04X}){vocabulary}"


class _Pieces(dict[int, bytes]):
    """A memory of the bytes of the ids seen so far."""

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        super().__init__()
        self._piece = piece

    def __missing__(self, token_id: int) -> bytes:
        self[token_id] = piece = self._piece(token_id)
        return piece


def _backend(state: Part, name: str) -> Tokenizer | ApartTokenizer:
    if not is_bounded(state):
        return ApartTokenizer(state, name)
    backend = Tokenizer.from_str(json.dumps(state))
    backend.encode_special_tokens = True  # special tokens in the text are text; not part of the state
    return backend


def _byte_ends(offsets: list[tuple[int, int]], text: str) -> NDArray[np.int64] | None:
    """Byte offsets at which tokens end, from character offsets that tile the text; None if they do not."""
    spans = np.array(offsets, np.int64).reshape(-1, 2)
    starts, ends = spans[:, 0], spans[:, 1]
    # Every token starts where the one before it ends, the first at 0 and the last at the end of the text.
    joints = np.concatenate(([0], ends))
    if not np.array_equal(joints[:-1], starts) or joints[-1] != len(text):
        return None
    # UTF-8 takes a byte more from each of these code points on; UTF-32 gives the code points as an array.
    characters = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (characters >= 0x80) + (characters >= 0x800) + (characters >= 0x10000)
    byte_offsets: NDArray[np.int64] = np.concatenate(([0], np.cumsum(widths, dtype=np.int64)))
    return byte_offsets[ends]
