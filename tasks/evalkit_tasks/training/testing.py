"""How a trained network does on strings that it was not trained on."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit_tasks.metrics import NOT_SCORED, ItemScores, parity_accuracy, score_items
from evalkit_tasks.training.networks.parts import SequenceNetwork
from evalkit_tasks.training.tasks.strings import Batch
from evalkit_tasks.training.tasks.task import ProbeTask

_TOKENS_AT_ONCE = 1 << 15


class StringScores(NamedTuple):
    """What a network did with the strings of one test."""

    items: ItemScores
    majority_accuracy: float
    """The token accuracy of always giving the commonest label."""
    parity_accuracy: float | None
    """See `evalkit_tasks.metrics.parity_accuracy`; None where the task has no parities."""


@torch.inference_mode()
def score_strings(network: SequenceNetwork, task: ProbeTask, batch: Batch, device: str) -> StringScores:
    """Ask a network for the labels of a batch.

    Args:
        network: on the device, in evaluation mode.
        task: the batch's.
        batch: strings that the network was not trained on.
        device: of the network.
    """
    # Column 0 is the start token, of which nothing is asked.
    predictions, labels = _predictions(network, batch, device)[:, 1:], batch.labels[:, 1:]
    scored_labels = batch.labels[batch.labels != NOT_SCORED]
    return StringScores(
        score_items(predictions, labels, batch.num_letters),
        float(np.bincount(scored_labels).max() / len(scored_labels)),
        None if task.parities is None else parity_accuracy(predictions, labels, task.parities),
    )


def _predictions(network: SequenceNetwork, batch: Batch, device: str) -> NDArray[np.int64]:
    """The likeliest label after each token, ``[num_strings, 1 + T]``."""
    num_rows = max(1, _TOKENS_AT_ONCE // batch.tokens.shape[1])
    predictions = [
        network(torch.from_numpy(batch.tokens[first : first + num_rows]).to(device))[0]
        .argmax(-1)
        .cpu()
        .numpy()
        for first in range(0, len(batch.tokens), num_rows)
    ]
    return np.concatenate(predictions)
