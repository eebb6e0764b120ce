"""Models of transformers reading rows of texts side by side; see `evalkit.models.lanes`."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from evalkit.models.hf.cache import NO_SUCH_CACHE, advance, agree
from evalkit.models.hf.model import HfModel
from evalkit.models.hf.steps import KEY_BLOCK, as_steps, may_read_as_steps

if TYPE_CHECKING:
    import transformers


class HfLanes:
    """A `LaneReader`: the keys and values of every row, or its states."""

    def __init__(self, model: HfModel) -> None:
        """Read with a model whose `HfModel.carries_state` is true."""
        self.model = model
        self._network: transformers.PreTrainedModel = model.network
        self._cache = self._new_cache()
        self._gave_same_bits: dict[object, bool] = {}
        self._is_by_steps = self._may_go_by_steps()
        self.may_read_ahead = self._is_by_steps

    def start(self, contexts: Tensor) -> Tensor:
        """See `LaneReader.start`."""
        self._cache = self._new_cache()
        # In pieces, for a long context of many rows is more than a batch.
        num_tokens = max(1, self.model.tokens_per_batch // len(contexts))
        pieces = torch.split(contexts, num_tokens, dim=1)
        return [self._read(piece) for piece in pieces][-1][:, -1]

    def read(self, ids: Tensor) -> Tensor:
        """See `LaneReader.read`."""
        return self._read_by_steps(ids) if self._is_by_steps else self._read(ids)

    def _read_by_steps(self, ids: Tensor) -> Tensor:
        for layer in self._cache.layers:
            layer.gives_whole_blocks = True
        with as_steps(self._network, self._cache.get_seq_length(), self._gave_same_bits):
            predictors = self._read(ids)
        self.may_read_ahead = all(self._gave_same_bits.values())
        return predictors

    def _may_go_by_steps(self) -> bool:
        """Whether the attention of `as_steps` is the model's own."""
        layers = self._cache.layers
        if not layers or any(type(layer) is not GrowingLayer for layer in layers):
            return False
        if not may_read_as_steps(self._network):
            return False
        # Of ordinary text: at ids that no text has, some models make ten times as much of a rounding.
        ids = torch.tensor([self.model.probe_ids])
        self.start(ids[:, :1])
        try:
            steps = self._read_by_steps(ids[:, 1:])
        except NO_SUCH_CACHE:
            return False
        self._gave_same_bits.clear()  # of shapes that no text is read in
        self._cache = self._new_cache()
        return agree(steps, self._read(ids)[:, 1:])

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

    gives_whole_blocks = False
    """Of keys, with zeros where nothing was read yet."""

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
        if not self.gives_whole_blocks:
            return self.keys, self.values
        keys, values = (room[:, :, : _whole_blocks(stop)] for room in self._room)
        return keys, values


def _with_room(states: Tensor, num_positions: int) -> Tensor:
    larger = states.new_zeros((*states.shape[:2], _whole_blocks(num_positions), states.shape[3]))
    larger[:, :, : states.shape[2]] = states
    return larger


def _whole_blocks(num_positions: int) -> int:
    return -(-num_positions // KEY_BLOCK) * KEY_BLOCK
