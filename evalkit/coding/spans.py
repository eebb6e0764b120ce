"""Any bytes as stretches of text, which a model's tokens stand for, and of bytes that are stored.

What is no UTF-8, and what a tokenizer does not give back, takes the second way; so does a short text between
two such stretches.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evalkit.coding.symbols import Ids
from evalkit.errors import LossyTextError
from evalkit.models.lanes import DecodingModel

_SHORTEST_TEXT = 32
"""Bytes: a shorter text costs less when it is stored than another span does."""
_INVALID = re.compile("[\udc80-\udcff]+")
_SPACE = b" "


class Span(NamedTuple):
    """Some text, and the stored bytes after it."""

    num_tokens: int
    num_text_bytes: int
    num_stored_bytes: int


class Spans(NamedTuple):
    """Bytes, taken apart."""

    spans: tuple[Span, ...]
    ids: Ids
    """Of all texts, one after the other."""
    stored: bytes
    """All others, one after the other."""


def take_apart(data: bytes, model: DecodingModel) -> Spans:
    """Bytes as tokens of a model, and what has none; `put_together` gives the bytes back."""
    spans: list[Span] = []
    ids: list[Ids] = []
    stored: list[bytes] = []
    for text, between in _texts(data):
        for piece, piece_ids in _encoded(text, model):
            if piece_ids is None:
                spans.append(Span(0, 0, len(piece)))
                stored.append(piece)
            else:
                spans.append(Span(len(piece_ids), len(piece), 0))
                ids.append(piece_ids)
        if between:
            spans.append(Span(0, 0, len(between)))
            stored.append(between)
    return Spans(_merged(spans), np.concatenate([np.zeros(0, np.int64), *ids]), b"".join(stored))


def put_together(parts: Spans, model: DecodingModel) -> bytes:
    """The bytes that were taken apart.

    Raises:
        ValueError: the tokens are not those of such spans.
    """
    pieces: list[bytes] = []
    first, first_stored = 0, 0
    for span in parts.spans:
        if span.num_tokens:
            text = _decoded(model, parts.ids[first : first + span.num_tokens])
            if len(text) == span.num_text_bytes + len(_SPACE):
                text = text.removeprefix(_SPACE)
            if len(text) != span.num_text_bytes:
                raise ValueError(f"tokens of {span.num_text_bytes} bytes stand for {len(text)}")
            pieces.append(text)
        pieces.append(parts.stored[first_stored : first_stored + span.num_stored_bytes])
        first, first_stored = first + span.num_tokens, first_stored + span.num_stored_bytes
    return b"".join(pieces)


def _decoded(model: DecodingModel, ids: Ids) -> bytes:
    """Bytes of ids.

    Raises:
        ValueError: they are those of no text.
    """
    try:
        return model.decode(ids.tolist())
    except (KeyError, ValueError, IndexError, OverflowError, UnicodeError) as error:
        raise ValueError(f"ids of no text: {error!r}") from error


def _texts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Stretches of UTF-8, each with what follows it and is none or too short to be worth a span."""
    # One pass, whatever the bytes: each that is no UTF-8 becomes a lone surrogate, which no UTF-8 has.
    characters = data.decode("utf-8", errors="surrogateescape")
    text, between = b"", b""
    position = 0
    for match in (*_INVALID.finditer(characters), None):
        end = len(characters) if match is None else match.start()
        piece = characters[position:end].encode()
        if between and len(piece) < _SHORTEST_TEXT:
            between += piece
        elif piece:
            if between:
                yield text, between
            text, between = piece, b""
        if match is not None:
            between += match[0].encode("utf-8", errors="surrogateescape")
            position = match.end()
    if text or between:
        yield text, between


def _encoded(text: bytes, model: DecodingModel) -> Iterator[tuple[bytes, Ids | None]]:
    """A text in pieces with their ids, None where the tokens do not give a piece back."""
    waiting: list[bytes] = [text] if text else []
    while waiting:
        piece = waiting.pop()
        ids = _ids(piece, model)
        if ids is None and len(piece) >= 2 * _SHORTEST_TEXT:
            middle = len(piece) // 2
            while piece[middle] & 0xC0 == 0x80:  # inside of a character
                middle -= 1
            waiting += [piece[middle:], piece[:middle]]
        else:
            yield piece, ids


def _ids(text: bytes, model: DecodingModel) -> Ids | None:
    try:
        ids = np.asarray(model.encode(text.decode()).ids, np.int64)
        decoded = _decoded(model, ids)
    except (LossyTextError, ValueError):
        return None
    return ids if len(ids) and decoded in (text, _SPACE + text) else None


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Stored bytes go with the span before them."""
    merged: list[Span] = []
    for span in spans:
        if merged and not span.num_tokens:
            before = merged[-1]
            merged[-1] = before._replace(num_stored_bytes=before.num_stored_bytes + span.num_stored_bytes)
        else:
            merged.append(span)
    return tuple(merged)
