"""RWKV-7 reading rows of texts side by side; see `evalkit.models.lanes`."""

import torch
from torch import Tensor

from evalkit.models.rwkv7.model import RWKV7Model
from evalkit.models.rwkv7.network import State


class RWKV7Lanes:
    """A `LaneReader`: the state of every row, which does not grow."""

    may_read_ahead = True

    def __init__(self, model: RWKV7Model) -> None:
        """Read with a model."""
        self.model = model
        self._state: State | None = None

    def start(self, contexts: Tensor) -> Tensor:
        """See `LaneReader.start`."""
        self._state = None
        return self.read(contexts)[:, -1]

    @torch.inference_mode()
    def read(self, ids: Tensor) -> Tensor:
        """See `LaneReader.read`."""
        hidden: Tensor
        hidden, self._state = self.model.network(ids.to(self.model.device), self._state)
        return hidden
