"""Networks with a nonlinear recurrence: LSTM and GRU from torch, and xLSTM's sLSTM.

Shape legend: B = batch, T = time, H = heads, N = head size, C = H N channels.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evalkit_tasks.training.networks.parts import Mixer, SequenceNetwork, ShortConvolution, State


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


class SLSTM(Mixer):
    """The sLSTM layer of xLSTM (arXiv 2405.04517, equations 8-17, stabilised).

    With pre-activations ``z, i, f, o`` from the input and, through a matrix per head, from the last output::

        m_t = max(log sigmoid(f) + m_{t-1}, i)            the stabiliser
        i'  = exp(i - m_t)        f' = exp(log sigmoid(f) + m_{t-1} - m_t)
        c_t = f' c_{t-1} + i' tanh(z)      n_t = f' n_{t-1} + i'      h_t = sigmoid(o) c_t / n_t

    As in the authors' block, i and f read the input through a short convolution, and a norm per head
    follows. The forget gate's bias starts between 3 and 6, so that a head remembers at first.
    """

    def __init__(self, width: int, head_size: int) -> None:
        super().__init__()
        self.num_heads, self.head_size = width // head_size, head_size
        self.convolution = ShortConvolution(width)
        self.zo = nn.Linear(width, 2 * width)
        self.fi = nn.Linear(width, 2 * width)
        with torch.no_grad():
            self.fi.bias[:width] = torch.linspace(3, 6, width)
        self.recurrent = nn.Parameter(
            torch.randn(self.num_heads, head_size, 4 * head_size) * 0.5 * head_size**-0.5
        )
        """From a head's last output to its z, o, f and i."""
        self.norm = nn.RMSNorm(head_size)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Output ``[B, T, C]`` and the state after it; see `Mixer.forward`."""
        seen, cell = (None, None) if state is None else state
        smoothed, seen = self.convolution(x, seen)
        heads = (*x.shape[:2], self.num_heads, self.head_size)
        parts = (*self.zo(x).chunk(2, -1), *self.fi(smoothed).chunk(2, -1))
        inputs = torch.cat([part.reshape(heads) for part in parts], -1)  # [B, T, H, 4 N]
        if cell is None:
            zeros = x.new_zeros(x.shape[0], self.num_heads, self.head_size)
            # No memory yet: whatever the first input gate is, it becomes the stabiliser.
            cell = (zeros, zeros, zeros, torch.full_like(zeros, -torch.inf))
        h, c, n, m = cell
        outputs = []
        for t in range(x.shape[1]):
            fed_back = torch.bmm(h.transpose(0, 1), self.recurrent).transpose(0, 1)
            z, o, f, i = (inputs[:, t] + fed_back).chunk(4, -1)
            log_keep = F.logsigmoid(f) + m
            m = torch.maximum(log_keep, i)
            write, keep = torch.exp(i - m), torch.exp(log_keep - m)
            c = keep * c + write * torch.tanh(z)
            n = keep * n + write
            h = torch.sigmoid(o) * c / n
            outputs.append(h)
        y = self.norm(torch.stack(outputs, 1)).reshape(x.shape)
        return cast(Tensor, self.output(y)), (seen, (h, c, n, m))
