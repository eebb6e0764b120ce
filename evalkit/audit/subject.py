"""The model that is audited, how much of it is read, and how far equal numbers may lie apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.audit.texts import plain_ids
from evalkit.errors import ScoringError
from evalkit.models.protocol import TokenModel

Nats = NDArray[np.float64]


class Extent(NamedTuple):
    """How much an audit reads."""

    name: str
    lengths: tuple[int, ...]
    """Tokens of the texts in which the future is changed."""
    rows: tuple[int, ...]
    """Tokens of the texts that are read side by side."""
    num_curve_tokens: int
    """Of the text whose position curve is taken; 0: none."""
    state_lengths: tuple[int, ...]
    """Tokens after which a recurrent model's states are measured."""
    num_prefix_tokens: int
    """Of each text that is read with, without and after twice the prefix; 0: no such texts."""


SHORT = Extent("short", (16, 33, 80), (5, 40, 17), 0, (64, 128, 256), 0)
STANDARD = Extent(
    "standard", (16, 33, 64, 65, 130, 257, 513), (5, 150, 17, 64, 33), 1024, (128, 256, 512, 1024, 2048), 48
)
LONG = Extent(
    "long",
    (16, 33, 64, 65, 130, 257, 513, 1025, 2049, 4097),
    (5, 150, 17, 64, 33, 600),
    8192,
    tuple(128 << doubling for doubling in range(11)),  # to 131,072
    48,
)
EXTENTS = {extent.name: extent for extent in (SHORT, STANDARD, LONG)}

_TOLERANCES = {"float64": 1e-6, "float32": 2e-3, "float16": 0.1, "bfloat16": 0.4}
_COARSE = 0.4
"""Of types that are not named: quantised weights, a server's."""


def token_tolerance(dtype: str) -> float:
    """Nats by which a token's cost may differ between two ways to compute it in a precision.

    In float32 ten times what the summation order of a large matrix product does. In bfloat16 the costs of
    single tokens have been seen to differ by 0.12 (pip's ``rwkv`` against float64), in float16 by an eighth.
    """
    return _TOLERANCES.get(dtype, _COARSE)


class Subject:
    """A model with its texts and tolerance; counts what is read."""

    def __init__(self, model: TokenModel, extent: Extent) -> None:
        self.model = model
        self.extent = extent
        self.tolerance = token_tolerance(model.identity.dtype)
        self.num_tokens_read = 0
        self.context_limit = model.context_limit
        longest = max(*extent.lengths, *extent.rows, extent.num_curve_tokens + 64)
        self.ids: list[int] = plain_ids(model, longest).tolist()

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.identity.name

    def fits(self, num_tokens: int) -> bool:
        """Whether the model reads so many tokens at once after its prefix."""
        return self.context_limit is None or num_tokens + len(self.model.prefix) <= self.context_limit

    def nats(
        self, sequences: Sequence[Sequence[int]], contexts: Sequence[Sequence[int]] | None = None
    ) -> list[Nats]:
        """`TokenModel.nats` in float64, read side by side; all contexts are the prefix where none is given.

        Raises:
            ScoringError: the costs are not as many as the tokens.
        """
        if contexts is None:
            contexts = [self.model.prefix] * len(sequences)
        self.num_tokens_read += sum(map(len, sequences)) + sum(map(len, contexts))
        costs = [np.asarray(cost, np.float64) for cost in self.model.nats(sequences, contexts=contexts)]
        if [cost.shape for cost in costs] != [(len(ids),) for ids in sequences]:
            raise ScoringError(
                f"{self.name}: nats() gives {len(costs)} arrays that do not fit {len(sequences)} texts"
            )
        return costs

    def alone(self, ids: Sequence[int], context: Sequence[int] | None = None) -> Nats:
        """Costs of one text that is read by itself."""
        [costs] = self.nats([ids], None if context is None else [context])
        return costs

    def in_batches(self, sequences: Sequence[Sequence[int]], context: Sequence[int]) -> list[Nats]:
        """Costs of many short texts after one context, as many at a time as the model holds."""
        longest = max(map(len, sequences)) + len(context)
        size = max(1, self.model.tokens_per_batch // longest)
        costs: list[Nats] = []
        for start in range(0, len(sequences), size):
            part = sequences[start : start + size]
            costs += self.nats(part, [context] * len(part))
        return costs


def largest(differences: Nats | Sequence[float]) -> float:
    """The greatest size of some differences; NaN where one is NaN, 0 where there are none."""
    return float(np.abs(differences).max()) if len(differences) else 0.0  # the built-in max passes over NaN
