"""How a trained network does on strings that it was not trained on."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from evalkit_tasks.metrics import NOT_SCORED, ItemScores, parity_accuracy, score_items
from evalkit_tasks.training.networks.parts import SequenceNetwork
from evalkit_tasks.training.networks.stack import NetworkStack
from evalkit_tasks.training.tasks.strings import Batch
from evalkit_tasks.training.tasks.task import ProbeTask

_TOKENS_AT_ONCE = 1 << 15


class Majority(NamedTuple):
    """What the best constant answer would have got, by each metric for itself."""

    token: float
    sequence: float
    last_position: float


class StringScores(NamedTuple):
    """What a network did with the strings of one test."""

    items: ItemScores
    num_distinct: int
    """How many strings differ: those of a sparse language are few, and asked about several times."""
    majority: Majority
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
    return StringScores(
        score_items(predictions, labels, batch.num_letters),
        len(np.unique(batch.tokens, axis=0)),
        majority(labels, batch.num_letters),
        None if task.parities is None else parity_accuracy(predictions, labels, task.parities),
    )


@torch.inference_mode()
def look_at(stack: NetworkStack, batch: Batch, device: str) -> list[tuple[float, float]]:
    """The share of a batch's strings with every label right, and the mean loss in nats per label.

    Args:
        stack: on the device, in evaluation mode.
        batch: strings that no network was trained on.
        device: of the networks.

    Returns:
        Both for each network.
    """
    tokens, labels = (torch.from_numpy(part).to(device) for part in (batch.tokens, batch.labels))
    num_rows = max(1, _TOKENS_AT_ONCE // (len(stack) * tokens.shape[1]))
    is_right, losses = [], []
    for first in range(0, len(tokens), num_rows):
        logits = stack.forward(tokens[first : first + num_rows].expand(len(stack), -1, -1))
        targets = labels[first : first + num_rows].expand(len(stack), -1, -1)
        hits = (logits.argmax(-1) == targets) | (targets == NOT_SCORED)
        is_right.append(hits.all(-1))
        losses.append(
            F.cross_entropy(
                logits.flatten(0, 2), targets.flatten(), ignore_index=NOT_SCORED, reduction="none"
            ).view(targets.shape)
        )
    accuracies = torch.cat(is_right, 1).double().mean(1)
    totals = torch.cat(losses, 1).double().sum((1, 2))
    means = totals / (labels != NOT_SCORED).sum()
    return list(zip(accuracies.tolist(), means.tolist(), strict=True))


def majority(labels: NDArray[np.int64], num_letters: NDArray[np.int64]) -> Majority:
    """How right one answer to everything would be.

    Args:
        labels: ``[num_items, T]``, `NOT_SCORED` where nothing is asked.
        num_letters: ``[num_items]``.
    """
    constants = [
        score_items(np.full_like(labels, constant), labels, num_letters)
        for constant in np.unique(labels[labels != NOT_SCORED])
    ]
    return Majority(
        token=max(float(items.num_correct.sum() / items.num_scored.sum()) for items in constants),
        sequence=max(float((items.num_correct == items.num_scored).mean()) for items in constants),
        last_position=max(float(items.last_correct.mean()) for items in constants),
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
