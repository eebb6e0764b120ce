"""evalkit's own RWKV-7 as a probed network: the official block, initial values and optimiser groups."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from evalkit.models.rwkv7.init import initialise, parameter_groups
from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from evalkit_tasks.training.networks.parts import SequenceNetwork, State

LOW_RANK = 16
"""Of the decay, the learning rate, the value residual and the gate."""


class RWKV7Network(SequenceNetwork):
    """The network of `evalkit.models.rwkv7.network`; the first rows of its head are the labels'.

    Args:
        vocab_size: number of input tokens.
        num_labels: number of labels.
        num_layers: number of layers.
        width: channels.
        head_size: channels of a head.
        removal_strength: c; see `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
        seed: of the initial values.
    """

    def __init__(
        self,
        vocab_size: int,
        num_labels: int,
        *,
        num_layers: int,
        width: int,
        head_size: int,
        removal_strength: float,
        seed: int,
    ) -> None:
        super().__init__()
        layer = LayerShape(LOW_RANK, LOW_RANK, LOW_RANK, LOW_RANK, ffn_width=4 * width)
        shape = NetworkShape(max(vocab_size, num_labels), width, head_size, (layer,) * num_layers)
        self.network = RWKV7(shape, removal_strength)
        self.num_labels = num_labels
        initialise(self.network, seed)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` and the state after them; see `SequenceNetwork.forward`."""
        hidden, state = self.network(ids, state)
        return F.linear(hidden, self.network.head.weight[: self.num_labels]), state

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """RWKV-7's own groups for AdamW; see `evalkit.models.rwkv7.init.parameter_groups`."""
        return [{**group} for group in parameter_groups(self.network, learning_rate, weight_decay)]
