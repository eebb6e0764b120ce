"""Texts read side by side, a piece at a time: what a decoder needs, which gets its tokens one by one.

Shape legend: R = rows, P = tokens of a context, T = tokens of a piece, C = channels.

A decoder knows the tokens up to the one that it decodes, and must compute for it the very bits that the
encoder computed. So both read through a `LaneReader`, in pieces of shapes that depend on lengths alone.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from evalkit.errors import ModelError
from evalkit.models.distributions import DistributionModel
from evalkit.models.protocol import Model


@runtime_checkable
class DecodingModel(DistributionModel, Protocol):
    """A `DistributionModel` that says what its tokens stand for."""

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of a text's tokens.

        They are the text's own, or those behind a space that the tokenizer puts before a text. Of ids that no
        text has, any bytes, or an error of any kind.
        """
        ...


class LaneReader(Protocol):
    """Reads rows of equal length side by side; the same calls in the same shapes give the same bits."""

    may_read_ahead: bool
    """Whether a piece may give the bits that its tokens give one by one; whoever relies on it tries it.

    It becomes false where a piece is seen to give others; what was read ahead is then not to be relied upon.
    """

    @property
    def model(self) -> DecodingModel:
        """Whose reading this is."""
        ...

    def start(self, contexts: Tensor) -> Tensor:
        """Forget what was read, and read contexts.

        Args:
            contexts: ids ``[R, P]``, P at least 1.

        Returns:
            ``[R, C]``: the rows that predict the ids that come next, for `DistributionModel.logits`.
        """
        ...

    def read(self, ids: Tensor) -> Tensor:
        """Read on.

        Args:
            ids: ``[R, T]``, T at least 1.

        Returns:
            ``[R, T, C]``: the rows that predict the id after each.
        """
        ...


class RereadingLanes:
    """Reads everything again for each token, with a model that cannot go on; slow, and right with any."""

    may_read_ahead = False

    def __init__(self, model: DecodingModel) -> None:
        """Read with a model."""
        self.model = model
        self._ids: list[list[int]] = []

    def start(self, contexts: Tensor) -> Tensor:
        """See `LaneReader.start`."""
        self._ids = contexts.tolist()
        return self._predictors()

    def read(self, ids: Tensor) -> Tensor:
        """See `LaneReader.read`."""
        predictors = []
        for column in ids.T.tolist():
            for row, token in zip(self._ids, column, strict=True):
                row.append(token)
            predictors.append(self._predictors())
        return torch.stack(predictors, dim=1)

    def _predictors(self) -> Tensor:
        return torch.cat([torch.cat(list(self.model.head_inputs(row, [0]))) for row in self._ids])


def lane_reader(model: Model) -> LaneReader:
    """What reads rows of texts with a model.

    Raises:
        ModelError: the model gives no distributions, or does not say what its tokens stand for.
    """
    if not isinstance(model, DecodingModel):
        raise ModelError(
            f"{model.identity.name} does not show the distribution of its next token and the bytes of its "
            "tokens, which a decoder needs; take a model that is loaded by rwkv7, hf, gguf or llamacpp"
        )
    from evalkit.models.hf.lanes import HfLanes
    from evalkit.models.hf.model import HfModel
    from evalkit.models.rwkv7.lanes import RWKV7Lanes
    from evalkit.models.rwkv7.model import RWKV7Model

    if isinstance(model, RWKV7Model):
        return RWKV7Lanes(model)
    if isinstance(model, HfModel) and model.carries_state:
        return HfLanes(model)
    return RereadingLanes(model)
