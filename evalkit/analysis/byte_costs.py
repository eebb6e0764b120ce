"""What each byte of a document costs a model that pays per token: the one rule for it.

Tokens of several bytes have no cost below themselves, so that any finer split is a convention. This one
is used wherever bytes are counted together that are not whole tokens (classes, positions, passages, the
explorer's pages; ``charged`` in ``report/static/tokens.js`` is the same rule in JavaScript):

* A token's bits are spread evenly over its bytes. Nothing else is known of them, and no byte of a token is
  made to look more surprising than another. Tokens may end inside a character; bytes are what is counted.
* A token without bytes (an empty piece that a tokenizer puts between others) is the cost of getting to the
  next one: its bits are spread over the bytes of the next paid token that has some, at a document's end over
  those of the last one. So the paid bytes' bits always add up to the paid tokens' bits.
* The bytes of a token that the policy does not pay for cost NaN, not 0: they are no cheap text but text
  whose cost is not known. What is made of byte costs is therefore over the paid bytes. (Under the policy
  ``uncheatable`` a document's bits per byte counts the unpaid bytes too.)
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def byte_costs(token_bits: ArrayLike, token_ends: ArrayLike) -> NDArray[np.float64]:
    """Bits of each byte of a document, ``[num_bytes]``; NaN where nothing is paid.

    Args:
        token_bits: ``[T]``, NaN for a token that is not paid for.
        token_ends: ``[T]``, rising: the byte at which each token ends; the last is the document's length.
    """
    bits = np.array(token_bits, dtype=np.float64)  # a copy: bits of tokens without bytes are moved
    ends = np.asarray(token_ends, dtype=np.int64)
    lengths: NDArray[np.int64] = np.diff(ends, prepend=ends.dtype.type(0))
    is_paid = ~np.isnan(bits)
    empty = np.flatnonzero(is_paid & (lengths == 0))
    payers = np.flatnonzero(is_paid & (lengths > 0))
    if len(empty) and len(payers):
        # searchsorted: the first payer behind the empty token; past the end there is none, and the last pays.
        payer_of = payers[np.minimum(np.searchsorted(payers, empty), len(payers) - 1)]
        np.add.at(bits, payer_of, bits[empty])  # several may have one payer, which `bits[payer_of] +=` drops
    has_bytes = lengths > 0
    return np.repeat(bits[has_bytes] / lengths[has_bytes], lengths[has_bytes])
