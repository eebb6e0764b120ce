"""Hidden states of a model, layer by layer: what linear probes read."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@runtime_checkable
class HiddenStateModel(Protocol):
    """A `evalkit.models.protocol.TokenModel` that shows what is inside."""

    def hidden_states(self, ids: Sequence[int], positions: Sequence[int]) -> NDArray[np.float32]:
        """Hidden states of a text at some of its tokens.

        Args:
            ids: the text's ids, the model's prefix included.
            positions: places among ``ids``.

        Returns:
            ``[num_layers + 1, len(positions), num_channels]``: what goes into each layer, and what comes
            out of the last one.
        """
        ...


def captured_inputs(
    modules: Sequence[nn.Module], forward: Callable[[], object], positions: Sequence[int]
) -> NDArray[np.float32]:
    """What ``forward`` feeds to each of the modules, ``[len(modules), len(positions), C]``.

    Args:
        modules: each is called once, with ``[1, T, C]`` first.
        forward: a forward pass over one text.
        positions: places in the text.
    """
    places = list(positions)
    states: dict[int, NDArray[np.float32]] = {}

    def hook(index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            states[index] = inputs[0][0, places].float().cpu().numpy()

        return keep

    handles = [module.register_forward_pre_hook(hook(i)) for i, module in enumerate(modules)]
    try:
        with torch.inference_mode():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return np.stack([states[i] for i in range(len(modules))])
