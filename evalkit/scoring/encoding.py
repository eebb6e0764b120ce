"""A document as tokens: those that are read before it, and those that are paid for.

A document with a context is cut into tokens as a whole, context and text together, as a model would read
them. The first token that is paid for is the one in which the text begins. Where that token begins in the
context (a context that ends in a blank, and a tokenizer that joins blanks to the word behind them) all of it
is paid for: never too little.

Under ``lm-eval`` what is read are the tokens that the context makes alone, without the white space at its
end, and paid for is what follows as many tokens of the whole (`TemplateLM._encode_pair` of the harness).
Where a token crosses the boundary, something is read twice or not at all; that protocol does so.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.corpora.document import Document
from evalkit.errors import LossyTextError, ScoringError
from evalkit.models.protocol import Encoding
from evalkit.scoring.policy import HARNESS_POLICY

Encode: TypeAlias = Callable[[str], Encoding]


class EncodedDocument(NamedTuple):
    """A document's tokens."""

    context: NDArray[np.int64]
    """Ids of its context, without the model's prefix."""
    ids: NDArray[np.int64]
    """Ids that are paid for, shape ``[num_tokens]``."""
    ends: NDArray[np.int64]
    """Byte offset in the text at which each of `ids` ends; 0 for one that ends in the context."""
    is_literal: bool = False
    """As `Encoding.is_literal`."""


def encode_document(encode: Encode, document: Document, policy: str, name: str) -> EncodedDocument:
    """The tokens of a document under a policy.

    Args:
        encode: the model's, see `evalkit.models.protocol.TokenModel.encode`.
        document: with a context or without.
        policy: one of `evalkit.scoring.policy.POLICIES`.
        name: the model's, for messages.

    Raises:
        LossyTextError: the tokens do not decode to the document, or none of them is its text's.
        ScoringError: they do not cover it, though the model says that they do.
    """
    encoding = encode((document.context or "") + document.text)
    num_read_bytes = document.num_read_bytes
    covered = int(encoding.ends[-1]) if len(encoding.ends) else 0
    if covered != num_read_bytes or len(encoding.ids) != len(encoding.ends):
        raise ScoringError(
            f"{name}: encode() of document {document.id} gives {len(encoding.ids)} ids "
            f"and {len(encoding.ends)} ends, and covers {covered} of {num_read_bytes} bytes"
        )
    if document.context is None:
        return EncodedDocument(np.empty(0, np.int64), encoding.ids, encoding.ends, encoding.is_literal)
    ids, ends = np.asarray(encoding.ids), np.asarray(encoding.ends)
    num_context_bytes = num_read_bytes - document.num_bytes
    if policy == HARNESS_POLICY:
        context = np.asarray(encode(document.context.rstrip()).ids)
        first = len(context)
        if first >= len(ids):
            raise LossyTextError(
                f"its context makes {first} tokens alone and {len(ids)} with the text, so that "
                f"policy {policy} pays for none"
            )
    else:
        first = int(np.searchsorted(ends, num_context_bytes, side="right"))
        context = ids[:first]
    paid_ends = np.maximum(ends[first:] - num_context_bytes, 0)
    return EncodedDocument(context, ids[first:], paid_ends, encoding.is_literal)
