"""Models of transformers reading rows of texts side by side; see `evalkit.models.lanes`."""

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from evalkit.models.hf.cache import advance
from evalkit.models.hf.model import HfModel
from evalkit.models.hf.steps import as_steps, may_read_as_steps

if TYPE_CHECKING:
    import transformers

_FEWEST_POSITIONS = 64


class HfLanes:
    """A `LaneReader`: the keys and values of every row, or its states."""

    def __init__(self, model: HfModel) -> None:
        """Read with a model whose `HfModel.carries_state` is true."""
        self.model = model
        self._network: transformers.PreTrainedModel = model.network
        self._cache = self._new_cache()
        self.may_read_ahead = (
            bool(self._cache.layers)
            and all(type(layer) is GrowingLayer for layer in self._cache.layers)
            and may_read_as_steps(self._network)
        )

    def start(self, contexts: Tensor) -> Tensor:
        """See `LaneReader.start`."""
        self._cache = self._new_cache()
        # In pieces, for a long context of many rows is more than a batch.
        num_tokens = max(1, self.model.tokens_per_batch // len(contexts))
        pieces = torch.split(contexts, num_tokens, dim=1)
        return [self._read(piece) for piece in pieces][-1][:, -1]

    def read(self, ids: Tensor) -> Tensor:
        """See `LaneReader.read`."""
        is_piece = ids.shape[1] > 1 and self.may_read_ahead
        with as_steps(self._network) if is_piece else contextlib.nullcontext():
            return self._read(ids)

    @torch.inference_mode()
    def _read(self, ids: Tensor) -> Tensor:
        with self.model.computing():
            return advance(self._network, ids, self._cache)

    def _new_cache(self) -> "transformers.Cache":
        cache = DynamicCache(config=self._network.config)
        cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
        return cache


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
    """transformers' growing cache of one layer, which copies all of it for a token only when it doubles."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Add keys and values ``[B, H, T, N]``; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = [states[:, :, :0] for states in (key_states, value_states)]
        start = self.get_seq_length()
        stop = start + key_states.shape[-2]
        if stop > self._room[0].shape[-2]:
            self._room = [_with_room(room[:, :, :start], 2 * stop) for room in self._room]
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, start:stop] = states
        self.keys, self.values = (room[:, :, :stop] for room in self._room)
        return self.keys, self.values


def _with_room(states: Tensor, num_positions: int) -> Tensor:
    size = (*states.shape[:2], max(num_positions, _FEWEST_POSITIONS), states.shape[3])
    larger = states.new_empty(size)
    larger[:, :, : states.shape[2]] = states
    return larger
