"""Networks with a nonlinear recurrence: LSTM and GRU from torch.

Shape legend: B = batch, T = time.
"""

from torch import Tensor, nn

from evalkit_tasks.training.networks.parts import SequenceNetwork, State


class TorchRecurrent(SequenceNetwork):
    """`torch.nn.LSTM` or `torch.nn.GRU` between an embedding and a head.

    Args:
        cell: the class.
        vocab_size: number of input tokens.
        num_labels: number of labels.
        num_layers: number of layers.
        width: units of a layer, and of the embedding.
    """

    def __init__(
        self,
        cell: type[nn.LSTM] | type[nn.GRU],
        vocab_size: int,
        num_labels: int,
        num_layers: int,
        width: int,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.recurrence = cell(width, width, num_layers=num_layers, batch_first=True)
        self.head = nn.Linear(width, num_labels)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` and the state after them; see `SequenceNetwork.forward`."""
        hidden, state = self.recurrence(self.embedding(ids), state)
        return self.head(hidden), state
