"""Hidden states of a model, layer by layer: what linear probes read."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
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


@runtime_checkable
class NetworkModel(Protocol):
    """A model whose hidden states are those of a network that can be computed with other weights."""

    @property
    def network(self) -> nn.Module:
        """The network, in evaluation mode."""
        ...


@contextlib.contextmanager
def shuffled_weights(network: nn.Module, seed: int) -> Iterator[None]:
    """While it lasts, the numbers of each parameter stand in random order; afterwards as they stood.

    What a network shows then comes of its architecture, its tokens and the scale of its weights, not of what
    it learnt. Initial values would not do: RWKV-7's and others' output matrices begin with zeros, so that
    nothing would reach another token. The weights lie in memory twice meanwhile.

    Args:
        network: whose parameters are exchanged in place; tied ones stay tied.
        seed: the same gives the same order.
    """
    generator = torch.Generator().manual_seed(seed)
    learnt = [(parameter, parameter.data) for parameter in network.parameters()]
    try:
        for parameter, data in learnt:
            order = torch.randperm(data.numel(), generator=generator).to(data.device)
            parameter.data = data.flatten()[order].view_as(data)
        yield
    finally:
        for parameter, data in learnt:
            parameter.data = data


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
