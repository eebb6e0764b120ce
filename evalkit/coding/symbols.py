"""Tokens into a range coder, by whole numbers that are made of a model's logits.

Shape legend: N = tokens that are coded at once, V = vocabulary, G = groups, S = tokens of a group.

A token's weight is ``floor(2**30 exp(logit - largest logit)) + 1``: a whole number from 1 on, which grows
with the logit. A range coder of 24 bits has no room for a large vocabulary: one part in 2**24 for each of
150,000 tokens would be a percent of the code. So a token is coded in two steps, its group and its place in
the group, each a distribution over a few hundred symbols, the first by sums of weights.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import ScoringError

_LOG2_SCALE = 30
_LOG2_E = math.log2(math.e)
_BLOCK_ELEMENTS = 2**18
_LARGEST_SINGLE_GROUP = 1024
_ROW_ALIGNMENT = 64
"""Rows of so many columns leave no end that vector instructions would compute otherwise."""
_FAMILY = constriction.stream.model.Categorical(perfect=False)

Ids = NDArray[np.int64]


class Weights(NamedTuple):
    """Whole numbers, held by floating-point numbers."""

    of_tokens: Tensor
    """``[N, G, S]`` of float32, those of a vocabulary's tokens in turn, padded by ones."""
    of_groups: NDArray[np.float64]
    """``[N, G]``: sums of the former."""
    vocab_size: int

    def within(self, groups: Ids) -> NDArray[np.float64]:
        """Of the tokens of one group of each row, ``[N, S]``."""
        rows = torch.arange(len(groups))
        weights: NDArray[np.float64] = self.of_tokens[rows, torch.from_numpy(groups)].double().numpy()
        return weights

    def split(self, num_rows: int) -> Iterator["Weights"]:
        """The N in turn, so many at a time."""
        for first in range(0, len(self.of_tokens), num_rows):
            part = slice(first, first + num_rows)
            yield Weights(self.of_tokens[part], self.of_groups[part], self.vocab_size)

    def rows(self, chosen: NDArray[np.bool_]) -> "Weights":
        """Of some of the N."""
        if chosen.all():
            return self
        return Weights(self.of_tokens[torch.from_numpy(chosen)], self.of_groups[chosen], self.vocab_size)


def group_size(vocab_size: int) -> int:
    """S: all of a small vocabulary, else a power of two near its square root."""
    if vocab_size <= _LARGEST_SINGLE_GROUP:
        return -(-vocab_size // _ROW_ALIGNMENT) * _ROW_ALIGNMENT
    return max(_ROW_ALIGNMENT, int(2 ** math.ceil(math.log2(vocab_size) / 2)))


def token_weights(logits: Tensor) -> Weights:
    """Weights of logits ``[N, V]``.

    Raises:
        ScoringError: a logit is no number.
    """
    num_rows, vocab_size = logits.shape
    size = group_size(vocab_size)
    num_groups = -(-vocab_size // size)
    weights = torch.empty(num_rows, num_groups * size, dtype=torch.float32, device=logits.device)
    num_at_once = max(1, _BLOCK_ELEMENTS // weights.shape[1])  # what stays in a processor's cache
    for first in range(0, num_rows, num_at_once):
        block = weights[first : first + num_at_once]
        part = logits[first : first + num_at_once]
        block[:, vocab_size:] = -torch.inf
        start = _LOG2_SCALE - part.amax(1, keepdim=True) * _LOG2_E
        torch.add(start, part, alpha=_LOG2_E, out=block[:, :vocab_size])
        block.exp2_().floor_().add_(1)
    of_tokens = weights.view(num_rows, num_groups, size)
    of_groups: NDArray[np.float64] = of_tokens.sum(-1).cpu().double().numpy()
    if not np.isfinite(of_groups).all():
        raise ScoringError("the model's logits are not finite; the weights or the precision are broken")
    return Weights(of_tokens.cpu(), of_groups, vocab_size)


class TokenEncoder:
    """Turns tokens into code."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self.ideal_bits = 0.0
        """What the tokens cost by the model's own distribution."""

    def code(self, weights: Weights, ids: Ids) -> None:
        """Add tokens ``[N]``, each by its row of the weights."""
        groups, places = np.divmod(ids, weights.of_tokens.shape[2])
        of_groups, within = weights.of_groups, weights.within(groups)
        # What pads a vocabulary has weights too, of 2**-30 each.
        shares = within[np.arange(len(ids)), places] / of_groups.sum(1)
        self.ideal_bits -= float(np.log2(shares).sum())
        if of_groups.shape[1] > 1:
            self._coder.encode(groups.astype(np.int32), _FAMILY, of_groups)
        self._coder.encode(places.astype(np.int32), _FAMILY, within)

    def words(self) -> bytes:
        """The code, whole words of 32 bits, the lowest byte first."""
        code: bytes = self._coder.get_compressed().astype("<u4").tobytes()
        return code


class TokenDecoder:
    """Turns code into tokens, given the weights that they were coded by."""

    def __init__(self, words: bytes) -> None:
        """Decode what `TokenEncoder.words` gave."""
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(words, "<u4").astype(np.uint32))

    def decode(self, weights: Weights) -> Ids:
        """The next tokens ``[N]``, one for each row.

        Raises:
            ValueError: the code is none that these weights give.
        """
        num_rows, num_groups, size = weights.of_tokens.shape
        groups = np.zeros(num_rows, np.int64)
        if num_groups > 1:
            groups = self._symbols(weights.of_groups)
        ids = groups * size + self._symbols(weights.within(groups))
        if (ids >= weights.vocab_size).any():
            raise ValueError("the code gives a token that the vocabulary has not")
        return ids

    def _symbols(self, weights: NDArray[np.float64]) -> Ids:
        decode: Callable[..., NDArray[np.int32]] = self._coder.decode
        try:
            return decode(_FAMILY, weights).astype(np.int64)
        except AssertionError as error:  # what the library raises of code that no encoder writes
            raise ValueError(str(error)) from None
