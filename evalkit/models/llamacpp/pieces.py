"""What llama.cpp says of a text's tokens, as tokens that tile the text."""

from collections.abc import Callable, Sequence

import numpy as np

from evalkit.errors import LossyTextError
from evalkit.models.protocol import Encoding


def encode_pieces(
    text: str, tokenize: Callable[[str], tuple[Sequence[int], Sequence[bytes]]], name: str
) -> Encoding:
    """Tokens of a text, by the bytes that each stands for.

    Args:
        text: the text.
        tokenize: gives the ids of its tokens, and their bytes.
        name: the model's, for the message.

    Raises:
        LossyTextError: they do not decode to the text's bytes.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise LossyTextError(f"the text has no UTF-8 bytes: a lone surrogate at {error.start}") from None
    ids, tokens = tokenize(text)
    pieces = list(tokens)
    joined = b"".join(pieces)
    if joined == b" " + data and pieces and pieces[0].startswith(b" "):
        pieces[0] = pieces[0][1:]  # SentencePiece's space before the text
    elif joined != data:
        raise LossyTextError(f"llama.cpp's tokens of {name} do not decode to the text's bytes")
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    return Encoding(np.array(ids, np.int64), ends)
