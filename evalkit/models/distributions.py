"""Models that show what they think of every token, not only what the text's own tokens cost."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from evalkit.models.protocol import TokenModel


@runtime_checkable
class DistributionModel(TokenModel, Protocol):
    """A `TokenModel` that gives the logits of its whole vocabulary.

    In two steps, so that whoever asks decides how many rows of logits are held at a time.
    """

    def head_inputs(self, context: Sequence[int], targets: Sequence[int]) -> Iterator[Tensor]:
        """What the output head makes logits of, ``[N, C]`` a piece, one row for each target in turn.

        Args:
            context: ids that are read before the targets; at least one.
            targets: ids, each predicted by one row; the last is not read.
        """
        ...

    def logits(self, head_inputs: Tensor) -> Tensor:
        """Logits of every token, ``[N, vocab_size]`` in float32, of rows of `head_inputs`."""
        ...


def recut(pieces: Iterable[Tensor], num_rows: int) -> Iterator[Tensor]:
    """The rows of pieces in pieces of ``num_rows``, the last one shorter."""
    waiting: list[Tensor] = []
    num_waiting = 0
    for piece in pieces:
        for part in torch.split(piece, num_rows):
            waiting.append(part)
            num_waiting += len(part)
            if num_waiting < num_rows:
                continue
            rows = torch.cat(waiting)
            yield rows[:num_rows]
            waiting, num_waiting = [rows[num_rows:]], num_waiting - num_rows
    if num_waiting:
        yield torch.cat(waiting)
