"""Strings for training and strings for testing, and the batches that networks read.

A string is held out for testing or not by a hash of its letters (`is_held_out`), so that no test string is
ever trained on, whatever the seed, length or task.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

HELD_OUT_SHARE = 8
"""One string in this many is for testing."""

_MAX_ROUNDS = 200


class Batch(NamedTuple):
    """Strings as a network reads them; a string's own length may be smaller than the batch's."""

    tokens: Strings
    """``[num_strings, 1 + T]``, with the start token first; strings are padded on the right."""
    labels: Strings
    """``[num_strings, 1 + T]``: what is asked after each token."""
    num_letters: NDArray[np.int64]
    """``[num_strings]``."""


def is_held_out(strings: Strings) -> NDArray[np.bool_]:
    """Whether each string is for testing, by a hash of its letters and length: one in `HELD_OUT_SHARE` is."""
    digest = np.full(len(strings), 0x9E3779B97F4A7C15 + strings.shape[1], np.uint64)
    for column in strings.T:  # splitmix64's finaliser after each letter
        digest ^= column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        digest = (digest ^ (digest >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        digest ^= digest >> np.uint64(31)
    held_out: NDArray[np.bool_] = digest % np.uint64(HELD_OUT_SHARE) == 0
    return held_out


def training_strings(
    task: ProbeTask, length: int, num_strings: int, generator: np.random.Generator
) -> Strings:
    """``[num_strings, length]``: strings that no test uses, with repetitions where there are few.

    Raises:
        UsageError: there is none of this length.
    """
    strings = _draw_side(task, length, num_strings, generator, held_out=False, distinct=False)
    if not len(strings):
        raise UsageError(
            f"{task.name}: no training string of length {length}; longer ones or more letters are needed"
        )
    return strings[np.arange(num_strings) % len(strings)]


def held_out_strings(
    task: ProbeTask, length: int, num_strings: int, generator: np.random.Generator
) -> Strings:
    """Distinct strings that no training uses: ``num_strings``, or fewer where few of this length exist."""
    return _draw_side(task, length, num_strings, generator, held_out=True, distinct=True)


def _draw_side(
    task: ProbeTask,
    length: int,
    num_strings: int,
    generator: np.random.Generator,
    *,
    held_out: bool,
    distinct: bool,
) -> Strings:
    """Strings of one side of the split, drawn until there are enough or `_MAX_ROUNDS` have gone by."""
    strings = np.empty((0, length), np.int64)
    num_drawn = num_strings * (HELD_OUT_SHARE if held_out else 1) + 8
    for _ in range(_MAX_ROUNDS):
        drawn = task.draw(length, num_drawn, generator)
        strings = np.concatenate((strings, drawn[is_held_out(drawn) == held_out]))
        if distinct:
            _, first = np.unique(strings, axis=0, return_index=True)
            strings = strings[np.sort(first)]  # in the order drawn, so that kinds stay mixed
        if len(strings) >= num_strings:
            break
    return strings[:num_strings]


def make_batch(task: ProbeTask, groups: list[Strings], *, last_only: bool) -> Batch:
    """What a network reads for strings of one or several lengths.

    Args:
        task: the strings'.
        groups: strings of one length each, ``[num_strings, length]``.
        last_only: ask for the last label alone, after an answer token, in place of every label.
    """
    width = max(group.shape[1] for group in groups) + 1 + last_only
    tokens, labels, lengths = [], [], []
    for group in groups:
        num_strings, length = group.shape
        token_rows = np.full((num_strings, width), task.start_token)
        label_rows = np.full((num_strings, width), NOT_SCORED)
        token_rows[:, 1 : length + 1] = group
        all_labels = task.label(group)
        if last_only:
            token_rows[:, length + 1] = task.answer_token
            # The last label that there is, from the end: some letters have none.
            last = length - 1 - (all_labels[:, ::-1] != NOT_SCORED).argmax(1)
            label_rows[:, length + 1] = all_labels[np.arange(num_strings), last]
        else:
            label_rows[:, 1 : length + 1] = all_labels
        tokens.append(token_rows)
        labels.append(label_rows)
        lengths.append(np.full(num_strings, length))
    return Batch(np.concatenate(tokens), np.concatenate(labels), np.concatenate(lengths))
