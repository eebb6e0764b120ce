"""The rows of a forward pass: what a model reads in order to predict the ids that are paid for."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def input_rows(
    contexts: Sequence[Sequence[int]], sequences: Sequence[Sequence[int]]
) -> list[NDArray[np.int64]]:
    """What is read of each row: its context and its ids, without the last, which is predicted alone.

    Args:
        contexts: ids that are read and not paid for, a row each.
        sequences: ids that are paid for.
    """
    return [
        np.concatenate((np.asarray(context, np.int64), np.asarray(targets, np.int64)))[:-1]
        for context, targets in zip(contexts, sequences, strict=True)
    ]


def padded(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows side by side, ``[B, T]``, with zeros on the right up to the longest."""
    ids = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = tokens
    return ids


def unpredicted_nats(sequences: Sequence[Sequence[int]], vocab_size: int) -> list[NDArray[np.float32]]:
    """Costs of ids that nothing precedes, ln(V) each: a model's answers are written over the others."""
    return [np.full(len(targets), math.log(vocab_size), np.float32) for targets in sequences]
